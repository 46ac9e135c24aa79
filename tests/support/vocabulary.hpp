// Kernels that between them use the whole vocabulary that is made while tracing, for every back end to agree
// with the interpreter on. Each is a lambda over buffers of declared lengths, so that random_contents fills
// them; a NaN, whose bits are nobody's business, is written as a number.
#pragma once

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/random_program.hpp>

namespace gpuio::test_kernels {

struct Pair {
  float x;
  std::uint32_t n;
};
struct Mixed {  // members of every size, with padding
  double d;
  float x;
  std::uint8_t tag;
  bool on;
  kernel::f16 h;
  std::int64_t n;
  std::int32_t i;
};

}  // namespace gpuio::test_kernels
GPUIO_STRUCT(gpuio::test_kernels::Pair, x, n)
GPUIO_STRUCT(gpuio::test_kernels::Mixed, d, x, tag, on, h, n, i)

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

// Specialization constants of every type, as numbers, conditions, ends of loops and indices.
inline constexpr auto specialized = [](Ctx k, In<f32, kWords> x, Out<f32, 3 * kWords> out,
                                       Out<u64, 2 * kWords> sums) {
  const auto window = k.constant<u32>("WINDOW", 3, 1, 8);
  const auto scale = k.constant<f32>("SCALE", 0.5f);
  const auto turned = k.constant<bool>("TURNED", false);
  const auto bias = k.constant<i32>("BIAS", -3, -100, 100);
  const auto big = k.constant<u64>("BIG", 0x123456789abcdefu);
  const auto small = k.constant<i64>("SMALL", -5);
  const auto third = k.constant<f64>("THIRD", 1.0 / 3);
  auto tile = k.shared<f32, 64 + 7>();
  auto t = k.tid(), i = k.global_id();
  GPU_IF(t < 7) tile[64 + t] = 0.0f;
  tile[t] = x[i];
  k.barrier();
  auto sum = k.var(0.0f);
  for (auto j : k.range(0u, window)) sum += tile[t + j];  // stays inside, for every WINDOW
  Rows keep{out, i};
  keep(sum * scale);
  keep(select(turned, -x[i], x[i]) + bias.as<f32>());
  keep((x[i].as<f64>() * third).as<f32>());
  Rows count{sums, i};
  count((i.as<u64>() + 1u) * big);
  auto steps = k.var<u64>(0);
  for (auto j : k.range(t.as<i64>(), k.val<i64>(64), 9)) steps += bitcast<u64>(j * small);
  count(steps);
};

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

// Arguments of all sizes where bits are, and of the size at which functions bend.
inline constexpr u32 kFunctions64 = 19;
inline constexpr auto functions64 = [](Ctx k, In<f64, kWords> x, In<f64, kWords> y, In<i64, kWords> bits,
                                       Out<f64, kFunctions64 * kWords> out) {
  auto i = k.global_id();
  Rows keep{out, i};
  auto v = x[i], any = bitcast<f64>(bits[i]);
  keep(exp(v));
  keep(exp2(v));
  keep(exp10(v));
  keep(log(v));
  keep(log2(abs(any)));
  keep(log10(abs(any)));
  keep(sin(v));
  keep(cos(v));
  keep(sin(v * 12345677.0));
  keep(cos(any));
  keep(tanh(v));
  keep(sigmoid(v));
  keep(sigmoid(v * 20.0));
  keep(erf(v));
  keep(silu(v));
  keep(gelu(v));
  keep(gelu_tanh(v));
  keep(pow(v, y[i]));
  keep(pow(abs(v) + 1.0, y[i] * 3.0));
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

// Of any bits. What devices may choose, NaN and the sign of zero, is written as a number and +0.
inline constexpr u32 kPairs = 14;
template <class T>
inline constexpr auto pairs = [](Ctx k, In<T, kWords> x, In<T, kWords> y, In<T, kWords> z,
                                 InOut<T, kWords> both, Out<T, kPairs * kWords> out) {
  auto i = k.global_id(), t = k.tid();
  u32 row = 0;
  auto settled = [](const Val<T>& v) {
    auto sum = v + 0.0f;
    auto low = sum.low(), high = sum.high();
    return packed(select(low != low, 77.0f, low), select(high != high, 77.0f, high));
  };
  auto keep = [&](const Val<T>& v) { out[i + row++ * kWords] = settled(v); };
  auto a = x[i], b = y[i], c = z[i];
  keep(a + b);
  keep(a - b);
  keep(a * b);
  keep(min(a, b));
  keep(max(a, 1.5f));
  keep(fma(a, b, c));
  keep(fma(a, b, -(a * b)));  // what the product lost, or 0
  keep(abs(a) - 2.0f * b);
  keep(packed(a.high(), b.low()) * c);
  auto tile = k.shared<T, 64>();
  tile[t] = a;
  k.barrier();
  auto sum = k.var(settled(b));
  for (auto j : k.range(0u, 4u)) sum += tile[(t + j) % 64];
  sum *= c;
  keep(sum);
  keep(select(i % 3 == 0, a, b));
  keep(shuffle_xor(settled(a), 1));
  auto h = rounded(a.low());
  keep(packed(fma(h, b.low(), c.low())));
  both[i] += settled(bitcast<T>(bitcast<u32>(a) ^ 0x00010001u));
  both[i] = settled(both[i]);
  keep(x[(k.cta() + 5) % kWords] * y[k.cta()]);  // the same in all lanes
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
  GPU_IF(i < 32) {
    auto four = both.vec<4>(i * 4);
    both.store(i * 4, vec(four[0], four[1], (four[2] + four[3]).as<f8e4m3>(), 0.5f));
  }
};

// Among the lanes of a workgroup of any size. One row a type: the sums of reductions and scans; then counts.
inline constexpr u32 kBlockRows = 9;
template <class T>
inline constexpr auto block_operations =
    [](Ctx k, In<T, kWords> x, Out<T, kBlockRows * kWords> out, Out<u32, 2 * kWords> counts, Val<u32> lane) {
      auto i = k.local_index();
      auto v = x[i];
      Rows keep{out, i};
      keep(k.block_reduce_add(v));
      keep(k.block_reduce_min(v) - k.block_reduce_max(v));
      keep(k.block_scan_add(v));
      keep(k.block_scan_max(v));
      auto earlier = k.block_scan_exclusive_add(v);
      keep(earlier);
      // Associative and no more: keeps the first number above 2.
      auto first = [](const auto& a, const auto& b) { return select(a > T(2), a, b); };
      keep(k.block_reduce(v, first));
      keep(k.block_scan_exclusive(v, T(7), first));
      keep(k.block_broadcast(v, lane % 5));
      auto again = k.var(v);
      for (auto round : k.range(0u, 3u)) again = k.block_reduce_add(again) - v + round.template as<T>();
      keep(again);
      auto above = v > T(2);
      counts[i] = k.block_count(above);
      counts[i + kWords] = k.block_any(above).template as<u32>() | k.block_all(v > T(-100)).template as<u32>()
                                                                       << 1;
    };
inline constexpr auto few_block_operations = [](Ctx k, In<f32, kWords> x, Out<f32, kWords> out) {
  auto i = k.local_index();
  out[i] = k.block_scan_exclusive_add(x[i] - k.block_reduce_add(x[i]));
};
inline constexpr auto block_bits = [](Ctx k, In<u32, kWords> x, Out<u32, 3 * kWords> out) {
  auto i = k.tid();
  Rows keep{out, i};
  keep(k.block_reduce_xor(x[i]));
  keep(k.block_scan_or(x[i]) ^ k.block_reduce_and(x[i] | 1u));
  keep(k.block_scan_exclusive(x[i], 5u, [](const auto& a, const auto& b) { return a ^ b; }));
};
template <class T>
inline constexpr auto subgroup_scans = [](Ctx k, In<T, kWords> x, Out<T, 4 * kWords> out) {
  auto i = k.global_id();
  auto v = x[i];
  Rows keep{out, i};
  keep(subgroup_scan_add(v));
  keep(subgroup_scan_exclusive_add(v));
  keep(subgroup_scan(v, [](const auto& a, const auto& b) { return max(a, b); }));
  keep(subgroup_scan_exclusive(v, T(3), [](const auto& a, const auto& b) { return min(a, b); }));
};

// A function of C++ is a function of kernels: it traces what it says, where it is called.
template <class T, class F>
constexpr Val<T> newton(const Val<T>& start, u32 steps, F f) {
  return steps == 0 ? start : newton(Val<T>(start - f(start)), steps - 1, f);
}
inline constexpr auto aggregates = [](Ctx k, In<f32, kWords> x, In<u32, kWords> n, In<Pair, kWords> pairs,
                                      InOut<Pair, kWords> moved, InOut<Mixed, kWords> mixed,
                                      Out<f32, 4 * kWords> out) {
  auto i = k.global_id();
  Rows keep{out, i};
  auto a = k.array<f32, 5>();
  for (u32 j = 0; j < 5; ++j) a[j] += x[(i + j) % kWords];
  a.set(n[i] % 6, 100.0f);  // one past the end does nothing
  keep(a.at(n[i] % 7) + a[4]);
  auto root =
      newton(Val<f32>(x[i] + 20.0f), 4, [&](const Val<f32>& r) { return (r * r - 2.0f) / (2.0f * r); });
  keep(root);
  auto p = k.var(pairs[i].load());
  p.set(&Pair::x, p[&Pair::x] + 1.0f);
  GPU_IF(p[&Pair::n] % 2 == 0) p.set(&Pair::n, 7u);
  moved[i].store(p.get());
  keep(pairs[(i + 1) % kWords][&Pair::x]);
  auto m = mixed[i];
  auto whole = m.load();
  m.set(&Mixed::d, whole[&Mixed::x].as<f64>() * 2.0);
  m.set(&Mixed::tag, (whole[&Mixed::tag] + 1).as<u8>());
  m.set(&Mixed::on, whole[&Mixed::i] > 0);
  m.set(&Mixed::h, (whole[&Mixed::x] * 0.5f).as<f16>());
  m.set(&Mixed::n, whole[&Mixed::n] - whole[&Mixed::i].as<i64>());
  auto h = whole[&Mixed::h].as<f32>();
  keep(select(h != h, 0.0f, h));
};

// Branches, jumps and conditions that guard what follows them.
inline constexpr auto choices = [](Ctx k, In<u32, kWords> x, Out<u32, 3 * kWords> out) {
  auto i = k.global_id();
  Rows keep{out, i};
  auto inside = k.and_then(x[i] % 200 < kWords, [&] { return x[x[i] % 200] % 2 == 1; });
  auto outside = k.or_else(x[i] % 200 >= kWords, [&] { return x[x[i] % 200] % 2 == 0; });
  keep(inside.as<u32>() | outside.as<u32>() << 1);
  auto sum = k.var(0u);
  for (auto j : k.range(0u, 40u)) {
    k.continue_if((x[i] ^ j) % 3 == 0);
    k.break_if(sum > 300u);
    GPU_LOOP(k) {
      sum += j;
      GPU_IF(k.or_else(sum % 4 == 0, [&] { return j == 7u; })) k.break_();
      sum += 3u;
      k.break_if(sum > 1000u);
    }
  }
  keep(sum);
  keep(k.val(0u));
  k.return_if(x[i] % 5 == 0);
  out[i + 2 * kWords] = 1u;
};

// A kernel of the vocabulary, and how to launch it.
struct Sample {
  Program program;
  std::array<u32, 3> grid;
};
std::vector<Sample> vocabulary();

}  // namespace gpuio::test_kernels
