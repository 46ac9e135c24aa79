#include <set>

#include "ops/ops_fixture.hpp"
#include "ops/random.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Histogram : public OpsTest {
 protected:
  std::string says(const Tensor& x, const Tensor& counts) {
    return run([&](const Place& p) { return histogram(p, x, counts); }).message();
  }
};
class Random : public OpsTest {
 protected:
  std::string says(Distribution d, std::uint64_t seed, std::uint64_t offset, const Tensor& y) {
    return run([&](const Place& p) { return random(p, d, seed, offset, y); }).message();
  }
};

TEST_P(Histogram, CountsOfAnyTypeAddUp) {
  for (const Dtype type : {Dtype::u8, Dtype::i32, Dtype::u32})
    for (const Dtype of : {Dtype::u32, Dtype::u64})
      for (const std::uint64_t bins : {1, 100, 256, 5000, 70000}) {
        if (slow_to_compile() && (of == Dtype::u32) != (type == Dtype::i32)) continue;
        const Array x = array("x", type, {3, 20001}, {20007, 1}), counts = array("counts", of, {bins});
        std::mt19937_64 random(bins);
        std::vector<double> want(bins, 1000);
        for (std::uint64_t i = 0; i < x.extent(); ++i)
          x.set(i, double(random() % 6000) - (type == Dtype::i32 ? 500 : 0));
        if (type == Dtype::u8)
          for (std::uint64_t i = 0; i < x.extent(); ++i) x.host[i] = std::byte(random());
        for (std::uint64_t i = 0; i < bins; ++i) counts.set(i, 1000);
        for (std::uint64_t r = 0; r < 3; ++r)
          for (std::uint64_t j = 0; j < 20001; ++j) {
            const double v = x.at(offset(x, r, j));
            if (v >= 0 && v < double(bins)) ++want[std::size_t(v)];
          }
        ASSERT_EQ(says(x, counts), "");
        for (std::uint64_t i = 0; i < bins; ++i)
          ASSERT_EQ(counts.at(i), want[i]) << describe(x) << " of " << describe(counts) << " bin " << i;
      }
}

TEST_P(Histogram, SaysWhatItDoesNotTake) {
  const Array x = array("x", Dtype::u8, {4});
  EXPECT_THAT(says(array("x", Dtype::f32, {4}), array("counts", Dtype::u32, {4})),
              HasSubstr("x: f32 4: not of this type; built are u8, i32, u32"));
  EXPECT_THAT(says(x, array("counts", Dtype::i32, {4})), HasSubstr("counts: i32 4: not of this type"));
  EXPECT_THAT(says(x, array("counts", Dtype::u32, {4, 4})),
              HasSubstr("counts: u32 4 x 4: it needs 1 dimensions"));
  EXPECT_EQ(says(array("x", Dtype::u8, {0}), array("counts", Dtype::u32, {4})), "");
}

// The vectors that Random123 is tested with.
TEST_P(Random, PhiloxGivesTheKnownAnswers) {
  const std::uint32_t in[3][6] = {{0, 0, 0, 0, 0, 0},
                                  {~0u, ~0u, ~0u, ~0u, ~0u, ~0u},
                                  {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0}};
  const std::uint32_t out[3][4] = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                   {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                   {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
  const Array x = array("x", Dtype::u32, {18}), y = array("y", Dtype::u32, {12});
  std::memcpy(x.host, in, sizeof in);
  const auto body = [](kernel::Ctx k) {
    const auto from = Elements<std::uint32_t>::in(k, Dtype::u32),
               to = Elements<std::uint32_t>::out(k, Dtype::u32);
    Words words;
    for (std::uint32_t w = 0; w < 6; ++w) words.push_back(from[k.cta() * 6 + w]);
    const Words drawn = philox({words[0], words[1], words[2], words[3]}, {words[4], words[5]});
    for (std::uint32_t w = 0; w < 4; ++w) to.set(k.cta() * 4 + w, drawn[w]);
  };
  const auto kernel = kernels_->get({Operation::random, {}, {99}}, "philox", {1, 1, 1}, body);
  ASSERT_TRUE(kernel.has_value()) << kernel.error().message();
  ASSERT_EQ(run([&](const Place& p) {
              return p.plan.launch(*kernel, {.groups = {3, 1, 1}}, std::array{argument(x), argument(y)});
            }).message(),
            "");
  EXPECT_EQ(std::memcmp(y.host, out, sizeof out), 0);
  // The operation's words are those: block 0 of seed 0, then whatever comes.
  const Array z = array("z", Dtype::u32, {7});
  ASSERT_EQ(says(Distribution::bits, 0, 1, z), "");
  EXPECT_EQ(std::memcmp(z.host, &out[0][1], 12), 0);
}

TEST_P(Random, AnElementIsAFunctionOfItsPlace) {
  const Array all = array("y", Dtype::u32, {70000});
  ASSERT_EQ(says(Distribution::bits, 42, 100, all), "");
  for (const std::uint64_t from : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{777}}) {
    const Array part = array("y", Dtype::u32, {50001});
    ASSERT_EQ(says(Distribution::bits, 42, 100 + from, part), "");
    ASSERT_EQ(std::memcmp(part.host, all.host + 4 * from, std::size_t{4} * 50001), 0) << from;
  }
  std::set<double> seen;
  for (std::uint64_t i = 0; i < 70000; ++i) seen.insert(all.at(i));
  EXPECT_GE(seen.size(), 69990u);
  // The stream is a ring of 2^64.
  const Array end = array("y", Dtype::u32, {8}), begin = array("y", Dtype::u32, {4});
  ASSERT_EQ(says(Distribution::bits, 42, ~std::uint64_t{0} - 3, end), "");
  ASSERT_EQ(says(Distribution::bits, 42, 0, begin), "");
  EXPECT_EQ(std::memcmp(end.host + 16, begin.host, 16), 0);
}

TEST_P(Random, UniformIsTheBitsRoundedDown) {
  const Array bits = array("y", Dtype::u32, {4001});
  ASSERT_EQ(says(Distribution::bits, 7, 5, bits), "");
  for (const auto& [type, digits] : {std::pair{Dtype::f32, 24}, {Dtype::f16, 11}, {Dtype::bf16, 8}}) {
    const Array y = array("y", type, {4001});
    ASSERT_EQ(says(Distribution::uniform, 7, 5, y), "");
    for (std::uint64_t i = 0; i < 4001; ++i) {
      const double exact = std::floor(bits.at(i) / 256) * 0x1p-24;
      int exponent = 0;
      std::frexp(exact, &exponent);
      const double unit = std::ldexp(1.0, std::max(exponent - digits, -24));
      ASSERT_EQ(y.at(i), std::floor(exact / unit) * unit) << name_of(type) << " " << i;
    }
  }
}

TEST_P(Random, NormalHasItsMoments) {
  const std::uint64_t n = 40000;
  for (const Dtype type : {Dtype::f32, Dtype::f16}) {
    const Array y = array("y", type, {n});
    ASSERT_EQ(says(Distribution::normal, 123, 0, y), "");
    double sum[5]{}, far = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      const double v = y.at(i);
      ASSERT_TRUE(std::isfinite(v));
      for (int p = 1; p < 5; ++p) sum[p] += std::pow(v, p) / double(n);
      far += std::abs(v) > 1.959964;
    }
    // Six standard deviations of each.
    EXPECT_NEAR(sum[1], 0, 6 / std::sqrt(double(n)));
    EXPECT_NEAR(sum[2], 1, 6 * std::sqrt(2 / double(n)));
    EXPECT_NEAR(sum[3], 0, 6 * std::sqrt(15 / double(n)));
    EXPECT_NEAR(sum[4], 3, 6 * std::sqrt(96 / double(n)));
    EXPECT_NEAR(far / double(n), 0.05, 6 * std::sqrt(0.05 / double(n)));
  }
}

TEST_P(Random, SaysWhatItDoesNotTake) {
  EXPECT_THAT(says(Distribution::bits, 0, 0, array("y", Dtype::f32, {4})),
              HasSubstr("y: f32 4: not of this type; built are u32"));
  EXPECT_THAT(says(Distribution::normal, 0, 0, array("y", Dtype::u32, {4})),
              HasSubstr("built are f32, f16, bf16"));
  EXPECT_THAT(says(Distribution::uniform, 0, 0, array("y", Dtype::f32, {4, 4}, {8, 1})),
              HasSubstr("it must be without gaps"));
  EXPECT_EQ(says(Distribution::uniform, 0, 0, array("y", Dtype::f32, {0, 4})), "");
}

GPUIO_ON_DEVICES(Histogram);
GPUIO_ON_DEVICES(Random);

}  // namespace
}  // namespace gpuio::ops
