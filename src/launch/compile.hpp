// A kernel on a device: from the IR to what the device at hand runs.
//
// The text or words are made at launch for that device (microseconds; SPIR-V for Vulkan, PTX for CUDA, a
// decoded program for the CPU) and loaded once. The kernel must be verified and free of on-demand operations.
// Threading: any. Lifetime: the device outlives the kernel. Errors: UNSUPPORTED with the operation and its
// line for what a back end cannot express, else what loading says.
//
//   auto kernel = launch::load(*device, saxpy.view());
//   stream->launch(**kernel, {.groups = {64, 1, 1}}, arguments);
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <memory>
#include <vector>

#include "gpu/device.hpp"

namespace gpuio::launch {

// What a device's `load` takes, and what its views point into.
struct Compiled {
  gpu::KernelCode code;
  std::shared_ptr<const void> storage;
};

// The tensor maps of a kernel, as a device's `load` takes them.
std::vector<gpu::TensorSlots> tensors_of(const kernel::View& kernel);
Result<Compiled> compile(const kernel::View& kernel, const gpu::DeviceInfo& device);
Result<std::unique_ptr<gpu::Kernel>> load(gpu::Device& device, const kernel::View& kernel);

}  // namespace gpuio::launch
