// What each scalar operation of the IR computes, once, for everything that runs kernels on a host: the
// interpreter, constant folding and the CPU device. It is the executable form of the comment in ir.hpp.
//
// A value travels as its bits zero-extended to 64 (`u64`), whatever its type; booleans are 0 or 1. Two
// levels: functions over the C++ type (`binary<f32>(Op::add, x, y)`; with a constant Op they inline to the
// one operation) and functions over raw bits that switch on the IR's Type (`eval_binary(op, type, a, b)`).
//
// Where ir.hpp leaves a choice, it is made here: casts to f16 and bf16 go through f32 (two roundings, what a
// device without direct conversions does); a NaN result is what the host's arithmetic yields.
//
// Pure functions; constexpr, except fma sqrt exp2 log2 sin cos on floats, and float results that overflow,
// which a constant evaluation rejects. Needs round-to-nearest and -ffp-contract=off. An operation that a
// type does not have is a mistake of the caller (verify.hpp refuses it) and yields 0.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>

#include <gpuio/kernel/small_floats.hpp>

namespace gpuio::kernel {

// --- Representation -------------------------------------------------------------------------------------

constexpr bool is_compare(Op op) { return op >= Op::eq && op <= Op::ge; }

// The low bits that a type keeps.
constexpr u64 truncate_to(Type t, u64 bits) {
  const u32 size = size_of(t);
  if (t == Type::boolean) return bits & 1;
  return size >= 8 ? bits : bits & ((u64{1} << (size * 8)) - 1);
}

template <class T>
constexpr T from_bits(u64 bits) {
  if constexpr (std::is_same_v<T, bool>) {
    return (bits & 1) != 0;
  } else if constexpr (std::is_same_v<T, f32>) {
    return std::bit_cast<f32>(u32(bits));
  } else if constexpr (std::is_same_v<T, f64>) {
    return std::bit_cast<f64>(bits);
  } else {
    return T(bits);
  }
}

template <class T>
constexpr u64 to_bits(T value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? 1 : 0;
  } else if constexpr (std::is_same_v<T, f32>) {
    return std::bit_cast<u32>(value);
  } else if constexpr (std::is_same_v<T, f64>) {
    return std::bit_cast<u64>(value);
  } else {
    return u64(std::make_unsigned_t<T>(value));
  }
}

// Calls f(T{}) with the C++ type that arithmetic on `t` uses; yields `otherwise` for types without.
template <class R, class F>
constexpr R with_arithmetic_type(Type t, R otherwise, F&& f) {
  switch (t) {
    case Type::u32: return f(u32{});
    case Type::i32: return f(i32{});
    case Type::u64: return f(u64{});
    case Type::i64: return f(i64{});
    case Type::f32: return f(f32{});
    case Type::f64: return f(f64{});
    default: return otherwise;
  }
}

// --- Typed operations -----------------------------------------------------------------------------------

template <class T>
constexpr T negate(T a) {
  if constexpr (std::is_floating_point_v<T>) {
    return -a;
  } else {
    return T(std::make_unsigned_t<T>(0) - std::make_unsigned_t<T>(a));
  }
}

template <class T>
constexpr T absolute(T a) {
  if constexpr (std::is_same_v<T, f32>) {
    return std::bit_cast<f32>(std::bit_cast<u32>(a) & 0x7fffffffu);
  } else if constexpr (std::is_same_v<T, f64>) {
    return std::bit_cast<f64>(std::bit_cast<u64>(a) & 0x7fffffffffffffffull);
  } else {
    return a < T(0) ? negate(a) : a;
  }
}

template <std::floating_point T>
constexpr T round_down(T a) {
  constexpr T whole = std::is_same_v<T, f32> ? T(8388608) : T(4503599627370496);  // no fractions from here
  if (!(absolute(a) < whole) || a == T(0)) return a;
  const T cut = T(i64(a));
  return cut > a ? cut - T(1) : cut;
}

template <class T>
constexpr T minimum(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return b;
    if (b != b) return a;
  }
  return b < a ? b : a;
}

template <class T>
constexpr T maximum(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return b;
    if (b != b) return a;
  }
  return a < b ? b : a;
}

template <class T>
constexpr T divide(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::is_constant_evaluated() && b == T(0)) {  // which constant evaluation does not divide by
      if (a == T(0) || a != a) return std::numeric_limits<T>::quiet_NaN();
      const bool minus = (to_bits(a) ^ to_bits(b)) >> (sizeof(T) * 8 - 1) != 0;
      return minus ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    }
    return a / b;
  } else {
    if (b == T(0)) return T(~T(0));
    if constexpr (std::is_signed_v<T>) {
      if (b == T(-1)) return negate(a);  // INT_MIN / -1 wraps
    }
    return T(a / b);
  }
}

template <std::integral T>
constexpr T remainder(T a, T b) {
  if (b == T(0)) return a;
  if constexpr (std::is_signed_v<T>) {
    if (b == T(-1)) return T(0);
  }
  return T(a % b);
}

// add to bit_xor, by two operands of one type.
template <class T>
constexpr T binary(Op op, T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    switch (op) {
      case Op::add: return T(U(U(a) + U(b)));
      case Op::sub: return T(U(U(a) - U(b)));
      case Op::mul: return T(U(U(a) * U(b)));
      case Op::rem: return remainder(a, b);
      case Op::bit_and: return T(a & b);
      case Op::bit_or: return T(a | b);
      case Op::bit_xor: return T(a ^ b);
      default: break;
    }
  } else {
    switch (op) {
      case Op::add: return a + b;
      case Op::sub: return a - b;
      case Op::mul: return a * b;
      default: break;
    }
  }
  switch (op) {
    case Op::div: return divide(a, b);
    case Op::min: return minimum(a, b);
    case Op::max: return maximum(a, b);
    default: return T(0);
  }
}

template <std::integral T>
constexpr T shift(Op op, T a, u32 count) {
  count &= u32(sizeof(T) * 8 - 1);
  return op == Op::shl ? T(std::make_unsigned_t<T>(a) << count) : T(a >> count);
}

// neg abs bit_not sqrt exp2 log2 sin cos floor. The transcendental ones are computed in f64 and rounded, so
// that they are within one ulp.
template <class T>
constexpr T unary(Op op, T a) {
  if (op == Op::neg) return negate(a);
  if (op == Op::abs) return absolute(a);
  if constexpr (std::is_integral_v<T>) {
    return op == Op::bit_not ? T(~a) : T(0);
  } else {
    switch (op) {
      case Op::floor: return round_down(a);
      case Op::sqrt: return std::sqrt(a);
      case Op::exp2: return T(std::exp2(f64(a)));
      case Op::log2: return T(std::log2(f64(a)));
      case Op::sin: return T(std::sin(f64(a)));
      case Op::cos: return T(std::cos(f64(a)));
      default: return T(0);
    }
  }
}

template <class T>
constexpr bool compare(Op op, T a, T b) {
  switch (op) {
    case Op::eq: return a == b;
    case Op::ne: return a != b;
    case Op::lt: return a < b;
    case Op::le: return a <= b;
    case Op::gt: return a > b;
    case Op::ge: return a >= b;
    default: return false;
  }
}

// The integer nearest to zero from `a` that `I` can hold; NaN gives 0.
template <std::integral I, std::floating_point F>
constexpr I saturate(F a) {
  if (a != a) return 0;
  // One past the largest value is a power of two and so exact in any float.
  constexpr F above = F(u64{1} << (std::numeric_limits<I>::digits - 1)) * F(2);
  if (a >= above) return std::numeric_limits<I>::max();
  if constexpr (std::is_signed_v<I>) {
    if (a <= -above) return std::numeric_limits<I>::min();
  } else {
    if (a <= F(0)) return 0;
  }
  return I(a);
}

// What a read-modify-write leaves in memory.
template <std::integral T>
constexpr T rmw_result(Rmw how, T old, T operand) {
  switch (how) {
    case Rmw::add: return binary(Op::add, old, operand);
    case Rmw::min: return minimum(old, operand);
    case Rmw::max: return maximum(old, operand);
    case Rmw::bit_and: return T(old & operand);
    case Rmw::bit_or: return T(old | operand);
    case Rmw::bit_xor: return T(old ^ operand);
    case Rmw::exchange: return operand;
  }
  return old;
}

// --- Over raw bits --------------------------------------------------------------------------------------

constexpr u64 eval_unary(Op op, Type type, u64 a) {
  if (type == Type::boolean) return op == Op::bit_not ? (a ^ 1) & 1 : 0;
  return with_arithmetic_type(type, u64{0}, [&](auto zero) {
    using T = decltype(zero);
    return to_bits(unary(op, from_bits<T>(a)));
  });
}

// popcount and count_leading_zeros, of a value of type `from`.
constexpr u64 eval_count(Op op, Type from, u64 a) {
  a = truncate_to(from, a);
  if (op == Op::popcount) return u64(std::popcount(a));
  return u64(std::countl_zero(a)) - (64 - size_of(from) * 8);
}

constexpr u64 eval_binary(Op op, Type type, u64 a, u64 b) {
  if (type == Type::boolean) {
    if (op == Op::bit_and) return a & b & 1;
    if (op == Op::bit_or) return (a | b) & 1;
    return op == Op::bit_xor ? (a ^ b) & 1 : 0;
  }
  return with_arithmetic_type(type, u64{0}, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) {
      if (op == Op::shl || op == Op::shr) return to_bits(shift(op, from_bits<T>(a), u32(b)));
    }
    return to_bits(binary(op, from_bits<T>(a), from_bits<T>(b)));
  });
}

constexpr u64 eval_fma(Type type, u64 a, u64 b, u64 c) {
  if (type == Type::f32) return to_bits(std::fma(from_bits<f32>(a), from_bits<f32>(b), from_bits<f32>(c)));
  if (type == Type::f64) return to_bits(std::fma(from_bits<f64>(a), from_bits<f64>(b), from_bits<f64>(c)));
  return 0;
}

constexpr bool eval_compare(Op op, Type from, u64 a, u64 b) {
  if (from == Type::boolean) return compare(op, a & 1, b & 1);
  return with_arithmetic_type(from, false, [&](auto zero) {
    using T = decltype(zero);
    return compare(op, from_bits<T>(a), from_bits<T>(b));
  });
}

constexpr u64 eval_rmw(Rmw how, Type type, u64 old, u64 operand) {
  return with_arithmetic_type(type, old, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>) {
      return to_bits(rmw_result(how, from_bits<T>(old), from_bits<T>(operand)));
    } else {
      return old;
    }
  });
}

// subgroup_reduce: as eval_rmw, and add min max on floats too.
constexpr u64 eval_reduce(Rmw how, Type type, u64 a, u64 b) {
  if (!is_float(type)) return eval_rmw(how, type, a, b);
  const Op op = how == Rmw::min ? Op::min : how == Rmw::max ? Op::max : Op::add;
  return eval_binary(op, type, a, b);
}

namespace detail {

template <std::floating_point F>
constexpr u64 cast_float(Type to, F a) {
  switch (to) {
    case Type::boolean: return a != F(0) ? 1 : 0;
    case Type::u8: return to_bits(saturate<u8>(a));
    case Type::i8: return to_bits(saturate<i8>(a));
    case Type::u16: return to_bits(saturate<u16>(a));
    case Type::i16: return to_bits(saturate<i16>(a));
    case Type::u32: return to_bits(saturate<u32>(a));
    case Type::i32: return to_bits(saturate<i32>(a));
    case Type::u64: return to_bits(saturate<u64>(a));
    case Type::i64: return to_bits(saturate<i64>(a));
    case Type::f16: return f32_to_f16(f32(a));
    case Type::bf16: return f32_to_bf16(f32(a));
    case Type::f32: return to_bits(f32(a));
    case Type::f64: return to_bits(f64(a));
    case Type::none: break;
  }
  return 0;
}

template <std::integral I>
constexpr u64 cast_integer(Type to, I a) {
  switch (to) {
    case Type::f16: return f32_to_f16(f32(a));
    case Type::bf16: return f32_to_bf16(f32(a));
    case Type::f32: return to_bits(f32(a));
    case Type::f64: return to_bits(f64(a));
    case Type::boolean: return a != 0 ? 1 : 0;
    default: return truncate_to(to, u64(a));
  }
}

}  // namespace detail

constexpr u64 eval_cast(Type to, Type from, u64 a) {
  switch (from) {
    case Type::f16: return detail::cast_float(to, f16_to_f32(u16(a)));
    case Type::bf16: return detail::cast_float(to, bf16_to_f32(u16(a)));
    case Type::f32: return detail::cast_float(to, from_bits<f32>(a));
    case Type::f64: return detail::cast_float(to, from_bits<f64>(a));
    case Type::i8: return detail::cast_integer(to, i64(i8(a)));
    case Type::i16: return detail::cast_integer(to, i64(i16(a)));
    case Type::i32: return detail::cast_integer(to, i64(i32(a)));
    case Type::i64: return detail::cast_integer(to, i64(a));
    default: return detail::cast_integer(to, truncate_to(from, a));
  }
}

// --- Pairs of halves ------------------------------------------------------------------------------------

namespace detail {

// `sum` is a number rounded to nearest, `error` what it lacks (its sign counts): the same number rounded to
// odd, that is exact, or the neighbour whose last bit is 1. Rounding that to a type with two bits less is as
// rounding the number itself: what is odd is neither a number of the type nor halfway between two.
template <std::floating_point F>
constexpr F to_odd(F sum, F error) {
  using U = std::conditional_t<sizeof(F) == 4, u32, u64>;
  const U bits = std::bit_cast<U>(sum);
  const bool exact = error == F(0) || error != error || (bits & 1) != 0;  // NaN: the sum is not finite
  const bool shrinks = (error < F(0)) != (bits >> (sizeof(F) * 8 - 1) != 0);
  return exact ? sum : std::bit_cast<F>(shrinks ? U(bits - 1) : U(bits + 1));
}
// a + b rounded to odd; the error is Knuth's TwoSum.
template <std::floating_point F>
constexpr F add_to_odd(F a, F b) {
  const F sum = a + b, of_b = sum - a, of_a = sum - of_b;
  return to_odd(sum, (a - of_a) + (b - of_b));
}

template <Type half>
constexpr f32 widen_half(u16 a) {
  if constexpr (half == Type::f16) return f16_to_f32(a);
  else return bf16_to_f32(a);
}
template <Type half>
constexpr u16 narrow_half(f32 a) {
  if constexpr (half == Type::f16) return f32_to_f16(a);
  else return f32_to_bf16(a);
}
// Of 22 bits, between 2^-48 and 2^32, a product of two f16 is exact in f32; its sum with a third is rounded
// to 24 bits, to odd, then to 11. Products of bf16 leave the range of f32: theirs are exact in f64, and the
// sum is rounded to odd twice, to 53 and to 24 bits (f32 has 15 more places than a subnormal bf16), before it
// is rounded to 8.
template <Type half>
constexpr u16 half_fma(u16 a, u16 b, u16 c) {
  if constexpr (half == Type::f16) {
    return f32_to_f16(add_to_odd(f16_to_f32(a) * f16_to_f32(b), f16_to_f32(c)));
  } else {
    const f64 sum = add_to_odd(f64(bf16_to_f32(a)) * f64(bf16_to_f32(b)), f64(bf16_to_f32(c)));
    const f32 single = f32(sum);
    return f32_to_bf16(to_odd(single, f32(sum > f64(single)) - f32(sum < f64(single))));
  }
}
// A sum in f32 may be rounded again: its 24 bits are two more than twice f16's 11, and bf16 has 8.
template <Type half>
constexpr u16 half_binary(Op op, u16 a, u16 b) {
  if (op == Op::pair_mul) return half_fma<half>(a, b, 0x8000);  // + -0, which leaves -0
  const f32 x = widen_half<half>(a), y = widen_half<half>(b);
  switch (op) {
    case Op::pair_add: return narrow_half<half>(x + y);
    case Op::pair_sub: return narrow_half<half>(x - y);
    case Op::pair_min: return narrow_half<half>(minimum(x, y));
    case Op::pair_max: return narrow_half<half>(maximum(x, y));
    default: return 0;
  }
}

}  // namespace detail

// Of both halves; c counts for pair_fma alone.
template <Type half>
constexpr u32 pair(Op op, u32 a, u32 b, u32 c) {
  const bool fused = op == Op::pair_fma;
  const u16 low =
      fused ? detail::half_fma<half>(u16(a), u16(b), u16(c)) : detail::half_binary<half>(op, u16(a), u16(b));
  const u16 high = fused ? detail::half_fma<half>(u16(a >> 16), u16(b >> 16), u16(c >> 16))
                         : detail::half_binary<half>(op, u16(a >> 16), u16(b >> 16));
  return u32(low) | u32(high) << 16;
}
constexpr u32 eval_pair(Op op, Type half, u32 a, u32 b, u32 c) {
  return half == Type::f16 ? pair<Type::f16>(op, a, b, c) : pair<Type::bf16>(op, a, b, c);
}

}  // namespace gpuio::kernel
