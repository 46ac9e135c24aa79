// The thread that moves transfers, from many threads at once.
#include "io/transfer_service.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <thread>

#include "base/uri.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::io {
namespace {

struct Waitable : Transfer {
  std::mutex mutex;
  std::condition_variable ended;
  int finishes = 0;
  void on_finish() override {
    std::scoped_lock hold(mutex);
    ++finishes;
    ended.notify_all();
  }
  bool wait_for(int n) {
    std::unique_lock lock(mutex);
    return ended.wait_for(lock, std::chrono::seconds(60), [&] { return finishes >= n; });
  }
};

// Lets virtual time run on, in steps, while it lives.
struct Ticker {
  explicit Ticker(ManualClock& clock)
      : thread([&clock](std::stop_token stop) {
          while (!stop.stop_requested()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
            clock.advance_ns(1'000'000'000);
          }
        }) {}
  std::jthread thread;
};

struct Fixture {
  explicit Fixture(const FaultOptions& faults = {}, const TransferOptions& options = {})
      : engine(make_memory_engine(), faults), service(std::move(*TransferService::start(options))) {
    target = std::move(*engine.open(*Uri::parse("mem://a?size=8MiB"), kRead | kWrite));
  }
  template <class T = Waitable>
  std::shared_ptr<T> read(std::span<std::byte> to, std::uint64_t offset = 0) {
    auto t = std::make_shared<T>();
    t->from = {.engine = &engine, .target = target.get(), .offset = offset};
    t->to = {.memory = to.data()};
    t->length = to.size();
    return t;
  }
  FaultEngine engine;
  std::unique_ptr<Target> target;
  std::unique_ptr<TransferService> service;
};

TEST(TransferService, ManyThreadsEachTransferOnce) {
  Fixture f({.seed = 11, .delay_polls_max = 3, .reorder = true}, {.queue_depth = 4});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      std::byte memory[512];
      for (int round = 0; round < 100; ++round) {
        auto t = f.read(memory, static_cast<std::uint64_t>(i) * 512);
        ASSERT_TRUE(f.service->submit(t).ok());
        if (round % 3 == 0) f.service->cancel(t);
        if (round % 3 == 1) f.service->modify(t, 2, 1 << 30);
        ASSERT_TRUE(t->wait_for(1));
        ASSERT_TRUE(t->outcome().ok() || t->outcome().code() == Code::canceled) << t->outcome().message();
      }
    });
  for (auto& thread : threads) thread.join();
}

// Submits itself again from its own end.
struct Again final : Waitable {
  TransferService* service = nullptr;
  std::weak_ptr<Again> self;
  int left = 20;
  bool on_thread = false;
  Status refused;
  void on_finish() override {
    on_thread = service->on_thread();
    if (left-- > 0) refused = service->submit(self.lock());
    Waitable::on_finish();
  }
};

TEST(TransferService, AFinishMaySubmitAgainEvenWhenItIsFull) {
  Fixture f({}, {.capacity = 1});
  std::byte memory[512];
  auto t = f.read<Again>(memory);
  t->service = f.service.get();
  t->self = t;
  ASSERT_TRUE(f.service->submit(t).ok());
  ASSERT_TRUE(t->wait_for(21));
  EXPECT_TRUE(t->refused.ok()) << t->refused.message();
  EXPECT_TRUE(t->on_thread);
  EXPECT_FALSE(f.service->on_thread());
}

TEST(TransferService, EndingCancelsWhatIsInFlightAndRefusesTheRest) {
  ManualClock frozen;
  Fixture f({.seed = 2, .delay_ns_max = 1'000'000, .clock = &frozen}, {.queue_depth = 4});
  std::vector<std::byte> memory(8 << 20);
  std::vector<std::shared_ptr<Waitable>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(f.read(memory));
    ASSERT_TRUE(f.service->submit(all.back()).ok());
  }
  const Ticker ticker(frozen);
  EXPECT_TRUE(f.service->stop(~std::uint64_t{0}));
  for (auto& t : all) {
    EXPECT_EQ(t->finishes, 1);
    EXPECT_EQ(t->outcome().code(), Code::canceled);
  }
  EXPECT_EQ(f.service->submit(f.read(memory)).code(), Code::canceled);
}

// What is told of its end takes its time.
struct Holding final : Waitable {
  std::atomic<bool> released{false};
  void on_finish() override {
    while (!released) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Waitable::on_finish();
  }
};

TEST(TransferService, EndingIsBoundedAndMayBeAskedForAgain) {
  Fixture f;
  std::byte memory[512];
  auto t = f.read<Holding>(memory);
  ASSERT_TRUE(f.service->submit(t).ok());
  EXPECT_FALSE(f.service->stop(20'000'000));
  EXPECT_EQ(f.service->submit(f.read(memory)).code(), Code::canceled);
  EXPECT_EQ(t->finishes, 0);
  t->released = true;
  EXPECT_TRUE(f.service->stop(~std::uint64_t{0}));
  EXPECT_EQ(t->finishes, 1);
}

TEST(TransferService, BoundedInHowMuchItTakes) {
  ManualClock frozen;
  Fixture f({.seed = 2, .delay_ns_max = 1'000'000'000, .clock = &frozen}, {.capacity = 3});
  std::byte memory[512];
  std::vector<std::shared_ptr<Waitable>> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(f.read(memory));
    ASSERT_TRUE(f.service->submit(all.back()).ok());
  }
  EXPECT_EQ(f.service->submit(f.read(memory)).code(), Code::busy);
  const Ticker ticker(frozen);
  for (auto& t : all) EXPECT_TRUE(t->wait_for(1));
  EXPECT_TRUE(f.service->submit(f.read(memory)).ok());
}

}  // namespace
}  // namespace gpuio::io
