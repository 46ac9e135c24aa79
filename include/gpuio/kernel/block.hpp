// Operations among the lanes of a workgroup, and scans among those of a subgroup.
//
//   auto total = k.block_reduce_add(x[i]);                     // in every lane
//   auto place = k.block_scan_exclusive_add(keep.as<u32>());   // how many lanes before keep theirs
//   auto best = k.block_reduce(v, [](auto a, auto b) { return select(a > b, a, b); });
//
// For any size of workgroup, and any type that arithmetic takes; smaller ones widen. All lanes of the
// workgroup arrive, as at a barrier. Lanes count by local_index. A function f(earlier, later) needs to be
// associative only: operands stay in the order of the lanes. It is called while tracing, once a step.
//
// The order is fixed, so floats add up to the same bits on every device, whatever its subgroups:
//   reduce  a binary tree over neighbours: lane 2sj takes f(its own, that of 2sj + s), s = 1, 2, 4 ...
//   scan    each lane takes f(that of the lane s before, its own), s = 1, 2, 4 ... (Hillis and Steele)
// Both go through shared memory, one array a type and kernel: lanes * size bytes. log2(lanes) + 2 barriers a
// reduction, twice as many a scan. Where the order does not matter subgroup_add and an atomic are quicker.
#pragma once

#include <gpuio/kernel/memory.hpp>

namespace gpuio::kernel {

namespace detail {

// Part of Ctx.
template <class Ctx>
class BlockOperations {
 public:
  template <class T, class F>
    requires Number<promote_t<T>>
  constexpr Val<promote_t<T>> block_reduce(const Expr<T>& v, F f, u32 line = __builtin_LINE()) const {
    using W = promote_t<T>;
    Step<W> s = begin(v, line);
    if (s.lanes == 1) return s.value;
    s.store(s.index, s.value);
    s.barrier();
    for (u32 by = 1; by < s.lanes; by *= 2) {
      const u32 pairs = (s.lanes - by + 2 * by - 1) / (2 * by);
      const Val<u32> at = s.index * (2 * by);
      s.begin_if(s.index < pairs);
      const Val<W> earlier = s.load(at), later = s.load(at + by);
      const Val<W> both = f(earlier, later);
      s.store(at, both);
      s.end_if();
      s.barrier();
    }
    const Val<W> total = s.load(constant(0));
    s.barrier();
    return total;
  }
  // Of the lanes up to this one.
  template <class T, class F>
    requires Number<promote_t<T>>
  constexpr Val<promote_t<T>> block_scan(const Expr<T>& v, F f, u32 line = __builtin_LINE()) const {
    using W = promote_t<T>;
    Step<W> s = begin(v, line);
    if (s.lanes == 1) return s.value;
    const Val<W> sum = scan(s, f);
    s.barrier();
    return sum;
  }
  // Of the lanes before this one; the first lane gets `first`.
  template <class T, class F>
    requires Number<promote_t<T>>
  constexpr Val<promote_t<T>> block_scan_exclusive(const Expr<T>& v,
                                                   std::type_identity_t<Arg<promote_t<T>>> first, F f,
                                                   u32 line = __builtin_LINE()) const {
    using W = promote_t<T>;
    Step<W> s = begin(v, line);
    const u32 start = first.get(s.t);
    s.t.at(line);
    if (s.lanes == 1) return {&s.t, start};
    scan(s, f);
    const u32 result = s.t.build.var(kTypeOf<W>);
    s.t.build.var_store(result, start);
    s.begin_if(s.index >= 1u);
    s.t.build.var_store(result, s.load(s.index - 1u).id());
    s.end_if();
    s.barrier();
    return {&s.t, s.t.build.var_load(result)};
  }

#define GPUIO_BLOCK(NAME, KIND, ...)                                                                     \
  template <class T>                                                                                     \
    requires KIND<promote_t<T>>                                                                          \
  constexpr Val<promote_t<T>> block_reduce_##NAME(const Expr<T>& v, u32 line = __builtin_LINE()) const { \
    return block_reduce(v, [](const auto& a, const auto& b) { return __VA_ARGS__; }, line);              \
  }                                                                                                      \
  template <class T>                                                                                     \
    requires KIND<promote_t<T>>                                                                          \
  constexpr Val<promote_t<T>> block_scan_##NAME(const Expr<T>& v, u32 line = __builtin_LINE()) const {   \
    return block_scan(v, [](const auto& a, const auto& b) { return __VA_ARGS__; }, line);                \
  }
  GPUIO_BLOCK(add, Number, a + b)
  GPUIO_BLOCK(mul, Number, a* b)
  GPUIO_BLOCK(min, Number, min(a, b))
  GPUIO_BLOCK(max, Number, max(a, b))
  GPUIO_BLOCK(and, IntegerNumber, a& b)
  GPUIO_BLOCK(or, IntegerNumber, a | b)
  GPUIO_BLOCK(xor, IntegerNumber, a ^ b)
#undef GPUIO_BLOCK
  template <class T>
    requires Number<promote_t<T>>
  constexpr Val<promote_t<T>> block_scan_exclusive_add(const Expr<T>& v, u32 line = __builtin_LINE()) const {
    using W = promote_t<T>;
    return block_scan_exclusive(
        v, Arg<W>(W(0), line), [](const auto& a, const auto& b) { return a + b; }, line);
  }

  // In how many lanes does it hold? In any, in all of them?
  constexpr Val<u32> block_count(Arg<bool> p) const {
    const Val<bool> holds{&self().tracer(), p.get(self().tracer())};
    return block_reduce_add(holds.template as<u32>(p.line()), p.line());
  }
  constexpr Val<bool> block_any(Arg<bool> p) const { return self().barrier_any(p); }
  constexpr Val<bool> block_all(Arg<bool> p) const {
    const Val<bool> holds{&self().tracer(), p.get(self().tracer())};
    return !self().barrier_any(Arg<bool>(!holds, p.line()));
  }
  // What lane `lane`, below the workgroup's size and the same in all, has.
  template <class T>
    requires Number<promote_t<T>>
  constexpr Val<promote_t<T>> block_broadcast(const Expr<T>& v, Index lane,
                                              u32 line = __builtin_LINE()) const {
    using W = promote_t<T>;
    Step<W> s = begin(v, line);
    const u32 from = lane.get(s.t);
    if (s.lanes == 1) return s.value;
    s.store(s.index, s.value);
    s.barrier();
    const Val<W> r{&s.t, s.t.build.load(s.array, from)};
    s.barrier();
    return r;
  }

 private:
  template <class W>
  struct Step {
    Tracer& t;
    u32 line, lanes, array;
    Val<u32> index;
    Val<W> value;
    constexpr void store(const Val<u32>& i, const Val<W>& v) { t.build.store(array, i.id(), v.id()); }
    constexpr Val<W> load(const Val<u32>& i) { return {&t, t.build.load(array, i.id())}; }
    constexpr void barrier() {
      t.at(line);  // f may have moved it
      t.build.barrier();
    }
    constexpr void begin_if(const Val<bool>& c) { t.build.if_(c.id()); }
    constexpr void end_if() { t.build.end_if(); }
  };
  constexpr const Ctx& self() const { return static_cast<const Ctx&>(*this); }
  constexpr Val<u32> constant(u32 n) const {
    return {&self().tracer(), self().tracer().build.constant(Type::u32, n)};
  }
  template <class T>
  constexpr Step<promote_t<T>> begin(const Expr<T>& v, u32 line) const {
    using W = promote_t<T>;
    Tracer& t = self().tracer();
    const Val<W> value{&t, v.wide_id()};
    t.at(line);
    const std::array<u32, 3>& block = t.build.program().block;
    const u32 lanes = block[0] * block[1] * block[2];
    const Builtin who = block[0] == lanes ? Builtin::local_x : Builtin::local_index;
    const u32 array = lanes == 1 ? kNone : t.scratch(kTypeOf<W>, lanes);
    return {t, line, lanes, array, Val<u32>(&t, t.build.builtin(who)), value};
  }
  // Leaves the sums of all lanes in the array too.
  template <class W, class F>
  constexpr Val<W> scan(Step<W>& s, F f) const {
    Builder& b = s.t.build;
    const u32 mine = b.var(kTypeOf<W>);
    b.var_store(mine, s.value.id());
    s.store(s.index, s.value);
    s.barrier();
    for (u32 by = 1; by < s.lanes; by *= 2) {
      s.begin_if(s.index >= by);
      const Val<W> earlier = s.load(s.index - by), own{&s.t, b.var_load(mine)};
      const Val<W> both = f(earlier, own);
      b.var_store(mine, both.id());
      s.end_if();
      s.barrier();
      const Val<W> now{&s.t, b.var_load(mine)};
      s.store(s.index, now);
      s.barrier();
    }
    return {&s.t, b.var_load(mine)};
  }
};

}  // namespace detail

// f over the lanes of the subgroup up to this one; exclusive: before it, the first lane getting `first`. All
// lanes of the subgroup are there (the last one of a workgroup may be short). Where they stop differs between
// devices, so float sums do.
template <class T, class F>
  requires Number<promote_t<T>>
constexpr Val<promote_t<T>> subgroup_scan(const Expr<T>& v, F f, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  Tracer& t = v.tracer();
  t.at(line);
  const Val<u32> lane{&t, t.build.builtin(Builtin::subgroup_lane)};
  u32 sum = v.wide_id();
  for (u32 by = 1; by < 64; by *= 2) {  // no device has more lanes
    const Val<W> own{&t, sum}, earlier = shuffle_up(own, by);
    const Val<W> both = f(earlier, own);
    sum = select(lane >= by, both, own).id();
  }
  return {&t, sum};
}
template <class T, class F>
  requires Number<promote_t<T>>
constexpr Val<promote_t<T>> subgroup_scan_exclusive(const Expr<T>& v,
                                                    std::type_identity_t<Arg<promote_t<T>>> first, F f,
                                                    u32 line = __builtin_LINE()) {
  Tracer& t = v.tracer();
  const Val<promote_t<T>> sum = subgroup_scan(v, f, line), before = shuffle_up(sum, 1u);
  const Val<u32> lane{&t, t.build.builtin(Builtin::subgroup_lane)};
  const Val<promote_t<T>> start{&t, first.get(t)};
  return select(lane == 0u, start, before);
}
template <class T>
  requires Number<promote_t<T>>
constexpr Val<promote_t<T>> subgroup_scan_add(const Expr<T>& v, u32 line = __builtin_LINE()) {
  return subgroup_scan(v, [](const auto& a, const auto& b) { return a + b; }, line);
}
template <class T>
  requires Number<promote_t<T>>
constexpr Val<promote_t<T>> subgroup_scan_exclusive_add(const Expr<T>& v, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  return subgroup_scan_exclusive(
      v, Arg<W>(W(0), line), [](const auto& a, const auto& b) { return a + b; }, line);
}

}  // namespace gpuio::kernel
