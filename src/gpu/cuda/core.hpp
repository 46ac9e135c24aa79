// What a CUDA device, its buffers, kernels and streams share: the driver, the primary context, whether it is
// lost, and what waits to be released. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "gpu/cuda/driver.hpp"
#include "gpu/device.hpp"

namespace gpuio::gpu::cuda {

class Core {
 public:
  static Result<std::shared_ptr<Core>> create(std::shared_ptr<const Driver> driver, CUdevice device,
                                              std::uint64_t drain_timeout_ns);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  const Driver& driver() const { return *driver_; }
  CUdevice device() const { return device_; }
  std::uint64_t drain_timeout_ns() const { return drain_timeout_ns_; }
  // Allocations are ordered on a stream of their own, for the driver's plain allocator may wait for every
  // running kernel. Null where the device has no memory pools.
  CUstream memory_stream() const { return memory_stream_; }

  Status alive() const;
  // A driver's answer as a Status; remembers a loss. `what` names the call.
  Status check(int result, std::string_view what);
  // Gives the device up; `stuck`: work is still running, so that nothing of it may be released.
  void lose(Status why, bool stuck);
  bool stuck() const { return stuck_.load(std::memory_order_relaxed); }

  // Releases at once, or when no stream has work open.
  void release(std::move_only_function<void()> action);
  void work_began() { open_work_.fetch_add(1, std::memory_order_relaxed); }
  void work_ended();  // and runs what was put off

 private:
  Core(std::shared_ptr<const Driver> driver, CUdevice device, std::uint64_t drain_timeout_ns)
      : driver_(std::move(driver)), device_(device), drain_timeout_ns_(drain_timeout_ns) {}
  friend class Pushed;
  Status warm_up();

  const std::shared_ptr<const Driver> driver_;
  const CUdevice device_;
  const std::uint64_t drain_timeout_ns_;
  CUcontext context_ = nullptr;
  CUstream memory_stream_ = nullptr;
  std::atomic<bool> lost_{false}, stuck_{false};
  std::atomic<std::uint64_t> open_work_{0};  // a hint only: a release that comes too early merely waits
  mutable std::mutex lock_;                  // of what follows
  Status why_lost_;
  std::vector<std::move_only_function<void()>> put_off_;
};

// The device's context is the thread's current one for the life of this; what was current before returns.
class Pushed {
 public:
  explicit Pushed(Core& core) : core_(core), result_(core.driver().cuCtxPushCurrent(core.context_)) {}
  ~Pushed() {
    CUcontext ours = nullptr;
    if (result_ == kSuccess) core_.driver().cuCtxPopCurrent(&ours);
  }
  Pushed(const Pushed&) = delete;
  Pushed& operator=(const Pushed&) = delete;
  int result() const { return result_; }

 private:
  Core& core_;
  int result_;
};

// The same for work: refused when the device is lost.
class Current {
 public:
  explicit Current(Core& core) : status_(core.alive()) {
    if (!status_) return;
    pushed_.emplace(core);
    status_ = core.check(pushed_->result(), "cuCtxPushCurrent");
  }
  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }

 private:
  Status status_;
  std::optional<Pushed> pushed_;
};

}  // namespace gpuio::gpu::cuda
