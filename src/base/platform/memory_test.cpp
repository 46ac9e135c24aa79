#include "base/platform/memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <cstdio>
#include <cstring>
#include <limits>

#include "base/platform/thread.hpp"

namespace gpuio {
namespace {

using ::testing::HasSubstr;

// Whether the page at `at` is mapped and resident or merely known to the kernel; false: nothing is mapped
// there.
bool is_mapped(std::byte* at) { return ::msync(at, page_bytes(), MS_ASYNC) == 0; }

TEST(Memory, PageIsAPowerOfTwo) { EXPECT_TRUE(std::has_single_bit(page_bytes())); }

TEST(Memory, AvailableIsWithinTheMachine) {
  const auto available = available_memory_bytes();
  ASSERT_TRUE(available) << available.error().message();
  const auto all = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * page_bytes();
  EXPECT_GT(*available, 0u);
  EXPECT_LE(*available, all);
}

TEST(VirtualMemory, CommitsInPiecesAndForgets) {
  const size_t page = page_bytes();
  auto range = VirtualMemory::reserve(size_t{1} << 36);  // addresses cost nothing
  ASSERT_TRUE(range) << range.error().message();
  const size_t at = size_t{1} << 35;
  ASSERT_TRUE(range->commit(at, 2 * page));
  std::memset(range->data() + at, 7, 2 * page);
  ASSERT_TRUE(range->decommit(at, page));
  EXPECT_EQ(range->data()[at + page], std::byte{7});
  ASSERT_TRUE(range->commit(at, page));
  EXPECT_EQ(range->data()[at], std::byte{0});
  EXPECT_TRUE(range->commit(0, 0));
}

TEST(VirtualMemory, UncommittedMemoryFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto range = VirtualMemory::reserve(page_bytes());
  ASSERT_TRUE(range);
  EXPECT_DEATH(*reinterpret_cast<volatile char*>(range->data()) = 1, "");
}

TEST(VirtualMemory, KeepsAlignmentAndReleases) {
  const size_t align = size_t{1} << 21;
  std::byte* data = nullptr;
  {
    auto range = VirtualMemory::reserve(3 * page_bytes() - 1, align);
    ASSERT_TRUE(range);
    data = range->data();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % align, 0u);
    EXPECT_EQ(range->size(), 3 * page_bytes());
    VirtualMemory moved = std::move(*range);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(range->data(), nullptr);
    EXPECT_TRUE(is_mapped(data));
  }
  EXPECT_FALSE(is_mapped(data));
}

TEST(VirtualMemory, RefusesWhatCannotBe) {
  EXPECT_EQ(VirtualMemory::reserve(0).error().code(), Code::invalid_arg);
  EXPECT_EQ(VirtualMemory::reserve(std::numeric_limits<size_t>::max()).error().code(), Code::invalid_arg);
  EXPECT_EQ(VirtualMemory::reserve(4096, 3).error().code(), Code::invalid_arg);
  EXPECT_EQ(VirtualMemory::reserve(size_t{1} << 62).error().code(), Code::nomem);
  auto range = VirtualMemory::reserve(4 * page_bytes());
  EXPECT_EQ(range->commit(1, page_bytes()).code(), Code::invalid_arg);
  EXPECT_EQ(range->commit(0, 5 * page_bytes()).code(), Code::invalid_arg);
  EXPECT_EQ(range->decommit(std::numeric_limits<size_t>::max() - page_bytes() + 1, page_bytes()).code(),
            Code::invalid_arg);
}

TEST(SharedMemory, IsSeenThroughItsHandle) {
  auto memory = SharedMemory::create("test", 10'000);
  ASSERT_TRUE(memory) << memory.error().message();
  EXPECT_EQ(memory->size() % page_bytes(), 0u);
  EXPECT_GE(memory->size(), 10'000u);
  ASSERT_TRUE(memory->populate());
  memory->data()[9'999] = std::byte{42};
  void* other = ::mmap(nullptr, memory->size(), PROT_READ, MAP_SHARED, memory->native(), 0);
  ASSERT_NE(other, MAP_FAILED);
  EXPECT_EQ(static_cast<std::byte*>(other)[9'999], std::byte{42});
  EXPECT_EQ(static_cast<std::byte*>(other)[0], std::byte{0});
  ::munmap(other, memory->size());
}

TEST(SharedMemory, HugePagesFallBackOrSayTheRemedy) {
  auto tried = SharedMemory::create("test", 10'000, HugePages::try_them);
  ASSERT_TRUE(tried) << tried.error().message();
  std::memset(tried->data(), 1, tried->size());
  EXPECT_EQ(tried->size() % tried->mapped_page_bytes(), 0u);
  // More huge pages than any machine has.
  auto required = SharedMemory::create("test", size_t{1} << 46, HugePages::require);
  ASSERT_FALSE(required);
  EXPECT_NE(required.error().code(), Code::invalid_arg);
  EXPECT_THAT(required.error().message(), HasSubstr("huge pages"));
}

TEST(SharedMemory, TooMuchFailsAtOnce) {
  EXPECT_EQ(SharedMemory::create("test", 0).error().code(), Code::invalid_arg);
  EXPECT_EQ(SharedMemory::create("test", std::numeric_limits<size_t>::max()).error().code(),
            Code::invalid_arg);
  auto memory = SharedMemory::create("test", size_t{1} << 44);  // addresses only: this much is not there
  if (!memory) {
    EXPECT_EQ(memory.error().code(), Code::nomem);
  } else {
    const Status status = memory->populate();
    EXPECT_EQ(status.code(), Code::nomem);
    EXPECT_THAT(status.message(), HasSubstr("available"));
  }
}

TEST(SharedMemory, MovesAndReleases) {
  auto a = SharedMemory::create("a", page_bytes());
  auto b = SharedMemory::create("b", page_bytes());
  std::byte *first = a->data(), *second = b->data();
  *b = std::move(*a);
  EXPECT_EQ(b->data(), first);
  EXPECT_EQ(a->data(), nullptr);
  EXPECT_FALSE(is_mapped(second));
}

uint64_t locked_kib() {
  uint64_t kib = 0;
  char line[256];
  std::FILE* status = std::fopen("/proc/self/status", "r");
  while (std::fgets(line, sizeof line, status)) std::sscanf(line, "VmLck: %lu", &kib);
  std::fclose(status);
  return kib;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GPUIO_MLOCK_IS_REAL 0  // the sanitizers turn mlock into nothing
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GPUIO_MLOCK_IS_REAL 0
#endif
#endif
#ifndef GPUIO_MLOCK_IS_REAL
#define GPUIO_MLOCK_IS_REAL 1
#endif

TEST(MemoryLock, HoldsWhileItLives) {
  if (!GPUIO_MLOCK_IS_REAL) GTEST_SKIP() << "this sanitizer replaces mlock";
  auto memory = SharedMemory::create("test", 4 * page_bytes());
  const uint64_t before = locked_kib();
  {
    auto lock = MemoryLock::lock(memory->data(), memory->size());
    if (!lock) GTEST_SKIP() << lock.error().message();
    EXPECT_EQ(locked_kib(), before + memory->size() / 1024);
  }
  EXPECT_EQ(locked_kib(), before);
}

TEST(MemoryLock, UnmappedRangeIsRefused) {
  if (!GPUIO_MLOCK_IS_REAL) GTEST_SKIP() << "this sanitizer replaces mlock";
  auto range = VirtualMemory::reserve(page_bytes());
  std::byte* gone = range->data();
  *range = VirtualMemory();
  auto lock = MemoryLock::lock(gone, page_bytes());
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().code(), Code::nomem);
  EXPECT_THAT(lock.error().message(), HasSubstr("locking"));
}

}  // namespace
}  // namespace gpuio
