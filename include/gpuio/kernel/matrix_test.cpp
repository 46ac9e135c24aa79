// Matrix operations against a plain product, and what the interpreter and emitters say where they cannot be.
#include <gpuio/kernel/interpret.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/sanitize.hpp>
#include <gpuio/kernel/serialize.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "support/matrices.hpp"
#include "support/sane.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

// What matrix units make of a number.
template <class T>
auto number_of(T v) {
  if constexpr (std::same_as<T, i8>) return i32(v);
  else if constexpr (std::same_as<T, f32>) {
    const f32 scale = std::ldexp(1.0f, std::ilogb(v) - 10);  // ties away from zero, as std::round has them
    return v == 0 ? v : std::round(v / scale) * scale;
  } else {
    return widen(v);
  }
}

template <class T>
T random_number(std::mt19937_64& random) {
  std::uniform_real_distribution<f32> numbers(-4, 4);
  if constexpr (std::same_as<T, i8>) return i8(random());
  else if constexpr (std::same_as<T, f32>) return numbers(random);
  else return narrow<T>(numbers(random));
}

template <class T>
struct Matrices {
  using Number = typename FragmentSum<T>::Number;
  std::vector<T> a, b;
  std::vector<Number> c, want;
  explicit Matrices(bool columns)
      : a(kProductRows * kProductDepth<T>), b(kProductColumns * kProductDepth<T>), c(512), want(512) {
    std::mt19937_64 random(7);
    for (T& v : a) v = random_number<T>(random);
    for (T& v : b) v = random_number<T>(random);
    for (u32 i = 0; i < kProductRows; ++i) {
      for (u32 j = 0; j < kProductColumns; ++j) {
        Number& sum = want[i * kProductColumns + j];
        for (u32 k = 0; k < kProductDepth<T>; ++k) {
          const auto x = number_of(a[i * kProductDepth<T> + k]);
          const auto y = number_of(columns ? b[j * kProductDepth<T> + k] : b[k * kProductColumns + j]);
          if constexpr (std::same_as<T, i8>) sum += x * y;
          else sum = std::fma(x, y, sum);
        }
      }
    }
    // Rows of bytes begin at multiples of 16 columns only.
    if (sizeof(T) == 1 && !columns)
      for (u32 i = 0; i < 512; ++i)
        if (i % 16 > 7) want[i] = 0;
  }
  std::array<Argument, 3> arguments() {
    return {Argument::buffer(std::as_writable_bytes(std::span(a))),
            Argument::buffer(std::as_writable_bytes(std::span(b))),
            Argument::buffer(std::as_writable_bytes(std::span(c)))};
  }
};

TEST(Matrix, EveryTypeAndLayoutIsThePlainProduct) {
  each_product([](auto lambda, auto number, auto columns) {
    using T = decltype(number);
    SCOPED_TRACE(testing::Message() << "type " << int(detail::kMatrixOf<T>) << ", by columns " << columns);
    const Program p = trace_program(lambda, "product", {64, 1, 1});
    for (const u64 seed : {0, 3}) {
      Matrices<T> m(columns);
      expect_sane(p.view(), m.arguments(), {.subgroup_size = 32, .shuffle_seed = seed});
      EXPECT_EQ(m.c, m.want);
    }
    const std::vector<u8> bytes = serialize(p.view());
    const Deserialized back = deserialize(bytes);
    ASSERT_TRUE(back.ok()) << message(back);
    EXPECT_EQ(back.program.insts, p.insts);
  });
}

TEST(Matrix, TiesOfTf32GoAwayFromZero) {
  EXPECT_EQ(round_to_tf32(0x3f801000), 0x3f802000u);
  EXPECT_EQ(round_to_tf32(0xbf801000), 0xbf802000u);
  EXPECT_EQ(round_to_tf32(0x3f800fff), 0x3f800000u);
  EXPECT_EQ(round_to_tf32(0x7f800000), 0x7f800000u);
  EXPECT_TRUE(std::isnan(std::bit_cast<f32>(round_to_tf32(0x7fffffff))));
  EXPECT_TRUE(std::isnan(std::bit_cast<f32>(round_to_tf32(0x7f800001))));
}

Program of_f16() { return trace_program(product<f16, true>, "product", {64, 1, 1}); }

TEST(Matrix, TheInterpreterWantsSubgroupsOf32) {
  Matrices<f16> m(true);
  const Outcome o = interpret(of_f16().view(), {1, 1, 1}, m.arguments(), {.subgroup_size = 8});
  EXPECT_EQ(o.error, "matrix operation: run it with subgroups of 32 lanes");
  EXPECT_GT(o.line, 0u);
}

TEST(Matrix, OlderGpusAreRefusedByName) {
  const Program halves = of_f16();
  const Program eighths = trace_program(product<f8e4m3, true>, "eighths", {64, 1, 1});
  EXPECT_EQ(min_sm(halves.view()), 80u);
  EXPECT_EQ(min_sm(eighths.view()), 89u);
  std::string text;
  EXPECT_EQ(ptx_to(text, halves.view(), {.sm = 75}).error, PtxError::newer);
  EXPECT_TRUE(ptx_to(text, halves.view(), {.sm = 80}).ok());
  EXPECT_TRUE(text.starts_with(".version 7.0\n.target sm_80\n"));
  const PtxResult r = ptx_to(text, eighths.view(), {.sm = 80});
  EXPECT_EQ(r.error, PtxError::newer);
  EXPECT_EQ(eighths.insts[r.inst].op, Op::matrix_multiply);
  EXPECT_EQ(r.line, eighths.insts[r.inst].line);
  EXPECT_NE(describe(r.error).find("sm_89"), std::string_view::npos);
  EXPECT_TRUE(ptx_to(text, eighths.view(), {.sm = 89}).ok());
}

// One kernel with one fragment; what the verifier says.
template <class F>
VerifyResult verdict(F f, u32 lanes = 64) {
  return trace([f](Ctx k, In<u32> n, Out<f32> out) { f(k, n, out); }, "k", {lanes, 1, 1}).result;
}
using Numbers = In<u32>;
using Results = Out<f32>;

TEST(Matrix, MistakesAreNamed) {
  const auto sum_of = [](Ctx k, const FragmentA<f16>& a, const Shared<f16, 512>& tile) {
    auto sum = k.fragment_sum<f16>();
    sum.multiply_add(a, k.fragment_b_columns(tile, 0, 16));
  };
  EXPECT_EQ(verdict([&](Ctx k, Numbers n, Results) {
              auto tile = k.shared<f16, 512>();
              GPU_IF(k.lane() < n[0]) sum_of(k, k.fragment_a(tile, 0, 16), tile);
            }).error,
            Err::divergent_matrix);
  EXPECT_EQ(verdict([&](Ctx k, Numbers, Results) {
              auto tile = k.shared<f16, 512>();
              sum_of(k, k.fragment_a(tile, k.lane() / 4 * 64, 16), tile);
            }).error,
            Err::matrix_place_differs);
  EXPECT_EQ(verdict(
                [&](Ctx k, Numbers, Results) {
                  auto tile = k.shared<f16, 512>();
                  sum_of(k, k.fragment_a(tile, 0, 16), tile);
                },
                48)
                .error,
            Err::matrix_workgroup_size);
  EXPECT_EQ(verdict([&](Ctx k, Numbers, Results) {
              auto tile = k.shared<f16, 512>();
              sum_of(k, k.fragment_a(tile, 0, 20), tile);
            }).error,
            Err::matrix_stride);
  EXPECT_EQ(verdict([&](Ctx k, Numbers, Results) {
              auto tile = k.shared<f16, 512>();
              sum_of(k, k.fragment_a(tile, 4, 16), tile);
            }).error,
            Err::vector_misaligned);
  const VerifyResult outside = verdict([&](Ctx k, Numbers, Results) {
    auto tile = k.shared<f16, 512>();
    sum_of(k, k.fragment_a(tile, 264, 16), tile);
  });
  EXPECT_EQ(outside.error, Err::index_out_of_range);
  EXPECT_NE(message(outside).find("264 of 512"), std::string::npos) << message(outside);
  // What the subgroups do each for itself, and a place that is one for each.
  EXPECT_TRUE(verdict([&](Ctx k, Numbers n, Results) {
                auto tile = k.shared<f16, 512>();
                GPU_IF(k.subgroup_index() < n[0]) {
                  sum_of(k, k.fragment_a(tile, k.tid() / 32 * 256, 16), tile);
                }
              }).ok());
}

TEST(Matrix, ATileNeedsABarrierBeforeItIsLoaded) {
  const VerifyResult r = verdict([](Ctx k, Numbers, Results) {
    auto tile = k.shared<f16, 512>();
    tile[k.tid()] = k.val<f32>(1.0f).as<f16>();
    k.fragment_a(tile, 0, 16);
  });
  EXPECT_EQ(r.error, Err::missing_barrier);
  // Beyond what is read.
  EXPECT_TRUE(verdict([](Ctx k, Numbers, Results) {
                auto tile = k.shared<f16, 512>();
                tile[k.tid() + 256] = k.val<f32>(1.0f).as<f16>();
                k.fragment_a(tile, 0, 16);
              }).ok());
}

}  // namespace
}  // namespace gpuio::kernel
