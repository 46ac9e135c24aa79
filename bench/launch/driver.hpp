// What launching costs without gpuio: the Vulkan calls of one dispatch by hand, and one job handed to a
// thread that sleeps.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gpu/device.hpp"

namespace gpuio::bench {

// A Vulkan device of our own beside the calls that a program without gpuio would make on the same logical
// device: record, submit, wait for the timeline.
struct Vulkan {
  std::unique_ptr<gpu::Device> device;
  std::function<void(const gpu::Kernel&)> launch_and_wait;
};
Result<Vulkan> open_vulkan();

}  // namespace gpuio::bench
