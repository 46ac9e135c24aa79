// The device itself: buffers, kernels and streams over one Core.
#pragma once

#include "gpu/vulkan/stream.hpp"

namespace gpuio::gpu::vulkan {

class VulkanDevice final : public Device, public ShaderDevice {
 public:
  VulkanDevice(DeviceInfo info, std::shared_ptr<Core> core)
      : Device(std::move(info)), core_(std::move(core)) {}

  Result<std::unique_ptr<Buffer>> allocate(MemoryKind kind, std::uint64_t size) override;
  Result<std::unique_ptr<Buffer>> import(std::span<std::byte> memory) override;
  Result<std::unique_ptr<Kernel>> load(const KernelCode& code) override;
  Result<std::unique_ptr<Kernel>> load_shader(const ShaderCode& code) override;
  Result<std::unique_ptr<Stream>> stream() override { return VulkanStream::create(core_, info_.timestamps); }
  std::uint64_t memory_free() const override { return core_->memory_free(); }
  void give_up() override { core_->lose(); }

  // Finds kernel_io and kernel_wait by running a kernel that waits for an answer of the host. Bounded; an
  // error means that the device did not come back.
  Status test_waiting();

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace gpuio::gpu::vulkan
