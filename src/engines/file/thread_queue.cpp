// The queue for machines that refuse io_uring: a few threads that read and write, and sleep when there is
// nothing.

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "base/platform/system_error.hpp"
#include "base/platform/thread.hpp"
#include "engines/file/transfer.hpp"
#include "io/op_list.hpp"
#include "io/regions.hpp"

namespace gpuio::io {
namespace {

class ThreadQueue final : public Queue {
 public:
  explicit ThreadQueue(std::uint32_t depth) : depth_(depth), slots_(depth) {
    free_.reserve(depth);
    for (std::uint32_t i = depth; i-- > 0;) free_.push_back(i);
  }

  Status start(std::uint32_t workers) {
    for (std::uint32_t i = 0; i < workers; ++i) {
      auto thread = Thread::start(fmt::format("gpuio-file-{}", i), [this](std::stop_token) { serve(); });
      if (!thread) return std::move(thread).error().wrap("starting the file engine's threads");
      threads_.push_back(std::move(*thread));
    }
    return {};
  }

  ~ThreadQueue() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    threads_.clear();  // joins: a running system call ends first, nothing touches an Op afterwards
  }

  std::uint32_t depth() const override { return depth_; }

  std::uint32_t submit(std::span<Op* const> ops) override {
    std::uint32_t taken = 0;
    bool woken = false;
    std::lock_guard lock(mutex_);
    for (; taken < ops.size() && held_ < depth_; ++taken, ++held_) woken |= accept(*ops[taken]);
    if (woken) work_.notify_all();
    return taken;
  }

  std::uint32_t poll(std::span<Op*> done) override {
    std::lock_guard lock(mutex_);
    const std::uint32_t n = done_.take(done);
    for (std::uint32_t i = 0; i < n; ++i) {
      const auto slot = done[i]->scratch.word[0];
      if (slot == kNoSlot) continue;
      regions_.release(*done[i]);
      slots_[slot].transfer.file.reset();
      slots_[slot].transfer.op = nullptr;
      free_.push_back(static_cast<std::uint32_t>(slot));
    }
    held_ -= n;
    return n;
  }

  Status wait(std::uint64_t timeout_ns) override {
    // Longer than a year is for ever, and adding it to now must not overflow.
    const auto limit =
        std::chrono::nanoseconds(std::min<std::uint64_t>(timeout_ns, 365ull * 86400 * 1000000000));
    std::unique_lock lock(mutex_);
    if (held_ == 0) return {};
    if (finished_.wait_for(lock, limit, [&] { return !done_.empty(); })) return {};
    return Status(Code::timeout, "");
  }

  void cancel(Op& op) override {
    std::lock_guard lock(mutex_);
    if (pending_.remove(op)) {
      op.code = Code::canceled;
      op.system_error = ECANCELED;
      deliver(op);
      return;
    }
    const auto slot = op.scratch.word[0];
    if (slot < depth_ && slots_[slot].transfer.op == &op) slots_[slot].stop = true;
  }

  Result<std::uint32_t> enroll(std::span<std::byte> memory) override {
    std::lock_guard lock(mutex_);
    return regions_.add(memory);
  }
  Status withdraw(std::uint32_t region) override {
    std::lock_guard lock(mutex_);
    return regions_.remove(region);
  }

 private:
  static constexpr std::uint64_t kNoSlot = ~std::uint64_t{0};
  struct Slot {
    Transfer transfer;
    bool stop = false;  // asked by cancel, under the lock; the worker copies it between pieces
  };

  void deliver(Op& op) {
    done_.push(op);
    finished_.notify_all();
  }

  // Under the lock. True when a worker has something to do.
  bool accept(Op& op) {
    op.scratch = {};
    op.scratch.word[0] = kNoSlot;
    op.code = Code::ok;
    op.system_error = 0;
    op.bytes = 0;
    const FileTarget* target = file_target(op.target);
    op.code = target ? check(op, target->file()->caps, regions_) : Code::invalid_arg;
    if (op.code != Code::ok) {
      deliver(op);
      return false;
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    op.scratch.word[0] = index;
    slots_[index].transfer.begin(op, target->file());
    slots_[index].stop = false;
    regions_.hold(op);
    pending_.push(op);
    return true;
  }

  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return stopping_ || !pending_.empty(); });
      if (stopping_) return;
      Op* op = pending_.pop();
      Slot& slot = slots_[op->scratch.word[0]];
      bool finished = false;
      while (!finished) {
        slot.transfer.canceled = slot.stop || stopping_;
        lock.unlock();
        finished = step(slot.transfer);
        lock.lock();
      }
      deliver(*op);
    }
  }

  // One system call, without the lock: the operation is this worker's alone. True when it is finished.
  static bool step(Transfer& t) {
    Op& op = *t.op;
    if (op.kind == OpKind::flush) {
      const int failed = ::fdatasync(t.file->cached.native()) ? errno : 0;
      if (failed == EINTR) return false;
      op.code = failed ? system_error_code(failed) : Code::ok;
      op.system_error = failed;
      return true;
    }
    if (!t.plan()) return true;
    const auto count = static_cast<int>(t.vector_count);
    const auto at = static_cast<off_t>(t.position());
    const auto moved = op.kind == OpKind::read ? ::preadv(t.fd(), t.vectors.data(), count, at)
                                               : ::pwritev(t.fd(), t.vectors.data(), count, at);
    return t.settle(moved < 0 ? -errno : moved);
  }

  const std::uint32_t depth_;
  std::mutex mutex_;  // over everything below
  std::condition_variable work_, finished_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  OpList pending_, done_;
  Regions regions_;
  std::uint32_t held_ = 0;  // taken, not yet delivered
  bool stopping_ = false;
  std::vector<Thread> threads_;
};

}  // namespace

Result<std::unique_ptr<Queue>> make_thread_queue(std::shared_ptr<FileShared> shared, std::uint32_t depth) {
  auto queue = std::make_unique<ThreadQueue>(depth);
  if (auto status = queue->start(std::max(1u, std::min(depth, shared->options.workers))); !status)
    return fail(std::move(status));
  return queue;
}

}  // namespace gpuio::io
