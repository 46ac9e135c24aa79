#include <algorithm>

#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Reduce : public OpsTest {
 protected:
  std::string says(const Tensor& x, Fold fold, const Tensor& y) {
    return run([&](const Place& p) { return reduce(p, x, fold, y); }).message();
  }
};
class Scan : public OpsTest {
 protected:
  std::string says(const Tensor& x, Fold fold, bool exclusive, const Tensor& y) {
    return run([&](const Place& p) { return scan(p, x, fold, exclusive, y); }).message();
  }
};

template <class T>
T fold_of(Fold fold, T a, T b) {
  using U = std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  switch (fold) {
    case Fold::add: return T(U(a) + U(b));
    case Fold::mul: return T(U(a) * U(b));
    case Fold::min: return std::min(a, b);
    case Fold::max: return std::max(a, b);
  }
  return a;
}
template <class T>
T start_of(Fold fold) {
  using L = std::numeric_limits<T>;
  if (fold == Fold::min) return L::has_infinity ? L::infinity() : L::max();
  if (fold == Fold::max) return L::has_infinity ? -L::infinity() : L::min();
  return T(fold == Fold::mul);
}
template <class T, class A>
T* of(const A& a) {
  return reinterpret_cast<T*>(a.host);
}

TEST_P(Reduce, SumsOfRowsOfAnyLength) {
  const std::vector<std::uint64_t> shapes[] = {{1},        {3, 5},     {2, 3, 512}, {2, 777},
                                               {7, 16384}, {3, 40001}, {65536}};
  const std::pair<Dtype, Dtype> types[] = {
      {Dtype::f32, Dtype::f32}, {Dtype::bf16, Dtype::f32}, {Dtype::f16, Dtype::f16}};
  for (const auto& [from, to] : types)
    for (const auto& shape : shapes) {
      if (slow_to_compile() && (from == Dtype::f16 || shape.back() < 512)) continue;
      std::vector<std::uint64_t> outer(shape.begin(), shape.end() - 1);
      if (outer.empty()) outer = {1};
      const Array x = array("x", from, shape), y = array("y", to, outer);
      fill(x, -1, 2, 1);
      ASSERT_EQ(says(x, Fold::add, y), "");
      for (std::uint64_t r = 0; r < x.rows(); ++r) {
        double sum = 0, size = 0;
        for (std::uint64_t j = 0; j < x.last(); ++j)
          sum += x.at(r * x.last() + j), size += std::abs(x.at(r * x.last() + j));
        ASSERT_NEAR(y.at(r), sum, 64 * 0x1p-24 * size + roundoff(to) * std::abs(sum))
            << describe(x) << " row " << r;
      }
    }
}

// One long row that f32 in order would get wrong by a thousandth.
TEST_P(Reduce, ALongSumStaysExact) {
  const std::uint64_t n = 3'000'001;
  const Array x = array("x", Dtype::f32, {n}), y = array("y", Dtype::f32, {1});
  for (std::uint64_t i = 0; i < n; ++i) of<float>(x)[i] = 0.1f;
  ASSERT_EQ(says(x, Fold::add, y), "");
  const double want = double(n) * double(0.1f);
  EXPECT_NEAR(y.at(0), want, want * 64 * 0x1p-24);
}

TEST_P(Reduce, IntegersWrapAndAreExact) {
  const auto each = [&]<class T>(Dtype type, std::type_identity<T>) {
    for (const std::uint64_t columns :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1031}, std::uint64_t{20000}})
      for (const Fold fold : {Fold::add, Fold::min, Fold::max, Fold::mul}) {
        if (slow_to_compile() && columns != (fold == Fold::add ? 20000 : fold == Fold::min ? 0 : 1)) continue;
        const Array x = array("x", type, {3, columns}, {columns + 5, 1}), y = array("y", type, {3});
        std::mt19937_64 random(columns);
        for (std::uint64_t i = 0; i < x.extent(); ++i) of<T>(x)[i] = T(random() | 1);
        ASSERT_EQ(says(x, fold, y), "");
        for (std::uint64_t r = 0; r < 3; ++r) {
          T want = start_of<T>(fold);
          for (std::uint64_t j = 0; j < columns; ++j)
            want = fold_of(fold, want, of<T>(x)[r * (columns + 5) + j]);
          ASSERT_EQ(of<T>(y)[r], want) << name_of(type) << " columns " << columns << " fold " << int(fold);
        }
      }
  };
  each(Dtype::i32, std::type_identity<std::int32_t>());
  each(Dtype::u64, std::type_identity<std::uint64_t>());
  if (slow_to_compile()) return;
  each(Dtype::u32, std::type_identity<std::uint32_t>());
  each(Dtype::i64, std::type_identity<std::int64_t>());
}

TEST_P(Reduce, FloatsAtTheirLimits) {
  const Array x = array("x", Dtype::f32, {4, 3}), y = array("y", Dtype::f32, {4});
  const double values[] = {1, NAN, 2, NAN, NAN, NAN, INFINITY, 1, 2, INFINITY, -INFINITY, 1};
  for (std::uint64_t i = 0; i < 12; ++i) x.set(i, values[i]);
  ASSERT_EQ(says(x, Fold::min, y), "");
  EXPECT_EQ(y.at(0), 1);
  EXPECT_EQ(y.at(1), INFINITY);
  EXPECT_EQ(y.at(3), -INFINITY);
  ASSERT_EQ(says(x, Fold::max, y), "");
  EXPECT_EQ(y.at(0), 2);
  EXPECT_EQ(y.at(1), -INFINITY);
  ASSERT_EQ(says(x, Fold::add, y), "");
  EXPECT_TRUE(std::isnan(y.at(0)));
  EXPECT_EQ(y.at(2), INFINITY);
  EXPECT_TRUE(std::isnan(y.at(3)));
}

// The order is the shape's: not the alignment's, nor that of other rows.
TEST_P(Reduce, TheSameBitsWhereverItLies) {
  const std::uint64_t n = 20000;
  const Array x = array("x", Dtype::f32, {n + 1}), y = array("y", Dtype::f32, {1}),
              z = array("z", Dtype::f32, {1});
  fill(x, -1, 1, 5);
  Array first = x, moved = x;
  first.shape[0] = moved.shape[0] = n;
  moved.address += 4;
  ASSERT_EQ(says(first, Fold::add, y), "");
  std::memmove(x.host + 4, x.host, n * 4);
  ASSERT_EQ(says(moved, Fold::add, z), "");
  EXPECT_EQ(std::memcmp(y.host, z.host, 4), 0) << y.at(0) << " and " << z.at(0);
}

TEST_P(Reduce, SaysWhatItDoesNotTake) {
  const Array x = array("x", Dtype::f16, {2, 4});
  EXPECT_THAT(says(x, Fold::add, array("y", Dtype::bf16, {2})),
              HasSubstr("y: bf16 2: the type of x: f16 2 x 4 or f32 is built"));
  EXPECT_THAT(says(x, Fold::add, array("y", Dtype::f16, {4})),
              HasSubstr("y: f16 4: it needs 2, x without its last dimension"));
  EXPECT_THAT(says(array("x", Dtype::i8, {4}), Fold::add, array("y", Dtype::i8, {1})),
              HasSubstr("x: i8 4: not of this type"));
}

TEST_P(Scan, SumsOfRowsOfAnyLength) {
  const std::vector<std::uint64_t> shapes[] = {{1}, {3, 5}, {2, 3, 512}, {2, 777}, {3, 16384}, {2, 40001}};
  const std::pair<Dtype, Dtype> types[] = {
      {Dtype::f32, Dtype::f32}, {Dtype::bf16, Dtype::f32}, {Dtype::f16, Dtype::f16}};
  for (const auto& [from, to] : types)
    for (const auto& shape : shapes)
      for (const bool exclusive : {false, true}) {
        if (slow_to_compile() && (from != Dtype::bf16 || exclusive || shape.back() < 777)) continue;
        const Array x = array("x", from, shape), y = array("y", to, shape);
        fill(x, -0.01, 0.02, 1);
        ASSERT_EQ(says(x, Fold::add, exclusive, y), "");
        for (std::uint64_t r = 0; r < x.rows(); ++r) {
          double sum = 0, size = 0;
          for (std::uint64_t j = 0; j < x.last(); ++j) {
            const double before = sum, v = x.at(r * x.last() + j);
            sum += v, size += std::abs(v);
            const double want = exclusive ? before : sum;
            ASSERT_NEAR(y.at(r * x.last() + j), want, 64 * 0x1p-24 * size + roundoff(to) * std::abs(want))
                << describe(x) << " row " << r << " column " << j;
          }
        }
      }
}

TEST_P(Scan, IntegersInPlace) {
  const auto each = [&]<class T>(Dtype type, std::type_identity<T>) {
    for (const std::uint64_t columns : {std::uint64_t{1}, std::uint64_t{1031}, std::uint64_t{20000}})
      for (const Fold fold : {Fold::add, Fold::min, Fold::max, Fold::mul})
        for (const bool exclusive : {false, true}) {
          if (slow_to_compile() &&
              (columns != 20000 || (fold == Fold::max) != exclusive || fold == Fold::mul))
            continue;
          const Array x = array("x", type, {2, columns}, {columns + 3, 1});
          std::mt19937_64 random(columns);
          for (std::uint64_t i = 0; i < x.extent(); ++i) of<T>(x)[i] = T(random() | 1);
          const auto before = x.bytes();
          const T* was = reinterpret_cast<const T*>(before.data());
          ASSERT_EQ(says(x, fold, exclusive, x), "");
          for (std::uint64_t r = 0; r < 2; ++r) {
            T sum = start_of<T>(fold);
            for (std::uint64_t j = 0; j < columns; ++j) {
              const std::uint64_t at = r * (columns + 3) + j;
              const T next = fold_of(fold, sum, was[at]);
              ASSERT_EQ(of<T>(x)[at], exclusive ? sum : next)
                  << name_of(type) << " " << columns << " fold " << int(fold);
              sum = next;
            }
          }
        }
  };
  each(Dtype::i32, std::type_identity<std::int32_t>());
  if (slow_to_compile()) return;
  each(Dtype::u32, std::type_identity<std::uint32_t>());
  each(Dtype::i64, std::type_identity<std::int64_t>());
  each(Dtype::u64, std::type_identity<std::uint64_t>());
}

TEST_P(Scan, SaysWhatItDoesNotTake) {
  const Array x = array("x", Dtype::f32, {2, 4}), none = array("x", Dtype::f32, {2, 0});
  EXPECT_EQ(says(none, Fold::add, false, none), "");
  EXPECT_THAT(says(x, Fold::max, false, x),
              HasSubstr("x: f32 2 x 4: of floats only the scan by addition is built"));
  EXPECT_THAT(says(x, Fold::add, false, array("y", Dtype::f32, {2, 3})),
              HasSubstr("y: f32 2 x 3: it needs 2 x 4, as x"));
}

GPUIO_ON_DEVICES(Reduce);
GPUIO_ON_DEVICES(Scan);

}  // namespace
}  // namespace gpuio::ops
