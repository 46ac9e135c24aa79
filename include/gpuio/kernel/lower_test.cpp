#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/random_program.hpp>

#include <gtest/gtest.h>

namespace gpuio::kernel {
namespace {

// Random kernels, counters next to where they wrap among them, leave the same bytes without for_.
TEST(Lower, ForBecomesLoop) {
  u32 lowered = 0;
  for (u64 seed = 0; seed < 300; ++seed) {
    const RandomOptions options{.statements = 30};
    const Program p = random_program(seed, options), q = lower_for(p.view());
    for (const Inst& i : p.insts) lowered += i.op == Op::for_ ? 1 : 0;
    for (const Inst& i : q.insts) ASSERT_TRUE(i.op != Op::for_ && i.op != Op::end_for);
    RandomData want = random_contents(p.view(), seed), got = want;
    ASSERT_TRUE(interpret(p.view(), options.grid(), want.arguments()).ok()) << "seed " << seed;
    const Outcome o = interpret(q.view(), options.grid(), got.arguments());
    ASSERT_TRUE(o.ok()) << "seed " << seed << ' ' << o.error;
    ASSERT_EQ(got.bytes, want.bytes) << "seed " << seed;
  }
  EXPECT_GT(lowered, 100u);
}

// A trip count that only unsigned arithmetic sees: from INT_MIN by 2^30 to INT_MAX are four trips.
TEST(Lower, ForAcrossTheWholeRange) {
  Program p{.name = "range", .block = {1, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u32, 1), zero = b.constant(Type::u32, 0);
  b.for_(b.constant(Type::i32, 0x80000000), b.constant(Type::i32, 0x7fffffff),
         b.constant(Type::i32, 1u << 30));
  b.store(out, zero, b.binary(Op::add, b.load(out, zero), b.constant(Type::u32, 1)));
  b.end_for();
  std::array<std::byte, 4> bytes{};
  const std::array<Argument, 1> arguments{Argument::buffer(bytes)};
  ASSERT_TRUE(interpret(lower_for(p.view()).view(), {1, 1, 1}, arguments).ok());
  EXPECT_EQ(read_element(bytes, 0, 4), 4u);
}

}  // namespace
}  // namespace gpuio::kernel
