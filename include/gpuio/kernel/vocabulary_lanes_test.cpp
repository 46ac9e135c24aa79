// The vocabulary among lanes, aggregates and guarded conditions, run by the interpreter against loops in C++.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "support/vocabulary.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

// Sums in the order that block.hpp states, to the bit; and the same whatever the subgroups are.
TEST(Block, OrderIsAsStated) {
  for (const std::array<u32, 3> block :
       {std::array<u32, 3>{1, 1, 1}, {2, 1, 1}, {5, 3, 2}, {64, 1, 1}, {100, 1, 1}, {128, 1, 1}}) {
    const u32 lanes = block[0] * block[1] * block[2];
    const Program p = trace_program(block_operations<f32>, "block", block);
    RandomData data = random_contents(p.view(), 3), other = data;
    std::vector<f32> x(kWords), got(kBlockRows * kWords);
    std::vector<u32> counts(2 * kWords);
    for (u32 i = 0; i < kWords; ++i) x[i] = std::sin(f32(i)) * 5;
    std::memcpy(data.bytes[0].data(), x.data(), kWords * 4);
    other.bytes[0] = data.bytes[0];
    data.bits[3] = other.bits[3] = lanes > 3 ? 8 : 5;
    const Outcome o = interpret(p.view(), {1, 1, 1}, data.arguments());
    ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
    ASSERT_TRUE(
        interpret(p.view(), {1, 1, 1}, other.arguments(), {.subgroup_size = 3, .shuffle_seed = 9}).ok());
    EXPECT_EQ(data.bytes, other.bytes);
    std::memcpy(got.data(), data.bytes[1].data(), got.size() * 4);
    std::memcpy(counts.data(), data.bytes[2].data(), counts.size() * 4);
    std::vector<f32> tree(x.begin(), x.begin() + lanes), scan = tree;
    for (u32 s = 1; s < lanes; s *= 2) {
      for (u32 i = 0; i + s < lanes; i += 2 * s) tree[i] = tree[i] + tree[i + s];
      for (u32 i = lanes; i-- > s;) scan[i] = scan[i - s] + scan[i];
    }
    f32 most = -100, first = x[0];
    u32 above = 0;
    for (u32 i = 0; i < lanes; ++i) {
      const f32 before = first;
      most = std::max(most, x[i]);
      if (i) first = first > 2 ? first : x[i];
      above += x[i] > 2;
      EXPECT_EQ(got[i], tree[0]) << lanes;
      EXPECT_EQ(got[2 * kWords + i], scan[i]) << lanes;
      EXPECT_EQ(got[3 * kWords + i], most) << lanes;
      EXPECT_EQ(got[4 * kWords + i], i ? scan[i - 1] : 0) << lanes;
      EXPECT_EQ(got[6 * kWords + i], i ? before : 7) << lanes;
      if (lanes > 3) {
        EXPECT_EQ(got[7 * kWords + i], x[3]);
      }
    }
    EXPECT_EQ(got[5 * kWords], first) << lanes;
    EXPECT_EQ(counts[0], above);
    EXPECT_EQ(counts[kWords], (above != 0) + 2u);
  }
}

TEST(Subgroup, ScansAtEverySize) {
  const Program p = trace_program(subgroup_scans<i64>, "scans", {kWords, 1, 1});
  for (const u32 size : {1u, 5u, 8u, 32u, 64u}) {
    RandomData data = random_contents(p.view(), size);
    const Outcome o = interpret(p.view(), {1, 1, 1}, data.arguments(), {.subgroup_size = size});
    ASSERT_TRUE(o.ok()) << o.error;
    std::vector<i64> x(kWords), got(4 * kWords);
    std::memcpy(x.data(), data.bytes[0].data(), kWords * 8);
    std::memcpy(got.data(), data.bytes[1].data(), got.size() * 8);
    u64 sum = 0;
    i64 least = 3;
    for (u32 i = 0; i < kWords; ++i) {
      if (i % size == 0) sum = 0, least = 3;
      EXPECT_EQ(got[kWords + i], i64(sum)) << size;
      EXPECT_EQ(got[3 * kWords + i], least) << size;
      sum += u64(x[i]);
      least = i % size == 0 ? x[i] : std::min(least, x[i]);
      EXPECT_EQ(got[i], i64(sum)) << size;
    }
  }
}

TEST(Aggregates, StructuresLieAsInC) {
  const Program p = trace_program(aggregates, "aggregates", {64, 1, 1});
  EXPECT_EQ(p.params[2], (Param{ParamKind::in, Type::u32, kWords * 2}));
  EXPECT_EQ(p.params[4], (Param{ParamKind::inout, Type::u8, kWords * sizeof(Mixed)}));
  RandomData data = random_contents(p.view(), 2);
  std::vector<Pair> pairs(kWords), moved(kWords);
  std::vector<Mixed> before(kWords), after(kWords);
  for (u32 i = 0; i < kWords; ++i) {
    pairs[i] = {f32(i) / 4, i * 3};
    before[i] = {f64(i), f32(i) * 3, u8(i * 7), false, narrow<f16>(f32(i)), i64(i) << 40, i32(i) - 64};
  }
  std::memcpy(data.bytes[2].data(), pairs.data(), kWords * sizeof(Pair));
  std::memcpy(data.bytes[4].data(), before.data(), kWords * sizeof(Mixed));
  const Outcome o = interpret(p.view(), {kWords / 64, 1, 1}, data.arguments());
  ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;
  std::memcpy(moved.data(), data.bytes[3].data(), kWords * sizeof(Pair));
  std::memcpy(static_cast<void*>(after.data()), data.bytes[4].data(), kWords * sizeof(Mixed));
  for (u32 i = 0; i < kWords; ++i) {
    EXPECT_EQ(moved[i].x, f32(i) / 4 + 1);
    EXPECT_EQ(moved[i].n, i * 3 % 2 == 0 ? 7u : i * 3);
    EXPECT_EQ(after[i].d, f64(before[i].x) * 2);
    EXPECT_EQ(after[i].x, before[i].x);
    EXPECT_EQ(after[i].tag, u8(before[i].tag + 1));
    EXPECT_EQ(after[i].on, before[i].i > 0);
    EXPECT_EQ(after[i].h, narrow<f16>(before[i].x / 2));
    EXPECT_EQ(after[i].n, before[i].n - before[i].i);
    EXPECT_EQ(after[i].i, before[i].i);
  }
}

TEST(Aggregates, AnArrayHasSoManyElements) {
  const Traced t = trace(
      [](Ctx k, Out<f32> out) {
        auto a = k.array<f32, 3>(1.0f);
        out[k.tid()] = a[3];
      },
      "past", {64, 1, 1});
  EXPECT_EQ(t.result.error, Err::index_out_of_range);
}

TEST(Choices, GuardedConditionsAreNotEvaluated) {
  const Program p = trace_program(choices, "choices", {64, 1, 1});
  RandomData data = random_contents(p.view(), 6);
  const Outcome o = interpret(p.view(), {kWords / 64, 1, 1}, data.arguments());
  ASSERT_TRUE(o.ok()) << o.error << " at line " << o.line;  // an index out of range, if they were
  const auto x = [&](u32 i) { return u32(read_element(data.bytes[0], i * 4, 4)); };
  for (u32 i = 0; i < kWords; ++i) {
    const u32 at = x(i) % 200;
    const bool odd = at < kWords && x(at) % 2 == 1, even = at >= kWords || x(at) % 2 == 0;
    EXPECT_EQ(read_element(data.bytes[1], i * 4, 4), u32(odd) | u32(even) << 1);
    EXPECT_EQ(read_element(data.bytes[1], (i + 2 * kWords) * 4, 4), x(i) % 5 != 0);
  }
}

}  // namespace
}  // namespace gpuio::kernel
