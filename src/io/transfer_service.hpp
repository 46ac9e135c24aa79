// A thread that moves transfers: what Transfers (io/transfer.hpp) does when it is polled, by itself, for any
// number of threads that submit.
//
// Threading: any thread calls; on_start, on_progress and on_finish of all transfers come one at a time on the
// service's own thread, with no lock held, so they may submit and cancel, but must not block. Lifetime:
// engines and targets outlive it. Ending it cancels what is in flight and blocks until
// that has finished.
// Errors: BUSY when as many transfers are in flight as can be, CANCELED once it is ending; the rest is the
// transfer's outcome.
//
//   auto service = *TransferService::start({}, clock);
//   Status s = service->submit(read);     // read->on_finish() follows
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "base/platform/thread.hpp"
#include "io/transfer.hpp"

namespace gpuio::io {

class TransferService {
 public:
  static Result<std::unique_ptr<TransferService>> start(const TransferOptions& options);
  ~TransferService();

  Status submit(std::shared_ptr<Transfer> transfer);
  void cancel(std::shared_ptr<Transfer> transfer);
  void modify(std::shared_ptr<Transfer> transfer, std::int32_t priority, std::uint64_t rate_bytes_per_second);
  // Cancels everything and refuses what comes after; on_finish of all has returned when it answers true.
  // False when that takes longer than timeout_ns: it goes on, and the call may be made again.
  bool stop(std::uint64_t timeout_ns);
  // Whether the caller is the service's thread, that is, in one of the calls above.
  bool on_thread() const { return std::this_thread::get_id() == thread_id_.load(std::memory_order_relaxed); }

 private:
  enum class Verb : std::uint8_t { submit, cancel, modify };
  struct Command {
    Verb verb;
    std::shared_ptr<Transfer> transfer;
    std::int32_t priority = 0;
    std::uint64_t rate = 0;
  };
  explicit TransferService(const TransferOptions& options)
      : capacity_(options.capacity), transfers_(options, clock_) {}
  void give(Command command);
  void run();
  bool take_commands();
  void rest(bool stopping);

  const std::uint32_t capacity_;
  SteadyClock clock_;
  std::mutex mutex_;
  std::condition_variable given_, ended_;
  std::vector<Command> inbox_;              // under the lock
  bool stopping_ = false, over_ = false;    // under the lock; over_: the thread is about to end
  Transfers transfers_;                     // the thread's, but for its size
  std::atomic<std::thread::id> thread_id_;  // relaxed: a thread only looks for its own
  Thread thread_;
};

}  // namespace gpuio::io
