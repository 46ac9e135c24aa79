#include "base/disk_cache.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <random>
#include <thread>

#include "base/platform/file.hpp"
#include "base/platform/folder.hpp"

namespace gpuio {
namespace {

using Bytes = std::vector<std::byte>;
constexpr std::uint64_t kMuch = 1 << 30;

Bytes value_of(std::uint64_t key, std::size_t size) {
  Bytes bytes(size);
  std::mt19937_64 random(key);
  for (auto& b : bytes) b = std::byte(random());
  return bytes;
}
std::string name_of(std::uint64_t key) { return "key " + std::to_string(key); }

std::size_t warnings(const std::string& said) {
  std::size_t n = 0;
  for (auto at = said.find("kernel cache: "); at != said.npos; at = said.find("kernel cache: ", at + 1)) ++n;
  return n;
}

class DiskCacheTest : public testing::Test {
 protected:
  DiskCache::Options options(std::uint64_t bytes_max = kMuch) const { return {folder_, bytes_max}; }
  std::vector<FolderFile> files() const { return list_folder(folder_).value_or(std::vector<FolderFile>{}); }
  std::uint64_t bytes() const {
    std::uint64_t sum = 0;
    for (const auto& f : files()) sum += f.size_bytes;
    return sum;
  }
  // The one file that is there.
  std::string only_file() const {
    const auto all = files();
    EXPECT_EQ(all.size(), 1u);
    return folder_ + "/" + all.at(0).name;
  }
  static void age(const std::string& path, int seconds) {
    timespec times[2]{};
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  const TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create());
  const std::string folder_ = directory_.file("a/b/cache");
};

TEST_F(DiskCacheTest, WhatIsKeptIsThereForTheNextProcess) {
  const Bytes small = value_of(1, 100), none, other = value_of(2, 70'001);
  {
    DiskCache cache(options());
    EXPECT_FALSE(cache.get("small"));
    cache.put("small", small);
    cache.put("none", none);
    cache.put("other", value_of(3, 9));
    cache.put("other", other);
    EXPECT_EQ(cache.counters().kept, 4u);
  }
  DiskCache cache(options());
  EXPECT_EQ(cache.get("small"), small);
  EXPECT_EQ(cache.get("none"), none);
  EXPECT_EQ(cache.get("other"), other);
  EXPECT_FALSE(cache.get("smal"));
  EXPECT_FALSE(cache.get(""));
  const auto c = cache.counters();
  EXPECT_EQ(c.hits, 3u);
  EXPECT_EQ(c.misses, 2u);
  EXPECT_EQ(c.damaged, 0u);
  EXPECT_EQ(files().size(), 3u) << "no temporary file is left";
  struct stat s{};
  ASSERT_EQ(stat(folder_.c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0700u);
}

// Each byte of a file, changed; each length, cut: never a wrong value, and mended by the next put.
TEST_F(DiskCacheTest, DamageIsFoundAndHealed) {
  const Bytes value = value_of(7, 50);
  DiskCache cache(options());
  cache.put("key", value);
  const std::string path = only_file();
  auto file = File::open(path, OpenFlags::read);
  ASSERT_TRUE(file);
  Bytes good(file->info()->size_bytes);
  ASSERT_EQ(file->read_at(good, 0), good.size());
  const auto write = [&](const Bytes& bytes) {
    auto out = File::open(path, OpenFlags::write | OpenFlags::create | OpenFlags::truncate);
    ASSERT_TRUE(out && out->write_at(bytes, 0).ok());
  };
  std::uint64_t damaged = 0;
  testing::internal::CaptureStderr();  // a line each
  for (std::size_t at = 0; at < 2 * good.size(); ++at) {
    Bytes bad = good;
    if (at < good.size()) bad[at] ^= std::byte(1 << at % 8);
    else bad.resize(at - good.size());
    write(bad);
    EXPECT_FALSE(cache.get("key")) << at;
    EXPECT_EQ(cache.counters().damaged, ++damaged) << at;
    EXPECT_TRUE(files().empty()) << "what is damaged goes";
  }
  EXPECT_EQ(warnings(testing::internal::GetCapturedStderr()), damaged);
  Bytes longer = good;
  longer.push_back(std::byte{0});
  write(longer);
  EXPECT_FALSE(cache.get("key"));
  cache.put("key", value);
  EXPECT_EQ(cache.get("key"), value);
}

// A file in the place of another key's is right in itself, and not an answer.
TEST_F(DiskCacheTest, TheWholeKeyCounts) {
  DiskCache cache(options());
  cache.put("one", value_of(1, 10));
  const std::string one = only_file();
  cache.put("two", value_of(2, 10));
  for (const auto& f : files()) {
    const std::string path = folder_ + "/" + f.name;
    if (path != one) {
      ASSERT_TRUE(replace_file(one, path).ok());
    }
  }
  EXPECT_FALSE(cache.get("two"));
  EXPECT_EQ(cache.counters().damaged, 0u);
}

TEST_F(DiskCacheTest, TheOldestGoFirst) {
  constexpr std::size_t kValue = 1000;
  constexpr std::uint64_t kLimit = 5 * (kValue + 100);
  DiskCache cache(options(kLimit));
  std::vector<std::string> known;
  for (std::uint64_t key = 0; key < 5; ++key) {
    cache.put(name_of(key), value_of(key, kValue));
    for (const auto& f : files())
      if (std::ranges::find(known, f.name) == known.end()) {
        known.push_back(f.name);
        age(folder_ + "/" + f.name, 100 - int(key));
      }
  }
  EXPECT_TRUE(cache.get(name_of(0)));  // used: now the youngest
  cache.put(name_of(5), value_of(5, kValue));
  cache.put(name_of(6), value_of(6, kValue));
  EXPECT_LE(bytes(), kLimit);
  EXPECT_EQ(cache.counters().evicted, 2u);
  for (std::uint64_t key = 0; key < 7; ++key)
    EXPECT_EQ(cache.get(name_of(key)).has_value(), key != 1 && key != 2) << key;
  cache.put("too much", value_of(9, kLimit));
  EXPECT_EQ(files().size(), 5u);
}

TEST_F(DiskCacheTest, ManySmallOnesStayNearTheLimit) {
  constexpr std::uint64_t kLimit = 20'000;
  DiskCache cache(options(kLimit));
  for (std::uint64_t key = 0; key < 300; ++key) {
    cache.put(name_of(key), value_of(key, 200));
    ASSERT_LE(bytes(), kLimit + kLimit / 16);
  }
  EXPECT_GT(bytes(), kLimit / 2);
}

TEST_F(DiskCacheTest, WhatOthersLeftBehindGoes) {
  DiskCache(options()).put("key", {});
  for (const char* name : {"1-2-3.tmp", "4-5-6.tmp", "README"})
    ASSERT_TRUE(File::open(folder_ + "/" + name, OpenFlags::write | OpenFlags::create));
  age(folder_ + "/1-2-3.tmp", 2 * 3600);
  age(folder_ + "/README", 2 * 3600);
  DiskCache(options()).put("other", {});
  std::vector<std::string> left;
  for (const auto& f : files())
    if (!f.name.ends_with(".bin")) left.push_back(f.name);
  std::ranges::sort(left);
  EXPECT_EQ(left, (std::vector<std::string>{"4-5-6.tmp", "README"}));
}

// --- What cannot be used is said once, and is no failure ---

TEST_F(DiskCacheTest, AFolderThatCannotBeMadeIsSaidOnce) {
  ASSERT_TRUE(File::open(directory_.file("file"), OpenFlags::write | OpenFlags::create));
  for (const std::string& folder : {directory_.file("file/cache"), std::string("/proc/gpuio/cache")}) {
    testing::internal::CaptureStderr();
    DiskCache cache({folder, kMuch});
    for (int n = 0; n < 3; ++n) {
      EXPECT_FALSE(cache.get("key"));
      cache.put("key", value_of(1, 10));
    }
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(warnings(said), 1u) << said;
    EXPECT_NE(said.find("kernel_cache.folder"), said.npos) << said;
    EXPECT_EQ(cache.counters().kept, 0u);
  }
}

TEST_F(DiskCacheTest, AFolderThatOthersMayWriteIsNotTrusted) {
  DiskCache(options()).put("key", value_of(1, 10));
  ASSERT_EQ(chmod(folder_.c_str(), 0777), 0);
  testing::internal::CaptureStderr();
  DiskCache cache(options());
  EXPECT_FALSE(cache.get("key"));
  cache.put("key", {});
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(warnings(said), 1u) << said;
  EXPECT_NE(said.find("mode 777"), said.npos) << said;
  ASSERT_EQ(chmod(folder_.c_str(), 0700), 0);
  EXPECT_EQ(DiskCache(options()).get("key"), value_of(1, 10));
}

TEST_F(DiskCacheTest, AFolderThatIsOnlyReadStillAnswers) {
  // Root may write everywhere, so it is somebody else for a while.
  const bool root = geteuid() == 0;
  constexpr uid_t kNobody = 65534;
  if (root) {
    ASSERT_EQ(chown(directory_.path().c_str(), kNobody, kNobody), 0);
    ASSERT_EQ(seteuid(kNobody), 0);
  }
  DiskCache(options()).put("key", value_of(1, 10));
  ASSERT_EQ(chmod(folder_.c_str(), 0500), 0);
  testing::internal::CaptureStderr();
  DiskCache cache(options());
  for (int n = 0; n < 3; ++n) {
    cache.put("other", {});
    EXPECT_EQ(cache.get("key"), value_of(1, 10));
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(warnings(said), 1u) << said;
  ASSERT_EQ(chmod(folder_.c_str(), 0700), 0);
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
}

// Files may have only so many bytes: what a full disk says, for a process without rights to fill one.
TEST_F(DiskCacheTest, AFullDiskKeepsNothingAndBreaksNothing) {
  DiskCache(options()).put("key", value_of(1, 10));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  testing::internal::CaptureStderr();
  const rlimit little{4096, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &little), 0);
  DiskCache cache(options());
  for (int n = 0; n < 3; ++n) cache.put("large", value_of(2, 100'000));
  const auto there = cache.get("key");
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, ignored);
  EXPECT_EQ(warnings(testing::internal::GetCapturedStderr()), 1u);
  EXPECT_EQ(there, value_of(1, 10));
  EXPECT_EQ(files().size(), 1u) << "a part of a file was left";
}

TEST_F(DiskCacheTest, NothingIsKeptWithoutAFolderOrALimit) {
  for (const DiskCache::Options& o : {DiskCache::Options{"", kMuch}, DiskCache::Options{folder_, 0}}) {
    DiskCache cache(o);
    cache.put("key", {});
    EXPECT_FALSE(cache.get("key"));
  }
  EXPECT_FALSE(list_folder(folder_)) << "it was not even made";
}

// --- Several at once ---

// Random gets and puts over few keys and a limit that evicts all the time. Returns how often a value was
// wrong.
int use(const DiskCache::Options& options, unsigned seed, int turns) {
  DiskCache cache(options);
  std::mt19937 random(seed);
  int wrong = 0;
  for (int n = 0; n < turns; ++n) {
    const std::uint64_t key = random() % 12;
    const Bytes value = value_of(key, 300 + 37 * key);
    if (random() % 2) cache.put(name_of(key), value);
    else if (const auto got = cache.get(name_of(key)); got && *got != value) ++wrong;
  }
  return wrong + int(cache.counters().damaged);
}

TEST_F(DiskCacheTest, ThreadsAndObjectsShareAFolder) {
  std::vector<std::jthread> threads;
  std::atomic<int> wrong{0};
  DiskCache shared(options(3000));
  for (unsigned t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] { wrong += use(options(3000), t, 300); });
    threads.emplace_back([&, t] {
      for (std::uint64_t n = 0; n < 300; ++n) {
        const std::uint64_t key = (n * 7 + t) % 12;
        shared.put(name_of(key), value_of(key, 300 + 37 * key));
        if (const auto got = shared.get(name_of(key)); got && *got != value_of(key, 300 + 37 * key)) ++wrong;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

#if !defined(__SANITIZE_THREAD__)
TEST_F(DiskCacheTest, ProcessesShareAFolder) {
  std::vector<pid_t> children;
  for (unsigned seed = 0; seed < 4; ++seed) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(use(options(3000), seed, 400) == 0 ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  for (const auto& f : files()) EXPECT_TRUE(f.name.ends_with(".bin")) << f.name;
}
#endif

TEST(DefaultCacheFolder, IsWhereTheDesktopSays) {
  EXPECT_EQ(default_cache_folder({{"HOME", "/home/a"}, {"XDG_CACHE_HOME", "/x"}}), "/x/gpuio");
  EXPECT_EQ(default_cache_folder({{"HOME", "/home/a"}, {"XDG_CACHE_HOME", ""}}), "/home/a/.cache/gpuio");
  EXPECT_EQ(default_cache_folder({{"HOME", "/home/a"}, {"XDG_CACHE_HOME", "relative"}}),
            "/home/a/.cache/gpuio");
  EXPECT_EQ(default_cache_folder({{"HOME", "relative"}}), "");
  EXPECT_EQ(default_cache_folder({}), "");
}

}  // namespace
}  // namespace gpuio
