#include "gpu/vulkan/core.hpp"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "base/log.hpp"

namespace gpuio::gpu::vulkan {
namespace {

std::vector<VkExtensionProperties> extensions_of(VkPhysicalDevice physical) {
  std::uint32_t count = 0;
  vkEnumerateDeviceExtensionProperties(physical, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> found(count);
  vkEnumerateDeviceExtensionProperties(physical, nullptr, &count, found.data());
  found.resize(count);
  return found;
}
bool has(const std::vector<VkExtensionProperties>& extensions, const char* name) {
  return std::ranges::any_of(extensions,
                             [&](const auto& e) { return std::strcmp(e.extensionName, name) == 0; });
}

// Keeps of `features` what we use where it is offered, so that nothing else is switched on.
void keep_used(Adapter& a, const VkPhysicalDeviceFeatures& features,
               const VkPhysicalDeviceVulkan11Features& f11, const VkPhysicalDeviceVulkan12Features& f12) {
  a.features.shaderInt64 = features.shaderInt64;
  a.features.shaderFloat64 = features.shaderFloat64;
  a.features.shaderInt16 = features.shaderInt16;
  // Of bound buffers, which only shaders of other makers have; every driver offers it.
  a.features.robustBufferAccess = features.robustBufferAccess;
  a.features11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
  a.features11.storageBuffer16BitAccess = f11.storageBuffer16BitAccess;
  a.features11.uniformAndStorageBuffer16BitAccess = f11.uniformAndStorageBuffer16BitAccess;
  a.features11.storagePushConstant16 = f11.storagePushConstant16;
  a.features11.variablePointersStorageBuffer = f11.variablePointersStorageBuffer;
  a.features11.variablePointers = f11.variablePointers;
  a.features12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  a.features12.bufferDeviceAddress = f12.bufferDeviceAddress;
  a.features12.timelineSemaphore = f12.timelineSemaphore;
  a.features12.vulkanMemoryModel = f12.vulkanMemoryModel;
  a.features12.vulkanMemoryModelDeviceScope = f12.vulkanMemoryModelDeviceScope;
  a.features12.storageBuffer8BitAccess = f12.storageBuffer8BitAccess;
  a.features12.uniformAndStorageBuffer8BitAccess = f12.uniformAndStorageBuffer8BitAccess;
  a.features12.storagePushConstant8 = f12.storagePushConstant8;
  a.features12.shaderInt8 = f12.shaderInt8;
  a.features12.shaderFloat16 = f12.shaderFloat16;
  a.features12.scalarBlockLayout = f12.scalarBlockLayout;
  a.features12.uniformBufferStandardLayout = f12.uniformBufferStandardLayout;
  a.features12.shaderBufferInt64Atomics = f12.shaderBufferInt64Atomics;
  a.features12.shaderSharedInt64Atomics = f12.shaderSharedInt64Atomics;
  a.features12.shaderSubgroupExtendedTypes = f12.shaderSubgroupExtendedTypes;
}

Status check_needed(const Adapter& a) {
  const std::pair<VkBool32, std::string_view> needed[] = {
      {a.features.shaderInt64, "64-bit integers (shaderInt64)"},
      {a.features12.bufferDeviceAddress, "buffer addresses (bufferDeviceAddress)"},
      {a.features12.timelineSemaphore, "timeline semaphores (timelineSemaphore)"},
      {a.features12.vulkanMemoryModel, "the Vulkan memory model (vulkanMemoryModel)"},
      {a.features12.vulkanMemoryModelDeviceScope, "atomics of device scope (vulkanMemoryModelDeviceScope)"}};
  for (const auto& [there, what] : needed)
    if (!there) return error(Code::unsupported, "{} lacks {}", a.properties.deviceName, what);
  return {};
}

Status find_queue(Adapter& a) {
  std::uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(a.physical, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(a.physical, &count, families.data());
  for (std::uint32_t i = 0; i < count; ++i) {
    if (!(families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)) continue;
    // One without graphics is apart from the display's work where there is one.
    const bool apart = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
    if (a.queue_family != ~0u && !apart) continue;
    a.queue_family = i;
    a.timestamp_bits = families[i].timestampValidBits;
    if (apart) break;
  }
  if (a.queue_family == ~0u)
    return error(Code::unsupported, "{} has no queue for compute", a.properties.deviceName);
  return {};
}

// Matrix units, and the subgroups of a size that is asked for which their kernels want.
void examine_matrices(VkInstance instance, const std::vector<VkExtensionProperties>& extensions, Adapter& a) {
  if (!has(extensions, kMatrixExtension)) return;
  MatrixFeatures matrices;
  BrainFloatFeatures floats;
  VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT};
  VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &matrices};
  if (has(extensions, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME))
    sizes.pNext = std::exchange(features.pNext, &sizes);
  if (has(extensions, kBrainFloatExtension)) floats.next = std::exchange(features.pNext, &floats);
  vkGetPhysicalDeviceFeatures2(a.physical, &features);
  if (sizes.subgroupSizeControl) {
    VkPhysicalDeviceSubgroupSizeControlPropertiesEXT range{
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &range};
    vkGetPhysicalDeviceProperties2(a.physical, &properties);
    a.requires_subgroup_size = (range.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    a.subgroup_least = range.minSubgroupSize;
    a.subgroup_most = range.maxSubgroupSize;
    a.full_subgroups = sizes.computeFullSubgroups;
  }
  const auto get = reinterpret_cast<GetMatrixProperties>(
      vkGetInstanceProcAddr(instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
  a.matrices = matrices.matrices && get != nullptr;
  a.brain_floats = a.matrices && floats.floats && floats.matrices;
  if (!a.matrices) return;
  if (auto products = products_of(get, a.physical)) {
    a.products = std::move(*products);
  } else {
    log(LogLevel::warn, "{}: without matrix units: {}", a.properties.deviceName, products.error().message());
    a.matrices = a.brain_floats = false;
  }
}

}  // namespace

Result<Adapter> examine(const Instance& instance, VkPhysicalDevice physical) {
  Adapter a;
  a.physical = physical;
  vkGetPhysicalDeviceProperties(physical, &a.properties);
  if (a.properties.apiVersion < VK_API_VERSION_1_2)
    return fail(Code::unsupported,
                "{} speaks Vulkan {}.{}; 1.2 or later is needed: a newer driver may have it",
                a.properties.deviceName, VK_API_VERSION_MAJOR(a.properties.apiVersion),
                VK_API_VERSION_MINOR(a.properties.apiVersion));
  const auto extensions = extensions_of(physical);
  a.budget = has(extensions, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);

  a.driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
  VkPhysicalDeviceSubgroupProperties subgroup{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
  VkPhysicalDeviceMaintenance3Properties limits{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
  VkPhysicalDeviceExternalMemoryHostPropertiesEXT host{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT};
  VkPhysicalDeviceShaderSMBuiltinsPropertiesNV multiprocessors{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV};
  VkPhysicalDeviceFloatControlsProperties floats{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES};
  VkPhysicalDeviceProperties2 properties{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
  properties.pNext = &a.driver;
  a.driver.pNext = &floats;
  floats.pNext = &subgroup;
  subgroup.pNext = &limits;
  const bool import = has(extensions, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  if (import) limits.pNext = &host;
  if (has(extensions, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME)) {
    multiprocessors.pNext = limits.pNext;
    limits.pNext = &multiprocessors;
  }
  vkGetPhysicalDeviceProperties2(physical, &properties);
  a.driver.pNext = nullptr;
  a.subgroup_size = subgroup.subgroupSize;
  a.subgroup_operations =
      subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT ? subgroup.supportedOperations : 0;
  a.allocation_max = limits.maxMemoryAllocationSize;
  a.import_alignment = import ? host.minImportedHostPointerAlignment : 0;
  a.keeps_specials_32 = floats.shaderSignedZeroInfNanPreserveFloat32;
  a.keeps_specials_64 = floats.shaderSignedZeroInfNanPreserveFloat64;
  a.compute_units = multiprocessors.shaderSMCount;
  if (a.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU)
    a.compute_units = std::thread::hardware_concurrency();
  a.compute_units = std::max(a.compute_units, 1u);  // Vulkan itself does not tell
  vkGetPhysicalDeviceMemoryProperties(physical, &a.memory);

  VkPhysicalDeviceVulkan11Features f11{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES};
  VkPhysicalDeviceVulkan12Features f12{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
  VkPhysicalDeviceFeatures2 features{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
  features.pNext = &f11;
  f11.pNext = &f12;
  vkGetPhysicalDeviceFeatures2(physical, &features);
  keep_used(a, features.features, f11, f12);
  a.queue_family = ~0u;
  if (Status s = check_needed(a); !s) return fail(std::move(s));
  examine_matrices(instance.handle(), extensions, a);
  if (Status s = find_queue(a); !s) return fail(std::move(s));
  return a;
}

Result<std::shared_ptr<Core>> Core::create(std::shared_ptr<Instance> instance, const Adapter& found,
                                           const Options& options) {
  std::shared_ptr<Core> core(new Core(std::move(instance), found, options));
  const float priority = 1;
  VkDeviceQueueCreateInfo queue{VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO};
  queue.queueFamilyIndex = found.queue_family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  std::vector<const char*> extensions;
  if (found.import_alignment != 0) extensions.push_back(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  if (found.budget) extensions.push_back(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  auto f11 = found.features11;
  auto f12 = found.features12;
  f11.pNext = &f12;
  VkPhysicalDeviceSubgroupSizeControlFeaturesEXT sizes{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES_EXT};
  MatrixFeatures matrices{.matrices = VK_TRUE};
  BrainFloatFeatures floats{.floats = VK_TRUE, .matrices = VK_TRUE};
  if (found.requires_subgroup_size) {
    extensions.push_back(VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
    sizes.subgroupSizeControl = VK_TRUE;
    sizes.computeFullSubgroups = found.full_subgroups;
    sizes.pNext = std::exchange(f12.pNext, &sizes);
  }
  if (found.matrices) {
    extensions.push_back(kMatrixExtension);
    matrices.next = std::exchange(f12.pNext, &matrices);
  }
  if (found.brain_floats) {
    extensions.push_back(kBrainFloatExtension);
    floats.next = std::exchange(f12.pNext, &floats);
  }
  VkDeviceCreateInfo info{VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO};
  info.pNext = &f11;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = std::uint32_t(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  info.pEnabledFeatures = &found.features;
  if (Status s = vk_error(vkCreateDevice(found.physical, &info, nullptr, &core->device), "vkCreateDevice");
      !s)
    return fail(std::move(s));
  volkLoadDeviceTable(&core->vk, core->device);
  core->vk.vkGetDeviceQueue(core->device, found.queue_family, 0, &core->queue_);
  return core;
}

Core::~Core() {
  if (device == VK_NULL_HANDLE) return;
  // A device that was given up may still run a kernel that uses it: then it is left, with what it holds.
  if (lost_.load(std::memory_order_relaxed)) {
    (void)new std::shared_ptr<Instance>(std::move(instance_));
    return;
  }
  vk.vkDestroyDevice(device, nullptr);
}

Status Core::alive() const {
  if (!lost_.load(std::memory_order_relaxed)) return {};
  return error(Code::device_lost, "{} is lost; open it again", found.properties.deviceName);
}

Status Core::check(VkResult result, std::string_view call) {
  if (result == VK_ERROR_DEVICE_LOST) lose();
  return vk_error(result, call);
}

Status Core::submit(VkCommandBuffer commands, VkSemaphore timeline, Point point) {
  VkTimelineSemaphoreSubmitInfo values{VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO};
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &point;
  VkSubmitInfo info{VK_STRUCTURE_TYPE_SUBMIT_INFO};
  info.pNext = &values;
  info.commandBufferCount = commands == VK_NULL_HANDLE ? 0 : 1;
  info.pCommandBuffers = &commands;
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &timeline;
  std::scoped_lock hold(submit_lock_);
  return check(vk.vkQueueSubmit(queue_, 1, &info, VK_NULL_HANDLE), "vkQueueSubmit");
}

std::uint64_t Core::memory_free() const {
  const VkPhysicalDeviceMemoryProperties& memory = found.memory;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
  if (found.budget) {
    VkPhysicalDeviceMemoryProperties2 now{VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    now.pNext = &budget;
    vkGetPhysicalDeviceMemoryProperties2(found.physical, &now);
  }
  std::uint64_t best = 0;
  for (std::uint32_t h = 0; h < memory.memoryHeapCount; ++h) {
    if (!(memory.memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)) continue;
    const std::uint64_t size = found.budget ? budget.heapBudget[h] : memory.memoryHeaps[h].size;
    const std::uint64_t used = found.budget ? budget.heapUsage[h] : allocated.load(std::memory_order_relaxed);
    best = std::max(best, size > used ? size - used : 0);
  }
  return best;
}

}  // namespace gpuio::gpu::vulkan
