// Matrix units of a Vulkan device (VK_KHR_cooperative_matrix): which products it has, which a module asks
// for, and whether the one has the other. Pure functions; any thread.
//
// Never run with a driver that has the extension; lavapipe has not.
#pragma once

#include <volk.h>

#include <span>
#include <string>
#include <vector>

#include "base/status.hpp"

namespace gpuio::gpu::vulkan {

// Vulkan's structures and numbers, declared here because Debian 12's headers are older than the extensions.
inline constexpr const char* kMatrixExtension = "VK_KHR_cooperative_matrix";
inline constexpr const char* kBrainFloatExtension = "VK_KHR_shader_bfloat16";
struct MatrixFeatures {  // VkPhysicalDeviceCooperativeMatrixFeaturesKHR
  VkStructureType type = VkStructureType(1000506000);
  void* next = nullptr;
  VkBool32 matrices = VK_FALSE, robust_access = VK_FALSE;
};
struct BrainFloatFeatures {  // VkPhysicalDeviceShaderBfloat16FeaturesKHR
  VkStructureType type = VkStructureType(1000141000);
  void* next = nullptr;
  VkBool32 floats = VK_FALSE, dot_products = VK_FALSE, matrices = VK_FALSE;
};
enum class Component : std::uint32_t {
  f16 = 0,
  f32 = 1,
  i8 = 3,
  i32 = 5,
  u8 = 7,
  u32 = 9,
  bf16 = 1000141000
};
struct MatrixProperties {  // VkCooperativeMatrixPropertiesKHR
  VkStructureType type = VkStructureType(1000506001);
  void* next = nullptr;
  std::uint32_t m = 0, n = 0, k = 0;
  Component a{}, b{}, c{}, result{};
  VkBool32 saturates = VK_FALSE;
  std::uint32_t scope = 0;
};
using GetMatrixProperties = VkResult(VKAPI_PTR*)(VkPhysicalDevice, std::uint32_t* count, MatrixProperties*);

// m x k by k x n, summed up from c to the result, by a subgroup.
struct MatrixProduct {
  std::uint32_t m = 0, n = 0, k = 0;
  Component a{}, b{}, c{}, result{};
  bool operator==(const MatrixProduct&) const = default;
};
std::string to_text(const MatrixProduct& product);  // "16x8x16 f16 f16 f32 f32"

// What the device's subgroups multiply without saturating. `get`:
// vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR.
Result<std::vector<MatrixProduct>> products_of(GetMatrixProperties get, VkPhysicalDevice physical);
// What the module's OpCooperativeMatrixMulAddKHR ask for, each once. Of a module of gpuio's.
std::vector<MatrixProduct> products_of(std::span<const std::uint32_t> words);
// UNSUPPORTED names the first that is wanted and not there, and what is.
Status check_products(std::string_view device, std::span<const MatrixProduct> wanted,
                      std::span<const MatrixProduct> there);

}  // namespace gpuio::gpu::vulkan
