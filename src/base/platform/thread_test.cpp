#include "base/platform/thread.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <chrono>

namespace gpuio {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr uint64_t kLongNs = 20'000'000'000;  // longer than any test should take: reaching it is a failure

TEST(Thread, RunsUnderItsNameAndStopsWhenDestroyed) {
  std::string name;
  std::atomic<uint32_t> stopped{0};
  {
    auto thread = Thread::start("gpuio-service-with-a-long-name", [&](std::stop_token stop) {
      char seen[32] = {};
      ::pthread_getname_np(::pthread_self(), seen, sizeof seen);
      name = seen;
      while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
      stopped = 1;
    });
    ASSERT_TRUE(thread) << thread.error().message();
  }
  EXPECT_EQ(stopped, 1u);
  EXPECT_EQ(name, "gpuio-service-w");
}

TEST(Thread, CanBeJoinedAndMoved) {
  std::atomic<int> runs{0};
  Thread kept;
  EXPECT_FALSE(kept.joinable());
  auto thread = Thread::start("t", [&](std::stop_token) { ++runs; });
  kept = std::move(*thread);
  kept.join();
  EXPECT_EQ(runs, 1);
  EXPECT_FALSE(kept.joinable());
}

TEST(Thread, PriorityIsGrantedOrRefusedWithTheRemedy) {
  for (auto priority : {ThreadPriority::realtime, ThreadPriority::high}) {
    Status status;
    int policy = -1;
    auto thread = Thread::start("p", [&](std::stop_token) {
      status = set_this_thread_priority(priority);
      policy = ::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    });
    thread->join();
    if (status.ok()) {
      EXPECT_EQ(policy, priority == ThreadPriority::realtime ? SCHED_FIFO : SCHED_OTHER);
    } else {
      EXPECT_EQ(status.code(), Code::permission) << status.message();
      EXPECT_THAT(status.message(), HasSubstr("CAP_SYS_NICE"));
      EXPECT_EQ(policy, SCHED_OTHER);
    }
  }
}

TEST(Thread, NormalPriorityIsAlwaysThere) {
  Status status;
  auto thread =
      Thread::start("p", [&](std::stop_token) { status = set_this_thread_priority(ThreadPriority::normal); });
  thread->join();
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(Thread, PinsToAUsableProcessor) {
  const auto cpus = usable_cpus();
  ASSERT_TRUE(cpus);
  ASSERT_FALSE(cpus->empty());
  const int last = cpus->back();
  std::vector<int> after;
  Status status, none, impossible, absent;
  auto thread = Thread::start("p", [&](std::stop_token) {
    status = pin_this_thread(std::span(&last, 1));
    after = usable_cpus().value();
    none = pin_this_thread({});
    const int wrong[] = {-1}, missing[] = {CPU_SETSIZE - 1};
    impossible = pin_this_thread(wrong);
    absent = pin_this_thread(missing);
  });
  thread->join();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(after, std::vector<int>{last});
  EXPECT_EQ(none.code(), Code::invalid_arg);
  EXPECT_EQ(impossible.code(), Code::invalid_arg);
  EXPECT_EQ(absent.code(), Code::invalid_arg) << absent.message();
  EXPECT_THAT(absent.message(), HasSubstr(std::to_string(CPU_SETSIZE - 1)));
}

TEST(WaitOnWord, ReturnsAtOnceWhenTheWordDiffers) {
  std::atomic<uint32_t> word{5};
  EXPECT_EQ(wait_on_word(word, 4, kLongNs), WaitResult::changed);
}

TEST(WaitOnWord, TimesOut) {
  std::atomic<uint32_t> word{5};
  const auto start = std::chrono::steady_clock::now();
  WaitResult result;
  do result = wait_on_word(word, 5, 3'000'000);
  while (result == WaitResult::woken);  // a signal may have come
  EXPECT_EQ(result, WaitResult::timeout);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 3ms);
  EXPECT_EQ(wait_on_word(word, 5, 0), WaitResult::timeout);
}

// Two threads hand a word back and forth: a lost wake-up would run into the long timeout.
TEST(WaitOnWord, NoWakeUpIsLost) {
  constexpr uint32_t kTurns = 2000;
  std::atomic<uint32_t> word{0};
  std::atomic<bool> timed_out{false};
  const auto play = [&](uint32_t parity) {
    for (uint32_t turn = parity; turn < kTurns && !timed_out; turn += 2) {
      for (uint32_t seen; (seen = word.load(std::memory_order_acquire)) != turn;)
        if (wait_on_word(word, seen, kLongNs) == WaitResult::timeout) timed_out = true;
      word.store(turn + 1, std::memory_order_release);
      wake_one(word);
    }
  };
  auto other = Thread::start("odd", [&](std::stop_token) { play(1); });
  play(0);
  other->join();
  EXPECT_FALSE(timed_out);
  EXPECT_EQ(word, kTurns);
}

TEST(WaitOnWord, WakeAllReachesEverySleeper) {
  std::atomic<uint32_t> word{0}, awake{0};
  std::vector<Thread> sleepers;
  for (int i = 0; i < 4; ++i) {
    sleepers.push_back(std::move(*Thread::start("s", [&](std::stop_token) {
      while (word.load(std::memory_order_acquire) == 0)
        if (wait_on_word(word, 0, kLongNs) == WaitResult::timeout) return;
      ++awake;
    })));
  }
  std::this_thread::sleep_for(5ms);
  word.store(1, std::memory_order_release);
  wake_all(word);
  for (auto& sleeper : sleepers) sleeper.join();
  EXPECT_EQ(awake, 4u);
}

}  // namespace
}  // namespace gpuio
