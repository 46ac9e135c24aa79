// Indices made of quotients and remainders, shifts and masks: what the verifier proves of them, and that it
// proves nothing that is not so.
#include <gtest/gtest.h>

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/random.hpp>

namespace gpuio::kernel {
namespace {

using Block = std::array<u32, 3>;

template <class F>
VerifyResult check(const F& f, Block block = {256, 1, 1}) {
  return trace(f, "k", block).result;
}
#define EXPECT_GOOD(...)                        \
  do {                                          \
    const VerifyResult r_ = check(__VA_ARGS__); \
    EXPECT_TRUE(r_.ok()) << message(r_);        \
  } while (false)

TEST(Digits, TilesPlacedByDivision) {
  const auto padded = [](u32 width, u32 stride, u32 height) {
    return [=](Ctx k, In<f32> x, Out<f32> y) {
      auto tile = k.shared<f32, 2048>();
      auto t = k.tid();
      tile[t / width * stride + t % width] = x[t];
      k.barrier();
      y[t] = tile[t % height * stride + t / height];
    };
  };
  EXPECT_GOOD(padded(16, 17, 16));
  EXPECT_GOOD(padded(16, 16, 16));
  EXPECT_GOOD(padded(12, 13, 12));
  EXPECT_GOOD(padded(12, 13, 12), Block{250, 1, 1});
  EXPECT_GOOD(padded(32, 100, 8));
  EXPECT_EQ(check(padded(16, 15, 16)).error, Err::write_after_write);
  EXPECT_EQ(check(padded(12, 11, 12)).error, Err::write_after_write);
  EXPECT_GOOD(padded(16, 15, 16), Block{16, 1, 1});    // one row
  const auto own = [](Ctx k, In<f32> x, Out<f32> y) {  // two ways to say one element
    auto tile = k.shared<f32, 256>();
    auto t = k.tid();
    tile[(t & ~15u) | (t & 15u)] = x[t];
    y[t] = tile[t] + tile[(t >> 4 << 4) + (t ^ (t & 0xf0u))];
  };
  EXPECT_EQ(check(own).error, Err::missing_barrier);  // t ^ (t & 240) is t % 16, which is not followed
  EXPECT_GOOD([](Ctx k, In<f32> x, Out<f32> y) {
    auto tile = k.shared<f32, 256>();
    auto t = k.tid();
    tile[(t & ~15u) | (t & 15u)] = x[t];
    y[t] = tile[t] + tile[(t >> 4 << 4) + t % 16] + tile[t / 64 * 64 + t % 64 / 8 * 8 + (t & 7)];
  });
}
TEST(Digits, TilesLoadedInTurns) {
  // Turns whose first place, width, step and row are given; each lane 4 elements at a time.
  const auto turns = [](u32 elements, u32 width, u32 stride) {
    return [=](Ctx k, In<f32> x) {
      auto tile = k.shared<f32, 8192>();
      for (auto e : k.range(k.tid() * 4, elements, 256))
        tile.store((e >> u32(std::countr_zero(width))) * stride + (e & (width - 1)), x.vec<4>(e));
    };
  };
  for (u32 width : {4, 16, 64, 256, 512}) {
    EXPECT_GOOD(turns(4096, width, width), Block{64, 1, 1});
    EXPECT_GOOD(turns(4096, width, width + 4), Block{64, 1, 1});
    EXPECT_EQ(check(turns(4096, width, width - 4), Block{64, 1, 1}).error, Err::write_after_write) << width;
  }
  const auto transposed = [](u32 stride) {
    return [=](Ctx k, In<f32> x) {
      auto tile = k.shared<f32, 4096>();
      for (auto from : k.range(0u, 1024u, 512))
        for (u32 i = 0; i < 4; ++i) {
          const auto at = k.local_index() + from + i * 128;
          for (u32 j = 0; j < 2; ++j) tile[(at % 16 * 2 + j) * stride + at / 16] = x[at];
        }
    };
  };
  EXPECT_GOOD(transposed(68), Block{32, 4, 1});
  EXPECT_GOOD(transposed(64), Block{32, 4, 1});
  EXPECT_EQ(check(transposed(63), Block{32, 4, 1}).error, Err::write_after_write);
}
TEST(Digits, OneLaneOfEachGroup) {
  const auto first = [](u32 lanes, u32 group) {
    return [=](Ctx k, In<f32> x) {
      auto s = k.shared<f32, 256>();
      auto t = k.tid();
      GPU_IF(t % lanes == 3) s[t / group] = x[t];
    };
  };
  EXPECT_GOOD(first(8, 8));
  EXPECT_GOOD(first(16, 8));
  EXPECT_EQ(check(first(8, 16)).error, Err::write_after_write);
  EXPECT_EQ(check([](Ctx k, In<f32> x) {
              auto s = k.shared<f32, 256>();
              auto t = k.tid();
              GPU_IF(t % 8 < 2) s[t / 8] = x[t];
            }).error,
            Err::write_after_write);
  EXPECT_GOOD([](Ctx k, In<f32> x) {
    auto s = k.shared<f32, 256>();
    auto t = k.tid();
    GPU_IF(t % 8 < 2) s[t / 8 * 2 + t % 8] = x[t];
  });
}
TEST(Digits, WhatWrapsIsNoQuotient) {
  EXPECT_EQ(check([](Ctx k) {
              auto s = k.shared<u32, 512>();
              auto t = k.tid() * 0x01000000u;  // lane 128 and on: past 2^31, still inside
              s[(t + t) / 0x02000000u] = 1u;   // here not
            }).error,
            Err::write_after_write);
  EXPECT_GOOD([](Ctx k) {  // remainders of powers of two do not mind
    auto s = k.shared<u32, 256>();
    s[(k.cta() * 256 + k.tid()) % 256u] = 1u;
  });
  EXPECT_EQ(check([](Ctx k) { k.shared<u32, 256>()[(k.cta() * 256 + k.tid()) % 255u] = 1u; }).error,
            Err::write_after_write);
  EXPECT_EQ(check([](Ctx k) {
              auto s = k.shared<u32, 512>();
              auto t = bitcast<i32>(k.tid()) - 128;
              s[bitcast<u32>(t / 2 + 64)] = 1u;  // truncates: -1 / 2 is 0, as 1 / 2
            }).error,
            Err::write_after_write);
}
TEST(Digits, QuotientsAndRemainders) {
  const auto rows = [](u32 stride) {
    return [=](Ctx c) {
      auto s = c.shared<u32, 256>();
      s[c.tid() / 16 * stride + c.tid() % 16] = 0u;
    };
  };
  EXPECT_GOOD(rows(16));
  EXPECT_EQ(check(rows(17)).error, Err::index_out_of_range);
  EXPECT_GOOD(rows(17), Block{240, 1, 1});
  EXPECT_GOOD(rows(20), Block{195, 1, 1});  // the last lane: row 12, column 2
  EXPECT_GOOD([](Ctx c, Val<u32> n) {       // a condition on the lane is one on its digits
    auto s = c.shared<u32, 256>();
    auto t = c.tid();
    GPU_IF(t < n) s[t / 16 * 17 + t % 16] = 0u;
    c.barrier();
    GPU_IF(t < 100) s[t / 16 * 17 + t % 16 + 100] = 0u;
  });
}

// --- Random indices, against all lanes ---

struct Index {
  Program program{.name = "k", .block = {}};
  u32 index = 0, guard = kNone;
};
u32 random_expression(Builder& b, Random& random, const std::array<u32, 3>& leaves, u32 depth) {
  if (depth == 0 || random.chance(15)) return leaves[random.below(random.chance(70) ? 1 : 3)];
  const u32 a = random_expression(b, random, leaves, depth - 1);
  const auto constant = [&](u64 v) { return b.constant(Type::u32, v); };
  constexpr u32 kSizes[] = {2, 3, 4, 8, 12, 16, 32, 33, 64};
  const u32 size = kSizes[random.below(9)], shift = u32(random.below(7));
  switch (random.below(12)) {
    case 0:
    case 1: return b.binary(Op::div, a, constant(size));
    case 2:
    case 3: return b.binary(Op::rem, a, constant(size));
    case 4: return b.binary(Op::mul, a, constant(size));
    case 5: return b.binary(Op::shr, a, constant(shift));
    case 6: return b.binary(Op::bit_and, a, constant((u64{1} << shift) - 1));
    case 7: return b.binary(Op::bit_and, a, constant(u32(0) - (1u << shift)));
    case 8: return b.binary(Op::sub, a, constant(random.below(size)));
    case 9: {  // a tile
      const u32 stride = size + u32(random.below(3)) - 1;
      return b.binary(Op::add, b.binary(Op::mul, b.binary(Op::div, a, constant(size)), constant(stride)),
                      b.binary(Op::rem, a, constant(size)));
    }
    case 10: return b.binary(Op::bit_or, a, random_expression(b, random, leaves, depth - 1));
    default: return b.binary(Op::add, a, random_expression(b, random, leaves, depth - 1));
  }
}
constexpr u32 kElements = 2048;
Index random_index(u64 seed) {
  Random random{seed};
  constexpr Block kBlocks[] = {{64, 1, 1}, {96, 1, 1}, {16, 8, 1}, {100, 1, 1}, {32, 3, 1}};
  Index made;
  made.program.block = kBlocks[random.below(5)];
  Builder b(made.program);
  const u32 tile = b.shared(Type::u32, kElements);
  const std::array<u32, 3> leaves{b.builtin(Builtin::local_index), b.builtin(Builtin::local_x),
                                  b.builtin(Builtin::local_y)};
  if (random.chance(40)) {
    const u32 side = random_expression(b, random, leaves, 1);
    made.guard =
        b.compare(random.chance(50) ? Op::lt : Op::eq, side, b.constant(Type::u32, random.below(40)));
  }
  made.index = random_expression(b, random, leaves, 3);
  if (made.guard != kNone) b.if_(made.guard);
  b.store(tile, made.index, leaves[0]);
  if (made.guard != kNone) b.end_if();
  return made;
}
// What value each lane has for `wanted`.
u32 value_of(const Program& p, u32 lane, u32 wanted) {
  std::vector<u64> values;
  for (const Inst& i : p.insts) {
    const auto a = [&] { return u32(values[i.a]); };
    const auto c = [&] { return u32(values[i.b]); };
    u32 v = 0;
    switch (i.op) {
      case Op::constant: v = u32(i.imm); break;
      case Op::builtin:
        v = Builtin(i.mode) == Builtin::local_index ? lane
            : Builtin(i.mode) == Builtin::local_x   ? lane % p.block[0]
                                                    : lane / p.block[0];
        break;
      case Op::add: v = a() + c(); break;
      case Op::sub: v = a() - c(); break;
      case Op::mul: v = a() * c(); break;
      case Op::div: v = a() / c(); break;
      case Op::rem: v = a() % c(); break;
      case Op::shr: v = a() >> c(); break;
      case Op::bit_and: v = a() & c(); break;
      case Op::bit_or: v = a() | c(); break;
      case Op::lt: v = a() < c(); break;
      case Op::eq: v = a() == c(); break;
      default: break;
    }
    values.push_back(v);
    if (values.size() == wanted + 1) return v;
  }
  return 0;
}
TEST(Digits, RandomIndicesAreRightAboutEveryLane) {
  u32 proven = 0, injective = 0;
  for (u64 seed = 1; seed <= 6000; ++seed) {
    const Index made = random_index(seed);
    const VerifyResult r = verify(made.program.view());
    std::vector<u8> written(kElements, 0);
    bool race = false, outside = false, anybody = false;
    for (u32 lane = 0; lane < made.program.view().lanes(); ++lane) {
      if (made.guard != kNone && !value_of(made.program, lane, made.guard)) continue;
      anybody = true;
      const u32 at = value_of(made.program, lane, made.index);
      if (at >= kElements) outside = true;
      else race = race || written[at]++;
    }
    if (r.error == Err::index_out_of_range) {
      EXPECT_TRUE(outside || !anybody) << "seed " << seed;
      continue;
    }
    ASSERT_TRUE(r.ok() || r.error == Err::write_after_write) << message(r) << ", seed " << seed;
    EXPECT_FALSE(r.ok() && race) << "seed " << seed;
    if (race || outside) continue;
    ++injective;
    proven += r.ok();
  }
  EXPECT_GT(injective, 600u);
  EXPECT_GT(proven, injective / 2) << "of " << injective;
  RecordProperty("proven", int(proven));
  RecordProperty("injective", int(injective));
}

}  // namespace
}  // namespace gpuio::kernel
