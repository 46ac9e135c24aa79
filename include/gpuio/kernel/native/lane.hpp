// One chunk of lanes at work: values in local variables, each instruction a function that inlines to what it
// does. Part of native.hpp.
#pragma once

#include <atomic>

#include <gpuio/kernel/native/facts.hpp>
#include <gpuio/kernel/native/ondemand.hpp>
#include <gpuio/kernel/native/vector.hpp>

namespace gpuio::kernel::native {

struct Argument {  // one slot of the argument block
  u64 value, count;
};
struct Group {  // one workgroup to run
  const Argument* arguments;
  std::array<u32, 3> group, groups;
  std::byte* shared;
};

// Which lanes execute: all eight, known while compiling, or those of a mask, at least one of them.
struct Full {};
struct InRows : Full {};  // and every on-demand load finds the workgroup's row in its window
struct Some {
  Mask lanes;
};
GPUIO_INLINE u32 active(Full) { return kAllLanes; }
GPUIO_INLINE u32 active(const Some& s) { return bits_of(s.lanes); }
GPUIO_INLINE bool is_full(Full) { return true; }
GPUIO_INLINE bool is_full(const Some& s) { return all(s.lanes); }
GPUIO_INLINE Mask mask_of(Full) { return ~Mask{}; }
GPUIO_INLINE Mask mask_of(const Some& s) { return s.lanes; }
template <class M>
inline constexpr bool kFull = std::is_base_of_v<Full, M>;

// Lanes that jumped, of the innermost loop.
struct Jumped {
  Mask broke{}, continued{};
};

// Rows of values, by type. No initialisers: a value is written before it is read.
template <Type t, u32 N>
struct BaseRow {
  Element<t> base[N];
};
template <Type t>
struct BaseRow<t, 0> {};
template <Type t, u32 N>
struct LaneRow {
  Lanes<Element<t>> lanes[N];
};
template <Type t>
struct LaneRow<t, 0> {};

template <class K, class>
struct GroupRows;
template <class K, u32... t>
struct GroupRows<K, std::integer_sequence<u32, t...>> : BaseRow<Type(t + 1), kFacts<K>.group_rows[t + 1]>... {
};
template <class K, class>
struct ChunkRows;
template <class K, u32... t>
struct ChunkRows<K, std::integer_sequence<u32, t...>> : BaseRow<Type(t + 1), kFacts<K>.base_rows[t + 1]>...,
                                                        LaneRow<Type(t + 1), kFacts<K>.lane_rows[t + 1]>... {
};
using AllTypes = std::make_integer_sequence<u32, kTypes - 1>;
template <class K>
using GroupValues = GroupRows<K, AllTypes>;  // what all lanes of the workgroup share
template <class K>
using ChunkValues = ChunkRows<K, AllTypes>;

// What all chunks of a workgroup are given, copied so that the compiler sees that nothing else writes it.
template <class K>
struct Context {
  std::array<Argument, K::frozen().params.size() + 1> arguments{};
  std::array<u32, 3> group, groups;
  std::byte* shared;
  OnDemandOf<K>& on_demand;  // apart, because what is not inlined writes it
  GPUIO_INLINE Context(const Group& g, OnDemandOf<K>& arrays)
      : group(g.group), groups(g.groups), shared(g.shared), on_demand(arrays) {
    for (std::size_t i = 0; i < K::frozen().params.size(); ++i) arguments[i] = g.arguments[i];
  }
};

GPUIO_INLINE std::memory_order memory_order(Order order, bool loads, bool stores) {
  const bool acquire = loads && (order == Order::acquire || order == Order::acq_rel);
  const bool release = stores && (order == Order::release || order == Order::acq_rel);
  if (acquire && release) return std::memory_order_acq_rel;
  return acquire   ? std::memory_order_acquire
         : release ? std::memory_order_release
                   : std::memory_order_relaxed;
}

// f(lane) for all, or for those that execute.
template <class F>
GPUIO_INLINE void each_lane(Full, F f) {
  f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7);
}
template <class F>
GPUIO_INLINE void each_lane(const Some& some, F f) {
  for (u32 on = active(some); on != 0; on &= on - 1) f(u32(std::countr_zero(on)));
}
// Until one answers no, which is then the answer.
template <class F>
GPUIO_INLINE bool each_lane_while(Full, F f) {
  return f(0) && f(1) && f(2) && f(3) && f(4) && f(5) && f(6) && f(7);
}
template <class F>
GPUIO_INLINE bool each_lane_while(const Some& some, F f) {
  for (u32 on = active(some); on != 0; on &= on - 1)
    if (!f(u32(std::countr_zero(on)))) return false;
  return true;
}
// f(element) of a vector of 1, 2 or 4.
template <u32 Width, class F>
GPUIO_INLINE void each_element(F f) {
  f(0);
  if constexpr (Width > 1) f(1);
  if constexpr (Width > 2) f(2), f(3);
}
template <class M, class T>
GPUIO_INLINE auto laid(const V<T>& v) {
  if constexpr (kFull<M>) return v;
  else return Laid<T>(v);
}

template <class K>
struct Lane {
  static constexpr const auto& k = K::frozen();
  static constexpr const auto& facts = kFacts<K>;

  const Context<K>& context;
  GroupValues<K>& group;
  ChunkValues<K>& values;
  u32 first;  // lane of the workgroup

  // --- Values ---
  template <u32 I>
  GPUIO_INLINE auto* bases() {
    constexpr Value v = facts.value[I];
    constexpr Type t = k.insts[I].type;
    if constexpr (v.shape.group)
      return &static_cast<BaseRow<t, facts.group_rows[u32(t)]>&>(group).base[v.base_at];
    else return &static_cast<BaseRow<t, facts.base_rows[u32(t)]>&>(values).base[v.base_at];
  }
  template <u32 I>
  GPUIO_INLINE auto* slots() {
    constexpr Type t = k.insts[I].type;
    return &static_cast<LaneRow<t, facts.lane_rows[u32(t)]>&>(values).lanes[facts.value[I].lanes_at];
  }
  template <u32 X>
  GPUIO_INLINE auto& var() {
    constexpr Type t = k.vars[X];
    constexpr VarPlace v = facts.var[X];
    if constexpr (v.uniform) return static_cast<BaseRow<t, facts.base_rows[u32(t)]>&>(values).base[v.at];
    else return static_cast<LaneRow<t, facts.lane_rows[u32(t)]>&>(values).lanes[v.at];
  }

  // The base of an affine value: the workgroup's (for what is affine across all of it) or this chunk's.
  template <u32 I, bool Groups = false>
  GPUIO_INLINE auto base() {
    constexpr Inst i = k.insts[I];
    constexpr Shape s = facts.value[I].shape;
    using T = Element<i.type>;
    if constexpr (i.op == Op::constant) return from_bits<T>(i.imm);
    else if constexpr (s.group && s.stride != 0 && !Groups)
      return T(Bits<T>(*bases<I>()) + Bits<T>(Bits<T>(s.stride) * Bits<T>(first)));
    else return *bases<I>();
  }
  template <u32 I>
  GPUIO_INLINE auto scalar() {  // of a value that is the same in all lanes
    static_assert(facts.value[I].shape.same());
    return base<I>();
  }
  template <u32 I, u32 E = 0>
  GPUIO_INLINE auto get() {  // as lanes
    constexpr Inst i = k.insts[I];
    constexpr Shape s = facts.value[I].shape;
    if constexpr (!s.affine || !s.exact) return slots<I>()[E];
    else if constexpr (i.type == Type::boolean) return spread_mask(base<I>());
    else if constexpr (s.stride != 0) return ramp(base<I>(), s.stride);
    else if constexpr (i.op == Op::constant) return spread(base<I>());
    else return spread(bases<I>()[E]);
  }

  // --- One instruction that does not move lanes about ---
  template <u32 I, class M>
  GPUIO_INLINE void execute(const M& mask) {
    constexpr Inst i = k.insts[I];
    constexpr Shape s = facts.value[I].shape;
    static_assert(!is_matrix(i.op) && !is_warpgroup(i.op),
                  "matrix operations are not made native: load the kernel without its native form");
    static_assert(!is_mbarrier(i.op) && !is_bulk(i.op),
                  "mbarriers and bulk copies are not made native: load the kernel without its native form");
    static_assert(i.op != Op::inline_ptx, "inline PTX runs on CUDA only");
    if constexpr (i.op == Op::constant || i.op == Op::barrier || i.op == Op::barrier_any) return;
    else if constexpr (i.op == Op::fence) fence(i.order);
    else if constexpr (i.op == Op::var_store) var_store<I>(mask);
    else if constexpr (i.op == Op::store) store<I>(mask);
    else if constexpr (i.op >= Op::atomic_load && i.op <= Op::atomic_cas) atomic<I>(mask);
    else if constexpr (i.op == Op::load) load<I>(mask);
    else if constexpr (i.op >= Op::ondemand_load && i.op <= Op::lane_status) on_demand<I>(mask);
    else if constexpr (i.op >= Op::subgroup_shuffle && i.op <= Op::subgroup_elect)
      *slots<I>() = subgroup<I>(mask);
    else if constexpr (i.op == Op::async_copy) async_copy<I>(mask);
    else if constexpr (is_async(i.op)) return;
    else if constexpr (i.op == Op::compose) compose<I>();
    else if constexpr (i.op == Op::extract && s.affine) *bases<I>() = bases<i.a>()[i.imm];
    else if constexpr (i.op == Op::extract) *slots<I>() = slots<i.a>()[i.imm];
    else if constexpr (i.op == Op::var_load && s.affine) *bases<I>() = var<i.a>();
    else if constexpr (i.op == Op::var_load) *slots<I>() = var<i.a>();
    else if constexpr (i.op == Op::argument)
      *bases<I>() = from_bits<Element<i.type>>(context.arguments[i.a].value);
    else if constexpr (i.op == Op::length) *bases<I>() = length<i.a>();
    else if constexpr (i.op == Op::builtin && s.affine) *bases<I>() = builtin<I>();
    else if constexpr (i.op == Op::builtin) *slots<I>() = builtin<I>();
    else {
      if constexpr (s.affine) *bases<I>() = on_bases<I>();
      if constexpr (!s.affine || !s.exact) *slots<I>() = on_lanes<I>();
    }
  }

  static void fence(Order order) {
#if defined(__SANITIZE_THREAD__)
    static std::atomic<int> all_fences{0};  // ThreadSanitizer knows no fences
    all_fences.fetch_add(0, memory_order(order, true, true));
#else
    std::atomic_thread_fence(memory_order(order, true, true));
#endif
  }

  template <u32 Object>
  GPUIO_INLINE u64 length() {
    if constexpr ((Object & kShared) != 0) return k.shared[Object & ~kShared].count;
    else return context.arguments[Object].count;
  }

  template <u32 I>
  GPUIO_INLINE auto builtin() {
    constexpr Builtin what{k.insts[I].mode};
    constexpr Shape s = facts.value[I].shape;
    constexpr u32 x = k.block[0], y = k.block[1];
    const u32 f = first;
    if constexpr (what >= Builtin::group_x && what <= Builtin::group_z)
      return context.group[u32(what) - u32(Builtin::group_x)];
    else if constexpr (what >= Builtin::groups_x && what <= Builtin::groups_z)
      return context.groups[u32(what) - u32(Builtin::groups_x)];
    else if constexpr (what == Builtin::subgroup_size) return kLanes;
    else if constexpr (what == Builtin::subgroup_index) return f / kLanes;
    else if constexpr (s.group || what == Builtin::subgroup_lane) return u32{0};
    else if constexpr (what == Builtin::local_x && s.affine) return f % x;
    else if constexpr (s.affine) return what == Builtin::local_y ? f / x % y : f / (x * y);
    else
      return native::lanes<u32>([f](u32 l) {
        const u32 lane = f + l;
        return what == Builtin::local_x ? lane % x : what == Builtin::local_y ? lane / x % y : lane / (x * y);
      });
  }

  // On bases: the same for all lanes, or the operations under which the base of a sum is the sum of bases.
  template <u32 I>
  GPUIO_INLINE auto on_bases() {
    constexpr Inst i = k.insts[I];
    constexpr bool g = facts.value[I].shape.group;
    using T = Element<i.type>;
    if constexpr (i.op == Op::select) return base<i.a, g>() ? base<i.b, g>() : base<i.c, g>();
    else if constexpr (i.op == Op::cast) return cast_scalar<i.type, i.from>(base<i.a, g>());
    else if constexpr (i.op == Op::bitcast) return from_bits<T>(to_bits(base<i.a, g>()));
    else if constexpr (i.op == Op::pair_fma)
      return pair<i.from>(i.op, base<i.a, g>(), base<i.b, g>(), base<i.c, g>());
    else if constexpr (is_pair(i.op)) return pair<i.from>(i.op, base<i.a, g>(), base<i.b, g>(), 0);
    else if constexpr (i.op == Op::fma) return T(std::fma(base<i.a, g>(), base<i.b, g>(), base<i.c, g>()));
    else if constexpr (i.op == Op::popcount || i.op == Op::count_leading_zeros)
      return u32(eval_count(i.op, i.from, to_bits(base<i.a, g>())));
    else if constexpr (i.op >= Op::eq && i.op <= Op::ge) return compare(i.op, base<i.a, g>(), base<i.b, g>());
    else if constexpr (i.type == Type::boolean && i.op == Op::bit_not) return !base<i.a, g>();
    else if constexpr (i.type == Type::boolean)
      return eval_binary(i.op, i.type, base<i.a, g>(), base<i.b, g>()) != 0;
    else if constexpr (i.op == Op::shl || i.op == Op::shr)
      return shift<T>(i.op, base<i.a, g>(), base<i.b, g>());
    else if constexpr (value_operands(i) == 1) return unary<T>(i.op, base<i.a, g>());
    else return binary<T>(i.op, base<i.a, g>(), base<i.b, g>());
  }

  template <u32 I>
  GPUIO_INLINE auto on_lanes() {
    constexpr Inst i = k.insts[I];
    using T = Element<i.type>;
    if constexpr (i.op == Op::select && i.type == Type::boolean)
      return choose<i32>(get<i.a>(), get<i.b>(), get<i.c>());
    else if constexpr (i.op == Op::select) return choose<T>(get<i.a>(), get<i.b>(), get<i.c>());
    else if constexpr (i.op == Op::cast) return cast_lanes<i.type, i.from>(get<i.a>());
    else if constexpr (i.op == Op::bitcast && i.type == i.from) return get<i.a>();
    else if constexpr (i.op == Op::bitcast) return from_unsigned<T>(to_unsigned<Element<i.from>>(get<i.a>()));
    else if constexpr (i.op == Op::pair_fma)
      return pair_lanes<i.op, i.from>(get<i.a>(), get<i.b>(), get<i.c>());
    else if constexpr (is_pair(i.op)) return pair_lanes<i.op, i.from>(get<i.a>(), get<i.b>(), V<u32>{});
    else if constexpr (i.op == Op::fma) {
      const auto a = get<i.a>(), b = get<i.b>(), c = get<i.c>();
      return native::lanes<T>([&](u32 l) { return std::fma(a[l], b[l], c[l]); });
    } else if constexpr (i.op == Op::popcount || i.op == Op::count_leading_zeros) {
      const auto a = get<i.a>();
      return native::lanes<u32>([&](u32 l) { return u32(eval_count(i.op, i.from, to_bits(a[l]))); });
    } else if constexpr (i.op >= Op::eq && i.op <= Op::ge) {
      using From = std::conditional_t<i.from == Type::boolean, i32, Element<i.from>>;
      return compare_lanes<i.op, From>(get<i.a>(), get<i.b>());
    } else if constexpr (i.type == Type::boolean && i.op == Op::bit_not) return ~get<i.a>();
    else if constexpr (i.type == Type::boolean) return binary_lanes<i.op, i32>(get<i.a>(), get<i.b>());
    else if constexpr ((i.op == Op::shl || i.op == Op::shr) && facts.value[i.b].shape.same())
      return shift_lanes_by<i.op, T>(get<i.a>(), scalar<i.b>());
    else if constexpr (i.op == Op::shl || i.op == Op::shr)
      return shift_lanes<i.op, T>(get<i.a>(), get<i.b>());
    else if constexpr (value_operands(i) == 1) return unary_lanes<i.op, T>(get<i.a>());
    else return binary_lanes<i.op, T>(get<i.a>(), get<i.b>());
  }

  template <u32 I, u32 E, u32 Part>
  GPUIO_INLINE void put_part() {
    if constexpr (facts.value[I].shape.affine) bases<I>()[E] = scalar<Part>();
    else slots<I>()[E] = get<Part>();
  }
  template <u32 I>
  GPUIO_INLINE void compose() {
    constexpr Inst i = k.insts[I];
    put_part<I, 0, i.a>();
    put_part<I, 1, i.b>();
    if constexpr (i.width == 4) {
      put_part<I, 2, i.c>();
      put_part<I, 3, i.d>();
    }
  }

  template <u32 I, class M>
  GPUIO_INLINE void var_store(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = std::conditional_t<i.type == Type::boolean, i32, Element<i.type>>;
    if constexpr (facts.var[i.a].uniform) var<i.a>() = scalar<i.b>();
    else if constexpr (kFull<M>) var<i.a>() = get<i.b>();
    else var<i.a>() = choose<T>(mask.lanes, get<i.b>(), var<i.a>());
  }

  // --- Memory ---
  template <u32 Object, class T>
  GPUIO_INLINE T* data() {
    if constexpr ((Object & kShared) != 0)
      return reinterpret_cast<T*>(context.shared + shared_offset(k.view(), Object & ~kShared));
    else return reinterpret_cast<T*>(context.arguments[Object].value);
  }

  // Do the lanes take eight elements in a row, up (1) or down (-1)? Where that is not known while compiling
  // it may be a question of run time: only a buffer of some four billion elements has room for indices that
  // wrap, and a counter in a var mostly counts like its neighbours.
  template <u32 Index>
  static constexpr i32 run_of() {
    constexpr Shape s = facts.value[Index].shape;
    if constexpr (s.affine) return s.stride == 1 || s.stride == -1 ? s.stride : 0;
    else return s.likely ? 1 : 0;
  }
  template <u32 Object, u32 Index, class M>
  GPUIO_INLINE bool in_a_row(const M& mask) {
    constexpr Shape s = facts.value[Index].shape;
    if constexpr (run_of<Index>() == 0) return false;
    else if (!is_full(mask)) return false;
    else if constexpr (!s.affine) {
      const auto index = get<Index>();
      return all(compare_lanes<Op::eq, Element<k.insts[Index].type>>(index, ramp(index[0], 1))) &&
             index[kLanes - 1] > index[0];
    } else if constexpr (s.wraps(size_of(k.insts[Index].type)) && !small<Object>()) {
      return length<Object>() <= ~u32{0} - kLanes;
    } else return true;
  }
  template <u32 Object>
  static consteval bool small() {  // known while compiling to have no room for indices that wrap
    if constexpr ((Object & kShared) != 0) return true;
    else return k.params[Object].count != 0 && k.params[Object].count < (1u << 31);
  }
  // The index of the first element of such a row.
  template <u32 Index>
  GPUIO_INLINE u64 row_start() {
    constexpr Shape s = facts.value[Index].shape;
    if constexpr (!s.affine) return get<Index>()[0];
    else if constexpr (s.stride == 1) return base<Index>();
    else return u64(base<Index>()) - (kLanes - 1);
  }

  template <u32 Index, class M>
  GPUIO_INLINE auto places() {
    constexpr Shape s = facts.value[Index].shape;
    using T = Element<k.insts[Index].type>;
    if constexpr (s.affine && s.exact) return Ramp<T>{base<Index>(), s.stride};
    else return laid<M, T>(get<Index>());
  }

  // Booleans are bytes in memory.
  template <Type t>
  using Stored = std::conditional_t<t == Type::boolean, u8, Element<t>>;
  template <Type t>
  GPUIO_INLINE static auto loaded(const V<Stored<t>>& v) {
    if constexpr (t == Type::boolean)
      return compare_lanes<Op::ne, u8>(binary_lanes<Op::bit_and, u8>(v, spread<u8>(1)), V<u8>{});
    else return v;
  }
  template <Type t>
  GPUIO_INLINE static auto stored(const Lanes<Element<t>>& v) {
    if constexpr (t == Type::boolean) return binary_lanes<Op::bit_and, u8>(resize<u8>(v), spread<u8>(1));
    else return v;
  }

  template <u32 I, class M>
  GPUIO_INLINE void load(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = Stored<i.type>;
    const T* const from = data<i.a, T>();
    if constexpr (facts.value[I].shape.affine) {
      const u64 at = scalar<i.b>();
      each_element<i.width>([&](u32 e) {
        if constexpr (i.type == Type::boolean) bases<I>()[e] = (from[at + e] & 1) != 0;
        else bases<I>()[e] = from[at + e];
      });
      return;
    } else {
      if (i.width == 1 && in_a_row<i.a, i.b>(mask)) {
        const V<T> v = load_lanes(from + row_start<i.b>());
        if constexpr (run_of<i.b>() < 0) *slots<I>() = loaded<i.type>(reversed(v));
        else *slots<I>() = loaded<i.type>(v);
        return;
      }
      const auto index = places<i.b, M>();
      each_element<i.width>([&](u32 e) {
        if constexpr (kFull<M>) {
          slots<I>()[e] = loaded<i.type>(native::lanes<T>([&](u32 l) { return from[index[l] + e]; }));
        } else {
          T got[kLanes]{};
          each_lane(mask, [&](u32 l) { got[l] = from[index[l] + e]; });
          slots<I>()[e] = loaded<i.type>(load_lanes(got));
        }
      });
    }
  }

  template <u32 I, class M>
  GPUIO_INLINE void store(const M& mask) {
    constexpr Inst i = k.insts[I];
    store_element<I, 0>(mask);
    if constexpr (i.width > 1) store_element<I, 1>(mask);
    if constexpr (i.width > 2) {
      store_element<I, 2>(mask);
      store_element<I, 3>(mask);
    }
  }
  template <u32 I, u32 E, class M>
  GPUIO_INLINE void store_element(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = Stored<i.type>;
    T* const to = data<i.a, T>();
    const V<T> v = stored<i.type>(get<i.c, E>());
    if (i.width == 1 && in_a_row<i.a, i.b>(mask)) {
      if constexpr (run_of<i.b>() < 0) store_lanes(to + row_start<i.b>(), reversed(v));
      else store_lanes(to + row_start<i.b>(), v);
      return;
    }
    const auto index = places<i.b, M>();
    const auto value = laid<M, T>(v);
    each_lane(mask, [&](u32 l) { to[index[l] + E] = value[l]; });
  }

  // At once: there is nothing to wait for.
  template <u32 I, class M>
  GPUIO_INLINE void async_copy(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = Stored<i.type>;
    T* const to = data<i.a, T>();
    const T* const from = data<i.c, T>();
    const auto at = places<i.b, M>();
    const auto source = places<i.d, M>();
    each_lane(mask, [&](u32 l) { __builtin_memcpy(to + at[l], from + source[l], i.imm); });
  }

  // --- On-demand arrays: ondemand_lane.hpp ---
  template <u32 I, class M>
  GPUIO_INLINE void on_demand(const M& mask);
  template <u32 I, class M>
  GPUIO_INLINE void ondemand_load(const M& mask);
  template <u32 I, class M>
  GPUIO_INLINE auto ondemand_fetch(const M& mask);
  template <u32 I>
  GPUIO_INLINE void prefetch_pinned();
  template <u32 I>
  GPUIO_INLINE bool row_in_window();

  // --- Atomics. A workgroup is one thread's, so those on its shared memory are plain. ---
  template <u32 I, class M>
  GPUIO_INLINE void atomic(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = Element<i.type>;
    T* const to = data<i.a, T>();
    const auto index = places<i.b, M>();
    const auto one = [&](u32 l) -> T {
      if constexpr (i.op == Op::atomic_load) return atomic_one<I>(to + index[l], T(0), T(0));
      else if constexpr (i.op == Op::atomic_cas)
        return atomic_one<I>(to + index[l], laid<M, T>(get<i.c>())[l], laid<M, T>(get<i.d>())[l]);
      else return atomic_one<I>(to + index[l], laid<M, T>(get<i.c>())[l], T(0));
    };
    if constexpr (!has_result(i.op)) {
      each_lane(mask, one);
    } else if constexpr (kFull<M>) {
      *slots<I>() = native::lanes<T>(one);
    } else {
      T got[kLanes]{};
      each_lane(mask, [&](u32 l) { got[l] = one(l); });
      *slots<I>() = load_lanes(got);
    }
  }
  template <u32 I, class T>
  GPUIO_INLINE static T atomic_one(T* at, T c, T d) {
    constexpr Inst i = k.insts[I];
    constexpr Rmw how{i.op == Op::atomic_rmw ? i.mode : u8{}};
    if constexpr ((i.a & kShared) != 0) {
      const T old = *at;
      if constexpr (i.op == Op::atomic_store) *at = c;
      else if constexpr (i.op == Op::atomic_rmw) *at = rmw_result(how, old, c);
      else if constexpr (i.op == Op::atomic_cas) *at = old == c ? d : old;
      return old;
    } else {
      const std::atomic_ref<T> ref(*at);
      const std::memory_order order =
          memory_order(i.order, i.op != Op::atomic_store, i.op != Op::atomic_load);
      if constexpr (i.op == Op::atomic_load) return ref.load(order);
      else if constexpr (i.op == Op::atomic_store) return ref.store(c, order), c;
      else if constexpr (i.op == Op::atomic_rmw) return update<how>(ref, c, order);
      else {
        ref.compare_exchange_strong(c, d, order, memory_order(i.order, true, false));
        return c;
      }
    }
  }
  template <Rmw how, class T>
  GPUIO_INLINE static T update(const std::atomic_ref<T>& ref, T operand, std::memory_order order) {
    if constexpr (how == Rmw::add) return ref.fetch_add(operand, order);
    else if constexpr (how == Rmw::bit_and) return ref.fetch_and(operand, order);
    else if constexpr (how == Rmw::bit_or) return ref.fetch_or(operand, order);
    else if constexpr (how == Rmw::bit_xor) return ref.fetch_xor(operand, order);
    else if constexpr (how == Rmw::exchange) return ref.exchange(operand, order);
    else {
      T old = ref.load(std::memory_order_relaxed);
      while (
          !ref.compare_exchange_weak(old, rmw_result(how, old, operand), order, std::memory_order_relaxed)) {
      }
      return old;
    }
  }

  // --- Subgroups: a chunk is one ---
  template <u32 I, class M>
  GPUIO_INLINE auto subgroup(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = std::conditional_t<i.type == Type::boolean, i32, Element<i.type>>;
    const u32 on = active(mask), lowest = u32(std::countr_zero(on));
    if constexpr (i.op == Op::subgroup_elect) {
      return native::lanes<i32>([&](u32 l) { return l == lowest ? -1 : 0; });
    } else if constexpr (i.op == Op::subgroup_vote) {
      const u32 said = bits_of(get<i.a>()) & on;
      return spread_mask(Vote(i.mode) == Vote::any ? said != 0 : said == on);
    } else if constexpr (i.op == Op::subgroup_ballot) {
      return spread<u64>(bits_of(get<i.a>()) & on);
    } else if constexpr (i.op == Op::subgroup_reduce) {
      const Laid<T> v(get<i.a>());
      u64 total = to_bits(v[lowest]);
      for (u32 l = lowest + 1; l < kLanes; ++l)
        if (on >> l & 1) total = eval_reduce(Rmw(i.mode), i.type, total, to_bits(v[l]));
      return spread<T>(from_bits<T>(total));
    } else {
      const Laid<T> v(get<i.a>());
      const auto by = get<i.b>();
      return native::lanes<T>([&](u32 l) {
        u64 source = by[l];
        if constexpr (Shuffle(i.mode) == Shuffle::exclusive_or) source = l ^ source;
        if constexpr (Shuffle(i.mode) == Shuffle::up) source = l - source;
        if constexpr (Shuffle(i.mode) == Shuffle::down) source = l + source;
        return v[source < kLanes && (on >> source & 1) != 0 ? u32(source) : l];
      });
    }
  }
};

}  // namespace gpuio::kernel::native
