#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Norm : public OpsTest {};

std::vector<double> softmax_of(const std::vector<double>& row) {
  double most = -INFINITY, sum = 0;
  for (const double v : row) most = std::max(most, v);
  std::vector<double> out;
  for (const double v : row) sum += std::exp(v - most);
  for (const double v : row) out.push_back(std::exp(v - most) / sum);
  return out;
}

TEST_P(Norm, SoftmaxOfRowsOfAnyLength) {
  const std::vector<std::uint64_t> shapes[] = {{1, 1},   {3, 7}, {2, 2, 255},  {5, 256},
                                               {3, 257}, {1000}, {2, 1, 3, 33}};
  const std::pair<Dtype, Dtype> types[] = {{Dtype::f32, Dtype::f32},
                                           {Dtype::f16, Dtype::f16},
                                           {Dtype::bf16, Dtype::bf16},
                                           {Dtype::bf16, Dtype::f32}};
  for (const auto& [from, to] : types)
    for (const auto& shape : shapes) {
      const Array x = array("x", from, shape), y = array("y", to, shape);
      fill(x, -8, 8, 1);
      ASSERT_EQ(run([&](const Place& p) { return softmax(p, x, y); }).message(), "");
      for (std::uint64_t r = 0; r < x.rows(); ++r) {
        std::vector<double> row;
        for (std::uint64_t j = 0; j < x.last(); ++j) row.push_back(x.at(r * x.last() + j));
        const auto want = softmax_of(row);
        for (std::uint64_t j = 0; j < x.last(); ++j)
          ASSERT_NEAR(y.at(r * x.last() + j), want[j],
                      want[j] * (20 * std::ldexp(1.0, -23) + roundoff(to)) + 1e-7 * roundoff(to) * 0x1p11)
              << describe(x) << " row " << r << " column " << j;
      }
    }
}

TEST_P(Norm, SoftmaxInPlaceAndOverSpacedRows) {
  const Array x = array("x", Dtype::f32, {4, 100}, {130, 1});
  fill(x, -3, 3, 2);
  const auto before = x.bytes();
  ASSERT_EQ(run([&](const Place& p) { return softmax(p, x, x); }).message(), "");
  for (std::uint64_t r = 0; r < 4; ++r) {
    double sum = 0;
    for (std::uint64_t j = 0; j < 100; ++j) sum += x.at(offset(x, r, j));
    EXPECT_NEAR(sum, 1, 1e-5);
    if (r == 3) break;  // what is between rows is nobody's
    EXPECT_EQ(std::memcmp(x.host + offset(x, r, 100) * 4, before.data() + offset(x, r, 100) * 4, 120), 0);
  }
}

TEST_P(Norm, SoftmaxOfLimits) {
  const Array x = array("x", Dtype::f32, {3, 4}), y = array("y", Dtype::f32, {3, 4});
  const double inf = INFINITY, values[] = {-inf, 0, 0, -inf, -inf, -inf, -inf, -inf, 1, NAN, 2, 3};
  for (std::uint64_t i = 0; i < 12; ++i) x.set(i, values[i]);
  ASSERT_EQ(run([&](const Place& p) { return softmax(p, x, y); }).message(), "");
  const double first[] = {0, 0.5, 0.5, 0};
  for (std::uint64_t j = 0; j < 4; ++j) {
    EXPECT_EQ(y.at(j), first[j]);
    EXPECT_TRUE(std::isnan(y.at(4 + j)));
    EXPECT_TRUE(std::isnan(y.at(8 + j)));
  }
}

TEST_P(Norm, SaysWhatItDoesNotTake) {
  const auto says = [&](const Tensor& x, const Tensor& y) {
    return run([&](const Place& p) { return softmax(p, x, y); }).message();
  };
  EXPECT_THAT(says(array("x", Dtype::i32, {4}), array("y", Dtype::f32, {4})),
              HasSubstr("x: i32 4: not of this type; built are f32, f16, bf16"));
  EXPECT_THAT(says(array("x", Dtype::f16, {4}), array("y", Dtype::bf16, {4})), HasSubstr("y: bf16 4"));
  EXPECT_THAT(says(array("x", Dtype::f16, {4, 2}), array("y", Dtype::f16, {4})),
              HasSubstr("y: f16 4: it needs 4 x 2, as x"));
  EXPECT_THAT(says(array("x", Dtype::f32, {2, 2, 4}, {100, 9, 1}), array("y", Dtype::f32, {2, 2, 4})),
              HasSubstr("its rows are not evenly spaced (18 would be)"));
}

GPUIO_ON_DEVICES(Norm);

}  // namespace
}  // namespace gpuio::ops
