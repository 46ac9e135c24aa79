// Random 4 KiB reads of a file in the page cache: the file engine, many at once, against pread and against
// copies out of a mapping. One thread each, into the same number of blocks of memory in turn: a reader that
// wants many has room for many. The first and last word of every block are checked.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "base/clock.hpp"
#include "bench/report.hpp"
#include "engines/file/file.hpp"
#include "io/registry.hpp"

namespace gpuio::bench {
namespace {

constexpr std::uint64_t kBlock = 4096, kDepth = 32, kWord = 0x9E3779B97F4A7C15;

std::uint64_t content(std::uint64_t offset) { return offset * kWord; }

// Block numbers that no contender can foresee, the same for all.
struct Order {
  std::uint64_t state = 88172645463325252, blocks;
  std::uint64_t next() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % blocks * kBlock;
  }
};

void check(const std::byte* memory, std::uint64_t offset) {
  for (const std::uint64_t at : {std::uint64_t{0}, kBlock - 8}) {
    std::uint64_t word;
    std::memcpy(&word, memory + at, 8);
    if (word != content(offset + at)) die(fmt::format("wrong bytes at {}", offset + at));
  }
}

// One file, removed at the end, written through the page cache and so in it.
struct File {
  std::string path;
  std::uint64_t size;
  int fd = -1;
  const std::byte* mapped = nullptr;

  explicit File(std::uint64_t bytes)
      : path(std::filesystem::temp_directory_path() / fmt::format("gpuio_hot_reads_{}", ::getpid())),
        size(bytes) {
    fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) die("cannot create " + path);
    std::vector<std::uint64_t> words(1 << 17);
    for (std::uint64_t at = 0; at < size; at += words.size() * 8) {
      for (std::uint64_t i = 0; i < words.size(); ++i) words[i] = content(at + i * 8);
      if (::write(fd, words.data(), words.size() * 8) != ssize_t(words.size() * 8))
        die("cannot write " + path);
    }
    void* const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) die("cannot map " + path);
    mapped = static_cast<const std::byte*>(at);
  }
  ~File() {
    ::close(fd);
    ::unlink(path.c_str());
  }
};

// Reads a second, by a function that reads one block, or some, and says how many.
double reads_a_second(double seconds, auto read) {
  const std::uint64_t from = SteadyClock().now_ns(), length = std::uint64_t(seconds * 1e9);
  std::uint64_t reads = 0, now = from;
  while (now - from < length) {
    for (std::uint32_t i = 0; i < 64; ++i) reads += read();
    now = SteadyClock().now_ns();
  }
  return double(reads) / (double(now - from) / 1e9);
}

class Engine {
 public:
  explicit Engine(const File& file) {
    auto made = io::make_file_engine({});
    if (!made) die(made.error().message());
    if (Status added = registry_.add({"localio"}, std::move(*made)); !added) die(added.message());
    auto opened = registry_.open(file.path, io::kRead);
    if (!opened) die(opened.error().message());
    target_ = std::move(opened->target);
    auto queue = opened->engine->queue(kDepth);
    if (!queue) die(queue.error().message());
    queue_ = std::move(*queue);
    memory_.resize(kBlock * kDepth);
    const auto region = queue_->enroll(memory_);
    if (!region) die(region.error().message());
    for (std::uint64_t i = 0; i < kDepth; ++i) {
      segments_[i] = {memory_.data() + i * kBlock, kBlock, *region};
      ops_[i] = {.kind = io::OpKind::read, .target = target_.get(), .segments = {&segments_[i], 1}};
      idle_.push_back(&ops_[i]);
    }
  }
  std::uint64_t step(Order& order) {
    for (io::Op* op : idle_) op->offset = order.next();
    const std::uint32_t taken = queue_->submit(idle_);
    idle_.erase(idle_.begin(), idle_.begin() + taken);
    std::array<io::Op*, kDepth> done;
    const std::uint32_t n = queue_->poll(done);
    for (io::Op* op : std::span(done).first(n)) {
      if (op->code != Code::ok || op->bytes != kBlock) die(io::describe(*op));
      check(op->segments[0].memory, op->offset);
      idle_.push_back(op);
    }
    return n;
  }

 private:
  io::Registry registry_;
  std::unique_ptr<io::Target> target_;
  std::vector<std::byte> memory_;
  std::array<io::Segment, kDepth> segments_;
  std::array<io::Op, kDepth> ops_;
  std::vector<io::Op*> idle_;
  std::unique_ptr<io::Queue> queue_;  // ends before what its operations use
};

int run(int count, char** words) {
  Report report(count, words);
  const double seconds = report.smoke() ? 0.02 : 0.3;
  const File file(report.smoke() ? 16 << 20 : 512 << 20);
  Engine engine(file);
  std::vector<std::byte> memory(kBlock * kDepth);
  auto block = [&memory, turn = std::uint64_t{0}]() mutable {
    return memory.data() + turn++ % kDepth * kBlock;
  };
  Order order{.blocks = file.size / kBlock};
  Case& c = report.add("random 4 KiB, page cache", "reads/s", Better::more);
  c.target("pread", 1.0);
  c.note(fmt::format("{} MiB, one thread, ours {} at once; a copy out of a mapping makes no system call",
                     file.size >> 20, kDepth));
  c.sample(report, {{"ours", [&] { return reads_a_second(seconds, [&] { return engine.step(order); }); }},
                    {"pread",
                     [&] {
                       return reads_a_second(seconds, [&] {
                         const std::uint64_t at = order.next();
                         std::byte* const to = block();
                         if (::pread(file.fd, to, kBlock, off_t(at)) != ssize_t(kBlock))
                           die("pread ended early");
                         check(to, at);
                         return 1;
                       });
                     }},
                    {"mmap", [&] {
                       return reads_a_second(seconds, [&] {
                         const std::uint64_t at = order.next();
                         std::byte* const to = block();
                         std::memcpy(to, file.mapped + at, kBlock);
                         check(to, at);
                         return 1;
                       });
                     }}});
  return report.print();
}

}  // namespace
}  // namespace gpuio::bench

int main(int count, char** words) { return gpuio::bench::run(count, words); }
