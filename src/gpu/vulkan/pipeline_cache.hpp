// What a driver made of a kernel's words, kept on disk for the next process that has the same driver and
// device.
//
// One file a kernel, so that processes which end at the same time lose nothing of each other's. Drivers that
// keep pipelines themselves (Mesa does) or that give out nothing gain nothing and lose a small read. Lives
// for one vkCreateComputePipelines; one thread.
//
//   PipelineCache cache(core.vk, core.device, core.found, core.kernels.get(), words);
//   vkCreateComputePipelines(device, cache.handle(), …);
//   cache.keep();
#pragma once

#include <span>
#include <string>
#include <vector>

#include "gpu/vulkan/core.hpp"

namespace gpuio::gpu::vulkan {

class PipelineCache {
 public:
  // `kernels` may be null: nothing is kept. All that is passed by reference or pointer outlives it.
  PipelineCache(const VolkDeviceTable& vk, VkDevice device, const Adapter& found, DiskCache* kernels,
                std::span<const std::uint32_t> words);
  ~PipelineCache();
  PipelineCache(const PipelineCache&) = delete;
  PipelineCache& operator=(const PipelineCache&) = delete;

  // VK_NULL_HANDLE where nothing is kept.
  VkPipelineCache handle() const { return handle_; }
  // Puts on disk what the driver has put in, if that is more than was there.
  void keep();

 private:
  const VolkDeviceTable& vk_;
  VkDevice device_;
  DiskCache* kernels_;
  std::string key_;
  std::vector<std::byte> there_;
  VkPipelineCache handle_ = VK_NULL_HANDLE;
};

}  // namespace gpuio::gpu::vulkan
