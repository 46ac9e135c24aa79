// The host's own accesses to arrays: reads through the cache, prefetch, whole copies, and arrays that end.
#include <gtest/gtest.h>

#include <cstring>

#include "base/uri.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"
#include "gpu/cpu/cpu.hpp"
#include "paging/arrays.hpp"

namespace gpuio::paging {
namespace {

constexpr std::uint64_t kPage = 512;

std::byte byte_at(std::uint64_t i) { return std::byte(i * 131 + (i >> 9) * 7); }

class HostAccess : public ::testing::TestWithParam<Place> {
 protected:
  Array open(std::uint64_t target_bytes, std::uint64_t bytes = 0, const io::FaultOptions& faults = {}) {
    auto memory = io::make_memory_engine();
    io::Engine& inner = *memory;
    engine_ = std::make_unique<io::FaultEngine>(std::move(memory), faults);
    const Uri uri = *Uri::parse("mem://data?size=" + std::to_string(target_bytes));
    bytes_ = std::move(*inner.open(uri, io::kRead | io::kWrite));
    for (std::uint64_t i = 0; i < target_bytes; ++i) bytes_->address()[i] = byte_at(i);
    return *arrays_->open({engine_.get(), std::move(*engine_->open(uri, io::kRead))}, 1, bytes);
  }
  void expect_pattern(const std::vector<std::byte>& got, std::uint64_t offset) {
    for (std::uint64_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], byte_at(offset + i)) << offset + i;
  }

  std::unique_ptr<gpu::Device> device_ = std::move(*gpu::cpu::open({.threads = 1}));
  std::unique_ptr<io::Engine> engine_;
  std::unique_ptr<io::Target> bytes_;
  std::unique_ptr<Arrays> arrays_ =
      std::move(*Arrays::create(*device_, {.cache = {8 * kPage, kPage, 4, GetParam()}, .service = {}}));
};

TEST_P(HostAccess, ReadsAnyRangeThroughASmallCache) {
  const std::uint64_t bytes = 40 * kPage + 100;
  const Array array = open(bytes);
  for (std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1}, kPage - 1, 7 * kPage, bytes - 1})
    for (std::uint64_t n : {std::uint64_t{1}, kPage, 30 * kPage + 3}) {
      if (n > bytes - offset) continue;
      std::vector<std::byte> got(n);
      const Status s = arrays_->read(array, offset, got, {});
      ASSERT_TRUE(s.ok()) << s.message();
      expect_pattern(got, offset);
    }
  EXPECT_LE(arrays_->pages_resident(array), 8u);
}

TEST_P(HostAccess, CountsWhatItFindsAndWhatItMisses) {
  const Array array = open(4 * kPage);
  std::vector<std::byte> got(2 * kPage);
  ASSERT_TRUE(arrays_->read(array, 0, got, {}).ok());
  ASSERT_TRUE(arrays_->read(array, kPage, std::span(got).first(1), {}).ok());
  const ArrayCounters& c = arrays_->counters(array);
  EXPECT_EQ(c.misses.value(), 2u);
  EXPECT_EQ(c.hits.value(), 1u);
  EXPECT_EQ(c.brought.value(), 2u);
  EXPECT_EQ(arrays_->pages_resident(array), 2u);
}

TEST_P(HostAccess, RangesOutsideTheArrayAreRefused) {
  const Array array = open(4 * kPage, 3 * kPage);
  std::byte one[1];
  EXPECT_TRUE(arrays_->read(array, 3 * kPage - 1, one, {}).ok());
  EXPECT_EQ(arrays_->read(array, 3 * kPage, one, {}).code(), Code::invalid_address);
  EXPECT_EQ(arrays_->read(array, ~std::uint64_t{0}, one, {}).code(), Code::invalid_address);
  EXPECT_EQ(arrays_->prefetch(array, 0, 3 * kPage + 1, {}).code(), Code::invalid_address);
}

TEST_P(HostAccess, AnArrayIsAtMostItsTarget) {
  open(4 * kPage);
  auto larger = arrays_->open(
      {engine_.get(), std::move(*engine_->open(*Uri::parse("mem://data"), io::kRead))}, 1, 4 * kPage + 1);
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().code(), Code::invalid_arg);
  EXPECT_NE(larger.error().message().find("2048"), std::string::npos) << larger.error().message();
}

TEST_P(HostAccess, PrefetchStopsAtTheCacheSize) {
  const Array array = open(100 * kPage);
  ASSERT_TRUE(arrays_->prefetch(array, 0, 100 * kPage, {}).ok());
  EXPECT_EQ(arrays_->counters(array).prefetched.value(), 8u);
  ASSERT_TRUE(arrays_->prefetch(array, 0, 0, {}).ok());
}

TEST_P(HostAccess, ReadsAllOfIt) {
  const std::uint64_t bytes = 300 * kPage + 9;
  const Array array = open(bytes);
  std::vector<std::byte> got(301 * kPage, std::byte{0xee});
  ASSERT_TRUE(arrays_->read_all(array, got, {}).ok());
  for (std::uint64_t i = bytes; i < got.size(); ++i) ASSERT_EQ(got[i], std::byte{0});
  got.resize(bytes);
  expect_pattern(got, 0);
  EXPECT_EQ(arrays_->read_all(array, std::span(got).first(kPage), {}).code(), Code::invalid_arg);
}

TEST_P(HostAccess, AnErrorIsAnswered) {
  const Array array = open(4 * kPage, 0, {.error_rate = 1});
  std::vector<std::byte> got(kPage);
  const Status s = arrays_->read(array, 0, got, {});
  EXPECT_EQ(s.code(), Code::io);
  EXPECT_NE(s.message().find("EIO"), std::string::npos) << s.message();
  EXPECT_EQ(arrays_->pages_resident(array), 0u);
}

TEST_P(HostAccess, ATargetThatHangsIsLeftInTime) {
  static const ManualClock stopped;
  const Array array = open(4 * kPage, 0, {.delay_ns_max = ~std::uint64_t{0} >> 1, .clock = &stopped});
  std::vector<std::byte> got(kPage);
  EXPECT_EQ(arrays_->read(array, 0, got, {.timeout_ns = 10'000'000}).code(), Code::timeout);
  const std::atomic<bool> cancel{true};
  EXPECT_EQ(arrays_->prefetch(array, 0, kPage, {.cancel = &cancel}).code(), Code::canceled);
  EXPECT_EQ(arrays_->pages_resident(array), 0u);
}

TEST_P(HostAccess, AClosedArrayLeavesNothing) {
  const Array array = open(4 * kPage);
  ASSERT_TRUE(arrays_->prefetch(array, 0, 4 * kPage, {}).ok());
  arrays_->close(array);
  EXPECT_EQ(arrays_->pages_resident(array), 0u);
}

INSTANTIATE_TEST_SUITE_P(Places, HostAccess, ::testing::Values(Place::host, Place::device),
                         [](const auto& place) { return place.param == Place::host ? "Host" : "Local"; });

}  // namespace
}  // namespace gpuio::paging
