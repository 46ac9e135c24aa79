// Native execution: a kernel that the compiler knows becomes ordinary vectorised code. Opt in per kernel, as
// it costs compile time (seconds, for all that is expanded); any other kernel runs through the blocked
// interpreter of the CPU device.
//
//   constexpr auto saxpy = kernel<"saxpy", 256>([](Ctx k, …) {…});
//   native::run<decltype(saxpy)>(group);          // one workgroup; gpu/cpu/native.hpp makes it a device's
//   kernel
//
// Eight lanes go through the whole kernel at a time, their values in local variables: vectors where lanes
// differ, one number where they do not. While all eight go the same way no mask is kept. Between barriers the
// chunks of a workgroup take turns; what lives across a barrier waits in memory. A subgroup is eight lanes.
//
// Semantics are those of ir.hpp, except that nothing is checked: an index out of range is undefined, as on a
// GPU. Not for kernels with on-demand accesses, which are lowered first.
#pragma once

#include <gpuio/kernel/native/flow.hpp>

namespace gpuio::kernel::native {

template <class K>
inline constexpr u32 kChunks = (K::frozen().view().lanes() + kLanes - 1) / kLanes;

// The lanes of a chunk that exist.
template <class K>
GPUIO_INLINE Mask existing(u32 first) {
  return compare_lanes<Op::lt, u32>(V<u32>{0, 1, 2, 3, 4, 5, 6, 7} + first,
                                    spread<u32>(K::frozen().view().lanes()));
}
template <class K>
using StartMask =
    std::conditional_t<K::frozen().view().lanes() % kLanes == 0 && !kFacts<K>.returns, Full, Some>;

// A workgroup with barriers: all its chunks, and how its control flow goes on.
template <class K>
class Workgroup {
 public:
  explicit Workgroup(const Context<K>& context) : context_(context) {
    for (u32 c = 0; c < kChunks<K>; ++c)
      if constexpr (std::is_same_v<StartMask<K>, Some>) masks_[c].lanes = existing<K>(c * kLanes);
  }
  void run() { section<0, u32(K::frozen().insts.size())>(); }

 private:
  enum class Flow : u8 { on, broke, continued, returned };
  static constexpr const auto& k = K::frozen();
  static constexpr const auto& facts = kFacts<K>;

  Lane<K> lane(u32 chunk) { return {context_, values_[chunk], chunk * kLanes}; }

  template <u32 Begin, u32 End>
  Flow section() {
    return from<Section<K, Begin, End>, 0>();
  }

  // The section from its First instruction on: a run without barriers as a loop over chunks, or one that has.
  template <class S, u32 First>
  Flow from() {
    if constexpr (First == S::kCount) {
      return Flow::on;
    } else if constexpr (alone(S::kAt[First])) {
      const Flow flow = one<S::kAt[First]>();
      return flow == Flow::on ? from<S, First + 1>() : flow;
    } else {
      constexpr u32 count = [] {
        u32 n = 1;
        while (First + n < S::kCount && !alone(S::kAt[First + n])) ++n;
        return n;
      }();
      for (u32 c = 0; c < kChunks<K>; ++c) {
        Jumped none;
        run_some<K, S, First, count>(lane(c), masks_[c], none);
      }
      return from<S, First + count>();
    }
  }
  // Does the workgroup as a whole take this step?
  static constexpr bool alone(u32 i) {
    return facts.barriers[i] || k.insts[i].op == Op::break_ || k.insts[i].op == Op::continue_ ||
           (opens_region(k.insts[i].op) && facts.escapes[i] && k.insts[i].op == Op::if_ &&
            facts.uniform[k.insts[i].a]);
  }

  template <u32 I>
  Flow one() {
    constexpr Op op = k.insts[I].op;
    if constexpr (op == Op::if_) return if_region<I>();
    else if constexpr (op == Op::loop) return loop_region<I>();
    else if constexpr (op == Op::for_) return for_region<I>();
    else if constexpr (op == Op::break_) return Flow::broke;
    else if constexpr (op == Op::continue_) return Flow::continued;
    else if constexpr (op == Op::return_) return Flow::returned;
    else if constexpr (op == Op::barrier_any) barrier_any<I>();
    return Flow::on;  // a barrier: every chunk has got here
  }

  template <u32 Value>
  auto shared_value() {
    static_assert(facts.uniform[Value], "barriers stand under control that the whole workgroup shares");
    return lane(0).template scalar<Value>();
  }

  template <u32 I>
  void barrier_any() {
    constexpr u32 a = k.insts[I].a;
    bool result = false;
    for (u32 c = 0; c < kChunks<K>; ++c)
      result = result || any(lane(c).template get<a>() & existing<K>(c * kLanes));
    for (u32 c = 0; c < kChunks<K>; ++c) lane(c).template slot<I>()[0] = result;
  }

  template <u32 I>
  Flow if_region() {
    constexpr u32 kThenEnd = facts.own_end[I], kEnd = facts.partner[I];
    if (shared_value<k.insts[I].a>()) return section<I + 1, kThenEnd>();
    if constexpr (kThenEnd != kEnd) return section<kThenEnd + 1, kEnd>();
    return Flow::on;
  }

  template <u32 I>
  Flow trip() {
    constexpr u32 kBodyEnd = facts.own_end[I], kEnd = facts.partner[I];
    const Flow flow = section<I + 1, kBodyEnd>();
    if (flow == Flow::broke || flow == Flow::returned) return flow;
    if constexpr (kBodyEnd != kEnd) return section<kBodyEnd + 1, kEnd>();
    return Flow::on;
  }

  template <u32 I>
  Flow loop_region() {
    for (;;) {
      const Flow flow = trip<I>();
      if (flow == Flow::broke) return Flow::on;
      if (flow == Flow::returned) return flow;
    }
  }

  template <u32 I>
  Flow for_region() {
    constexpr Inst i = k.insts[I];
    using T = Element<i.type>;
    const T begin = shared_value<i.a>(), step = shared_value<i.c>();
    const u64 trips = trip_count(i.type, to_bits(begin), to_bits(shared_value<i.b>()), to_bits(step));
    T counter = begin;
    for (u64 n = 0; n < trips; ++n, counter = binary<T>(Op::add, counter, step)) {
      for (u32 c = 0; c < kChunks<K>; ++c) lane(c).template slot<I>()[0] = counter;
      const Flow flow = trip<I>();
      if (flow == Flow::broke) return Flow::on;
      if (flow == Flow::returned) return flow;
    }
    return Flow::on;
  }

  static_assert(sizeof(ValuesOf<K>) * kChunks<K> <= 2 << 20, "too many values for a thread's stack");
  const Context<K>& context_;
  std::array<StartMask<K>, kChunks<K>> masks_;
  std::array<ValuesOf<K>, kChunks<K>> values_;
};

// Runs one workgroup of the kernel that K names (kernel.hpp).
template <class K>
void run(const Group& group) {
  const Context<K> context(group);
  if constexpr (kFacts<K>.any_barrier) {
    Workgroup<K>(context).run();
  } else {
    for (u32 first = 0; first < K::frozen().view().lanes(); first += kLanes) {
      ValuesOf<K> values;
      StartMask<K> mask;
      if constexpr (std::is_same_v<StartMask<K>, Some>) mask.lanes = existing<K>(first);
      Jumped none;
      run_section<K, 0, u32(K::frozen().insts.size())>(Lane<K>{context, values, first}, mask, none);
    }
  }
}

}  // namespace gpuio::kernel::native
