#include "paging/pager.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/uri.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::paging {
namespace {

constexpr std::uint64_t kPage = 512;
constexpr std::uint64_t kSecond = 1'000'000'000;

std::byte byte_at(std::uint64_t offset) { return std::byte(offset * 131 + (offset >> 9)); }

// A target of `size` bytes of a known pattern, behind faults or none.
struct Rig {
  explicit Rig(std::uint64_t size, const io::FaultOptions& faults = {})
      : Rig(io::make_memory_engine(), size, faults) {}
  Rig(std::unique_ptr<io::Engine> memory, std::uint64_t size, const io::FaultOptions& faults)
      : inner(*memory), engine(std::move(memory), faults), space(std::move(*Space::create(kPage))) {
    const Uri uri = *Uri::parse("mem://pages?size=" + std::to_string(size));
    bytes = std::move(*inner.open(uri, io::kRead | io::kWrite));  // the same memory, without the faults
    for (std::uint64_t i = 0; i < size; ++i) bytes->address()[i] = byte_at(i);
    target = std::move(*engine.open(uri, io::kRead));
  }
  io::Engine& inner;
  io::FaultEngine engine;
  std::unique_ptr<io::Target> bytes, target;
  std::unique_ptr<Space> space;
};

struct Reads {
  explicit Reads(std::size_t n) : memory(n * kPage, std::byte{0xee}), reads(n), pointers(n) {
    for (std::size_t i = 0; i < n; ++i) {
      reads[i].to = memory.data() + i * kPage;
      pointers[i] = &reads[i];
    }
  }
  std::vector<std::byte> memory;
  std::vector<PageRead> reads;
  std::vector<PageRead*> pointers;
};

bool holds(const PageRead& read, std::uint64_t first, std::uint64_t bytes, std::uint64_t offset = 0) {
  const std::uint64_t at = (read.page - first) * kPage;
  for (std::uint64_t i = 0; i < kPage; ++i)
    if (read.to[i] != (at + i < bytes ? byte_at(offset + at + i) : std::byte{0})) return false;
  return true;
}

TEST(Pager, BringsPagesInAnyOrderAndZeroesTheTail) {
  const std::uint64_t bytes = 100 * kPage + 17;
  Rig rig(bytes);
  const Range range = *rig.space->map(rig.engine, *rig.target, 0, bytes);
  Pager pager(*rig.space, 8);
  Reads r(101);
  std::mt19937 random(3);
  for (std::size_t i = 0; i < 101; ++i) r.reads[i].page = range.first + i;
  std::shuffle(r.pointers.begin(), r.pointers.end(), random);
  ASSERT_TRUE(pager.read(r.pointers, kSecond).ok());
  for (auto& read : r.reads) EXPECT_TRUE(holds(read, range.first, bytes)) << read.page;
}

TEST(Pager, StartsWhereTheRangeStarts) {
  Rig rig(10 * kPage);
  const Range range = *rig.space->map(rig.engine, *rig.target, 1000, 2 * kPage);
  Pager pager(*rig.space, 8);
  Reads r(2);
  r.reads[0].page = range.first + 1;
  r.reads[1].page = range.first;
  ASSERT_TRUE(pager.read(r.pointers, kSecond).ok());
  for (auto& read : r.reads) EXPECT_TRUE(holds(read, range.first, 2 * kPage, 1000));
}

TEST(Pager, APageOfNoArrayFailsAloneByName) {
  Rig rig(4 * kPage);
  const Range range = *rig.space->map(rig.engine, *rig.target, 0, 4 * kPage);
  Pager pager(*rig.space, 8);
  Reads r(2);
  r.reads[0].page = range.first;
  r.reads[1].page = range.first + 99;
  const Status s = pager.read(r.pointers, kSecond);
  EXPECT_EQ(s.code(), Code::invalid_address);
  EXPECT_NE(s.message().find("99"), std::string::npos) << s.message();
  EXPECT_EQ(r.reads[0].code, Code::ok);
  EXPECT_TRUE(holds(r.reads[0], range.first, 4 * kPage));
}

TEST(Pager, ATargetThatEndedEarlyFailsOnlyThePagesThatMissBytes) {
  Rig rig(4 * kPage);
  const Range range = *rig.space->map(rig.engine, *rig.target, 0, 8 * kPage);  // it was larger once
  Pager pager(*rig.space, 8);
  Reads r(8);
  for (std::size_t i = 0; i < 8; ++i) r.reads[i].page = range.first + i;
  const Status s = pager.read(r.pointers, kSecond);
  EXPECT_EQ(s.code(), Code::invalid_backing);
  EXPECT_NE(s.message().find("truncated"), std::string::npos) << s.message();
  for (std::size_t i = 0; i < 8; ++i)
    EXPECT_EQ(r.reads[i].code, i < 4 ? Code::ok : Code::invalid_backing) << i;
}

TEST(Pager, TimesOutAndLetsGo) {
  static const ManualClock stopped;
  Rig rig(4 * kPage, {.delay_ns_max = 1'000'000'000'000, .clock = &stopped});
  const Range range = *rig.space->map(rig.engine, *rig.target, 0, 4 * kPage);
  Pager pager(*rig.space, 8);
  Reads r(4);
  for (std::size_t i = 0; i < 4; ++i) r.reads[i].page = range.first + i;
  EXPECT_EQ(pager.read(r.pointers, 20'000'000).code(), Code::timeout);
  EXPECT_EQ(pager.pending(), 0u);
}

// Under every kind of trouble each request comes back exactly once, and what comes back ok is right.
TEST(Pager, RandomPagesUnderFaults) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::uint64_t bytes = 300 * kPage - 5;
  Rig rig(bytes, {.seed = seed,
                  .error_rate = 0.05,
                  .short_rate = 0.1,
                  .refuse_rate = 0.2,
                  .delay_polls_max = 7,
                  .reorder = true});
  const Range range = *rig.space->map(rig.engine, *rig.target, 0, bytes);
  Pager pager(*rig.space, 4);
  std::size_t ok = 0, failed = 0;
  for (int round = 0; round < 200; ++round) {
    Reads r(1 + random() % 80);
    for (auto& read : r.reads) read.page = range.first + random() % range.pages;
    for (auto& read : r.reads) read.user = nullptr;
    pager.submit(r.pointers);
    std::size_t delivered = 0;
    std::array<PageRead*, 16> done;
    for (int polls = 0; delivered < r.reads.size(); ++polls) {
      ASSERT_LT(polls, 1000000) << "nothing may hang";
      const std::uint32_t n = pager.poll(done);
      for (std::uint32_t i = 0; i < n; ++i) {
        ASSERT_EQ(done[i]->user, nullptr) << "delivered twice";
        done[i]->user = &rig;
        if (done[i]->code == Code::ok) {
          ++ok;
          ASSERT_TRUE(holds(*done[i], range.first, bytes));
        } else {
          ++failed;
        }
      }
      delivered += n;
    }
    ASSERT_EQ(pager.pending(), 0u);
  }
  EXPECT_GT(ok, 0u);
  EXPECT_GT(failed, 0u) << "the faults did not reach the pager";
}

}  // namespace
}  // namespace gpuio::paging
