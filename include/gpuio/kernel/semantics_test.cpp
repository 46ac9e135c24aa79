#include <gpuio/kernel/semantics.hpp>

#include <gtest/gtest.h>

#include <random>

namespace gpuio::kernel {
namespace {

// Integers, in constant evaluation.
static_assert(eval_binary(Op::add, Type::u32, 0xffffffff, 2) == 1);
static_assert(eval_binary(Op::div, Type::u32, 7, 0) == 0xffffffff);
static_assert(eval_binary(Op::div, Type::i64, 7, 0) == ~u64{0});
static_assert(eval_binary(Op::rem, Type::i32, 7, 0) == 7);
static_assert(eval_binary(Op::div, Type::i32, 0x80000000, 0xffffffff) == 0x80000000);
static_assert(eval_binary(Op::rem, Type::i32, 0x80000000, 0xffffffff) == 0);
static_assert(eval_binary(Op::div, Type::i32, u32(-7), 2) == u32(-3));
static_assert(eval_binary(Op::shl, Type::u32, 1, 33) == 2);
static_assert(eval_binary(Op::shr, Type::i32, 0x80000000, 31) == 0xffffffff);
static_assert(eval_binary(Op::shr, Type::u64, u64{1} << 63, 127) == 1);
static_assert(eval_binary(Op::min, Type::i32, 0xffffffff, 1) == 0xffffffff);
static_assert(eval_binary(Op::min, Type::u32, 0xffffffff, 1) == 1);
static_assert(eval_unary(Op::neg, Type::i32, 0x80000000) == 0x80000000);
static_assert(eval_unary(Op::bit_not, Type::boolean, 1) == 0);
static_assert(eval_count(Op::count_leading_zeros, Type::u32, 0) == 32);
static_assert(eval_count(Op::count_leading_zeros, Type::u64, 1) == 63);
static_assert(eval_compare(Op::lt, Type::i32, 0xffffffff, 0));
static_assert(!eval_compare(Op::lt, Type::u32, 0xffffffff, 0));
static_assert(eval_rmw(Rmw::max, Type::i64, ~u64{0}, 3) == 3);

// Floats.
constexpr u64 kNan32 = 0x7fc00000, kOne32 = 0x3f800000, kMinus0 = 0x80000000, kInf32 = 0x7f800000;
static_assert(eval_binary(Op::min, Type::f32, kNan32, kOne32) == kOne32);
static_assert(eval_binary(Op::max, Type::f32, kOne32, kNan32) == kOne32);
static_assert(eval_binary(Op::div, Type::f32, kOne32, kMinus0) == (kInf32 | kMinus0));
static_assert(eval_compare(Op::ne, Type::f32, kNan32, kNan32) &&
              !eval_compare(Op::eq, Type::f32, kNan32, kNan32));
static_assert(!eval_compare(Op::le, Type::f32, kNan32, kOne32));
static_assert(eval_unary(Op::floor, Type::f32, to_bits(-0.5f)) == to_bits(-1.0f));
static_assert(eval_unary(Op::floor, Type::f64, to_bits(2.75)) == to_bits(2.0));
static_assert(eval_unary(Op::abs, Type::f32, kMinus0) == 0);

// Casts.
static_assert(eval_cast(Type::u8, Type::f32, to_bits(300.0f)) == 255);
static_assert(eval_cast(Type::i8, Type::f32, to_bits(-300.0f)) == 0x80);
static_assert(eval_cast(Type::u32, Type::f32, to_bits(-1.5f)) == 0);
static_assert(eval_cast(Type::i32, Type::f32, kNan32) == 0);
static_assert(eval_cast(Type::i32, Type::f32, to_bits(2147483648.0f)) == 0x7fffffff);
static_assert(eval_cast(Type::i32, Type::f64, to_bits(-2147483648.9)) == 0x80000000);
static_assert(eval_cast(Type::u64, Type::f32, kInf32) == ~u64{0});
static_assert(eval_cast(Type::i64, Type::i8, 0xff) == ~u64{0});
static_assert(eval_cast(Type::u64, Type::u8, 0xff) == 0xff);
static_assert(eval_cast(Type::u16, Type::i32, 0xffff1234) == 0x1234);
static_assert(eval_cast(Type::boolean, Type::f32, kMinus0) == 0 &&
              eval_cast(Type::boolean, Type::f32, kNan32) == 1);
static_assert(eval_cast(Type::f32, Type::boolean, 1) == kOne32);
static_assert(eval_cast(Type::f32, Type::u64, ~u64{0}) == to_bits(18446744073709551616.0f));
static_assert(eval_cast(Type::f32, Type::u32, 16777217) == to_bits(16777216.0f));
static_assert(eval_cast(Type::f16, Type::f32, to_bits(65519.0f)) == 0x7bff);
static_assert(eval_cast(Type::f16, Type::f32, to_bits(65520.0f)) == 0x7c00);
static_assert(eval_cast(Type::f16, Type::f32, kMinus0) == 0x8000);

// Every f16 and bf16 survives the way to f32 and back, and f32 rounds to the nearest, ties to even.
TEST(Semantics, SixteenBitFloats) {
  for (u32 h = 0; h < 65536; ++h) {
    const f32 wide = f16_to_f32(u16(h));
    if (wide == wide) {
      EXPECT_EQ(f32_to_f16(wide), h);
    } else {
      EXPECT_EQ(f32_to_f16(wide) & 0x7e00, 0x7e00);
    }
    const f32 brain = bf16_to_f32(u16(h));
    if (brain == brain) {
      EXPECT_EQ(f32_to_bf16(brain), h);
    }
  }
  for (u32 h = 0; h + 1 < 0x7c00; ++h) {  // between two neighbours, also among the subnormals
    const f32 low = f16_to_f32(u16(h)), high = f16_to_f32(u16(h + 1)), middle = (low + high) / 2;
    EXPECT_EQ(f32_to_f16(middle), h + (h & 1));
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, low)), h);
    EXPECT_EQ(f32_to_f16(std::nextafter(middle, high)), h + 1);
  }
  for (u32 h = 0; h + 1 < 0x7f80; ++h) {
    const f32 low = bf16_to_f32(u16(h)), middle = std::bit_cast<f32>((h << 16) + 0x8000);
    EXPECT_EQ(f32_to_bf16(middle), h + (h & 1));
    EXPECT_EQ(f32_to_bf16(std::nextafter(middle, low)), h);
    EXPECT_EQ(f32_to_bf16(std::bit_cast<f32>((h << 16) + 0x8001)), h + 1);
  }
}

// floor by hand against the library's, over bit patterns of every size.
TEST(Semantics, Floor) {
  const u64 seed = 1;
  std::mt19937_64 random(seed);
  for (u32 i = 0; i < 200000; ++i) {
    const f32 a = std::bit_cast<f32>(u32(random()));
    if (a == a) {
      EXPECT_EQ(to_bits(round_down(a)), to_bits(std::floor(a))) << a;
    }
    const f64 b = std::bit_cast<f64>(random());
    if (b == b) {
      EXPECT_EQ(to_bits(round_down(b)), to_bits(std::floor(b))) << b;
    }
  }
}

TEST(Semantics, FmaRoundsOnce) {
  const f32 x = 1.0f + 0x1p-12f;
  EXPECT_EQ(eval_fma(Type::f32, to_bits(x), to_bits(x), to_bits(-1.0f)), to_bits(std::fma(x, x, -1.0f)));
  EXPECT_NE(eval_fma(Type::f32, to_bits(x), to_bits(x), to_bits(-1.0f)),
            eval_binary(Op::add, Type::f32, eval_binary(Op::mul, Type::f32, to_bits(x), to_bits(x)),
                        to_bits(-1.0f)));
}

}  // namespace
}  // namespace gpuio::kernel
