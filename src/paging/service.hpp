// Service: the thread that answers the mailboxes of kernels that wait.
//
// It sweeps the requests, copies each request out, has the pager bring the pages straight into their frames
// and answers. It makes no driver call, ever, so that a driver that waits for the kernel cannot wait for it:
// pages of a local cache come into staging, and the copier's thread takes them from there. While a kernel
// runs it spins, then yields, then naps; between kernels it sleeps.
//
// `copier`: of a local cache; outlives the service. Threading: begin, end and abort from one thread,
// statistics from any. Lifetime: the cache, the space and their targets outlive it; its end answers what is
// pending and joins. Errors: of a page, to the lane that asked (a positive code of gpuio.h); of the service,
// from start and end.
//
//   auto service = *Service::start(cache, space, {});
//   service->begin();
//   stream->launch(...);  stream->wait(...);
//   service->end(timeout_ns);
#pragma once

#include <gpuio/device/native.hpp>
#include <gpuio/device/service.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "base/platform/thread.hpp"
#include "base/status.hpp"
#include "paging/asks.hpp"
#include "paging/cache.hpp"
#include "paging/copier.hpp"
#include "paging/pager.hpp"
#include "paging/space.hpp"

namespace gpuio::paging {

struct ServiceOptions {
  std::uint32_t depth = 64;                            // operations at once an engine
  std::uint64_t spin_ns = 50'000;                      // without work, before it lets others run
  ThreadPriority priority = ThreadPriority::realtime;  // where it is allowed; else normal
};

class Service {
 public:
  static Result<std::unique_ptr<Service>> start(Cache& cache, const Space& space,
                                                const ServiceOptions& options, Copier* copier = nullptr);
  ~Service();
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // A kernel is about to be launched; where none runs, what is counted begins anew.
  void begin();
  // It has ended: waits until what it asked for was answered and all copies landed, then finishes the
  // mailboxes that no lane came back for.
  Status end(std::uint64_t timeout_ns);
  // Every lane that waits, or will, leaves with this code, and what is being brought for them is given up;
  // until the next begin.
  void abort(Code code);
  // For lanes of this process: puts a page into its frame where its bytes are at hand, as the thread would
  // have done. Any thread; while a kernel runs.
  bool bring(std::uint64_t page, std::uint64_t frame);

  const Histogram& latency_ns() const { return latency_ns_; }  // seen to answered
  std::uint64_t pages() const { return pages_.value(); }       // brought
  std::uint64_t failures() const { return failures_.value(); }
  Code last_failure() const { return Code(last_failure_.load(std::memory_order_relaxed)); }  // after end()
  // What the last failed page's target said. After end().
  const std::string& last_error() const {
    return copier_ != nullptr && !copier_->last_error().empty() ? copier_->last_error() : pager_.last_error();
  }
  const Status& priority() const { return priority_; }  // why it was refused, if it was

 private:
  Service(Cache& cache, const Space& space, const ServiceOptions& options, Copier* copier);
  void run(std::stop_token stop);
  bool sweep();
  bool deliver();
  bool land();
  void look(std::uint32_t mailbox);
  void take(std::uint32_t mailbox);
  void reply(std::uint32_t mailbox, Code code);
  void idle(std::uint64_t idle_since);
  void give_up(Code code);

  // A page brought for a few of its bytes, when no frame is to be had.
  static constexpr std::uint32_t kScratchPages = 8;

  Cache& cache_;
  const Space& space_;
  Finder finder_;
  Copier* const copier_;
  const ServiceOptions options_;
  device::Native words_;
  Pager pager_;
  SteadyClock clock_;
  Asks asks_;
  std::vector<device::Slot> slots_;
  std::vector<PageRead> reads_;  // one a mailbox
  std::vector<std::uint64_t> seen_ns_;
  std::vector<ArrayCounters*> counters_;  // of the array that a mailbox asks for
  std::vector<PageRead*> batch_;
  std::vector<Copy> copies_;
  std::vector<std::uint32_t> deferred_;  // bypasses that wait for a scratch page
  std::vector<std::byte> scratch_;
  std::vector<std::byte*> scratch_idle_;

  std::atomic<std::uint32_t> running_{0};      // kernels; the thread sleeps on it
  std::atomic<std::uint32_t> ending_{0};       // 1 from end to begin; the thread naps on it
  std::atomic<std::uint32_t> outstanding_{0};  // requests taken and not answered
  std::atomic<int> last_failure_{0};
  std::atomic<std::uint64_t> sweeps_{0};
  std::uint32_t sweeps_to_end_ = 0;  // the thread's: without work, since end()
  std::atomic<int> aborted_{0};      // Code
  Histogram latency_ns_;
  Counter pages_, failures_;
  Status priority_;
  Thread thread_;
};

}  // namespace gpuio::paging
