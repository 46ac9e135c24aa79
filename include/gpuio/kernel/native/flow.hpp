// Control flow of a chunk of lanes, and of a workgroup of chunks. Part of native.hpp.
#pragma once

#include <thread>

#include <gpuio/kernel/native/lane.hpp>

namespace gpuio::kernel::native {

// Runs instructions [First, First + Count) of a section: halves, so that templates nest a logarithm deep.
template <class K, class S, u32 First, u32 Count, class M>
GPUIO_INLINE void run_some(Lane<K> lane, M& mask, Jumped& jumped);

template <class K, u32 Begin, u32 End, class M>
GPUIO_INLINE void run_section(Lane<K> lane, M& mask, Jumped& jumped) {
  using S = Section<K, Begin, End>;
  run_some<K, S, 0, S::kCount>(lane, mask, jumped);
}

template <class K, u32 I, class M>
GPUIO_INLINE void run_if(Lane<K> lane, M& mask, Jumped& jumped) {
  constexpr Inst i = K::frozen().insts[I];
  constexpr u32 kThenEnd = kFacts<K>.own_end[I], kEnd = kFacts<K>.partner[I];
  constexpr bool kElse = kThenEnd != kEnd;
  if constexpr (kFacts<K>.uniform[i.a]) {
    if (lane.template scalar<i.a>()) run_section<K, I + 1, kThenEnd>(lane, mask, jumped);
    else if constexpr (kElse) run_section<K, kThenEnd + 1, kEnd>(lane, mask, jumped);
  } else {
    const Mask condition = lane.template get<i.a>();
    if constexpr (std::is_same_v<M, Full>) {
      if (all(condition)) return run_section<K, I + 1, kThenEnd>(lane, mask, jumped);
    }
    Some yes{mask_of(mask) & condition}, no{mask_of(mask) & ~condition};
    if (any(yes.lanes)) run_section<K, I + 1, kThenEnd>(lane, yes, jumped);
    if constexpr (kElse) {
      if (any(no.lanes)) run_section<K, kThenEnd + 1, kEnd>(lane, no, jumped);
    }
    if constexpr (std::is_same_v<M, Some>) mask.lanes = yes.lanes | no.lanes;
  }
}

// One trip: the body, those that continued, the continuing part.
template <class K, u32 I, class M>
GPUIO_INLINE void run_trip(Lane<K> lane, M& mask, Jumped& own) {
  constexpr u32 kBodyEnd = kFacts<K>.own_end[I], kEnd = kFacts<K>.partner[I];
  run_section<K, I + 1, kBodyEnd>(lane, mask, own);
  if constexpr (std::is_same_v<M, Some>) {
    mask.lanes |= own.continued;
    own.continued = Mask{};
  }
  if constexpr (kBodyEnd != kEnd) run_section<K, kBodyEnd + 1, kEnd>(lane, mask, own);
}

template <class K, u32 I>
consteval bool polls() {
  for (u32 i = I; i < kFacts<K>.partner[I]; ++i)
    if (K::frozen().insts[i].op == Op::atomic_load) return true;
  return false;
}
// A loop that polls lets the one it waits for run, who may need this very core.
template <class K, u32 I>
GPUIO_INLINE void give_way(u64 trip) {
  if constexpr (polls<K, I>()) {
    if (trip >= 256 && trip % 32 == 0) std::this_thread::yield();
  }
}

template <class K, u32 I, class M>
GPUIO_INLINE void run_loop(Lane<K> lane, M& mask) {
  Some inside{mask_of(mask)};
  Jumped own;
  for (u64 trip = 0; any(inside.lanes); ++trip) {
    run_trip<K, I>(lane, inside, own);
    give_way<K, I>(trip);
  }
  if constexpr (std::is_same_v<M, Some>) mask.lanes = own.broke;  // lanes that returned stay behind
}

// Bounds that all lanes share.
template <class K, u32 I, class M>
GPUIO_INLINE void run_uniform_for(Lane<K> lane, M& mask) {
  constexpr Inst i = K::frozen().insts[I];
  using T = Element<i.type>;
  const T begin = lane.template scalar<i.a>(), step = lane.template scalar<i.c>();
  const u64 trips = trip_count(i.type, to_bits(begin), to_bits(lane.template scalar<i.b>()), to_bits(step));
  T counter = begin;
  Jumped own;
  for (u64 trip = 0; trip < trips; ++trip, counter = binary<T>(Op::add, counter, step)) {
    if constexpr (std::is_same_v<M, Some>) {
      if (!any(mask.lanes)) break;
    }
    lane.template slot<I>()[0] = counter;
    run_trip<K, I>(lane, mask, own);
    give_way<K, I>(trip);
  }
  if constexpr (std::is_same_v<M, Some>) mask.lanes |= own.broke;
}

// Bounds of each lane's own. `left` counts down by the step, which takes no division and cannot wrap.
template <class K, u32 I, class M>
GPUIO_INLINE void run_varying_for(Lane<K> lane, M& mask) {
  constexpr Inst i = K::frozen().insts[I];
  using T = Element<i.type>;
  using U = Bits<T>;
  const V<T> begin = lane.template get<i.a>(), end = lane.template get<i.b>();
  const V<U> step = to_unsigned<T>(lane.template get<i.c>());
  const Mask entering = compare_lanes<Op::lt, T>(begin, end) & compare_lanes<Op::ne, U>(step, V<U>{});
  V<U> left = choose<U>(entering, to_unsigned<T>(end) - to_unsigned<T>(begin), V<U>{});
  V<U> counter = to_unsigned<T>(begin);
  const auto advance = [&](u64 trip) {
    counter += step;
    left = choose<U>(compare_lanes<Op::gt, U>(left, step), left - step, V<U>{});
    give_way<K, I>(trip);
  };
  const auto put_counter = [&] {
    if constexpr (kFacts<K>.uniform[I]) lane.template slot<I>()[0] = T(counter[0]);
    else lane.template slot<I>()[0] = from_unsigned<T>(counter);
  };
  Jumped own;
  u64 trip = 0;
  if constexpr (!kFacts<K>.jumps[I] && !kFacts<K>.escapes[I]) {
    // Most trips of most loops are made by all lanes together.
    if (is_full(mask)) {
      Full together;
      for (; all(compare_lanes<Op::ne, U>(left, V<U>{})); advance(trip++)) {
        put_counter();
        run_trip<K, I>(lane, together, own);
      }
    }
  }
  Mask gone{};  // by return
  for (;; advance(trip++)) {
    Some active{mask_of(mask) & compare_lanes<Op::ne, U>(left, V<U>{}) & ~own.broke & ~gone};
    if (!any(active.lanes)) break;
    const Mask before = active.lanes;
    put_counter();
    run_trip<K, I>(lane, active, own);
    gone |= before & ~active.lanes & ~own.broke;
  }
  if constexpr (std::is_same_v<M, Some>) mask.lanes &= ~gone;
}

template <class K, u32 I, class M>
GPUIO_INLINE void run_for(Lane<K> lane, M& mask) {
  constexpr Inst i = K::frozen().insts[I];
  constexpr bool kUniform = kFacts<K>.uniform[i.a] && kFacts<K>.uniform[i.b] && kFacts<K>.uniform[i.c];
  if constexpr (!kUniform) {
    run_varying_for<K, I>(lane, mask);
  } else if constexpr (kFacts<K>.jumps[I] && std::is_same_v<M, Full>) {
    Some inside{mask_of(mask)};
    run_uniform_for<K, I>(lane, inside);
  } else {
    run_uniform_for<K, I>(lane, mask);
  }
}

template <class K, u32 I, class M>
GPUIO_INLINE void run_one(Lane<K> lane, M& mask, Jumped& jumped) {
  constexpr Op op = K::frozen().insts[I].op;
  if constexpr (op == Op::if_) {
    run_if<K, I>(lane, mask, jumped);
  } else if constexpr (op == Op::loop) {
    run_loop<K, I>(lane, mask);
  } else if constexpr (op == Op::for_) {
    run_for<K, I>(lane, mask);
  } else if constexpr (op == Op::break_ || op == Op::continue_ || op == Op::return_) {
    static_assert(std::is_same_v<M, Some>, "whoever may lose lanes runs under a mask");
    if constexpr (op == Op::break_) jumped.broke |= mask.lanes;
    if constexpr (op == Op::continue_) jumped.continued |= mask.lanes;
    mask.lanes = Mask{};
  } else {
    lane.template execute<I>(mask);
  }
}

template <class K, class S, u32 First, u32 Count, class M>
GPUIO_INLINE void run_some(Lane<K> lane, M& mask, Jumped& jumped) {
  if constexpr (Count == 1) {
    run_one<K, S::kAt[First]>(lane, mask, jumped);
  } else if constexpr (Count > 1) {
    run_some<K, S, First, Count / 2>(lane, mask, jumped);
    run_some<K, S, First + Count / 2, Count - Count / 2>(lane, mask, jumped);
  }
}

}  // namespace gpuio::kernel::native
