#include "engines/layers/fault/fault.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

#include "base/uri.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::io {
namespace {

// The story of 200 single-byte reads: in which order they came, and with what.
std::vector<std::uint64_t> story(const FaultOptions& options) {
  FaultEngine engine(make_memory_engine(), options);
  auto target = *engine.open(*Uri::parse("mem://a?size=4096"), kRead | kWrite);
  auto queue = *engine.queue(8);
  std::vector<std::byte> bytes(200);
  std::vector<Segment> segments(200);
  std::vector<Op> ops(200);
  std::vector<Op*> list;
  for (std::size_t i = 0; i < 200; ++i) {
    segments[i] = {&bytes[i], 1};
    ops[i] = {.target = target.get(), .offset = i, .segments = {&segments[i], 1}};
    list.push_back(&ops[i]);
  }
  std::vector<std::uint64_t> seen;
  std::size_t taken = 0;
  for (int step = 0; seen.size() < 200 && step < 100'000; ++step) {
    taken += queue->submit(std::span<Op* const>(list).subspan(taken));
    Op* done[4];
    const std::uint32_t n = queue->poll(done);
    for (Op* op : std::span(done).first(n)) seen.push_back(op->offset * 2 + (op->code != Code::ok));
  }
  EXPECT_EQ(seen.size(), 200u);
  return seen;
}

TEST(FaultEngine, TheSameSeedTellsTheSameStory) {
  FaultOptions options{
      .seed = 5, .error_rate = 0.2, .refuse_rate = 0.2, .delay_polls_max = 5, .reorder = true};
  const auto first = story(options);
  EXPECT_EQ(story(options), first);
  options.seed = 6;
  EXPECT_NE(story(options), first);
}

TEST(FaultEngine, WithoutFaultsNothingChanges) {
  const auto told = story({});
  for (std::size_t i = 0; i < told.size(); ++i) EXPECT_EQ(told[i], 2 * i);
}

TEST(FaultEngine, CompletionsWaitForVirtualTime) {
  ManualClock clock;
  FaultEngine engine(make_memory_engine(), {.delay_ns_max = 1'000'000, .clock = &clock});
  auto target = *engine.open(*Uri::parse("mem://a?size=4096"), kRead);
  auto queue = *engine.queue(64);
  std::vector<Op> ops(64, Op{.target = target.get()});
  for (Op& op : ops) {
    Op* one[] = {&op};
    ASSERT_EQ(queue->submit(one), 1u);
  }
  std::vector<Op*> done(64);
  const std::uint32_t at_once = queue->poll(done);
  EXPECT_LT(at_once, 64u);
  EXPECT_EQ(queue->poll(done), 0u);  // time stands still
  clock.advance_ns(500'000);
  const std::uint32_t half = queue->poll(done);
  EXPECT_GT(half, 0u);
  clock.advance_ns(500'000);
  EXPECT_EQ(at_once + half + queue->poll(done), 64u);
}

TEST(FaultEngine, AnEarlyEndSaysHowManyBytesAreCertain) {
  FaultEngine engine(make_memory_engine(), {.short_rate = 1});
  auto target = *engine.open(*Uri::parse("mem://a?size=4096"), kRead | kWrite);
  auto queue = *engine.queue(1);
  std::vector<std::byte> bytes(1000, std::byte{9});
  const Segment segment{bytes.data(), bytes.size()};
  bool some = false;
  for (int i = 0; i < 20; ++i) {
    Op op{.kind = OpKind::write, .target = target.get(), .segments = {&segment, 1}};
    Op* list[] = {&op};
    ASSERT_EQ(queue->submit(list), 1u);
    ASSERT_EQ(queue->poll(list), 1u);
    EXPECT_EQ(op.code, Code::io);
    EXPECT_EQ(op.system_error, EIO);
    EXPECT_LT(op.bytes, 1000u);
    some |= op.bytes > 0;
    EXPECT_NE(describe(op).find("EIO"), std::string::npos) << describe(op);
  }
  EXPECT_TRUE(some);
}

}  // namespace
}  // namespace gpuio::io
