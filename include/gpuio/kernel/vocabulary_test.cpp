// The vocabulary that is made while tracing, run by the interpreter against arithmetic of the host: functions
// against float64 within the error that math.hpp states, small floats against their formats.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "support/map.hpp"
#include "support/vocabulary.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

std::vector<f32> interesting_floats(u32 n) {
  std::mt19937_64 random(3);
  std::vector<f32> x{0.0f,        -0.0f,       1.0f,       -1.0f,   0.5f,       -0.5f,      HUGE_VALF,
                     -HUGE_VALF,  NAN,         1e-42f,     -1e-42f, 0x1p-126f,  3.4e38f,    -3.4e38f,
                     88.72f,      88.73f,      -87.3f,     -103.9f, -104.5f,    38.53f,     -44.8f,
                     0.625f,      1.5f,        2.5f,       -2.5f,   8388607.5f, 8388609.0f, 0.49999997f,
                     16777217.0f, 0.99999994f, 33554434.0f};
  while (x.size() < n) {
    const u64 r = random();
    x.push_back(r % 4 == 0 ? std::bit_cast<f32>(u32(r >> 32))
                           : f32(i64(r) >> 8) / f32(u64{1} << (49 + r % 14)));
  }
  return x;
}
f64 ulp(f64 exact) {
  const f32 size = std::fabs(f32(exact));
  return std::isinf(size) ? 0x1p104 : f64(std::nextafter(size, HUGE_VALF)) - f64(size);
}

struct Function {
  const char* name;
  std::function<Val<f32>(const Val<f32>&)> traced;
  f64 (*exact)(f64);
  f64 ulps;
  f64 of_x = 0;  // or so much of |x|
  f64 smallest = 0;
};
#define GPUIO_TRACED(F) #F, [](const Val<f32>& x) { return F(x); }

TEST(Math, FunctionsAreAsCloseAsTheySay) {
  const Function all[] = {
      {GPUIO_TRACED(exp), [](f64 x) { return std::exp(x); }, 1},
      {GPUIO_TRACED(exp10), [](f64 x) { return std::pow(10.0, x); }, 1.5},
      {GPUIO_TRACED(log), [](f64 x) { return std::log(x); }, 1},
      {GPUIO_TRACED(log10), [](f64 x) { return std::log10(x); }, 2},
      {GPUIO_TRACED(tanh), [](f64 x) { return std::tanh(x); }, 1.5},
      {GPUIO_TRACED(sigmoid), [](f64 x) { return 1 / (1 + std::exp(-x)); }, 2.5},
      {GPUIO_TRACED(erf), [](f64 x) { return std::erf(x); }, 2},
      {GPUIO_TRACED(rcp), [](f64 x) { return 1 / x; }, 0.5},
      {GPUIO_TRACED(rsqrt), [](f64 x) { return 1 / std::sqrt(x); }, 1.5},
      {GPUIO_TRACED(ceil), [](f64 x) { return std::ceil(x); }, 0},
      {GPUIO_TRACED(trunc), [](f64 x) { return std::trunc(x); }, 0},
      {GPUIO_TRACED(round), [](f64 x) { return std::round(x); }, 0},
      {GPUIO_TRACED(round_even), [](f64 x) { return std::nearbyint(x); }, 0},
      {GPUIO_TRACED(sign), [](f64 x) { return x > 0   ? 1
                                              : x < 0 ? -1
                                                      : x; }, 0},
      {GPUIO_TRACED(silu), [](f64 x) { return x / (1 + std::exp(-x)); }, 3.5, 0, 0x1p-142},
      {GPUIO_TRACED(gelu), [](f64 x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }, 0, 0x1p-22,
       0x1p-149},
      {GPUIO_TRACED(gelu_tanh),
       [](f64 x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }, 0,
       0x1p-22, 0x1p-149}};
  const std::vector<f32> x = interesting_floats(16384);
  for (const Function& f : all) {
    const std::vector<f32> y = map<f32>(f.traced, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const f64 want = f.exact(f64(x[i]));
      // Where float64 ends in inf * 0 the limit is meant.
      if (std::isnan(want) && std::isinf(x[i]) && f.name != std::string("sign") && x[i] < 0 &&
          std::string(f.name).find("lu") != std::string::npos)
        continue;
      if (std::isnan(want) || std::isinf(f32(want))) {
        EXPECT_TRUE(std::isnan(want) ? std::isnan(y[i]) : y[i] == f32(want) || std::isfinite(want))
            << f.name << '(' << x[i] << ") = " << y[i];
        continue;
      }
      const f64 allowed = std::max({f.ulps * ulp(want), f.of_x * std::fabs(f64(x[i])), f.smallest});
      ASSERT_LE(std::fabs(f64(y[i]) - want), allowed) << f.name << '(' << x[i] << ") = " << y[i];
      if (f.ulps == 0 && f.of_x == 0) {
        EXPECT_EQ(std::signbit(y[i]), std::signbit(want)) << f.name << x[i];
      }
    }
  }
}

TEST(Math, PowIsThatOfC) {
  const std::vector<f32> special{0.0f,  -0.0f,       1.0f,   -1.0f,   2.0f,           -2.0f,        3.0f,
                                 -3.0f, 0.5f,        -0.5f,  NAN,     HUGE_VALF,      -HUGE_VALF,   1e30f,
                                 -7.0f, 33554434.0f, 1e-42f, -1e-42f, 0x1.fffffep-1f, 0x1.000002p0f};
  std::vector<f32> x, y;
  for (const f32 a : special)
    for (const f32 b : special) x.push_back(a), y.push_back(b);
  std::mt19937_64 random(5);
  while (x.size() < 16384) {  // results of every size
    const f32 a = std::bit_cast<f32>(u32(random()) & 0x7fffffff);
    if (!std::isfinite(a) || a == 0) continue;
    x.push_back(a);
    y.push_back(f32((f64(random() >> 11) * 0x1p-53 * 190 - 100) / std::log(f64(a))));
  }
  const std::vector<f32> z = map<f32>([](const Val<f32>& a, const Val<f32>& b) { return pow(a, b); }, x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const f64 want = std::pow(f64(x[i]), f64(y[i]));
    if (std::isnan(want) || std::isinf(f32(want)) || f32(want) == 0) {
      EXPECT_TRUE(std::isnan(want) ? std::isnan(z[i])
                                   : z[i] == f32(want) && std::signbit(z[i]) == std::signbit(want))
          << "pow(" << x[i] << ", " << y[i] << ") = " << z[i];
    } else {
      EXPECT_LE(std::fabs(f64(z[i]) - want), 8 * ulp(want))
          << "pow(" << x[i] << ", " << y[i] << ") = " << z[i];
    }
  }
}

// A double rounded once to a float of `mantissa` stored bits whose smallest normal number is 2^-least.
f64 round_to(f64 v, int mantissa, int least) {
  if (v == 0 || !std::isfinite(v)) return v;
  const f64 step = std::ldexp(1.0, std::max(std::ilogb(v), -least) - mantissa);
  return std::nearbyint(v / step) * step;
}

TEST(Halves, EachOperationIsCorrectlyRounded) {
  std::mt19937_64 random(11);
  std::vector<f16> a, b;
  for (u32 i = 0; i < 65536; ++i) {
    a.push_back({u16(i)});
    b.push_back({u16(random())});
  }
  using H = Val<f16>;
  const auto check = [&](const char* name, auto f, auto exact) {
    const std::vector<f16> got = map<f16>(f, a, b);
    for (u32 i = 0; i < a.size(); ++i) {
      f64 want = round_to(exact(f64(widen(a[i])), f64(widen(b[i]))), 10, 14);
      if (std::fabs(want) >= 65520) want = std::copysign(HUGE_VAL, want);
      const f64 is = widen(got[i]);
      ASSERT_TRUE(std::isnan(want) ? std::isnan(is) : is == want)
          << name << ' ' << widen(a[i]) << ' ' << widen(b[i]) << " = " << is << ", not " << want;
    }
  };
  check("+", [](const H& x, const H& y) { return rounded(x) + y; }, [](f64 x, f64 y) { return x + y; });
  check("-", [](const H& x, const H& y) { return x - rounded(y); }, [](f64 x, f64 y) { return x - y; });
  check(
      "*", [](const H& x, const H& y) { return rounded(x) * rounded(y); },
      [](f64 x, f64 y) { return x * y; });
  check("/", [](const H& x, const H& y) { return rounded(x) / y; }, [](f64 x, f64 y) { return x / y; });
  check(
      "sqrt", [](const H& x, const H&) { return sqrt(rounded(x)); }, [](f64 x, f64) { return std::sqrt(x); });
  check(
      "min", [](const H& x, const H& y) { return min(rounded(x), y); },
      [](f64 x, f64 y) { return std::fmin(x, y); });
}

TEST(Halves, LiteralsAreHeldExactly) {
  const auto line_of = [](auto f) {
    return trace([f](Ctx k, In<f16> x, Out<f16> y) { y[k.tid()] = f(x[k.tid()]); }, "k", {64, 1, 1})
        .result.error;
  };
  EXPECT_EQ(line_of([](const Val<f16>& x) { return rounded(x) * 0.5f; }), Err::ok);
  EXPECT_EQ(line_of([](const Val<f16>& x) { return rounded(x) * 0.1f; }), Err::literal_not_exact);
  EXPECT_EQ(line_of([](const Val<f16>& x) { return rounded(x) * 65536.0f; }), Err::literal_not_exact);
}

// Every number of the format, from its definition.
template <class T>
std::vector<f64> numbers_of() {
  constexpr bool four = std::same_as<T, f8e4m3>;
  std::vector<f64> all;
  for (u32 b = 0; b < 128; ++b) {
    const int mantissa = four ? 3 : 2, bias = four ? 7 : 15, e = int(b >> mantissa),
              m = int(b) & ((1 << mantissa) - 1);
    f64 v =
        e == 0 ? std::ldexp(m, 1 - bias - mantissa) : std::ldexp((1 << mantissa) + m, e - bias - mantissa);
    if (four ? b == 0x7f : b > 0x7c) v = NAN;
    if (!four && b == 0x7c) v = HUGE_VAL;
    all.push_back(v);
  }
  return all;
}
template <class T>
void check_f8() {
  const std::vector<f64> numbers = numbers_of<T>();
  std::vector<T> codes;
  for (u32 b = 0; b < 256; ++b) codes.push_back({u8(b)});
  const std::vector<f32> wide = map<f32>([](const Val<T>& v) { return v.template as<f32>(); }, codes);
  for (u32 b = 0; b < 256; ++b) {
    const f64 want = b & 128 ? -numbers[b & 127] : numbers[b & 127];
    EXPECT_TRUE(std::isnan(want) ? std::isnan(wide[b]) : wide[b] == want && std::signbit(wide[b]) == (b >> 7))
        << b;
    EXPECT_EQ(std::bit_cast<u32>(widen(codes[b])), std::bit_cast<u32>(wide[b])) << b;
  }
  // All numbers, what lies in the middle of two, and its neighbours.
  std::vector<f32> x{NAN,    HUGE_VALF, -HUGE_VALF, 1e30f,  -500.0f, 460.0f,
                     470.0f, 60000.0f,  62000.0f,   1e-30f, -0.0f};
  const u32 finite = std::same_as<T, f8e4m3> ? 0x7e : 0x7b;
  for (u32 b = 0; b < finite; ++b) {
    const f32 low = f32(numbers[b]), middle = f32((numbers[b] + numbers[b + 1]) / 2);
    for (const f32 v : {low, middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) {
      x.push_back(v);
      x.push_back(-v);
    }
  }
  while (x.size() % 64) x.push_back(1.0f);
  const std::vector<T> got = map<T>([](const Val<f32>& v) { return v.as<T>(); }, x);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(got[i], narrow<T>(x[i])) << x[i];
    if (std::isnan(x[i])) {
      EXPECT_EQ(got[i].bits, 0x7f);
      continue;
    }
    u32 best = finite;  // what is too large saturates
    for (u32 b = 0; b < finite; ++b) {
      const f64 size = std::fabs(f64(x[i])), mine = size - numbers[b], next = numbers[b + 1] - size;
      if (mine >= 0 && next > 0) best = mine < next || (mine == next && b % 2 == 0) ? b : b + 1;
    }
    EXPECT_EQ(got[i].bits, best | (std::signbit(x[i]) ? 128 : 0)) << x[i];
  }
}
TEST(Eighths, E4m3) { check_f8<f8e4m3>(); }
TEST(Eighths, E5m2) { check_f8<f8e5m2>(); }

}  // namespace
}  // namespace gpuio::kernel
