#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Move : public OpsTest {
 protected:
  std::string gathers(const Tensor& x, const Tensor& indices, const Tensor& y) {
    return run([&](const Place& p) { return gather_rows(p, x, indices, y); }).message();
  }
  std::string scatters(const Tensor& x, const Tensor& indices, const Tensor& y) {
    return run([&](const Place& p) { return scatter_rows(p, x, indices, y); }).message();
  }
  Array scrambled(std::string_view name, Dtype type, std::vector<std::uint64_t> shape,
                  std::vector<std::uint64_t> stride) {
    const Array t = array(name, type, std::move(shape), std::move(stride));
    std::mt19937_64 random(7);
    for (std::uint64_t i = 0, size = t.bytes().size(); i < size; ++i) t.host[i] = std::byte(random());
    return t;
  }
};

constexpr Dtype kTypes[] = {Dtype::u8, Dtype::f8e5m2, Dtype::bf16, Dtype::f32, Dtype::i64};

// Every size of element, in rows that begin at multiples of 1, 2, 4 and 16 bytes.
TEST_P(Move, GathersRowsOfAnySize) {
  for (const Dtype type : kTypes)
    for (const std::uint64_t columns : {1, 3, 6, 16, 1000}) {
      if (slow_to_compile() && columns % 5 == 3) continue;
      const std::uint64_t size = bits_of(type) / 8, m = 9, gap = columns % 2 ? 1 : 16;
      const Array x = scrambled("x", type, {5, columns}, {columns + gap, 1}),
                  y = array("y", type, {m, columns});
      for (const Dtype index : {Dtype::u32, Dtype::u64}) {
        const Array indices = array("indices", index, {m});
        const double rows[] = {4, 0, 0, 3, 5, 1, 4294967295.0, 2, 4};
        for (std::uint64_t i = 0; i < m; ++i) indices.set(i, rows[i]);
        ASSERT_EQ(gathers(x, indices, y), "");
        for (std::uint64_t i = 0; i < m; ++i) {
          std::vector<std::byte> want(columns * size);
          if (rows[i] < 5)
            std::memcpy(want.data(), x.host + std::uint64_t(rows[i]) * (columns + gap) * size, want.size());
          ASSERT_EQ(std::memcmp(y.host + i * columns * size, want.data(), want.size()), 0)
              << name_of(type) << " columns " << columns << " row " << i;
        }
      }
    }
}

TEST_P(Move, ManyRowsThereAndBack) {
  const std::uint64_t rows = 3000, columns = 65;
  const Array x = scrambled("x", Dtype::f32, {rows, columns}, {columns, 1}),
              y = array("y", Dtype::f32, {rows, columns}), z = array("z", Dtype::f32, {rows, columns}),
              indices = array("indices", Dtype::u32, {rows});
  for (std::uint64_t i = 0; i < rows; ++i) indices.set(i, double(i * 1009 % rows));
  ASSERT_EQ(gathers(x, indices, y), "");
  for (std::uint64_t i = 0; i < rows; ++i)
    ASSERT_EQ(std::memcmp(y.host + i * columns * 4, x.host + i * 1009 % rows * columns * 4, columns * 4), 0)
        << "row " << i;
  ASSERT_EQ(scatters(y, indices, z), "");
  EXPECT_EQ(std::memcmp(z.host, x.host, rows * columns * 4), 0);
}

TEST_P(Move, ScattersRowsAndLeavesTheOthers) {
  for (const Dtype type : kTypes)
    for (const std::uint64_t columns : {2, 7, 48}) {
      if (slow_to_compile() && columns == 2) continue;
      const std::uint64_t size = bits_of(type) / 8, step = columns + columns % 2 * 3 + 16;
      const Array x = scrambled("x", type, {3, columns}, {}), y = array("y", type, {4, columns}, {step, 1}),
                  indices = array("indices", Dtype::u64, {3});
      indices.set(0, 3), indices.set(1, 4), indices.set(2, 1);
      auto want = y.bytes();
      std::memcpy(want.data() + 3 * step * size, x.host, columns * size);
      std::memcpy(want.data() + step * size, x.host + 2 * columns * size, columns * size);
      ASSERT_EQ(scatters(x, indices, y), "");
      ASSERT_EQ(y.bytes(), want) << name_of(type) << " columns " << columns;
    }
}

TEST_P(Move, SaysWhatItDoesNotTake) {
  const Array x = array("x", Dtype::f32, {5, 4}), y = array("y", Dtype::f32, {3, 4}),
              indices = array("indices", Dtype::u32, {3});
  EXPECT_THAT(gathers(x, array("indices", Dtype::u32, {4}), y),
              HasSubstr("indices: u32 4: it needs 3, one for each row of y"));
  EXPECT_THAT(scatters(x, indices, y), HasSubstr("indices: u32 3: it needs 5, one for each row of x"));
  EXPECT_THAT(gathers(x, array("indices", Dtype::i32, {3}), y),
              HasSubstr("indices: i32 3: not of this type; built are u32, u64"));
  EXPECT_THAT(gathers(x, indices, array("y", Dtype::f32, {3, 5})),
              HasSubstr("y: f32 3 x 5: it needs 3 x 4, rows of x's length"));
  EXPECT_THAT(gathers(x, indices, array("y", Dtype::i32, {3, 4})),
              HasSubstr("y: i32 3 x 4: not of this type; built are f32"));
  EXPECT_THAT(gathers(array("x", Dtype::i4, {5, 4}), indices, array("y", Dtype::i4, {3, 4})),
              HasSubstr("give them as u8"));
  EXPECT_THAT(gathers(array("x", Dtype::f32, {4}), indices, y), HasSubstr("x: f32 4: it needs 2 dimensions"));
  EXPECT_EQ(gathers(array("x", Dtype::f32, {5, 0}), indices, array("y", Dtype::f32, {3, 0})), "");
  EXPECT_EQ(gathers(array("x", Dtype::f32, {0, 4}), indices, y), "");
  for (std::uint64_t i = 0; i < 12; ++i) EXPECT_EQ(y.at(i), 0);  // x has no row
}

GPUIO_ON_DEVICES(Move);

}  // namespace
}  // namespace gpuio::ops
