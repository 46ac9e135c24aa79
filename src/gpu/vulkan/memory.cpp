#include "gpu/vulkan/memory.hpp"

#include <optional>

#include "base/platform/memory.hpp"

namespace gpuio::gpu::vulkan {
namespace {

constexpr std::uint64_t kAlignment = 256;  // of addresses: for any load, and for coalescing

Status create_buffer(Core& core, std::uint64_t size, const void* next, VkBuffer& buffer) {
  VkBufferCreateInfo info{VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO};
  info.pNext = next;
  info.size = size;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
               VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
               VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  return core.check(core.vk.vkCreateBuffer(core.device, &info, nullptr, &buffer), "vkCreateBuffer");
}

// The first memory type among `allowed` with all of `flags`; the driver lists the faster first.
std::optional<std::uint32_t> find_type(const Core& core, std::uint32_t allowed, VkMemoryPropertyFlags flags) {
  const VkPhysicalDeviceMemoryProperties& memory = core.found.memory;
  for (std::uint32_t t = 0; t < memory.memoryTypeCount; ++t)
    if ((allowed >> t & 1) != 0 && (memory.memoryTypes[t].propertyFlags & flags) == flags) return t;
  return std::nullopt;
}
std::optional<std::uint32_t> find_type(const Core& core, std::uint32_t allowed, MemoryKind kind) {
  constexpr VkMemoryPropertyFlags kCoherent =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  if (kind == MemoryKind::device) return find_type(core, allowed, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
  // Cached, or the host's reads go over the bus; Vulkan promises a coherent type, not a cached one.
  if (const auto cached = find_type(core, allowed, kCoherent | VK_MEMORY_PROPERTY_HOST_CACHED_BIT))
    return cached;
  return find_type(core, allowed, kCoherent);
}

VkMemoryAllocateFlagsInfo addressable() {
  VkMemoryAllocateFlagsInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO};
  info.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  return info;
}

std::uint64_t address_of(Core& core, VkBuffer buffer) {
  VkBufferDeviceAddressInfo info{VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO};
  info.buffer = buffer;
  return core.vk.vkGetBufferDeviceAddress(core.device, &info);
}

}  // namespace

void VulkanBuffer::release(Core& core, const Parts& parts) {
  if (!core.alive()) return;  // a kernel that never returned may still write there
  if (parts.buffer != VK_NULL_HANDLE) core.vk.vkDestroyBuffer(core.device, parts.buffer, nullptr);
  if (parts.memory != VK_NULL_HANDLE) core.vk.vkFreeMemory(core.device, parts.memory, nullptr);
  core.allocated.fetch_sub(parts.bytes, std::memory_order_relaxed);
}
VulkanBuffer::~VulkanBuffer() { release(*core_, parts_); }

Status VulkanBuffer::make(Core& core, Parts& parts, MemoryKind kind, std::uint64_t size) {
  if (Status s = create_buffer(core, size, nullptr, parts.buffer); !s) return s;
  VkMemoryRequirements needs{};
  core.vk.vkGetBufferMemoryRequirements(core.device, parts.buffer, &needs);
  const auto type = find_type(core, needs.memoryTypeBits, kind);
  if (!type)
    return error(Code::unsupported, "{} has no memory of this kind for buffers",
                 core.found.properties.deviceName);
  const VkMemoryAllocateFlagsInfo flags = addressable();
  VkMemoryAllocateInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
  info.pNext = &flags;
  info.allocationSize = needs.size;
  info.memoryTypeIndex = *type;
  if (Status s = core.check(core.vk.vkAllocateMemory(core.device, &info, nullptr, &parts.memory),
                            "vkAllocateMemory");
      !s)
    return s;
  parts.bytes = needs.size;
  core.allocated.fetch_add(parts.bytes, std::memory_order_relaxed);
  if (Status s = core.check(core.vk.vkBindBufferMemory(core.device, parts.buffer, parts.memory, 0),
                            "vkBindBufferMemory");
      !s)
    return s;
  if (kind == MemoryKind::pinned) {
    void* host = nullptr;
    if (Status s = core.check(core.vk.vkMapMemory(core.device, parts.memory, 0, VK_WHOLE_SIZE, 0, &host),
                              "vkMapMemory");
        !s)
      return s;
    parts.host = static_cast<std::byte*>(host);
  }
  parts.address = address_of(core, parts.buffer);
  return {};
}

Result<std::unique_ptr<VulkanBuffer>> VulkanBuffer::allocate(std::shared_ptr<Core> core, MemoryKind kind,
                                                             std::uint64_t size) {
  if (Status s = core->alive(); !s) return fail(std::move(s));
  if (size == 0) return fail(Code::invalid_arg, "allocate: a buffer has at least one byte");
  std::scoped_lock hold(core->allocation_lock);
  const std::uint64_t room = std::min(core->memory_free(), core->found.allocation_max);
  if (size > room)
    return fail(Code::nomem, "allocate: {} bytes; {} can give {} at once", size,
                core->found.properties.deviceName, room);
  Parts parts;
  Status s = make(*core, parts, kind, size);
  if (s && parts.address % kAlignment != 0) {  // a driver that aligns to less: begin further in
    release(*core, parts);
    parts = {};
    s = make(*core, parts, kind, size + kAlignment);
    parts.offset = (kAlignment - parts.address % kAlignment) % kAlignment;
    parts.address += parts.offset;
    if (parts.host != nullptr) parts.host += parts.offset;
  }
  if (!s) {
    release(*core, parts);
    return fail(std::move(s).wrap(fmt::format("allocate {} bytes", size)));
  }
  return std::unique_ptr<VulkanBuffer>(new VulkanBuffer(std::move(core), parts, size, kind));
}

Status VulkanBuffer::make_imported(Core& core, Parts& parts, std::span<std::byte> memory) {
  constexpr VkExternalMemoryHandleTypeFlagBits kHost = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  const std::uint64_t align = core.found.import_alignment;
  const std::uint64_t size = (memory.size() + align - 1) / align * align;
  VkExternalMemoryBufferCreateInfo external{VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO};
  external.handleTypes = kHost;
  if (Status s = create_buffer(core, size, &external, parts.buffer); !s) return s;
  VkMemoryHostPointerPropertiesEXT pointer{VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
  if (Status s =
          core.check(core.vk.vkGetMemoryHostPointerPropertiesEXT(core.device, kHost, memory.data(), &pointer),
                     "vkGetMemoryHostPointerPropertiesEXT");
      !s)
    return s;
  VkMemoryRequirements needs{};
  core.vk.vkGetBufferMemoryRequirements(core.device, parts.buffer, &needs);
  const auto type = find_type(core, needs.memoryTypeBits & pointer.memoryTypeBits, MemoryKind::pinned);
  if (!type || needs.size > size)
    return error(Code::unsupported, "{} offers no coherent memory type for this memory",
                 core.found.properties.deviceName);
  const VkMemoryAllocateFlagsInfo flags = addressable();
  VkImportMemoryHostPointerInfoEXT import{VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT};
  import.pNext = &flags;
  import.handleType = kHost;
  import.pHostPointer = memory.data();
  VkMemoryAllocateInfo info{VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO};
  info.pNext = &import;
  info.allocationSize = size;
  info.memoryTypeIndex = *type;
  if (Status s = core.check(core.vk.vkAllocateMemory(core.device, &info, nullptr, &parts.memory),
                            "vkAllocateMemory");
      !s)
    return s;
  if (Status s = core.check(core.vk.vkBindBufferMemory(core.device, parts.buffer, parts.memory, 0),
                            "vkBindBufferMemory");
      !s)
    return s;
  parts.host = memory.data();
  parts.address = address_of(core, parts.buffer);
  return {};
}

Result<std::unique_ptr<VulkanBuffer>> VulkanBuffer::import(std::shared_ptr<Core> core,
                                                           std::span<std::byte> memory) {
  if (Status s = core->alive(); !s) return fail(std::move(s));
  if (memory.empty()) return fail(Code::invalid_arg, "import: a buffer has at least one byte");
  // The last page is mapped as a whole, so up to a page the size may be rounded up.
  const std::uint64_t page = page_bytes(), align = core->found.import_alignment;
  if (reinterpret_cast<std::uintptr_t>(memory.data()) % std::max(align, page) != 0 ||
      (align > page && memory.size() % align != 0))
    return fail(Code::invalid_arg, "import: {} bytes at {} are not aligned to {}", memory.size(),
                fmt::ptr(memory.data()), std::max(align, page));
  Parts parts;
  if (Status s = make_imported(*core, parts, memory); !s) {
    release(*core, parts);
    return fail(std::move(s).wrap(fmt::format("import of {} bytes", memory.size())));
  }
  return std::unique_ptr<VulkanBuffer>(
      new VulkanBuffer(std::move(core), parts, memory.size(), MemoryKind::pinned));
}

}  // namespace gpuio::gpu::vulkan
