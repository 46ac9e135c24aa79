// Ctx, a kernel's first parameter (who am I, shared memory, barriers, vars), and control flow.
//
//   GPU_IF(i < n) out[i] = x; else out[i] = 0.0f;      a branch on a traced value
//   for (auto j : k.range(0u, 64u)) …                  a loop; j is a Val
//   GPU_WHILE(k, p != 0) …                             the condition is traced inside the loop
//   GPU_LOOP(k) { …; k.break_if(done); }               until a break
//
// A body is traced once (a branch: once a side). A native `for` or `if` on native values unrolls or chooses
// while tracing. break, continue and return are k.break_() and so on: a native `break` or `return` out of a
// traced region is a compile error; a native `continue` only ends the tracing of the body, so do not use it.
#pragma once

#include <gpuio/kernel/aggregate.hpp>
#include <gpuio/kernel/block.hpp>
#include <gpuio/kernel/matrix.hpp>
#include <gpuio/kernel/mbarrier.hpp>
#include <gpuio/kernel/tensor_map.hpp>
#include <gpuio/kernel/warpgroup.hpp>

namespace gpuio::kernel {

// A traced branch, driven by GPU_IF: one pass for each side.
class IfScope {
 public:
  constexpr IfScope(Arg<bool> condition) : line_(condition.line()), tracer_(condition.tracer()) {
    const u32 c = condition.get(*tracer_);
    tracer_->build.if_(c);
  }
  IfScope(const IfScope&) = delete;
  constexpr ~IfScope() {
    if (pass_ < 3) tracer_->fail(Err::jump_out_of_region, line_);
  }
  constexpr bool step() {
    switch (pass_++) {
      case 0: return true;
      case 1:
        else_ = tracer_->size();
        tracer_->build.else_();
        return true;
      default:
        tracer_->drop_newest(else_);  // nothing came after: there is no else
        tracer_->build.end_if();
        pass_ = 3;
        return false;
    }
  }
  constexpr bool then() const { return pass_ == 1; }

 private:
  u32 line_;
  Tracer* tracer_;
  u32 pass_ = 0, else_ = 0;
};

// for (auto i : k.range(…)): the value of the range-for is the counter.
template <class T>
class ForRange {
 public:
  constexpr ForRange(Tracer* t, u32 begin, u32 end, u32 step, u32 line)
      : tracer_(t), begin_(begin), end_(end), step_(step), line_(line) {}
  ForRange(const ForRange&) = delete;
  constexpr ~ForRange() {
    if (open_) tracer_->fail(Err::jump_out_of_region, line_);
  }
  class Iterator {
   public:
    constexpr explicit Iterator(ForRange* r) : range_(r) {}
    constexpr bool operator!=(std::nullptr_t) const { return range_->open_; }
    constexpr Val<T> operator*() const { return {range_->tracer_, range_->counter_}; }
    constexpr void operator++() { range_->close(); }

   private:
    ForRange* range_;
  };
  constexpr Iterator begin() {
    tracer_->at(line_);
    open_ = true;
    constant_ = is_literal(tracer_->insts()[step_]);
    if (constant_) counter_ = tracer_->build.for_(begin_, end_, step_);
    else open_loop();
    return Iterator(this);
  }
  constexpr std::nullptr_t end() const { return nullptr; }

 private:
  // A for counts by a constant. Other steps (a whole grid, say) are a loop over two vars: the counter, and
  // whether it is below the end, which is known before it could wrap.
  constexpr void open_loop() {
    Builder& b = tracer_->build;
    value_ = b.var(kTypeOf<T>);
    more_ = b.var(Type::boolean);
    b.var_store(value_, begin_);
    b.var_store(more_, b.compare(Op::lt, begin_, end_));
    b.loop();
    b.if_(b.unary(Op::bit_not, b.var_load(more_)));
    b.break_();
    b.end_if();
    counter_ = b.var_load(value_);
  }
  constexpr void close() {
    Builder& b = tracer_->build;
    b.line = line_;
    if (constant_) {
      b.end_for();
    } else {
      constexpr Type wide = sizeof(T) == 8 ? Type::u64 : Type::u32;
      b.continuing();
      const u32 left = b.binary(Op::sub, end_, counter_);
      const bool same = kTypeOf<T> == wide;
      b.var_store(more_, b.compare(Op::gt, same ? left : b.bitcast(wide, left),
                                   same ? step_ : b.bitcast(wide, step_)));
      b.var_store(value_, b.binary(Op::add, counter_, step_));
      b.end_loop();
    }
    open_ = false;
  }
  Tracer* tracer_;
  u32 begin_, end_, step_, line_;
  u32 counter_ = kNone, value_ = kNone, more_ = kNone;
  bool open_ = false, constant_ = false;
};

// The region of GPU_LOOP and GPU_WHILE.
class LoopScope {
 public:
  constexpr LoopScope(Tracer& t, u32 line) : tracer_(&t), line_(line) {
    t.at(line);
    t.build.loop();
  }
  // condition: gives the Val<bool> that keeps the loop going, traced at its head.
  template <class F>
  constexpr LoopScope(Tracer& t, u32 line, F condition) : LoopScope(t, line) {
    const Val<bool> go = condition();
    t.build.if_(t.build.unary(Op::bit_not, go.id()));
    t.build.break_();
    t.build.end_if();
  }
  LoopScope(const LoopScope&) = delete;
  constexpr ~LoopScope() {
    if (pass_ < 2) tracer_->fail(Err::jump_out_of_region, line_);
  }
  constexpr bool step() {
    if (pass_++ == 0) return true;
    tracer_->build.end_loop();
    return false;
  }

 private:
  Tracer* tracer_;
  u32 line_;
  u32 pass_ = 0;
};

namespace detail {
template <class X>
struct TypeOf {
  using type = promote_t<typename X::type>;
};
template <Literal X>
struct TypeOf<X> {
  using type = literal_t<X>;
};
template <class B, class E, class S>
using CounterOf = typename TypeOf<std::conditional_t<
    !Literal<B>, B, std::conditional_t<!Literal<E>, E, std::conditional_t<!Literal<S>, S, B>>>>::type;
}  // namespace detail

// The first parameter of every kernel.
class Ctx : public detail::BlockOperations<Ctx>,
            public detail::BulkOperations<Ctx>,
            public detail::MatrixOperations<Ctx>,
            public detail::TensorOperations<Ctx>,
            public detail::WarpgroupOperations<Ctx> {
 public:
  constexpr explicit Ctx(Tracer& t) : t_(&t) {}
  constexpr Tracer& tracer() const { return *t_; }

  // Who am I. u32, as the devices have it.
  constexpr Val<u32> builtin(Builtin what, u32 line = __builtin_LINE()) const {
    t_->at(line);
    return {t_, t_->build.builtin(what)};
  }
  constexpr Val<u32> tid(u32 line = __builtin_LINE()) const { return builtin(Builtin::local_x, line); }
  constexpr Val<u32> tid_y(u32 line = __builtin_LINE()) const { return builtin(Builtin::local_y, line); }
  constexpr Val<u32> tid_z(u32 line = __builtin_LINE()) const { return builtin(Builtin::local_z, line); }
  constexpr Val<u32> local_index(u32 line = __builtin_LINE()) const {
    return builtin(Builtin::local_index, line);
  }
  constexpr Val<u32> cta(u32 line = __builtin_LINE()) const { return builtin(Builtin::group_x, line); }
  constexpr Val<u32> cta_y(u32 line = __builtin_LINE()) const { return builtin(Builtin::group_y, line); }
  constexpr Val<u32> cta_z(u32 line = __builtin_LINE()) const { return builtin(Builtin::group_z, line); }
  constexpr Val<u32> nctas(u32 line = __builtin_LINE()) const { return builtin(Builtin::groups_x, line); }
  constexpr Val<u32> nctas_y(u32 line = __builtin_LINE()) const { return builtin(Builtin::groups_y, line); }
  constexpr Val<u32> nctas_z(u32 line = __builtin_LINE()) const { return builtin(Builtin::groups_z, line); }
  constexpr Val<u32> global_id(u32 line = __builtin_LINE()) const {
    return global(Builtin::group_x, Builtin::local_x, 0, line);
  }
  constexpr Val<u32> global_id_y(u32 line = __builtin_LINE()) const {
    return global(Builtin::group_y, Builtin::local_y, 1, line);
  }
  constexpr Val<u32> global_id_z(u32 line = __builtin_LINE()) const {
    return global(Builtin::group_z, Builtin::local_z, 2, line);
  }
  // The lane in its subgroup; the subgroup's size (never assume 32); the subgroup in the workgroup.
  constexpr Val<u32> lane(u32 line = __builtin_LINE()) const { return builtin(Builtin::subgroup_lane, line); }
  constexpr Val<u32> subgroup_size(u32 line = __builtin_LINE()) const {
    return builtin(Builtin::subgroup_size, line);
  }
  constexpr Val<u32> subgroup_index(u32 line = __builtin_LINE()) const {
    return builtin(Builtin::subgroup_index, line);
  }
  // True in the lowest active lane of the subgroup.
  constexpr Val<bool> elect(u32 line = __builtin_LINE()) const {
    t_->at(line);
    return {t_, t_->build.elect()};
  }
  // The first failure of this lane's on-demand accesses since entry, 0 if none.
  constexpr Val<u32> lane_status(u32 line = __builtin_LINE()) const {
    t_->at(line);
    return {t_, t_->build.lane_status()};
  }

  // Declarations.
  // Of the literal's own type, or of the one that is named: k.var<u64>(0).
  template <class T = void, Literal L>
  constexpr auto val(L v, u32 line = __builtin_LINE()) const {
    using Of = std::conditional_t<std::is_void_v<T>, literal_t<L>, T>;
    return Val<Of>{t_, Arg<Of>(v, line).get(*t_)};
  }
  template <class T = void, Literal L>
  constexpr auto var(L init, u32 line = __builtin_LINE()) const {
    using Of = std::conditional_t<std::is_void_v<T>, literal_t<L>, T>;
    return make_var<Of>(Arg<Of>(init, line));
  }
  template <class T>
  constexpr Var<T> var(const Expr<T>& init, u32 line = __builtin_LINE()) const {
    return make_var<T>(Arg<T>(init, line));
  }
  // A specialization constant: it is set by its name when the kernel is made ready, else it is `value`. The
  // verifier takes it for any number from `least` to `most`. The name is a literal.
  template <class T>
    requires Number<T> || std::same_as<T, bool>
  constexpr Val<T> constant(std::string_view name, std::type_identity_t<T> value,
                            std::type_identity_t<T> least = std::numeric_limits<T>::lowest(),
                            std::type_identity_t<T> most = std::numeric_limits<T>::max(),
                            u32 line = __builtin_LINE()) const {
    t_->at(line);
    return {t_,
            t_->build.constant({name, kTypeOf<T>, bits_of<T>(value), bits_of<T>(least), bits_of<T>(most)})};
  }
  // N Vars, all of that value.
  template <Storable T, u32 N>
  constexpr LocalArray<T, N> array(std::type_identity_t<Arg<T>> fill) const {
    return {*t_, fill};
  }
  template <Storable T, u32 N>
  constexpr LocalArray<T, N> array(u32 line = __builtin_LINE()) const {
    t_->at(line);
    const Val<T> zero{t_, t_->build.constant(kTypeOf<T>, 0)};
    return {*t_, Arg<T>(zero, line)};
  }
  template <Structured S>
  constexpr StructVar<S> var(const Struct<S>& init) const {
    return StructVar<S>(init);
  }
  template <Storable T, u32 N>
  constexpr Shared<T, N> shared() const {
    static_assert(N > 0, "a shared array has elements");
    return {t_, t_->build.shared(kTypeOf<T>, N)};
  }

  // All lanes of the workgroup arrive; what they wrote before is seen after.
  constexpr void barrier(u32 line = __builtin_LINE()) const {
    t_->at(line);
    t_->build.barrier();
  }
  // A barrier that tells whether any lane said true.
  constexpr Val<bool> barrier_any(Arg<bool> a) const {
    const u32 v = a.get(*t_);
    return {t_, t_->build.barrier_any(v)};
  }
  constexpr void fence(Order order, Scope scope, u32 line = __builtin_LINE()) const {
    t_->at(line);
    t_->build.fence(order, scope);
  }

  // Copies Bytes (4, 8 or 16) a lane from a buffer to a shared array while the lane goes on. Indices are
  // elements, multiples of what Bytes holds. Copies since the last commit are a group; async_wait<N>() lets
  // the newest N groups go on and waits for the rest. Then, after a barrier, all lanes may read what landed.
  // cp.async on CUDA from sm_80 on, elsewhere a load and a store.
  template <u32 Bytes, Storable T, u32 N, class Buffer>
  constexpr void async_copy(const Shared<T, N>& to, Index i, const Buffer& from, Index j) const {
    static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "an async copy is of 4, 8 or 16 bytes");
    static_assert(sizeof(T) <= Bytes && !std::same_as<T, bool>, "an async copy is of whole numbers");
    static_assert(Buffer::kParam.type == kTypeOf<T> &&
                      (Buffer::kParam.kind == ParamKind::in || Buffer::kParam.kind == ParamKind::inout),
                  "an async copy is from an In or InOut of the array's type");
    const u32 at = i.get(*t_);
    const u32 source = j.get(*t_);
    t_->build.async_copy(to.object(), at, from.object(), source, Bytes);
  }
  constexpr void async_commit(u32 line = __builtin_LINE()) const {
    t_->at(line);
    t_->build.async_commit();
  }
  template <u32 Groups = 0>
  constexpr void async_wait(u32 line = __builtin_LINE()) const {
    static_assert(Groups < 64, "at most 63 groups may be under way");
    t_->at(line);
    t_->build.async_wait(Groups);
  }

  // Control. The counter goes from begin, below end, by step > 0. Its type is that of the first that is
  // traced.
  template <class B, class E, class S = u32>
  constexpr auto range(const B& begin, const E& end, const S& step = S(1),
                       u32 line = __builtin_LINE()) const {
    using T = detail::CounterOf<B, E, S>;
    static_assert(IntegerNumber<T>, "a loop counts in u32, i32, u64 or i64");
    const u32 b = Arg<T>(begin, line).get(*t_);
    const u32 e = Arg<T>(end, line).get(*t_);
    const u32 s = Arg<T>(step, line).get(*t_);
    return ForRange<T>(t_, b, e, s, line);
  }

  constexpr void break_(u32 line = __builtin_LINE()) const { jump(Op::break_, line); }
  constexpr void continue_(u32 line = __builtin_LINE()) const { jump(Op::continue_, line); }
  constexpr void return_(u32 line = __builtin_LINE()) const { jump(Op::return_, line); }
  constexpr void break_if(Arg<bool> c) const { jump_if(Op::break_, c); }
  constexpr void continue_if(Arg<bool> c) const { jump_if(Op::continue_, c); }
  constexpr void return_if(Arg<bool> c) const { jump_if(Op::return_, c); }

  // p and q, q evaluated only where p holds; p or q, q evaluated only where p does not.
  template <class F>
  constexpr Val<bool> and_then(Arg<bool> p, F q) const {
    return short_circuit(p, q, true);
  }
  template <class F>
  constexpr Val<bool> or_else(Arg<bool> p, F q) const {
    return short_circuit(p, q, false);
  }

  // The author answers for races in shared memory that the verifier cannot follow. The reason stays with the
  // kernel (View::unchecked), in files too, and marks it wherever it is listed.
  constexpr void unchecked_races(std::string_view reason) const { t_->build.program().unchecked = reason; }

  // An instruction of PTX, or several, as they are written:
  //   auto v = k.ptx<u32>("prmt.b32 %0, %1, %2, 0x5410;", a, b);
  // %0 is the result (of T: 32 or 64 bits), %1 to %4 the operands, each in a register of its size; %% is a
  // percent sign. In braces it may declare registers. Runs on CUDA only, other back ends refuse by name;
  // marks the kernel wherever it is listed. Sm and Version: the least that the text needs, as 80 and 70.
  struct PtxText {
    std::string_view text;
    u32 line;
    constexpr PtxText(const char* t, u32 l = __builtin_LINE()) : text(t), line(l) {}
  };
  template <Number T, u32 Sm = 70, u32 Version = 63, class... V>
  constexpr Val<T> ptx(PtxText ptx, const Expr<V>&... operands) const {
    static_assert(sizeof...(V) <= 4 && (Number<V> && ...),
                  "inline PTX takes up to four numbers of 32 or 64 bits");
    const std::array<u32, sizeof...(V)> ids{operands.id()...};
    t_->at(ptx.line);
    return {t_, t_->build.inline_ptx(kTypeOf<T>, ptx.text, ids, Sm, Version)};
  }

 private:
  constexpr Val<u32> global(Builtin group, Builtin local, u32 axis, u32 line) const {
    t_->at(line);
    Builder& b = t_->build;
    const u32 g = b.builtin(group);
    const u32 size = b.constant(Type::u32, b.program().block[axis]);
    const u32 base = b.binary(Op::mul, g, size);
    return {t_, b.binary(Op::add, base, b.builtin(local))};
  }
  template <class T>
  constexpr Var<T> make_var(Arg<T> init) const {
    const u32 v = init.get(*t_);
    const u32 var = t_->build.var(kTypeOf<T>);
    t_->build.var_store(var, v);
    return {t_, var};
  }
  constexpr void jump(Op op, u32 line) const {
    t_->at(line);
    t_->build.append({.op = op});
  }
  constexpr void jump_if(Op op, Arg<bool> c) const {
    const u32 v = c.get(*t_);
    t_->build.if_(v);
    t_->build.append({.op = op});
    t_->build.end_if();
  }
  template <class F>
  constexpr Val<bool> short_circuit(Arg<bool> p, F q, bool when) const {
    Builder& b = t_->build;
    const u32 first = p.get(*t_);
    const u32 result = b.var(Type::boolean);
    b.var_store(result, first);
    b.if_(when ? first : b.unary(Op::bit_not, first));
    const Val<bool> second = q();
    b.var_store(result, second.id());
    b.end_if();
    return {t_, b.var_load(result)};
  }
  Tracer* t_;
};

}  // namespace gpuio::kernel

#define GPUIO_NAME_2(a, b) a##b
#define GPUIO_NAME_1(a, b) GPUIO_NAME_2(a, b)
#define GPU_IF_(SCOPE, ...)                                        \
  for (::gpuio::kernel::IfScope SCOPE(__VA_ARGS__); SCOPE.step();) \
    if (SCOPE.then())
#define GPU_LOOP_(SCOPE, ...) for (::gpuio::kernel::LoopScope SCOPE(__VA_ARGS__); SCOPE.step();)

// GPU_IF(condition) statement [else statement]
#define GPU_IF(...) GPU_IF_(GPUIO_NAME_1(gpuio_if_, __COUNTER__), __VA_ARGS__)
// GPU_LOOP(k) statement
#define GPU_LOOP(K) GPU_LOOP_(GPUIO_NAME_1(gpuio_loop_, __COUNTER__), (K).tracer(), __LINE__)
// GPU_WHILE(k, condition) statement
#define GPU_WHILE(K, ...) \
  GPU_LOOP_(GPUIO_NAME_1(gpuio_loop_, __COUNTER__), (K).tracer(), __LINE__, [&] { return __VA_ARGS__; })
