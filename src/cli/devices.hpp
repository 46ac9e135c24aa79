// The devices of every backend that this build has: what `info`, `doctor` and `demo` choose from.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gpu/device.hpp"

namespace gpuio::cli {

struct DeviceProbe {
  std::string backend;  // "cpu", "vulkan", "cuda"
  std::vector<gpu::DeviceInfo> devices;
  std::string reason;  // when there is none: what is missing and what would provide it
};
std::vector<DeviceProbe> probe_devices();

// The first device of a backend, by its name.
Result<std::unique_ptr<gpu::Device>> open_device(const std::string& backend);

}  // namespace gpuio::cli
