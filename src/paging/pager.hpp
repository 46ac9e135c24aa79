// Pager: brings pages from their targets into memory, many at once.
//
// Requests are sorted by page and neighbours of one target become one operation with a segment a page, at
// most kOperationBytes long; what the queues cannot take yet waits here. A page's bytes past the end of its
// array are zero. Every request that was submitted is delivered by poll exactly once; a range that ended
// early (a file that was truncated) fails those pages that miss bytes, and only those. Threading: one thread.
// Lifetime: requests and their memory until delivered; the destructor cancels and drains.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.hpp"
#include "io/engine.hpp"
#include "paging/space.hpp"

namespace gpuio::paging {

struct PageRead {
  std::uint64_t page = 0;
  std::byte* to = nullptr;  // page_bytes of memory
  void* user = nullptr;
  Code code = Code::ok;  // the outcome
};

class Pager {
 public:
  static constexpr std::uint64_t kOperationBytes = 1 << 20;
  static constexpr std::uint32_t kOperationPages = 64;

  Pager(const Space& space, std::uint32_t depth);
  ~Pager();
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  void submit(std::span<PageRead* const> reads);
  // Delivered requests, at most `done.size()`. Never blocks.
  std::uint32_t poll(std::span<PageRead*> done);
  // Until something may be delivered, at most timeout_ns.
  void wait(std::uint64_t timeout_ns);
  // Submits and waits for all of them, when nothing else is pending. After TIMEOUT, and after CANCELED
  // because `cancel` became true, nothing touches them any more.
  Status read(std::span<PageRead* const> reads, std::uint64_t timeout_ns,
              const std::atomic<bool>* cancel = nullptr);
  // Cancels and forgets everything that is pending: nothing touches it afterwards.
  void abandon();

  std::uint32_t pending() const { return pending_; }
  // What the last failed operation said; empty if none failed.
  const std::string& last_error() const { return last_error_; }

 private:
  struct Operation {
    io::Op op;
    std::vector<io::Segment> segments;
    std::vector<PageRead*> reads;
  };

  Result<io::Queue*> queue_of(io::Engine& engine);
  void start(std::span<PageRead* const> run, const Range& range);
  void copy(std::span<PageRead* const> run, const Range& range);
  void push_waiting();
  void finish(Operation& operation);
  void deliver(PageRead& read, Code code);
  Operation& take_operation();

  const Space& space_;
  Finder finder_{space_};
  const std::uint32_t depth_;
  std::vector<std::pair<io::Engine*, std::unique_ptr<io::Queue>>> queues_;
  std::vector<std::unique_ptr<Operation>> operations_;  // all there are
  std::vector<Operation*> idle_;
  std::deque<std::pair<io::Queue*, Operation*>> waiting_;
  std::deque<PageRead*> delivered_;
  std::vector<PageRead*> sorted_;
  std::uint32_t pending_ = 0;
  std::string last_error_;
};

}  // namespace gpuio::paging
