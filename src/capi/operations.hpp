// What a context keeps for operations on tensors: the kernels of each device.
//
// Threading: any. Lifetime: the devices outlive it; it outlives what was launched.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "gpu/device.hpp"

namespace gpuio::ops {
class Kernels;
}

namespace gpuio::capi {

class Operations {
 public:
  Operations();
  ~Operations();
  ops::Kernels& of(gpu::Device& device);

 private:
  std::mutex mutex_;
  std::map<gpu::Device*, std::unique_ptr<ops::Kernels>> kernels_;
};

}  // namespace gpuio::capi
