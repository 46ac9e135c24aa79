// A kernel with matrix units is loaded where the device has its products, and else refused by name.
#include "gpu/vulkan/matrices.hpp"

#include <gtest/gtest.h>
#include <gpuio/kernel/spirv.hpp>

#include <algorithm>

#include "launch/compile.hpp"
#include "support/matrices.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::gpu::vulkan {
namespace {

using test_kernels::product;

// What NVIDIA's driver lists, cut down, and entries of the same shapes that are no use to us.
constexpr Component f16 = Component::f16, f32 = Component::f32, i8 = Component::i8, u8 = Component::u8,
                    i32 = Component::i32, u32 = Component::u32;
struct Script {
  VkResult result = VK_SUCCESS;
  std::vector<MatrixProperties> list;
};
Script script;

MatrixProperties of(std::uint32_t m, std::uint32_t n, std::uint32_t k, Component a, Component c) {
  return {.m = m, .n = n, .k = k, .a = a, .b = a, .c = c, .result = c, .scope = 3};
}
VkResult VKAPI_CALL get(VkPhysicalDevice, std::uint32_t* count, MatrixProperties* out) {
  if (script.result != VK_SUCCESS) return script.result;
  const std::size_t most = out ? *count : 0;
  *count = std::uint32_t(script.list.size());
  for (std::size_t i = 0; i < std::min(most, script.list.size()); ++i) {
    EXPECT_EQ(out[i].type, 1000506001);
    out[i] = script.list[i];
  }
  return VK_SUCCESS;
}
std::vector<MatrixProduct> offered(std::vector<MatrixProperties> list) {
  script = {VK_SUCCESS, std::move(list)};
  auto products = products_of(get, VK_NULL_HANDLE);
  EXPECT_TRUE(products) << products.error().message();
  return products ? std::move(*products) : std::vector<MatrixProduct>{};
}

template <class T, bool kColumns>
kernel::Program program() {
  return kernel::trace_program(product<T, kColumns>, "product", {64, 1, 1});
}
template <class T, bool kColumns>
std::vector<MatrixProduct> wanted() {
  return products_of(kernel::emit_spirv(program<T, kColumns>().view()));
}

TEST(VulkanMatrices, AModulesProductsAreReadFromItsWords) {
  EXPECT_EQ((wanted<kernel::f16, true>()), (std::vector<MatrixProduct>{{16, 8, 16, f16, f16, f32, f32}}));
  EXPECT_EQ((wanted<kernel::f16, false>()), (std::vector<MatrixProduct>{{16, 8, 16, f16, f16, f32, f32}}));
  EXPECT_EQ((wanted<kernel::bf16, true>()),
            (std::vector<MatrixProduct>{{16, 8, 16, Component::bf16, Component::bf16, f32, f32}}));
  EXPECT_EQ((wanted<kernel::i8, true>()), (std::vector<MatrixProduct>{{16, 8, 32, i8, i8, i32, i32}}));
  // Cut anywhere, it is read to there.
  const auto words = kernel::emit_spirv(program<kernel::i8, true>().view());
  for (std::size_t n = 0; n < words.size(); ++n) EXPECT_LE(products_of(std::span(words).first(n)).size(), 1u);
}

TEST(VulkanMatrices, WhatSubgroupsDoNotMakeOrSaturatesIsLeftOut) {
  MatrixProperties saturating = of(16, 8, 32, i8, i32), of_workgroups = of(16, 8, 16, f16, f32);
  saturating.saturates = VK_TRUE;
  of_workgroups.scope = 2;
  EXPECT_TRUE(offered({saturating, of_workgroups}).empty());
  EXPECT_EQ(offered({saturating, of(16, 16, 16, f16, f32)}),
            (std::vector<MatrixProduct>{{16, 16, 16, f16, f16, f32, f32}}));
  script.result = VK_ERROR_OUT_OF_HOST_MEMORY;
  const auto none = products_of(get, VK_NULL_HANDLE);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message().find("CooperativeMatrixProperties"), std::string::npos);
}

TEST(VulkanMatrices, AProductIsThereOrRefusedByName) {
  const auto there = offered({of(16, 16, 16, f16, f32), of(16, 8, 16, f16, f16), of(16, 8, 16, f16, f32),
                              of(16, 8, 32, u8, u32), of(16, 16, 32, i8, i32)});
  EXPECT_TRUE(check_products("some GPU", wanted<kernel::f16, true>(), there).ok());
  const Status s = check_products("some GPU", wanted<kernel::i8, true>(), there);
  EXPECT_EQ(s.code(), Code::unsupported);
  EXPECT_EQ(
      s.message(),
      "the matrix units of some GPU have no product 16x8x32 i8 i8 i32 i32 (MxNxK, types of A, B, C and the "
      "result), but 16x16x16 f16 f16 f32 f32, 16x8x16 f16 f16 f16 f16, 16x8x16 f16 f16 f32 f32, 16x8x32 u8 "
      "u8 u32 u32, 16x16x32 i8 i8 i32 i32: use a variant without matrix units");
  EXPECT_NE(check_products("some GPU", wanted<kernel::i8, true>(), {}).message().find("none that subgroups"),
            std::string::npos);
}

// lavapipe has no such extension.
TEST(VulkanMatrices, ADriverWithoutThemSaysWhatIsMissing) {
  auto device = test_vulkan::open({});
  if (!device) GTEST_SKIP() << device.error().message();
  const auto loaded = launch::load(**device, program<kernel::f16, true>().view());
  if (loaded) GTEST_SKIP() << (*device)->info().name << " has matrix units";
  EXPECT_EQ(loaded.error().code(), Code::unsupported);
  EXPECT_NE(loaded.error().message().find("lacks matrix units (VK_KHR_cooperative_matrix)"),
            std::string::npos)
      << loaded.error().message();
  EXPECT_NE(loaded.error().message().find((*device)->info().name), std::string::npos);
}

}  // namespace
}  // namespace gpuio::gpu::vulkan
