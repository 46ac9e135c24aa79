#include <gpuio/kernel/sanitize.hpp>

#include <gtest/gtest.h>

#include "support/vocabulary.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;
constexpr u32 kLanes = 16;

// A kernel over two buffers of 64 numbers, whatever the verifier says of it.
template <class F>
Sanitized run(F f, u32 groups = 1, InterpretOptions options = {}) {
  const Traced t = trace(f, "watched", {kLanes, 1, 1});
  EXPECT_TRUE(t.result.ok()) << message(t.result);
  RandomData data{{0, 0}, {std::vector<std::byte>(256), std::vector<std::byte>(256)}};
  return sanitize(t.program.view(), {groups, 1, 1}, data.arguments(), options);
}
using Numbers = InOut<u32>;

TEST(Sanitize, GoodKernelsAreGood) {
  const Sanitized s = run(
      [](Ctx k, Numbers x, Numbers sums) {
        auto i = k.global_id();
        auto tile = k.shared<u32, kLanes>();
        tile[k.tid()] = x[i];
        k.barrier();
        x[i] = tile[kLanes - 1 - k.tid()] + k.block_reduce_add(x[i]);
        sums.atomic_add(0, x[i]);
      },
      4);
  EXPECT_TRUE(s.outcome.ok()) << s.outcome.error;
  for (const Race& r : s.races) ADD_FAILURE() << message(r);
}

TEST(Sanitize, TheWholeVocabularyIsGood) {
  for (const Sample& k : vocabulary()) {
    RandomData data = random_contents(k.program.view(), 1);
    for (const u64 seed : {0, 5}) {
      const Sanitized s = sanitize(k.program.view(), k.grid, data.arguments(), {.shuffle_seed = seed});
      EXPECT_TRUE(s.outcome.ok()) << k.program.name << ": " << s.outcome.error;
      for (const Race& r : s.races) ADD_FAILURE() << k.program.name << ": " << message(r);
    }
  }
}

TEST(Sanitize, TwoLanesOfAWorkgroupOnABuffer) {
  const u32 here = __LINE__;
  const Sanitized s = run([](Ctx k, Numbers x, Numbers) {
    auto i = k.tid();
    x[i] = i;                          // here + 3
    auto other = x[(i + 1) % kLanes];  // here + 4
    k.barrier();
    x[i / 2] = other;  // here + 6, with itself
  });
  ASSERT_EQ(s.races.size(), 2u);
  EXPECT_EQ(s.races[0].line, here + 4);
  EXPECT_EQ(s.races[0].earlier_line, here + 3);
  EXPECT_FALSE(s.races[0].write);
  EXPECT_EQ(s.races[0].object, 0u);
  EXPECT_EQ(s.races[1].line, here + 6);
  EXPECT_EQ(s.races[1].earlier_line, here + 6);
  EXPECT_TRUE(s.races[1].write && s.races[1].earlier_write);
  EXPECT_EQ(message(s.races[1]),
            "race: lane 1 writes element 0 of parameter 0 (line " + std::to_string(here + 6) +
                "), which lane 0 wrote (line " + std::to_string(here + 6) +
                ") with nothing between that orders them: give each lane its own element, use atomics, or a "
                "barrier within a workgroup");
}

// A barrier is one workgroup's, and lanes in lock step are not an order.
TEST(Sanitize, WorkgroupsAndWritesAfterReads) {
  EXPECT_EQ(run([](Ctx k, Numbers x, Numbers y) { y[k.global_id()] = x[0]; }, 4).races.size(), 0u);
  EXPECT_EQ(run(
                [](Ctx k, Numbers x, Numbers) {
                  k.barrier();
                  GPU_IF(k.tid() == 0) x[0] = k.cta();
                  k.barrier();
                },
                2)
                .races.size(),
            1u);
  const Sanitized s = run([](Ctx k, Numbers x, Numbers y) {
    auto i = k.tid();
    y[i] = x[0] + x[1];
    GPU_IF(i == 3) x[1] = 7u;
  });
  ASSERT_EQ(s.races.size(), 1u);
  EXPECT_TRUE(s.races[0].write);
  EXPECT_FALSE(s.races[0].earlier_write);
}

// Data behind a flag: ordered by release and acquire, a race without them.
TEST(Sanitize, FlagsOrder) {
  const auto kernel = [](Order store, Order load) {
    return [=](Ctx k, Numbers x, Numbers flag) {
      GPU_IF(k.tid() == 0) {
        GPU_IF(k.cta() == 0) {
          x[5] = 7u;
          flag.atomic_store(0, 1u, store);
        } else {
          GPU_IF(flag.atomic_load(0, load) == 1) x[6] = x[5];
        }
      }
    };
  };
  EXPECT_EQ(run(kernel(Order::release, Order::acquire), 2).races.size(), 0u);
  EXPECT_EQ(run(kernel(Order::relaxed, Order::relaxed), 2).races.size(), 1u);
  EXPECT_EQ(run(kernel(Order::release, Order::relaxed), 2).races.size(), 1u);
}

TEST(Sanitize, SharedMemoryThatTheAuthorAnswersFor) {
  const Sanitized s = run([](Ctx k, Numbers x, Numbers y) {
    k.unchecked_races("the sanitizer shows that this is wrong");
    auto tile = k.shared<u32, kLanes>();
    tile[x[k.tid()]] = k.tid();  // all zero
    y[k.tid()] = tile[0];
  });
  ASSERT_EQ(s.races.size(), 2u);
  EXPECT_EQ(s.races[0].object, kShared);
  EXPECT_NE(message(s.races[0]).find("shared array 0"), std::string::npos);
}

TEST(Sanitize, BoundsAndWhatNobodyWrote) {
  EXPECT_EQ(run([](Ctx k, Numbers x, Numbers) { x[k.tid() * 5] = 1u; }).outcome.error, "index out of range");
  EXPECT_EQ(run([](Ctx k, Numbers x, Numbers) {
              auto tile = k.shared<u32, 2 * kLanes>();
              tile[k.tid()] = 1u;
              k.barrier();
              x[k.tid()] = tile[k.tid() + kLanes];
            }).outcome.error,
            "shared memory read before it was written");
}

}  // namespace
}  // namespace gpuio::kernel
