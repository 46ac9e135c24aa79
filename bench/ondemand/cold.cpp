// Cold: no page of a file is in the cache of frames. Against the engine's own sequential reads of the same
// file, in the page cache and out of it, and waiting against yielding, in the page cache.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "base/platform/file.hpp"
#include "engines/file/file.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cpu/native.hpp"
#include "io/registry.hpp"
#include "kernels.hpp"
#include "ondemand.hpp"
#include "paging/arrays.hpp"

namespace gpuio::bench {
namespace {

using Clock = std::chrono::steady_clock;
double mb_per_s(u64 bytes, Clock::time_point start) {
  return double(bytes) * 1e3 / double((Clock::now() - start) / std::chrono::nanoseconds(1));
}

class Cold {
 public:
  explicit Cold(u64 bytes) : bytes_(bytes) {
    file_ = take(File::unnamed("."));
    path_ = fmt::format("/proc/self/fd/{}", file_.native());
    std::vector<u64> piece(1 << 17);
    for (u64 at = 0; at < bytes; at += piece.size() * 8) {
      for (u64 w = 0; w < piece.size(); ++w) want_ += piece[w] = (at / 8 + w) * 0x9E3779B97F4A7C15u;
      check(file_.write_at(std::as_bytes(std::span(piece)), at));
    }
    check(registry_.add({"file", "local", "localio"}, take(io::make_file_engine({}))));
    device_ = take(gpu::cpu::open({}));
    sums_ = take(device_->allocate(gpu::MemoryKind::pinned, kGroups * 128 * 8));
    failed_ = take(device_->allocate(gpu::MemoryKind::pinned, 4));
    arrays_ = take(paging::Arrays::create(*device_, {.cache = {.cache_bytes = bytes_ / 16}, .service = {}}));
  }
  // Has the system forget the file, so that what is read next comes from the drive.
  void forget() {
    if (::fdatasync(file_.native()) != 0 || ::posix_fadvise(file_.native(), 0, 0, POSIX_FADV_DONTNEED) != 0)
      die("the page cache does not let go of the file");
  }
  // MB/s of reads of 1 MiB, as many at once as a service has.
  double engine() {
    constexpr u64 kBlock = 1 << 20, kDepth = 8;
    auto opened = take(registry_.open(path_, io::kRead));
    auto queue = take(opened.engine->queue(kDepth));
    std::vector<std::byte> memory(kBlock * kDepth);
    std::vector<io::Segment> segments(kDepth);
    std::vector<io::Op> ops(kDepth);
    std::vector<io::Op*> ready, done(kDepth);
    for (u64 i = 0; i < kDepth; ++i) {
      segments[i] = {memory.data() + i * kBlock, kBlock};
      ops[i].target = opened.target.get();
      ops[i].segments = {&segments[i], 1};
      ready.push_back(&ops[i]);
    }
    const auto start = Clock::now();
    u64 next = 0, sum = 0, ended = 0;
    while (ended < bytes_) {
      std::size_t n = 0;
      while (n < ready.size() && next < bytes_) ready[n++]->offset = next, next += kBlock;
      if (queue->submit(std::span(ready).first(n)) != n) die("the queue took less than its depth");
      ready.erase(ready.begin(), ready.begin() + std::ptrdiff_t(n));
      const u32 got = queue->poll(done);
      for (io::Op* op : std::span(done).first(got)) {
        if (op->code != Code::ok || op->bytes != kBlock) die(io::describe(*op));
        u64 first;
        std::memcpy(&first, op->segments[0].memory, 8);
        if (first != op->offset / 8 * 0x9E3779B97F4A7C15u) die("the engine read something else");
        sum += first;
        ready.push_back(op);
      }
      ended += got * kBlock;
    }
    return mb_per_s(bytes_, start);
  }

  // MB/s of a kernel over the file with a cache of a sixteenth of it.
  double kernel_run(paging::Miss miss, bool native, u64& pages) {
    const auto array = take(arrays_->open(take(registry_.open(path_, io::kRead)), 8));
    std::memset(sums_->host(), 0, sums_->size());
    std::memset(failed_->host(), 0, 4);
    const u64 part = array.count / kGroups;
    const gpu::Argument arguments[] = {
        array.argument(), gpu::Argument::buffer(*sums_, 8), gpu::Argument::buffer(*failed_, 4), {part, 0}};
    const auto start = Clock::now();
    const auto report =
        take(arrays_->run({file_sum.view(), gpu::cpu::make_native(file_sum)}, {.groups = {kGroups, 1, 1}},
                          arguments, {.miss = miss, .native = native}));
    const double speed = mb_per_s(bytes_, start);
    arrays_->close(array);
    u64 sum = 0;
    for (u64 i = 0; i < kGroups * 128; ++i) sum += reinterpret_cast<const u64*>(sums_->host())[i];
    if (const u32 failed = *reinterpret_cast<const u32*>(failed_->host()))
      die(fmt::format("{}: {} lanes failed: {}", report.choice, failed, report.reason));
    if (sum != want_) die(fmt::format("{}: the sum is {:#x}, should be {:#x}", report.choice, sum, want_));
    pages = report.pages;
    return speed;
  }

 private:
  static constexpr u32 kGroups = 64;
  const u64 bytes_;
  File file_;
  std::string path_;
  io::Registry registry_;
  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<gpu::Buffer> sums_, failed_;
  std::unique_ptr<paging::Arrays> arrays_;
  u64 want_ = 0;
};

}  // namespace

void cold_cases(Report& report) {
  const u64 mib = 1 << 20;
  u64 native = 0, waiting = 0, yielding = 0;
  {
    Cold cold(report.smoke() ? 8 * mib : 256 * mib);
    const auto scan = [&](const char* name, auto&& before) -> Case& {
      Case& c = report.add(name, "MB/s", Better::more);
      c.target("engine", 0.8);
      c.sample(report, {{"ours", [&] { return before(), cold.kernel_run(paging::Miss::wait, true, native); }},
                        {"engine", [&] { return before(), cold.engine(); }}});
      return c;
    };
    scan("cold scan of a file in the page cache", [] {
    }).note("a sixteenth of the file fits in the frames; the kernel sums on the processors that copy");
    scan("cold scan of a file on its drive", [&] {
      cold.forget();
    }).note("a sixteenth of the file fits in the frames");
  }
  const u64 bytes = report.smoke() ? 8 * mib : 64 * mib;
  Cold cold(bytes);
  const double file_pages = double(bytes) / 65536;
  Case& ways = report.add("waiting and yielding", "MB/s", Better::more);
  ways.sample(
      report,
      {{"ours", [&] { return cold.kernel_run(paging::Miss::wait, true, native); }},
       {"wait, interpreted", [&] { return cold.kernel_run(paging::Miss::wait, false, waiting); }},
       {"yield, interpreted", [&] { return cold.kernel_run(paging::Miss::yield, false, yielding); }}});
  ways.note(fmt::format("pages brought for each of the file: native {:.2f}, waiting {:.2f}, yielding {:.2f}",
                        double(native) / file_pages, double(waiting) / file_pages,
                        double(yielding) / file_pages));
}

}  // namespace gpuio::bench
