#include "gpu/vulkan/pipeline_cache.hpp"

#include <cstring>

#include "base/disk_cache.hpp"

namespace gpuio::gpu::vulkan {
namespace {

using Header = VkPipelineCacheHeaderVersionOne;

// Everything that the driver's answer depends on, and the words themselves.
std::string key_of(const Adapter& a, std::span<const std::uint32_t> words) {
  const VkPhysicalDeviceProperties& p = a.properties;
  std::string key = fmt::format("vulkan pipeline of {:08x}:{:08x} driver {:08x} {} {} uuid ", p.vendorID,
                                p.deviceID, p.driverVersion, a.driver.driverName, a.driver.driverInfo);
  for (const std::uint8_t byte : p.pipelineCacheUUID) key += fmt::format("{:02x}", byte);
  key.append(reinterpret_cast<const char*>(words.data()), words.size_bytes());
  return key;
}

// Vulkan wants a driver to refuse what is another's; not all look.
bool is_for(const VkPhysicalDeviceProperties& p, std::span<const std::byte> data) {
  Header h;
  if (data.size() < sizeof h) return false;
  std::memcpy(&h, data.data(), sizeof h);
  return h.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && h.vendorID == p.vendorID &&
         h.deviceID == p.deviceID &&
         std::memcmp(h.pipelineCacheUUID, p.pipelineCacheUUID, sizeof h.pipelineCacheUUID) == 0;
}

}  // namespace

PipelineCache::PipelineCache(const VolkDeviceTable& vk, VkDevice device, const Adapter& found,
                             DiskCache* kernels, std::span<const std::uint32_t> words)
    : vk_(vk), device_(device), kernels_(kernels) {
  if (!kernels_) return;
  key_ = key_of(found, words);
  if (auto kept = kernels_->get(key_); kept && is_for(found.properties, *kept)) there_ = std::move(*kept);
  VkPipelineCacheCreateInfo info{VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO};
  info.initialDataSize = there_.size();
  info.pInitialData = there_.data();
  // Without one the pipeline is made all the same.
  if (vk_.vkCreatePipelineCache(device_, &info, nullptr, &handle_) != VK_SUCCESS) handle_ = VK_NULL_HANDLE;
}

PipelineCache::~PipelineCache() {
  if (handle_ != VK_NULL_HANDLE) vk_.vkDestroyPipelineCache(device_, handle_, nullptr);
}

void PipelineCache::keep() {
  if (handle_ == VK_NULL_HANDLE) return;
  std::size_t size = 0;
  const auto data = [&](void* to) { return vk_.vkGetPipelineCacheData(device_, handle_, &size, to); };
  if (data(nullptr) != VK_SUCCESS || size <= sizeof(Header) || size <= there_.size()) return;
  std::vector<std::byte> now(size);
  if (data(now.data()) != VK_SUCCESS) return;
  now.resize(size);
  kernels_->put(key_, now);
}

}  // namespace gpuio::gpu::vulkan
