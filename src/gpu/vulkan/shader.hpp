// Modules of other makers on Vulkan: their buffers go through descriptor sets, where ours are addresses.
#pragma once

#include <deque>

#include "gpu/shader.hpp"
#include "gpu/vulkan/memory.hpp"

namespace gpuio::gpu::vulkan {

struct VulkanShader final : Kernel {
  explicit VulkanShader(std::shared_ptr<Core> c) : core(std::move(c)) {}
  ~VulkanShader() override;
  std::shared_ptr<Core> core;
  std::string name;
  std::vector<ShaderBinding> bindings;
  std::uint32_t push_bytes = 0;
  std::vector<VkDescriptorSetLayout> sets;  // from set 0 on; those that nothing is bound in are empty
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkPipeline pipeline = VK_NULL_HANDLE;
};

Result<std::unique_ptr<VulkanShader>> load_shader(std::shared_ptr<Core> core, const DeviceInfo& info,
                                                  const ShaderCode& code);

// Descriptor sets for launches under way, in order of the points that end them. Of one stream; holds its
// Core.
class DescriptorArena {
 public:
  explicit DescriptorArena(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  ~DescriptorArena();
  DescriptorArena(const DescriptorArena&) = delete;
  DescriptorArena& operator=(const DescriptorArena&) = delete;
  // The shader's sets, free again once `point` is reached; `reached` is the timeline now.
  Result<std::vector<VkDescriptorSet>> take(const VulkanShader& shader, Point point, Point reached);

 private:
  struct Pool {
    VkDescriptorPool handle = VK_NULL_HANDLE;
    std::uint32_t room = 0;             // descriptors of each kind that it was made for
    std::uint32_t sets = 0, bound = 0;  // taken
    Point busy = 0;                     // until this point
  };
  std::shared_ptr<Core> core_;
  std::deque<Pool> pools_;  // the one in use last
};

}  // namespace gpuio::gpu::vulkan
