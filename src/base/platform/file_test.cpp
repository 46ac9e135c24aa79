#include "base/platform/file.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <optional>
#include <vector>

#include "base/platform/system_error.hpp"
#include "base/platform/transfer.hpp"

namespace gpuio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::vector<std::byte> pattern(size_t size, unsigned salt) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 + i / 251 + salt);
  return bytes;
}

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::create();
    ASSERT_TRUE(made) << made.error().message();
    directory_.emplace(std::move(*made));
  }
  Result<File> make(std::string_view name) {
    return File::open(directory_->file(name), OpenFlags::read | OpenFlags::write | OpenFlags::create);
  }
  std::optional<TemporaryDirectory> directory_;
};

TEST_F(FileTest, ReadsBackWhatWasWritten) {
  auto file = make("a");
  ASSERT_TRUE(file) << file.error().message();
  const auto data = pattern(100'003, 1);
  ASSERT_TRUE(file->write_at(data, 777));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(file->info().value().size_bytes, data.size() + 777);
  std::vector<std::byte> got(data.size());
  EXPECT_EQ(file->read_at(got, 777).value(), data.size());
  EXPECT_EQ(got, data);
  std::vector<std::byte> hole(777, std::byte{1});
  EXPECT_EQ(file->read_at(hole, 0).value(), hole.size());
  EXPECT_EQ(hole, std::vector<std::byte>(777));
  EXPECT_TRUE(file->close());
  EXPECT_FALSE(file->is_open());
}

TEST_F(FileTest, ReadIsShortOnlyAtTheEnd) {
  auto file = make("a");
  ASSERT_TRUE(file->write_at(pattern(100, 2), 0));
  std::vector<std::byte> got(64);
  EXPECT_EQ(file->read_at(got, 60).value(), 40u);
  EXPECT_EQ(file->read_at(got, 100).value(), 0u);
  EXPECT_EQ(file->read_at(got, 1 << 30).value(), 0u);
  EXPECT_EQ(file->read_at({}, 0).value(), 0u);
}

TEST_F(FileTest, TruncateResizeAndAllocate) {
  ASSERT_TRUE(make("a")->write_at(pattern(5000, 3), 0));
  auto file = File::open(directory_->file("a"), OpenFlags::write | OpenFlags::truncate);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->info().value().size_bytes, 0u);
  ASSERT_TRUE(file->resize(12345));
  EXPECT_EQ(file->info().value().size_bytes, 12345u);
  const Status allocated = file->allocate(0, 20000);
  if (allocated.code() == Code::unsupported) GTEST_SKIP() << allocated.message();
  ASSERT_TRUE(allocated) << allocated.message();
  EXPECT_EQ(file->info().value().size_bytes, 20000u);
}

TEST_F(FileTest, ExclusiveRefusesWhatExists) {
  ASSERT_TRUE(make("a"));
  auto again = File::open(directory_->file("a"), OpenFlags::write | OpenFlags::create | OpenFlags::exclusive);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::invalid_arg);
  EXPECT_THAT(again.error().message(), HasSubstr("EEXIST"));
}

TEST_F(FileTest, MissingFileNamesPathErrorAndRemedy) {
  auto file = File::open(directory_->file("none"), OpenFlags::read);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), Code::not_found);
  EXPECT_THAT(file.error().message(),
              AllOf(HasSubstr(directory_->file("none")), HasSubstr("ENOENT"), HasSubstr("check")));
  EXPECT_EQ(remove_file(directory_->file("none")).code(), Code::not_found);
}

TEST_F(FileTest, PermissionDenied) {
  ASSERT_TRUE(make("secret"));
  ASSERT_EQ(::chmod(directory_->file("secret").c_str(), 0), 0);
  // Root may open anything: this thread alone takes another user's rights for the attempt.
  const bool root = ::geteuid() == 0;
  if (root) {
    ASSERT_EQ(::chmod(directory_->path().c_str(), 0755), 0);
    ::setfsuid(65534);
  }
  auto file = File::open(directory_->file("secret"), OpenFlags::read);
  if (root) ::setfsuid(0);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code(), Code::permission);
  EXPECT_THAT(file.error().message(), AllOf(HasSubstr("secret"), HasSubstr("EACCES"), HasSubstr("access")));
}

TEST_F(FileTest, RefusesFlagsThatMakeNoSense) {
  for (auto flags : {OpenFlags::none, OpenFlags::read | OpenFlags::create,
                     OpenFlags::read | OpenFlags::truncate, OpenFlags::write | OpenFlags::exclusive}) {
    auto file = File::open(directory_->file("a"), flags);
    ASSERT_FALSE(file) << static_cast<unsigned>(flags);
    EXPECT_EQ(file.error().code(), Code::invalid_arg);
  }
  auto zero = File::open(std::string("a\0b", 3), OpenFlags::read);
  ASSERT_FALSE(zero);
  EXPECT_EQ(zero.error().code(), Code::invalid_arg);
}

TEST_F(FileTest, WrongUseIsAnErrorNotACrash) {
  ASSERT_TRUE(make("a"));
  auto file = File::open(directory_->file("a"), OpenFlags::read);
  EXPECT_EQ(file->write_at(pattern(4, 0), 0).code(), Code::invalid_arg);
  std::vector<std::byte> got(2);
  auto past = file->read_at(got, std::numeric_limits<uint64_t>::max() - 1);
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code(), Code::invalid_arg);
  EXPECT_EQ(File::open(directory_->path(), OpenFlags::write).error().code(), Code::invalid_arg);
  EXPECT_FALSE(File().read_at(got, 0));
}

TEST_F(FileTest, FullDiskIsReported) {
  auto file = File::open("/dev/full", OpenFlags::write);
  if (!file) GTEST_SKIP() << file.error().message();
  const Status status = file->write_at(pattern(10, 0), 0);
  EXPECT_EQ(status.code(), Code::io);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("/dev/full"), HasSubstr("ENOSPC"), HasSubstr("free some space")));
}

TEST_F(FileTest, DirectReadsAtTheStatedAlignment) {
  ASSERT_TRUE(make("a")->write_at(pattern(1 << 16, 5), 0));
  auto file = File::open(directory_->file("a"), OpenFlags::read | OpenFlags::direct);
  if (!file) {
    ASSERT_EQ(file.error().code(), Code::unsupported) << file.error().message();
    GTEST_SKIP() << file.error().message();
  }
  const auto info = file->info().value();
  if (info.direct_offset_align == 0) GTEST_SKIP() << "no direct IO in " << directory_->path();
  const size_t align = std::max(info.direct_memory_align, info.direct_offset_align);
  std::vector<std::byte> room(align * 3);
  const size_t skip = (align - reinterpret_cast<uintptr_t>(room.data()) % align) % align;
  const auto into = std::span(room).subspan(skip, align);
  ASSERT_EQ(file->read_at(into, align).value(), align);
  const auto all = pattern(1 << 16, 5);
  EXPECT_TRUE(std::equal(into.begin(), into.end(), all.begin() + static_cast<ptrdiff_t>(align)));
}

TEST_F(FileTest, UnnamedFileLeavesNoTrace) {
  auto file = File::unnamed(directory_->path());
  if (!file && file.error().code() == Code::unsupported) GTEST_SKIP() << file.error().message();
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_TRUE(file->write_at(pattern(10, 0), 0));
  EXPECT_EQ(::rmdir(directory_->path().c_str()), 0) << "the directory is not empty";
  EXPECT_FALSE(File::unnamed(directory_->path()));
}

TEST_F(FileTest, MovingHandsOverTheDescriptor) {
  auto a = make("a"), b = make("b");
  const int native = a->native(), closed = b->native();
  *b = std::move(*a);
  EXPECT_EQ(b->native(), native);
  EXPECT_FALSE(a->is_open());
  EXPECT_EQ(::fcntl(closed, F_GETFD), -1);
}

TEST(TemporaryDirectory, VanishesWithItsContents) {
  std::string path;
  {
    auto directory = TemporaryDirectory::create();
    ASSERT_TRUE(directory);
    path = directory->path();
    ASSERT_TRUE(File::open(directory->file("x"), OpenFlags::write | OpenFlags::create));
  }
  EXPECT_EQ(::access(path.c_str(), F_OK), -1);
  auto nowhere = TemporaryDirectory::create("/no/such/place");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code(), Code::not_found);
}

// A scripted system call: positive moves bytes, zero ends, negative fails with that error.
Transferred run_script(size_t size, std::vector<int> script, size_t* calls) {
  *calls = 0;
  size_t expected = 0;
  return transfer_fully(size, [&](size_t done, size_t left) -> ssize_t {
    EXPECT_EQ(done, expected);
    EXPECT_EQ(left, size - done);
    const int step = script.at((*calls)++);
    if (step >= 0) return expected += static_cast<size_t>(step), step;
    errno = -step;
    return -1;
  });
}

TEST(Transfer, GoesOnAfterInterruptionsAndShortMoves) {
  size_t calls = 0;
  auto moved = run_script(100, {30, -EINTR, -EINTR, 1, 69}, &calls);
  EXPECT_EQ(moved.bytes, 100u);
  EXPECT_EQ(moved.error, 0);
  EXPECT_EQ(calls, 5u);
  moved = run_script(100, {30, 0}, &calls);
  EXPECT_EQ(moved.bytes, 30u);
  EXPECT_EQ(moved.error, 0);
  moved = run_script(100, {30, -EIO}, &calls);
  EXPECT_EQ(moved.bytes, 30u);
  EXPECT_EQ(moved.error, EIO);
  EXPECT_EQ(run_script(0, {}, &calls).bytes, 0u);
}

TEST(Transfer, EndlessInterruptionsEnd) {
  int calls = 0;
  const auto moved = transfer_fully(10, [&](size_t, size_t) -> ssize_t {
    ++calls;
    errno = EINTR;
    return -1;
  });
  EXPECT_EQ(moved.error, EINTR);
  EXPECT_EQ(calls, kInterruptionsMax + 1);
}

TEST(SystemError, NamesWhatWordsAndErrorName) {
  const Status status = system_error(EBUSY, "opening /dev/x");
  EXPECT_EQ(status.code(), Code::busy);
  EXPECT_EQ(status.message(), "opening /dev/x: Device or resource busy (EBUSY)");
  EXPECT_EQ(system_error(99999, "x").message(), "x: unknown error (99999)");
  EXPECT_EQ(system_error_code(ECONNREFUSED), Code::network);
  EXPECT_EQ(system_error_code(EIO), Code::io);
}

}  // namespace
}  // namespace gpuio
