#include "gpu/cuda/core.hpp"

namespace gpuio::gpu::cuda {

Result<std::shared_ptr<Core>> Core::create(std::shared_ptr<const Driver> driver, CUdevice device,
                                           std::uint64_t drain_timeout_ns) {
  std::shared_ptr<Core> core(new Core(std::move(driver), device, drain_timeout_ns));
  const Driver& d = core->driver();
  if (Status s = core->check(d.cuDevicePrimaryCtxRetain(&core->context_, device), "cuDevicePrimaryCtxRetain");
      !s) {
    core->context_ = nullptr;
    return fail(std::move(s));
  }
  Current current(*core);
  if (!current.ok()) return fail(current.status());
  int pools = 0;
  if (Status s =
          core->check(d.cuDeviceGetAttribute(&pools, kMemoryPoolsSupported, device), "cuDeviceGetAttribute");
      !s) {
    return fail(std::move(s));
  }
  if (pools != 0) {
    if (Status s = core->check(d.cuStreamCreate(&core->memory_stream_, kStreamNonBlocking), "cuStreamCreate");
        !s) {
      core->memory_stream_ = nullptr;
      return fail(std::move(s));
    }
  }
  if (Status s = core->warm_up(); !s) return fail(std::move(s).wrap("first use of the device"));
  return core;
}

// Fills and copies within the device may be kernels of the driver's own, which it loads when they are first
// used; that waits for running kernels, so it happens here.
Status Core::warm_up() {
  constexpr std::size_t kBytes = 4096;
  const Driver& d = driver();
  CUdeviceptr memory = 0;
  if (Status s = check(d.cuMemAlloc(&memory, 2 * kBytes), "cuMemAlloc"); !s) return s;
  Status s = check(d.cuMemsetD8Async(memory, 0, 2 * kBytes, memory_stream_), "cuMemsetD8Async");
  if (s) s = check(d.cuMemsetD8Async(memory, 0, 3, memory_stream_), "cuMemsetD8Async");
  if (s) s = check(d.cuMemcpyAsync(memory + kBytes, memory, kBytes, memory_stream_), "cuMemcpyAsync");
  if (s) s = check(d.cuStreamSynchronize(memory_stream_), "cuStreamSynchronize");
  d.cuMemFree(memory);
  return s;
}

Core::~Core() {
  // Releasing would wait for the kernel that does not return.
  if (context_ == nullptr || stuck()) return;
  {
    const Pushed context(*this);
    for (auto& action : put_off_) action();
    if (memory_stream_ != nullptr) driver().cuStreamDestroy(memory_stream_);
  }
  driver().cuDevicePrimaryCtxRelease(device_);
}

Status Core::alive() const {
  if (!lost_.load(std::memory_order_acquire)) return {};  // pairs with the store in lose
  const std::scoped_lock guard(lock_);
  return why_lost_;
}

Status Core::check(int result, std::string_view what) {
  if (result == kSuccess) return {};
  Status s = driver().status(result, what);
  if (is_fatal(result)) lose(s, false);
  return s;
}

void Core::lose(Status why, bool stuck) {
  const std::scoped_lock guard(lock_);
  if (stuck) stuck_.store(true, std::memory_order_relaxed);
  if (lost_.load(std::memory_order_relaxed)) return;
  why_lost_ = error(Code::device_lost, "the CUDA device is lost: {}", why.message());
  lost_.store(true, std::memory_order_release);  // pairs with the load in alive
}

void Core::release(std::move_only_function<void()> action) {
  {
    const std::scoped_lock guard(lock_);
    if (open_work_.load(std::memory_order_relaxed) != 0 || stuck()) {
      put_off_.push_back(std::move(action));
      return;
    }
  }
  const Pushed context(*this);
  action();
}

void Core::work_ended() {
  std::vector<std::move_only_function<void()>> ready;
  {
    const std::scoped_lock guard(lock_);
    if (open_work_.fetch_sub(1, std::memory_order_relaxed) != 1 || stuck()) return;
    ready.swap(put_off_);
  }
  if (ready.empty()) return;
  const Pushed context(*this);
  for (auto& action : ready) action();
}

}  // namespace gpuio::gpu::cuda
