// The functions of f64, run by the interpreter against long double: within the errors that math64.hpp states,
// and special values as in C.
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <functional>
#include <random>

#include "support/map.hpp"

namespace gpuio::kernel {
namespace {

using test_kernels::map;
using Long = long double;

// Some libraries leave long double to the x87, whose pi ends after 66 bits: no oracle for the last bit of an
// f64.
bool has_oracle() {
  return LDBL_MANT_DIG >= 64 && f64(std::sin(Long(3.141592653589793))) == 1.2246467991473532e-16;
}

#ifdef __GLIBC__
TEST(Math64, IsNotSkippedHere) { EXPECT_TRUE(has_oracle()); }
#endif

// The gap between the two numbers around it.
Long ulp(Long exact) {
  f64 below = std::fabs(f64(exact));
  if (Long(below) > std::fabs(exact)) below = std::nextafter(below, 0.0);
  return std::isinf(below) || below == DBL_MAX ? 0x1p971L
                                               : Long(std::nextafter(below, HUGE_VAL)) - Long(below);
}
bool same(f64 is, f64 want) {
  return std::isnan(want) ? std::isnan(is) : is == want && std::signbit(is) == std::signbit(want);
}

const std::vector<f64>& arguments() {
  static const std::vector<f64> all = [] {
    std::vector<f64> x{0.0,
                       -0.0,
                       1.0,
                       -1.0,
                       0.5,
                       -0.5,
                       HUGE_VAL,
                       -HUGE_VAL,
                       NAN,
                       5e-324,
                       -5e-324,
                       1e-310,
                       DBL_MIN,
                       DBL_MAX,
                       -DBL_MAX,
                       709.78,
                       709.79,
                       -708.4,
                       -745.13,
                       -745.14,
                       1023.999,
                       1024.0,
                       -1074.0,
                       -1074.9,
                       -1075.0,
                       -1076.0,
                       308.25,
                       308.26,
                       -323.3,
                       -323.61,
                       0x1p30,
                       0x1.fffffffffffffp29,
                       -0x1p30,
                       0x1p-27,
                       6.0,
                       5.9,
                       22.0,
                       1e22,
                       0x1.6a09e667f3bcdp-1,
                       10.0,
                       100.0,
                       1e15,
                       -2.0,
                       3.0,
                       0x1.fffffffffffffp-1,
                       0x1.0000000000001p0};
    for (u32 i = 1; i < 200; ++i) {  // near the multiples of pi / 2
      const f64 near = f64(Long(i < 100 ? i : i * 3401377) * 1.57079632679489661923L);
      x.insert(x.end(), {near, std::nextafter(near, 0.0)});
    }
    std::mt19937_64 random(17);
    while (x.size() < 8192) {
      const u64 r = random();
      const f64 unit = f64(i64(r) >> 11) * 0x1p-52;  // in [-1, 1)
      switch (x.size() % 8) {
        case 0: x.push_back(std::bit_cast<f64>(random())); break;
        case 1: x.push_back(unit * 0x1p30); break;
        case 2: x.push_back(unit * 1100); break;
        case 3: x.push_back(1 + std::ldexp(unit, -int(r % 40))); break;
        case 4: x.push_back(std::ldexp(unit, -int(r % 60))); break;
        default: x.push_back(unit * f64(2 << x.size() % 5)); break;
      }
    }
    return x;
  }();
  return all;
}

struct Function {
  const char* name;
  std::function<Val<f64>(const Val<f64>&)> traced;
  Long (*exact)(Long);
  Long ulps;
  Long of_x = 0;  // or so much of |x|
  Long smallest = 0;
};
#define GPUIO_TRACED(F) #F, [](const Val<f64>& x) { return F(x); }
Long up_to_2_30(Long x, Long v) { return std::fabs(x) < 0x1p30L ? v : Long(NAN); }

TEST(Math64, FunctionsAreAsCloseAsTheySay) {
  if (!has_oracle()) GTEST_SKIP() << "long double is not exact enough here";
  const Function all[] = {
      {GPUIO_TRACED(exp), [](Long x) { return std::exp(x); }, 1},
      {GPUIO_TRACED(exp2), [](Long x) { return std::exp2(x); }, 1},
      {GPUIO_TRACED(exp10), [](Long x) { return std::pow(10.0L, x); }, 1},
      {GPUIO_TRACED(log), [](Long x) { return std::log(x); }, 1},
      {GPUIO_TRACED(log2), [](Long x) { return std::log2(x); }, 1},
      {GPUIO_TRACED(log10), [](Long x) { return std::log10(x); }, 1},
      {GPUIO_TRACED(sin), [](Long x) { return up_to_2_30(x, std::sin(x)); }, 1},
      {GPUIO_TRACED(cos), [](Long x) { return up_to_2_30(x, std::cos(x)); }, 1},
      {GPUIO_TRACED(tanh), [](Long x) { return std::tanh(x); }, 1},
      {GPUIO_TRACED(sigmoid), [](Long x) { return 1 / (1 + std::exp(-x)); }, 1},
      {GPUIO_TRACED(erf), [](Long x) { return std::erf(x); }, 1.5},
      {GPUIO_TRACED(silu), [](Long x) { return x / (1 + std::exp(-x)); }, 2, 0, 0x1p-1064L},
      {GPUIO_TRACED(gelu), [](Long x) { return x / 2 * std::erfc(-x / std::sqrt(2.0L)); }, 0, 0x1p-51L,
       0x1p-1074L},
      {GPUIO_TRACED(gelu_tanh),
       [](Long x) {
         const Long scale = std::sqrt(2 / 3.14159265358979323846L);
         return x / 2 * (1 + std::tanh(scale * (x + 0.044715L * x * x * x)));
       },
       0, 0x1p-51L, 0x1p-1074L}};
  const std::vector<f64>& x = arguments();
  for (const Function& f : all) {
    const std::vector<f64> y = map<f64>(f.traced, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Long want = f.exact(x[i]);
      // Where long double ends in inf * 0 the limit is meant.
      if (std::isnan(want) && x[i] == -HUGE_VAL && (f.of_x != 0 || f.smallest != 0)) continue;
      if (std::isnan(want) || std::isinf(f64(want)) || want == 0) {
        EXPECT_TRUE(same(y[i], f64(want))) << f.name << '(' << x[i] << ") = " << y[i];
        continue;
      }
      const Long allowed = std::max({f.ulps * ulp(want), f.of_x * std::fabs(Long(x[i])), f.smallest});
      ASSERT_LE(std::fabs(Long(y[i]) - want), allowed)
          << f.name << '(' << std::hexfloat << x[i] << ") = " << y[i];
      if (f.ulps != 0 && y[i] == 0) {
        EXPECT_EQ(std::signbit(y[i]), std::signbit(want)) << f.name << x[i];
      }
    }
  }
}

// Powers of two and of ten have exact logarithms, and the other way round.
TEST(Math64, WhatIsExactStaysExact) {
  std::vector<f64> n, powers;
  for (int e = -1074; e < 1024; ++e) n.push_back(e), powers.push_back(std::ldexp(1.0, e));
  while (n.size() % 64) n.push_back(0), powers.push_back(1);
  EXPECT_EQ(map<f64>([](const Val<f64>& x) { return exp2(x); }, n), powers);
  EXPECT_EQ(map<f64>([](const Val<f64>& x) { return log2(x); }, powers), n);
  n.assign(64, 0), powers.assign(64, 1);
  for (u32 e = 1; e < 64; ++e) {
    n[e] = e % 23;
    powers[e] = e % 23 == 0 ? 1.0 : powers[e - 1] * 10;
  }
  EXPECT_EQ(map<f64>([](const Val<f64>& x) { return log10(x); }, powers), n);
  EXPECT_EQ(map<f64>([](const Val<f64>& x) { return exp10(x); }, n), powers);
}

TEST(Math64, PowIsThatOfC) {
  if (!has_oracle()) GTEST_SKIP() << "long double is not exact enough here";
  const std::vector<f64> special{0.0,
                                 -0.0,
                                 1.0,
                                 -1.0,
                                 2.0,
                                 -2.0,
                                 3.0,
                                 -3.0,
                                 0.5,
                                 -0.5,
                                 NAN,
                                 1e300,
                                 -7.0,
                                 HUGE_VAL,
                                 -HUGE_VAL,
                                 0x1p53,
                                 5e-324,
                                 -5e-324,
                                 0x1p54 + 4,
                                 DBL_MAX,
                                 9007199254740991.0,
                                 0x1.fffffffffffffp-1,
                                 -0x1.0000000000001p0};
  std::vector<f64> x, y;
  for (const f64 a : special)
    for (const f64 b : special) x.push_back(a), y.push_back(b);
  std::mt19937_64 random(5);
  while (x.size() < 8192) {  // results of every size
    const f64 unit = f64(random() >> 11) * 0x1p-53;
    f64 a = std::bit_cast<f64>(random() >> 1);
    if (x.size() % 2) a = 0.5 + unit * (x.size() % 4 == 1 ? 1.5 : 40);
    if (!std::isfinite(a) || a == 0 || a == 1) continue;
    x.push_back(a);
    y.push_back((f64(random() >> 11) * 0x1p-53 * 1450 - 740) / std::log(a));
  }
  const std::vector<f64> z = map<f64>([](const Val<f64>& a, const Val<f64>& b) { return pow(a, b); }, x, y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Long want = std::pow(Long(x[i]), Long(y[i]));
    if (std::isnan(want) || std::isinf(f64(want)) || f64(want) == 0) {
      EXPECT_TRUE(same(z[i], f64(want))) << "pow(" << x[i] << ", " << y[i] << ") = " << z[i];
    } else {
      EXPECT_LE(std::fabs(Long(z[i]) - want), 1.5L * ulp(want))
          << "pow(" << x[i] << ", " << y[i] << ") = " << z[i];
    }
  }
}

}  // namespace
}  // namespace gpuio::kernel
