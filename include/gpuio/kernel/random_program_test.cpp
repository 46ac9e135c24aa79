#include <gpuio/kernel/random_program.hpp>
#include <gpuio/kernel/verify.hpp>

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace gpuio::kernel {
namespace {

struct Ran {
  Outcome outcome;
  RandomData data;
};
Ran run(const Program& p, const RandomOptions& options, u64 seed, InterpretOptions how) {
  Ran r{{}, random_contents(p.view(), seed)};
  how.steps_max = 1u << 24;
  r.outcome = interpret(p.view(), options.grid(), r.data.arguments(), how);
  return r;
}

RandomOptions options_of(u64 seed) {
  RandomOptions o;
  o.statements = seed % 2 == 0 ? 16 : 40;
  o.block = seed % 3 == 0 ? std::array<u32, 3>{4, 2, 1} : std::array<u32, 3>{10, 1, 1};
  o.on_demand = seed % 5 < 2;
  o.wide = seed % 7 != 0;
  o.floats = seed % 11 != 0;
  o.subnormal = seed % 4 != 0;
  return o;
}

// Whatever the order of the subgroups, the bytes are the same: no kernel depends on a race.
TEST(RandomProgram, RunsAndDoesNotRace) {
  u64 steps = 0;
  std::map<Op, u32> ops;
  for (u64 seed = 0; seed < 400; ++seed) {
    const RandomOptions options = options_of(seed);
    const Program p = random_program(seed, options);
    const Ran plain = run(p, options, seed, {.subgroup_size = 4});
    ASSERT_TRUE(plain.outcome.ok()) << "seed " << seed << ": " << plain.outcome.error << " at line "
                                    << plain.outcome.line;
    steps += plain.outcome.steps;
    for (const Inst& i : p.insts) ++ops[i.op];
    const Ran shuffled =
        run(p, options, seed, {.subgroup_size = 4, .shuffle_seed = seed + 1, .turn_steps = 1 + seed % 50});
    ASSERT_TRUE(shuffled.outcome.ok()) << "seed " << seed;
    ASSERT_EQ(shuffled.data.bytes, plain.data.bytes) << "seed " << seed;
  }
  RecordProperty("steps", std::to_string(steps));
  // Everything that the options allow is there.
  for (u32 op = 0; op <= u32(Op::return_); ++op) {
    switch (Op(op)) {
      case Op::exp2:
      case Op::log2:
      case Op::sin:
      case Op::cos:  // not exact on every device
      case Op::length:
      case Op::fence: break;
      default: EXPECT_GT(ops[Op(op)], 0u) << "operation " << op;
    }
  }
}

// Also to the race check, which refuses what it cannot show to be right. Indices are in range for the
// kernel's own grid: of code that only a larger one reaches the verifier may see that it would go too far.
TEST(RandomProgram, IsWellFormed) {
  u32 beyond_the_grid = 0;
  for (u64 seed = 0; seed < 1000; ++seed) {
    const VerifyResult r = verify(random_program(seed, options_of(seed)).view());
    if (r.error == Err::index_out_of_range) ++beyond_the_grid;
    else ASSERT_TRUE(r.ok()) << "seed " << seed << ' ' << message(r);
  }
  EXPECT_LT(beyond_the_grid, 20u);
}

TEST(RandomProgram, OptionsLeaveThingsOut) {
  for (u64 seed = 0; seed < 60; ++seed) {
    const RandomOptions options{.barriers = false,
                                .subgroups = false,
                                .atomics = false,
                                .wide = false,
                                .floats = false,
                                .small = false,
                                .vectors = false};
    const Program p = random_program(seed, options);
    EXPECT_TRUE(p.shared.empty());
    for (const Inst& i : p.insts) {
      EXPECT_TRUE(i.op < Op::atomic_load || i.op >= Op::if_) << "seed " << seed;
      EXPECT_TRUE(i.type == Type::none || i.type == Type::u32 || i.type == Type::i32 ||
                  i.type == Type::boolean);
      EXPECT_EQ(i.width, 1);
    }
  }
}

// One seed, one kernel, with every compiler: a change here changes what every seed in a bug report means.
TEST(RandomProgram, SeedsAreStable) {
  u64 hash = 0;
  for (u64 seed = 0; seed < 20; ++seed) {
    for (const Inst& i : random_program(seed, options_of(seed)).insts) {
      hash = (hash ^ (u64(i.op) << 32 | u64(i.type) << 40 | i.a) ^ i.imm) * 0x100000001b3ull;
      hash = (hash ^ i.b ^ u64{i.c} << 32) * 0x100000001b3ull;
    }
  }
  EXPECT_EQ(hash, 3656931734539007904u);
}

}  // namespace
}  // namespace gpuio::kernel
