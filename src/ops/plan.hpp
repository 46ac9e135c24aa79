// What an operation launches, and the memory in which its kernels hand each other their parts.
//
// Threading: a Workspace any, a Plan its owner's. Lifetime: the device outlives them; kernels and workspace
// outlive what was launched. Errors: NOMEM, what launching says.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "gpu/device.hpp"

namespace gpuio::ops {

// Memory between the kernels of one operation: the next operation of the stream overwrites it. One stream's;
// outlives what was launched there.
class Workspace {
 public:
  // At least so many bytes on the device, undefined.
  Result<std::uint64_t> at_least(gpu::Device& device, std::uint64_t bytes);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<gpu::Buffer>>
      buffers_;  // the last is the largest; what is in flight may use others
};

// What an operation launches, one after the other.
class Plan {
 public:
  static constexpr std::size_t kArgumentsMax = 32;
  template <std::size_t N>
  Status launch(const gpu::Kernel* kernel, const gpu::Grid& grid,
                const std::array<gpu::Argument, N>& arguments) {
    static_assert(N <= kArgumentsMax);
    Step& step = steps_.emplace_back(kernel, grid, std::uint32_t(N));
    std::ranges::copy(arguments, step.arguments.begin());
    return {};
  }
  Status run(gpu::Stream& queue) const;
  bool empty() const { return steps_.empty(); }

 private:
  struct Step {
    const gpu::Kernel* kernel;
    gpu::Grid grid;
    std::uint32_t count;
    std::array<gpu::Argument, kArgumentsMax> arguments{};
  };
  std::vector<Step> steps_;
};

}  // namespace gpuio::ops
