#include <set>

#include "ops/matmul.hpp"
#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

using ::testing::HasSubstr;

class Matmul : public OpsTest {
 protected:
  // Odd rows of i4 are padded to whole bytes.
  Array matrix(std::string_view name, Dtype type, std::vector<std::uint64_t> shape, std::uint64_t gap = 0) {
    const std::uint64_t pad = type == Dtype::i4 ? (shape.back() + gap) % 2 : 0,
                        row = shape.back() + gap + pad;
    std::vector<std::uint64_t> stride{row, 1};
    if (shape.size() == 3) stride.insert(stride.begin(), row * shape[1] + (gap ? 8 : 0));
    const Array t = array(name, type, shape, stride);
    const double most = type == Dtype::i8 ? 128 : type == Dtype::i4 ? 8 : 2;
    if (name != "c") fill(t, -most, most, unsigned(name[0]) + unsigned(shape.back()));
    return t;
  }
  Array numbers(std::string_view name, Dtype type, std::vector<std::uint64_t> shape) {
    const Array t = array(name, type, shape);
    fill(t, 0.25, 2, 9);
    return t;
  }
  static double tf32(double v) {
    const float x = float(v), magic = std::ldexp(1.0f, std::ilogb(x) + 13) * 1.5f;
    return x == 0 ? 0 : double((x + magic) - magic);
  }

  struct Case {
    Array a, b, c;
    MatmulOptions options{};
    const Array *scale_a = nullptr, *scale_b = nullptr, *bias = nullptr;
  };
  // Against f64, with the error that the header states; and what is between rows of c is left alone.
  void expect_product(const Case& x) {
    const bool batched = x.a.rank == 3, t = x.options.b_transposed;
    const std::uint64_t batch = batched ? x.a.shape[0] : 1, k = x.a.last(), n = x.c.last();
    const std::uint64_t m = x.c.shape[batched ? 1 : 0], groups = (k + 127) / 128;
    const std::size_t at = batched ? 1 : 0, at_b = x.b.rank == 3 ? 1 : 0;
    const double s = std::ldexp(1.0, -24);
    std::set<std::uint64_t> written;
    for (std::uint64_t p = 0; p < batch; ++p)
      for (std::uint64_t i = 0; i < m; ++i)
        for (std::uint64_t j = 0; j < n; ++j) {
          double sum = 0, size = 0;
          const std::uint64_t b0 = x.b.rank == 3 && x.b.shape[0] > 1 ? p * x.b.stride[0] : 0;
          for (std::uint64_t l = 0; l < k; ++l) {
            double a = x.a.at((batched ? p * x.a.stride[0] : 0) + i * x.a.stride[at] + l);
            double b = x.b.at(b0 + (t ? j * x.b.stride[at_b] + l : l * x.b.stride[at_b] + j));
            if (x.options.tf32) a = tf32(a), b = tf32(b);
            if (x.scale_b && x.b.type == Dtype::i4) b *= x.scale_b->at(j * groups + l / 128);
            sum += a * b, size += std::abs(a * b);
          }
          const double by = (x.scale_a ? x.scale_a->at(i) : 1) *
                            (x.scale_b && x.b.type != Dtype::i4 ? x.scale_b->at(j) : 1);
          const double bias = x.bias ? x.bias->at(j) : 0, want = sum * by + bias;
          const std::uint64_t to = (batched ? p * x.c.stride[0] : 0) + i * x.c.stride[at] + j;
          const double error = double(k + 3) * s * (size * by + std::abs(bias)), u = roundoff(x.c.type);
          ASSERT_NEAR(x.c.at(to), want,
                      x.c.type == Dtype::i32 ? 0 : error + u * (std::abs(want) + error) + 1e-7 * u)
              << describe(x.a) << " by " << describe(x.b) << " gives " << describe(x.c) << " at " << p << ", "
              << i << ", " << j;
          written.insert(to);
        }
    for (std::uint64_t i = 0; i < x.c.extent(); ++i) {
      if (written.contains(i)) continue;
      const std::size_t bytes = bits_of(x.c.type) / 8;
      for (std::size_t j = 0; j < bytes; ++j) ASSERT_EQ(int(x.c.host[i * bytes + j]), 0xA5) << "between rows";
    }
  }
  // As the device would do it, and where it can be tried also on matrix units.
  void expect_right(const Case& x) {
    ASSERT_EQ(run([&](const Place& p) { return matmul(p, x.a, x.b, x.c, x.options); }).message(), "")
        << describe(x.a) << " by " << describe(x.b);
    expect_product(x);
    if (!units_can_be_tried()) return;
    std::memset(x.c.host, 0xA5, (x.c.extent() * bits_of(x.c.type) + 7) / 8);
    expect_right_by(x, kSmallUnits);
  }
  // Whether GPUs may do it in that way.
  bool expect_right_by(const Case& x, std::size_t way) {
    const Product product = must(product_of(x.a, x.b, x.c, x.options));
    if (!possible(with_capability(9, 0), kWays[way], product)) return false;
    if (x.options.tf32) without_ties(x.a), without_ties(x.b);
    EXPECT_EQ(run([&](const Place& p) { return launch(p, product, way); }).message(), "") << kWays[way].name;
    expect_product(x);
    return true;
  }
  // Matrix units round a tie to tf32 away from zero.
  static void without_ties(const Array& t) {
    for (std::uint64_t i = 0; i < t.extent(); ++i) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, t.host + i * 4, 4);
      bits += (bits & 0x1fff) == 0x1000;
      std::memcpy(t.host + i * 4, &bits, 4);
    }
  }
  // For the CPU device matrix units are no way, but it has their operations and tells whether one is right.
  bool units_can_be_tried() const { return device_->info().backend != gpu::Backend::vulkan; }
  static constexpr std::size_t kSmallUnits = 9;
  static_assert(kWays[kSmallUnits].rows == 64 && kWays[kSmallUnits].units());
  static constexpr std::size_t kSmallWarpgroups = 17;
  static_assert(kWays[kSmallWarpgroups].columns == 128 && kWays[kSmallWarpgroups].warpgroups);
  static gpu::DeviceInfo with_capability(int major, int minor) {
    gpu::DeviceInfo info;
    info.backend = gpu::Backend::cuda, info.vendor = gpu::Vendor::nvidia;
    info.major = major, info.minor = minor;
    info.compute_units = 132, info.lanes_max = 1024;
    info.shared_bytes_max = (major == 9 ? 227 : major == 8 && minor == 0 ? 163 : 64) * 1024;
    return info;
  }
};

constexpr Dtype kOperands[] = {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8e4m3, Dtype::f8e5m2, Dtype::i8};

TEST_P(Matmul, EveryTypePlainAndTransposed) {
  for (const Dtype type : kOperands)
    for (const bool transposed : {false, true}) {
      const bool even = transposed == (type == Dtype::f16 || type == Dtype::f8e5m2 || type == Dtype::i8);
      const std::uint64_t m = even ? 32 : 19, k = even ? 64 : 37, n = even ? 48 : 35;
      Case x{.a = matrix("a", type, {m, k}),
             .b = matrix("b", type, transposed ? std::vector{n, k} : std::vector{k, n}),
             .c = matrix("c", type == Dtype::i8 && even ? Dtype::i32 : Dtype::f32, {m, n})};
      x.options.b_transposed = transposed;
      expect_right(x);
    }
}

TEST_P(Matmul, SizesThatAreMultiplesOfNothing) {
  const std::array<std::uint64_t, 3> sizes[] = {
      {1, 1, 1}, {1, 300, 7}, {129, 17, 65}, {65, 257, 1}, {3, 0, 4}};
  for (const auto& [m, k, n] : sizes) {
    expect_right({.a = matrix("a", Dtype::f32, {m, k}),
                  .b = matrix("b", Dtype::f32, {k, n}),
                  .c = matrix("c", Dtype::f32, {m, n})});
    Case x{.a = matrix("a", Dtype::f16, {m, k}),
           .b = matrix("b", Dtype::f16, {n, k}),
           .c = matrix("c", Dtype::bf16, {m, n})};
    x.options.b_transposed = true;
    expect_right(x);
  }
}

TEST_P(Matmul, NothingIsDoneWhereThereIsNothing) {
  for (const std::array<std::uint64_t, 2>& mn : {std::array<std::uint64_t, 2>{0, 4}, {4, 0}})
    EXPECT_EQ(run([&](const Place& p) {
                return matmul(p, array("a", Dtype::f32, {mn[0], 3}), array("b", Dtype::f32, {3, mn[1]}),
                              array("c", Dtype::f32, {mn[0], mn[1]}), {});
              }).message(),
              "");
}

TEST_P(Matmul, ManyAtOnceAndSpacedRows) {
  for (const auto& [gap, of_b] : {std::pair<std::uint64_t, std::uint64_t>{0, 3}, {8, 1}, {5, 3}}) {
    expect_right({.a = matrix("a", Dtype::f16, {3, 20, 40}, gap),
                  .b = matrix("b", Dtype::f16, {of_b, 40, 24}, gap),
                  .c = matrix("c", Dtype::f32, {3, 20, 24}, gap)});
  }
  Case x{.a = matrix("a", Dtype::bf16, {2, 9, 40}),
         .b = matrix("b", Dtype::bf16, {24, 40}),
         .c = matrix("c", Dtype::bf16, {2, 9, 24}, 3)};
  x.options.b_transposed = true;
  expect_right(x);
}

TEST_P(Matmul, ScalesAndBias) {
  const Array scale_a = numbers("scale_a", Dtype::f32, {21}), scale_b = numbers("scale_b", Dtype::f32, {18});
  for (const Dtype type : kOperands)
    for (const Dtype of_bias : {type == Dtype::f16  ? Dtype::f16
                                : type == Dtype::i8 ? Dtype::bf16
                                                    : Dtype::f32}) {
      const Array bias = numbers("bias", of_bias, {18});
      Case x{.a = matrix("a", type, {21, 50}),
             .b = matrix("b", type, {18, 50}),
             .c = matrix("c", Dtype::f32, {21, 18})};
      x.options = {.b_transposed = true, .scale_a = scale_a, .scale_b = scale_b, .bias = bias};
      x.scale_a = &scale_a, x.scale_b = &scale_b, x.bias = &bias;
      expect_right(x);
    }
}

TEST_P(Matmul, FourBitsWithAScaleForEvery128) {
  for (const Dtype type : {Dtype::f16, Dtype::bf16})
    for (const std::uint64_t k : {31, 320})
      for (const bool scaled : {k == 31 || type == Dtype::bf16}) {
        const Array scales = numbers("scale_b", Dtype::f32, {20, (k + 127) / 128});
        Case x{.a = matrix("a", type, {7, k}),
               .b = matrix("b", Dtype::i4, {20, k}),
               .c = matrix("c", type, {7, 20})};
        x.options.b_transposed = true;
        if (scaled) x.options.scale_b = scales, x.scale_b = &scales;
        expect_right(x);
      }
}

TEST_P(Matmul, IntegersAreExactHoweverMany) {
  Case x{.a = array("a", Dtype::i8, {2, 5000}),
         .b = array("b", Dtype::i8, {5000, 3}),
         .c = array("c", Dtype::i32, {2, 3})};
  for (std::uint64_t i = 0; i < 10000; ++i) x.a.set(i, -128);
  for (std::uint64_t i = 0; i < 15000; ++i) x.b.set(i, i % 3 == 2 ? 127 : -128);
  expect_right(x);
  EXPECT_EQ(x.c.at(0), 5000.0 * 128 * 128);
}

TEST_P(Matmul, RoundsToTf32) {
  for (const std::uint64_t k : {40, 41}) {
    Case x{.a = matrix("a", Dtype::f32, {17, k}),
           .b = matrix("b", Dtype::f32, {k, 20}),
           .c = matrix("c", Dtype::f32, {17, 20})};
    x.options.tf32 = true;
    expect_right(x);
  }
  const Array a = array("a", Dtype::f32, {1, 1}), b = array("b", Dtype::f32, {1, 1}),
              c = array("c", Dtype::f32, {1, 1});
  b.set(0, 1);
  for (const double v : {double(INFINITY), -double(INFINITY), 0.0}) {
    a.set(0, v);
    ASSERT_EQ(run([&](const Place& p) { return matmul(p, a, b, c, {.tf32 = true}); }).message(), "");
    EXPECT_EQ(c.at(0), v);
  }
  const std::uint32_t nan = 0x7fffffff;  // which a carry would make a zero
  std::memcpy(a.host, &nan, 4);
  ASSERT_EQ(run([&](const Place& p) { return matmul(p, a, b, c, {.tf32 = true}); }).message(), "");
  EXPECT_TRUE(std::isnan(c.at(0)));
}

TEST_P(Matmul, NaNsAndInfinitiesStayInTheirRowsAndColumns) {
  const Array a = matrix("a", Dtype::f16, {20, 40}), b = matrix("b", Dtype::f16, {40, 20}),
              c = matrix("c", Dtype::f16, {20, 20});
  a.set(3 * 40 + 7, NAN), b.set(39 * 20 + 5, INFINITY), a.set(39, 1);
  const auto product = must(product_of(a, b, c, {}));
  for (const std::size_t way : {way_of_size(device_->info(), product), kSmallUnits}) {
    if (way == kSmallUnits && !units_can_be_tried()) continue;
    ASSERT_EQ(run([&](const Place& p) { return launch(p, product, way); }).message(), "");
    for (std::uint64_t i = 0; i < 20; ++i)
      for (std::uint64_t j = 0; j < 20; ++j)
        EXPECT_EQ(std::isnan(c.at(i * 20 + j)) || std::isinf(c.at(i * 20 + j)), i == 3 || j == 5)
            << i << " " << j;
    EXPECT_EQ(c.at(5), INFINITY);
  }
}

TEST_P(Matmul, EveryWayIsRight) {
  std::size_t tried = 0;
  for (std::size_t way = 0; way < kWays.size(); ++way) {
    if (kWays[way].units() || !possible(device_->info(), kWays[way], Product{})) continue;
    for (const bool transposed : {way % 2 == 0}) {
      const std::uint64_t m = transposed ? 130 : 66, k = transposed ? 48 : 33, n = transposed ? 144 : 131;
      Case x{.a = matrix("a", Dtype::bf16, {m, k}),
             .b = matrix("b", Dtype::bf16, transposed ? std::vector{n, k} : std::vector{k, n}),
             .c = matrix("c", Dtype::f32, {m, n})};
      x.options.b_transposed = transposed;
      ASSERT_EQ(run([&](const Place& p) {
                  return launch(p, must(product_of(x.a, x.b, x.c, x.options)), way);
                }).message(),
                "")
          << kWays[way].name;
      expect_product(x);
    }
    ++tried;
  }
  EXPECT_GE(tried, 4u);
}

TEST_P(Matmul, EveryWayOfMatrixUnitsIsRight) {
  if (!units_can_be_tried()) GTEST_SKIP() << "products on Vulkan use no matrix units";
  std::size_t tried = 0;
  for (std::size_t way = 0; way < kWays.size(); ++way) {
    if (!kWays[way].units() || kWays[way].warpgroups) continue;
    const bool small = kWays[way].rows * kWays[way].columns <= 64 * 64;  // of which all types are tried
    for (const Dtype type : kOperands)
      for (const bool i4 : {false, true})
        for (const bool aligned : {true, false}) {
          if (i4 && type != Dtype::f16 && type != Dtype::bf16) continue;
          if (!small && type != Dtype::bf16 && !(type == Dtype::i8 && aligned)) continue;
          const bool transposed = i4 || (way + aligned) % 2 == 0;
          // More stages than are on their way at once, groups of i4, and something left.
          const std::uint64_t k = !aligned ? 131 : bits_of(type) == 8 ? 296 : bits_of(type) == 16 ? 168 : 88;
          const std::uint64_t m = small ? kWays[way].rows + 3 : 5, n = kWays[way].columns + (aligned ? 8 : 3),
                              gap = aligned ? 24 : 0;
          Case x{.a = matrix("a", type, {m, k}, gap),
                 .b = transposed ? matrix("b", i4 ? Dtype::i4 : type, {n, k}, gap)
                                 : matrix("b", type, {k, n}, aligned ? 8 : 0),
                 .c = matrix("c", aligned ? Dtype::f32 : Dtype::bf16, {m, n})};
          x.options.b_transposed = transposed, x.options.tf32 = type == Dtype::f32;
          const Array scales = numbers("scale_b", Dtype::f32, {n, (k + 127) / 128});
          if (i4) x.options.scale_b = scales, x.scale_b = &scales;
          SCOPED_TRACE(fmt::format("{}, {} by {}", kWays[way].name, describe(x.a), describe(x.b)));
          tried += expect_right_by(x, way);
        }
  }
  EXPECT_GE(tried, 45u);
}

// Tiles that end in the middle, fewer steps than stages, and more with some left.
TEST_P(Matmul, EveryWayOfWarpgroupsIsRight) {
  if (!units_can_be_tried()) GTEST_SKIP() << "products on Vulkan use no matrix units";
  std::size_t tried = 0;
  for (std::size_t way = 0; way < kWays.size(); ++way) {
    if (!kWays[way].warpgroups) continue;
    const bool small = kWays[way].columns == 128;  // of which all types are tried
    for (const Dtype type : {Dtype::f16, Dtype::bf16, Dtype::f8e4m3, Dtype::f8e5m2, Dtype::i8})
      for (const std::uint64_t steps : {1, 4, 6}) {
        if (steps != 6 && type != Dtype::bf16) continue;
        if (!small && type != Dtype::bf16) continue;
        const std::uint64_t k = steps * kWays[way].depth * 8 / bits_of(type);
        const std::uint64_t m = small && steps == 4 ? kWays[way].rows + 3 : 65, n = kWays[way].columns + 5;
        const Array scale_a = numbers("scale_a", Dtype::f32, {m}), bias = numbers("bias", Dtype::f32, {n});
        Case x{.a = matrix("a", type, {m, k}, 16),
               .b = matrix("b", type, {n, k}, 32),
               .c = matrix("c", steps == 1 ? Dtype::bf16 : Dtype::f32, {m, n}, steps == 4 ? 3 : 0)};
        x.options.b_transposed = true;
        if (steps == 1) {
          x.options.scale_a = scale_a, x.options.bias = bias;
          x.scale_a = &scale_a, x.bias = &bias;
        }
        SCOPED_TRACE(fmt::format("{}, {} by {}", kWays[way].name, describe(x.a), describe(x.b)));
        tried += expect_right_by(x, way);
      }
  }
  EXPECT_EQ(tried, 13u);
}

// One product for each of several matrices, and three of one: parts begin where they should.
TEST_P(Matmul, WarpgroupsDoManyProductsAtOnce) {
  if (!units_can_be_tried()) GTEST_SKIP() << "products on Vulkan use no matrix units";
  Case x{.a = matrix("a", Dtype::bf16, {2, 20, 64}, 8),
         .b = matrix("b", Dtype::bf16, {2, 40, 64}, 8),
         .c = matrix("c", Dtype::bf16, {2, 20, 40}, 8)};
  x.options.b_transposed = true;
  EXPECT_TRUE(expect_right_by(x, kSmallWarpgroups));
  x.c = matrix("c", Dtype::f32, {2, 20, 40});
  x.b = matrix("b", Dtype::bf16, {1, 40, 64});
  EXPECT_TRUE(expect_right_by(x, kSmallWarpgroups));
  // Many matrices are not one that a tensor map describes: all ways that lanes copy.
  for (std::size_t way = 0; way < kWays.size(); ++way) {
    if (!kWays[way].warpgroups) continue;
    const std::uint64_t n = kWays[way].columns + 5;
    Case y{.a = matrix("a", Dtype::f16, {2, 65, 6 * 64}, 8),
           .b = matrix("b", Dtype::f16, {2, n, 6 * 64}, 8),
           .c = matrix("c", Dtype::f32, {2, 65, n})};
    y.options.b_transposed = true;
    EXPECT_TRUE(expect_right_by(y, way)) << kWays[way].name;
  }
}

// A single row may have any stride, and no depth is no matrix: neither is one that a tensor map describes.
TEST_P(Matmul, WarpgroupsTakeMatricesThatTensorMapsDoNot) {
  if (!units_can_be_tried()) GTEST_SKIP() << "products on Vulkan use no matrix units";
  for (const std::uint64_t stride : {0, 8, 64}) {
    Case x{.a = matrix("a", Dtype::bf16, {1, 64}, 8),
           .b = matrix("b", Dtype::bf16, {40, 64}, 8),
           .c = matrix("c", Dtype::f32, {1, 40})};
    x.a.stride[0] = stride;
    x.options.b_transposed = true;
    EXPECT_TRUE(expect_right_by(x, kSmallWarpgroups)) << stride;
  }
  Case none{.a = matrix("a", Dtype::bf16, {3, 0}, 8),
            .b = matrix("b", Dtype::bf16, {40, 0}, 8),
            .c = matrix("c", Dtype::f32, {3, 40})};
  none.options.b_transposed = true;
  EXPECT_TRUE(expect_right_by(none, kSmallWarpgroups));
}

TEST_P(Matmul, WarpgroupsAreForHopperAndWholeSteps) {
  const auto large = [](Dtype type, std::uint64_t k) {
    Product p{.a = type, .b = type, .b_transposed = true, .m = 8192, .k = std::uint32_t(k), .a_row = k};
    p.part[0] = {.n = 8192, .b_row = k};
    return p;
  };
  const auto usual = [](const gpu::DeviceInfo& device, const Product& p) {
    return kWays[way_of_size(device, p)];
  };
  const Product bf16 = large(Dtype::bf16, 4096);
  EXPECT_EQ(usual(with_capability(9, 0), bf16).name, "warpgroups 256x192, 4 of 128");
  EXPECT_EQ(usual(with_capability(9, 0), large(Dtype::f8e4m3, 4096)).name, "warpgroups 128x128, 4 of 128");
  EXPECT_TRUE(usual(with_capability(9, 0), large(Dtype::i8, 4096)).warpgroups);
  Product few = bf16;
  few.m = 1;
  EXPECT_FALSE(usual(with_capability(9, 0), few).warpgroups);
  for (const auto& [major, minor] : {std::pair{8, 0}, {8, 9}, {10, 0}, {12, 0}})
    EXPECT_FALSE(usual(with_capability(major, minor), bf16).warpgroups);
  Product plain = bf16, spaced = bf16, tf32 = large(Dtype::f32, 4096);
  plain.b_transposed = false, spaced.part[0].b_row += 4, tf32.tf32 = true;
  for (const Product& p :
       {plain, spaced, tf32, large(Dtype::bf16, 4096 + 32), large(Dtype::f8e4m3, 4096 + 64)})
    EXPECT_FALSE(usual(with_capability(9, 0), p).warpgroups);
}

TEST_P(Matmul, MatrixUnitsAreForDevicesThatHaveThem) {
  const auto ways = [](const gpu::DeviceInfo& device, const Product& p) {
    std::size_t count = 0;
    for (const Way& way : kWays) count += way.units() && possible(device, way, p);
    return count;
  };
  const auto with = [](Dtype type, bool tf32 = false) {
    Product p{.a = type, .b = type, .tf32 = tf32, .m = 4096, .k = 4096};
    p.part[0].n = 4096;
    return p;
  };
  const auto bf16 = with(Dtype::bf16);
  if (device_->info().backend == gpu::Backend::cuda) EXPECT_GE(ways(device_->info(), bf16), 9u);
  else EXPECT_EQ(ways(device_->info(), bf16), 0u);
  EXPECT_EQ(ways(with_capability(7, 5), bf16), 0u);
  EXPECT_EQ(ways(with_capability(8, 0), bf16), 10u);
  EXPECT_EQ(ways(with_capability(8, 9), bf16), 9u);  // whose shared memory is smaller
  EXPECT_EQ(ways(with_capability(8, 0), with(Dtype::f8e4m3)), 0u);
  EXPECT_GT(ways(with_capability(8, 9), with(Dtype::f8e4m3)), 0u);
  EXPECT_EQ(ways(with_capability(9, 0), with(Dtype::f32)), 0u);
  EXPECT_EQ(ways(with_capability(9, 0), with(Dtype::f32, true)), 10u);
  EXPECT_FALSE(kWays[way_of_size(device_->info(), bf16)].units());
  EXPECT_FALSE(kWays[way_of_size(with_capability(7, 5), bf16)].units());
  const Way& large = kWays[way_of_size(with_capability(9, 0), bf16)];
  EXPECT_TRUE(large.units());
  EXPECT_EQ(large.rows * large.columns, 128u * 256);
  Product one = bf16;
  one.m = 1;
  EXPECT_EQ(kWays[way_of_size(with_capability(9, 0), one)].name, "units 16x32, 8 of 64");
}

TEST_P(Matmul, ThreeProjectionsInOneLaunch) {
  struct Types {
    Dtype x, w, y;
    bool scaled;
  };
  for (const Types& t : {Types{Dtype::f32, Dtype::f32, Dtype::f32, false},
                         {Dtype::i8, Dtype::i8, Dtype::bf16, true},
                         {Dtype::bf16, Dtype::i4, Dtype::bf16, true}}) {
    const std::uint64_t m = 37, k = 144, n[3] = {150, 35, 64};
    const std::uint64_t groups = t.w == Dtype::i4 ? 2 : 1;
    const Array x = matrix("x", t.x, {m, k}), scale_x = numbers("scale_x", Dtype::f32, {m});
    std::array<Array, 3> w, y, scale;
    QkvOptions options;
    if (t.scaled) options.scale_x = scale_x;
    for (std::size_t i = 0; i < 3; ++i) {
      w[i] = matrix(i == 0 ? "wq" : i == 1 ? "wk" : "wv", t.w, {n[i], k});
      y[i] = array("y", t.y, {m, n[i]});
      scale[i] =
          t.w == Dtype::i4 ? numbers("s", Dtype::f32, {n[i], groups}) : numbers("s", Dtype::f32, {n[i]});
      if (t.scaled) options.scales[i] = scale[i];
    }
    const std::size_t before = kernels_->size();
    ASSERT_EQ(run([&](const Place& p) {
                return qkv(p, x, {w[0], w[1], w[2]}, {y[0], y[1], y[2]}, options);
              }).message(),
              "");
    EXPECT_EQ(kernels_->size(), before + 1);
    const auto expect_all = [&] {
      for (std::size_t i = 0; i < 3; ++i) {
        Case one{.a = x, .b = w[i], .c = y[i]};
        one.options.b_transposed = true;
        if (t.scaled) one.scale_a = &scale_x, one.scale_b = &scale[i];
        expect_product(one);
      }
    };
    expect_all();
    if (t.x == Dtype::f32 || !units_can_be_tried()) continue;
    Product all;
    for (std::size_t i = 0; i < 3; ++i) {
      const Product one =
          must(product_of(x, w[i], y[i], {.b_transposed = true, .scale_a = scale_x, .scale_b = scale[i]}));
      if (i == 0) all = one;
      else all.part[all.parts++] = one.part[0];
      std::memset(y[i].host, 0xA5, y[i].bytes().size());
    }
    ASSERT_EQ(run([&](const Place& p) { return launch(p, all, kSmallUnits); }).message(), "");
    expect_all();
  }
  const auto f = [&](std::string_view name, std::vector<std::uint64_t> shape) {
    return array(name, Dtype::f32, shape);
  };
  const auto says = [&](const Tensor& wk, const QkvOptions& o) {
    const std::array<Tensor, 3> w{f("wq", {4, 8}), wk, f("wv", {2, 8})},
        y{f("q", {3, 4}), f("k", {3, 2}), f("v", {3, 2})};
    return run([&](const Place& p) { return qkv(p, f("x", {3, 8}), w, y, o); }).message();
  };
  EXPECT_EQ(says(f("wk", {2, 8}), {}), "");
  EXPECT_THAT(says(f("wk", {2, 7}), {}),
              HasSubstr("wk: f32 2 x 7: its columns are to be the 8 columns of x"));
  EXPECT_THAT(says(array("wk", Dtype::f16, {2, 8}), {}),
              HasSubstr("wq: f32 4 x 8 and wk: f16 2 x 8: built are three of one type"));
  EXPECT_THAT(says(f("wk", {2, 8}), {.scales = {f("scale_q", {4})}}), HasSubstr("give all three or none"));
}

TEST_P(Matmul, SaysWhatItDoesNotTake) {
  const auto says = [&](const Tensor& a, const Tensor& b, const Tensor& c, const MatmulOptions& o = {}) {
    return run([&](const Place& p) { return matmul(p, a, b, c, o); }).message();
  };
  const auto t = [&](std::string_view name, Dtype type, std::vector<std::uint64_t> shape) {
    return array(name, type, shape);
  };
  const Tensor a = t("a", Dtype::f16, {4, 6}), b = t("b", Dtype::f16, {6, 5}), c = t("c", Dtype::f16, {4, 5});
  const Tensor of_i8[] = {t("a", Dtype::i8, {4, 6}), t("b", Dtype::i8, {6, 5})};
  EXPECT_EQ(says(a, b, c), "");
  EXPECT_THAT(says(t("a", Dtype::i32, {4, 6}), b, c),
              HasSubstr("a: i32 4 x 6: not of this type; built are f32, f16"));
  EXPECT_THAT(says(a, t("b", Dtype::bf16, {6, 5}), c),
              HasSubstr("a: f16 4 x 6 and b: bf16 6 x 5: built are two of one type"));
  EXPECT_THAT(says(a, t("b", Dtype::i4, {6, 6}), c),
              HasSubstr("i4 is built as n x k: give it so, with b_transposed"));
  EXPECT_THAT(says(of_i8[0], t("b", Dtype::i4, {5, 6}), c, {.b_transposed = true}),
              HasSubstr("f16 or bf16 with i4"));
  EXPECT_THAT(says(t("a", Dtype::f16, {4}), b, c), HasSubstr("a: f16 4: it needs 2 to 3 dimensions"));
  EXPECT_THAT(says(a, t("b", Dtype::f16, {5, 6}), c),
              HasSubstr("b: f16 5 x 6: its rows are to be the 6 columns of a: f16 4 x 6; b_transposed says"));
  EXPECT_THAT(says(a, b, t("c", Dtype::f16, {5, 4})),
              HasSubstr("c: f16 5 x 4: it needs 4 x 5, what a and b give"));
  EXPECT_THAT(says(a, b, t("c", Dtype::i8, {4, 5})),
              HasSubstr("c: i8 4 x 5: not of this type; built are f32, f16, bf16"));
  EXPECT_THAT(says(a, b, t("c", Dtype::i32, {4, 5})), HasSubstr("i32 is built for products of i8"));
  EXPECT_THAT(says(of_i8[0], of_i8[1], t("c", Dtype::i32, {4, 5}), {.bias = t("bias", Dtype::f32, {5})}),
              HasSubstr("i32 is built without scales and bias"));
  EXPECT_THAT(says(a, b, c, {.scale_a = t("scale_a", Dtype::f16, {4})}),
              HasSubstr("scale_a: f16 4: not of this type; built are f32"));
  EXPECT_THAT(says(a, b, c, {.scale_a = t("scale_a", Dtype::f32, {5})}),
              HasSubstr("scale_a: f32 5: it needs 4, one for each row of a"));
  EXPECT_THAT(says(a, b, c, {.scale_b = t("scale_b", Dtype::f32, {4})}),
              HasSubstr("scale_b: f32 4: it needs 5"));
  EXPECT_THAT(says(a, b, c, {.bias = t("bias", Dtype::i8, {5})}), HasSubstr("bias: i8 5: not of this type"));
  EXPECT_THAT(says(a, b, c, {.bias = t("bias", Dtype::f32, {1, 5})}),
              HasSubstr("bias: f32 1 x 5: it needs 5"));
  const Tensor i4 = array("b", Dtype::i4, {5, 6}, {7, 1});
  EXPECT_THAT(says(a, i4, c, {.b_transposed = true}), HasSubstr("stride[0] = 7: a row of i4 is whole bytes"));
  EXPECT_THAT(says(a, array("b", Dtype::i4, {5, 6}), c,
                   {.b_transposed = true, .scale_b = t("scale_b", Dtype::f32, {5})}),
              HasSubstr("scale_b: f32 5: it needs 5 x 1, one for each 128 of k"));
  EXPECT_THAT(says(a, t("b", Dtype::f16, {1, 6, 5}), c),
              HasSubstr("b: f16 1 x 6 x 5: a: f16 4 x 6 has 2 dimensions"));
  EXPECT_THAT(
      says(t("a", Dtype::f16, {3, 4, 6}), t("b", Dtype::f16, {2, 6, 5}), t("c", Dtype::f16, {3, 4, 5})),
      HasSubstr("b: f16 2 x 6 x 5: 3 products need as many of it, or one for all"));
}

GPUIO_ON_DEVICES(Matmul);

}  // namespace
}  // namespace gpuio::ops
