#include "gpu/cpu/memory.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace gpuio::gpu::cpu {
namespace {

// A tree of files that stands in for /proc and /sys.
class MemoryRoomTest : public ::testing::Test {
 protected:
  MemoryRoomTest()
      : root_(std::filesystem::temp_directory_path() / ("gpuio-room-" + std::to_string(getpid()) + "/")) {
    put("proc/meminfo", "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    800 kB\n");
  }
  ~MemoryRoomTest() override { std::filesystem::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  MemoryRoom room() {
    auto r = memory_room(root_.string());
    EXPECT_TRUE(r) << (r ? "" : r.error().message());
    return r.value_or(MemoryRoom{});
  }
  std::filesystem::path root_;
};

TEST_F(MemoryRoomTest, TheMachineAlone) {
  EXPECT_EQ(room().total_bytes, 1000u * 1024);
  EXPECT_EQ(room().available_bytes, 800u * 1024);
}

TEST_F(MemoryRoomTest, NoMeminfoIsAnError) {
  std::filesystem::remove(root_ / "proc/meminfo");
  auto r = memory_room(root_.string());
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), Code::unsupported);
}

TEST_F(MemoryRoomTest, TheTightestUnifiedGroupAboveCounts) {
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/memory.max", "500000\n");
  put("sys/fs/cgroup/a/memory.current", "300000\n");
  put("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100000\n");
  put("sys/fs/cgroup/a/b/memory.max", "max\n");
  put("sys/fs/cgroup/a/b/memory.current", "5\n");
  EXPECT_EQ(room().total_bytes, 500000u);
  EXPECT_EQ(room().available_bytes, 300000u);  // files that are cached can be dropped
}

TEST_F(MemoryRoomTest, TheOldHierarchyCountsToo) {
  put("proc/self/cgroup", "5:cpu:/x\n4:memory,hugetlb:/x\n0::/\n");
  put("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "400000\n");
  put("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "450000\n");
  EXPECT_EQ(room().total_bytes, 400000u);
  EXPECT_EQ(room().available_bytes, 0u);
}

TEST(Pages, ArePresentZeroedAndAligned) {
  for (const std::uint64_t size : {1ull, 4096ull, 4097ull, 5ull << 20}) {
    auto pages = Pages::make(size);
    ASSERT_TRUE(pages) << pages.error().message();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages->data()) % 4096, 0u);
    for (std::uint64_t i = 0; i < size; ++i) ASSERT_EQ(pages->data()[i], std::byte{});
    pages->data()[size - 1] = std::byte{1};
  }
}

TEST(Pages, MoreThanThereIsIsRefusedAtOnce) {
  auto room = memory_room();
  ASSERT_TRUE(room);
  auto pages = Pages::make(room->total_bytes);
  ASSERT_FALSE(pages);
  EXPECT_EQ(pages.error().code(), Code::nomem);
  EXPECT_NE(pages.error().message().find("available"), std::string::npos);
  EXPECT_FALSE(Pages::make(~std::uint64_t{0}));
}

}  // namespace
}  // namespace gpuio::gpu::cpu
