#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Quantize : public OpsTest {
 protected:
  std::string quantizes(const Tensor& x, ScaleBy by, const Tensor& q, const Tensor& scales) {
    return run([&](const Place& p) { return quantize(p, x, by, q, scales); }).message();
  }
  std::string dequantizes(const Tensor& q, const Tensor& scales, ScaleBy by, const Tensor& x) {
    return run([&](const Place& p) { return dequantize(p, q, scales, by, x); }).message();
  }
  Array scales_for(const Tensor& x, ScaleBy by) {
    if (by == ScaleBy::row) return array("scales", Dtype::f32, {x.shape[0]});
    if (by == ScaleBy::column) return array("scales", Dtype::f32, {x.shape[1]});
    return array("scales", Dtype::f32, {x.shape[0], (x.shape[1] + 127) / 128});
  }
};

float largest_of(Dtype q) {
  return q == Dtype::i8 ? 127.0f : q == Dtype::i4 ? 7.0f : q == Dtype::f8e4m3 ? 448.0f : 57344.0f;
}
std::uint64_t scale_at(const Tensor& x, ScaleBy by, std::uint64_t r, std::uint64_t c) {
  return by == ScaleBy::row ? r : by == ScaleBy::column ? c : r * ((x.shape[1] + 127) / 128) + c / 128;
}
// The nearest element of the type, as a number.
double nearest(Dtype q, float v) {
  std::byte bits[4]{};
  const bool whole = q == Dtype::i8 || q == Dtype::i4;
  set_element(bits, q, 0, whole ? std::nearbyint(double(v)) : double(v));
  return element(bits, q, 0);
}

constexpr ScaleBy kScales[] = {ScaleBy::row, ScaleBy::column, ScaleBy::group};
constexpr Dtype kTypes[] = {Dtype::i8, Dtype::i4, Dtype::f8e4m3, Dtype::f8e5m2};

TEST_P(Quantize, ThereAndBackOfAnyShape) {
  for (const Dtype to : kTypes)
    for (const ScaleBy by : kScales)
      for (const Dtype from : {Dtype::f32, Dtype::bf16, Dtype::f16})
        for (const auto& [rows, columns] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
                 {1, 1}, {3, 131}, {5, 256}, {70, 33}, {3, 4231}}) {
          if (slow_to_compile() && (from != Dtype::f16 || columns != 131 || to == Dtype::f8e5m2)) continue;
          const Array x = array("x", from, {rows, columns}), q = array("q", to, {rows, columns}),
                      back = array("back", from, {rows, columns});
          const Array scales = scales_for(x, by);
          fill(x, -3, 5, 1);
          ASSERT_EQ(quantizes(x, by, q, scales), "");
          std::vector<float> most(scales.count());
          for (std::uint64_t r = 0; r < rows; ++r)
            for (std::uint64_t c = 0; c < columns; ++c) {
              float& m = most[scale_at(x, by, r, c)];
              m = std::max(m, float(std::abs(x.at(offset(x, r, c)))));
            }
          for (std::uint64_t i = 0; i < most.size(); ++i)
            ASSERT_EQ(scales.at(i), most[i] / largest_of(to)) << describe(scales) << i;
          ASSERT_EQ(dequantizes(q, scales, by, back), "");
          for (std::uint64_t r = 0; r < rows; ++r)
            for (std::uint64_t c = 0; c < columns; ++c) {
              const float scale = float(scales.at(scale_at(x, by, r, c)));
              const double want = nearest(to, float(x.at(offset(x, r, c))) / scale);
              ASSERT_EQ(q.at(offset(q, r, c)), want)
                  << describe(q) << " by " << int(by) << " at " << r << ", " << c;
              std::byte element_back[8];
              set_element(element_back, from, 0, double(float(want) * scale));
              ASSERT_EQ(back.at(offset(back, r, c)), element(element_back, from, 0))
                  << describe(q) << " at " << r << ", " << c;
            }
        }
}

TEST_P(Quantize, ZerosAndNaNs) {
  for (const Dtype to : kTypes)
    for (const ScaleBy by : kScales) {
      if (slow_to_compile() && to != Dtype::i4) continue;
      const Array x = array("x", Dtype::f32, {2, 3}), q = array("q", to, {2, 3}), scales = scales_for(x, by);
      const double values[] = {0, 0, 0, 0, NAN, 0};
      for (std::uint64_t i = 0; i < 6; ++i) x.set(i, values[i]);
      ASSERT_EQ(quantizes(x, by, q, scales), "");
      for (std::uint64_t i = 0; i < scales.count(); ++i) EXPECT_EQ(scales.at(i), 1);
      EXPECT_EQ(q.at(offset(q, 0, 1)), 0);
      if (to == Dtype::i8 || to == Dtype::i4) EXPECT_EQ(q.at(offset(q, 1, 1)), 0);
      else EXPECT_TRUE(std::isnan(q.at(offset(q, 1, 1))));
    }
}

TEST_P(Quantize, SaysWhatItDoesNotTake) {
  const Array x = array("x", Dtype::f32, {2, 130}), q = array("q", Dtype::i8, {2, 130}),
              rows = array("scales", Dtype::f32, {2});
  EXPECT_THAT(quantizes(x, ScaleBy::column, q, rows),
              HasSubstr("scales: f32 2: it needs 130, one for each column of x"));
  EXPECT_THAT(quantizes(x, ScaleBy::group, q, rows),
              HasSubstr("it needs 2 x 2, one for every 128 of a row of x"));
  EXPECT_THAT(quantizes(x, ScaleBy::row, array("q", Dtype::u8, {2, 130}), rows),
              HasSubstr("q: u8 2 x 130: not of this type; built are i8, i4, f8e4m3, f8e5m2"));
  EXPECT_THAT(quantizes(x, ScaleBy::row, array("q", Dtype::i8, {2, 13}), rows),
              HasSubstr("q: i8 2 x 13: it needs 2 x 130, as x"));
  EXPECT_THAT(dequantizes(q, rows, ScaleBy::row, array("x", Dtype::i32, {2, 130})),
              HasSubstr("x: i32 2 x 130: not of this type"));
  EXPECT_THAT(quantizes(array("x", Dtype::f32, {130}), ScaleBy::row, q, rows),
              HasSubstr("x: f32 130: it needs 2 dimensions"));
  const Array none = array("x", Dtype::f32, {0, 4});
  EXPECT_EQ(quantizes(none, ScaleBy::row, array("q", Dtype::i4, {0, 4}), array("scales", Dtype::f32, {0})),
            "");
  EXPECT_THAT(check(array("q", Dtype::i4, {2, 3}, {3, 1})).message(),
              HasSubstr("stride[0] = 3: rows of i4 are whole bytes"));
}

GPUIO_ON_DEVICES(Quantize);

}  // namespace
}  // namespace gpuio::ops
