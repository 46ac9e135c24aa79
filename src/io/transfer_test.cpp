// Transfers in virtual time, over memory with injected trouble, against plain arrays.
#include "io/transfer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/uri.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::io {
namespace {

constexpr std::uint64_t kMs = 1'000'000;
constexpr std::uint64_t kMiB = 1 << 20;

struct Probe final : Transfer {
  int starts = 0, progresses = 0, finishes = 0;
  std::vector<int>* order = nullptr;
  int name = 0;
  void on_start() override { ++starts; }
  void on_progress() override { ++progresses; }
  void on_finish() override {
    ++finishes;
    if (order) order->push_back(name);
  }
};

std::vector<std::byte> pattern(std::size_t bytes, unsigned seed) {
  std::vector<std::byte> made(bytes);
  std::mt19937 random(seed);
  for (auto& b : made) b = std::byte(random());
  return made;
}

struct World {
  explicit World(FaultOptions faults = {}, TransferOptions options = {}) {
    faults.clock = &clock;
    engine = std::make_unique<FaultEngine>(make_memory_engine(), faults);
    transfers = std::make_unique<Transfers>(options, clock);
  }
  std::unique_ptr<Target> target(const std::string& name, std::uint64_t size) {
    auto made = engine->open(*Uri::parse(fmt::format("mem://{}?size={}", name, size)), kRead | kWrite);
    EXPECT_TRUE(made) << made.error().message();
    return made ? std::move(*made) : nullptr;
  }
  Place at(Target& t, std::uint64_t offset = 0) {
    return {.engine = engine.get(), .target = &t, .offset = offset};
  }
  std::shared_ptr<Probe> transfer(Place from, Place to, std::uint64_t length) {
    auto t = std::make_shared<Probe>();
    t->from = from;
    t->to = to;
    t->length = length;
    return t;
  }
  // Polls until nothing moves, without letting time pass.
  void settle() {
    for (int i = 0; i < 100'000; ++i)
      if (!transfers->poll()) return;
    ADD_FAILURE() << "it never comes to rest";
  }
  // Lets time pass in steps until all have finished; gives up after `most_ns`.
  void run(std::uint64_t step_ns = kMs, std::uint64_t most_ns = 100'000 * kMs) {
    for (std::uint64_t passed = 0; !transfers->idle() && passed <= most_ns; passed += step_ns) {
      for (int i = 0; i < 50 && (transfers->poll() || i < 10); ++i) {
      }
      clock.advance_ns(step_ns);
    }
    EXPECT_TRUE(transfers->idle());
  }

  ManualClock clock{1000};
  std::unique_ptr<FaultEngine> engine;
  std::unique_ptr<Transfers> transfers;
};

void put(World& w, Target& target, std::span<std::byte> bytes) {
  auto write = w.transfer({.memory = bytes.data()}, w.at(target), bytes.size());
  write->retry.max_retries = 1000;
  ASSERT_TRUE(w.transfers->submit(write).ok());
  w.run();
  ASSERT_TRUE(write->outcome().ok()) << write->outcome().message();
}
std::vector<std::byte> get(World& w, Target& target, std::size_t bytes) {
  std::vector<std::byte> got(bytes);
  auto read = w.transfer(w.at(target), {.memory = got.data()}, bytes);
  read->retry.max_retries = 1000;
  EXPECT_TRUE(w.transfers->submit(read).ok());
  w.run();
  EXPECT_TRUE(read->outcome().ok()) << read->outcome().message();
  got.resize(read->bytes_done());
  return got;
}

TEST(Transfers, EverySizeEveryDirectionUnderTrouble) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  World w({.seed = seed,
           .error_rate = 0.1,
           .short_rate = 0.2,
           .refuse_rate = 0.2,
           .delay_polls_max = 5,
           .delay_ns_max = 3 * kMs,
           .reorder = true});
  std::mt19937 random(seed);
  for (std::uint64_t size : {std::uint64_t{1}, kMiB - 1, kMiB, kMiB + 1, 11 * kMiB + 12345}) {
    auto bytes = pattern(size, static_cast<unsigned>(random()));
    auto a = w.target("a", size), b = w.target("b", 1);
    put(w, *a, bytes);
    auto copy = w.transfer(w.at(*a), w.at(*b), size);
    copy->retry.max_retries = 1000;
    ASSERT_TRUE(w.transfers->submit(copy).ok());
    w.run();
    ASSERT_TRUE(copy->outcome().ok()) << copy->outcome().message();
    EXPECT_EQ(copy->bytes_done(), size);
    EXPECT_GE(copy->bytes_moved(), 2 * size) << "in and out";
    EXPECT_EQ(copy->starts, 1);
    EXPECT_EQ(copy->finishes, 1);
    EXPECT_TRUE(get(w, *b, size) == bytes);
  }
}

TEST(Transfers, MemoryToMemoryComesInPieces) {
  World w;
  auto from = pattern(5 * kMiB + 3, 1);
  std::vector<std::byte> to(from.size());
  auto copy = w.transfer({.memory = from.data()}, {.memory = to.data()}, from.size());
  ASSERT_TRUE(w.transfers->submit(copy).ok());
  w.transfers->poll();
  EXPECT_EQ(copy->bytes_done(), kMiB) << "one piece a poll, so that others get on";
  w.settle();
  EXPECT_EQ(copy->finishes, 1);
  EXPECT_TRUE(from == to);
}

TEST(Transfers, NothingToMoveIsDone) {
  World w;
  auto none = w.transfer({}, {}, 0);
  ASSERT_TRUE(w.transfers->submit(none).ok());
  w.settle();
  EXPECT_EQ(none->finishes, 1);
  EXPECT_TRUE(none->outcome().ok());
}

TEST(Transfers, TheEndOfTheSourceEndsTheTransfer) {
  World w;
  const std::uint64_t size = 3 * kMiB + 77;
  auto bytes = pattern(size, 2);
  auto a = w.target("a", size), b = w.target("b", 1);
  put(w, *a, bytes);
  std::vector<std::byte> to(20 * kMiB, std::byte{0x5a});
  auto read = w.transfer(w.at(*a, 5), {.memory = to.data()}, to.size());
  auto copy = w.transfer(w.at(*a, 5), w.at(*b), to.size());
  ASSERT_TRUE(w.transfers->submit(read).ok());
  ASSERT_TRUE(w.transfers->submit(copy).ok());
  w.settle();
  for (const auto& t : {read, copy}) {
    EXPECT_TRUE(t->outcome().ok()) << t->outcome().message();
    EXPECT_EQ(t->bytes_done(), size - 5);
  }
  EXPECT_EQ(std::memcmp(to.data(), bytes.data() + 5, size - 5), 0);
  EXPECT_EQ(to[size - 5], std::byte{0x5a});
  EXPECT_EQ(b->info()->size, size - 5) << "the copy wrote nothing beyond it";
}

TEST(Transfers, WhatIsWrongIsRefused) {
  World w({}, {.capacity = 2});
  auto a = w.target("a", kMiB);
  std::byte memory[64] = {};
  const auto refused = [&](Place from, Place to, std::uint64_t length) {
    return w.transfers->submit(w.transfer(from, to, length)).code();
  };
  EXPECT_EQ(refused({}, {.memory = memory}, 8), Code::invalid_arg);
  EXPECT_EQ(refused({.memory = memory}, {}, 8), Code::invalid_arg);
  EXPECT_EQ(refused({.memory = memory}, {.memory = memory + 4}, 8), Code::invalid_arg);
  EXPECT_EQ(refused(w.at(*a, 4096), w.at(*a, 0), 8192), Code::invalid_arg);
  auto first = w.transfer({.memory = memory}, w.at(*a), 8),
       second = w.transfer({.memory = memory}, w.at(*a), 8);
  ASSERT_TRUE(w.transfers->submit(first).ok());
  EXPECT_EQ(w.transfers->submit(first).code(), Code::busy) << "it is in flight";
  ASSERT_TRUE(w.transfers->submit(second).ok());
  EXPECT_EQ(refused({.memory = memory}, w.at(*a), 8), Code::busy) << "the capacity is two";
  w.settle();
  EXPECT_EQ(refused({.memory = memory}, w.at(*a), 8), Code::ok);
  w.settle();
}

TEST(Transfers, PausesGrowAndTheLastErrorIsTold) {
  World w({.error_rate = 1});
  auto a = w.target("a", kMiB);
  std::byte memory[64] = {};
  auto read = w.transfer(w.at(*a), {.memory = memory}, 64);
  read->retry = {.max_retries = 3, .initial_ns = 10 * kMs, .max_ns = 25 * kMs, .multiplier = 2};
  ASSERT_TRUE(w.transfers->submit(read).ok());
  const std::uint64_t begin = w.clock.now_ns();
  std::vector<std::uint64_t> tries;
  const std::uint64_t calls = w.engine->calls();
  std::uint64_t seen = calls;
  while (!read->finishes && w.clock.now_ns() < begin + 1000 * kMs) {
    w.settle();
    if (w.engine->calls() > seen) tries.push_back((w.clock.now_ns() - begin) / kMs);
    // The queue is opened with the first try, which counts as a call too.
    seen = w.engine->calls();
    w.clock.advance_ns(kMs);
  }
  EXPECT_EQ(tries, (std::vector<std::uint64_t>{0, 10, 30, 55}));
  EXPECT_EQ(read->outcome().code(), Code::io);
  EXPECT_NE(read->outcome().message().find("attempt 4 of 4"), std::string::npos) << read->outcome().message();
  EXPECT_NE(read->outcome().message().find("mem://a"), std::string::npos) << read->outcome().message();
}

TEST(Transfers, WhatCannotPassIsNotTriedAgain) {
  World w;
  auto made = w.engine->open(*Uri::parse("mem://a?size=4KiB"), kRead);
  ASSERT_TRUE(made);
  std::byte memory[64] = {};
  auto write = w.transfer({.memory = memory}, w.at(**made), 64);
  write->retry.max_retries = 5;
  ASSERT_TRUE(w.transfers->submit(write).ok());
  w.settle();
  EXPECT_EQ(write->finishes, 1);
  EXPECT_EQ(write->outcome().code(), Code::permission);
}

TEST(Transfers, ATimeoutEndsItAndSaysHowFarItCame) {
  World w({.seed = 3, .delay_ns_max = 100 * kMs}, {.queue_depth = 1});
  auto a = w.target("a", 40 * kMiB);
  std::vector<std::byte> to(40 * kMiB);
  auto read = w.transfer(w.at(*a), {.memory = to.data()}, to.size());
  read->timeout_ns = 200 * kMs;
  ASSERT_TRUE(w.transfers->submit(read).ok());
  const std::uint64_t begin = w.clock.now_ns();
  w.run();
  EXPECT_EQ(read->finishes, 1);
  EXPECT_EQ(read->outcome().code(), Code::timeout);
  EXPECT_LT(read->bytes_done(), to.size());
  EXPECT_GE(w.clock.now_ns() - begin, 200 * kMs);
  EXPECT_LE(w.clock.now_ns() - begin, 310 * kMs) << "what was in flight came back before it finished";
}

TEST(Transfers, ATimeoutComesInAPauseToo) {
  World w({.error_rate = 1});
  auto a = w.target("a", kMiB);
  std::byte memory[64] = {};
  auto read = w.transfer(w.at(*a), {.memory = memory}, 64);
  read->retry = {.max_retries = 1000, .initial_ns = 1000 * kMs, .max_ns = 1000 * kMs, .multiplier = 1};
  read->timeout_ns = 1500 * kMs;
  ASSERT_TRUE(w.transfers->submit(read).ok());
  w.settle();
  EXPECT_EQ(w.transfers->due_ns(), w.clock.now_ns() + Transfers::kProgressNs) << "it says when to come again";
  w.run();
  EXPECT_EQ(read->outcome().code(), Code::timeout);
}

TEST(Transfers, CancelAtEveryMomentFinishesOnce) {
  const std::uint64_t size = 6 * kMiB;
  for (int polls = 0;; ++polls) {
    SCOPED_TRACE(polls);
    World w({.seed = 9, .delay_polls_max = 3}, {.queue_depth = 2, .staging_bytes = 2 * kMiB});
    auto bytes = pattern(size, 4);
    auto a = w.target("a", size), b = w.target("b", 1);
    put(w, *a, bytes);
    auto copy = w.transfer(w.at(*a), w.at(*b), size);
    ASSERT_TRUE(w.transfers->submit(copy).ok());
    for (int i = 0; i < polls && !copy->finishes; ++i) w.transfers->poll();
    const bool before = copy->finishes;
    w.transfers->cancel(*copy);
    w.run();
    ASSERT_EQ(copy->finishes, 1);
    if (before) {
      EXPECT_TRUE(copy->outcome().ok());
      break;
    }
    EXPECT_TRUE(copy->outcome().ok() || copy->outcome().code() == Code::canceled);
    if (copy->bytes_done() == 0) continue;
    const auto got = get(w, *b, copy->bytes_done());
    ASSERT_EQ(got.size(), copy->bytes_done());
    EXPECT_EQ(std::memcmp(got.data(), bytes.data(), got.size()), 0) << "what is said to be there is there";
    ASSERT_LT(polls, 1000);
  }
}

TEST(Transfers, FailTheNthCall) {
  const std::uint64_t size = 3 * kMiB;
  for (const std::uint32_t retries : {0u, 2u}) {
    bool reached = true;
    for (std::uint64_t n = 3; reached; ++n) {  // the first two open the targets
      SCOPED_TRACE(testing::Message() << "call " << n << ", retries " << retries);
      World w({.fail_call = n});
      auto bytes = pattern(size, 5);
      std::vector<std::byte> to(size);
      auto a = w.target("a", size), b = w.target("b", size);
      std::shared_ptr<Probe> all[] = {w.transfer({.memory = bytes.data()}, w.at(*a), size),
                                      w.transfer(w.at(*b), {.memory = to.data()}, size),
                                      w.transfer(w.at(*b), w.at(*a, size), size)};
      for (auto& t : all) {
        t->retry.max_retries = retries;
        ASSERT_TRUE(w.transfers->submit(t).ok());
      }
      w.run();
      reached = n <= w.engine->calls();
      int failures = 0;
      for (auto& t : all) {
        ASSERT_EQ(t->finishes, 1);
        failures += !t->outcome().ok();
        EXPECT_EQ(t->outcome().ok(), t->bytes_done() == size);
      }
      // The queue is the third call: no memory for it is no error that passes by itself.
      EXPECT_EQ(failures > 0, reached && (retries == 0 || n == 3)) << failures;
      ASSERT_LT(n, 100u);
    }
  }
}

TEST(Transfers, EndingThemFinishesEverything) {
  auto world = std::make_unique<World>(FaultOptions{.seed = 1, .delay_polls_max = 20},
                                       TransferOptions{.queue_depth = 2});
  auto a = world->target("a", 20 * kMiB);
  std::vector<std::byte> to(20 * kMiB);
  std::vector<std::shared_ptr<Probe>> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(world->transfer(world->at(*a), {.memory = to.data()}, to.size()));
    ASSERT_TRUE(world->transfers->submit(all.back()).ok());
  }
  world->transfers->poll();
  world->transfers.reset();
  for (auto& t : all) {
    EXPECT_EQ(t->finishes, 1);
    EXPECT_EQ(t->outcome().code(), Code::canceled);
  }
}

std::vector<int> order_under(Schedule schedule, World& w, std::span<const std::shared_ptr<Probe>> all) {
  std::vector<int> order;
  for (const auto& t : all) {
    t->schedule = schedule;
    t->order = &order;
    EXPECT_TRUE(w.transfers->submit(t).ok());
    w.clock.advance_ns(kMs);
  }
  w.settle();
  return order;
}

TEST(Transfers, WhoGoesFirst) {
  std::byte memory[4] = {};
  const auto order = [&](Schedule schedule) {
    World w({}, {.queue_depth = 1});
    auto a = w.target("a", kMiB);
    std::shared_ptr<Probe> all[4];
    const std::int32_t priority[] = {3, 1, 2, 1};
    const std::uint64_t deadline[] = {0, 9 * kMs, 2 * kMs, 50 * kMs};
    for (int i = 0; i < 4; ++i) {
      all[i] = w.transfer(w.at(*a), {.memory = memory}, 4);
      all[i]->name = i;
      all[i]->priority = priority[i];
      all[i]->deadline_ns = deadline[i];
    }
    return order_under(schedule, w, all);
  };
  EXPECT_EQ(order(Schedule::fifo), (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(order(Schedule::priority), (std::vector{1, 3, 2, 0}));
  EXPECT_EQ(order(Schedule::deadline), (std::vector{2, 1, 3, 0}));
  EXPECT_EQ(order(Schedule::adaptive), (std::vector{1, 3, 2, 0}));
}

TEST(Transfers, UnderAdaptiveNobodyStarves) {
  World w({.seed = 1}, {.queue_depth = 1});
  auto a = w.target("a", kMiB);
  std::byte memory[4] = {};
  std::vector<int> order;
  const auto submit = [&](int name, std::int32_t priority) {
    auto t = w.transfer(w.at(*a), {.memory = memory}, 4);
    t->name = name;
    t->order = &order;
    t->priority = priority;
    t->schedule = Schedule::adaptive;
    EXPECT_TRUE(w.transfers->submit(t).ok());
    return t;
  };
  submit(0, 1);
  w.clock.advance_ns(Transfers::kAgeingNs - kMs);
  submit(1, 0);
  w.clock.advance_ns(2 * kMs);
  submit(2, 0);
  w.settle();
  EXPECT_EQ(order, (std::vector{1, 0, 2})) << "one level of priority is worth kAgeingNs of waiting";
}

TEST(Transfers, AModifiedPriorityCounts) {
  World w({}, {.queue_depth = 1});
  auto a = w.target("a", kMiB);
  std::byte memory[4] = {};
  std::vector<int> order;
  std::shared_ptr<Probe> all[3];
  for (int i = 0; i < 3; ++i) {
    all[i] = w.transfer(w.at(*a), {.memory = memory}, 4);
    all[i]->name = i;
    all[i]->priority = 5;
    all[i]->order = &order;
    all[i]->schedule = Schedule::priority;
    ASSERT_TRUE(w.transfers->submit(all[i]).ok());
  }
  w.transfers->modify(*all[2], 0, 0);
  w.settle();
  EXPECT_EQ(order, (std::vector{2, 0, 1}));
}

TEST(Transfers, ARateHoldsItBackInTime) {
  World w;
  auto a = w.target("a", 4 * kMiB);
  std::vector<std::byte> to(4 * kMiB);
  auto read = w.transfer(w.at(*a), {.memory = to.data()}, to.size());
  read->rate_bytes_per_second = 2 * kMiB;
  ASSERT_TRUE(w.transfers->submit(read).ok());
  const std::uint64_t begin = w.clock.now_ns();
  w.run(5 * kMs, 10'000 * kMs);
  EXPECT_TRUE(read->outcome().ok());
  const double seconds = double(w.clock.now_ns() - begin) / 1e9;
  EXPECT_GT(seconds, 1.8);
  EXPECT_LT(seconds, 2.2);
  EXPECT_GE(read->progresses, 18) << "ten or more a second, though each piece is on time";
}

}  // namespace
}  // namespace gpuio::io
