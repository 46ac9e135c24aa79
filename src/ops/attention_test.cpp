#include "ops/attention.hpp"
#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;
using Shape = std::vector<std::uint64_t>;

class Attention : public OpsTest {
 protected:
  struct Case {
    Array q, k, v, out;
    AttentionOptions options{};
    const Array *lengths = nullptr, *indices = nullptr, *log_sum = nullptr;
  };
  Case make(Dtype type, std::uint64_t batch, std::uint64_t heads, std::uint64_t shared, std::uint64_t tq,
            std::uint64_t tk, std::uint64_t d) {
    Case x{.q = array("q", type, {batch, heads, tq, d}),
           .k = array("k", type, {batch, shared, tk, d}),
           .v = array("v", type, {batch, shared, tk, d}),
           .out = array("out", type, {batch, heads, tq, d})};
    fill(x.q, -2, 2, 1), fill(x.k, -2, 2, 2), fill(x.v, -1, 1, 3);
    return x;
  }
  void with_log_sum(Case& x, const Array& t) { x.options.log_sum = t, x.log_sum = &t; }

  // Which keys a query sees, as the header says.
  static std::vector<std::uint64_t> seen(const Case& x, std::uint64_t b, std::uint64_t h, std::uint64_t i) {
    const std::uint64_t tq = x.q.shape[2], shared = x.k.shape[1];
    const std::uint64_t keys = x.lengths ? std::uint64_t(x.lengths->at(b)) : x.k.shape[2];
    std::vector<std::uint64_t> out;
    const auto see = [&](std::uint64_t key) {
      if (key < keys && (!x.options.causal || key + tq <= i + keys)) out.push_back(key);
    };
    if (!x.indices) {
      for (std::uint64_t key = 0; key < x.k.shape[2]; ++key) see(key);
      return out;
    }
    const std::uint64_t n = x.indices->last(), row = (b * shared + h * shared / x.q.shape[1]) * tq + i;
    for (std::uint64_t j = 0; j < n; ++j) see(std::uint64_t(x.indices->at(row * n + j)));
    return out;
  }
  void expect_right(const Case& x) {
    ASSERT_EQ(run([&](const Place& p) { return attention(p, x.q, x.k, x.v, x.out, x.options); }).message(),
              "");
    expect_result(x);
  }
  // The CPU device has matrix operations too: there they are no way, but it tells whether they are right.
  void expect_right_on_units(const Case& x) {
    gpu::DeviceInfo with_units;
    with_units.backend = gpu::Backend::cuda, with_units.major = 8;
    ASSERT_TRUE(units_can(with_units, x.q, x.k, x.v, x.options));
    ASSERT_FALSE(units_can(device_->info(), x.q, x.k, x.v, x.options) &&
                 device_->info().backend != gpu::Backend::cuda);
    ASSERT_EQ(
        run([&](const Place& p) { return attention_by(p, true, x.q, x.k, x.v, x.out, x.options); }).message(),
        "");
    expect_result(x, roundoff(x.v.type));
  }
  // rounded: by how much weights are rounded before they meet v.
  void expect_result(const Case& x, double rounded = 0) {
    const std::uint64_t heads = x.q.shape[1], shared = x.k.shape[1], tq = x.q.shape[2], d = x.q.last();
    const double scale = x.options.scale == 0 ? 1 / std::sqrt(double(d)) : x.options.scale,
                 s = std::ldexp(1.0, -24);
    for (std::uint64_t b = 0; b < x.q.shape[0]; ++b)
      for (std::uint64_t h = 0; h < heads; ++h)
        for (std::uint64_t i = 0; i < tq; ++i) {
          const std::uint64_t hk = h * shared / heads;
          const auto keys = seen(x, b, h, i);
          std::vector<double> score;
          double most = -INFINITY, largest = 0, sum = 0, v_most = 0;
          for (const std::uint64_t key : keys) {
            double dot = 0, size = 0;
            for (std::uint64_t c = 0; c < d; ++c) {
              const double product = x.q.at(offset(x.q, b, h, i, c)) * x.k.at(offset(x.k, b, hk, key, c));
              dot += product, size += std::abs(product);
            }
            score.push_back(dot * scale);
            most = std::max(most, dot * scale), largest = std::max(largest, size * std::abs(scale));
          }
          std::vector<double> want(d, 0.0);
          for (const double v : score) sum += std::exp(v - most);
          for (std::size_t j = 0; j < keys.size(); ++j)
            for (std::uint64_t c = 0; c < d; ++c) {
              const double v = x.v.at(offset(x.v, b, hk, keys[j], c));
              v_most = std::max(v_most, std::abs(v));
              want[c] += std::exp(score[j] - most) / sum * v;
            }
          const double error = (2 * double(d + 4) * s * largest + 0x1p-19 + rounded) * v_most;
          for (std::uint64_t c = 0; c < d; ++c)
            ASSERT_NEAR(x.out.at(offset(x.out, b, h, i, c)), want[c],
                        error + roundoff(x.out.type) * (v_most + error))
                << describe(x.q) << ", " << describe(x.k) << " at " << b << ", " << h << ", " << i << ", "
                << c;
          if (!x.log_sum) continue;
          const double got = x.log_sum->at((b * heads + h) * tq + i);
          if (keys.empty()) ASSERT_EQ(got, -INFINITY);
          else
            ASSERT_NEAR(got, most + std::log(sum),
                        error / std::max(v_most, 1e-9) - rounded + 0x1p-22 * std::abs(most));
        }
  }
};

TEST_P(Attention, TypesDepthsAndSizesOfAnything) {
  const Dtype types[] = {Dtype::f32, Dtype::f16, Dtype::bf16};
  std::size_t n = 0;
  for (const std::uint64_t d : {1, 33, 64, 100, 128, 200, 256}) {
    if (slow_to_compile() && (d == 33 || d == 100 || d == 200)) continue;
    Case x = make(types[n++ % 3], 1, 2, 2, 35, 43, d);
    const Array logs = array("log_sum", Dtype::f32, {1, 2, 35});
    if (n % 2) with_log_sum(x, logs);
    expect_right(x);
  }
}

TEST_P(Attention, MatrixUnitsAreRight) {
  if (std::string_view(GetParam()) != "cpu" && device_->info().backend != gpu::Backend::cuda)
    GTEST_SKIP()
        << "attention on Vulkan uses no matrix units; the CPU device tells once whether they are right";
  std::size_t n = 0;
  for (const std::uint64_t d : {16, 48, 64, 128, 256}) {  // of 67 rows for each head of k; keys in tiles
    Case x = make(n++ % 2 ? Dtype::f16 : Dtype::bf16, 1, 2, 1, 37, d == 64 ? 70 : 45, d);
    const Array logs = array("log_sum", Dtype::f32, {1, 2, 37});
    x.options.causal = n % 2;
    with_log_sum(x, logs);
    expect_right_on_units(x);
  }
  Case few = make(Dtype::f16, 1, 1, 1, 20, 5, 32);  // of 5 keys the first 15 queries see none
  few.options.causal = true;
  expect_right_on_units(few);
  const Array lengths = array("lengths", Dtype::u32, {3});
  lengths.set(0, 40), lengths.set(1, 0), lengths.set(2, 13);
  Case x = make(Dtype::bf16, 3, 4, 2, 9, 400, 32);  // divided among workgroups
  x.options.lengths = lengths, x.lengths = &lengths;
  for (std::uint64_t c = 0; c < 32; ++c)
    x.k.set(offset(x.k, 2, 0, 13, c), NAN), x.v.set(offset(x.v, 2, 0, 13, c), NAN);
  expect_right_on_units(x);
}

TEST_P(Attention, CausalWithMoreFewerAndAsManyKeys) {
  for (const std::uint64_t tk : {37, 50, 20}) {
    Case x = make(Dtype::f32, 1, 4, 2, 37, tk, 24);  // of 20 keys the first 17 queries see none
    const Array logs = array("log_sum", Dtype::f32, {1, 4, 37});
    x.options.causal = true;
    with_log_sum(x, logs);
    expect_right(x);
  }
}

TEST_P(Attention, ManyTilesOfQueriesAndKeys) {
  for (const Dtype type : {Dtype::f32, Dtype::bf16}) {
    if (slow_to_compile() && type != Dtype::f32) continue;
    Case x = make(type, 1, 2, 1, 215, 331, 40);
    const Array logs = array("log_sum", Dtype::f32, {1, 2, 215});
    x.options.causal = type == Dtype::f32;
    with_log_sum(x, logs);
    expect_right(x);
  }
}

TEST_P(Attention, LengthsOfSequences) {
  const Array lengths = array("lengths", Dtype::u32, {4});
  const double of[] = {40, 0, 13, 33};
  for (std::uint64_t b = 0; b < 4; ++b) lengths.set(b, of[b]);
  for (const bool causal : {false, true}) {
    if (causal && slow_to_compile()) continue;
    Case x = make(Dtype::f16, 4, 4, 1, 9, 40, 32);
    x.options.causal = causal, x.options.lengths = lengths, x.lengths = &lengths;
    for (std::uint64_t c = 0; c < 32; ++c)  // behind the length: whatever there is counts for nothing
      x.k.set(offset(x.k, 2, 0, 13, c), NAN), x.v.set(offset(x.v, 2, 0, 13, c), INFINITY);
    expect_right(x);
  }
}

TEST_P(Attention, OneQueryWhoseKeysAreDivided) {
  for (const std::uint64_t tk : {5, 777}) {
    Case x = make(Dtype::bf16, 2, 6, 2, 1, tk, 40);
    const Array logs = array("log_sum", Dtype::f32, {2, 6, 1}), lengths = array("lengths", Dtype::u32, {2});
    with_log_sum(x, logs);
    lengths.set(0, double(tk)), lengths.set(1, 3);
    x.options.lengths = lengths, x.lengths = &lengths, x.options.causal = true;
    expect_right(x);
  }
  Case x = make(Dtype::f32, 1, 1, 1, 1, 600, 256);
  expect_right(x);
}

TEST_P(Attention, KeysThatAreListed) {
  const std::uint64_t picks = 21, tk = 90;
  for (const std::uint64_t tq : {1, 7}) {
    const Array indices = array("indices", Dtype::u32, {2, 2, tq, picks});
    std::mt19937 random(7);
    for (std::uint64_t r = 0; r < 4 * tq; ++r) {
      std::vector<std::uint64_t> all(tk);
      for (std::uint64_t j = 0; j < tk; ++j) all[j] = j;
      std::ranges::shuffle(all, random);
      for (std::uint64_t j = 0; j < picks; ++j)
        indices.set(r * picks + j, j % 4 == 3 ? 4294967295.0 : double(all[j]));
    }
    Case x = make(Dtype::f32, 2, 6, 2, tq, tk, 64);
    x.options.indices = indices, x.indices = &indices, x.options.causal = tq > 1;
    expect_right(x);
  }
}

TEST_P(Attention, StridesOfBatchHeadAndToken) {
  // Token before head in memory, as projections leave it, and gaps.
  const std::uint64_t heads = 4, t = 11, d = 16, row = heads * d + 4;
  const auto of = [&](std::string_view name, std::uint64_t h) {
    return array(name, Dtype::f32, {2, h, t, d}, {t * row + 8, d, row, 1});
  };
  Case x{.q = of("q", heads), .k = of("k", 2), .v = of("v", 2), .out = of("out", heads)};
  fill(x.q, -2, 2, 4), fill(x.k, -2, 2, 5), fill(x.v, -2, 2, 6);
  x.options.scale = 0.5f;
  expect_right(x);
  for (std::uint64_t b = 0; b < 2; ++b)
    for (std::uint64_t i = 0; i + 1 < t; ++i)
      EXPECT_EQ(int(x.out.host[4 * (offset(x.out, b, 0, i, 0) + heads * d)]), 0xA5) << "between rows";
}

TEST_P(Attention, LargeScoresDoNotOverflow) {
  Case x = make(Dtype::f32, 1, 1, 1, 12, 70, 8);
  x.options.scale = 3;  // scores up to 96
  expect_right(x);
  x.options.scale = -40;
  expect_right(x);
}

TEST_P(Attention, SaysWhatItDoesNotTake) {
  const Case x = make(Dtype::f16, 2, 6, 2, 3, 5, 16);
  const auto says = [&](const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                        const AttentionOptions& o = {}) {
    return run([&](const Place& p) { return attention(p, q, k, v, out, o); }).message();
  };
  const auto with = [&](const AttentionOptions& o) { return says(x.q, x.k, x.v, x.out, o); };
  const auto t = [&](std::string_view name, Dtype type, Shape shape) { return array(name, type, shape); };
  EXPECT_THAT(says(t("q", Dtype::f16, {6, 3, 16}), x.k, x.v, x.out),
              HasSubstr("q: f16 6 x 3 x 16: it needs 4 dimensions"));
  EXPECT_THAT(says(t("q", Dtype::i8, {2, 6, 3, 16}), x.k, x.v, x.out),
              HasSubstr("not of this type; built are f32, f16, bf16"));
  EXPECT_THAT(says(x.q, t("k", Dtype::bf16, {2, 2, 5, 16}), x.v, x.out),
              HasSubstr("built are four of one type"));
  const Array wide = t("q", Dtype::f16, {1, 1, 1, 257});
  EXPECT_THAT(says(wide, wide, wide, wide), HasSubstr("heads of 257 elements; built are 1 to 256"));
  EXPECT_THAT(says(x.q, x.k, x.v, t("out", Dtype::f16, {2, 6, 5, 16})),
              HasSubstr("out: f16 2 x 6 x 5 x 16: it needs 2 x 6 x 3 x 16, as q"));
  EXPECT_THAT(says(x.q, t("k", Dtype::f16, {2, 4, 5, 16}), x.v, x.out),
              HasSubstr("4 heads; the 6 of q: f16 2 x 6 x 3 x 16 are to be a multiple"));
  EXPECT_THAT(says(x.q, t("k", Dtype::f16, {1, 2, 5, 16}), x.v, x.out),
              HasSubstr("its first and last dimension are to be those of q"));
  EXPECT_THAT(says(x.q, x.k, t("v", Dtype::f16, {2, 2, 4, 16}), x.out),
              HasSubstr("v: f16 2 x 2 x 4 x 16: it needs 2 x 2 x 5 x 16, as k"));
  EXPECT_THAT(with({.scale = NAN}), HasSubstr("scale = nan"));
  EXPECT_THAT(with({.lengths = t("lengths", Dtype::i32, {2})}),
              HasSubstr("lengths: i32 2: not of this type; built are u32"));
  EXPECT_THAT(with({.lengths = t("lengths", Dtype::u32, {3})}),
              HasSubstr("lengths: u32 3: it needs 2, one for each sequence"));
  EXPECT_THAT(with({.indices = t("indices", Dtype::u32, {2, 6, 3, 4})}),
              HasSubstr("it needs 2 x 2 x 3 x 4, batch x heads of k"));
  EXPECT_THAT(with({.log_sum = t("log_sum", Dtype::f32, {2, 3, 6})}),
              HasSubstr("it needs 2 x 6 x 3, batch x heads x queries"));
}

GPUIO_ON_DEVICES(Attention);

}  // namespace
}  // namespace gpuio::ops
