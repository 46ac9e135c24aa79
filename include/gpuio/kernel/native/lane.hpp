// One chunk of lanes at work: values in local variables, each instruction a function that inlines to what it
// does. Part of native.hpp.
#pragma once

#include <atomic>

#include <gpuio/kernel/native/facts.hpp>
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

// Which lanes execute: all eight, known while compiling, or those of a mask.
struct Full {};
struct Some {
  Mask lanes;
};
GPUIO_INLINE bool is_full(Full) { return true; }
GPUIO_INLINE bool is_full(const Some& s) { return all(s.lanes); }
GPUIO_INLINE bool has(Full, u32) { return true; }
GPUIO_INLINE bool has(const Some& s, u32 lane) { return s.lanes[lane] != 0; }
GPUIO_INLINE Mask mask_of(Full) { return ~Mask{}; }
GPUIO_INLINE Mask mask_of(const Some& s) { return s.lanes; }

// Lanes that jumped, of the innermost loop.
struct Jumped {
  Mask broke{}, continued{};
};

template <class K, u32 I>
consteval auto value_type() {
  constexpr Inst i = K::frozen().insts[I];
  if constexpr (kFacts<K>.uniform[I]) return std::array<Element<i.type>, i.width>{};
  else return std::array<Lanes<Element<i.type>>, i.width>{};
}
// No initialisers: a value is written before it is read.
template <class K, u32 I, bool = has_result(K::frozen().insts[I].op)>
struct Slot {};
template <class K, u32 I>
struct Slot<K, I, true> {
  decltype(value_type<K, I>()) value;
};
template <class K, u32 X>
struct VarSlot {
  using T = Element<K::frozen().vars[X]>;
  std::conditional_t<kFacts<K>.uniform_var[X], T, Lanes<T>> var{};
};
template <class K, class, class>
struct Values;
template <class K, u32... I, u32... X>
struct Values<K, std::integer_sequence<u32, I...>, std::integer_sequence<u32, X...>> : Slot<K, I>...,
                                                                                       VarSlot<K, X>... {};
template <class K>
using ValuesOf = Values<K, std::make_integer_sequence<u32, K::frozen().insts.size()>,
                        std::make_integer_sequence<u32, K::frozen().vars.size()>>;

// What all chunks of a workgroup share, copied so that the compiler sees that nothing else writes it.
template <class K>
struct Context {
  std::array<Argument, K::frozen().params.size() + 1> arguments{};
  std::array<u32, 3> group, groups;
  std::byte* shared;
  explicit Context(const Group& g) : group(g.group), groups(g.groups), shared(g.shared) {
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

template <class K>
struct Lane {
  static constexpr const auto& k = K::frozen();
  static constexpr const auto& facts = kFacts<K>;

  const Context<K>& context;
  ValuesOf<K>& values;
  u32 first;  // lane of the workgroup

  // --- Values ---
  template <u32 I>
  GPUIO_INLINE auto& slot() {
    return static_cast<Slot<K, I>&>(values).value;
  }
  template <u32 X>
  GPUIO_INLINE auto& var() {
    return static_cast<VarSlot<K, X>&>(values).var;
  }
  template <u32 I>
  GPUIO_INLINE auto scalar() {  // of a uniform value
    if constexpr (k.insts[I].op == Op::constant) return from_bits<Element<k.insts[I].type>>(k.insts[I].imm);
    else return slot<I>()[0];
  }
  template <u32 I, u32 E = 0>
  GPUIO_INLINE auto get() {  // as lanes
    if constexpr (!facts.uniform[I]) return slot<I>()[E];
    else if constexpr (k.insts[I].type == Type::boolean) return spread_mask(scalar<I>());
    else if constexpr (k.insts[I].op == Op::constant) return spread(scalar<I>());
    else return spread(slot<I>()[E]);
  }

  // --- One instruction that does not move lanes about ---
  template <u32 I, class M>
  GPUIO_INLINE void execute(const M& mask) {
    constexpr Inst i = k.insts[I];
    if constexpr (i.op == Op::constant || i.op == Op::barrier || i.op == Op::barrier_any) return;
    else if constexpr (i.op == Op::fence) fence(i.order);
    else if constexpr (i.op == Op::var_store) var_store<I>(mask);
    else if constexpr (i.op == Op::store) store<I>(mask);
    else if constexpr (i.op >= Op::atomic_load && i.op <= Op::atomic_cas) atomic<I>(mask);
    else if constexpr (i.op == Op::load) load<I>(mask);
    else if constexpr (i.op >= Op::subgroup_shuffle && i.op <= Op::subgroup_elect) subgroup<I>(mask);
    else if constexpr (i.op == Op::compose) compose<I>();
    else if constexpr (i.op == Op::extract) slot<I>()[0] = slot<i.a>()[i.imm];
    else if constexpr (i.op == Op::var_load) slot<I>()[0] = var<i.a>();
    else if constexpr (i.op == Op::argument)
      slot<I>()[0] = from_bits<Element<i.type>>(context.arguments[i.a].value);
    else if constexpr (i.op == Op::length) slot<I>()[0] = length<i.a>();
    else if constexpr (i.op == Op::builtin) slot<I>()[0] = builtin<I>();
    else if constexpr (facts.uniform[I]) slot<I>()[0] = uniform<I>();
    else slot<I>()[0] = varying<I>();
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
    constexpr u32 x = k.block[0], y = k.block[1];
    const u32 f = first;
    if constexpr (what >= Builtin::group_x && what <= Builtin::group_z)
      return context.group[u32(what) - u32(Builtin::group_x)];
    else if constexpr (what >= Builtin::groups_x && what <= Builtin::groups_z)
      return context.groups[u32(what) - u32(Builtin::groups_x)];
    else if constexpr (what == Builtin::subgroup_size) return kLanes;
    else if constexpr (facts.uniform[I]) return u32{0};  // a dimension of one lane
    else if constexpr (what == Builtin::subgroup_lane) return V<u32>{0, 1, 2, 3, 4, 5, 6, 7};
    else if constexpr (what == Builtin::subgroup_index) return spread<u32>(f / kLanes);
    else if constexpr (what == Builtin::local_index || (what == Builtin::local_x && x == k.view().lanes()))
      return V<u32>{0, 1, 2, 3, 4, 5, 6, 7} + f;
    else if constexpr (what == Builtin::local_x && x % kLanes == 0)
      return V<u32>{0, 1, 2, 3, 4, 5, 6, 7} + f % x;
    else if constexpr (x % kLanes == 0)
      return spread<u32>(what == Builtin::local_y ? f / x % y : f / (x * y));
    else
      return lanes<u32>([f](u32 l) {
        const u32 lane = f + l;
        return what == Builtin::local_x ? lane % x : what == Builtin::local_y ? lane / x % y : lane / (x * y);
      });
  }

  template <u32 I>
  GPUIO_INLINE auto uniform() {
    constexpr Inst i = k.insts[I];
    using T = Element<i.type>;
    if constexpr (i.op == Op::select) return scalar<i.a>() ? scalar<i.b>() : scalar<i.c>();
    else if constexpr (i.op == Op::cast) return cast_scalar<i.type, i.from>(scalar<i.a>());
    else if constexpr (i.op == Op::bitcast) return from_bits<T>(to_bits(scalar<i.a>()));
    else if constexpr (i.op == Op::fma) return T(std::fma(scalar<i.a>(), scalar<i.b>(), scalar<i.c>()));
    else if constexpr (i.op == Op::popcount || i.op == Op::count_leading_zeros)
      return u32(eval_count(i.op, i.from, to_bits(scalar<i.a>())));
    else if constexpr (i.op >= Op::eq && i.op <= Op::ge) return compare(i.op, scalar<i.a>(), scalar<i.b>());
    else if constexpr (i.type == Type::boolean && i.op == Op::bit_not) return !scalar<i.a>();
    else if constexpr (i.type == Type::boolean)
      return eval_binary(i.op, i.type, scalar<i.a>(), scalar<i.b>()) != 0;
    else if constexpr (i.op == Op::shl || i.op == Op::shr)
      return shift<T>(i.op, scalar<i.a>(), scalar<i.b>());
    else if constexpr (value_operands(i) == 1) return unary<T>(i.op, scalar<i.a>());
    else return binary<T>(i.op, scalar<i.a>(), scalar<i.b>());
  }

  template <u32 I>
  GPUIO_INLINE auto varying() {
    constexpr Inst i = k.insts[I];
    using T = Element<i.type>;
    if constexpr (i.op == Op::select && i.type == Type::boolean)
      return choose<i32>(get<i.a>(), get<i.b>(), get<i.c>());
    else if constexpr (i.op == Op::select) return choose<T>(get<i.a>(), get<i.b>(), get<i.c>());
    else if constexpr (i.op == Op::cast) return cast_lanes<i.type, i.from>(get<i.a>());
    else if constexpr (i.op == Op::bitcast && i.type == i.from) return get<i.a>();
    else if constexpr (i.op == Op::bitcast) return reinterpret_cast<V<T>>(get<i.a>());
    else if constexpr (i.op == Op::fma) {
      const auto a = get<i.a>(), b = get<i.b>(), c = get<i.c>();
      return lanes<T>([&](u32 l) { return std::fma(a[l], b[l], c[l]); });
    } else if constexpr (i.op == Op::popcount || i.op == Op::count_leading_zeros) {
      const auto a = get<i.a>();
      return lanes<u32>([&](u32 l) { return u32(eval_count(i.op, i.from, to_bits(a[l]))); });
    } else if constexpr (i.op >= Op::eq && i.op <= Op::ge) {
      using From = std::conditional_t<i.from == Type::boolean, i32, Element<i.from>>;
      return compare_lanes<i.op, From>(get<i.a>(), get<i.b>());
    } else if constexpr (i.type == Type::boolean && i.op == Op::bit_not) return ~get<i.a>();
    else if constexpr (i.type == Type::boolean) return binary_lanes<i.op, i32>(get<i.a>(), get<i.b>());
    else if constexpr ((i.op == Op::shl || i.op == Op::shr) && facts.uniform[i.b])
      return shift_lanes_by<i.op, T>(get<i.a>(), scalar<i.b>());
    else if constexpr (i.op == Op::shl || i.op == Op::shr)
      return shift_lanes<i.op, T>(get<i.a>(), get<i.b>());
    else if constexpr (value_operands(i) == 1) return unary_lanes<i.op, T>(get<i.a>());
    else return binary_lanes<i.op, T>(get<i.a>(), get<i.b>());
  }

  template <u32 I>
  GPUIO_INLINE void compose() {
    constexpr Inst i = k.insts[I];
    const auto put = [&]<u32 E, u32 Part>() {
      if constexpr (facts.uniform[I]) slot<I>()[E] = scalar<Part>();
      else slot<I>()[E] = get<Part>();
    };
    put.template operator()<0, i.a>();
    put.template operator()<1, i.b>();
    if constexpr (i.width == 4) {
      put.template operator()<2, i.c>();
      put.template operator()<3, i.d>();
    }
  }

  template <u32 I, class M>
  GPUIO_INLINE void var_store(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = std::conditional_t<i.type == Type::boolean, i32, Element<i.type>>;
    if constexpr (facts.uniform_var[i.a]) var<i.a>() = scalar<i.b>();
    else if constexpr (std::is_same_v<M, Full>) var<i.a>() = get<i.b>();
    else var<i.a>() = choose<T>(mask.lanes, get<i.b>(), var<i.a>());
  }

  // --- Memory ---
  template <u32 Object, class T>
  GPUIO_INLINE T* data() {
    if constexpr ((Object & kShared) != 0)
      return reinterpret_cast<T*>(context.shared + shared_offset(k.view(), Object & ~kShared));
    else return reinterpret_cast<T*>(context.arguments[Object].value);
  }

  template <class I>
  GPUIO_INLINE static bool ascending(const I& index) {
    using T = std::remove_cvref_t<decltype(index[0])>;
    const V<T> off = (index - V<T>{0, 1, 2, 3, 4, 5, 6, 7}) ^ spread<T>(index[0]);
    u64 w[sizeof(off) / 8], gaps = 0;
    std::memcpy(w, &off, sizeof(off));
    for (const u64 x : w) gaps |= x;
    return gaps == 0;
  }

  // Are the lanes' indices neighbours? A question of run time only where they should be.
  template <u32 Index, class I, class M>
  GPUIO_INLINE bool neighbours(const I& index, const M& mask) {
    constexpr Stride stride = facts.stride[Index];
    if constexpr (stride == Stride::any || stride == Stride::zero || facts.uniform[Index]) return false;
    else if (!is_full(mask) || u64(index[kLanes - 1]) != u64(index[0]) + (kLanes - 1)) return false;
    else if constexpr (stride == Stride::one) return true;
    else return ascending(index);
  }

  template <Type t, class From>
  GPUIO_INLINE static auto loaded(From v) {
    if constexpr (t == Type::boolean) return narrow_mask((v & u8(1)) != From{});
    else return v;
  }

  template <u32 I, class M>
  GPUIO_INLINE void load(const M& mask) {
    constexpr Inst i = k.insts[I];
    // Booleans are bytes in memory.
    using T = std::conditional_t<i.type == Type::boolean, u8, Element<i.type>>;
    const T* const from = data<i.a, T>();
    if constexpr (facts.uniform[I]) {
      const u64 at = scalar<i.b>();
      for (u32 e = 0; e < i.width; ++e) {
        if constexpr (i.type == Type::boolean) slot<I>()[e] = (from[at + e] & 1) != 0;
        else slot<I>()[e] = from[at + e];
      }
    } else {
      const auto index = get<i.b>();
      if (i.width == 1 && neighbours<i.b>(index, mask)) {
        V<T> v;
        std::memcpy(&v, from + index[0], sizeof(v));
        slot<I>()[0] = loaded<i.type>(v);
        return;
      }
      for (u32 e = 0; e < i.width; ++e)
        slot<I>()[e] =
            loaded<i.type>(lanes<T>([&](u32 l) { return has(mask, l) ? from[index[l] + e] : T(0); }));
    }
  }

  template <u32 I, class M>
  GPUIO_INLINE void store(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = std::conditional_t<i.type == Type::boolean, u8, Element<i.type>>;
    T* const to = data<i.a, T>();
    const auto index = get<i.b>();
    store_element<I, 0, T>(to, index, mask);
    if constexpr (i.width > 1) store_element<I, 1, T>(to, index, mask);
    if constexpr (i.width > 2) {
      store_element<I, 2, T>(to, index, mask);
      store_element<I, 3, T>(to, index, mask);
    }
  }
  template <u32 I, u32 E, class T, class Index, class M>
  GPUIO_INLINE void store_element(T* to, const Index& index, const M& mask) {
    constexpr Inst i = k.insts[I];
    V<T> v;
    if constexpr (i.type == Type::boolean) v = __builtin_convertvector(get<i.c, E>(), V<T>) & u8(1);
    else v = get<i.c, E>();
    if constexpr (i.width == 1)
      if (neighbours<i.b>(index, mask)) {
        std::memcpy(to + index[0], &v, sizeof(v));
        return;
      }
    for (u32 l = 0; l < kLanes; ++l)
      if (has(mask, l)) to[index[l] + E] = v[l];
  }

  template <u32 I, class M>
  GPUIO_INLINE void atomic(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = Element<i.type>;
    T* const at = data<i.a, T>();
    const auto index = get<i.b>();
    if constexpr (has_result(i.op)) slot<I>()[0] = V<T>{};
    for (u32 l = 0; l < kLanes; ++l) {
      if (!has(mask, l)) continue;
      const std::atomic_ref<T> ref(at[index[l]]);
      if constexpr (i.op == Op::atomic_load) {
        slot<I>()[0][l] = ref.load(memory_order(i.order, true, false));
      } else if constexpr (i.op == Op::atomic_store) {
        ref.store(get<i.c>()[l], memory_order(i.order, false, true));
      } else if constexpr (i.op == Op::atomic_rmw) {
        slot<I>()[0][l] = update<Rmw(i.mode)>(ref, T(get<i.c>()[l]), memory_order(i.order, true, true));
      } else {
        T old = get<i.c>()[l];
        ref.compare_exchange_strong(old, T(get<i.d>()[l]), memory_order(i.order, true, true),
                                    memory_order(i.order, true, false));
        slot<I>()[0][l] = old;
      }
    }
  }
  template <Rmw how, class T>
  GPUIO_INLINE T update(const std::atomic_ref<T>& ref, T operand, std::memory_order order) {
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
  GPUIO_INLINE void subgroup(const M& mask) {
    constexpr Inst i = k.insts[I];
    using T = std::conditional_t<i.type == Type::boolean, i32, Element<i.type>>;
    u32 lowest = 0;
    while (lowest < kLanes - 1 && !has(mask, lowest)) ++lowest;
    if constexpr (i.op == Op::subgroup_elect) {
      slot<I>()[0] = lanes<i32>([&](u32 l) { return l == lowest ? -1 : 0; });
    } else if constexpr (i.op == Op::subgroup_vote) {
      const Mask said = get<i.a>();
      slot<I>()[0] =
          spread_mask(Vote(i.mode) == Vote::any ? any(said & mask_of(mask)) : !any(~said & mask_of(mask)));
    } else if constexpr (i.op == Op::subgroup_ballot) {
      const Mask said = get<i.a>() & mask_of(mask);
      u64 bits = 0;
      for (u32 l = 0; l < kLanes; ++l) bits |= u64(said[l] & 1) << l;
      slot<I>()[0] = spread<u64>(bits);
    } else if constexpr (i.op == Op::subgroup_reduce) {
      const auto v = get<i.a>();
      u64 total = to_bits(T(v[lowest]));
      for (u32 l = lowest + 1; l < kLanes; ++l)
        if (has(mask, l)) total = eval_reduce(Rmw(i.mode), i.type, total, to_bits(T(v[l])));
      slot<I>()[0] = spread<T>(from_bits<T>(total));
    } else {
      const auto v = get<i.a>();
      const auto by = get<i.b>();
      slot<I>()[0] = lanes<T>([&](u32 l) {
        u64 source = by[l];
        if constexpr (Shuffle(i.mode) == Shuffle::exclusive_or) source = l ^ source;
        if constexpr (Shuffle(i.mode) == Shuffle::up) source = l - source;
        if constexpr (Shuffle(i.mode) == Shuffle::down) source = l + source;
        return v[source < kLanes && has(mask, u32(source)) ? source : l];
      });
    }
  }
};

}  // namespace gpuio::kernel::native
