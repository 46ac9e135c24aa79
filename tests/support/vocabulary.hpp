// Kernels that between them use the whole vocabulary that is made while tracing, for every back end to agree
// with the interpreter on. Each is a lambda over buffers of declared lengths, so that random_contents fills
// them; a NaN, whose bits are nobody's business, is written as a number.
#pragma once

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/random_program.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

inline constexpr u32 kWords = 128;  // elements of the inputs, and lanes of their grids

// Writes what it is given, one row of kWords a call.
template <class T, u64 N>
struct Rows {
  const Out<T, N>& out;
  Val<u32> i;
  u32 row = 0;
  constexpr void operator()(const Val<T>& v) {
    if constexpr (std::floating_point<T>) out[i + row++ * kWords] = select(v != v, T(77), v);
    else out[i + row++ * kWords] = v;
  }
};
template <class T, u64 N>
Rows(const Out<T, N>&, Val<u32>) -> Rows<T, N>;

inline constexpr u32 kFunctions = 11;
inline constexpr auto functions = [](Ctx k, In<f32, kWords> x, In<f32, kWords> y,
                                     Out<f32, kFunctions * kWords> out) {
  auto i = k.global_id();
  Rows keep{out, i};
  auto v = x[i];
  keep(exp(v));
  keep(exp10(v));
  keep(log(v));
  keep(log10(v));
  keep(tanh(v));
  keep(sigmoid(v));
  keep(erf(v));
  keep(silu(v));
  keep(gelu(v));
  keep(gelu_tanh(v));
  keep(pow(v, y[i]));
};

// Those that cost a compiler little enough to be native code too.
inline constexpr auto few_functions = [](Ctx k, In<f32, kWords> x, Out<f32, 2 * kWords> out) {
  auto i = k.global_id();
  Rows keep{out, i};
  keep(tanh(x[i]));
  keep(log(x[i]));
};

inline constexpr u32 kRoundings = 13;
template <class T>
inline constexpr auto roundings = [](Ctx k, In<T, kWords> x, In<T, kWords> y, In<i32, kWords> z,
                                     Out<T, kRoundings * kWords> out, Out<i32, 2 * kWords> whole) {
  auto i = k.global_id();
  Rows keep{out, i};
  auto a = x[i] * T(0.30000001192092896), b = y[i];
  auto tail = mix(a, b, T(0.25));
  keep(ceil(a));
  keep(trunc(a));
  keep(round(x[i] * T(0.25)));  // halves among them
  keep(round_even(x[i] * T(0.25)));
  keep(clamp(a, T(-1), b));
  keep(sign(a));
  keep(copysign(a, b));
  keep(rcp(a));
  keep(rsqrt(abs(a)));
  keep(tail);
  keep(isnan(a / (b - b)).template as<T>());
  keep(isinf(a / (b - b)).template as<T>());
  keep(isfinite(a / b).template as<T>());
  Rows numbers{whole, i};
  numbers(clamp(z[i], -100, 100));
  numbers(sign(z[i]));
};

inline constexpr u32 kHalves = 15;
template <class T>
inline constexpr auto halves = [](Ctx k, In<f32, kWords> x, In<f32, kWords> y, Out<T, kHalves * kWords> out) {
  auto i = k.global_id();
  u32 row = 0;
  auto keep = [&](const Val<T>& v) { out[i + row++ * kWords] = select(v != v, 77.0f, v); };
  auto a = rounded((x[i] * 0.7f).template as<T>()), b = rounded((y[i] * 1.3f).template as<T>());
  keep(a + b);
  keep(a - b);
  keep(a * b);
  keep(a / b);
  keep(-a);
  keep(abs(a));
  keep(sqrt(abs(a)));
  keep(min(a, b));
  keep(max(a, 0.5f));
  keep(fma(a, b, a));
  keep(2.0f * a + 1.0f);
  keep(1.0f / b);
  keep(x[i].template as<T>() - a);
  auto v = k.var(a);
  v = rounded(v) + b;
  v = rounded(v) * v;
  keep(v);
  keep(select(a < b, a, b));
};

inline constexpr auto eighths = [](Ctx k, In<f32, kWords> x, In<f8e4m3, 256> e4, In<f8e5m2, 256> e5,
                                   Out<f8e4m3, kWords> to4, Out<f8e5m2, kWords> to5, Out<f32, 512> from,
                                   InOut<f8e4m3, 256> both) {
  auto i = k.global_id();
  to4[i] = (x[i] * 31.0f).as<f8e4m3>();
  to5[i] = (x[i] * 4001.0f).as<f8e5m2>();
  for (u32 half = 0; half < 2; ++half) {
    auto j = i + half * kWords;
    auto a = e4[j].as<f32>(), b = e5[j].as<f32>();
    from[j] = select(a != a, 77.0f, a);
    from[j + 256] = select(b != b, 77.0f, b);
  }
  auto four = both.vec<4>((i & 31) * 4);
  GPU_IF(i < 32) both.store(i * 4, vec(four[0], four[1], (four[2] + four[3]).as<f8e4m3>(), 0.5f));
};

// A kernel of the vocabulary, and how to launch it.
struct Sample {
  Program program;
  std::array<u32, 3> grid;
};
inline std::vector<Sample> vocabulary() {
  std::vector<Sample> all;
  const auto add = [&](const auto& lambda, std::string_view name, u32 lanes = 64) {
    all.push_back({trace_program(lambda, name, {lanes, 1, 1}), {kWords / lanes, 1, 1}});
  };
  add(functions, "functions");
  add(few_functions, "few_functions");
  add(roundings<f32>, "roundings_f32");
  add(roundings<f64>, "roundings_f64");
  add(halves<f16>, "halves_f16");
  add(halves<bf16>, "halves_bf16");
  add(eighths, "eighths");
  return all;
}

}  // namespace gpuio::test_kernels
