// Transfers: long moves of bytes between memory and targets, or between two targets, made of short
// operations.
//
// A transfer is split into pieces, some of them in flight at once, so that it can report progress and be
// cancelled, and so that one does not keep others from the queues. A piece that fails for a reason that may
// pass is tried again after a pause; the bytes that are certain already are not moved again. Every transfer
// that was submitted finishes exactly once: done, failed, timed out or cancelled, and then nothing touches
// its memory any more. Bytes count from its beginning without a gap. A read that meets the end of its target
// ends the transfer early, with success.
//
// Transfers itself has no thread: poll() moves on what can be moved and never blocks, wait() sleeps until
// there may be more to do; TransferService (io/transfer_service.hpp) is a thread that does just that. Time is
// a Clock, so that timeouts and pauses are tested in virtual time. Threading: one thread, but for what
// Transfer marks "any thread". Lifetime: engines and clock outlive it, targets outlive the transfers that
// name them; a transfer is kept alive until it has finished. Errors: BUSY from submit when kept transfers
// reach the capacity; the rest comes as the transfer's outcome.
//
//   Transfers transfers({}, clock);
//   auto read = std::make_shared<MyTransfer>();
//   read->from = {.engine = opened.engine, .target = opened.target.get()};
//   read->to = {.memory = bytes};
//   read->length = 1 << 30;
//   transfers.submit(read);
//   while (!read->has_finished) if (!transfers.poll()) transfers.wait(1'000'000);
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "base/status.hpp"
#include "io/engine.hpp"
#include "io/retry.hpp"

namespace gpuio::io {

// One side of a transfer: memory of this process, or a place in a target.
struct Place {
  std::byte* memory = nullptr;
  Engine* engine = nullptr;  // of the target
  Target* target = nullptr;
  std::uint64_t offset = 0;  // bytes into the target
};

// Whose pieces go first when queues are full: in order of arrival; by priority; by deadline, those without
// one last; by priority, but a transfer gains a level every kAgeing, so that nothing starves. The values of
// gpuio_sched_policy_t.
enum class Schedule : std::uint8_t { fifo = 0, priority = 1, deadline = 2, adaptive = 3 };

class Transfer {
 public:
  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  virtual ~Transfer() = default;

  // Set by the caller, unchanged from submit until it has finished.
  Place from, to;
  std::uint64_t length = 0;      // bytes
  std::uint64_t timeout_ns = 0;  // from submit; 0: none
  RetryPolicy retry;
  Schedule schedule = Schedule::fifo;
  std::uint64_t deadline_ns = 0;  // from submit, for the order only; 0: none
  // As before; while it is in flight Transfers::modify changes them.
  std::int32_t priority = 0;                // 0 is the highest
  std::uint64_t rate_bytes_per_second = 0;  // 0: no limit

  // Any thread. Relaxed: counts for people to look at; what they stand for is ordered by on_finish.
  std::uint64_t bytes_done() const { return done_.load(std::memory_order_relaxed); }
  std::uint64_t bytes_moved() const {
    return moved_.load(std::memory_order_relaxed);
  }  // with what came twice
  // Once it has finished.
  const Status& outcome() const { return outcome_; }

 protected:
  // On the thread that polls. on_finish is the last call for a submit, and may lead to another.
  virtual void on_start() {}     // the first piece is on its way
  virtual void on_progress() {}  // now and then, at least every kProgressNs
  virtual void on_finish() = 0;

 private:
  friend class Transfers;
  static constexpr std::uint32_t kWindow = 8;  // pieces in flight
  struct Piece {
    enum class State : std::uint8_t { free, ready, flying, pausing, done };
    State state = State::free;
    bool writing = false;  // second half of a copy: what was read goes out
    std::uint32_t retries = 0;
    std::uint64_t at = 0, length = 0;  // bytes of the transfer
    std::uint64_t done = 0;            // bytes of this half that are certain
    std::uint64_t resume_ns = 0;       // end of the pause
    std::unique_ptr<std::byte[]> staging;
    Transfer* owner = nullptr;
    Op op;
    Segment segment;
  };

  std::atomic<std::uint64_t> done_{0}, moved_{0};
  Status outcome_;
  bool active_ = false, started_ = false, stopping_ = false;
  std::uint32_t flying_ = 0;
  std::uint64_t first_ = 0, next_ = 0;  // numbers of the pieces in the window: [first_, next_)
  std::uint64_t given_ = 0;             // bytes that pieces have been made of
  std::uint64_t end_ = 0;               // length, or less once the source has ended
  std::uint64_t gives_up_ns_ = 0, progress_ns_ = 0, next_piece_ns_ = 0;
  std::int64_t order_ = 0;
  std::uint64_t number_ = 0;
  std::array<Piece, kWindow> pieces_;
};

struct TransferOptions {
  std::uint32_t queue_depth = 128;         // operations in flight on each engine's queue
  std::uint32_t capacity = 4096;           // transfers at once
  std::uint64_t staging_bytes = 16 << 20;  // at most, for copies between targets
};

class Transfers {
 public:
  static constexpr std::uint64_t kPieceBytes = 1 << 20;
  static constexpr std::uint64_t kProgressNs = 50'000'000;
  static constexpr std::uint64_t kAgeingNs = 100'000'000;

  Transfers(const TransferOptions& options, const Clock& clock) : options_(options), clock_(clock) {}
  ~Transfers();  // cancels what is left, and blocks until it has finished
  Transfers(const Transfers&) = delete;
  Transfers& operator=(const Transfers&) = delete;

  // INVALID_ARG when a side is neither memory nor a target, or the two overlap; any thread, as long as nobody
  // has it.
  static Status check(const Transfer& transfer);
  Status submit(std::shared_ptr<Transfer> transfer);
  // It finishes with CANCELED, unless all bytes are there already. One that is not in flight is left alone.
  void cancel(Transfer& transfer);
  void cancel_all();
  // Likewise.
  void modify(Transfer& transfer, std::int32_t priority, std::uint64_t rate_bytes_per_second);

  bool poll();  // whether anything moved; then poll again before waiting
  // When poll must be called again even if nothing completes; of the clock; Deadline::kNever: no need.
  std::uint64_t due_ns() const { return due_ns_; }
  // Until an operation may have completed, at most so long. With none in flight it returns at once.
  void wait(std::uint64_t timeout_ns);
  std::uint32_t in_flight() const { return flying_; }  // operations that engines have
  bool idle() const { return active_.empty(); }
  // Transfers that are kept; any thread. Acquire and release: who sees it smaller may submit in its place.
  std::uint32_t size() const { return size_.load(std::memory_order_acquire); }

 private:
  using Piece = Transfer::Piece;
  struct Lane {  // an engine's queue, and what goes into it next
    Engine* engine = nullptr;
    std::unique_ptr<Queue> queue;
    std::vector<Op*> batch;
    std::uint32_t flying = 0;
  };

  void enlist(std::shared_ptr<Transfer> transfer);
  void advance(Transfer& t, std::uint64_t now);
  bool make_piece(Transfer& t, std::uint64_t now);
  void start(Transfer& t, Piece& piece, std::uint64_t now);
  void copy_memory(Transfer& t, Piece& piece);
  Result<Lane*> lane_of(Engine& engine);
  bool take_staging(Piece& piece);
  void push_batches(std::uint64_t now);
  void collect(std::uint64_t now);
  void completed(Piece& piece, std::uint64_t now);
  void piece_done(Transfer& t, Piece& piece, bool ended);
  void failed(Transfer& t, Piece& piece, Status why, std::uint64_t now);
  void stop(Transfer& t, Status why);
  void sweep();
  void due_at(std::uint64_t when) { due_ns_ = due_ns_ < when ? due_ns_ : when; }

  const TransferOptions options_;
  const Clock& clock_;
  std::vector<std::shared_ptr<Transfer>> active_;  // in the order in which they may go first
  std::vector<std::shared_ptr<Transfer>> finished_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<std::byte[]>> staging_;  // idle
  std::uint64_t staging_made_ = 0;
  std::atomic<std::uint32_t> size_{0};
  std::uint64_t due_ns_ = Deadline::kNever;
  std::uint64_t numbers_ = 0;
  std::uint32_t flying_ = 0;
  std::size_t turn_ = 0;  // whose queue wait() looks at next
  bool moved_ = false;    // in this poll
};

}  // namespace gpuio::io
