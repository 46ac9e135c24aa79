// The copier on the CPU device, and on CUDA over a double of the driver: every copy lands and is delivered
// once; a device that does not get on with copies costs its copies, and no hang.
#include "paging/copier.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "base/platform/shared_library.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"

namespace gpuio::paging {
namespace {

constexpr std::uint64_t kPage = 4096;

std::vector<Copy> collect(Copier& copier, std::size_t count) {
  std::vector<Copy> got;
  for (int round = 0; got.size() < count && round < 20'000; ++round) {
    const auto done = copier.poll();
    got.insert(got.end(), done.begin(), done.end());
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  return got;
}

// Two pages to each frame, the later one submitted last, each through a staging page of its own.
void every_copy_lands(gpu::Device& device, Place place) {
  auto cache = std::move(*Cache::create(
      device, {.cache_bytes = 24 * kPage, .page_bytes = kPage, .mailboxes = 64, .place = place}));
  ASSERT_TRUE(cache->local());
  ASSERT_EQ(cache->staging_pages(), 64u);
  auto copier = std::move(*Copier::start(device, *cache));
  for (std::uint32_t i = 0; i < 48; ++i) {
    std::memset(cache->staging(i), int(i + 1), kPage);
    const Copy copy{.frame = i % 24, .staging = i, .user = 1000 + i};
    copier->submit({&copy, 1});
  }
  const auto got = collect(*copier, 48);
  ASSERT_EQ(got.size(), 48u);
  for (std::uint32_t i = 0; i < 48; ++i) {
    EXPECT_EQ(got[i].user, 1000 + i);
    EXPECT_EQ(got[i].code, Code::ok) << copier->last_error();
  }
  EXPECT_EQ(copier->pending(), 0u);
  EXPECT_TRUE(copier->poll().empty());
  auto stream = std::move(*device.stream());
  std::vector<std::byte> frames(24 * kPage);
  ASSERT_TRUE(stream->download(frames, cache->frame_memory(), 0));
  ASSERT_TRUE(stream->wait(stream->last(), 1'000'000'000));
  for (std::size_t i = 0; i < frames.size(); ++i) ASSERT_EQ(frames[i], std::byte(i / kPage + 25)) << i;
}

TEST(Copier, EveryCopyLandsInOrder) {
  auto device = std::move(*gpu::cpu::open({}));
  every_copy_lands(*device, Place::device);
}

TEST(Copier, ACudaDeviceHasALocalCacheByItself) {
  auto device = std::move(*gpu::cuda::open({.library = FAKE_DRIVER}));
  every_copy_lands(*device, Place::automatic);
}

TEST(Copier, ACopyThatDoesNotLandIsLateAndNotForEver) {
  SharedLibrary library = *SharedLibrary::open(FAKE_DRIVER);
  auto* const hold = *library.function<void(int)>("fake_hold");
  {
    auto device = std::move(*gpu::cuda::open({.drain_timeout_ns = 20'000'000, .library = FAKE_DRIVER}));
    auto cache =
        std::move(*Cache::create(*device, {.cache_bytes = 4 * kPage, .page_bytes = kPage, .mailboxes = 4}));
    auto copier = std::move(*Copier::start(*device, *cache, 20'000'000));
    hold(1);
    const Copy copies[] = {{.frame = 0, .staging = 1, .user = 7}, {.frame = 2, .staging = 3, .user = 8}};
    copier->submit(copies);
    const auto got = collect(*copier, 2);
    ASSERT_EQ(got.size(), 2u);
    for (const Copy& copy : got) EXPECT_EQ(copy.code, Code::timeout);
    EXPECT_TRUE(copier->stuck());
    EXPECT_NE(copier->last_error().find("did not land within 20 ms"), std::string::npos)
        << copier->last_error();
  }
  hold(0);
  (*library.function<void()>("fake_forget"))();  // what the given-up device left to its work
}

}  // namespace
}  // namespace gpuio::paging
