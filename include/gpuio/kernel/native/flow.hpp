// Control flow of a chunk of lanes. Part of native.hpp.
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
  if constexpr (kFacts<K>.value[i.a].shape.same()) {
    if (lane.template scalar<i.a>()) run_section<K, I + 1, kThenEnd>(lane, mask, jumped);
    else if constexpr (kElse) run_section<K, kThenEnd + 1, kEnd>(lane, mask, jumped);
  } else {
    const Mask condition = lane.template get<i.a>();
    if constexpr (kFull<M>) {
      if (all(condition)) return run_section<K, I + 1, kThenEnd>(lane, mask, jumped);
    }
    Some yes{mask_of(mask) & condition}, no{mask_of(mask) & ~condition};
    if (any(yes.lanes)) run_section<K, I + 1, kThenEnd>(lane, yes, jumped);
    if constexpr (kElse) {
      if (any(no.lanes)) run_section<K, kThenEnd + 1, kEnd>(lane, no, jumped);
    }
    if constexpr (!kFull<M>) mask.lanes = yes.lanes | no.lanes;
  }
}

// One trip: the body, those that continued, the continuing part (which a loop that counts has none of).
template <class K, u32 I, class M>
GPUIO_INLINE void run_trip(Lane<K> lane, M& mask, Jumped& own) {
  constexpr bool kCounts = kFacts<K>.counted[I].known();
  constexpr u32 kBody = kCounts ? kFacts<K>.counted[I].body : I + 1;
  constexpr u32 kBodyEnd = kFacts<K>.own_end[I], kEnd = kFacts<K>.partner[I];
  run_section<K, kBody, kBodyEnd>(lane, mask, own);
  if constexpr (!kFull<M> && kFacts<K>.jumps[I]) {
    mask.lanes = mask.lanes | own.continued;
    own.continued = Mask{};
    if (!any(mask.lanes)) return;
  }
  if constexpr (!kCounts && kBodyEnd != kEnd) run_section<K, kBodyEnd + 1, kEnd>(lane, mask, own);
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
  if constexpr (!kFull<M>) mask.lanes = own.broke;  // lanes that returned stay behind
}

// How often lanes from `first` to `last`, whose begins are a stride apart, make a trip: the least of them and
// the most. Where the begins wrap between them nothing is known.
struct Trips {
  u64 least, most;
};
template <Type type>
GPUIO_INLINE Trips trips_between(Element<type> first, Element<type> last, i32 stride, Element<type> end,
                                 Element<type> step) {
  if (stride > 0 ? last < first : first < last) return {0, ~u64{0}};
  const auto trips = [&](auto begin) {
    return trip_count(type, to_bits(begin), to_bits(end), to_bits(step));
  };
  const u64 of_first = trips(first), of_last = trips(last);
  return stride > 0 ? Trips{of_last, of_first} : Trips{of_first, of_last};
}

// Bounds that all lanes share.
template <class K, u32 I, class M>
GPUIO_INLINE void run_uniform_for(Lane<K> lane, M& mask) {
  constexpr Counted loop = kFacts<K>.counted[I];
  constexpr Type type = K::frozen().insts[loop.begin].type;
  using T = Element<type>;
  const T begin = lane.template scalar<loop.begin>(), step = lane.template scalar<loop.step>();
  const u64 trips =
      trip_count(type, to_bits(begin), to_bits(lane.template scalar<loop.end>()), to_bits(step));
  T counter = begin;
  Jumped own;
  for (u64 trip = 0; trip < trips; ++trip, counter = binary<T>(Op::add, counter, step)) {
    if constexpr (!kFull<M>) {
      if (!any(mask.lanes)) break;
    }
    *lane.template bases<loop.counter>() = counter;
    run_trip<K, I>(lane, mask, own);
    give_way<K, I>(trip);
  }
  if constexpr (!kFull<M>) mask.lanes = mask.lanes | own.broke;
}

// Bounds of each lane's own. `left` counts down by the step, which takes no division and cannot wrap.
template <class K, u32 I>
struct VaryingFor {
  static constexpr Counted loop = kFacts<K>.counted[I];
  static constexpr Type type = K::frozen().insts[loop.begin].type;
  static constexpr Shape shape = kFacts<K>.value[loop.counter].shape;
  static constexpr bool kLeaves = kFacts<K>.jumps[I] || kFacts<K>.escapes[I];
  // Do the trips that all lanes make follow from the first lane's and the last one's?
  static constexpr bool kFewest = shape.affine && shape.stride != 0 && kFacts<K>.value[loop.end].shape.same();
  using T = Element<type>;
  using U = Bits<T>;

  Lane<K> lane;
  V<U> step, left, counter;
  U base_step = 0, base = 0;  // of a counter that is affine

  // After `done` trips that all lanes have made.
  GPUIO_INLINE VaryingFor(Lane<K> l, u64 done) : lane(l) {
    const V<T> begin = lane.template get<loop.begin>(), end = lane.template get<loop.end>();
    step = to_unsigned<T>(lane.template get<loop.step>());
    const Mask enters = compare_lanes<Op::lt, T>(begin, end) & compare_lanes<Op::ne, U>(step, V<U>{});
    left = choose<U>(enters, binary_lanes<Op::sub, U>(to_unsigned<T>(end), to_unsigned<T>(begin)), V<U>{});
    counter = to_unsigned<T>(begin);
    if constexpr (shape.affine) {
      base = U(lane.template base<loop.begin, shape.group>());
      base_step = U(lane.template scalar<loop.step>());
    }
    skip(done);
  }
  // The way of all but the last of them is shorter than every lane's `left`, so that nothing wraps.
  GPUIO_INLINE void skip(u64 trips) {
    if (trips == 0) return;
    const V<U> way = binary_lanes<Op::mul, U>(step, spread<U>(U(trips - 1)));
    left = binary_lanes<Op::sub, U>(left, way);
    counter = binary_lanes<Op::add, U>(counter, way);
    base += U(base_step * U(trips - 1));
    advance();
  }
  GPUIO_INLINE Mask more() const { return compare_lanes<Op::ne, U>(left, V<U>{}); }
  GPUIO_INLINE void advance() {
    const V<U> rest = binary_lanes<Op::sub, U>(left, step);
    left = choose<U>(compare_lanes<Op::gt, U>(left, step), rest, V<U>{});
    counter = binary_lanes<Op::add, U>(counter, step);
    base += base_step;
  }
  GPUIO_INLINE void put_counter() {
    if constexpr (shape.affine) *lane.template bases<loop.counter>() = T(base);
    else *lane.template slots<loop.counter>() = from_unsigned<T>(counter);
  }

  // The trips that all lanes make together; how many.
  GPUIO_INLINE u64 together() {
    Full full;
    Jumped own;
    u64 trip = 0;
    if constexpr (kFewest) {
      const T first = lane.template base<loop.begin>();
      const T last = T(U(first) + U(U(shape.stride) * U(kLanes - 1)));
      const u64 least = trips_between<type>(first, last, shape.stride, lane.template scalar<loop.end>(),
                                            lane.template scalar<loop.step>())
                            .least;
      for (; trip < least; ++trip) {
        put_counter();
        base += base_step;
        run_trip<K, I>(lane, full, own);
        give_way<K, I>(trip);
      }
      base -= U(base_step * U(least));
      skip(least);
    } else {
      for (; all(more()); ++trip, advance()) {
        put_counter();
        run_trip<K, I>(lane, full, own);
        give_way<K, I>(trip);
      }
    }
    return trip;
  }
  template <class M>
  GPUIO_INLINE void rest(M& mask, u64 trip) {
    Jumped own;
    Mask gone{};  // by return
    for (;; ++trip, advance()) {
      Some some{mask_of(mask) & more()};
      if constexpr (kLeaves) some.lanes = some.lanes & ~own.broke & ~gone;
      if (!any(some.lanes)) break;
      const Mask before = some.lanes;
      put_counter();
      run_trip<K, I>(lane, some, own);
      give_way<K, I>(trip);
      if constexpr (kLeaves) gone = gone | (before & ~some.lanes & ~own.broke);
    }
    if constexpr (kLeaves && !kFull<M>) mask.lanes = mask.lanes & ~gone;
  }
};

template <class K, u32 I, class M>
GPUIO_INLINE void run_for(Lane<K> lane, M& mask) {
  constexpr Counted loop = kFacts<K>.counted[I];
  constexpr auto& value = kFacts<K>.value;
  constexpr bool kSame =
      value[loop.begin].shape.same() && value[loop.end].shape.same() && value[loop.step].shape.same();
  if constexpr (!kSame) {
    VaryingFor<K, I> varying(lane, 0);
    u64 trip = 0;
    if constexpr (!varying.kLeaves) {
      if (is_full(mask)) trip = varying.together();
    }
    varying.rest(mask, trip);
  } else if constexpr (kFacts<K>.jumps[I] && kFull<M>) {
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
  } else if constexpr (kFacts<K>.counted[I].known()) {
    run_for<K, I>(lane, mask);
  } else if constexpr (op == Op::loop) {
    run_loop<K, I>(lane, mask);
  } else if constexpr (op == Op::break_ || op == Op::continue_ || op == Op::return_) {
    static_assert(!kFull<M>, "whoever may lose lanes runs under a mask");
    if constexpr (op == Op::break_) jumped.broke = jumped.broke | mask.lanes;
    if constexpr (op == Op::continue_) jumped.continued = jumped.continued | mask.lanes;
    mask.lanes = Mask{};
  } else {
    lane.template execute<I>(mask);
  }
}

// May lanes be lost in these instructions of a section? Then somebody has to be left for the next.
template <class K, class S, u32 First, u32 Count>
consteval bool loses_lanes() {
  for (u32 i = First; i < First + Count; ++i) {
    const Op op = K::frozen().insts[S::kAt[i]].op;
    if (op == Op::break_ || op == Op::continue_ || op == Op::return_) return true;
    if (opens_region(op) && kFacts<K>.escapes[S::kAt[i]]) return true;
  }
  return false;
}
template <class K, class S, u32 First, u32 Count, class M>
GPUIO_INLINE void run_some(Lane<K> lane, M& mask, Jumped& jumped) {
  if constexpr (Count == 1) {
    run_one<K, S::kAt[First]>(lane, mask, jumped);
  } else if constexpr (Count > 1) {
    constexpr u32 kHalf = Count / 2;
    run_some<K, S, First, kHalf>(lane, mask, jumped);
    if constexpr (!kFull<M> && loses_lanes<K, S, First, kHalf>()) {
      if (!any(mask.lanes)) return;
    }
    run_some<K, S, First + kHalf, Count - kHalf>(lane, mask, jumped);
  }
}

}  // namespace gpuio::kernel::native
