#include <algorithm>
#include <cstring>

#include "gpu/vulkan/core.hpp"

namespace gpuio::gpu::vulkan {
namespace {

constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

// volk keeps the loader's functions in variables of its own, set once for the process.
VkResult load_loader() {
  static const VkResult result = volkInitialize();
  return result;
}

// The loader dispatches on the handle, so the functions of the first instance serve all.
void load_functions(VkInstance instance) {
  static std::once_flag once;
  std::call_once(once, [&] { volkLoadInstanceOnly(instance); });
}

bool has_layer(const char* name) {
  std::uint32_t count = 0;
  vkEnumerateInstanceLayerProperties(&count, nullptr);
  std::vector<VkLayerProperties> layers(count);
  vkEnumerateInstanceLayerProperties(&count, layers.data());
  return std::ranges::any_of(layers, [&](const auto& l) { return std::strcmp(l.layerName, name) == 0; });
}

VKAPI_ATTR VkBool32 VKAPI_CALL hand_over(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                         VkDebugUtilsMessageTypeFlagsEXT,
                                         const VkDebugUtilsMessengerCallbackDataEXT* data, void* to) {
  (*static_cast<const std::function<void(std::string_view)>*>(to))(data->pMessage);
  return VK_FALSE;
}

}  // namespace

Status vk_error(VkResult result, std::string_view call) {
  switch (result) {
    case VK_SUCCESS: return {};
    case VK_ERROR_OUT_OF_HOST_MEMORY: return error(Code::nomem, "{}: out of host memory", call);
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return error(Code::nomem, "{}: out of device memory", call);
    case VK_ERROR_TOO_MANY_OBJECTS: return error(Code::nomem, "{}: too many objects for this driver", call);
    case VK_ERROR_DEVICE_LOST:
      return error(Code::device_lost, "{}: the Vulkan device is lost; open it again", call);
    case VK_ERROR_INCOMPATIBLE_DRIVER:
      return error(Code::not_found, "{}: no Vulkan driver is installed (or VK_DRIVER_FILES names none)",
                   call);
    case VK_ERROR_INVALID_EXTERNAL_HANDLE:
      return error(Code::unsupported,
                   "{}: this driver cannot import that memory; anonymous memory and memfd work "
                   "with most, mappings of files with few",
                   call);
    default: return error(Code::general, "{}: Vulkan result {}", call, int(result));
  }
}

Result<std::shared_ptr<Instance>> Instance::create(std::function<void(std::string_view)> validation) {
  if (load_loader() != VK_SUCCESS)
    return fail(Code::not_found, "the Vulkan loader libvulkan.so.1 is not installed (Debian: libvulkan1)");
  if (volkGetInstanceVersion() < VK_API_VERSION_1_2)
    return fail(Code::unsupported, "the Vulkan loader is older than 1.2: install a newer libvulkan.so.1");
  std::shared_ptr<Instance> instance(new Instance);
  instance->validation_ = std::move(validation);
  const bool checked = instance->validation_ != nullptr;
  if (checked && !has_layer(kValidationLayer))
    return fail(Code::unsupported, "{} is not installed (Debian: vulkan-validationlayers)", kValidationLayer);

  VkApplicationInfo application{VK_STRUCTURE_TYPE_APPLICATION_INFO};
  application.pApplicationName = "gpuio";
  application.apiVersion = VK_API_VERSION_1_2;
  VkDebugUtilsMessengerCreateInfoEXT messages{VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT};
  messages.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  messages.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  messages.pfnUserCallback = hand_over;
  messages.pUserData = &instance->validation_;
  const char* const extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  VkInstanceCreateInfo info{VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO};
  info.pApplicationInfo = &application;
  if (checked) {
    info.pNext = &messages;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &kValidationLayer;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &extension;
  }
  if (Status s = vk_error(vkCreateInstance(&info, nullptr, &instance->handle_), "vkCreateInstance"); !s)
    return fail(std::move(s));
  load_functions(instance->handle_);
  if (checked) {
    const auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
        vkGetInstanceProcAddr(instance->handle_, "vkCreateDebugUtilsMessengerEXT"));
    if (Status s = vk_error(create(instance->handle_, &messages, nullptr, &instance->messenger_),
                            "vkCreateDebugUtilsMessengerEXT");
        !s)
      return fail(std::move(s));
  }
  return instance;
}

Instance::~Instance() {
  if (handle_ == VK_NULL_HANDLE) return;
  if (messenger_ != VK_NULL_HANDLE) {
    const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
        vkGetInstanceProcAddr(handle_, "vkDestroyDebugUtilsMessengerEXT"));
    destroy(handle_, messenger_, nullptr);
  }
  vkDestroyInstance(handle_, nullptr);
}

Result<std::vector<VkPhysicalDevice>> Instance::devices() const {
  std::uint32_t count = 0;
  if (Status s = vk_error(vkEnumeratePhysicalDevices(handle_, &count, nullptr), "vkEnumeratePhysicalDevices");
      !s)
    return fail(std::move(s));
  std::vector<VkPhysicalDevice> found(count);
  if (Status s =
          vk_error(vkEnumeratePhysicalDevices(handle_, &count, found.data()), "vkEnumeratePhysicalDevices");
      !s)
    return fail(std::move(s));
  found.resize(count);
  return found;
}

}  // namespace gpuio::gpu::vulkan
