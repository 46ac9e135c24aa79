// The devices of a context: hardware GPUs from 0, the CPU at -1. Found when first asked for, opened when
// first used.
//
// One GPU that two drivers offer counts once, through CUDA where there is a choice. GPUs that a driver
// emulates on the CPU (lavapipe) count only when asked for, after the others, with vendor OTHER. Threading:
// any; finding and opening block. Lifetime: outlives what its devices make. A driver that is missing is no
// error.
//
//   Devices devices(config);
//   auto cpu = devices.open(Devices::kCpu);
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.hpp"
#include "base/disk_cache.hpp"
#include "base/status.hpp"
#include "gpu/device.hpp"

namespace gpuio::capi {

class Devices {
 public:
  static constexpr int kCpu = -1;

  explicit Devices(const Config& config);

  bool found();  // whether anybody has asked yet
  int count();
  Result<gpu::DeviceInfo> info(int id);
  Result<gpu::Device*> open(int id);
  // "auto", "cpu", "vulkan", "cuda:1"
  Result<int> named(std::string_view name);
  Result<std::uint64_t> memory_free(int id);
  // The device of what is made without naming one: at first 0, or the CPU where there is no GPU.
  int current();
  Status set_current(int id);

 private:
  struct Entry {
    gpu::Found found;
    std::unique_ptr<gpu::Device> device;  // once it was used
  };
  void find();
  Result<Entry*> entry(int id);

  const Config& config_;
  const std::shared_ptr<DiskCache> kernels_;  // of all devices
  std::mutex mutex_;                          // over all that follows
  bool found_ = false;
  std::vector<Entry> gpus_;
  std::vector<Entry> others_;  // not counted: -2, -3 … A driver's second view of a GPU, emulated ones
  std::string why_none_[2];    // of CUDA and of Vulkan
  Entry cpu_;
  int current_ = kCpu;
};

}  // namespace gpuio::capi
