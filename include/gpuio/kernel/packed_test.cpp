// Pairs of halves: each result against exact arithmetic in integers of 576 bits, which knows nothing of how
// semantics.hpp rounds.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/interpret.hpp>
#include <gpuio/kernel/serialize.hpp>

namespace gpuio::kernel {
namespace {

// A number of at least 0, in units of 2^-270: below the last place of a product of two bf16.
struct Exact {
  std::array<u32, 18> limbs{};
  static Exact of(u64 mantissa, int exponent) {  // of at most 22 bits
    Exact r;
    const u32 shift = u32(exponent + 270);
    const u64 moved = mantissa << shift % 32;
    r.limbs[shift / 32] = u32(moved);
    r.limbs[shift / 32 + 1] = u32(moved >> 32);
    return r;
  }
  Exact plus(const Exact& o) const {
    Exact r;
    u64 carry = 0;
    for (u32 n = 0; n < 18; ++n) {
      carry += u64{limbs[n]} + o.limbs[n];
      r.limbs[n] = u32(carry);
      carry >>= 32;
    }
    return r;
  }
  Exact minus(const Exact& o) const {  // which is no more
    Exact r;
    i64 borrow = 0;
    for (u32 n = 0; n < 18; ++n) {
      borrow += i64{limbs[n]} - o.limbs[n];
      r.limbs[n] = u32(borrow);
      borrow >>= 32;
    }
    return r;
  }
  int compare(const Exact& o) const {
    for (u32 n = 18; n-- > 0;)
      if (limbs[n] != o.limbs[n]) return limbs[n] < o.limbs[n] ? -1 : 1;
    return 0;
  }
};

struct Format {
  Type type;
  u32 fraction;  // bits
  int last;      // exponent of the smallest number
  u32 infinity() const { return 0x7fffu >> fraction << fraction; }
  bool finite(u32 h) const { return (h & 0x7fff) < infinity(); }
  bool nan(u32 h) const { return (h & 0x7fff) > infinity(); }
  u64 mantissa(u32 h) const {
    const u32 rest = h & ((1u << fraction) - 1);
    return (h & 0x7fff) >> fraction ? rest | 1u << fraction : rest;
  }
  int exponent(u32 h) const { return last + std::max(int((h & 0x7fff) >> fraction), 1) - 1; }
  // Of an infinity: the power of two that would follow the largest number.
  Exact size(u32 h) const { return Exact::of(mantissa(h), exponent(h)); }
  f64 number(u32 h) const {
    if (nan(h)) return NAN;
    const f64 v = finite(h) ? std::ldexp(f64(mantissa(h)), exponent(h)) : HUGE_VAL;
    return h >> 15 ? -v : v;
  }
};
constexpr Format kFormats[] = {{Type::f16, 10, -24}, {Type::bf16, 7, -133}};

// Is `got` what a * b + c rounds to?
bool right(const Format& f, u32 a, u32 b, u32 c, u32 got) {
  if (!f.finite(a) || !f.finite(b) || !f.finite(c)) {
    const f64 product = f.number(a) * f.number(b);  // exact
    const f64 want = product + f.number(c);
    return std::isnan(want) ? f.nan(got) : got == (want < 0 ? f.infinity() | 0x8000 : f.infinity());
  }
  const Exact product = Exact::of(f.mantissa(a) * f.mantissa(b), f.exponent(a) + f.exponent(b));
  const Exact addend = f.size(c);
  bool minus = ((a ^ b) & 0x8000) != 0;
  const bool minus_c = (c & 0x8000) != 0;
  Exact sum;
  if (minus == minus_c) {
    sum = product.plus(addend);
  } else {
    const int order = product.compare(addend);
    sum = order < 0 ? addend.minus(product) : product.minus(addend);
    minus = order == 0 ? false : order < 0 ? minus_c : minus;
  }
  if ((got >> 15 != 0) != minus || f.nan(got)) return false;
  // No further from it than halfway to the next number on either side, and even where it is halfway.
  const u32 h = got & 0x7fff;
  const Exact twice = sum.plus(sum);
  const int above = h == f.infinity() ? -1 : twice.compare(f.size(h).plus(f.size(h + 1)));
  const int below = h == 0 ? 1 : twice.compare(f.size(h).plus(f.size(h - 1)));
  return above <= 0 && below >= 0 && ((above != 0 && below != 0) || (h & 1) == 0);
}

u32 one(const Format& f) { return f.infinity() >> 1 & ~((1u << f.fraction) - 1); }

// Zeros, the ends of subnormal and of normal numbers, those around 1, infinities and NaN.
std::vector<u32> special(const Format& f) {
  const u32 normal = 1u << f.fraction, unit = one(f);
  std::vector<u32> all;
  for (const u32 sign : {0u, 0x8000u})
    for (const u32 h :
         {0u, 1u, 2u, 3u, normal / 2 + 1, normal - 1, normal, normal + 1, unit / 2, unit - 1, unit, unit + 1,
          unit + normal / 2, unit + 3 * normal + 5, f.infinity() - 1, f.infinity(), f.infinity() + 1})
      all.push_back(h | sign);
  return all;
}

u32 lanes(u32 low, u32 high) { return low | high << 16; }
std::string shown(const Format& f, Op op, u32 a, u32 b, u32 c, u32 got) {
  char text[96];
  std::snprintf(text, sizeof text, "%s operation %u of %04x %04x %04x gave %04x",
                f.type == Type::f16 ? "f16" : "bf16", u32(op) - u32(Op::pair_add), a, b, c, got);
  return text;
}
// Both halves of a result: the operands, and others in the other half.
void expect_right(const Format& f, Op op, u32 a, u32 b, u32 c, u32 a1, u32 b1, u32 c1) {
  const u32 got = eval_pair(op, f.type, lanes(a, a1), lanes(b, b1), lanes(c, c1));
  for (const bool high : {false, true}) {
    const u32 h = got >> (high ? 16 : 0) & 0xffff;
    const u32 x = high ? a1 : a, y = high ? b1 : b, z = high ? c1 : c;
    bool good = false;
    switch (op) {
      case Op::pair_add: good = right(f, x, one(f), y, h); break;
      case Op::pair_sub: good = right(f, x, one(f), y ^ 0x8000, h); break;
      case Op::pair_mul: good = right(f, x, y, (x ^ y) & 0x8000, h); break;
      case Op::pair_fma: good = right(f, x, y, z, h); break;
      default: {
        const bool less = op == Op::pair_min;
        const f64 v = f.number(x), w = f.number(y);
        const f64 want = less ? std::fmin(v, w) : std::fmax(v, w);
        good = f.nan(h) ? std::isnan(want) : f.number(h) == want;
      }
    }
    ASSERT_TRUE(good) << shown(f, op, x, y, z, h);
  }
}
constexpr Op kTwo[] = {Op::pair_add, Op::pair_sub, Op::pair_mul, Op::pair_min, Op::pair_max};

TEST(Packed, EveryNumberWithSpecialOnes) {
  for (const Format& f : kFormats)
    for (const u32 b : {0u, 1u, one(f) - 1, one(f) + 1, (f.infinity() - 1) | 0x8000, f.infinity()})
      for (u32 a = 0; a < 0x8000; ++a)
        for (const Op op : kTwo) expect_right(f, op, a, b, 0, b ^ 0x8000, a | 0x8000, 0);
}

TEST(Packed, FmaOfSpecialNumbers) {
  for (const Format& f : kFormats) {
    const std::vector<u32> all = special(f);
    for (const u32 a : all)
      for (const u32 b : all)
        for (const u32 c : all) expect_right(f, Op::pair_fma, a, b, c, c, a, b);
  }
}

TEST(Packed, RandomNumbers) {
  std::mt19937_64 random(11);
  for (const Format& f : kFormats) {
    for (u32 n = 0; n < 60000; ++n) {
      u64 r[2] = {random(), random()};
      // Terms of one size, so that they meet: an addend about as large as the product, or far smaller, beside
      // a product that ends in a half.
      const u32 a = r[0] & 0xffff, b = r[0] >> 16 & 0xffff;
      const f64 product = f.number(a) * f.number(b);
      u32 c = r[0] >> 32 & 0xffff;
      if (n % 2 == 0 && std::isfinite(product)) {
        const f64 near = std::ldexp(product, int(r[0] >> 48 & 63) - 32);
        c = u32(eval_cast(f.type, Type::f32, to_bits(f32(near)))) ^ (r[0] >> 63 ? 0x8000 : 0);
      }
      expect_right(f, Op::pair_fma, a, b, c, r[1] & 0xffff, r[1] >> 16 & 0xffff, r[1] >> 32 & 0xffff);
      for (const Op op : kTwo) expect_right(f, op, a, c, 0, b, r[1] & 0xffff, 0);
    }
  }
}

// Where rounding twice goes wrong: the product ends halfway between two numbers, and the addend is far below.
TEST(Packed, FmaIsRoundedOnce) {
  const auto half_fma = [](Type t, u32 a, u32 b, u32 c) {
    return eval_pair(Op::pair_fma, t, a, b, c) & 0xffff;
  };
  // (1 + 2^-5) * (1 + 2^-6): of f16, 1 + 2^-5 + 2^-6 + 2^-11, and 2^-24 more.
  EXPECT_EQ(half_fma(Type::f16, 0x3c20, 0x3c10, 0x0001), 0x3c31u);
  EXPECT_EQ(half_fma(Type::f16, 0x3c20, 0x3c10, 0x0000), 0x3c30u);
  EXPECT_EQ(half_fma(Type::f16, 0x3c20, 0x3c10, 0x8001), 0x3c30u);
  // Of bf16 (1 + 2^-4)^2 = 1 + 2^-3 + 2^-8, and 2^-133, which no 53 bits hold beside it.
  EXPECT_EQ(half_fma(Type::bf16, 0x3f88, 0x3f88, 0x0001), 0x3f91u);
  EXPECT_EQ(half_fma(Type::bf16, 0x3f88, 0x3f88, 0x0000), 0x3f90u);
  EXPECT_EQ(half_fma(Type::bf16, 0x3f88, 0x3f88, 0x8001), 0x3f90u);
  // A product beyond the largest number comes back, one below the smallest counts.
  EXPECT_EQ(half_fma(Type::bf16, 0x7f00, 0x4000, 0xff7f), 0x7b80u);
  EXPECT_EQ(half_fma(Type::bf16, 0x0001, 0x3f00, 0x0001), 0x0002u);
  EXPECT_EQ(half_fma(Type::bf16, 0x0001, 0x3eff, 0x0001), 0x0001u);
}
static_assert(eval_pair(Op::pair_add, Type::f16, 0x3c003c00, 0x40003c00, 0) == 0x42004000);
static_assert(eval_pair(Op::pair_fma, Type::bf16, 0x3f803f88, 0x40003f88, 1) == 0x40003f91);

// --- In kernels -----------------------------------------------------------------------------------------

// Halves agree with pairs, low and high are where they should be, and literals are in both.
constexpr auto handles = kernel<"handles", 64>(
    [](Ctx k, In<f16, 128> h, In<f16x2, 64> x, Out<f16x2, 320> out, Out<f16, 64> fused) {
      auto i = k.tid();
      auto a = packed(h[2 * i], h[2 * i + 1]);
      out[i] = a;
      out[64 + i] = packed(x[i].high(), x[i].low());
      out[128 + i] = packed(h[i]) * 2.0f;
      auto v = k.var(a);
      v += x[i];
      out[192 + i] = select(i < 32, v, -a);
      out[256 + i] = shuffle_xor(fma(a, x[i], 0.5f), 1);
      fused[i] = fma(rounded(a.low()), x[i].low(), 0.5f);
    });
template <class T>
Argument buffer(std::vector<T>& v) {
  return Argument::buffer(std::as_writable_bytes(std::span(v)));
}
TEST(Packed, HandlesOfKernels) {
  std::vector<f16> h(128), fused(64);
  std::vector<f16x2> x(64), out(320);
  std::mt19937_64 random(5);
  for (f16& n : h) n = narrow<f16>(f32(random() % 4096) / 512 - 4);
  for (f16x2& p : x) p = packed(narrow<f16>(f32(random() % 999) / 7), narrow<f16>(f32(random() % 999) / -9));
  const Outcome o =
      interpret(handles.view(), {1, 1, 1}, std::array{buffer(h), buffer(x), buffer(out), buffer(fused)});
  ASSERT_TRUE(o.ok()) << o.error;
  const auto f16_pair = [](Op op, u32 a, u32 b, u32 c = 0) { return eval_pair(op, Type::f16, a, b, c); };
  for (u32 i = 0; i < 64; ++i) {
    const u32 a = packed(h[2 * i], h[2 * i + 1]).bits, w = x[i].bits;
    EXPECT_EQ(out[i].bits, a);
    EXPECT_EQ(out[64 + i].bits, w << 16 | w >> 16);
    const u16 doubled = narrow<f16>(2 * widen(h[i])).bits;
    EXPECT_EQ(out[128 + i].bits, doubled * 0x10001u);
    EXPECT_EQ(out[192 + i].bits, i < 32 ? f16_pair(Op::pair_add, a, w) : a ^ 0x80008000);
    const u32 j = i ^ 1;
    const u32 other = packed(h[2 * j], h[2 * j + 1]).bits;
    EXPECT_EQ(out[256 + i].bits, f16_pair(Op::pair_fma, other, x[j].bits, 0x38003800));
    EXPECT_EQ(fused[i].bits, u16(f16_pair(Op::pair_fma, a, w, 0x38003800)));
  }
}

// The same on every compiler; files and hashes tell the operations apart.
TEST(Packed, IsHashedAndWritten) {
  const std::vector<u8> bytes = serialize(handles.view());
  const Deserialized read = deserialize(bytes);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(canonical_hash(read.program.view()), canonical_hash(handles.view()));
  EXPECT_TRUE(verify(read.program.view()).ok());
  Program other = read.program;
  u32 pairs = 0;
  for (Inst& i : other.insts) {
    if (!is_pair(i.op)) continue;
    ++pairs;
    const Inst was = i;
    i.from = Type::bf16;
    EXPECT_TRUE(verify(other.view()).ok());
    EXPECT_NE(canonical_hash(other.view()), canonical_hash(handles.view()));
    i.from = Type::f32;
    EXPECT_EQ(verify(other.view()).error, Err::wrong_type);
    i = was;
    i.type = Type::i32;
    EXPECT_EQ(verify(other.view()).error, Err::wrong_type);
    i = was;
  }
  EXPECT_EQ(pairs, 4u);
}

}  // namespace
}  // namespace gpuio::kernel
