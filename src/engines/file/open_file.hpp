// An open file, shared by its Target and the operations in flight on it, so that closing the target never
// pulls a descriptor from under them. Any thread; immutable but for the atomics.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <typeinfo>

#include "base/platform/file.hpp"
#include "engines/file/file.hpp"

namespace gpuio::io {

struct OpenFile {
  std::uint64_t id = 0;  // never used again by this engine
  File cached;           // through the page cache
  File direct;           // past it; not open where it is not wanted or refused
  bool asked_direct = false;
  bool read_direct_when_cold = false;
  Caps caps = 0;
  std::uint32_t block = 1;
  std::uint32_t memory_align = 1;  // of direct IO
  std::uint32_t offset_align =
      1;  // of direct IO; at least a page, so that no page is both direct and cached in one operation
  std::string reason;  // why not the route that was asked for

  // Those below are hints that any thread may see late: relaxed.
  std::atomic<bool> direct_refused{false};  // the file system refused an aligned request at run time
  std::atomic<bool> probe_refused{false};   // it knows no RWF_NOWAIT
  std::atomic<std::uint32_t> cold{0};       // probes in a row that found nothing in the page cache

  std::atomic<std::uint32_t> writes_to_ring{0};  // so many writes go there, as one into the cache was slow

  // Is a look into the page cache worth its system call? Of a file that was not there often, now and then.
  bool worth_looking() const {
    constexpr std::uint32_t kColdStreak = 8, kColdProbe = 16;
    const std::uint32_t misses = cold.load(std::memory_order_relaxed);
    return !probe_refused.load(std::memory_order_relaxed) &&
           (misses < kColdStreak || misses % kColdProbe == 0);
  }
  // As preadv, of what the page cache holds; never sleeps. Remembers a file system that cannot tell.
  ssize_t read_resident(const iovec* vectors, int count, std::uint64_t offset) {
    const auto moved = ::preadv2(cached.native(), vectors, count, static_cast<off_t>(offset), RWF_NOWAIT);
    if (moved < 0 && errno == EOPNOTSUPP) probe_refused.store(true, std::memory_order_relaxed);
    return moved;
  }
  void found() {
    if (cold.load(std::memory_order_relaxed)) cold.store(0, std::memory_order_relaxed);
  }
  void missed() { cold.store(cold.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

  bool use_direct() const { return direct.is_open() && !direct_refused.load(std::memory_order_relaxed); }
};

// What the queues of one engine share with it.
struct FileShared {
  FileOptions options;
  std::string no_ring;                    // why io_uring is not used; empty when it is
  std::atomic<std::uint64_t> next_id{1};  // relaxed: only uniqueness counts
  std::atomic<std::uint64_t> closed{
      0};  // targets closed so far; release there, acquire where queues drop descriptors
};

Result<std::shared_ptr<OpenFile>> open_file(FileShared& shared, const std::string& path, std::uint32_t flags);

class FileTarget final : public Target {
 public:
  FileTarget(std::shared_ptr<FileShared> shared, std::shared_ptr<OpenFile> file)
      : shared_(std::move(shared)), file_(std::move(file)) {}
  ~FileTarget() override;
  Result<TargetInfo> info() const override;
  std::uint64_t read_at_hand(std::uint64_t offset, std::span<std::byte> to) const override;
  const std::shared_ptr<OpenFile>& file() const { return file_; }

 private:
  std::shared_ptr<FileShared> shared_;
  std::shared_ptr<OpenFile> file_;
};

// Null for a target of another engine. (A dynamic_cast would take ten times as long, for each operation.)
inline const FileTarget* file_target(const Target* target) {
  return target && typeid(*target) == typeid(FileTarget) ? static_cast<const FileTarget*>(target) : nullptr;
}

Result<std::unique_ptr<Queue>> make_uring_queue(std::shared_ptr<FileShared> shared, std::uint32_t depth);
Result<std::unique_ptr<Queue>> make_thread_queue(std::shared_ptr<FileShared> shared, std::uint32_t depth);

}  // namespace gpuio::io
