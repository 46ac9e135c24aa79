// Buffers, copies and ranges.
#include <gmock/gmock.h>

#include <cstdlib>
#include <numeric>

#include "conformance/device_conformance.hpp"
#include "conformance/device_kernels.hpp"
#include "conformance/device_must.hpp"

namespace gpuio::conformance {
namespace {

using gpu::Argument;
using gpu::Buffer;
using gpu::MemoryKind;
using ::testing::HasSubstr;

constexpr MemoryKind kKinds[] = {MemoryKind::device, MemoryKind::pinned};

std::vector<std::uint32_t> counting(std::size_t n) {
  std::vector<std::uint32_t> v(n);
  std::iota(v.begin(), v.end(), 1u);
  return v;
}

TEST_P(DeviceConformance, SaysWhatItIs) {
  const gpu::DeviceInfo& info = device_->info();
  EXPECT_FALSE(info.name.empty());
  EXPECT_FALSE(info.driver.empty());
  EXPECT_GT(info.memory_bytes, 0u);
  EXPECT_GT(device_->memory_free(), 0u);
  EXPECT_GT(info.compute_units, 0u);
  EXPECT_GE(info.lanes_max, 128u);
  EXPECT_GE(info.shared_bytes_max, 16384u);
  for (const gpu::Capability* c : {&info.kernel_io, &info.kernel_wait, &info.overlap, &info.import_host,
                                   &info.timestamps, &info.native_code})
    EXPECT_NE(c->available, !c->reason.empty()) << "a reason when and only when it is missing: " << c->reason;
  EXPECT_TRUE(info.kernel_io.available || !info.kernel_wait.available) << "waiting needs kernel_io";
}

TEST_P(DeviceConformance, BuffersOfAnySizeHoldTheirBytes) {
  for (const MemoryKind kind : kKinds) {
    for (const std::uint64_t size : {1ull, 3ull, 7ull, 4096ull, 65537ull, (3ull << 20) + 5}) {
      SCOPED_TRACE(size);
      auto buffer = make(kind, size);
      EXPECT_EQ(buffer->size(), size);
      EXPECT_EQ(buffer->kind(), kind);
      EXPECT_NE(buffer->address(), 0u);
      EXPECT_EQ(buffer->address() % 256, 0u) << "aligned for any load, and for coalescing";
      if (kind == MemoryKind::pinned) {
        ASSERT_NE(buffer->host(), nullptr);
      }
      must(stream_->fill(*buffer, 0, size, 0xab));
      std::vector<std::byte> bytes(size);
      must(stream_->download(bytes, *buffer, 0));
      finish();
      EXPECT_EQ(bytes, std::vector<std::byte>(size, std::byte{0xab}));
    }
  }
}

TEST_P(DeviceConformance, PinnedMemoryIsOneMemory) {
  auto buffer = make(MemoryKind::pinned, 64 * 4);
  auto* const words = reinterpret_cast<std::uint32_t*>(buffer->host());
  std::iota(words, words + 64, 100u);
  auto kernel = load(add_to_each());
  const Argument arguments[] = {Argument::buffer(*buffer, 4), {1000, 0}};
  launch(*kernel, {}, arguments);
  for (std::uint32_t i = 0; i < 64; ++i) ASSERT_EQ(words[i], 1100 + i);
}

TEST_P(DeviceConformance, ImpossibleAllocationsAreRefusedAtOnce) {
  for (const MemoryKind kind : kKinds) {
    EXPECT_EQ(device_->allocate(kind, 0).error().code(), Code::invalid_arg);
    for (const std::uint64_t size : {std::uint64_t{1} << 50, ~std::uint64_t{0}}) {
      auto buffer = device_->allocate(kind, size);
      ASSERT_FALSE(buffer);
      EXPECT_EQ(buffer.error().code(), Code::nomem);
      EXPECT_THAT(buffer.error().message(), HasSubstr(std::to_string(size)));
    }
    auto after = make(kind, 4096);
    must(stream_->fill(*after, 0, 4096, 1));
    finish();
  }
}

TEST_P(DeviceConformance, FreedMemoryComesBack) {
  // More in total than any one device of a test machine has to spare, if nothing came back.
  const std::uint64_t size = std::min<std::uint64_t>(device_->memory_free() / 16, 64 << 20);
  for (int i = 0; i < 40; ++i) must(device_->allocate(i % 2 ? MemoryKind::pinned : MemoryKind::device, size));
}

TEST_P(DeviceConformance, CopiesBetweenEveryTwoKinds) {
  const auto words = counting(1000);
  for (const MemoryKind a : kKinds) {
    for (const MemoryKind b : kKinds) {
      auto from = make(a, 4000), to = make(b, 4000);
      write(*from, words);
      must(stream_->fill(*to, 0, 4000, 0));
      must(stream_->copy(*to, 4, *from, 400, 3596));
      const auto got = read_words(*to, 1000);
      EXPECT_EQ(got[0], 0u);
      EXPECT_TRUE(std::equal(got.begin() + 1, got.begin() + 900, words.begin() + 100));
      EXPECT_EQ(got[900], 0u);
    }
  }
}

TEST_P(DeviceConformance, OddOffsetsAndSizes) {
  auto from = make(MemoryKind::device, 300), to = make(MemoryKind::device, 300);
  std::vector<std::byte> bytes(299), got(300);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte(i);
  must(stream_->upload(*from, 1, bytes));
  must(stream_->fill(*to, 0, 300, 0xee));
  must(stream_->fill(*to, 3, 5, 0x11));
  must(stream_->copy(*to, 9, *from, 8, 101));
  must(stream_->download(got, *to, 0));
  std::byte one{};
  must(stream_->download({&one, 1}, *from, 299));
  finish();
  for (std::size_t i = 0; i < got.size(); ++i) {
    const std::byte expected = i >= 3 && i < 8     ? std::byte{0x11}
                               : i >= 9 && i < 110 ? std::byte(i - 2)
                                                   : std::byte{0xee};
    ASSERT_EQ(got[i], expected) << i;
  }
  EXPECT_EQ(one, std::byte(298 & 255));
}

TEST_P(DeviceConformance, RangesPastTheEndAreRefusedByName) {
  auto small = make(MemoryKind::device, 100), large = make(MemoryKind::device, 1000);
  std::vector<std::byte> bytes(200);
  const std::uint64_t far = ~std::uint64_t{0} - 10;  // offset + size wraps
  const auto refused = [&](const Status& s, std::string_view what) {
    EXPECT_EQ(s.code(), Code::invalid_arg) << what;
    EXPECT_THAT(s.message(), HasSubstr(std::string(what)));
    EXPECT_THAT(s.message(), HasSubstr("100")) << "names the buffer's size";
  };
  const gpu::Point before = stream_->last();
  refused(stream_->copy(*small, 0, *large, 0, 101), "copy");
  refused(stream_->copy(*large, 0, *small, 1, 100), "copy");
  refused(stream_->copy(*small, far, *large, 0, 20), "copy");
  refused(stream_->upload(*small, 0, bytes), "upload");
  refused(stream_->upload(*small, far, bytes), "upload");
  refused(stream_->download(bytes, *small, 0), "download");
  refused(stream_->download({bytes.data(), 1}, *small, 100), "download");
  refused(stream_->fill(*small, 50, 51, 0), "fill");
  refused(stream_->fill(*small, far, 20, 0), "fill");
  EXPECT_EQ(stream_->last(), before) << "what is refused is not enqueued";
  must(stream_->fill(*small, 50, 50, 0));
  finish();
}

TEST_P(DeviceConformance, OverlappingCopiesAreRefused) {
  auto buffer = make(MemoryKind::device, 100);
  EXPECT_EQ(stream_->copy(*buffer, 0, *buffer, 49, 50).code(), Code::invalid_arg);
  EXPECT_EQ(stream_->copy(*buffer, 49, *buffer, 0, 50).code(), Code::invalid_arg);
  must(stream_->copy(*buffer, 0, *buffer, 50, 50));
  finish();
}

TEST_P(DeviceConformance, SizeZeroDoesNothingAndCounts) {
  auto buffer = make(MemoryKind::device, 16);
  must(stream_->fill(*buffer, 0, 16, 5));
  auto kernel = load(count_lanes());
  const Argument arguments[] = {Argument::buffer(*buffer, 4)};
  gpu::Point point = stream_->last();
  const auto counted = [&](Status s) {
    must(std::move(s));
    EXPECT_GT(stream_->last(), point);
    point = stream_->last();
  };
  counted(stream_->fill(*buffer, 16, 0, 9));
  counted(stream_->copy(*buffer, 0, *buffer, 0, 0));
  counted(stream_->upload(*buffer, 7, {}));
  counted(stream_->download({}, *buffer, 16));
  for (std::uint32_t d = 0; d < 3; ++d) {
    gpu::Grid grid{{2, 2, 2}};
    grid.groups[d] = 0;
    counted(stream_->launch(*kernel, grid, arguments));
  }
  EXPECT_EQ(read_words(*buffer, 4), std::vector<std::uint32_t>(4, 0x05050505));
}

TEST_P(DeviceConformance, UploadsSourceIsFreeAtOnce) {
  auto buffer = make(MemoryKind::device, 4096);
  std::vector<std::uint32_t> words(1024, 7);
  for (std::uint32_t round = 0; round < 50; ++round) {
    std::ranges::fill(words, round);
    must(stream_->upload(*buffer, 0, std::as_bytes(std::span(words))));
    std::ranges::fill(words, 0xffffffff);
  }
  EXPECT_EQ(read_words(*buffer, 1024), std::vector<std::uint32_t>(1024, 49));
}

TEST_P(DeviceConformance, ImportedMemoryIsTheCallersOwn) {
  if (!device_->info().import_host.available) GTEST_SKIP() << device_->info().import_host.reason;
  constexpr std::size_t kSize = 65536;
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> memory(static_cast<std::byte*>(std::aligned_alloc(65536, kSize)));
  auto* const words = reinterpret_cast<std::uint32_t*>(memory.get());
  std::iota(words, words + kSize / 4, 0u);
  auto buffer = must(device_->import({memory.get(), kSize}));
  EXPECT_EQ(buffer->host(), memory.get());
  EXPECT_EQ(buffer->size(), kSize);
  EXPECT_EQ(buffer->kind(), MemoryKind::pinned);
  auto kernel = load(add_to_each());
  const Argument arguments[] = {Argument::buffer(*buffer, 4), {5, 0}};
  launch(*kernel, {{kSize / 4 / 64, 1, 1}}, arguments);
  for (std::uint32_t i = 0; i < kSize / 4; ++i) ASSERT_EQ(words[i], i + 5);

  EXPECT_EQ(device_->import({memory.get() + 8, 4096}).error().code(), Code::invalid_arg);
  EXPECT_EQ(device_->import({memory.get(), 0}).error().code(), Code::invalid_arg);
}

}  // namespace
}  // namespace gpuio::conformance
