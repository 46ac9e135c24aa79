// The mathematical functions of f64: exp2 log2 sin cos, and those that math.hpp has for f32.
//
//   out[i] = exp(-0.5 * x[i] * x[i]) * cos(y[i]);      // In<f64>
//
// What math.hpp says of its own holds: traced into arithmetic that is correctly rounded, into no fma, so that
// a result has the same bits on every device; NaN, infinities, zeros and subnormal numbers as in C. There is
// no table in memory, and no branch.
//
// Each is within one ulp where nothing else is said: the largest errors found, over a million arguments of
// all sizes each, were 0.9 ulp (erf 1.4, pow 1.2). An exp is some 90 instructions, sin 120, pow 340. sin and
// cos are those of |x| < 2^30. From there on they give a NaN, as at infinity: more bits of pi / 2 than the
// 150 that are held here would be needed.
//
// Coefficients are those of Chebyshev interpolation at 90 digits (chebyfit of mpmath), rounded; beside each
// is the function and the interval. Constants in pieces have as many bits as make products with small
// integers exact.
#pragma once

#include <gpuio/kernel/math.hpp>

namespace gpuio::kernel {

namespace detail {
template <class T>
concept Real64 = std::same_as<promote_t<T>, f64>;
using V64 = Val<f64>;
using Two64 = Two<f64>;

// Pieces of constants: the first 41 bits of ln 2 and log10 2, for multiples up to 2^12; 26 bits for products
// with one half of a split.
inline constexpr f64 kLn2First = 0x1.62e42fefa4p-1, kLn2Second = -0x1.8432a1b0e2634p-43,
                     kLg2First = 0x1.34413509f8p-2, kLg2Second = -0x1.80433b83b532ap-44,
                     kLog2E = 0x1.71547652b82fep+0, kLog2ESecond = 0x1.777d0ffda0d24p-56,
                     kLog10E = 0x1.bcb7b1526e50ep-2, kLog10ESecond = 0x1.95355baaafad3p-57;

constexpr V64 power_of_two(const Val<i64>& k) { return bitcast<f64>((k + 1023) << 52, 0); }
// 2^n * e, in two steps, so that neither power of two overflows and a subnormal result is rounded once.
constexpr V64 scaled(const V64& n, const V64& e) {
  const Val<i64> whole = n.as<i64>(0), first = whole >> 1;
  return e * power_of_two(first) * power_of_two(whole - first);
}
// e^(high + low) - 1 - high, for |high| <= ln(2) / 2 and a low that is small beside it.
constexpr V64 exp_rest(const V64& high, const V64& low) {
  const V64 r = high + low;  // (e^r - 1 - r) / r^2, |r| <= ln(2) / 2
  const V64 q = polynomial(
      r, {0x1.1f730349868cep-29, 0x1.af4de97ca4194p-26, 0x1.27e4db646b17ep-22, 0x1.71de0231960ebp-19,
          0x1.a01a01a6d889cp-16, 0x1.a01a01abe7fe1p-13, 0x1.6c16c16c162d4p-10, 0x1.11111111100dcp-7,
          0x1.5555555555556p-5, 0x1.5555555555557p-3, 0x1.0p-1});
  return low + r * r * q;
}
constexpr Two64 exp_twice(const V64& high, const V64& low) {
  const Two64 one = sum(constant_of(high, 1.0), high);
  return sum(one.high, one.low + exp_rest(high, low));
}
// x = n * ln(2) + high + low; high is exact.
struct Reduced {
  V64 n, high, low;
};
constexpr Reduced reduced(const V64& x, const V64& less) {
  const V64 n = floor(x * kLog2E + 0.5, 0);
  return {n, x - n * kLn2First, less - n * kLn2Second};
}
constexpr V64 exp_of(const V64& x, const V64& less) {
  const auto [n, high, low] = reduced(x, less);
  return scaled(n, exp_twice(high, low).high);
}
constexpr Two64 sum_of_any(const V64& a, const V64& b) {  // exact, whichever is larger
  const V64 s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
// (high + low) * (first + second), as much of it as exp_twice takes; first has 26 bits.
constexpr Two64 times(const V64& high, const V64& low, f64 first, f64 second) {
  const Two64 x = split(high);
  return {x.high * first, x.high * second + (x.low + low) * (first + second)};
}
// a / b, rounded little more than once.
constexpr V64 quotient(const Two64& a, const Two64& b) {
  const V64 q = a.high / b.high;
  const Two64 back = product(q, b.high);
  return q + (((a.high - back.high) - back.low) + (a.low - q * b.low)) / b.high;
}

// x > 0 as 2^exponent * m, m in [sqrt(1/2), sqrt(2)), and log(m): to some 58 bits, or to 65 where pow needs
// them.
struct Logarithm {
  V64 exponent;
  Two64 rest;
};
template <bool kMore>
constexpr Logarithm log_twice(const V64& x) {
  const Val<bool> small = x < 0x1p-1022;
  const Val<i64> bits = bitcast<i64>(select(small, x * 0x1p54, x), 0);
  const Val<i64> e = (bits - std::bit_cast<i64>(0x1.6a09e667f3bcdp-1)) >> 52;
  const V64 exponent = (e - select(small, 54, constant_of(e, i64{0}))).as<f64>(0);
  const V64 f = bitcast<f64>(bits - (e << 52), 0) - 1.0;
  // log(1 + f) = 2 atanh(s), s = f / (2 + f).
  const V64 d = f + 2.0, d_low = f - (d - 2.0), s = f / d;
  const Two64 back = product(s, d);
  const V64 s_low = ((f - back.high) - back.low - s * d_low) / d, z = s * s;
  // ((atanh(s) / s - 1) / z - 1/3) / z, z = s^2 <= (3 - sqrt(8))^2
  const V64 q =
      polynomial(z, {0x1.e02e6fff27908p-5, 0x1.df7cc8e5fa539p-5, 0x1.1118c7e4b0917p-4, 0x1.3b1395d2190c1p-4,
                     0x1.745d177a96056p-4, 0x1.c71c71c6eaa10p-4, 0x1.2492492492521p-3, 0x1.999999999999ap-3});
  constexpr f64 third = 0x1.5555555555555p-2;
  const V64 twice = s + s;
  if constexpr (!kMore) {
    return {exponent, sum(twice, (s_low + s_low) + twice * (z * (third + z * q)))};
  } else {
    const Two64 square = product(s, s), part = product(square.high, constant_of(x, third));
    const V64 square_low = square.low + twice * s_low;
    const V64 part_low = part.low + (square.high * 0x1.5555555555555p-56 + square_low * third);
    const Two64 w = sum(part.high, part_low + z * z * q), v = product(twice, w.high);
    const Two64 first = sum(twice, v.high);
    const V64 v_low = v.low + (twice * w.low + (s_low + s_low) * w.high);
    return {exponent, sum(first.high, first.low + ((s_low + s_low) + v_low))};
  }
}
constexpr Two64 times(const Two64& a, f64 high, f64 low) {
  const Two64 p = product(a.high, constant_of(a.high, high));
  return {p.high, p.low + (a.high * low + a.low * high)};
}
// exponent * (first + second) + rest.
constexpr Two64 with_exponent(const V64& exponent, f64 first, f64 second, const Two64& rest) {
  const Two64 whole = sum(exponent * first, rest.high);
  return sum(whole.high, whole.low + (rest.low + exponent * second));
}

constexpr V64 tanh_of(const V64& x) {
  const V64 a = abs(x, 0);
  // e^2a - 1 over that and 2 more.
  const auto [n, high, low] = reduced(within(a + a, 0.0, 45.0), constant_of(a, 0.0));
  const V64 p = power_of_two(n.as<i64>(0));
  const Two64 part = sum(p - 1.0, p * high);
  const Two64 top = sum(part.high, part.low + p * exp_rest(high, low));
  const Two64 d = sum_of_any(top.high, constant_of(a, 2.0));
  return keep_nan(x, copysign(quotient(top, {d.high, d.low + top.low}), x, 0));
}
constexpr V64 sigmoid_of(const V64& x) {
  const auto [n, high, low] = reduced(within(-abs(x, 0), -746.0, 0.0), constant_of(x, 0.0));
  const Two64 e = exp_twice(high, low);
  const V64 e_high = scaled(n, e.high), e_low = scaled(n, e.low);
  const Two64 d = sum(constant_of(x, 1.0), e_high);
  const Val<bool> below = x < 0.0;
  const V64 one = constant_of(x, 1.0), zero = constant_of(x, 0.0);
  return keep_nan(
      x, quotient({select(below, e_high, one), select(below, e_low, zero)}, {d.high, d.low + e_low}));
}
constexpr V64 erf_of(const V64& x) {
  const V64 a = abs(x, 0), one = constant_of(x, 1.0);
  // erf(x) / x - 1 in x^2, |x| < 1
  const V64 near = polynomial(
      x * x, {-0x1.ac9585a44fe29p-31, 0x1.d76af6ca49787p-27, -0x1.5c131500d3f88p-23, 0x1.b981d78881a5dp-20,
              -0x1.f4ca838adb73bp-17, 0x1.f9a2be4f731a1p-14, -0x1.c02db0665e53dp-11, 0x1.565bccfa44156p-8,
              -0x1.b82ce31203772p-6, 0x1.ce2f21a040f66p-4, -0x1.812746b0379c1p-2, 0x1.06eba8214db68p-3});
  // (1 - erf(t)) * e^(t^2) in (t - 3) / (t + 3), t from 1 to 6, where erf is 1
  const V64 t = within(a, 1.0, 6.0);
  const V64 far =
      polynomial((t - 3.0) / (t + 3.0), {0x1.57a5fe2b9b75ep-20, 0x1.0f9a79cee3e31p-19, -0x1.0cb4611cc29f6p-17,
                                         -0x1.af2329d757293p-17, 0x1.0cb1db32e0c9fp-14, 0x1.7b9fc8eb630e9p-15,
                                         -0x1.39085a31b18abp-11, 0x1.73101ea8fe252p-11, 0x1.17c838fea5806p-8,
                                         -0x1.8fa58eb5bd68fp-6, 0x1.258b13b0139fep-4, -0x1.336ffbef08cbbp-3,
                                         0x1.f6ff20410599bp-3, -0x1.4e102b9cf8512p-2, 0x1.6e9827d229d2dp-3});
  const V64 beyond = copysign(one - far * exp_of(-(t * t), constant_of(x, 0.0)), x, 0);
  return keep_nan(x, select(a < 1.0, x + x * near, beyond));
}

// |x| less n quarters of a turn, |high + low| <= pi / 4.
struct Turned {
  Val<i32> quarters;
  V64 high, low;
};
constexpr Turned turned(const V64& a) {
  const V64 n = floor(a * 0x1.45f306dc9c883p-1 + 0.5, 0);
  // pi / 2 in pieces of 23 bits, n below 2^30: all products and the first two differences are exact.
  const V64 first = (a - n * 0x1.921fb4p+0) - n * 0x1.4442dp-24;
  const Two64 second = sum_of_any(first, -(n * 0x1.846988p-48));
  const Two64 third = sum_of_any(second.high, -(n * 0x1.8cc518p-72));
  const V64 less = (second.low + third.low) + n * 0x1.fc8f8cbb5bf6cp-97;
  const Two64 r = sum(third.high, less);
  return {n.as<i32>(0), r.high, r.low};
}
// Of |x|: its sine, or with a quarter more its cosine.
constexpr V64 wave(const V64& x, i32 quarters_more) {
  const V64 a = abs(x, 0);
  const auto [quarters, r, low] = turned(a);
  const V64 z = r * r;
  // (sin(r) / r - 1) / z and (cos(r) - 1 + z / 2) / z^2, |r| <= pi / 4
  const V64 s = polynomial(z, {0x1.5e0b17f3047f8p-33, -0x1.ae600afd19136p-26, 0x1.71de379684acfp-19,
                               -0x1.a01a019e83a6cp-13, 0x1.1111111110bb2p-7, -0x1.5555555555555p-3});
  const V64 c = polynomial(z, {-0x1.907da16179583p-37, 0x1.1eeb68e66c2eap-29, -0x1.27e4fa17d757bp-22,
                               0x1.a01a019f4eadfp-16, -0x1.6c16c16c16967p-10, 0x1.5555555555555p-5});
  const V64 half = 0.5 * z, sine = r + (r * z * s + (low - half * low)), most = 1.0 - half;
  const V64 cosine = most + (((1.0 - most) - half) + (z * z * c - r * low));
  const Val<i32> turn = quarters + quarters_more;
  const V64 size = select((turn & 1) == 0, sine, cosine), v = select((turn & 2) == 0, size, -size);
  return select(a < 0x1p30, v, constant_of(x, std::numeric_limits<f64>::quiet_NaN()));
}

constexpr V64 pow_of(const V64& a, const V64& y) {  // a > 0
  const auto [e, rest] = log_twice<true>(a);
  const Two64 log_a = with_exponent(e, kLn2First, kLn2Second, rest);
  const V64 by = within(y, -0x1p65, 0x1p65);  // beyond, only a = 1 does not leave all numbers behind
  const Two64 t = product(by, log_a.high);
  const V64 x = within(t.high, -760.0, 720.0);
  return exp_of(x, select(x == t.high, t.low + by * log_a.low, 0.0 * x));
}
}  // namespace detail

template <detail::Real64 T>
constexpr Val<f64> exp(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line), zero = detail::constant_of(v, 0.0);
  return detail::keep_nan(v, detail::exp_of(detail::within(v, -746.0, 710.0), zero));
}
template <detail::Real64 T>
constexpr Val<f64> exp2(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line), y = detail::within(v, -1076.0, 1025.0);
  const Val<f64> n = floor(y + 0.5, line), zero = detail::constant_of(v, 0.0);
  const auto [high, low] = detail::times(y - n, zero, 0x1.62e43p-1, -0x1.05c610ca86c39p-29);
  return detail::keep_nan(v, detail::scaled(n, detail::exp_twice(high, low).high));
}
template <detail::Real64 T>
constexpr Val<f64> exp10(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line), y = detail::within(v, -324.5, 309.0);
  const Val<f64> n = floor(y * 0x1.a934f0979a371p+1 + 0.5, line);
  const auto [high, low] = detail::times(y - n * detail::kLg2First, -(n * detail::kLg2Second), 0x1.26bb1b8p+1,
                                         0x1.daaa8ac16ea57p-26);
  return detail::keep_nan(v, detail::scaled(n, detail::exp_twice(high, low).high));
}
template <detail::Real64 T>
constexpr Val<f64> log(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line);
  const auto [e, rest] = detail::log_twice<false>(v);
  const auto [high, low] = detail::with_exponent(e, detail::kLn2First, detail::kLn2Second, rest);
  return detail::log_at_ends(v, high);
}
template <detail::Real64 T>
constexpr Val<f64> log2(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line);
  const auto [e, rest] = detail::log_twice<false>(v);
  const auto [high, low] = detail::times(rest, detail::kLog2E, detail::kLog2ESecond);
  const auto [whole, less] = detail::sum(e, high);
  return detail::log_at_ends(v, whole + (less + low));
}
template <detail::Real64 T>
constexpr Val<f64> log10(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line);
  const auto [e, rest] = detail::log_twice<false>(v);
  const auto part = detail::times(rest, detail::kLog10E, detail::kLog10ESecond);
  const auto [high, low] = detail::with_exponent(e, detail::kLg2First, detail::kLg2Second, part);
  return detail::log_at_ends(v, high);
}
template <detail::Real64 T>
constexpr Val<f64> sin(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line), size = detail::wave(v, 0);
  const Val<i64> sign = bitcast<i64>(v, line) & detail::kSignBit<f64>;
  return bitcast<f64>(bitcast<i64>(size, line) ^ sign, line);
}
template <detail::Real64 T>
constexpr Val<f64> cos(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::wave(detail::operand(x, line), 1);
}
template <detail::Real64 T>
constexpr Val<f64> tanh(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::tanh_of(detail::operand(x, line));
}
// Within 1.5 ulp.
template <detail::Real64 T>
constexpr Val<f64> erf(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::erf_of(detail::operand(x, line));
}
template <detail::Real64 T>
constexpr Val<f64> sigmoid(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::sigmoid_of(detail::operand(x, line));
}
// x * sigmoid(x), within 2 ulp, or 2^-1064 where sigmoid(x) is a subnormal number (x < -708).
template <detail::Real64 T>
constexpr Val<f64> silu(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line);
  return v * detail::sigmoid_of(v);
}
// As of f32: within 2^-51 * |x|.
template <detail::Real64 T>
constexpr Val<f64> gelu(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line);
  return 0.5 * v * (1.0 + detail::erf_of(v * 0x1.6a09e667f3bcdp-1));
}
template <detail::Real64 T>
constexpr Val<f64> gelu_tanh(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f64> v = detail::operand(x, line);
  const Val<f64> inner = 0x1.9884533d43651p-1 * (v + 0x1.6e4e26d4801f7p-5 * (v * v * v));
  return 0.5 * v * (1.0 + detail::tanh_of(inner));
}
// As C's pow, within 1.5 ulp.
template <detail::Real64 T>
constexpr Val<f64> pow(const Expr<T>& base, Arg<f64> exponent, u32 line = __builtin_LINE()) {
  const Val<f64> x = detail::operand(base, line), y{&x.tracer(), exponent.get(x.tracer())};
  return detail::pow_with_ends(x, y, detail::pow_of(abs(x, line), y));
}

}  // namespace gpuio::kernel
