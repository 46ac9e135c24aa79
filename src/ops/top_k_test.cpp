#include <algorithm>
#include <numeric>

#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class TopK : public OpsTest {
 protected:
  std::string says(const Tensor& x, const std::optional<Tensor>& values, const Tensor& indices) {
    return run([&](const Place& p) { return top_k(p, x, values, indices); }).message();
  }
  // Which come first: the larger, of equals the earlier, NaNs last.
  std::vector<std::uint32_t> order(const Array& x, std::uint64_t from) {
    std::vector<std::uint32_t> all(x.last());
    std::iota(all.begin(), all.end(), 0u);
    std::ranges::sort(all, [&](std::uint32_t a, std::uint32_t b) {
      const double u = x.at(from + a), v = x.at(from + b);
      if (std::isnan(u) != std::isnan(v)) return std::isnan(v);
      return u == v || std::isnan(u) ? a < b : u > v;
    });
    return all;
  }
  void check(const Array& x, std::uint64_t k) {
    std::vector<std::uint64_t> shape(x.sizes().begin(), x.sizes().end());
    shape.back() = k;
    const Array values = array("values", x.type, shape), indices = array("indices", Dtype::u32, shape);
    ASSERT_EQ(says(x, values, indices), "");
    for (std::uint64_t r = 0; r < x.rows(); ++r) {
      const std::uint64_t from = r * (x.rank > 1 ? x.stride[std::size_t(x.rank) - 2] : 0);
      const auto want = order(x, from);
      for (std::uint64_t i = 0; i < k; ++i) {
        ASSERT_EQ(indices.at(r * k + i), want[i])
            << describe(x) << " k " << k << " row " << r << " place " << i;
        ASSERT_EQ(element(values.host, x.type, r * k + i) == x.at(from + want[i]),
                  !std::isnan(x.at(from + want[i])));
      }
    }
  }
};

TEST_P(TopK, OfRowsOfAnyLength) {
  struct {
    std::vector<std::uint64_t> shape;
    std::uint64_t k;
  } cases[] = {{{1}, 1}, {{3, 7}, 7}, {{2, 2, 1000}, 10}, {{2, 5000}, 600}, {{1, 70001}, 3}, {{300, 20}, 5}};
  for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i32, Dtype::u32})
    for (const auto& c : cases) {
      if (slow_to_compile() && (c.k != 10 || type != Dtype::bf16)) continue;
      const Array x = array("x", type, c.shape);
      fill(x, type == Dtype::u32 ? 0 : -50, 50, 1);  // many equal ones among 16-bit floats and integers
      check(x, c.k);
    }
}

// More than shared memory holds: they are sorted in memory.
TEST_P(TopK, OfThousands) {
  const Array x = array("x", Dtype::f32, {2, 9000}, {9100, 1});
  fill(x, -1, 1, 2);
  check(x, 4096);
}

TEST_P(TopK, EqualsByIndexAndLimits) {
  const Array same = array("x", Dtype::bf16, {2, 3000});
  for (std::uint64_t i = 0; i < 6000; ++i) same.set(i, double(i % 3 == 1));
  if (!slow_to_compile()) check(same, 1010);
  const Array x = array("x", Dtype::f32, {2, 8});
  const double values[] = {NAN, -INFINITY, 0.0, -0.0, INFINITY, -NAN, 1,   0.0,
                           NAN, NAN,       NAN, NAN,  5,        NAN,  NAN, NAN};
  for (std::uint64_t i = 0; i < 16; ++i) x.set(i, values[i]);
  check(x, 8);
}

TEST_P(TopK, IndicesAlone) {
  const Array x = array("x", Dtype::i32, {5}), indices = array("indices", Dtype::u32, {2});
  const std::int32_t values[] = {-5, INT32_MIN, INT32_MAX, 0, -1};
  std::memcpy(x.host, values, sizeof values);
  ASSERT_EQ(says(x, {}, indices), "");
  EXPECT_EQ(indices.at(0), 2);
  EXPECT_EQ(indices.at(1), 3);
  EXPECT_EQ(says(x, {}, array("indices", Dtype::u32, {0})), "");
}

TEST_P(TopK, SaysWhatItDoesNotTake) {
  const Array x = array("x", Dtype::f32, {2, 5000}), indices = array("indices", Dtype::u32, {2, 4});
  EXPECT_THAT(says(x, {}, array("indices", Dtype::u32, {2, 4097})),
              HasSubstr("indices: u32 2 x 4097: k = 4097: at most 4096, and 5000"));
  EXPECT_THAT(says(array("x", Dtype::f32, {2, 3}), {}, indices),
              HasSubstr("k = 4: at most 4096, and 3, the length of x's rows"));
  EXPECT_THAT(says(x, array("values", Dtype::f32, {2, 5}), indices),
              HasSubstr("values: f32 2 x 5: it needs 2 x 4, as indices"));
  EXPECT_THAT(says(x, array("values", Dtype::f16, {2, 4}), indices),
              HasSubstr("values: f16 2 x 4: not of this type; built are f32"));
  EXPECT_THAT(says(x, {}, array("indices", Dtype::u64, {2, 4})),
              HasSubstr("indices: u64 2 x 4: not of this type"));
  EXPECT_THAT(says(x, {}, array("indices", Dtype::u32, {3, 4})), HasSubstr("it needs 2 x 4"));
}

GPUIO_ON_DEVICES(TopK);

}  // namespace
}  // namespace gpuio::ops
