// Val<T>, Var<T> and their operators: what the arithmetic of a kernel is written in.
//
//   Val<T>  a value, assigned once. `v = w` does not compile: what changes is a Var or memory.
//   Var<T>  a mutable local of the lane, made by Ctx::var. Used as a value it is read at that point.
//
// Types are strict. Both operands have one type; `.as<U>()` converts by value, `bitcast<U>(v)` by bits. A
// native number takes the other operand's type if it is of the same kind and held exactly (`x * 0.5f`,
// `i + 1`). u8 u16 f16 f8e4m3 … are types of memory: in arithmetic they widen to u32, i32 or f32, and a store
// of the result says `.as<u8>()`. rounded() (half.hpp) makes arithmetic that stays in f16 or bf16. There is
// no && or ||: use & and | (both sides are evaluated), or and_then.
//
// Handles are small and copyable (Var excepted), live as long as the trace, and carry it; one thread.
#pragma once

#include <gpuio/kernel/trace.hpp>

namespace gpuio::kernel {

template <class T>
class Expr;
template <class T>
class Val;
template <class T>
class Var;

// An operand of type T as it is passed: a value, a var to be read, or a literal; and the caller's line.
template <Storable T>
class Arg {
 public:
  template <class U>
    requires(std::same_as<T, U> || std::same_as<T, promote_t<U>>)
  constexpr Arg(const Expr<U>& e, u32 line = __builtin_LINE())
      : tracer_(e.tracer_), id_(e.id_), var_(e.var_), line_(line) {
    if constexpr (!std::same_as<T, U>) widens_ = true, widen_ = convert<T, U>;
  }
  template <Literal L>
    requires(kSameKind<T, L>)
  constexpr Arg(L v, u32 line = __builtin_LINE()) : line_(line) {
    literal_ = true;
    exact_ = exact<T>(v);
    if (exact_) bits_ = bits_of<T>(v);
  }
  // The compiler prints these lines, and the line of the kernel.
  // clang-format off
  template <class U> requires(!std::same_as<T, U> && !std::same_as<T, promote_t<U>>)
  Arg(const Expr<U>&, u32 = 0) = delete;  // operands of different types: convert one with .as<T>()
  template <Literal L> requires(!kSameKind<T, L>)
  Arg(L, u32 = 0) = delete;  // a literal of another kind: integers for integers, floats for floats
  // clang-format on

  constexpr Tracer* tracer() const { return tracer_; }  // null for a literal
  constexpr u32 line() const { return line_; }
  // The value's id, appending what it takes to have it.
  constexpr u32 get(Tracer& t) const {
    t.at(line_);
    if (literal_) {
      if (!exact_) t.fail(Err::literal_not_exact, line_);
      return t.build.constant(kTypeOf<T>, bits_);
    }
    if (tracer_ != &t) t.fail(Err::value_of_other_kernel, line_);
    const u32 id = var_ ? t.build.var_load(id_) : id_;
    return widens_ ? widen_(t.build, id) : id;
  }

 private:
  Tracer* tracer_ = nullptr;
  u32 id_ = kNone;
  bool var_ = false, literal_ = false, exact_ = false;
  u32 line_ = 0;
  bool widens_ = false;  // beside it: for g++ 12 with sanitizers a function's address may be null
  u32 (*widen_)(Builder&, u32) = nullptr;
  u64 bits_ = 0;
};

// What Val and Var share: they can be read, and so take part in expressions.
template <class T>
class Expr {
 public:
  using type = T;
  using wide = promote_t<T>;
  using flag =
      typename detail::Promote<std::conditional_t<std::same_as<T, void>, T, bool>>::type;  // bool, later

  constexpr Tracer& tracer() const { return *tracer_; }
  // The value's id at this point, of type T.
  constexpr u32 id() const { return var_ ? tracer_->build.var_load(id_) : id_; }
  // The same as arithmetic takes it.
  constexpr u32 wide_id() const { return convert<wide, T>(tracer_->build, id()); }
  template <Storable U>
  constexpr Val<U> as(u32 line = __builtin_LINE()) const;

  // Of a pair: the half that is first in memory, and the other.
  constexpr auto low() const
    requires PackedPair<T>
  {
    return half(0);
  }
  constexpr auto high() const
    requires PackedPair<T>
  {
    return half(16);
  }

  // A traced value is not known while tracing.
  explicit operator bool() const = delete;

#define GPUIO_BINARY(OP, NAME, KIND)                                  \
  friend constexpr Val<wide> operator OP(const Expr & a, Arg<wide> b) \
    requires KIND                                                     \
  {                                                                   \
    const u32 x = a.wide_id();                                        \
    const u32 y = b.get(*a.tracer_);                                  \
    return {a.tracer_, a.tracer_->build.binary(Op::NAME, x, y)};      \
  }                                                                   \
  template <Literal L>                                                \
  friend constexpr Val<wide> operator OP(L a, const Expr & b)         \
    requires KIND                                                     \
  {                                                                   \
    const u32 x = Arg<wide>(a, 0).get(*b.tracer_);                    \
    const u32 y = b.wide_id();                                        \
    return {b.tracer_, b.tracer_->build.binary(Op::NAME, x, y)};      \
  }
  GPUIO_BINARY(+, add, Number<wide>)
  GPUIO_BINARY(-, sub, Number<wide>)
  GPUIO_BINARY(*, mul, Number<wide>)
  GPUIO_BINARY(/, div, Number<wide>)
  GPUIO_BINARY(%, rem, IntegerNumber<wide>)
  GPUIO_BINARY(&, bit_and, std::integral<wide>)
  GPUIO_BINARY(|, bit_or, std::integral<wide>)
  GPUIO_BINARY(^, bit_xor, std::integral<wide>)
#undef GPUIO_BINARY
#define GPUIO_SHIFT(OP, NAME)                                        \
  friend constexpr Val<wide> operator OP(const Expr & a, Arg<u32> b) \
    requires IntegerNumber<wide>                                     \
  {                                                                  \
    const u32 x = a.wide_id();                                       \
    const u32 y = b.get(*a.tracer_);                                 \
    return {a.tracer_, a.tracer_->build.binary(Op::NAME, x, y)};     \
  }
  GPUIO_SHIFT(<<, shl)
  GPUIO_SHIFT(>>, shr)
#undef GPUIO_SHIFT
#define GPUIO_ORDER(OP, NAME)                                         \
  friend constexpr Val<flag> operator OP(const Expr & a, Arg<wide> b) \
    requires Number<wide>                                             \
  {                                                                   \
    const u32 x = a.wide_id();                                        \
    const u32 y = b.get(*a.tracer_);                                  \
    return {a.tracer_, a.tracer_->build.compare(Op::NAME, x, y)};     \
  }                                                                   \
  template <Literal L>                                                \
  friend constexpr Val<flag> operator OP(L a, const Expr & b)         \
    requires Number<wide>                                             \
  {                                                                   \
    const u32 x = Arg<wide>(a, 0).get(*b.tracer_);                    \
    const u32 y = b.wide_id();                                        \
    return {b.tracer_, b.tracer_->build.compare(Op::NAME, x, y)};     \
  }
  GPUIO_ORDER(<, lt)
  GPUIO_ORDER(<=, le)
  GPUIO_ORDER(>, gt)
  GPUIO_ORDER(>=, ge)
#undef GPUIO_ORDER

  friend constexpr Val<wide> operator-(const Expr& a)
    requires Number<wide>
  {
    return {a.tracer_, a.tracer_->build.unary(Op::neg, a.wide_id())};
  }
  friend constexpr Val<wide> operator~(const Expr& a)
    requires IntegerNumber<wide>
  {
    return {a.tracer_, a.tracer_->build.unary(Op::bit_not, a.wide_id())};
  }
  friend constexpr Val<flag> operator!(const Expr& a)
    requires std::same_as<T, bool>
  {
    return {a.tracer_, a.tracer_->build.unary(Op::bit_not, a.id())};
  }
  template <class U>
  friend void operator&&(const Expr&, const U&) = delete;
  template <class U>
  friend void operator||(const Expr&, const U&) = delete;

 protected:
  constexpr Expr(Tracer* t, u32 id, bool var) : tracer_(t), id_(id), var_(var) {}
  constexpr Expr(const Expr&) = default;
  Expr& operator=(const Expr&) = delete;
  ~Expr() = default;

  constexpr Val<half_t<T>> half(u32 from) const {
    Builder& b = tracer_->build;
    const u32 word = id();
    const u32 moved = from ? b.binary(Op::shr, word, b.constant(Type::u32, from)) : word;
    return {tracer_, b.bitcast(kTypeOf<half_t<T>>, b.cast(Type::u16, moved))};
  }

  Tracer* tracer_;
  u32 id_;  // of the instruction, or of the var
  bool var_;

  template <Storable>
  friend class Arg;
};

template <class T>
class Val : public Expr<T> {
 public:
  constexpr Val(Tracer* t, u32 id) : Expr<T>(t, id, false) {}
  constexpr Val(const Val&) = default;
  constexpr Val(const Expr<T>& e) : Expr<T>(&e.tracer(), e.id(), false) {}
  // A value is assigned once: use k.var() for what changes, and InOut for memory that is written.
  Val& operator=(const Val&) = delete;
  template <class U>
  void operator=(const U&) const = delete;
};

template <class T>
class Var : public Expr<T> {
 public:
  constexpr Var(Tracer* t, u32 var) : Expr<T>(t, var, true) {}
  Var(const Var&) = delete;  // `auto v = var;` would be an alias or a copy, which nobody can see

  constexpr void operator=(Arg<T> v) { store(v.get(this->tracer())); }
  constexpr void operator=(const Var& v) { store(v.id()); }
  constexpr Val<T> get() const { return {this->tracer_, this->id()}; }

#define GPUIO_UPDATE_BY(OP, B, KIND)      \
  constexpr void operator OP##=(Arg<B> b) \
    requires KIND                         \
  {                                       \
    *this = Val<T>(*this) OP b;           \
  }
  GPUIO_UPDATE_BY(+, T, Number<T> || PackedPair<T>)
  GPUIO_UPDATE_BY(-, T, Number<T> || PackedPair<T>)
  GPUIO_UPDATE_BY(*, T, Number<T> || PackedPair<T>)
  GPUIO_UPDATE_BY(/, T, Number<T>)
  GPUIO_UPDATE_BY(%, T, IntegerNumber<T>)
  GPUIO_UPDATE_BY(&, T, std::integral<T>)
  GPUIO_UPDATE_BY(|, T, std::integral<T>)
  GPUIO_UPDATE_BY(^, T, std::integral<T>)
  GPUIO_UPDATE_BY(<<, u32, IntegerNumber<T>)
  GPUIO_UPDATE_BY(>>, u32, IntegerNumber<T>)
#undef GPUIO_UPDATE_BY

 private:
  constexpr void store(u32 value) { this->tracer_->build.var_store(this->id_, value); }
};

template <class T>
template <Storable U>
constexpr Val<U> Expr<T>::as(u32 line) const {
  static_assert(std::same_as<T, U> || (!PackedPair<T> && !PackedPair<U>),
                "a pair is two numbers: convert .low() and .high(), or bitcast<u32>");
  tracer_->at(line);
  const u32 v = id();
  return {tracer_, convert<U, T>(tracer_->build, v)};
}

namespace detail {
template <class T, class U>
constexpr Val<bool> equality(Op op, const Expr<T>& a, const Expr<U>& b) {
  static_assert(std::same_as<promote_t<T>, promote_t<U>>,
                "operands of different types: convert one with .as<T>()");
  static_assert(!PackedPair<T>, "a pair is two numbers: compare .low() and .high(), or bitcast<u32>");
  Tracer& t = a.tracer();
  const u32 x = a.wide_id();
  const u32 y = b.wide_id();
  return {&t, t.build.compare(op, x, y)};
}
template <class T, Literal L>
constexpr Val<bool> equality(Op op, const Expr<T>& a, L b) {
  Tracer& t = a.tracer();
  const u32 x = a.wide_id();
  const u32 y = Arg<promote_t<T>>(b, 0).get(t);
  return {&t, t.build.compare(op, x, y)};
}
template <class T>
constexpr Val<promote_t<T>> unary(Op op, const Expr<T>& a, u32 line) {
  a.tracer().at(line);
  return {&a.tracer(), a.tracer().build.unary(op, a.wide_id())};
}
}  // namespace detail

// == and != stand apart: as friends with a converting operand, C++20's reversed candidates make them
// ambiguous.
template <class T, class U>
constexpr Val<bool> operator==(const Expr<T>& a, const Expr<U>& b) {
  return detail::equality(Op::eq, a, b);
}
template <class T, class U>
constexpr Val<bool> operator!=(const Expr<T>& a, const Expr<U>& b) {
  return detail::equality(Op::ne, a, b);
}
template <class T, Literal L>
constexpr Val<bool> operator==(const Expr<T>& a, L b) {
  return detail::equality(Op::eq, a, b);
}
template <class T, Literal L>
constexpr Val<bool> operator!=(const Expr<T>& a, L b) {
  return detail::equality(Op::ne, a, b);
}
template <class T, Literal L>
constexpr Val<bool> operator==(L a, const Expr<T>& b) {
  return detail::equality(Op::eq, b, a);
}
template <class T, Literal L>
constexpr Val<bool> operator!=(L a, const Expr<T>& b) {
  return detail::equality(Op::ne, b, a);
}

// --- Functions ------------------------------------------------------------------------------------------

template <class U, class T>
constexpr Val<U> cast(const Expr<T>& a, u32 line = __builtin_LINE()) {
  return a.template as<U>(line);
}
template <Storable U, class T>
constexpr Val<U> bitcast(const Expr<T>& a, u32 line = __builtin_LINE()) {
  static_assert(sizeof(U) == sizeof(T) && !std::same_as<U, bool> && !std::same_as<T, bool>,
                "a bitcast is between types of one size");
  a.tracer().at(line);
  const u32 v = a.id();
  return {&a.tracer(), kTypeOf<U> == kTypeOf<T> ? v : a.tracer().build.bitcast(kTypeOf<U>, v)};
}

#define GPUIO_TWO(NAME)                                                     \
  template <class T>                                                        \
    requires Number<promote_t<T>>                                           \
  constexpr Val<promote_t<T>> NAME(const Expr<T>& a, Arg<promote_t<T>> b) { \
    Tracer& t = a.tracer();                                                 \
    const u32 x = a.wide_id();                                              \
    const u32 y = b.get(t);                                                 \
    return {&t, t.build.binary(Op::NAME, x, y)};                            \
  }
GPUIO_TWO(min)
GPUIO_TWO(max)
#undef GPUIO_TWO
#define GPUIO_ONE(NAME, KIND)                                                       \
  template <class T>                                                                \
    requires KIND                                                                   \
  constexpr Val<promote_t<T>> NAME(const Expr<T>& a, u32 line = __builtin_LINE()) { \
    return detail::unary(Op::NAME, a, line);                                        \
  }
GPUIO_ONE(abs, Number<promote_t<T>>)
GPUIO_ONE(sqrt, FloatNumber<promote_t<T>>)
GPUIO_ONE(floor, FloatNumber<promote_t<T>>)
// Of f32: within 4 ulp or 2^-20; sin and cos on |x| <= 100. Those of f64 are in math64.hpp.
GPUIO_ONE(exp2, (std::same_as<promote_t<T>, f32>))
GPUIO_ONE(log2, (std::same_as<promote_t<T>, f32>))
GPUIO_ONE(sin, (std::same_as<promote_t<T>, f32>))
GPUIO_ONE(cos, (std::same_as<promote_t<T>, f32>))
#undef GPUIO_ONE

// a * b + c, rounded once.
template <class T>
  requires FloatNumber<promote_t<T>>
constexpr Val<promote_t<T>> fma(const Expr<T>& a, Arg<promote_t<T>> b, Arg<promote_t<T>> c) {
  Tracer& t = a.tracer();
  const u32 x = a.wide_id();
  const u32 y = b.get(t);
  const u32 z = c.get(t);
  return {&t, t.build.fma(x, y, z)};
}
template <class T>
  requires IntegerNumber<promote_t<T>>
constexpr Val<u32> popcount(const Expr<T>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return {&a.tracer(), a.tracer().build.unary(Op::popcount, a.wide_id())};
}
// Of the value as arithmetic takes it: a u8 has at least 24. Of zero: the width.
template <class T>
  requires IntegerNumber<promote_t<T>>
constexpr Val<u32> count_leading_zeros(const Expr<T>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return {&a.tracer(), a.tracer().build.unary(Op::count_leading_zeros, a.wide_id())};
}

// a where the condition holds, else b; both are evaluated.
template <class T>
constexpr Val<T> select(Arg<bool> condition, const Expr<T>& a, std::type_identity_t<Arg<T>> b) {
  Tracer& t = a.tracer();
  const u32 c = condition.get(t);
  const u32 x = a.id();
  const u32 y = b.get(t);
  return {&t, t.build.select(c, x, y)};
}
template <Literal L, class T>
constexpr Val<T> select(Arg<bool> condition, L a, const Expr<T>& b) {
  Tracer& t = b.tracer();
  const u32 c = condition.get(t);
  const u32 x = Arg<T>(a, 0).get(t);
  const u32 y = b.id();
  return {&t, t.build.select(c, x, y)};
}

// --- Subgroup: among the lanes of the subgroup that execute it together. Its size is the device's. --------

// The value of another lane; from a lane that is absent or not here: the own value.
#define GPUIO_SHUFFLE(NAME, MODE)                                     \
  template <class T>                                                  \
    requires Number<promote_t<T>> || PackedPair<T>                    \
  constexpr Val<promote_t<T>> NAME(const Expr<T>& a, Arg<u32> lane) { \
    Tracer& t = a.tracer();                                           \
    const u32 v = a.wide_id();                                        \
    const u32 l = lane.get(t);                                        \
    return {&t, t.build.shuffle(Shuffle::MODE, v, l)};                \
  }
GPUIO_SHUFFLE(shuffle, lane)              // of that lane
GPUIO_SHUFFLE(shuffle_xor, exclusive_or)  // of the own lane ^ mask
GPUIO_SHUFFLE(shuffle_up, up)             // of the own lane - distance
GPUIO_SHUFFLE(shuffle_down, down)         // of the own lane + distance
#undef GPUIO_SHUFFLE

constexpr Val<bool> any(const Expr<bool>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return {&a.tracer(), a.tracer().build.vote(Vote::any, a.id())};
}
constexpr Val<bool> all(const Expr<bool>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return {&a.tracer(), a.tracer().build.vote(Vote::all, a.id())};
}
constexpr Val<u64> ballot(const Expr<bool>& a, u32 line = __builtin_LINE()) {  // bit = lane
  a.tracer().at(line);
  return {&a.tracer(), a.tracer().build.ballot(a.id())};
}

#define GPUIO_REDUCE(NAME, KIND)                                                               \
  template <class T>                                                                           \
    requires KIND                                                                              \
  constexpr Val<promote_t<T>> subgroup_##NAME(const Expr<T>& a, u32 line = __builtin_LINE()) { \
    a.tracer().at(line);                                                                       \
    return {&a.tracer(), a.tracer().build.reduce(Rmw::NAME, a.wide_id())};                     \
  }
GPUIO_REDUCE(add, Number<promote_t<T>>)
GPUIO_REDUCE(min, Number<promote_t<T>>)
GPUIO_REDUCE(max, Number<promote_t<T>>)
GPUIO_REDUCE(bit_and, IntegerNumber<promote_t<T>>)
GPUIO_REDUCE(bit_or, IntegerNumber<promote_t<T>>)
GPUIO_REDUCE(bit_xor, IntegerNumber<promote_t<T>>)
#undef GPUIO_REDUCE

}  // namespace gpuio::kernel
