// Space: the one space of 40-bit page numbers that all on-demand arrays of a cache live in.
//
// An array is a range of pages; a page number says which bytes of which target. Ranges are handed out in
// order and never again, so that a stale page number can only miss: 2^40 pages of 64 KiB are 64 PiB of arrays
// opened in turn. Threading: map and unmap from any thread while no kernel runs on the cache; find from any
// thread at any time. Lifetime: the caller keeps targets alive until unmap.
#pragma once

#include <gpuio/device/layout.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <shared_mutex>
#include <span>

#include "base/metrics.hpp"
#include "base/status.hpp"
#include "io/engine.hpp"

namespace gpuio::paging {

// What has happened to one array since it was opened. A hit of a kernel costs a load and is not counted.
struct ArrayCounters {
  Counter misses;      // accesses of kernels that the host had to answer, and pages that its own reads missed
  Counter failures;    // of them, answered with an error
  Counter hits;        // pages that the host's own reads found
  Counter brought;     // pages read into frames
  Counter prefetched;  // of them, before anybody asked
  Histogram latency_ns;  // of a miss: seen by the host to answered
};

// Of a space, and of the cache that holds its pages.
Status check_page_bytes(std::uint64_t);

struct Range {
  std::uint64_t first = 0;  // page
  std::uint64_t pages = 0;
  std::uint64_t bytes = 0;   // the last page may be part of a page
  std::uint64_t offset = 0;  // of the first byte in the target
  io::Engine* engine = nullptr;
  io::Target* target = nullptr;
  ArrayCounters* counters = nullptr;  // may be null
  bool mapped = false;                // the target has it all in memory, always at hand
};

// A page of it into memory of a page, zeros behind its end; false where not all of it is at hand. Any thread.
bool read_at_hand(const Range& range, std::uint64_t page, std::span<std::byte> to);

class Space {
 public:
  // page_bytes: a power of two, at least 512 (what O_DIRECT can align to).
  static Result<std::unique_ptr<Space>> create(std::uint64_t page_bytes);

  std::uint64_t page_bytes() const { return page_bytes_; }
  Result<Range> map(io::Engine& engine, io::Target& target, std::uint64_t offset, std::uint64_t bytes,
                    ArrayCounters* counters = nullptr);
  void unmap(const Range& range);
  // The range that holds the page, if any does.
  std::optional<Range> find(std::uint64_t page) const;

 private:
  friend class Finder;
  explicit Space(std::uint64_t page_bytes) : page_bytes_(page_bytes) {}

  const std::uint64_t page_bytes_;
  mutable std::shared_mutex mutex_;
  std::map<std::uint64_t, Range> ranges_;  // by first page
  std::uint64_t next_ = 0;
  std::atomic<std::uint64_t> changes_{0};  // counts on with every map and unmap
};

// Space::find for a thread that asks for pages of the same array again and again: no lock while no array
// comes or goes. One thread's; the answer lasts until the next call.
class Finder {
 public:
  explicit Finder(const Space& space) : space_(space) {}
  const Range* find(std::uint64_t page) {
    const std::uint64_t now = space_.changes_.load(std::memory_order_acquire);
    if (changes_ != now || page - last_.first >= last_.pages) {
      const auto found = space_.find(page);
      if (!found) return nullptr;
      last_ = *found;
      changes_ = now;
    }
    return &last_;
  }
  // Of the array that the page belongs to; null when nobody counts.
  ArrayCounters* counters(std::uint64_t page) {
    const Range* range = find(page);
    return range ? range->counters : nullptr;
  }

 private:
  const Space& space_;
  Range last_;
  std::uint64_t changes_ = 0;
};

}  // namespace gpuio::paging
