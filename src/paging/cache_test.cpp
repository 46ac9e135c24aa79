#include "paging/cache.hpp"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>

#include "gpu/cpu/cpu.hpp"

namespace gpuio::paging {
namespace {

std::unique_ptr<gpu::Device> device() { return std::move(*gpu::cpu::open({.threads = 1})); }

TEST(Cache, RefusesWhatCannotHoldAPage) {
  auto d = device();
  for (CacheOptions bad : {CacheOptions{65535, 65536, 8}, CacheOptions{1 << 20, 1000, 8},
                           CacheOptions{1 << 20, 4096, 0}, CacheOptions{1 << 20, 4096, 1025}}) {
    auto cache = Cache::create(*d, bad);
    ASSERT_FALSE(cache);
    EXPECT_EQ(cache.error().code(), Code::invalid_arg) << cache.error().message();
  }
}

TEST(Cache, ACacheOfOneFrameHoldsOnePage) {
  auto d = device();
  auto cache = std::move(*Cache::create(*d, {4096, 4096, 1}));
  ASSERT_EQ(cache->frames(), 1u);
  for (std::uint64_t page : {7u, 8u, 1u << 30}) {
    const std::uint32_t f = *cache->claim(page);
    EXPECT_EQ(f, 0u);
    EXPECT_FALSE(cache->find(page)) << "not before it is published";
    cache->publish(f);
    EXPECT_EQ(cache->find(page), f);
  }
  EXPECT_FALSE(cache->find(7));
}

TEST(Cache, AFailedPageIsNowhereAndItsFrameFree) {
  auto d = device();
  auto cache = std::move(*Cache::create(*d, {4096, 4096, 1}));
  cache->give_up(*cache->claim(3));
  EXPECT_FALSE(cache->find(3));
  EXPECT_TRUE(cache->claim(4));
}

TEST(Cache, PinnedWaysAreNotTaken) {
  auto d = device();
  auto cache = std::move(*Cache::create(*d, {4096, 4096, 1}));
  cache->publish(*cache->claim(3));
  cache->words().bucket[0].tag[0] += device::kPin;
  auto busy = cache->claim(4);
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().code(), Code::busy);
  EXPECT_TRUE(cache->find(3));
}

TEST(Cache, ClockKeepsWhatIsReferenced) {
  auto d = device();
  auto cache = std::move(*Cache::create(*d, {4 * 4096, 4096, 1}));  // one bucket of four
  for (std::uint64_t page = 0; page < 4; ++page) cache->publish(*cache->claim(page));
  for (std::uint64_t page = 100; page < 200; ++page) {
    cache->touch(*cache->find(2));
    cache->publish(*cache->claim(page));
    ASSERT_TRUE(cache->find(2)) << "at page " << page;
  }
}

// Whatever is claimed, published and dropped: each page is in at most one frame and never in another's.
TEST(Cache, RandomClaimsAgreeWithAMap) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  auto d = device();
  auto cache = std::move(*Cache::create(*d, {37 * 512, 512, 4}));
  std::unordered_map<std::uint32_t, std::uint64_t> oracle;  // frame -> page
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t page = random() % 100;
    const auto found = cache->find(page);
    std::optional<std::uint32_t> expected;
    for (auto& [f, p] : oracle)
      if (p == page) expected = f;
    ASSERT_EQ(found, expected) << "page " << page;
    if (random() % 50 == 0) {
      const std::uint64_t n = random() % 10;
      cache->drop(page, n);
      std::erase_if(oracle, [&](auto& e) { return e.second - page < n; });
    } else if (!found) {
      const std::uint32_t f = *cache->claim(page);
      ASSERT_LT(f, cache->frames());
      oracle[f] = page;
      cache->publish(f);
    }
  }
}

}  // namespace
}  // namespace gpuio::paging
