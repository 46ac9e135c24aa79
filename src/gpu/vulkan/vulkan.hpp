// The Vulkan device: any vendor's GPU with Vulkan 1.2, and Mesa's lavapipe, which runs it on the CPU for
// tests.
//
// Needed of a device: buffer device addresses, timeline semaphores, 64-bit integers and the Vulkan memory
// model with device scope. The loader (libvulkan.so.1) is opened when first asked for; without it `probe`
// says so.
//
// All streams of a device share one queue, and what is submitted runs in order of submission: a stream's
// operation waits for whatever was submitted before it, by any stream. So while a kernel waits for the host
// nothing else of this device runs (capability `overlap` says it), and enqueuing stays possible.
//
// Whether kernels can talk to the host while they run is found at `open` by a bounded self-test: Vulkan
// promises nothing. lavapipe before Mesa 25 is refused for it without one: its loops end silently at 65 535
// turns. A buffer is an allocation of the driver's own; drivers allow some thousands
// (maxMemoryAllocationCount).
//
// Kernels with matrix units are loaded where the driver has their products (VK_KHR_cooperative_matrix) and
// subgroups of 32 lanes. Never run: lavapipe has no such extension.
//
//   auto device = *gpu::vulkan::open({.ordinal = 0});
#pragma once

#include <functional>

#include "gpu/device.hpp"

namespace gpuio {
class DiskCache;
}

namespace gpuio::gpu::vulkan {

struct Options {
  int ordinal = 0;  // as in Found
  Mask mask{};
  // How long the end of a stream waits for a kernel that does not return, before the device is lost.
  std::uint64_t drain_timeout_ns = 60'000'000'000;
  // Given: validation layers are switched on and each of their warnings and errors is handed over, from any
  // thread. UNSUPPORTED where VK_LAYER_KHRONOS_validation is not installed.
  std::function<void(std::string_view)> validation{};
  // Where compiled kernels are kept from one process to the next; none: nowhere.
  std::shared_ptr<DiskCache> kernels{};
};

Probe probe();  // opens each device once, so that the self-test has run
Result<std::unique_ptr<Device>> open(const Options& options);

}  // namespace gpuio::gpu::vulkan
