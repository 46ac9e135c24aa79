#include "engines/file/file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/platform/file.hpp"
#include "base/uri.hpp"

namespace gpuio::io {
namespace {

// Each test runs with io_uring, with direct IO and with threads.
struct Way {
  const char* name;
  FileOptions options;
  std::uint32_t flags;
};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

class FileEngineTest : public testing::TestWithParam<Way> {
 protected:
  FileEngineTest()
      : directory_(*TemporaryDirectory::create(std::filesystem::current_path().string())),
        engine_(*make_file_engine(GetParam().options)),
        queue_(*engine_->queue(8)) {}

  void SetUp() override {
    const std::string name = GetParam().name;
    auto probe = engine_->open(uri(make("probe", "x")), kRead | GetParam().flags);
    ASSERT_TRUE(probe) << probe.error().message();
    const TargetInfo info = *(*probe)->info();
    if (name.starts_with("uring") && has(info.caps, Cap::threads)) GTEST_SKIP() << info.reason;
    if (name == "uring_direct" && !has(info.caps, Cap::direct)) GTEST_SKIP() << info.reason;
  }

  static Uri uri(const std::string& path) { return *Uri::parse(path); }
  std::string make(const std::string& name, const std::string& content) {
    std::ofstream(directory_.file(name)) << content;
    return directory_.file(name);
  }
  Result<std::unique_ptr<Target>> open(const std::string& path, std::uint32_t flags = kRead) {
    return engine_->open(uri(path), flags | GetParam().flags);
  }
  Status refusal(const std::string& path, std::uint32_t flags = kRead) {
    auto opened = open(path, flags);
    return opened ? Status() : opened.error();
  }

  Op run(OpKind kind, Target& target, std::uint64_t offset, std::span<std::byte> bytes) {
    const Segment one{bytes.data(), bytes.size()};
    Op op{.kind = kind, .target = &target, .offset = offset};
    if (kind != OpKind::flush) op.segments = {&one, 1};
    Op* list[] = {&op};
    EXPECT_EQ(queue_->submit(list), 1u);
    Op* done[1];
    for (int i = 0; i < 1000 && queue_->poll(done) == 0; ++i)
      EXPECT_NE(queue_->wait(1'000'000'000).code(), Code::io);
    op.segments = {};
    return op;
  }
  std::string read(Target& target, std::uint64_t offset, std::size_t length) {
    std::string text(length, '#');
    const Op op = run(OpKind::read, target, offset, std::as_writable_bytes(std::span(text)));
    EXPECT_EQ(op.code, Code::ok) << op.system_error;
    text.resize(op.bytes);
    return text;
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Queue> queue_;
};

TEST_P(FileEngineTest, AMissingFileIsNamed) {
  const Status s = refusal(directory_.file("absent"));
  EXPECT_EQ(s.code(), Code::not_found);
  EXPECT_NE(s.message().find("absent"), std::string::npos) << s.message();
  EXPECT_NE(s.message().find("ENOENT"), std::string::npos) << s.message();
}

TEST_P(FileEngineTest, OnlyFilesAndBlockDevicesOpen) {
  EXPECT_EQ(refusal(directory_.path()).code(), Code::invalid_arg);
  EXPECT_EQ(refusal(directory_.path(), kRead | kWrite).code(), Code::invalid_arg);
  EXPECT_EQ(refusal("/dev/zero").code(), Code::invalid_arg);
  ASSERT_EQ(::mkfifo(directory_.file("pipe").c_str(), 0600), 0);
  const Status pipe = refusal(directory_.file("pipe"));  // would wait for a writer
  EXPECT_EQ(pipe.code(), Code::invalid_arg);
  EXPECT_NE(pipe.message().find("pipe"), std::string::npos);
  EXPECT_EQ(refusal(make("file", "x") + "/below").code(), Code::not_found);
}

TEST_P(FileEngineTest, OpeningForNothingOrCreatingUnreadableIsRefused) {
  const std::string path = make("file", "x");
  EXPECT_EQ(refusal(path, 0).code(), Code::invalid_arg);
  EXPECT_EQ(refusal(path, kRead | kTruncate).code(), Code::invalid_arg);
  EXPECT_EQ(std::filesystem::file_size(path), 1u);
}

TEST_P(FileEngineTest, APermissionIsMissing) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may open everything";
  const std::string path = make("secret", "x");
  ::chmod(path.c_str(), 0);
  const Status s = refusal(path);
  EXPECT_EQ(s.code(), Code::permission);
  EXPECT_NE(s.message().find(path), std::string::npos) << s.message();
}

TEST_P(FileEngineTest, AnEmptyFileReadsAsNothing) {
  auto t = open(make("empty", ""));
  ASSERT_TRUE(t) << t.error().message();
  EXPECT_EQ((*t)->info()->size, 0u);
  EXPECT_EQ(read(**t, 0, 100), "");
  EXPECT_EQ(read(**t, 4096, 8192), "");
}

TEST_P(FileEngineTest, TruncatedAndGrownWhileOpen) {
  const std::string path = make("file", std::string(100'000, 'a'));
  auto t = open(path);
  ASSERT_TRUE(t);
  EXPECT_EQ(read(**t, 90'000, 20'000), std::string(10'000, 'a'));
  std::filesystem::resize_file(path, 95'000);
  EXPECT_EQ(read(**t, 90'000, 20'000), std::string(5'000, 'a'));
  EXPECT_EQ(read(**t, 98'304, 4'096), "");
  EXPECT_EQ((*t)->info()->size, 95'000u);
  std::ofstream(path, std::ios::app) << std::string(5'000, 'b');
  EXPECT_EQ(read(**t, 94'000, 20'000), std::string(1'000, 'a') + std::string(5'000, 'b'));
  EXPECT_EQ((*t)->info()->size, 100'000u);
}

TEST_P(FileEngineTest, AFullDiskIsAnErrorThatSaysHowMuchWasWritten) {
  const std::string path = directory_.file("limited");
  auto t = open(path, kWrite | kCreate);
  ASSERT_TRUE(t);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limited = before;
  limited.rlim_cur = 65'536;
  ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limited), 0);
  std::vector<std::byte> data(100'000, std::byte{7});
  const Op op = run(OpKind::write, **t, 0, data);
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(op.code, Code::ok) << "a short write was reported as done";
  EXPECT_NE(op.system_error, 0);
  EXPECT_EQ(op.bytes, 65'536u);
}

TEST_P(FileEngineTest, UnalignedOperationsOnADirectTargetKeepEveryByte) {
  const std::string path = make("file", std::string(50'000, '.'));
  auto t = open(path, kRead | kWrite);
  ASSERT_TRUE(t);
  std::string model(50'000, '.');
  std::vector<std::byte> raw(64 * 1024);
  const auto base = (4096 - reinterpret_cast<std::uintptr_t>(raw.data()) % 4096) % 4096;
  for (std::uint64_t offset : {0, 1, 4'095, 4'096, 5'000, 12'288})
    for (std::uint64_t shift : {0, 1, 512, 904})
      for (std::uint64_t length : {1, 4'096, 8'191, 20'480}) {
        std::byte* at = raw.data() + base + shift;
        std::memset(at, static_cast<int>('a' + (offset + shift + length) % 26), length);
        const Op op = run(OpKind::write, **t, offset, {at, length});
        ASSERT_EQ(op.code, Code::ok) << op.system_error;
        model.replace(offset, length, reinterpret_cast<char*>(at), length);
        ASSERT_EQ(run(OpKind::read, **t, offset, {at, length}).bytes, length);
        ASSERT_EQ(std::memcmp(at, model.data() + offset, length), 0);
      }
  EXPECT_EQ(read(**t, 0, 60'000), model);
  EXPECT_EQ(run(OpKind::flush, **t, 0, {}).code, Code::ok);
  std::ifstream in(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), model);
}

TEST_P(FileEngineTest, PartlyCachedFilesAreReadWhole) {
  std::string content(256 * 4096 + 100, '.');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>('a' + i / 4096 % 26);
  const std::string path = make("file", content);
  auto t = open(path);
  ASSERT_TRUE(t);
  const int fd = ::open(path.c_str(), O_RDONLY);
  ASSERT_EQ(::fsync(fd), 0);
  for (int hole = 0; hole < 256; hole += 32)
    ::posix_fadvise(fd, (hole + 16) * 4096, 8 * 4096, POSIX_FADV_DONTNEED);
  ::close(fd);
  EXPECT_EQ(read(**t, 0, 300 * 4096), content);
  EXPECT_EQ(read(**t, 4095, 40 * 4096), content.substr(4095, 40 * 4096));
}

TEST_P(FileEngineTest, AtHandIsWhatThePageCacheHas) {
  const std::string content(64 * 4096, 'x'), path = make("file", content);
  auto t = open(path);
  ASSERT_TRUE(t);
  const bool looks = GetParam().options.page_cache && !(*t)->info()->route.starts_with("io_uring, O_DIRECT");
  std::string seen(content.size(), '.');
  const auto at_hand = [&] { return (*t)->read_at_hand(0, std::as_writable_bytes(std::span(seen))); };
  EXPECT_EQ(at_hand(), looks ? content.size() : 0);
  if (looks) {
    EXPECT_EQ(seen, content);
  }
  // Written past the page cache: whatever of the file is there, it is not what was there before.
  const int fd = ::open(path.c_str(), O_WRONLY | O_DIRECT);
  if (fd < 0) GTEST_SKIP() << "no direct IO here";
  alignas(4096) static std::byte page[4096] = {};
  for (int i = 0; i < 64; ++i) ASSERT_EQ(::pwrite(fd, page, 4096, i * 4096), 4096);
  ::close(fd);
  const std::string zeros(content.size(), '\0');
  const std::uint64_t some = at_hand();
  EXPECT_EQ(seen.substr(0, some), zeros.substr(0, some));
  // Also where it has missed for long: now and then it looks again.
  for (int i = 0; i < 100; ++i) at_hand();
  EXPECT_EQ(read(**t, 0, content.size()), zeros);
  std::uint64_t most = 0;
  for (int i = 0; i < 32; ++i) most = std::max(most, at_hand());
  if (looks) {
    EXPECT_EQ(most, content.size());
    EXPECT_EQ(seen, zeros);
  }
}

TEST_P(FileEngineTest, TheRouteAndItsReasonAreTold) {
  auto t = open(make("file", "x"), kRead);
  ASSERT_TRUE(t);
  const TargetInfo info = *(*t)->info();
  const std::string name = GetParam().name;
  EXPECT_EQ(info.route.find("io_uring") != std::string::npos, name.find("uring") == 0) << info.route;
  EXPECT_EQ(has(info.caps, Cap::threads), name == "threads");
  EXPECT_EQ(info.route.find("O_DIRECT") != std::string::npos, name == "uring_direct") << info.route;
  if (name == "threads" || name == "uring_direct_refused") EXPECT_FALSE(info.reason.empty());
  else EXPECT_EQ(info.reason, "");
}

TEST_P(FileEngineTest, ClosedFilesAreLetGo) {
  const auto open_descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator());
  };
  const std::string path = make("file", "0123456789");
  const auto before = open_descriptors();
  for (int i = 0; i < 200; ++i) {
    auto t = open(path);
    ASSERT_TRUE(t);
    EXPECT_EQ(read(**t, 3, 3), "345");
  }
  EXPECT_EQ(open_descriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(Ways, FileEngineTest,
                         testing::Values(Way{"uring", {}, 0},
                                         Way{"uring_no_page_cache", {.page_cache = false}, 0},
                                         Way{"uring_direct", {}, kDirect},
                                         Way{"uring_direct_refused", {.direct = false}, kDirect},
                                         Way{"threads", {.uring = false}, 0}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(FileEngine, ParametersOfTheUri) {
  auto directory = *TemporaryDirectory::create(std::filesystem::current_path().string());
  std::ofstream(directory.file("a")) << "x";
  auto engine = *make_file_engine({});
  const auto open = [&](const std::string& text, std::uint32_t flags) {
    return engine->open(*Uri::parse(text), flags);
  };
  const std::string uri = "local://" + directory.file("a");
  const TargetInfo asked = *(*open(uri + "?direct=true", kRead))->info();
  EXPECT_TRUE(has(asked.caps, Cap::direct) || !asked.reason.empty());
  EXPECT_FALSE(has((*open(uri + "?direct=false", kRead | kDirect))->info()->caps, Cap::direct));
  const auto misspelt = open(uri + "?dirct=true", kRead);
  ASSERT_FALSE(misspelt);
  EXPECT_NE(misspelt.error().message().find("direct"), std::string::npos) << misspelt.error().message();
  EXPECT_EQ(open(uri + "?direct=perhaps", kRead).error().code(), Code::invalid_arg);
  EXPECT_EQ(open("nvme://0123-4567/part", kRead).error().code(), Code::unsupported);
}

TEST(FileEngine, ALargeFileIsReadPastTheCacheAndSaysSo) {
  auto directory = *TemporaryDirectory::create(std::filesystem::current_path().string());
  std::ofstream(directory.file("large")) << std::string(1 << 20, 'x');
  auto engine = *make_file_engine({.direct_above_bytes = 4096});
  const TargetInfo info = *(*engine->open(*Uri::parse(directory.file("large")), kRead))->info();
  EXPECT_NE(info.route.find("too large"), std::string::npos) << info.route;
  EXPECT_EQ(info.alignment, 1u);  // the caller need not align
}

}  // namespace
}  // namespace gpuio::io
