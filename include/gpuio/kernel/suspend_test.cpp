#include <gpuio/kernel.hpp>
#include <gpuio/kernel/access.hpp>
#include <gpuio/kernel/suspend_harness.hpp>
#include <gpuio/kernel/suspend_kernels.hpp>
#include <gpuio/kernel/verify.hpp>

#include <gtest/gtest.h>

#include <cstdio>

namespace gpuio::kernel {
namespace {

using suspend_kernels::kElements;

void random_programs(u64 from, u64 to, const SuspendPassOptions& options, std::string_view form) {
  SuspendTally tally;
  for (u64 seed = from; seed < to; ++seed) {
    const std::string error = check_random_program(seed, options, tally);
    ASSERT_EQ(error, "") << "seed " << seed;
  }
  std::sort(tally.words.begin(), tally.words.end());
  std::sort(tally.growth.begin(), tally.growth.end());
  std::printf(
      "%.*s: %llu programs, %llu points, %llu effects; %llu runs, %llu misses, %llu launches; slab words "
      "median "
      "%u, p95 %u; growth median %.1f, most %.1f\n",
      int(form.size()), form.data(), (unsigned long long)tally.programs, (unsigned long long)tally.points,
      (unsigned long long)tally.effects, (unsigned long long)tally.runs, (unsigned long long)tally.misses,
      (unsigned long long)tally.launches, tally.words[tally.words.size() / 2],
      tally.words[tally.words.size() * 95 / 100], tally.growth[tally.growth.size() / 2], tally.growth.back());
  EXPECT_LT(tally.without_access, tally.programs / 10);
}

TEST(Suspend, RandomProgramsPeeled) { random_programs(0, 500, {}, "peeled"); }
TEST(Suspend, RandomProgramsDirect) { random_programs(500, 700, {.peel = false}, "direct"); }
TEST(SuspendLong, RandomProgramsPeeled) { random_programs(10000, 13000, {}, "peeled"); }
TEST(SuspendLong, RandomProgramsDirect) { random_programs(20000, 21000, {.peel = false}, "direct"); }

// --- Kernels by hand ---

// What is made while tracing, around accesses that miss.
Program vocabulary() {
  return trace_program(
      [](Ctx k, OnDemand<u32, kElements> x, InOut<u32, suspend_kernels::kOutputs> out,
         InOut<u32, suspend_kernels::kCounters>) {
        auto i = k.global_id();
        auto a = k.array<f32, 3>();
        for (u32 j = 0; j < 3; ++j) a[j] = x[i * 3 + j].as<f32>();
        a.set(x[i] % 3, exp(a[0] * 0.01f));
        auto half = rounded((a[1] * 0.1f).as<f16>()) + 0.5f;
        auto sum = k.block_reduce_add(a.at(x[i + 1] % 3) + half);
        auto place = k.block_scan_exclusive_add(x[i + 2] % 7);
        auto odd = k.and_then(place % 2 == 0, [&] { return x[place] % 2 == 1; });
        auto in_subgroup = subgroup_scan_add(x[i + 3]);
        auto both = packed(half, (a[2] * 0.1f).as<f16>());
        auto pairs = k.var(both);
        for (auto j : k.range(0u, 3u)) pairs = fma(pairs, both, bitcast<f16x2>(x[i + j] * 0x00410041u));
        out[i] = bitcast<u32>(sum) ^ place ^ (odd.as<u32>() << 31) ^ in_subgroup ^ bitcast<u32>(pairs);
      },
      "vocabulary", {20, 1, 1});
}

struct HandKernel {
  Program program;
  u32 groups;
  bool any_order;  // what it appends has no fixed order
};
std::vector<HandKernel> hand_kernels() {
  using namespace suspend_kernels;
  return {{scan(), 2, false},  {reduce(), 2, false}, {tiled(), 9, false},     {chase(), 2, false},
          {append(), 2, true}, {nested(), 2, false}, {vocabulary(), 2, false}};
}

RandomData hand_data(const Program& p) {
  RandomData data{.bits = {0, 0, 0}};
  for (const Param& param : p.params) data.bytes.emplace_back(param.count * size_of(param.type));
  Random random{5};
  for (u64 i = 0; i < kElements; ++i) write_element(data.bytes[0], i * 4, 4, random.below(256));
  return data;
}

// The output as a bag of numbers.
std::vector<u32> sorted_output(const SuspendRun& run) {
  std::vector<u32> all;
  for (u64 i = 0; i < run.bytes[1].size(); i += 4) all.push_back(u32(read_element(run.bytes[1], i, 4)));
  std::sort(all.begin(), all.end());
  return all;
}

// Prints operations against the same lookups without the pass, and launches, for hits, 1% misses, every
// access misses.
TEST(Suspend, KernelsByHand) {
  const std::array<Residency, 5> modes{
      {{Cache::hit}, {Cache::random, 1, 99}, {Cache::always_miss}, {Cache::frames, 1}, {Cache::frames, 8}}};
  for (const bool peel : {true, false}) {
    for (const HandKernel& h : hand_kernels()) {
      const RandomData data = hand_data(h.program);
      const std::array<u32, 3> grid{h.groups, 1, 1};
      const SuspendRun want = run_reference(h.program.view(), grid, data, 8);
      ASSERT_EQ(want.error, "") << h.program.name;
      const u64 plain = run_reference(with_lookup(h.program.view()).view(), grid, data, 8).steps;
      HookAccess access;
      const Suspended s = suspend(h.program.view(), {.peel = peel}, access);
      ASSERT_TRUE(s.ok()) << h.program.name << ' ' << s.error;
      std::printf("%-7s %s: %2zu points, %u words a lane, %u a group;", h.program.name.data(),
                  peel ? "peeled" : "direct", s.layout.points.size(), s.layout.lane_words,
                  s.layout.group_words);
      for (u32 m = 0; m < modes.size(); ++m) {
        SuspendRun got;
        for (u64 seed = 1; seed <= 3; ++seed) {
          got = run_suspended(s, grid, data, 8, modes[m], seed);
          ASSERT_EQ(got.error, "") << h.program.name;
          if (h.any_order) {
            EXPECT_EQ(got.bytes[2], want.bytes[2]) << h.program.name;
            EXPECT_EQ(sorted_output(got), sorted_output(want)) << h.program.name;
          } else {
            ASSERT_EQ(difference(want, got), "") << h.program.name << " mode " << m;
          }
        }
        if (m < 3)
          std::printf("  %.2f (%llu)", double(got.steps) / double(plain), (unsigned long long)got.launches);
      }
      std::printf("\n");
    }
  }
}

// A tile's coordinates come from built-ins, so a lane saves its sum, its counter and one loaded value.
TEST(Suspend, SavesOnlyWhatCannotBeRecomputed) {
  HookAccess access;
  const Suspended s = suspend(suspend_kernels::tiled().view(), {}, access);
  EXPECT_EQ(s.layout.lane_words, 3u);
  EXPECT_EQ(s.layout.group_words, 33u);
  EXPECT_TRUE(s.layout.collectives);
  EXPECT_FALSE(suspend(suspend_kernels::chase().view(), {}, access).layout.collectives);
}

// What the pass writes keeps the rules of types, scopes and brackets.
TEST(Suspend, IsWellFormed) {
  for (u64 seed = 0; seed < 200; ++seed) {
    const Program p = random_program(seed, suspend_program_options(seed));
    for (const bool peel : {true, false}) {
      HookAccess access;
      const VerifyResult r =
          detail::TypeCheck(suspend(p.view(), {.peel = peel}, access).program.view()).run();
      ASSERT_TRUE(r.ok()) << "seed " << seed << ' ' << message(r);
    }
  }
}

// With the page directory's access: the parameters that it reports are those of the program, in both forms.
TEST(Suspend, TakesTheDirectoryAccess) {
  for (const bool peel : {true, false}) {
    DirectoryAccess access{{.page_shift = 16}};
    const Suspended s =
        suspend(suspend_kernels::tiled().view(), {.peel = peel, .insts_max = 1u << 20}, access);
    ASSERT_TRUE(s.ok());
    const VerifyResult r = detail::TypeCheck(s.program.view()).run();
    EXPECT_TRUE(r.ok()) << message(r);
    ASSERT_FALSE(access.hidden().frames_as.empty());
    const u32 frames = access.hidden().frames_as.back().second;
    ASSERT_LT(frames, s.program.params.size());
    EXPECT_EQ(s.program.params[frames], (Param{ParamKind::inout, Type::u32, 0}));
  }
}

// --- Refusals and limits ---

TEST(Suspend, RefusesWhatDoesNotFit) {
  HookAccess access;
  const Suspended s = suspend(suspend_kernels::nested().view(), {.lane_words_max = 1}, access);
  EXPECT_FALSE(s.ok());
  EXPECT_GT(s.value, s.limit);
  EXPECT_NE(s.line, 0u);
  EXPECT_FALSE(suspend(suspend_kernels::reduce().view(), {.group_words_max = 32}, access).ok());
  EXPECT_TRUE(suspend(suspend_kernels::reduce().view(), {.group_words_max = 33}, access).ok());
}

TEST(Suspend, FallsBackToTheDirectForm) {
  HookAccess access;
  const Program p = suspend_kernels::nested();
  const Suspended peeled = suspend(p.view(), {}, access);
  const Suspended direct = suspend(p.view(), {.insts_max = 100}, access);
  EXPECT_TRUE(peeled.layout.peeled);
  EXPECT_FALSE(direct.layout.peeled);
  EXPECT_LT(direct.program.insts.size(), peeled.program.insts.size());
}

TEST(Suspend, LeavesOtherKernelsAlone) {
  const Program p = random_program(3);
  HookAccess access;
  const Suspended s = suspend(p.view(), {}, access);
  EXPECT_TRUE(s.ok());
  EXPECT_TRUE(s.layout.points.empty());
  EXPECT_EQ(s.program.insts, p.insts);
}

// --- Each rule is needed: without it a kernel goes wrong ---

struct Fault {
  const char* name;
  bool SuspendFaults::* rule;
  std::vector<u64> seeds;  // random kernels that meet it
};
const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {"no gate before decisions", &SuspendFaults::no_decision_gate, {41, 52, 54}},
      {"seeking lanes execute collectives", &SuspendFaults::seek_collectives, {159, 197, 199}},
      {"gate at the head of the loop", &SuspendFaults::head_gate, {265, 270, 299}},
      {"subgroup gate that ends the lane", &SuspendFaults::subgroup_gate_returns, {299, 375, 381}},
      {"bits flow-sensitive after divergent branches", &SuspendFaults::flow_merge, {517, 543}},
      {"no gate at the end", &SuspendFaults::no_end_gate, {519, 545, 563}},
      {"continue not lowered", &SuspendFaults::no_continue_lowering, {11401, 11573, 11673}},
      {"no gate before jumps", &SuspendFaults::no_jump_gate, {339}},
      {"returns in loops ignored", &SuspendFaults::returns_in_loops_ignored, {1019, 1223, 1271}}};
  return all;
}

TEST(Suspend, EveryRuleIsNeeded) {
  for (const Fault& f : faults()) {
    SuspendPassOptions options;
    options.faults.*f.rule = true;
    u32 caught = 0;
    SuspendTally tally;
    for (const u64 seed : f.seeds) {
      EXPECT_EQ(check_random_program(seed, {}, tally), "") << f.name << ", with all rules, seed " << seed;
      caught += check_random_program(seed, options, tally).empty() ? 0 : 1;
    }
    EXPECT_GT(caught, 0u) << f.name;
    std::printf("%-46s caught by %u kernels\n", f.name, caught);
  }
}

// How many of the first kernels meet each rule.
TEST(SuspendLong, RulesCounted) {
  for (const Fault& f : faults()) {
    SuspendPassOptions options;
    options.faults.*f.rule = true;
    SuspendTally tally;
    u32 caught = 0;
    for (u64 seed = 0; seed < 1000; ++seed)
      caught += check_random_program(seed, options, tally).empty() ? 0 : 1;
    std::printf("%-46s caught by %u of 1000 random kernels\n", f.name, caught);
  }
}

}  // namespace
}  // namespace gpuio::kernel
