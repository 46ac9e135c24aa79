// What a chunk carries from one segment to another. Part of native.hpp.
#pragma once

#include <gpuio/kernel/native/flow.hpp>

// An attribute of a lambda's call operator: as GPUIO_INLINE, where g++ and clang both take it.
#define GPUIO_LAMBDA __attribute__((always_inline))

namespace gpuio::kernel::native {

// One value or var at a segment's ends.
struct Move {
  u32 index = 0;
  bool var = false;
  bool in = false, out = false;  // to and from memory; a var that is neither starts at zero
};
template <u32 N>
struct Moves {
  std::array<Move, N + 1> move{};
  u32 count = 0;
};

template <class K, u32 Id>
consteval auto make_moves() {
  constexpr std::size_t n = K::frozen().insts.size(), vars = K::frozen().vars.size();
  const auto& t = kFacts<K>;
  std::array<Move, n + 1> value{};
  std::array<Move, vars + 1> var{};
  std::array<bool, vars + 1> used{};
  for (u32 i = 0; i < n; ++i) {
    const Inst& inst = K::frozen().insts[i];
    if (t.segment[i] != Id || t.machinery[i]) continue;
    if (t.value[i].kept_at != kNone) value[i].out = true;
    const u32 mask = value_operands(inst);
    const u32 operands[] = {inst.a, inst.b, inst.c, inst.d};
    for (u32 o = 0; o < 4; ++o)
      if ((mask >> o & 1) != 0 && t.value[operands[o]].kept_at != kNone && t.segment[operands[o]] != Id)
        value[operands[o]].in = true;
    if (inst.op != Op::var_load && inst.op != Op::var_store) continue;
    used[inst.a] = true;
    if (t.var[inst.a].kept_at == kNone) continue;
    var[inst.a].in = true;
    var[inst.a].out = var[inst.a].out || inst.op == Op::var_store;
  }
  // The bounds of a loop that this segment is the trips of.
  Moves<n + vars> all{};
  for (u32 i = 0; i < n; ++i)
    if (value[i].in || value[i].out) all.move[all.count++] = {i, false, value[i].in, value[i].out};
  for (u32 x = 0; x < vars; ++x)
    if (used[x]) all.move[all.count++] = {x, true, var[x].in, var[x].out};
  return all;
}
template <class K, u32 Id>
inline constexpr auto kMoves = make_moves<K, Id>();

template <bool Out, class T>
GPUIO_INLINE void move_bytes(T* here, std::byte* there) {
  if constexpr (Out) std::memcpy(there, here, sizeof(T));
  else std::memcpy(here, there, sizeof(T));
}
template <bool Out, class T>
GPUIO_INLINE void move_lanes(V<T>* here, std::byte* there) {
  if constexpr (Out) store_lanes(reinterpret_cast<T*>(there), *here);
  else *here = load_lanes(reinterpret_cast<const T*>(there));
}
template <class K, u32 I, bool Out>
GPUIO_INLINE void move_value(Lane<K> lane, std::byte* kept) {
  constexpr Value v = kFacts<K>.value[I];
  constexpr u32 width = K::frozen().insts[I].width;
  constexpr bool kBase = v.shape.affine, kLanesToo = !v.shape.affine || !v.shape.exact;
  if constexpr (kBase)
    each_element<width>([&](u32 e) {
      auto* const at = lane.template bases<I>() + e;
      move_bytes<Out>(at, kept + v.kept_at + e * sizeof(*at));
    });
  if constexpr (kLanesToo)
    each_element<width>([&](u32 e) {
      auto* const at = lane.template slots<I>() + e;
      move_lanes<Out>(at, kept + v.kept_at + (kBase ? width * sizeof((*at)[0]) : 0) + e * sizeof(*at));
    });
}
template <class K, u32 I>
GPUIO_INLINE void fetch_value(Lane<K> lane, std::byte* kept) {
  if constexpr (kFacts<K>.value[I].kept_at != kNone) move_value<K, I, false>(lane, kept);
}

template <class K, u32 Id, u32 N, bool Out>
GPUIO_INLINE void move_one(Lane<K> lane, std::byte* kept) {
  constexpr Move m = kMoves<K, Id>.move[N];
  if constexpr (m.var) {
    auto* const at = &lane.template var<m.index>();
    if constexpr (Out ? m.out : m.in) {
      if constexpr (kFacts<K>.var[m.index].uniform)
        move_bytes<Out>(at, kept + kFacts<K>.var[m.index].kept_at);
      else move_lanes<Out>(at, kept + kFacts<K>.var[m.index].kept_at);
    } else if constexpr (!Out) {
      *at = {};
    }
  } else if constexpr (Out ? m.out : m.in) {
    move_value<K, m.index, Out>(lane, kept);
  }
}
template <class K, u32 Id, bool Out, u32... N>
GPUIO_INLINE void move_all([[maybe_unused]] Lane<K> lane, [[maybe_unused]] std::byte* kept,
                           std::integer_sequence<u32, N...>) {
  (move_one<K, Id, N, Out>(lane, kept), ...);
}
template <class K, u32 Id>
GPUIO_INLINE void enter_segment(Lane<K> lane, std::byte* kept) {
  move_all<K, Id, false>(lane, kept, std::make_integer_sequence<u32, kMoves<K, Id>.count>());
}
template <class K, u32 Id>
GPUIO_INLINE void leave_segment(Lane<K> lane, std::byte* kept) {
  move_all<K, Id, true>(lane, kept, std::make_integer_sequence<u32, kMoves<K, Id>.count>());
}

template <class K, u32 I>
consteval u32 segment_of_body() {
  const u32 body = kFacts<K>.counted[I].body;
  return body < kFacts<K>.own_end[I] ? kFacts<K>.segment[body] : kFacts<K>.segment[I + 1];
}

// Are all of these instructions ones whose values the workgroup has one of? Then one chunk does for all.
template <class K, class S, u32 First, u32 Count>
consteval bool same_for_all() {
  for (u32 n = First; n < First + Count; ++n) {
    const Inst& i = K::frozen().insts[S::kAt[n]];
    const Shape& s = kFacts<K>.value[S::kAt[n]].shape;
    if (i.op > Op::compose || !s.group || !s.exact) return false;
  }
  return true;
}

}  // namespace gpuio::kernel::native
