#include "base/clock.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace gpuio {
namespace {

TEST(Clock, SteadyNeverGoesBackAndMoves) {
  const SteadyClock clock;
  const uint64_t start = clock.now_ns();
  uint64_t last = start;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t now = clock.now_ns();
    ASSERT_GE(now, last);
    last = now;
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_GE(clock.now_ns() - start, 2'000'000u);
}

TEST(Clock, ManualMovesOnlyWhenTold) {
  ManualClock clock(100);
  const Clock& seen = clock;
  EXPECT_EQ(seen.now_ns(), 100u);
  clock.advance_ns(23);
  EXPECT_EQ(seen.now_ns(), 123u);
}

TEST(Deadline, PassesExactlyWhenItsTimeComes) {
  ManualClock clock(1000);
  const auto deadline = Deadline::after(clock, 50);
  EXPECT_EQ(deadline.remaining_ns(clock), 50u);
  clock.advance_ns(49);
  EXPECT_FALSE(deadline.passed(clock));
  clock.advance_ns(1);
  EXPECT_TRUE(deadline.passed(clock));
  clock.advance_ns(1000);
  EXPECT_EQ(deadline.remaining_ns(clock), 0u);
}

TEST(Deadline, ZeroHasPassedAndForEverNeverDoes) {
  ManualClock clock(1000);
  EXPECT_TRUE(Deadline::after(clock, 0).passed(clock));
  const auto almost = Deadline::after(clock, Deadline::kNever - 1);  // the sum would wrap
  const auto never = Deadline::never();
  clock.advance_ns(Deadline::kNever - 1000);
  EXPECT_FALSE(almost.passed(clock));
  EXPECT_FALSE(never.passed(clock));
  EXPECT_EQ(never.remaining_ns(clock), Deadline::kNever);
}

}  // namespace
}  // namespace gpuio
