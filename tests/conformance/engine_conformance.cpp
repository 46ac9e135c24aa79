#include "tests/conformance/engine_conformance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "engines/layers/fault/fault.hpp"
#include "tests/conformance/engine_oracle.hpp"

namespace gpuio::io::conformance {
namespace {

std::uint64_t seed_of_this_run() {
  if (const char* given = std::getenv("GPUIO_SEED")) return std::strtoull(given, nullptr, 0);
  return std::random_device{}();
}

class EngineConformance : public testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    const Subject& s = GetParam();
    const Uri uri = uri_of("x");
    if (!uri.path.empty()) {
      directory_ = std::filesystem::path(uri.path).parent_path();
      std::filesystem::create_directories(directory_);
      for (const char* name : {"a", "probe"})
        if (s.size_before) std::ofstream(directory_ / name) << std::string(s.size_before, '\0');
    }
    auto engine = s.make();
    ASSERT_TRUE(engine) << engine.error().message();
    engine_ = std::move(*engine);
    if (s.route.empty()) return;
    const TargetInfo info = *open("probe")->info();
    if (info.route.find(s.route) == std::string::npos)
      GTEST_SKIP() << s.name << " needs " << s.route << ", here it is " << info.route << ": " << info.reason;
  }
  void TearDown() override {
    engine_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  Uri uri_of(const std::string& name) const {
    std::string text = GetParam().uri;
    text.replace(text.find("{}"), 2, name);
    return *Uri::parse(text);
  }
  std::unique_ptr<Target> open(const std::string& name, std::uint32_t flags = kRead | kWrite | kCreate) {
    auto target = engine_->open(uri_of(name), flags | GetParam().flags);
    EXPECT_TRUE(target) << target.error().message();
    return target ? std::move(*target) : nullptr;
  }
  std::unique_ptr<Queue> queue(std::uint32_t depth) {
    auto queue = engine_->queue(depth);
    EXPECT_TRUE(queue) << queue.error().message();
    return queue ? std::move(*queue) : nullptr;
  }

  // Until `count` completions came, or long enough to say that they never will.
  static std::vector<Op*> collect(Queue& q, std::size_t count) {
    std::vector<Op*> all;
    for (int step = 0; all.size() < count && step < kStepsMax; ++step) {
      Op* done[16];
      const std::uint32_t n = q.poll(done);
      all.insert(all.end(), done, done + n);
      if (n == 0) {
        const auto status = q.wait(kSecond / 100);
        EXPECT_TRUE(status.ok() || status.code() == Code::timeout) << status.message();
      }
    }
    EXPECT_EQ(all.size(), count) << "an operation never completed, or one completed twice";
    return all;
  }

  // Submits until taken; a layer may refuse for a while.
  static void put(Queue& q, Op& op) {
    Op* ops[] = {&op};
    for (int step = 0; q.submit(ops) == 0; ++step)
      ASSERT_LT(step, kStepsMax) << "submit never took the operation";
  }

  // One operation to its end, tried again where the subject injects failures.
  Op run(Queue& q, OpKind kind, Target& t, std::uint64_t offset, std::span<const Segment> segments) {
    for (int tries = 0;; ++tries) {
      Op op{.kind = kind, .target = &t, .offset = offset, .segments = segments};
      put(q, op);
      const auto done = collect(q, 1);
      EXPECT_EQ(done, std::vector<Op*>{&op});
      if (op.code == Code::io && GetParam().failing && tries < 1000) continue;
      return op;
    }
  }
  Op run(Queue& q, OpKind kind, Target& t, std::uint64_t offset, std::span<std::byte> bytes) {
    const Segment one{bytes.data(), bytes.size()};
    return run(q, kind, t, offset, {&one, 1});
  }
  void fill(Queue& q, Target& t, Bytes& bytes) {
    const Op op = run(q, OpKind::write, t, 0, bytes);
    ASSERT_EQ(op.code, Code::ok) << describe(op);
    ASSERT_EQ(op.bytes, bytes.size());
  }

  std::filesystem::path directory_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineConformance, WritesAreReadBack) {
  auto q = queue(4);
  auto t = open("a");
  Bytes data = pattern(70'001, 1), got(70'001);
  fill(*q, *t, data);
  const Op op = run(*q, OpKind::read, *t, 0, got);
  EXPECT_EQ(op.code, Code::ok) << describe(op);
  EXPECT_EQ(op.bytes, got.size());
  EXPECT_TRUE(got == data);
  const Op flushed = run(*q, OpKind::flush, *t, 0, std::span<const Segment>());
  EXPECT_EQ(flushed.code, Code::ok) << describe(flushed);
}

TEST_P(EngineConformance, OpenedAgainIsTheSame) {
  if (!GetParam().keeps_closed) GTEST_SKIP() << "memory lives only while it is open";
  auto q = queue(4);
  auto t = open("a");
  Bytes data = pattern(5'000, 2), got(5'000);
  fill(*q, *t, data);
  t = open("a", kRead);
  run(*q, OpKind::read, *t, 0, got);
  EXPECT_TRUE(got == data);
}

TEST_P(EngineConformance, OneNameOpenedTwiceIsShared) {
  auto q = queue(4);
  auto one = open("a"), two = open("a");
  Bytes data = pattern(10'000, 3), got(10'000);
  fill(*q, *one, data);
  run(*q, OpKind::read, *two, 0, got);
  EXPECT_TRUE(got == data);
}

TEST_P(EngineConformance, AReadPastTheEndIsShortAndOk) {
  auto q = queue(4);
  auto t = open("a");
  Bytes data = pattern(10'000, 4);
  const std::uint64_t size = std::max<std::uint64_t>(t->info()->size, 10'000);
  ASSERT_EQ(run(*q, OpKind::write, *t, size - 10'000, data).code, Code::ok);
  Buffer buffer(20'000);
  const std::span<std::byte> all(buffer.data, 16'384);
  for (std::uint64_t before : {0, 1, 511, 4'096, 10'000}) {
    const Op op = run(*q, OpKind::read, *t, size - before, all);
    EXPECT_EQ(op.code, Code::ok) << describe(op);
    EXPECT_EQ(op.bytes, before);
    EXPECT_EQ(std::memcmp(buffer.data, data.data() + 10'000 - before, before), 0);
    EXPECT_EQ(buffer.data[16'384], std::byte{0xEE}) << "touched beyond the segment";
    std::memset(buffer.data, 0xEE, buffer.size);
  }
  const std::uint64_t beyond[] = {size + 1,         size + 4'096, 1ull << 40, 1ull << 62,
                                  (1ull << 63) - 1, 1ull << 63,   ~0ull};
  for (std::uint64_t offset : beyond) {
    const Op op = run(*q, OpKind::read, *t, offset, all);
    EXPECT_EQ(op.code, Code::ok) << describe(op);
    EXPECT_EQ(op.bytes, 0u) << offset;
  }
}

TEST_P(EngineConformance, WhatIsAtHandIsWhatIsRead) {
  auto q = queue(4);
  auto t = open("a");
  const Bytes data = pattern(10'000, 4);
  Bytes written = data;
  const std::uint64_t size = std::max<std::uint64_t>(t->info()->size, 10'000);
  ASSERT_EQ(run(*q, OpKind::write, *t, size - 10'000, written).code, Code::ok);
  const bool mapped = has(t->info()->caps, Cap::mapped);
  Buffer buffer(20'000);
  for (std::uint64_t before : {0, 1, 511, 4'096, 10'000}) {
    const std::uint64_t bytes = t->read_at_hand(size - before, {buffer.data, 16'384});
    EXPECT_LE(bytes, before);
    if (mapped) {
      EXPECT_EQ(bytes, before);
    }
    EXPECT_EQ(std::memcmp(buffer.data, data.data() + 10'000 - before, bytes), 0);
    EXPECT_EQ(buffer.data[16'384], std::byte{0xEE}) << "touched beyond the memory";
  }
  for (std::uint64_t offset :
       {size + 1, std::uint64_t{1} << 62, (std::uint64_t{1} << 63) - 1, ~std::uint64_t{0}})
    EXPECT_EQ(t->read_at_hand(offset, {buffer.data, 16'384}), 0u) << offset;
}

TEST_P(EngineConformance, WritingPastTheEndGrowsAndTheHoleIsZero) {
  auto q = queue(4);
  auto t = open("a");
  if (!has(t->info()->caps, Cap::resize)) GTEST_SKIP() << "fixed size";
  const std::uint64_t at = t->info()->size + 100'003;
  Bytes tail = pattern(777, 5);
  const Op op = run(*q, OpKind::write, *t, at, tail);
  ASSERT_EQ(op.code, Code::ok) << describe(op);
  EXPECT_EQ(t->info()->size, at + 777);
  Bytes got(1'777, std::byte{1});
  run(*q, OpKind::read, *t, at - 1'000, got);
  EXPECT_TRUE(std::all_of(got.begin(), got.begin() + 1'000, [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_TRUE(std::equal(tail.begin(), tail.end(), got.begin() + 1'000));
}

TEST_P(EngineConformance, AWriteBeyondEveryOffsetIsRefused) {
  auto q = queue(4);
  auto t = open("a");
  const std::uint64_t size = t->info()->size;
  Bytes data = pattern(4'096, 6);
  for (std::uint64_t offset : {(1ull << 63) - 1, 1ull << 63, ~0ull - 100}) {
    const Op op = run(*q, OpKind::write, *t, offset, data);
    EXPECT_EQ(op.code, Code::invalid_arg) << describe(op);
    EXPECT_EQ(op.bytes, 0u);
  }
  EXPECT_EQ(t->info()->size, size);
}

TEST_P(EngineConformance, NothingIsReadAndWrittenAtOnce) {
  auto q = queue(4);
  auto t = open("a");
  Bytes data = pattern(100, 7);
  fill(*q, *t, data);
  const std::uint64_t size = t->info()->size;
  const Segment empty[] = {{nullptr, 0}, {data.data(), 0}};
  for (OpKind kind : {OpKind::read, OpKind::write}) {
    for (std::uint64_t offset : {std::uint64_t{0}, size, size + 5'000}) {
      EXPECT_EQ(run(*q, kind, *t, offset, std::span<const Segment>()).code, Code::ok);
      const Op op = run(*q, kind, *t, offset, empty);
      EXPECT_EQ(op.code, Code::ok) << describe(op);
      EXPECT_EQ(op.bytes, 0u);
    }
  }
  EXPECT_EQ(t->info()->size, size);
}

TEST_P(EngineConformance, WrongOperationsCompleteWithWhatIsWrong) {
  auto q = queue(4);
  auto t = open("a");
  Bytes data = pattern(100, 8);
  fill(*q, *t, data);
  auto read_only = open("a", kRead), write_only = open("a", kWrite);
  EXPECT_EQ(run(*q, OpKind::write, *read_only, 0, data).code, Code::permission);
  EXPECT_EQ(run(*q, OpKind::read, *write_only, 0, data).code, Code::permission);
  const Segment null{nullptr, 10};
  EXPECT_EQ(run(*q, OpKind::read, *t, 0, {&null, 1}).code, Code::invalid_arg);
  const Segment unknown_region{data.data(), 10, 5};
  EXPECT_EQ(run(*q, OpKind::read, *t, 0, {&unknown_region, 1}).code, Code::invalid_arg);
  struct Foreign : Target {
    Result<TargetInfo> info() const override { return TargetInfo{}; }
  } foreign;
  EXPECT_EQ(run(*q, OpKind::read, foreign, 0, data).code, Code::invalid_arg);
}

TEST_P(EngineConformance, DepthsAreKeptAndExcessIsLeft) {
  EXPECT_EQ(engine_->queue(0).error().code(), Code::invalid_arg);
  EXPECT_EQ(engine_->queue(1u << 30).error().code(), Code::invalid_arg);
  auto t = open("a");
  for (std::uint32_t depth : {1u, 3u, 4'096u}) {
    auto q = queue(depth);
    ASSERT_EQ(q->depth(), depth);
    Bytes bytes(depth + 7);
    std::vector<Segment> segments(depth + 7);
    std::vector<Op> ops(depth + 7);
    std::vector<Op*> list;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      segments[i] = {&bytes[i], 1};
      ops[i].target = t.get();
      ops[i].offset = i;
      ops[i].segments = {&segments[i], 1};
      list.push_back(&ops[i]);
    }
    std::uint32_t taken = 0;
    for (int refused = 0; refused < 50;) {  // a layer may take none for a while: full means none for long
      const std::uint32_t n = q->submit(std::span<Op* const>(list).subspan(taken));
      taken += n;
      refused = n ? 0 : refused + 1;
    }
    EXPECT_EQ(taken, depth);
    collect(*q, depth);
    for (; taken < list.size(); ++taken) {
      put(*q, *list[taken]);
      collect(*q, 1);
    }
  }
}

TEST_P(EngineConformance, RegionsAreUsedCheckedAndHeld) {
  auto q = queue(4);
  auto t = open("a");
  Bytes data = pattern(20'000, 9);
  fill(*q, *t, data);
  Buffer buffer(32'768);
  EXPECT_EQ(q->enroll({}).error().code(), Code::invalid_arg);
  const auto region = q->enroll({buffer.data, buffer.size});
  ASSERT_TRUE(region) << region.error().message();
  for (std::uint64_t at : {0, 4'096, 77}) {
    const Segment inside{buffer.data + at, 8'192, *region};
    const Op op = run(*q, OpKind::read, *t, 4'096, {&inside, 1});
    ASSERT_EQ(op.code, Code::ok) << describe(op);
    EXPECT_EQ(std::memcmp(buffer.data + at, data.data() + 4'096, 8'192), 0);
  }
  const Segment outside{buffer.data + 1, buffer.size, *region};
  EXPECT_EQ(run(*q, OpKind::read, *t, 0, {&outside, 1}).code, Code::invalid_arg);

  const Segment inside{buffer.data, 4'096, *region};
  Op op{.target = t.get(), .segments = {&inside, 1}};
  put(*q, op);
  const Status busy = q->withdraw(*region);
  // An engine that has finished the copy already may let go, as long as the completion still comes.
  EXPECT_TRUE(busy.ok() || busy.code() == Code::busy) << busy.message();
  collect(*q, 1);
  EXPECT_EQ(q->withdraw(*region).code(), busy.ok() ? Code::not_found : Code::ok);
  EXPECT_EQ(q->withdraw(*region).code(), Code::not_found);
  EXPECT_EQ(q->withdraw(12'345).code(), Code::not_found);
  EXPECT_EQ(run(*q, OpKind::read, *t, 0, {&inside, 1}).code, Code::invalid_arg);
}

TEST_P(EngineConformance, RegionsComeAndGo) {
  auto q = queue(4);
  Buffer buffer(4'096);
  for (int round = 0; round < 3; ++round) {
    std::set<std::uint32_t> regions;
    for (int i = 0; i < 50; ++i) regions.insert(q->enroll({buffer.data, buffer.size}).value());
    EXPECT_EQ(regions.size(), 50u);
    for (std::uint32_t r : regions) EXPECT_TRUE(q->withdraw(r).ok());
  }
}

TEST_P(EngineConformance, CanceledOperationsCompleteOnce) {
  auto q = queue(64);
  auto t = open("a");
  Bytes data = pattern(64 * 4'096, 10);
  fill(*q, *t, data);
  Buffer buffer(64 * 4'096);
  std::vector<Segment> segments(64);
  std::vector<Op> ops(64);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    segments[i] = {buffer.data + i * 4'096, 4'096};
    ops[i] = {.target = t.get(), .offset = i * 4'096, .segments = {&segments[i], 1}};
    put(*q, ops[i]);
    if (i % 3) q->cancel(ops[i]);
    if (i % 3 == 2) q->cancel(ops[i]);
  }
  Op never;
  q->cancel(never);
  auto done = collect(*q, 64);
  std::ranges::sort(done);
  EXPECT_EQ(std::unique(done.begin(), done.end()), done.end());
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].code == Code::ok) {
      EXPECT_EQ(std::memcmp(segments[i].memory, data.data() + i * 4'096, 4'096), 0);
    } else {
      EXPECT_TRUE((ops[i].code == Code::canceled && i % 3) || GetParam().failing) << describe(ops[i]);
    }
    q->cancel(ops[i]);  // it is no longer here
  }
  Op* more[1];
  EXPECT_EQ(q->poll(more), 0u);
}

TEST_P(EngineConformance, DestroyingAQueueEndsWhatIsInFlight) {
  auto t = open("a");
  {
    auto q = queue(4);
    Bytes data = pattern(1 << 20, 11);
    fill(*q, *t, data);
  }
  for (int round = 0; round < 10; ++round) {
    auto q = queue(32);
    auto buffer = std::make_unique<Buffer>(32 * 16'384);
    std::vector<Segment> segments(32);
    std::vector<Op> ops(32);
    for (std::size_t i = 0; i < ops.size(); ++i) {
      segments[i] = {buffer->data + i * 16'384, 16'384};
      ops[i] = {.kind = i % 4 ? OpKind::read : OpKind::write,
                .target = t.get(),
                .offset = i * 16'384,
                .segments = {&segments[i], 1}};
      put(*q, ops[i]);
    }
    Op* some[3];
    q->poll(some);
    q.reset();
    const Bytes after(buffer->data, buffer->data + buffer->size);
    std::this_thread::yield();
    EXPECT_EQ(std::memcmp(after.data(), buffer->data, after.size()), 0)
        << "memory was touched after the queue was gone";
  }
}

TEST_P(EngineConformance, ClosingATargetLeavesWhatIsInFlightWhole) {
  auto q = queue(16);
  auto t = open("a");
  Bytes data = pattern(16 * 8'192, 12);
  fill(*q, *t, data);
  Buffer buffer(16 * 8'192);
  std::vector<Segment> segments(16);
  std::vector<Op> ops(16);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    segments[i] = {buffer.data + i * 8'192, 8'192};
    ops[i] = {.target = t.get(), .offset = i * 8'192, .segments = {&segments[i], 1}};
    put(*q, ops[i]);
  }
  t.reset();
  collect(*q, 16);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].code == Code::ok) {
      EXPECT_EQ(std::memcmp(segments[i].memory, data.data() + i * 8'192, 8'192), 0);
    } else {
      EXPECT_TRUE(ops[i].code == Code::canceled || GetParam().failing);
    }
  }
}

TEST_P(EngineConformance, WaitingIsBounded) {
  auto q = queue(4);
  EXPECT_TRUE(q->wait(~0ull).ok());  // nothing in flight
  auto t = open("a");
  Bytes data = pattern(4'096, 13);
  const Segment one{data.data(), data.size()};
  Op op{.kind = OpKind::write, .target = t.get(), .segments = {&one, 1}};
  put(*q, op);
  EXPECT_TRUE(q->wait(~0ull).ok());
  collect(*q, 1);
}

TEST_P(EngineConformance, AQueueMayBeHandedOver) {
  std::unique_ptr<Queue> q;
  std::thread([&] { q = queue(4); }).join();
  auto t = open("a");
  Bytes data = pattern(9'000, 14), got(9'000);
  std::thread([&] { fill(*q, *t, data); }).join();
  std::thread([&] { run(*q, OpKind::read, *t, 0, got); }).join();
  EXPECT_TRUE(got == data);
  const Segment one{got.data(), got.size()};
  Op op{.target = t.get(), .segments = {&one, 1}};
  std::thread([&] { put(*q, op); }).join();
  q.reset();
}

TEST_P(EngineConformance, QueuesOfSeveralThreadsShareATarget) {
  auto t = open("a");
  std::vector<std::thread> threads;
  for (int id = 0; id < 3; ++id)
    threads.emplace_back([&, id] {
      auto q = queue(4);
      Bytes data = pattern(40'000, 100 + id), got(40'000);
      for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(run(*q, OpKind::write, *t, id * 40'960, data).code, Code::ok);
        EXPECT_EQ(run(*q, OpKind::read, *t, id * 40'960, got).bytes, 40'000u);
        EXPECT_TRUE(got == data);
      }
    });
  for (auto& thread : threads) thread.join();
}

TEST_P(EngineConformance, TargetsTellWhatTheyAre) {
  auto t = open("a");
  const auto info = t->info();
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_FALSE(info->engine.empty());
  EXPECT_FALSE(info->route.empty());
  EXPECT_NE(info->path.find("a"), std::string::npos);
  EXPECT_TRUE(has(info->caps, Cap::read) && has(info->caps, Cap::write));
  EXPECT_EQ(has(info->caps, Cap::mapped), t->address() != nullptr);
  EXPECT_GE(info->block, 1u);
  EXPECT_FALSE(has(open("a", kRead)->info()->caps, Cap::write));
}

TEST_P(EngineConformance, RandomOperationsAgreeWithAnArray) {
  const std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("GPUIO_SEED=" + std::to_string(seed));
  auto t = open("a");
  for (std::uint32_t depth : {1u, 8u, 32u}) {
    auto q = queue(depth);
    Bytes content(t->info()->size);
    run(*q, OpKind::read, *t, 0, content);
    Oracle oracle(seed + depth, *q, *t, GetParam().failing, std::move(content));
    oracle.run(400);
    if (HasFailure()) return;
    Bytes got(oracle.content().size() + 100);
    const Op op = run(*q, OpKind::read, *t, 0, got);
    ASSERT_EQ(op.bytes, oracle.content().size());
    got.resize(op.bytes);
    ASSERT_TRUE(got == oracle.content());
  }
}

// A small program over the engine that reports every failure: with the Nth call failing it must say so or
// succeed, and nothing may hang, leak or come twice.
Status use(Engine& engine, const Uri& uri, std::uint32_t flags) {
  auto t = engine.open(uri, flags);
  if (!t) return t.error();
  auto q = engine.queue(4);
  if (!q) return q.error();
  Buffer buffer(8'192);
  auto region = (*q)->enroll({buffer.data, buffer.size});
  if (!region) return region.error();
  Status first;
  for (int i = 0; i < 6; ++i) {
    const Segment segment{buffer.data, 8'192, *region};
    Op op{.kind = i % 3 == 0 ? OpKind::write : i % 3 == 1 ? OpKind::read : OpKind::flush, .target = t->get()};
    if (op.kind != OpKind::flush) op.segments = {&segment, 1};
    Op* ops[] = {&op};
    int completions = 0;
    for (int step = 0; (*q)->submit(ops) == 0; ++step)
      if (step == kStepsMax) return error(Code::general, "never taken");
    for (int step = 0; completions == 0; ++step) {
      if (step == kStepsMax) return error(Code::general, "never completed");
      Op* done[4];
      completions += static_cast<int>((*q)->poll(done));
      if (completions == 0) (void)(*q)->wait(1'000'000);
    }
    if (completions != 1) return error(Code::general, "completed {} times", completions);
    if (op.code != Code::ok && first.ok()) first = Status(op.code, describe(op));
  }
  if (auto withdrawn = (*q)->withdraw(*region); !withdrawn) return withdrawn;
  return first;
}

TEST_P(EngineConformance, EveryCallMayFail) {
  std::uint64_t n = 1, failed = 0;
  for (;; ++n) {
    auto inner = GetParam().make();
    ASSERT_TRUE(inner);
    FaultEngine engine(std::move(*inner), {.fail_call = n});
    const Status status = use(engine, uri_of("a"), kRead | kWrite | kCreate | GetParam().flags);
    EXPECT_NE(status.code(), Code::general) << status.message();
    if (engine.calls() < n) {
      EXPECT_TRUE(status.ok() || GetParam().failing) << status.message();
      break;
    }
    EXPECT_FALSE(status.ok()) << "call " << n << " failed and nobody was told";
    ++failed;
    ASSERT_LT(n, 1'000u);
  }
  EXPECT_GE(failed, 9u);  // open, queue, enroll, six operations, and what a layer below made us try again
}

INSTANTIATE_TEST_SUITE_P(All, EngineConformance, testing::ValuesIn(subjects()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace gpuio::io::conformance
