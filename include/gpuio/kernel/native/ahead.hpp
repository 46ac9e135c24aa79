// Elements of on-demand arrays at places that nobody can foretell: before the chunks of a workgroup take
// their turn at a segment, their lanes' places are computed and what is pinned is prefetched. Eight lanes and
// the instructions between them fill the processor's window; all lanes of the workgroup fill its memory's.
// Part of native.hpp.
//
// Computed ahead is only what can be computed again: arithmetic, vars as the segment finds them, elements of
// input buffers. A segment that does anything else first is left as it is.
#pragma once

#include <gpuio/kernel/native/ondemand_lane.hpp>
#include <gpuio/kernel/native/segment.hpp>

namespace gpuio::kernel::native {

// The loads of instructions [First, First + Count) of a section.
template <class K, class S, u32 First, u32 Count>
class Ahead {
  enum Role : u8 { kNothing, kCompute, kPrefetch };
  static constexpr const auto& k = K::frozen();

  static consteval auto make_roles() {
    constexpr std::size_t n = k.insts.size();
    std::array<u8, Count + 1> role{};
    std::array<bool, n + 1> unknown{}, needed{};  // values of this segment
    std::array<bool, k.vars.size() + 1> stored{};
    const auto known = [&](const Inst& i) {
      const u32 mask = value_operands(i), operands[] = {i.a, i.b, i.c, i.d};
      for (u32 o = 0; o < 4; ++o)
        if ((mask >> o & 1) != 0 && unknown[operands[o]]) return false;
      return true;
    };
    for (u32 c = 0; c < Count; ++c) {
      const u32 at = S::kAt[First + c];
      const Inst& i = k.insts[at];
      const bool load = i.op == Op::load && (i.a & kShared) == 0 && k.params[i.a].kind == ParamKind::in;
      if (i.op == Op::ondemand_load) {
        if (known(i) && !kFacts<K>.value[i.b].shape.affine) role[c] = kPrefetch, needed[i.b] = true;
      } else if (i.op == Op::var_store) {
        stored[i.a] = true;
      } else if (i.op > Op::var_load && !load && i.op != Op::ondemand_status) {
        break;
      }
      const bool again = i.op <= Op::compose || load || (i.op == Op::var_load && !stored[i.a]);
      unknown[at] = !again || !known(i);
    }
    for (u32 c = Count; c-- > 0;) {
      const u32 at = S::kAt[First + c];
      if (!needed[at]) continue;
      role[c] = kCompute;
      const Inst& i = k.insts[at];
      const u32 mask = value_operands(i), operands[] = {i.a, i.b, i.c, i.d};
      for (u32 o = 0; o < 4; ++o)
        if ((mask >> o & 1) != 0) needed[operands[o]] = true;
    }
    return role;
  }
  static constexpr auto kRoles = make_roles();

  template <u32 N>
  GPUIO_INLINE static void step(Lane<K> lane) {
    if constexpr (kRoles[N] == kCompute) lane.template execute<S::kAt[First + N]>(Full{});
    if constexpr (kRoles[N] == kPrefetch) lane.template prefetch_pinned<S::kAt[First + N]>();
  }
  template <u32... N>
  GPUIO_INLINE static void steps(Lane<K> lane, std::integer_sequence<u32, N...>) {
    (step<N>(lane), ...);
  }

 public:
  static constexpr bool kAny = [] {
    for (const u8 r : kRoles)
      if (r == kPrefetch) return true;
    return false;
  }();
  GPUIO_INLINE static void run(Lane<K> lane) { steps(lane, std::make_integer_sequence<u32, Count>()); }
};

// Rows of on-demand arrays: where the chunks of a workgroup make a trip together, one look at the windows
// serves all of them.
template <class K, u32 Loop>
class Rows {
  using S = Section<K, kFacts<K>.counted[Loop].body, kFacts<K>.own_end[Loop]>;

  template <u32 I>
  GPUIO_INLINE static bool step(Lane<K> lane) {
    if constexpr (computed_ahead(K::frozen().view(), kFacts<K>, I)) lane.template execute<I>(Full{});
    if constexpr (K::frozen().insts[I].op == Op::ondemand_load) return lane.template row_in_window<I>();
    return true;
  }
  template <u32... N>
  GPUIO_INLINE static bool steps(Lane<K> lane, std::integer_sequence<u32, N...>) {
    return (step<S::kAt[N]>(lane) && ...);
  }

 public:
  // By the workgroup's first lane.
  GPUIO_INLINE static bool in_windows(Lane<K> lane) {
    return steps(lane, std::make_integer_sequence<u32, S::kCount>());
  }
};

}  // namespace gpuio::kernel::native
