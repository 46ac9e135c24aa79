// Native execution: a kernel that the compiler knows becomes ordinary vectorised code. Opt in per kernel, as
// it costs compile time (seconds, for all that is expanded); any other kernel runs through the blocked
// interpreter of the CPU device.
//
//   constexpr auto saxpy = kernel<"saxpy", 256>([](Ctx k, …) {…});
//   native::run<decltype(saxpy)>(group);          // one workgroup; gpu/cpu/native.hpp makes it a device's
//   kernel
//
// Eight lanes, a chunk, go through the kernel at a time, their values in local variables: one number where
// all lanes have the same or where they grow by a constant from lane to lane, else vectors. While all eight
// go the same way no mask is kept. A subgroup is eight lanes.
//
// The chunks of a workgroup take turns: between barriers, and at each trip of a loop in which the workgroup's
// lanes take neighbouring elements, so that memory is read in its order. What lives from one turn to the next
// waits in memory; what is between two turns is a segment.
//
// Semantics are those of ir.hpp, except that nothing is checked: an index out of range is undefined, as on a
// GPU.
//
// A kernel with on-demand arrays takes one argument more than it has parameters: the address of a PageTable
// (native/page_table.hpp). Its lanes wait for pages that are not there, so somebody must answer the
// mailboxes.
#pragma once

#include <gpuio/kernel/native/ahead.hpp>

namespace gpuio::kernel::native {

template <class K>
inline constexpr u32 kChunks = (K::frozen().view().lanes() + kLanes - 1) / kLanes;

// The lanes of a chunk that exist.
template <class K>
GPUIO_INLINE Mask existing(u32 first) {
  return compare_lanes<Op::lt, u32>(ramp<u32>(first, 1), spread<u32>(K::frozen().view().lanes()));
}
template <class K>
using StartMask =
    std::conditional_t<K::frozen().view().lanes() % kLanes == 0 && !kFacts<K>.returns, Full, Some>;

// A workgroup: all its chunks, and how its control flow goes on.
template <class K>
class Workgroup {
 public:
  GPUIO_INLINE Workgroup(const Context<K>& context, GroupValues<K>& group, std::byte* kept)
      : context_(context), group_(group), kept_(kept) {
    if constexpr (!kFull<StartMask<K>>)
      for (u32 c = 0; c < kChunks<K>; ++c) masks_[c].lanes = existing<K>(c * kLanes);
    // Vars are zero at entry.
    if constexpr (facts.kept_bytes != 0) std::memset(kept_, 0, std::size_t(kChunks<K>) * facts.kept_bytes);
  }
  GPUIO_INLINE void run() { section<0, u32(K::frozen().insts.size())>(); }

 private:
  enum class Flow : u8 { on, broke, continued, returned };
  static constexpr const auto& k = K::frozen();
  static constexpr const auto& facts = kFacts<K>;

  // body(lane, mask) for a chunk, with what it needs of other segments at hand.
  template <u32 Id, class M = Full, class Body>
  GPUIO_INLINE void chunk(u32 c, Body body) {
    ChunkValues<K> values;
    const Lane<K> lane{context_, group_, values, c * kLanes};
    std::byte* const kept = kept_ + std::size_t(c) * facts.kept_bytes;
    enter_segment<K, Id>(lane, kept);
    if constexpr (kFull<StartMask<K>>) {
      M full;
      body(lane, full);
    } else {
      Some mask = masks_[c];
      if (any(mask.lanes)) body(lane, mask);
      masks_[c] = mask;
    }
    leave_segment<K, Id>(lane, kept);
  }

  // What the chunks will want of pages that are pinned, if that can be known.
  template <u32 Id, class S, u32 First, u32 Count>
  GPUIO_INLINE void look_ahead() {
    if constexpr (kFull<StartMask<K>>) {
      if constexpr (Ahead<K, S, First, Count>::kAny) {
        if (!context_.on_demand.worker.pinned().keys) return;
        for (u32 c = 0; c < kChunks<K>; ++c) {
          ChunkValues<K> values;
          const Lane<K> lane{context_, group_, values, c * kLanes};
          enter_segment<K, Id>(lane, kept_ + std::size_t(c) * facts.kept_bytes);
          Ahead<K, S, First, Count>::run(lane);
        }
      }
    }
  }

  template <u32 Begin, u32 End>
  GPUIO_INLINE Flow section() {
    return from<Section<K, Begin, End>, 0>();
  }

  // The section from its First instruction on: a segment for each chunk, or a step that all take together.
  template <class S, u32 First>
  GPUIO_INLINE Flow from() {
    if constexpr (First == S::kCount) {
      return Flow::on;
    } else if constexpr (alone(k.view(), facts, S::kAt[First])) {
      const Flow flow = one<S::kAt[First]>();
      return flow == Flow::on ? from<S, First + 1>() : flow;
    } else {
      constexpr u32 count = [] {
        u32 n = 1;
        while (First + n < S::kCount && !alone(k.view(), facts, S::kAt[First + n])) ++n;
        return n;
      }();
      constexpr u32 chunks = same_for_all<K, S, First, count>() ? 1 : kChunks<K>;
      if constexpr (chunks > 1) look_ahead<facts.segment[S::kAt[First]], S, First, count>();
      for (u32 c = 0; c < chunks; ++c)
        chunk<facts.segment[S::kAt[First]]>(c, [](Lane<K> lane, auto& mask) GPUIO_LAMBDA {
          Jumped none;
          run_some<K, S, First, count>(lane, mask, none);
        });
      return from<S, First + count>();
    }
  }

  template <u32 I>
  GPUIO_INLINE Flow one() {
    constexpr Op op = k.insts[I].op;
    if constexpr (op == Op::if_) return if_region<I>();
    else if constexpr (facts.together[I]) return together_region<I>();
    else if constexpr (facts.counted[I].known()) return for_region<I>();
    else if constexpr (op == Op::loop) return loop_region<I>();
    else if constexpr (op == Op::break_) return Flow::broke;
    else if constexpr (op == Op::continue_) return Flow::continued;
    else if constexpr (op == Op::return_) return Flow::returned;
    else if constexpr (op == Op::barrier_any) barrier_any<I>();
    return Flow::on;  // a barrier: every chunk has got here
  }

  // A value of which the workgroup has one, or its first lane's of one that grows across the workgroup.
  template <u32 Value>
  GPUIO_INLINE auto shared_value() {
    static_assert(facts.value[Value].shape.group, "barriers stand under control that the workgroup shares");
    ChunkValues<K> none;
    return Lane<K>{context_, group_, none, 0}.template base<Value, true>();
  }
  template <u32 Value, class T>
  GPUIO_INLINE void set_shared(T value) {
    ChunkValues<K> none;
    *Lane<K>{context_, group_, none, 0}.template bases<Value>() = value;
  }

  template <u32 I>
  GPUIO_INLINE void barrier_any() {
    constexpr u32 a = k.insts[I].a;
    bool result = false;
    for (u32 c = 0; c < kChunks<K>; ++c) {
      ChunkValues<K> values;
      Lane<K> lane{context_, group_, values, c * kLanes};
      fetch_value<K, a>(lane, kept_ + std::size_t(c) * facts.kept_bytes);
      result = result || any(lane.template get<a>() & existing<K>(c * kLanes));
    }
    set_shared<I>(result);
  }

  template <u32 I>
  GPUIO_INLINE Flow if_region() {
    constexpr u32 kThenEnd = facts.own_end[I], kEnd = facts.partner[I];
    if (shared_value<k.insts[I].a>()) return section<I + 1, kThenEnd>();
    if constexpr (kThenEnd != kEnd) return section<kThenEnd + 1, kEnd>();
    return Flow::on;
  }

  template <u32 I>
  GPUIO_INLINE Flow trip() {
    constexpr bool kCounts = facts.counted[I].known();
    constexpr u32 kBodyEnd = facts.own_end[I], kEnd = facts.partner[I];
    const Flow flow = section<kCounts ? facts.counted[I].body : I + 1, kBodyEnd>();
    if (flow == Flow::broke || flow == Flow::returned) return flow;
    if constexpr (!kCounts && kBodyEnd != kEnd) return section<kBodyEnd + 1, kEnd>();
    return Flow::on;
  }

  template <u32 I>
  GPUIO_INLINE Flow loop_region() {
    for (;;) {
      const Flow flow = trip<I>();
      if (flow == Flow::broke) return Flow::on;
      if (flow == Flow::returned) return flow;
    }
  }

  template <u32 I>
  GPUIO_INLINE Flow for_region() {
    constexpr Counted loop = facts.counted[I];
    constexpr Type type = k.insts[loop.begin].type;
    using T = Element<type>;
    const T begin = shared_value<loop.begin>(), step = shared_value<loop.step>();
    const u64 trips = trip_count(type, to_bits(begin), to_bits(shared_value<loop.end>()), to_bits(step));
    T counter = begin;
    for (u64 n = 0; n < trips; ++n, counter = binary<T>(Op::add, counter, step)) {
      set_shared<loop.counter>(counter);
      const Flow flow = trip<I>();
      if (flow == Flow::broke) return Flow::on;
      if (flow == Flow::returned) return flow;
    }
    return Flow::on;
  }

  template <u32 I>
  GPUIO_INLINE bool rows_in_windows() {
    if constexpr (!facts.rows[I]) return false;
    else {
      ChunkValues<K> none;
      return Rows<K, I>::in_windows(Lane<K>{context_, group_, none, 0});
    }
  }
  template <u32 I, u32 Id, class M>
  GPUIO_INLINE void all_chunks() {
    for (u32 c = 0; c < kChunks<K>; ++c)
      chunk<Id, M>(c, [](Lane<K> lane, auto& mask) GPUIO_LAMBDA {
        Jumped none;
        run_trip<K, I>(lane, mask, none);
      });
  }

  // A loop over neighbouring elements: the trips that every lane of the workgroup makes, all chunks at each;
  // then those that only some lanes make, a chunk after the other.
  template <u32 I>
  GPUIO_INLINE Flow together_region() {
    constexpr Counted loop = facts.counted[I];
    constexpr Type type = k.insts[loop.begin].type;
    constexpr i32 stride = facts.value[loop.begin].shape.stride;
    constexpr u32 id = segment_of_body<K, I>();
    using T = Element<type>;
    using U = Bits<T>;
    const T first = shared_value<loop.begin>(), end = shared_value<loop.end>(),
            step = shared_value<loop.step>();
    const T last = T(U(first) + U(U(stride) * U(k.view().lanes() - 1)));
    const Trips trips = trips_between<type>(first, last, stride, end, step);
    U counter = U(first);
    for (u64 n = 0; n < trips.least; ++n, counter += U(step)) {
      asm volatile(
          "");  // or g++ -O3 makes two trips at once: memory in another order, at less than half speed
      set_shared<loop.counter>(T(counter));
      if constexpr (kChunks<K> > 1) {
        using S = Section<K, loop.body, facts.own_end[I]>;
        look_ahead<id, S, 0, S::kCount>();
      }
      if (rows_in_windows<I>()) all_chunks<I, id, InRows>();
      else all_chunks<I, id, Full>();
    }
    if (trips.most == trips.least) return Flow::on;
    for (u32 c = 0; c < kChunks<K>; ++c)
      chunk<id>(c, [&](Lane<K> lane, auto& mask)
                       GPUIO_LAMBDA { VaryingFor<K, I>(lane, trips.least).rest(mask, trips.least); });
    return Flow::on;
  }

  const Context<K>& context_;
  GroupValues<K>& group_;
  std::byte* const kept_;
  std::array<StartMask<K>, kFull<StartMask<K>> ? 1 : kChunks<K>> masks_;
};

// Runs one workgroup of the kernel that K names (kernel.hpp).
template <class K>
void run(const Group& group) {
  constexpr std::size_t kKept = std::size_t(kFacts<K>.kept_bytes) * kChunks<K>;
  static_assert(kKept <= 2 << 20, "too many values for a thread's stack");
  OnDemandOf<K> on_demand(group);
  const Context<K> context(group, on_demand);
  GroupValues<K> values;
  alignas(16) std::byte kept[kKept + 1];
  Workgroup<K>(context, values, kept).run();
}

}  // namespace gpuio::kernel::native
