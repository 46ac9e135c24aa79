// The on-demand arrays of a context: for each device one page cache, which its proxies share, and the
// proxies.
//
// A device's cache has one user at a time: a kernel that runs over it, or a host access. Who comes meanwhile
// waits, as long as it has patience. Threading: any. Lifetime: devices and the registry outlive them; a proxy
// keeps its device's cache.
//
//   auto arrays = context.arrays.of(context.devices, device_id, context.config);
//   auto use = (*arrays)->use({.cancel = &stop});     // Result<Use>
//   (*use)->read(proxy.array(), 0, bytes, {});
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "base/config.hpp"
#include "base/status.hpp"
#include "capi/devices.hpp"
#include "gpu/device.hpp"
#include "paging/arrays.hpp"

namespace gpuio::capi {

class DeviceArrays {
 public:
  // The right to use the cache, until it goes.
  class Use {
   public:
    Use(paging::Arrays& arrays, std::unique_lock<std::timed_mutex> lock)
        : arrays_(&arrays), lock_(std::move(lock)) {}
    paging::Arrays* operator->() const { return arrays_; }

   private:
    paging::Arrays* arrays_;
    std::unique_lock<std::timed_mutex> lock_;
  };

  static Result<std::shared_ptr<DeviceArrays>> create(int id, gpu::Device& device, const Config& config);

  int device_id() const { return id_; }
  gpu::Device& device() const { return device_; }
  std::uint64_t cache_bytes() const { return cache_bytes_; }
  std::uint64_t page_bytes() const { return arrays_->page_bytes(); }
  // TIMEOUT or CANCELED when it was not to be had.
  Result<Use> use(const paging::Patience& patience);

  std::uint64_t mapped_bytes = 0;  // of windows, which count against the cache's size; while in use

 private:
  DeviceArrays(int id, gpu::Device& device, std::uint64_t cache_bytes)
      : id_(id), device_(device), cache_bytes_(cache_bytes) {}

  const int id_;
  gpu::Device& device_;
  const std::uint64_t cache_bytes_;
  std::timed_mutex mutex_;  // over the arrays, which are for one thread
  std::unique_ptr<paging::Arrays> arrays_;
};

class ContextArrays {
 public:
  // Made when the first one asks.
  Result<std::shared_ptr<DeviceArrays>> of(Devices& devices, int id, const Config& config);

 private:
  std::mutex mutex_;
  std::map<int, std::shared_ptr<DeviceArrays>> by_device_;
};

// One array, as a client holds it.
class Proxy {
 public:
  Proxy(std::shared_ptr<DeviceArrays> arrays, const paging::Array& array)
      : arrays_(std::move(arrays)), array_(array) {}

  DeviceArrays& arrays() const { return *arrays_; }
  const paging::Array& array() const { return array_; }
  std::uint64_t size() const { return array_.range.bytes; }

  // A kernel is about to use it; false once it is being destroyed.
  bool hold();
  void release();
  // False while a kernel holds it.
  bool close();

  // Of a mapped array: its address for kernels and its bytes; else zeros.
  std::pair<std::uint64_t, std::uint64_t> window_range();
  // While the device's cache is in use.
  void set_window(std::unique_ptr<gpu::Buffer> window);
  const gpu::Buffer* window() const { return window_.get(); }
  int mapped = 0;

 private:
  const std::shared_ptr<DeviceArrays> arrays_;
  const paging::Array array_;
  std::mutex mutex_;  // over what follows
  std::unique_ptr<gpu::Buffer> window_;
  int held_ = 0;
  bool closed_ = false;
};

}  // namespace gpuio::capi
