// The platform seam on Windows: what its headers promise, in brief; the tests beside them look at Linux too
// closely.
#include <gmock/gmock.h>

#include <cstring>

#include "base/clock.hpp"
#include "base/platform/file.hpp"
#include "base/platform/folder.hpp"
#include "base/platform/memory.hpp"
#include "base/platform/shared_library.hpp"
#include "base/platform/thread.hpp"

namespace gpuio {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Windows, FilesAreReadAndWrittenAtOffsets) {
  const auto folder = TemporaryDirectory::create();
  ASSERT_TRUE(folder) << folder.error().message();
  const std::string path = folder->file("a");
  auto file = File::open(path, OpenFlags::read | OpenFlags::write | OpenFlags::create | OpenFlags::exclusive);
  ASSERT_TRUE(file) << file.error().message();
  ASSERT_TRUE(file->write_at(bytes("hello"), 100).ok());
  ASSERT_TRUE(file->sync().ok());
  std::byte got[64];
  EXPECT_EQ(*file->read_at(got, 98), 7u);  // the file ends
  EXPECT_EQ(std::memcmp(got, "\0\0hello", 7), 0);
  EXPECT_EQ(*file->read_at(got, 105), 0u);
  EXPECT_EQ(file->info()->size_bytes, 105u);
  ASSERT_TRUE(file->resize(3).ok());
  EXPECT_EQ(file->info()->size_bytes, 3u);
  ASSERT_TRUE(file->allocate(0, 4096).ok());
  EXPECT_GE(file->info()->size_bytes, 4096u);
  EXPECT_EQ(file->read_at(got, ~std::uint64_t{0}).error().code(), Code::invalid_arg);
  EXPECT_TRUE(file->close().ok());

  EXPECT_EQ(File::open(path, OpenFlags::read | OpenFlags::write | OpenFlags::create | OpenFlags::exclusive)
                .error()
                .code(),
            Code::invalid_arg);
  EXPECT_EQ(File::open(path, OpenFlags::none).error().code(), Code::invalid_arg);
  const Status missing = File::open(folder->file("b"), OpenFlags::read).error();
  EXPECT_EQ(missing.code(), Code::not_found);
  EXPECT_THAT(missing.message(), HasSubstr("b: "));
  EXPECT_EQ(File::open(folder->path(), OpenFlags::read).error().code(), Code::invalid_arg);
  auto unnamed = File::unnamed(folder->path());
  ASSERT_TRUE(unnamed) << unnamed.error().message();
  EXPECT_TRUE(unnamed->write_at(bytes("x"), 0).ok());
  EXPECT_TRUE(remove_file(path).ok());
  EXPECT_EQ(remove_file(path).code(), Code::not_found);
}

TEST(Windows, FoldersAreMadeListedAndChangedByWholeFiles) {
  const auto root = TemporaryDirectory::create();
  ASSERT_TRUE(root);
  const std::string folder = root->file("x/y");
  ASSERT_TRUE(make_private_folder(folder).ok());
  ASSERT_TRUE(make_private_folder(folder).ok());
  const auto put = [&](const std::string& name, std::string_view text) {
    auto f = File::open(folder + "/" + name, OpenFlags::write | OpenFlags::create | OpenFlags::truncate);
    ASSERT_TRUE(f) << f.error().message();
    ASSERT_TRUE(f->write_at(bytes(text), 0).ok());
  };
  put("old", "1");
  put("new", "22");
  ASSERT_TRUE(replace_file(folder + "/new", folder + "/old").ok());
  const auto files = list_folder(folder);
  ASSERT_TRUE(files) << files.error().message();
  ASSERT_EQ(files->size(), 1u);
  EXPECT_EQ(files->front().name, "old");
  EXPECT_EQ(files->front().size_bytes, 2u);
  ASSERT_TRUE(touch_file(folder + "/old").ok());
  EXPECT_GE(list_folder(folder)->front().modified_ns, files->front().modified_ns);
  EXPECT_EQ(make_private_folder(folder + "/old").code(), Code::invalid_arg);
  EXPECT_EQ(touch_file(folder + "/none").code(), Code::not_found);
  EXPECT_EQ(list_folder(folder + "/none").error().code(), Code::not_found);
}

TEST(Windows, MemoryIsReservedCommittedAndShared) {
  auto range = VirtualMemory::reserve(1 << 20, 1 << 21);
  ASSERT_TRUE(range) << range.error().message();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(range->data()) % (1 << 21), 0u);
  ASSERT_TRUE(range->commit(page_bytes(), page_bytes()).ok());
  range->data()[page_bytes()] = std::byte{7};
  ASSERT_TRUE(range->decommit(page_bytes(), page_bytes()).ok());
  ASSERT_TRUE(range->commit(page_bytes(), page_bytes()).ok());
  EXPECT_EQ(range->data()[page_bytes()], std::byte{0});
  EXPECT_EQ(range->commit(1, 1).code(), Code::invalid_arg);
  EXPECT_EQ(VirtualMemory::reserve(0).error().code(), Code::invalid_arg);

  auto shared = SharedMemory::create("frames", 100'000, HugePages::try_them);
  ASSERT_TRUE(shared) << shared.error().message();
  EXPECT_TRUE(shared->populate().ok());
  EXPECT_EQ(shared->size() % shared->mapped_page_bytes(), 0u);
  std::memset(shared->data(), 1, shared->size());
  EXPECT_EQ(SharedMemory::create("frames", 1, HugePages::require).error().code(), Code::unsupported);
  EXPECT_TRUE(MemoryLock::lock(shared->data(), page_bytes()));
  EXPECT_GT(*available_memory_bytes(), 0u);
  EXPECT_GE(total_memory_bytes(), *available_memory_bytes());
}

TEST(Windows, ThreadsWaitOnWords) {
  std::atomic<std::uint32_t> word{0};
  EXPECT_EQ(wait_on_word(word, 1, kWaitForeverNs), WaitResult::changed);
  const std::uint64_t start = SteadyClock().now_ns();
  EXPECT_EQ(wait_on_word(word, 0, 30'000'000), WaitResult::timeout);
  EXPECT_GE(SteadyClock().now_ns() - start, 25'000'000u);
  auto thread = Thread::start("waker", [&](std::stop_token) {
    EXPECT_TRUE(set_this_thread_priority(ThreadPriority::high).ok());
    word = 1;
    wake_all(word);
  });
  ASSERT_TRUE(thread) << thread.error().message();
  while (word.load() == 0) (void)wait_on_word(word, 0, 1'000'000'000);
  thread->join();
  const auto cpus = usable_cpus();
  ASSERT_TRUE(cpus && !cpus->empty());
  EXPECT_TRUE(pin_this_thread(std::span(*cpus).first(1)).ok());
  EXPECT_EQ(pin_this_thread({}).code(), Code::invalid_arg);
  const int none[] = {1000};
  EXPECT_EQ(pin_this_thread(none).code(), Code::invalid_arg);
}

TEST(Windows, LibrariesAreOptional) {
  auto library = SharedLibrary::open("kernel32.dll");
  ASSERT_TRUE(library) << library.error().message();
  EXPECT_TRUE(library->function<void()>("GetTickCount"));
  EXPECT_THAT(library->symbol("NoSuchThing").error().message(), HasSubstr("NoSuchThing"));
  const auto missing = SharedLibrary::open_first({"nvcuda-not-there.dll", "nor-this.dll"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::not_found);
  EXPECT_THAT(missing.error().message(), HasSubstr("nor-this.dll"));
}

}  // namespace
}  // namespace gpuio
