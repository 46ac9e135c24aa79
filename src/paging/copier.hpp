// Copier: the thread that copies pages into the frames of a local cache while a kernel waits for them. It
// owns its stream, so that the service thread makes no driver call; what the device takes long over holds up
// only itself.
//
// Copies are done in the order in which they were submitted, also after somebody stopped waiting for one: a
// frame that was given up and claimed again gets the later bytes last. One that has not landed within
// its deadline is delivered with TIMEOUT: the device does not get on with copies beside a kernel.
//
// Threading: submit and poll from one thread, which is not the copier's. Lifetime: the cache and the device
// outlive it; its end waits for what was started. Errors: each copy's code.
//
//   auto copier = Copier::start(device, cache);
//   (*copier)->submit({{.frame = 7, .staging = 3, .user = 3}});
//   for (const Copy& c : (*copier)->poll()) reply(c.user, c.code);
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <vector>

#include "base/platform/thread.hpp"
#include "base/status.hpp"
#include "paging/cache.hpp"

namespace gpuio::paging {

struct Copy {
  std::uint32_t frame = 0, staging = 0;  // of the cache
  std::uint64_t user = 0;
  Code code = Code::ok;  // the outcome
};

class Copier {
 public:
  static constexpr std::uint64_t kDeadlineNs = 10'000'000'000;

  static Result<std::unique_ptr<Copier>> start(gpu::Device& device, Cache& cache,
                                               std::uint64_t deadline_ns = kDeadlineNs);
  ~Copier();
  Copier(const Copier&) = delete;
  Copier& operator=(const Copier&) = delete;

  void submit(std::span<const Copy> copies);
  // What has landed or failed since the last call; valid until the next. Cheap when there is nothing.
  std::span<const Copy> poll();
  // Any thread. After 0 nothing touches the frames.
  std::uint32_t pending() const { return pending_.load(std::memory_order_acquire); }
  // A copy is late: it may land at any time, so the cache is of no more use. Any thread.
  bool stuck() const { return stuck_.load(std::memory_order_acquire); }
  // What the device said of the last copy that failed; empty if none did. When nothing is pending.
  const std::string& last_error() const { return last_error_; }

 private:
  struct Batch {  // one point of the stream
    gpu::Point point = 0;
    std::uint64_t started_ns = 0;
    std::vector<Copy> copies;
  };
  Copier(Cache& cache, std::uint64_t deadline_ns) : cache_(cache), deadline_ns_(deadline_ns) {}
  void run(std::stop_token stop);
  void begin(std::vector<Copy> copies);
  bool deliver();
  void hand_out(std::vector<Copy> copies, const Status& status);

  Cache& cache_;
  const std::uint64_t deadline_ns_;
  std::unique_ptr<gpu::Stream> stream_;
  std::deque<Batch> under_way_;  // the copier's thread only
  std::vector<Copy> delivered_;  // the caller's thread only
  std::mutex lock_;              // of submitted_, done_ and last_error_
  std::vector<Copy> submitted_, done_;
  std::string last_error_;
  std::atomic<std::uint32_t> submits_{0};  // the copier sleeps on it
  std::atomic<std::uint32_t> done_count_{0}, pending_{0};
  std::atomic<bool> stuck_{false};
  Thread thread_;
};

}  // namespace gpuio::paging
