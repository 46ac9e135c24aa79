// Pipelines: what a module asks of the device is read from its words, so that a refusal can name it.
#include <algorithm>

#include "gpu/vulkan/device.hpp"
#include "gpu/vulkan/pipeline_cache.hpp"

namespace gpuio::gpu::vulkan {
namespace {

constexpr std::uint32_t kMagic = 0x07230203, kVersion14 = 0x00010400, kHeaderWords = 5;
constexpr std::uint32_t kOpEntryPoint = 15, kOpExecutionMode = 16, kOpCapability = 17, kOpFunction = 54;
constexpr std::uint32_t kMatrices = 6022;   // a capability
constexpr std::uint32_t kMatrixLanes = 32;  // of subgroups that matrix units' kernels are made for
constexpr std::uint32_t kParametersMax = 256;

struct Need {
  std::uint32_t capability;  // SPIR-V's number
  VkBool32 there;
  std::string_view what;
};

// What says most comes first.
std::vector<Need> offers(const Adapter& a) {
  return {
      {kMatrices, a.matrices,
       "matrix units (VK_KHR_cooperative_matrix), which a newer driver may have: use a variant without"},
      {5118, a.brain_floats, "matrix units of bf16 (VK_KHR_shader_bfloat16): use f16, or a variant without"},
      {9, a.features12.shaderFloat16, "16-bit floats (shaderFloat16)"},
      {22, a.features.shaderInt16, "16-bit integers (shaderInt16)"},
      {39, a.features12.shaderInt8, "8-bit integers (shaderInt8)"},
      {10, a.features.shaderFloat64, "64-bit floats (shaderFloat64)"},
      {12, a.features12.shaderBufferInt64Atomics, "64-bit atomics (shaderBufferInt64Atomics)"},
      {4433, a.features11.storageBuffer16BitAccess, "16-bit storage (storageBuffer16BitAccess)"},
      {4448, a.features12.storageBuffer8BitAccess, "8-bit storage (storageBuffer8BitAccess)"},
      {62, (a.subgroup_operations & VK_SUBGROUP_FEATURE_VOTE_BIT) != 0, "subgroup votes"},
      {63, (a.subgroup_operations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT) != 0, "subgroup reductions"},
      {64, (a.subgroup_operations & VK_SUBGROUP_FEATURE_BALLOT_BIT) != 0, "subgroup ballots"},
      {65, (a.subgroup_operations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT) != 0, "subgroup shuffles"}};
}

bool asks_for(std::span<const std::uint32_t> words, std::uint32_t capability) {
  for (std::size_t at = kHeaderWords; at + 1 < words.size() && (words[at] & 0xffff) == kOpCapability; at += 2)
    if (words[at + 1] == capability) return true;
  return false;
}

bool may_require(const Adapter& a) {
  return a.requires_subgroup_size && a.subgroup_least <= kMatrixLanes && kMatrixLanes <= a.subgroup_most;
}

Status check_matrices(const Adapter& a, std::span<const std::uint32_t> words) {
  if (!asks_for(words, kMatrices)) return {};
  if (!may_require(a) && a.subgroup_size != kMatrixLanes)
    return error(
        Code::unsupported,
        "{} has subgroups of {} lanes and cannot be asked for {} (VK_EXT_subgroup_size_control), which "
        "products of matrix units are made for: use a variant without",
        a.properties.deviceName, a.subgroup_size, kMatrixLanes);
  return check_products(a.properties.deviceName, products_of(words), a.products);
}

Status check_module(const Adapter& a, const KernelCode& code) {
  if (code.spirv.empty())
    return error(Code::unsupported, "load of '{}': it has no SPIR-V, which is what Vulkan runs", code.name);
  if (code.spirv.size() < kHeaderWords || code.spirv[0] != kMagic)
    return error(Code::invalid_arg, "load of '{}': its {} words are no SPIR-V module", code.name,
                 code.spirv.size());
  for (const Need& n : offers(a))
    if (!n.there && asks_for(code.spirv, n.capability))
      return error(Code::unsupported, "load of '{}': {} lacks {}", code.name, a.properties.deviceName,
                   n.what);
  if (Status s = check_matrices(a, code.spirv); !s)
    return std::move(s).wrap(fmt::format("load of '{}'", code.name));
  return {};
}

// The module with the promise that zeros keep their signs and that infinities and NaNs count, as far as the
// device makes it: without, a driver may fold x * 0 to 0. Modules are made before any device is known, so it
// is added here. Left as it came: before SPIR-V 1.4, or where it asks for that itself.
std::vector<std::uint32_t> keep_specials(const Adapter& a, std::span<const std::uint32_t> words) {
  constexpr std::uint32_t kFloat64 = 10, kPreserve = 4466, kPreserveMode = 4461;
  std::vector<std::uint32_t> out(words.begin(), words.end());
  if (!a.keeps_specials_32 || words[1] < kVersion14) return out;
  std::size_t capabilities_end = kHeaderWords, modes_end = 0;
  std::uint32_t entry = 0;
  bool doubles = false;
  for (std::size_t at = kHeaderWords; at < words.size();) {
    const std::uint32_t op = words[at] & 0xffff, length = words[at] >> 16;
    if (length == 0 || length > words.size() - at || op == kOpFunction) break;
    if (op == kOpCapability && length == 2) {
      if (words[at + 1] == kPreserve) return out;
      doubles |= words[at + 1] == kFloat64;
      capabilities_end = at + length;
    } else if (op == kOpEntryPoint && length > 2) {
      entry = words[at + 2];
      modes_end = at + length;
    } else if (op == kOpExecutionMode) {
      modes_end = at + length;
    }
    at += length;
  }
  if (entry == 0) return out;
  std::vector<std::uint32_t> modes{4u << 16 | kOpExecutionMode, entry, kPreserveMode, 32};
  if (doubles && a.keeps_specials_64)
    modes.insert(modes.end(), {4u << 16 | kOpExecutionMode, entry, kPreserveMode, 64});
  out.insert(out.begin() + std::ptrdiff_t(modes_end), modes.begin(), modes.end());
  const std::uint32_t capability[] = {2u << 16 | kOpCapability, kPreserve};
  out.insert(out.begin() + std::ptrdiff_t(capabilities_end), capability, capability + 2);
  return out;
}

Status check_sizes(const DeviceInfo& info, const Adapter& a, const KernelCode& code) {
  const std::uint64_t lanes = std::uint64_t{code.block[0]} * code.block[1] * code.block[2];
  for (int d = 0; d < 3; ++d)
    if (code.block[d] == 0 || code.block[d] > a.properties.limits.maxComputeWorkGroupSize[d] ||
        lanes > info.lanes_max)
      return error(Code::invalid_arg,
                   "load of '{}': a workgroup of {}x{}x{} lanes; at most {} ({}x{}x{}) are possible",
                   code.name, code.block[0], code.block[1], code.block[2], info.lanes_max,
                   a.properties.limits.maxComputeWorkGroupSize[0],
                   a.properties.limits.maxComputeWorkGroupSize[1],
                   a.properties.limits.maxComputeWorkGroupSize[2]);
  if (code.shared_bytes > info.shared_bytes_max)
    return error(Code::invalid_arg, "load of '{}': {} bytes of shared memory, at most {}", code.name,
                 code.shared_bytes, info.shared_bytes_max);
  if (code.parameters > kParametersMax)
    return error(Code::invalid_arg, "load of '{}': {} parameters, at most {}", code.name, code.parameters,
                 kParametersMax);
  return {};
}

Status make_pipeline(Core& core, std::span<const std::uint32_t> words, VulkanKernel& kernel) {
  VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(std::uint64_t)};
  VkPipelineLayoutCreateInfo layout{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  Status s = core.check(core.vk.vkCreatePipelineLayout(core.device, &layout, nullptr, &kernel.layout),
                        "vkCreatePipelineLayout");
  if (!s) return s;
  VkShaderModuleCreateInfo code{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  code.codeSize = words.size_bytes();
  code.pCode = words.data();
  VkShaderModule module = VK_NULL_HANDLE;
  s = core.check(core.vk.vkCreateShaderModule(core.device, &code, nullptr, &module), "vkCreateShaderModule");
  if (!s) return s;
  VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  info.stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO};
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfoEXT subgroup{
      VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO_EXT};
  subgroup.requiredSubgroupSize = kMatrixLanes;
  if (asks_for(words, kMatrices) && may_require(core.found)) {
    info.stage.pNext = &subgroup;
    if (core.found.full_subgroups)
      info.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT_EXT;
  }
  info.layout = kernel.layout;
  PipelineCache cache(core.vk, core.device, core.found, core.kernels.get(), words);
  s = core.check(
      core.vk.vkCreateComputePipelines(core.device, cache.handle(), 1, &info, nullptr, &kernel.pipeline),
      "vkCreateComputePipelines");
  if (s.ok()) cache.keep();
  core.vk.vkDestroyShaderModule(core.device, module, nullptr);
  return s;
}

}  // namespace

Result<std::unique_ptr<Kernel>> VulkanDevice::load(const KernelCode& code) {
  if (Status s = core_->alive(); !s) return fail(std::move(s));
  if (Status s = check_module(core_->found, code); !s) return fail(std::move(s));
  if (Status s = check_sizes(info_, core_->found, code); !s) return fail(std::move(s));
  auto kernel = std::make_unique<VulkanKernel>(core_);
  kernel->name = code.name;
  kernel->parameters = code.parameters;
  if (Status s = make_pipeline(*core_, keep_specials(core_->found, code.spirv), *kernel); !s)
    return fail(std::move(s).wrap(fmt::format("load of '{}'", code.name)));
  return kernel;
}

}  // namespace gpuio::gpu::vulkan
