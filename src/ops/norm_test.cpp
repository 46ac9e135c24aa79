#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Norm : public OpsTest {
 protected:
  // Every pair of types and both kinds of rows, but not each with each.
  bool skips(Dtype from, Dtype to, std::uint64_t columns) const {
    if (!slow_to_compile()) return false;
    return columns != (from == to && from != Dtype::f16 ? 257 : 132) || from == Dtype::f16;
  }
};

const std::vector<std::uint64_t> kShapes[] = {{1, 1},   {3, 7}, {2, 2, 255},   {5, 256},
                                              {3, 257}, {1000}, {2, 1, 3, 33}, {3, 1, 132}};
const std::pair<Dtype, Dtype> kTypes[] = {{Dtype::f32, Dtype::f32},
                                          {Dtype::f16, Dtype::f16},
                                          {Dtype::bf16, Dtype::bf16},
                                          {Dtype::bf16, Dtype::f32}};

template <class A>
std::vector<double> row_of(const A& x, std::uint64_t r) {
  std::vector<double> row;
  for (std::uint64_t j = 0; j < x.last(); ++j) row.push_back(x.at(r * x.last() + j));
  return row;
}
std::vector<double> softmax_of(const std::vector<double>& row) {
  double most = -INFINITY, sum = 0;
  for (const double v : row) most = std::max(most, v);
  std::vector<double> out;
  for (const double v : row) sum += std::exp(v - most);
  for (const double v : row) out.push_back(std::exp(v - most) / sum);
  return out;
}

// What a layer norm gives, without gain and bias.
std::vector<double> normal_of(const std::vector<double>& row, double epsilon, bool centred) {
  double mean = 0, squares = 0;
  for (const double v : row) mean += v / double(row.size());
  if (!centred) mean = 0;
  for (const double v : row) squares += (v - mean) * (v - mean) / double(row.size());
  std::vector<double> out;
  for (const double v : row) out.push_back((v - mean) / std::sqrt(squares + epsilon));
  return out;
}

TEST_P(Norm, SoftmaxOfRowsOfAnyLength) {
  for (const auto& [from, to] : kTypes)
    for (const auto& shape : kShapes) {
      if (skips(from, to, shape.back())) continue;
      const Array x = array("x", from, shape), y = array("y", to, shape);
      fill(x, -8, 8, 1);
      ASSERT_EQ(run([&](const Place& p) { return softmax(p, x, y); }).message(), "");
      for (std::uint64_t r = 0; r < x.rows(); ++r) {
        const auto want = softmax_of(row_of(x, r));
        for (std::uint64_t j = 0; j < x.last(); ++j)
          ASSERT_NEAR(y.at(r * x.last() + j), want[j],
                      want[j] * (0x1p-21 + 16 * 0x1p-24 + roundoff(to)) + smallest(to))
              << describe(x) << " row " << r << " column " << j;
      }
    }
}

// So long that no form keeps them near, and many enough for all threads.
TEST_P(Norm, LongRowsAndManyOfThem) {
  const std::pair<std::uint64_t, std::uint64_t> sizes[] = {{3, 10007}, {700, 129}};
  for (const auto& [from, to] : kTypes)
    for (const auto& [rows, columns] : sizes) {
      if (slow_to_compile() && from != Dtype::f32) continue;
      const Array x = array("x", from, {rows, columns}), y = array("y", to, {rows, columns});
      fill(x, -4, 4, 1);
      const auto each = [&](const char* what, const auto& operation, const auto& reference, double relative,
                            double of_largest) {
        ASSERT_EQ(run(operation).message(), "");
        for (std::uint64_t r = 0; r < rows; ++r) {
          const auto want = reference(row_of(x, r));
          for (std::uint64_t j = 0; j < columns; ++j)
            ASSERT_NEAR(y.at(r * columns + j), want[j],
                        std::abs(want[j]) * (relative + roundoff(to)) + of_largest * 1.5 + smallest(to))
                << what << " of " << describe(x) << " row " << r << " column " << j;
        }
      };
      each("softmax", [&](const Place& p) { return softmax(p, x, y); }, softmax_of, 0x1p-21 + 8 * 0x1p-24, 0);
      each(
          "layer_norm", [&](const Place& p) { return layer_norm(p, x, {}, {}, 1e-5f, y); },
          [](const auto& row) { return normal_of(row, double(1e-5f), true); }, 0x1p-24, 0x1p-19);
      each(
          "rms_norm", [&](const Place& p) { return rms_norm(p, x, {}, 1e-6f, y); },
          [](const auto& row) { return normal_of(row, double(1e-6f), false); }, 0x1p-20, 0);
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

TEST_P(Norm, LayerNormOfRowsOfAnyLength) {
  for (const auto& [from, to] : kTypes)
    for (const auto& shape : kShapes)
      for (const int with : {0, 1, 2, 3}) {
        if (skips(from, to, shape.back()) || (slow_to_compile() && with != 3)) continue;
        const Array x = array("x", from, shape), y = array("y", to, shape);
        const Array gain = array("gain", with == 3 ? from : Dtype::f32, {shape.back()}),
                    bias = array("bias", Dtype::f32, {shape.back()});
        fill(x, 90, 110, 1), fill(gain, 0.5, 2, 2), fill(bias, -1, 1, 3);
        const auto times = with & 1 ? std::optional<Tensor>(gain) : std::nullopt,
                   plus = with & 2 ? std::optional<Tensor>(bias) : std::nullopt;
        ASSERT_EQ(run([&](const Place& p) { return layer_norm(p, x, times, plus, 1e-5f, y); }).message(), "");
        for (std::uint64_t r = 0; r < x.rows(); ++r) {
          const auto normal = normal_of(row_of(x, r), double(1e-5f), true);
          double largest = 0;
          for (const double v : normal) largest = std::max(largest, std::abs(v) * (times ? 2 : 1));
          for (std::uint64_t j = 0; j < x.last(); ++j) {
            const double want = normal[j] * (times ? gain.at(j) : 1) + (plus ? bias.at(j) : 0);
            ASSERT_NEAR(y.at(r * x.last() + j), want,
                        largest * 0x1p-19 + std::abs(want) * (roundoff(to) + 0x1p-24) + smallest(to))
                << describe(x) << " row " << r << " column " << j << " with " << with;
          }
        }
      }
}

TEST_P(Norm, RmsNormOfRowsOfAnyLength) {
  for (const auto& [from, to] : kTypes)
    for (const auto& shape : kShapes) {
      if (skips(from, to, shape.back())) continue;
      const Array x = array("x", from, shape), y = array("y", to, shape),
                  gain = array("gain", from, {shape.back()});
      fill(x, -5, 3, 1), fill(gain, -2, 2, 2);
      for (const bool with : {false, true}) {
        const auto times = with ? std::optional<Tensor>(gain) : std::nullopt;
        ASSERT_EQ(run([&](const Place& p) { return rms_norm(p, x, times, 1e-6f, y); }).message(), "");
        for (std::uint64_t r = 0; r < x.rows(); ++r) {
          const auto normal = normal_of(row_of(x, r), double(1e-6f), false);
          for (std::uint64_t j = 0; j < x.last(); ++j) {
            const double want = normal[j] * (with ? gain.at(j) : 1);
            ASSERT_NEAR(y.at(r * x.last() + j), want,
                        std::abs(want) * (0x1p-20 + roundoff(to)) + smallest(to))
                << describe(x) << " row " << r << " column " << j;
          }
        }
      }
    }
}

// Far from zero and close together: what a variance of squares would lose.
TEST_P(Norm, LayerNormOfSmallDifferences) {
  const Array x = array("x", Dtype::f32, {1, 6000}), y = array("y", Dtype::f32, {1, 6000});
  for (std::uint64_t j = 0; j < 6000; ++j) x.set(j, 1e6 + double(j * 2654435761u % 64));
  ASSERT_EQ(run([&](const Place& p) { return layer_norm(p, x, {}, {}, 0, y); }).message(), "");
  const auto want = normal_of(row_of(x, 0), 0, true);
  for (std::uint64_t j = 0; j < 6000; ++j) ASSERT_NEAR(y.at(j), want[j], 0x1p-18) << j;
}

TEST_P(Norm, NormsInPlaceOfSpacedRowsAndOfLimits) {
  const Array x = array("x", Dtype::f32, {3, 2, 4}, {24, 12, 1});
  fill(x, -1, 1, 4);
  const auto before = x.bytes();
  std::vector<double> third;
  for (std::uint64_t j = 0; j < 4; ++j) third.push_back(x.at(24 + j));
  x.set(12, NAN), x.set(48, INFINITY);
  ASSERT_EQ(run([&](const Place& p) { return layer_norm(p, x, {}, {}, 1e-5f, x); }).message(), "");
  const auto want = normal_of(third, double(1e-5f), true);
  for (std::uint64_t j = 0; j < 4; ++j) {
    EXPECT_NEAR(x.at(24 + j), want[j], 1e-5);
    EXPECT_TRUE(std::isnan(x.at(12 + j)));
    EXPECT_TRUE(std::isnan(x.at(48 + j)));
    EXPECT_EQ(std::memcmp(x.host + 4 * (4 + j), before.data() + 4 * (4 + j), 4), 0);  // between rows
  }
  const Array none = array("x", Dtype::f32, {0, 4});
  EXPECT_EQ(run([&](const Place& p) { return layer_norm(p, none, {}, {}, 1e-5f, none); }).message(), "");
  EXPECT_EQ(run([&](const Place& p) { return rms_norm(p, none, {}, 1e-5f, none); }).message(), "");
}

TEST_P(Norm, NormsSayWhatTheyDoNotTake) {
  const auto says = [&](const std::optional<Tensor>& gain, float epsilon) {
    const Array x = array("x", Dtype::f16, {2, 4});
    const Status layer = run([&](const Place& p) { return layer_norm(p, x, {}, gain, epsilon, x); });
    const Status rms = run([&](const Place& p) { return rms_norm(p, x, gain, epsilon, x); });
    EXPECT_EQ(layer.message(), rms.message());
    return rms.message();
  };
  EXPECT_THAT(says(array("gain", Dtype::f32, {2, 4}), 0),
              HasSubstr("gain: f32 2 x 4: it needs 4, the length of x's rows"));
  EXPECT_THAT(says(array("gain", Dtype::bf16, {4}), 0),
              HasSubstr("gain: bf16 4: f32 and the type of x: f16 2 x 4 are built"));
  EXPECT_THAT(says({}, -1), HasSubstr("epsilon = -1: give 0 or a small positive number"));
  EXPECT_THAT(says({}, NAN), HasSubstr("epsilon = nan"));
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
