// Kernels on the GPUs that are here against the interpreter: the same bytes for integers, + - * / and sqrt,
// conversions, memory, atomics and collectives; exp2 log2 sin cos within what ir.hpp allows. On Vulkan not
// compared: fma, which lavapipe rounds twice, and subnormal floats, which its threads may flush.
#include <gpuio/kernel/random_program.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "gpu/cuda/cuda.hpp"
#include "support/every_operation.hpp"
#include "support/kernels.hpp"
#include "support/run_on_device.hpp"
#include "support/tensors.hpp"
#include "support/vocabulary.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::gpu {
namespace {

using namespace kernel;
constexpr std::uint64_t kLong = 60'000'000'000;

class KernelsOnDevices : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto device = cuda() ? cuda::open({}) : test_vulkan::open({});
    if (!device) GTEST_SKIP() << device.error().message();
    device_ = std::move(*device);
  }
  void TearDown() override {
    for (const std::string& text : test_vulkan::Messages::all().texts) ADD_FAILURE() << text;
    test_vulkan::Messages::all().texts.clear();
  }
  static bool cuda() { return std::string_view(GetParam()) == "cuda"; }

  Status run(const View& kernel, std::array<u32, 3> grid, RandomData& data) {
    return test_kernels::run_on(*device_, kernel, grid, data, kLong);
  }

  void expect_like_interpreter(const View& kernel, std::array<u32, 3> grid, const RandomData& input) {
    RandomData want = input, got = input;
    const Outcome o =
        interpret(kernel, grid, want.arguments(), {.subgroup_size = device_->info().subgroup_size});
    ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
    const Status s = run(kernel, grid, got);
    ASSERT_TRUE(s) << s.message();
    for (std::size_t p = 0; p < want.bytes.size(); ++p) {
      if (got.bytes[p] == want.bytes[p]) continue;
      const u32 size = size_of(kernel.params[p].type);
      for (std::size_t i = 0; i < got.bytes[p].size() / size; ++i)
        ASSERT_EQ(read_element(got.bytes[p], i * size, size), read_element(want.bytes[p], i * size, size))
            << kernel.name << ": parameter " << p << ", element " << i;
    }
  }

  static RandomData data_for(const test_kernels::EveryProgram& e, Type t, u32 elements) {
    std::mt19937_64 random(7);
    RandomData data{{0, 0, 0}, {}};
    for (int n = 0; n < 2; ++n) {
      data.bytes.emplace_back(elements * size_of(t));
      for (u32 i = 0; i < elements; ++i)
        write_element(data.bytes.back(), i * size_of(t), size_of(t),
                      test_kernels::interesting(t, random, cuda()));
    }
    data.bytes.emplace_back(u64{e.results} * elements * 8);
    return data;
  }

  std::unique_ptr<Device> device_;
};

constexpr u32 kElements = 512;
constexpr std::array<u32, 3> kGrid{kElements / test_kernels::kEveryLanes, 1, 1};

TEST_P(KernelsOnDevices, EveryOperationOnEveryType) {
  for (const Type t : {Type::boolean, Type::u32, Type::i32, Type::u64, Type::i64, Type::f32, Type::f64}) {
    SCOPED_TRACE(u32(t));
    const auto e = test_kernels::every_arithmetic(t, kElements);
    expect_like_interpreter(e.program.view(), kGrid, data_for(e, t, kElements));
  }
  for (const Type t : test_kernels::kValueTypes) {
    SCOPED_TRACE(u32(t));
    const auto e = test_kernels::every_cast(t, kElements);
    expect_like_interpreter(e.program.view(), kGrid, data_for(e, t, kElements));
  }
  for (const Type half : {Type::f16, Type::bf16}) {
    SCOPED_TRACE(u32(half));
    const auto e = test_kernels::every_pair(half, kElements);
    RandomData data = data_for(e, half, kElements);
    std::mt19937_64 random(23);
    for (u32 n = 0; n < 2; ++n)  // subnormal numbers are kept, whatever a device does with those of f32
      for (u32 i = 0; i < kElements; ++i)
        write_element(data.bytes[n], i * 2, 2, test_kernels::interesting(half, random, true));
    expect_like_interpreter(e.program.view(), kGrid, data);
  }
}

TEST_P(KernelsOnDevices, FunctionsAreAsCloseAsPromised) {
  const auto e = test_kernels::every_function(kElements);
  RandomData data = data_for(e, Type::f32, kElements);
  std::mt19937_64 random(9);
  std::vector<float> x(kElements);
  for (u32 i = 0; i < kElements; ++i) {
    const double unit = double(random() >> 11) / 9007199254740992.0;
    x[i] = i < 128 ? float(i) - 64 : i < 256 ? float(unit) * 2 : float(unit * 200 - 100);
  }
  std::memcpy(data.bytes[0].data(), x.data(), kElements * 4);
  ASSERT_TRUE(run(e.program.view(), kGrid, data));
  for (u32 r = 0; r < e.results; ++r) {
    for (u32 i = 0; i < kElements; ++i) {
      const double in = x[i];
      const double want = r == 0   ? std::exp2(in)
                          : r == 1 ? std::log2(in)
                          : r == 2 ? std::sin(in)
                                   : std::cos(in);
      const float got =
          std::bit_cast<float>(u32(read_element(data.bytes[2], (u64{r} * kElements + i) * 8, 8)));
      if (std::isnan(want) || std::isinf(want)) {
        EXPECT_EQ(std::isnan(want), std::isnan(got)) << r << ": " << in;
        EXPECT_EQ(std::isinf(want), std::isinf(got)) << r << ": " << in;
        continue;
      }
      const double ulp = std::nextafter(std::fabs(float(want)), HUGE_VALF) - std::fabs(float(want));
      EXPECT_LE(std::fabs(double(got) - want), std::max(4 * ulp, 0x1p-20))
          << r << ": " << in << " gives " << got;
    }
  }
}

// Across the edges of matrices; small whole numbers, whose sums are exact in every order.
TEST_P(KernelsOnDevices, BoxesOfMatrices) {
  const auto whole_numbers = [](Type type, u32 count) {
    std::vector<std::byte> bytes(count * size_of(type));
    for (u32 n = 0; n < count; ++n)
      write_element(bytes, n * size_of(type), size_of(type), eval_cast(type, Type::i32, u32(n * 7 % 9) - 4));
    return bytes;
  };
  const u32 sm = u32(device_->info().major * 10 + device_->info().minor);
  if (cuda() && sm < 90) GTEST_SKIP() << "sm_" << sm << " has no tensor maps";
  const auto check = [&](const View& kernel, const RandomData& data) {
    RandomData copy = data;
    if (cuda()) expect_like_interpreter(kernel, {1, 1, 1}, data);
    else
      EXPECT_NE(run(kernel, {1, 1, 1}, copy).message().find("mbarriers and bulk copies"), std::string::npos);
  };
  for (const auto& c : test_kernels::box_copies()) {
    const u32 size = size_of(c.type), columns = 2 * c.bytes / size - 1, step = (columns / 16 + 1) * 16;
    for (const auto& [top, left] : {std::pair<i32, i32>{0, 0}, {-3, -1}, {5, i32(columns) - 2}}) {
      RandomData data{{0, 20, columns, step, u32(top), u32(left), 0}, std::vector<std::vector<std::byte>>(7)};
      data.bytes[0] = whole_numbers(c.type, 20 * step);
      data.bytes[6].resize(c.rows * c.bytes);
      check(c.program.view(), data);
    }
  }
  for (const auto& p : test_kernels::box_products()) {
    const Type type = p.program.params[0].type;
    if (type == Type::u8 || (cuda() && sm != 90)) continue;
    RandomData data{{0, 0, 0, 60, p.columns - 1, p.depth - 1, p.depth},
                    std::vector<std::vector<std::byte>>(7)};
    for (const u32 input : {0, 1}) data.bytes[input] = whole_numbers(type, 64 * p.depth);
    data.bytes[2].resize(64 * p.columns * 4);
    if (cuda()) check(p.program.view(), data);
  }
}

// SPIR-V gives them no meaning, and a driver that sees the zero may fold them to anything.
TEST_P(KernelsOnDevices, DivisionByAConstantZero) {
  static constexpr auto divide =
      gpuio::kernel::kernel<"divide", 8>([](Ctx k, In<f32> x, In<f64> w, Out<f32> y, Out<f64> z) {
        auto i = k.tid();
        y[i] = x[i] / 0.0f;
        y[i + 8] = x[i] / -0.0f;
        z[i] = w[i] / 0.0;
        z[i + 8] = w[i] / -0.0;
      });
  const float x[8] = {1, -1, 3e-38f, -3e38f, 7, -0.5f, HUGE_VALF, -HUGE_VALF};  // 0 / 0 is a NaN of any bits
  RandomData data{{0, 0, 0, 0},
                  {std::vector<std::byte>(32), std::vector<std::byte>(64), std::vector<std::byte>(64),
                   std::vector<std::byte>(128)}};
  std::memcpy(data.bytes[0].data(), x, 32);
  for (u32 i = 0; i < 8; ++i) write_element(data.bytes[1], u64{i} * 8, 8, std::bit_cast<u64>(double(x[i])));
  expect_like_interpreter(divide.view(), {1, 1, 1}, data);
}

// Zeros with a sign, infinities and NaNs beside constants, where a driver that may forget them computes
// nothing. Not here: sums with a constant 0, of which lavapipe forgets the sign whatever it promised.
TEST_P(KernelsOnDevices, SignsOfZerosInfinitiesAndNans) {
  static constexpr auto specials =
      gpuio::kernel::kernel<"specials", 8>([](Ctx k, In<f32> x, In<f64> w, Out<u32> y, Out<u64> z) {
        auto i = k.tid();
        auto a = x[i];
        auto b = w[i];
        // A NaN may have any bits.
        const auto put = [&](u32 at, auto r) {
          auto bits = bitcast<u32>(r);
          y[i + at * 8] = select((bits & 0x7fffffffu) > 0x7f800000u, 0x7fc00000u, bits);
        };
        put(0, a * 0.0f);
        put(1, a * -0.0f);
        put(2, a - a);
        put(3, a + -0.0f);
        put(4, a / a);
        const auto put64 = [&](u32 at, auto r) {
          auto bits = bitcast<u64>(r);
          z[i + at * 8] =
              select((bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u, 0x7ff8000000000000u, bits);
        };
        put64(0, b * 0.0);
        put64(1, b * -0.0);
        put64(2, b - b);
        put64(3, b + -0.0);
      });
  const float x[8] = {1, -1, 0.0f, -0.0f, HUGE_VALF, -HUGE_VALF, NAN, 3};
  RandomData data{{0, 0, 0, 0},
                  {std::vector<std::byte>(32), std::vector<std::byte>(64), std::vector<std::byte>(5 * 32),
                   std::vector<std::byte>(4 * 64)}};
  std::memcpy(data.bytes[0].data(), x, 32);
  for (u32 i = 0; i < 8; ++i) write_element(data.bytes[1], u64{i} * 8, 8, std::bit_cast<u64>(double(x[i])));
  expect_like_interpreter(specials.view(), {1, 1, 1}, data);
}

TEST_P(KernelsOnDevices, RandomKernels) {
  for (u64 seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RandomOptions options{.statements = 16,
                                .block = seed % 2 ? std::array<u32, 3>{8, 1, 1} : std::array<u32, 3>{8, 2, 1},
                                .fma = cuda(),
                                .subnormal = cuda(),
                                .pairs = seed % 2 == 0};
    const Program p = random_program(seed, options);
    expect_like_interpreter(p.view(), options.grid(), random_contents(p.view(), seed));
    if (HasFatalFailure()) return;
  }
}

// --- The shared kernels
// -------------------------------------------------------------------------------------

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}
std::vector<std::byte> floats(u32 n) {
  std::vector<float> v(n);
  for (u32 i = 0; i < n; ++i) v[i] = float(i % 251) * 0.37f - 20.0f;
  return bytes_of(v);
}
std::vector<std::byte> numbers(u32 n, u32 modulus) {
  std::vector<u32> v(n);
  for (u32 i = 0; i < n; ++i) v[i] = i * 2654435761u % modulus;
  return bytes_of(v);
}

TEST_P(KernelsOnDevices, SharedKernels) {
  using namespace test_kernels;
  const std::vector<std::byte> none, sum(4);
  const u64 half = std::bit_cast<u32>(0.5f);
  expect_like_interpreter(saxpy.view(), {3, 1, 1},
                          {{half, 0, 0, 5003}, {none, floats(5003), floats(5003), none}});
  expect_like_interpreter(block_sum.view(), {5, 1, 1},
                          {{0, 0, 3001}, {floats(3001), std::vector<std::byte>(20), none}});
  expect_like_interpreter(
      matmul.view(), {2, 3, 1},
      {{0, 0, 0, 37, 29, 41},
       {floats(37 * 41), floats(41 * 29), std::vector<std::byte>(37 * 29 * 4), none, none, none}});
  expect_like_interpreter(histogram.view(), {3, 1, 1},
                          {{0, 0, 4000}, {numbers(1000, 4000000000u), numbers(256, 9), none}});
  expect_like_interpreter(subgroup_sum.view(), {3, 1, 1},
                          {{0, 0, 1000}, {numbers(1000, 4000000000u), sum, none}});
  expect_like_interpreter(
      subgroup_mix.view(), {1, 1, 1},
      {{0, 0, 0}, {numbers(64, 1000), std::vector<std::byte>(256), std::vector<std::byte>(256)}});
  std::vector<u16> h, b;
  for (u32 i = 0; i < 128; ++i) {
    h.push_back(f32_to_f16(float(i) * 3.1f - 100));
    b.push_back(f32_to_bf16(float(i) * 0.7f));
  }
  expect_like_interpreter(
      storage.view(), {2, 1, 1},
      {{0, 0, 0, 0, 0},
       {bytes_of(h), bytes_of(b), numbers(64, 4000000000u), numbers(32, 4000000000u), numbers(512, 1000)}});
}

TEST_P(KernelsOnDevices, Vocabulary) {
  for (const test_kernels::Sample& s : test_kernels::vocabulary())
    expect_like_interpreter(s.program.view(), s.grid, random_contents(s.program.view(), 1));
}

// Rounds of barrier_any with a different lane saying true each time, and none in every third.
TEST_P(KernelsOnDevices, BarrierAny) {
  Program p{.name = "rounds", .block = {48, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u32), i = b.builtin(Builtin::local_x),
            bits = b.var(Type::u32);
  const u32 zero = b.constant(Type::u32, 0), one = b.constant(Type::u32, 1), three = b.constant(Type::u32, 3);
  const u32 n = b.for_(zero, b.constant(Type::u32, 30), one);
  const u32 speaks = b.compare(Op::ne, b.binary(Op::rem, n, three), zero);
  const u32 mine = b.compare(Op::eq, i, b.binary(Op::mul, n, one));
  const u32 any = b.barrier_any(b.binary(Op::bit_and, speaks, mine));
  b.var_store(bits, b.binary(Op::bit_or, b.binary(Op::shl, b.var_load(bits), one), b.cast(Type::u32, any)));
  b.end_for();
  const u32 at =
      b.binary(Op::add, b.binary(Op::mul, b.builtin(Builtin::group_x), b.constant(Type::u32, 48)), i);
  b.store(out, at, b.var_load(bits));
  expect_like_interpreter(p.view(), {4, 1, 1}, {{0}, {std::vector<std::byte>(48 * 4 * 4)}});
}

}  // namespace
INSTANTIATE_TEST_SUITE_P(Devices, KernelsOnDevices, ::testing::Values("vulkan", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

}  // namespace gpuio::gpu
