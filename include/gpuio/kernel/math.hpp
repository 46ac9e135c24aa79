// Mathematical functions of kernels: what ir.hpp has no operation for, made of what it has.
//
//   out[i] = gelu(x[i]) + exp(-abs(y[i])) * rsqrt(z[i]);
//
// They are traced into add, sub, mul, div, sqrt, floor and operations on bits, all of which are exact or
// correctly rounded, and into no fma: so a result has the same bits on every device, whatever its own
// functions are like. (Two exceptions: the bits of a NaN, and subnormal numbers on devices that flush them.)
// An exp is some 20 instructions. Where speed counts for more, exp2(x * 1.442695f) is one or two on a GPU, at
// the error that ir.hpp states for exp2.
//
// Errors are the largest found over all floats (silu, gelu: every 16th; pow: 200 million pairs), rounded up;
// an ulp is the gap between the two floats around the exact result. f16 and bf16 widen to f32 and the result
// is an f32. f64 has those of the first two groups here and the others in math64.hpp. Infinities, zeros and
// NaN go as in C, subnormal results are rounded once. A value may be used twice here; name what is costly or
// has an effect first. One thread; nothing fails.
#pragma once

#include <gpuio/kernel/values.hpp>

namespace gpuio::kernel {

namespace detail {
template <class T>
concept Real = FloatNumber<promote_t<T>>;
template <class T>
concept Real32 = std::same_as<promote_t<T>, f32>;

// The operand as arithmetic takes it, from here on at the caller's line.
template <class T>
constexpr Val<promote_t<T>> operand(const Expr<T>& a, u32 line) {
  a.tracer().at(line);
  return {&a.tracer(), a.wide_id()};
}
template <class T>
constexpr Val<T> constant_of(const Val<T>& like, T v) {
  return {&like.tracer(), like.tracer().build.constant(kTypeOf<T>, bits_of<T>(v))};
}
template <class T>
using SignedBits = std::conditional_t<sizeof(T) == 8, i64, i32>;
template <class T>
inline constexpr SignedBits<T> kSignBit = std::numeric_limits<SignedBits<T>>::min();
template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();
}  // namespace detail

// --- Of any number --------------------------------------------------------------------------------------

// low where x is below, high where above; low <= high. A NaN gives low.
template <class T>
  requires Number<promote_t<T>>
constexpr Val<promote_t<T>> clamp(const Expr<T>& x, Arg<promote_t<T>> low, Arg<promote_t<T>> high) {
  return min(max(x, low), high);
}
// -1, 0 or 1; a zero and a NaN give themselves.
template <class T>
  requires(Number<promote_t<T>> && std::is_signed_v<promote_t<T>>)
constexpr Val<promote_t<T>> sign(const Expr<T>& x, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  const Val<W> v = detail::operand(x, line);
  return select(v > W(0), detail::constant_of(v, W(1)), select(v < W(0), W(-1), v));
}

// --- Of f32 and f64: exact, or as many roundings as said ------------------------------------------------

template <detail::Real T>
constexpr Val<bool> isnan(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const auto v = detail::operand(x, line);
  return v != v;
}
template <detail::Real T>
constexpr Val<bool> isinf(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const auto v = detail::operand(x, line);
  return abs(v, line) == detail::kInfinity<promote_t<T>>;
}
template <detail::Real T>
constexpr Val<bool> isfinite(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const auto v = detail::operand(x, line);
  return abs(v, line) < detail::kInfinity<promote_t<T>>;
}
// The magnitude of x with the sign of s, by bits.
template <detail::Real T>
constexpr Val<promote_t<T>> copysign(const Expr<T>& x, Arg<promote_t<T>> s, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  using B = detail::SignedBits<W>;
  const Val<W> v = detail::operand(x, line), from{&v.tracer(), s.get(v.tracer())};
  const Val<B> magnitude = bitcast<B>(v, line) & ~detail::kSignBit<W>;
  return bitcast<W>(magnitude | (bitcast<B>(from, line) & detail::kSignBit<W>), line);
}
// To an integral number: up, towards zero, to the nearest (halves away from zero), to the nearest (halves to
// the even one). Exact; floor is an operation of the IR.
template <detail::Real T>
constexpr Val<promote_t<T>> ceil(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return -floor(-detail::operand(x, line), line);
}
template <detail::Real T>
constexpr Val<promote_t<T>> trunc(const Expr<T>& x, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  const Val<W> v = detail::operand(x, line);
  return copysign(floor(abs(v, line), line), v, line);
}
template <detail::Real T>
constexpr Val<promote_t<T>> round(const Expr<T>& x, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  const Val<W> v = detail::operand(x, line), a = abs(v, line), down = floor(a, line);
  // a - down is exact, a + 0.5 would not be; of an infinity it is a NaN, which is not below.
  return copysign(select(a - down >= W(0.5), down + W(1), down), v, line);
}
template <detail::Real T>
constexpr Val<promote_t<T>> round_even(const Expr<T>& x, u32 line = __builtin_LINE()) {
  using W = promote_t<T>;
  constexpr W whole = sizeof(W) == 8 ? W(4503599627370496) : W(8388608);  // no fractions from here
  const Val<W> v = detail::operand(x, line), a = abs(v, line);
  return copysign(select(a < whole, (a + whole) - whole, a), v, line);
}
// 1 / x: correctly rounded. 1 / sqrt(x): two roundings, within 1.5 ulp.
template <detail::Real T>
constexpr Val<promote_t<T>> rcp(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return promote_t<T>(1) / detail::operand(x, line);
}
template <detail::Real T>
constexpr Val<promote_t<T>> rsqrt(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return promote_t<T>(1) / sqrt(detail::operand(x, line), line);
}
// a + (b - a) * t: three roundings; exactly a at t = 0.
template <detail::Real T>
constexpr Val<promote_t<T>> mix(const Expr<T>& a, Arg<promote_t<T>> b, Arg<promote_t<T>> t) {
  const Val<promote_t<T>> from = detail::operand(a, b.line()), to{&from.tracer(), b.get(from.tracer())};
  return from + (to - from) * t;
}

// --- Of f32 ---------------------------------------------------------------------------------------------
// Arguments are reduced to a small interval in two steps whose first product is exact (Cody and Waite), where
// a polynomial fitted to the least largest error takes over.

namespace detail {
using V32 = Val<f32>;

template <class T, std::size_t N>
constexpr Val<T> polynomial(const Val<T>& x, const T (&c)[N]) {  // the highest power first
  u32 sum = (c[0] * x + c[1]).id();
  for (std::size_t i = 2; i < N; ++i) sum = (Val<T>(&x.tracer(), sum) * x + c[i]).id();
  return {&x.tracer(), sum};
}
// Clamped, so that what is computed of it stays finite: a NaN becomes low, and whoever calls puts it back.
template <class T>
constexpr Val<T> within(const Val<T>& x, T low, T high) {
  return min(max(x, low), high);
}
template <class T>
constexpr Val<T> keep_nan(const Val<T>& x, const Val<T>& result) {
  return select(x != x, x, result);
}

// e^(x + less) for x in [-104, 89], |less| < 0.01.
inline constexpr f32 kLn2High = 0x1.63p-1f, kLn2Low = -0x1.bd0106p-13f;
constexpr V32 scaled_exp(const V32& n, const V32& r) {  // 2^n * e^r
  const V32 q = polynomial(
      r, {0x1.a1a904p-13f, 0x1.6d9f0ap-10f, 0x1.11108ap-7f, 0x1.555476p-5f, 0x1.555556p-3f, 0x1p-1f});
  const V32 e = (r * r * q + r) + 1.0f;
  // In two steps, so that neither power of two overflows and a subnormal result is rounded once.
  const Val<i32> whole = n.as<i32>(0), first = whole >> 1;
  const auto power = [](const Val<i32>& k) { return bitcast<f32>((k + 127) << 23, 0); };
  return e * power(first) * power(whole - first);
}
constexpr V32 exp_of(const V32& x) {
  const V32 n = floor(x * 0x1.715476p+0f + 0.5f, 0);
  return scaled_exp(n, (x - n * kLn2High) - n * kLn2Low);
}

// x > 0 as 2^exponent * (1 + fraction), 1 + fraction in [sqrt(1/2), sqrt(2)).
struct Parts {
  V32 exponent, fraction;
};
constexpr Parts parts_of(const V32& x) {
  const Val<bool> small = x < 0x1p-126f;
  const Val<i32> bits = bitcast<i32>(select(small, x * 0x1p23f, x), 0);
  const Val<i32> e = (bits - 0x3f3504f3) >> 23;
  const V32 m = bitcast<f32>(bits - (e << 23), 0);
  return {(e - select(small, 23, constant_of(e, 0))).as<f32>(0), m - 1.0f};
}
// log(1 + f) - f.
constexpr V32 log_rest(const V32& f) {
  const V32 q =
      polynomial(f, {0x1.1474eap-4f, -0x1.de5862p-4f, 0x1.e6f21p-4f, -0x1.fc1cc6p-4f, 0x1.2336e6p-3f,
                     -0x1.555c76p-3f, 0x1.99a4bep-3f, -0x1.000006p-2f, 0x1.555548p-2f});
  const V32 square = f * f;
  return square * f * q - 0.5f * square;
}
template <class T>
constexpr Val<T> log_at_ends(const Val<T>& x, const Val<T>& result) {
  const Val<T> ends = select(x == T(0), -kInfinity<T>, select(x == kInfinity<T>, x, result));
  return select(x >= T(0), ends, constant_of(x, std::numeric_limits<T>::quiet_NaN()));
}

// erf(x) where |x| < 1, as a factor of x; and 1 - erf(t) where t >= 1.
constexpr V32 erf_factor(const V32& x) {
  return 1.0f + polynomial(x * x, {0x1.496948p-14f, -0x1.a3f6a8p-11f, 0x1.5405a6p-8f, -0x1.b7f90cp-6f,
                                   0x1.ce2cf8p-4f, -0x1.81273ep-2f, 0x1.06eba8p-3f});
}
constexpr V32 erf_missing(const V32& t) {
  const V32 x = within(t, 1.0f, 4.0f);
  return exp_of(polynomial(x, {0x1.87be44p-13f, -0x1.82ef2ap-9f, 0x1.661b38p-6f, -0x1.a6801ap-4f,
                               0x1.72980ep-2f, -0x1.208b2ap+0f, -0x1.5c9956p-12f}) -
                x * x);
}
constexpr V32 erf_of(const V32& x) {
  const V32 a = abs(x, 0);
  return keep_nan(x, select(a < 1.0f, x * erf_factor(x), copysign(1.0f - erf_missing(a), x, 0)));
}
constexpr V32 tanh_of(const V32& x) {
  const V32 a = abs(x, 0), square = x * x;
  const V32 near = x + x * square *
                           polynomial(square, {0x1.18df6ap-9f, -0x1.0bf444p-7f, 0x1.638b3p-6f,
                                               -0x1.b9ee8cp-5f, 0x1.111066p-3f, -0x1.555554p-2f});
  const V32 e = exp_of(within(a + a, 0.0f, 40.0f));
  const V32 far = copysign(1.0f - 2.0f / (e + 1.0f), x, 0);
  return keep_nan(x, select(a < 0.625f, near, far));
}
constexpr V32 sigmoid_of(const V32& x) {
  const V32 e = exp_of(within(-abs(x, 0), -104.0f, 0.0f));
  return keep_nan(x, select(x < 0.0f, e, constant_of(x, 1.0f)) / (1.0f + e));
}

// a * b exactly, as a sum of two (Dekker); |a|, |b| < 2^115.
template <class T>
struct Two {
  Val<T> high, low;
};
template <class T>
constexpr Two<T> split(const Val<T>& a) {
  const Val<T> c = T(sizeof(T) == 8 ? (1 << 27) + 1 : (1 << 12) + 1) * a, high = c - (c - a);
  return {high, a - high};
}
template <class T>
constexpr Two<T> product(const Val<T>& a, const Val<T>& b) {
  const Val<T> p = a * b;
  const Two<T> x = split(a), y = split(b);
  return {p, ((x.high * y.high - p) + x.high * y.low + x.low * y.high) + x.low * y.low};
}
template <class T>
constexpr Two<T> sum(const Val<T>& a, const Val<T>& b) {  // |a| >= |b| or a = 0
  const Val<T> s = a + b;
  return {s, b - (s - a)};
}
// log(a) to some 33 bits, of which y * log(a) needs 7 before the point of its power of two.
constexpr Two<f32> log_twice(const V32& a) {
  const auto [e, f] = parts_of(a);
  const V32 d = 2.0f + f, d_low = f - (d - 2.0f), s = f / d;  // log(1 + f) = 2 atanh(f / (2 + f))
  const Two<f32> back = product(s, d);
  const V32 s_low = ((f - back.high) - back.low - s * d_low) / d, z = s * s;
  const V32 rest = z * polynomial(z, {0x1.e2f6bcp-4f, 0x1.2438d4p-3f, 0x1.999a7ap-3f, 0x1.555554p-2f});
  const Two<f32> fraction = sum(2.0f * s, 2.0f * s_low + 2.0f * s * rest);
  const Two<f32> whole = sum(e * kLn2High, fraction.high);
  return sum(whole.high, whole.low + (fraction.low + e * kLn2Low));
}
constexpr V32 pow_of(const V32& a, const V32& y) {  // a > 0
  const Two<f32> log_a = log_twice(a);
  const V32 by = within(y, -0x1p33f, 0x1p33f);  // beyond, only a = 1 does not leave all floats behind
  const Two<f32> t = product(by, log_a.high);
  const V32 x = within(t.high, -110.0f, 90.0f);
  const V32 low = select(x == t.high, t.low + by * log_a.low, 0.0f * x);
  const V32 n = floor(x * 0x1.715476p+0f + 0.5f, 0);
  return scaled_exp(n, ((x - n * kLn2High) - n * kLn2Low) + low);
}
// x^y, where `size` is |x|^y for x that is neither zero nor infinite, nor a NaN.
template <class T>
constexpr Val<T> pow_with_ends(const Val<T>& x, const Val<T>& y, const Val<T>& size) {
  const Val<T> a = abs(x, 0), half = y * T(0.5);
  const auto make = [&](T v) { return constant_of(x, v); };
  const Val<bool> infinite = a == kInfinity<T>;
  const Val<T> end = select(infinite == (y > T(0)), make(kInfinity<T>), make(0));
  const Val<T> magnitude = select((a == T(0)) | infinite, end, size);
  const Val<bool> integral = floor(y, 0) == y, odd = integral & (floor(half, 0) != half);
  const Val<T> r = select(odd & (bitcast<SignedBits<T>>(x, 0) < 0), -magnitude, magnitude);
  const Val<bool> undefined = (x < T(0)) & !infinite & !integral;
  const Val<T> known = select(undefined, make(std::numeric_limits<T>::quiet_NaN()), r);
  const Val<T> number = select((x != x) | (y != y), x + y, known);
  return select((x == T(1)) | (y == T(0)), make(1), number);
}
}  // namespace detail

// Within 1 ulp.
template <detail::Real32 T>
constexpr Val<f32> exp(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f32> v = detail::operand(x, line);
  return detail::keep_nan(v, detail::exp_of(detail::within(v, -104.0f, 89.0f)));
}
// Within 1.5 ulp.
template <detail::Real32 T>
constexpr Val<f32> exp10(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f32> v = detail::operand(x, line), y = detail::within(v, -45.25f, 38.75f);
  const Val<f32> n = floor(y * 0x1.a934fp+1f + 0.5f, line);
  const Val<f32> r = (y - n * 0x1.34p-2f) - n * 0x1.04d428p-12f;
  return detail::keep_nan(v, detail::scaled_exp(n, r * 0x1.26bb1cp+1f));
}
// Within 1 ulp.
template <detail::Real32 T>
constexpr Val<f32> log(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f32> v = detail::operand(x, line);
  const auto [e, f] = detail::parts_of(v);
  const Val<f32> sum = f + (detail::log_rest(f) + e * detail::kLn2Low);
  return detail::log_at_ends(v, sum + e * detail::kLn2High);
}
// Within 2 ulp.
template <detail::Real32 T>
constexpr Val<f32> log10(const Expr<T>& x, u32 line = __builtin_LINE()) {
  constexpr f32 high = 0x1.bcp-2f, low = 0x1.6f62a4p-11f;  // log10(e)
  const Val<f32> v = detail::operand(x, line);
  const auto [e, f] = detail::parts_of(v);
  const Val<f32> rest = detail::log_rest(f);
  const Val<f32> sum = (e * 0x1.04d428p-12f + (f + rest) * low) + rest * high;
  return detail::log_at_ends(v, (sum + f * high) + e * 0x1.34p-2f);
}
// Within 1.5 ulp.
template <detail::Real32 T>
constexpr Val<f32> tanh(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::tanh_of(detail::operand(x, line));
}
// 1 / (1 + e^-x), within 2.5 ulp.
template <detail::Real32 T>
constexpr Val<f32> sigmoid(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::sigmoid_of(detail::operand(x, line));
}
// Within 2 ulp.
template <detail::Real32 T>
constexpr Val<f32> erf(const Expr<T>& x, u32 line = __builtin_LINE()) {
  return detail::erf_of(detail::operand(x, line));
}
// x * sigmoid(x), within 3.5 ulp, or 2^-142 where sigmoid(x) is a subnormal number (x < -87).
template <detail::Real32 T>
constexpr Val<f32> silu(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f32> v = detail::operand(x, line);
  return v * detail::sigmoid_of(v);
}
// x / 2 * (1 + erf(x / sqrt(2))), within 2^-22 * |x|; and the approximation of it by tanh, within 2^-22 * |x|
// of what that is.
template <detail::Real32 T>
constexpr Val<f32> gelu(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f32> v = detail::operand(x, line);
  return 0.5f * v * (1.0f + detail::erf_of(v * 0x1.6a09e6p-1f));
}
template <detail::Real32 T>
constexpr Val<f32> gelu_tanh(const Expr<T>& x, u32 line = __builtin_LINE()) {
  const Val<f32> v = detail::operand(x, line);
  const Val<f32> inner = 0x1.988454p-1f * (v + 0x1.6e4e26p-5f * (v * v * v));
  return 0.5f * v * (1.0f + detail::tanh_of(inner));
}

// x to the power of y, as C's pow: within 8 ulp; 1 where x is 1 or y is 0; NaN where x < 0 and y is not
// integral. Some 150 instructions: x * x, sqrt(x) and exp2 are not.
template <detail::Real32 T>
constexpr Val<f32> pow(const Expr<T>& base, Arg<f32> exponent, u32 line = __builtin_LINE()) {
  const Val<f32> x = detail::operand(base, line), y{&x.tracer(), exponent.get(x.tracer())};
  return detail::pow_with_ends(x, y, detail::pow_of(abs(x, line), y));
}

}  // namespace gpuio::kernel
