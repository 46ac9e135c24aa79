// Buffers of the Vulkan device: one allocation and one VkBuffer each, addressed by kernels.
//
// Any thread. A buffer holds its Core, so it may be destroyed last; like every Buffer it must outlive the
// operations that use it.
#pragma once

#include "gpu/vulkan/core.hpp"

namespace gpuio::gpu::vulkan {

class VulkanBuffer final : public Buffer {
 public:
  // Device memory, or host memory that is mapped and coherent. NOMEM names the size.
  static Result<std::unique_ptr<VulkanBuffer>> allocate(std::shared_ptr<Core> core, MemoryKind kind,
                                                        std::uint64_t size);
  static Result<std::unique_ptr<VulkanBuffer>> import(std::shared_ptr<Core> core,
                                                      std::span<std::byte> memory);
  ~VulkanBuffer() override;

  VkBuffer handle() const { return parts_.buffer; }
  std::uint64_t offset() const { return parts_.offset; }  // of byte 0 in handle()

 private:
  struct Parts {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    std::uint64_t offset = 0, bytes = 0, address = 0;  // bytes: of the allocation, 0 when imported
    std::byte* host = nullptr;
  };
  VulkanBuffer(std::shared_ptr<Core> core, const Parts& parts, std::uint64_t size, MemoryKind kind)
      : Buffer(parts.address, parts.host, size, kind), core_(std::move(core)), parts_(parts) {}
  static void release(Core& core, const Parts& parts);
  static Status make(Core& core, Parts& parts, MemoryKind kind, std::uint64_t size);
  static Status make_imported(Core& core, Parts& parts, std::span<std::byte> memory);

  std::shared_ptr<Core> core_;
  Parts parts_;
};

}  // namespace gpuio::gpu::vulkan
