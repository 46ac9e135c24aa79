#include "gpu/vulkan/shader.hpp"

#include <algorithm>

#include "gpu/vulkan/device.hpp"
#include "gpu/vulkan/pipeline_cache.hpp"

namespace gpuio::gpu::vulkan {
namespace {

// Drivers index tables by these; a module that skips thousands of numbers is a mistake.
constexpr std::uint32_t kBindingMax = 1023;
constexpr std::uint32_t kPoolSets = 64, kPoolDescriptors = 256;
constexpr std::uint32_t kGroupsMax = 65535;

struct Offer {
  std::uint32_t capability;  // SPIR-V's number
  std::string_view name;     // and its name
  bool there;
};

std::vector<Offer> offers(const Adapter& a) {
  const auto subgroup = [&](VkSubgroupFeatureFlagBits bit) { return (a.subgroup_operations & bit) != 0; };
  const VkPhysicalDeviceFeatures& f = a.features;
  const VkPhysicalDeviceVulkan11Features& f11 = a.features11;
  const VkPhysicalDeviceVulkan12Features& f12 = a.features12;
  return {{0, "Matrix", true},
          {1, "Shader", true},
          {11, "Int64", f.shaderInt64 != 0},
          {5345, "VulkanMemoryModel", true},
          {5346, "VulkanMemoryModelDeviceScope", true},
          {5347, "PhysicalStorageBufferAddresses", true},
          {9, "Float16", f12.shaderFloat16 != 0},
          {10, "Float64", f.shaderFloat64 != 0},
          {12, "Int64Atomics", f12.shaderBufferInt64Atomics != 0},
          {22, "Int16", f.shaderInt16 != 0},
          {39, "Int8", f12.shaderInt8 != 0},
          {61, "GroupNonUniform", subgroup(VK_SUBGROUP_FEATURE_BASIC_BIT)},
          {62, "GroupNonUniformVote", subgroup(VK_SUBGROUP_FEATURE_VOTE_BIT)},
          {63, "GroupNonUniformArithmetic", subgroup(VK_SUBGROUP_FEATURE_ARITHMETIC_BIT)},
          {64, "GroupNonUniformBallot", subgroup(VK_SUBGROUP_FEATURE_BALLOT_BIT)},
          {65, "GroupNonUniformShuffle", subgroup(VK_SUBGROUP_FEATURE_SHUFFLE_BIT)},
          {66, "GroupNonUniformShuffleRelative", subgroup(VK_SUBGROUP_FEATURE_SHUFFLE_RELATIVE_BIT)},
          {67, "GroupNonUniformClustered", subgroup(VK_SUBGROUP_FEATURE_CLUSTERED_BIT)},
          {68, "GroupNonUniformQuad", subgroup(VK_SUBGROUP_FEATURE_QUAD_BIT)},
          {4433, "StorageBuffer16BitAccess", f11.storageBuffer16BitAccess != 0},
          {4434, "UniformAndStorageBuffer16BitAccess", f11.uniformAndStorageBuffer16BitAccess != 0},
          {4435, "StoragePushConstant16", f11.storagePushConstant16 != 0},
          {4441, "VariablePointersStorageBuffer", f11.variablePointersStorageBuffer != 0},
          {4442, "VariablePointers", f11.variablePointers != 0},
          {4448, "StorageBuffer8BitAccess", f12.storageBuffer8BitAccess != 0},
          {4449, "UniformAndStorageBuffer8BitAccess", f12.uniformAndStorageBuffer8BitAccess != 0},
          {4450, "StoragePushConstant8", f12.storagePushConstant8 != 0}};
}

Status check_capabilities(const Adapter& a, const ShaderCode& code) {
  const std::vector<Offer> known = offers(a);
  for (const std::uint32_t wanted : code.capabilities) {
    const auto found = std::ranges::find(known, wanted, &Offer::capability);
    if (found == known.end())
      return error(Code::unsupported,
                   "load of '{}': it needs SPIR-V capability {}, which this library does not switch on; it "
                   "binds buffers, and no images, samplers or rays",
                   code.name, wanted);
    if (!found->there)
      return error(Code::unsupported, "load of '{}': {} lacks capability {} ({}); use another device",
                   code.name, a.properties.deviceName, found->name, wanted);
  }
  return {};
}

Status check_limits(const DeviceInfo& info, const Adapter& a, const ShaderCode& code) {
  const VkPhysicalDeviceLimits& limits = a.properties.limits;
  const auto [x, y, z] = code.block;
  const std::uint32_t* const most = limits.maxComputeWorkGroupSize;
  if (x == 0 || y == 0 || z == 0 || x > most[0] || y > most[1] || z > most[2] ||
      std::uint64_t{x} * y * z > limits.maxComputeWorkGroupInvocations)
    return error(Code::invalid_arg,
                 "load of '{}': a workgroup of {}x{}x{} lanes; {} ({}x{}x{}) are possible on {}", code.name,
                 x, y, z, limits.maxComputeWorkGroupInvocations, most[0], most[1], most[2], info.name);
  if (code.shared_bytes > limits.maxComputeSharedMemorySize)
    return error(Code::invalid_arg, "load of '{}': {} bytes of shared memory, at most {} on {}", code.name,
                 code.shared_bytes, limits.maxComputeSharedMemorySize, info.name);
  if (code.push_bytes > limits.maxPushConstantsSize)
    return error(Code::invalid_arg,
                 "load of '{}': {} bytes of push constants, at most {} on {}; use a buffer", code.name,
                 code.push_bytes, limits.maxPushConstantsSize, info.name);
  const auto uniforms = std::uint32_t(std::ranges::count(code.bindings, true, &ShaderBinding::uniform));
  const auto storage = std::uint32_t(code.bindings.size()) - uniforms;
  if (uniforms > limits.maxPerStageDescriptorUniformBuffers ||
      storage > limits.maxPerStageDescriptorStorageBuffers)
    return error(Code::invalid_arg, "load of '{}': {} storage and {} uniform buffers; {} binds {} and {}",
                 code.name, storage, uniforms, info.name, limits.maxPerStageDescriptorStorageBuffers,
                 limits.maxPerStageDescriptorUniformBuffers);
  for (const ShaderBinding& b : code.bindings)
    if (b.set >= limits.maxBoundDescriptorSets || b.binding > kBindingMax)
      return error(Code::invalid_arg,
                   "load of '{}': a buffer at set {}, binding {}; sets up to {} and bindings up to {} are "
                   "possible on {}",
                   code.name, b.set, b.binding, limits.maxBoundDescriptorSets - 1, kBindingMax, info.name);
  return {};
}

VkDescriptorType type_of(const ShaderBinding& b) {
  return b.uniform ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

Status make_layout(Core& core, VulkanShader& shader) {
  const std::uint32_t sets = shader.bindings.empty() ? 0 : shader.bindings.back().set + 1;
  for (std::uint32_t set = 0; set < sets; ++set) {
    std::vector<VkDescriptorSetLayoutBinding> bindings;
    for (const ShaderBinding& b : shader.bindings)
      if (b.set == set) bindings.push_back({b.binding, type_of(b), 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr});
    VkDescriptorSetLayoutCreateInfo info{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO};
    info.bindingCount = std::uint32_t(bindings.size());
    info.pBindings = bindings.data();
    VkDescriptorSetLayout made = VK_NULL_HANDLE;
    if (Status s = core.check(core.vk.vkCreateDescriptorSetLayout(core.device, &info, nullptr, &made),
                              "vkCreateDescriptorSetLayout");
        !s)
      return s;
    shader.sets.push_back(made);
  }
  VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, shader.push_bytes};
  VkPipelineLayoutCreateInfo layout{VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO};
  layout.setLayoutCount = std::uint32_t(shader.sets.size());
  layout.pSetLayouts = shader.sets.data();
  layout.pushConstantRangeCount = shader.push_bytes == 0 ? 0 : 1;
  layout.pPushConstantRanges = &range;
  return core.check(core.vk.vkCreatePipelineLayout(core.device, &layout, nullptr, &shader.layout),
                    "vkCreatePipelineLayout");
}

Status make_pipeline(Core& core, const ShaderCode& code, VulkanShader& shader) {
  std::vector<VkSpecializationMapEntry> entries;
  std::vector<std::uint64_t> values;
  for (const ShaderConstant& c : code.constants) {
    entries.push_back({c.id, std::uint32_t(values.size() * sizeof(std::uint64_t)), c.size});
    values.push_back(c.bits);
  }
  const VkSpecializationInfo constants{std::uint32_t(entries.size()), entries.data(),
                                       values.size() * sizeof(std::uint64_t), values.data()};
  VkShaderModuleCreateInfo words{VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO};
  words.codeSize = code.spirv.size_bytes();
  words.pCode = code.spirv.data();
  VkShaderModule module = VK_NULL_HANDLE;
  Status s =
      core.check(core.vk.vkCreateShaderModule(core.device, &words, nullptr, &module), "vkCreateShaderModule");
  if (!s) return s;
  const std::string entry(code.entry);  // ends with a zero
  VkComputePipelineCreateInfo info{VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO};
  info.stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO};
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = entry.c_str();
  info.stage.pSpecializationInfo = entries.empty() ? nullptr : &constants;
  info.layout = shader.layout;
  // Other constants make it grow.
  PipelineCache cache(core.vk, core.device, core.found, core.kernels.get(), code.spirv);
  s = core.check(
      core.vk.vkCreateComputePipelines(core.device, cache.handle(), 1, &info, nullptr, &shader.pipeline),
      "vkCreateComputePipelines");
  if (s.ok()) cache.keep();
  core.vk.vkDestroyShaderModule(core.device, module, nullptr);
  return s;
}

}  // namespace

VulkanShader::~VulkanShader() {
  if (!core->alive()) return;
  if (pipeline != VK_NULL_HANDLE) core->vk.vkDestroyPipeline(core->device, pipeline, nullptr);
  if (layout != VK_NULL_HANDLE) core->vk.vkDestroyPipelineLayout(core->device, layout, nullptr);
  for (VkDescriptorSetLayout set : sets) core->vk.vkDestroyDescriptorSetLayout(core->device, set, nullptr);
}

Result<std::unique_ptr<VulkanShader>> load_shader(std::shared_ptr<Core> core, const DeviceInfo& info,
                                                  const ShaderCode& code) {
  if (Status s = core->alive(); !s) return fail(std::move(s));
  if (code.spirv.empty())
    return fail(Code::unsupported, "load of '{}': it has no SPIR-V, which is what Vulkan runs", code.name);
  if (Status s = check_capabilities(core->found, code); !s) return fail(std::move(s));
  if (Status s = check_limits(info, core->found, code); !s) return fail(std::move(s));
  auto shader = std::make_unique<VulkanShader>(core);
  shader->name = code.name;
  shader->bindings.assign(code.bindings.begin(), code.bindings.end());
  shader->push_bytes = (code.push_bytes + 3) / 4 * 4;
  Status s = make_layout(*core, *shader);
  if (s) s = make_pipeline(*core, code, *shader);
  if (!s) return fail(std::move(s).wrap(fmt::format("load of '{}'", code.name)));
  return shader;
}

Result<std::unique_ptr<Kernel>> VulkanDevice::load_shader(const ShaderCode& code) {
  return vulkan::load_shader(core_, info_, code);
}

// --- Descriptor sets --------------------------------------------------------------------------------------

DescriptorArena::~DescriptorArena() {
  if (!core_->alive()) return;
  for (const Pool& p : pools_) core_->vk.vkDestroyDescriptorPool(core_->device, p.handle, nullptr);
}

Result<std::vector<VkDescriptorSet>> DescriptorArena::take(const VulkanShader& shader, Point point,
                                                           Point reached) {
  std::vector<VkDescriptorSet> sets(shader.sets.size());
  if (sets.empty()) return sets;
  Core& c = *core_;
  const auto number = std::uint32_t(sets.size()), bound = std::uint32_t(shader.bindings.size());
  const auto fits = [&](const Pool& p) { return kPoolSets - p.sets >= number && p.room - p.bound >= bound; };
  if (pools_.empty() || !fits(pools_.back())) {
    if (!pools_.empty() && pools_.front().busy <= reached && pools_.front().room >= bound) {
      Pool oldest = pools_.front();
      pools_.pop_front();
      oldest.sets = oldest.bound = 0;
      pools_.push_back(oldest);
      if (Status s = c.check(c.vk.vkResetDescriptorPool(c.device, oldest.handle, 0), "vkResetDescriptorPool");
          !s)
        return fail(std::move(s));
    } else {
      Pool made{.room = std::max(kPoolDescriptors, bound)};
      const VkDescriptorPoolSize sizes[] = {{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, made.room},
                                            {VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, made.room}};
      VkDescriptorPoolCreateInfo info{VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO};
      info.maxSets = kPoolSets;
      info.poolSizeCount = 2;
      info.pPoolSizes = sizes;
      if (Status s = c.check(c.vk.vkCreateDescriptorPool(c.device, &info, nullptr, &made.handle),
                             "vkCreateDescriptorPool");
          !s)
        return fail(std::move(s));
      pools_.push_back(made);
    }
  }
  Pool& pool = pools_.back();
  VkDescriptorSetAllocateInfo info{VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO};
  info.descriptorPool = pool.handle;
  info.descriptorSetCount = number;
  info.pSetLayouts = shader.sets.data();
  pool.sets += number;
  pool.bound += bound;
  pool.busy = point;
  if (Status s =
          c.check(c.vk.vkAllocateDescriptorSets(c.device, &info, sets.data()), "vkAllocateDescriptorSets");
      !s)
    return fail(std::move(s));
  return sets;
}

// --- Launches ---------------------------------------------------------------------------------------------

Result<std::vector<VkDescriptorBufferInfo>> VulkanStream::bound(const VulkanShader& shader,
                                                                std::span<const BufferRange> ranges) const {
  const VkPhysicalDeviceLimits& limits = core_->found.properties.limits;
  if (ranges.size() != shader.bindings.size())
    return fail(Code::invalid_arg, "launch of '{}': {} buffers for {} bindings", shader.name, ranges.size(),
                shader.bindings.size());
  std::vector<VkDescriptorBufferInfo> infos;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const ShaderBinding& b = shader.bindings[i];
    const BufferRange& r = ranges[i];
    const auto where = [&] {
      return fmt::format("launch of '{}': the buffer of set {}, binding {}", shader.name, b.set, b.binding);
    };
    if (r.buffer == nullptr || r.size == 0) return fail(Code::invalid_arg, "{} is empty", where());
    const auto buffer = own(where(), *r.buffer, r.offset, r.size);
    if (!buffer) return fail(buffer.error());
    const std::uint64_t align =
        b.uniform ? limits.minUniformBufferOffsetAlignment : limits.minStorageBufferOffsetAlignment;
    const std::uint64_t most = b.uniform ? limits.maxUniformBufferRange : limits.maxStorageBufferRange;
    const std::uint64_t offset = (*buffer)->offset() + r.offset;
    if (offset % align != 0)
      return fail(Code::invalid_arg, "{} begins at byte {} of its memory; give a multiple of {}", where(),
                  r.offset, align);
    if (r.size > most)
      return fail(Code::invalid_arg, "{} has {} bytes, and {} binds at most {}: give it in parts", where(),
                  r.size, core_->found.properties.deviceName, most);
    infos.push_back({(*buffer)->handle(), offset, r.size});
  }
  return infos;
}

Status VulkanStream::launch_shader(const Kernel& kernel, const Grid& grid, const ShaderArguments& arguments) {
  const auto* const k = dynamic_cast<const VulkanShader*>(&kernel);
  if (k == nullptr || k->core != core_)
    return error(Code::invalid_arg, "launch: the shader was loaded by another device, or is no shader");
  const auto [x, y, z] = grid.groups;
  if (std::max({x, y, z}) > kGroupsMax)
    return error(Code::invalid_arg, "launch of '{}': a grid of {}x{}x{} groups, at most {} each", k->name, x,
                 y, z, kGroupsMax);
  if ((arguments.push.size() + 3) / 4 * 4 != k->push_bytes)
    return error(Code::invalid_arg, "launch of '{}': {} bytes of push constants; it takes {}", k->name,
                 arguments.push.size(), k->push_bytes);
  const auto infos = bound(*k, arguments.buffers);
  if (!infos) return infos.error();
  if (x == 0 || y == 0 || z == 0) return skip();
  const auto at = now();
  if (!at) return at.error();
  const auto sets = descriptors_.take(*k, last_ + 1, *at);
  if (!sets) return sets.error();
  std::vector<VkWriteDescriptorSet> writes;
  for (std::size_t i = 0; i < infos->size(); ++i) {
    VkWriteDescriptorSet& w = writes.emplace_back();
    w.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    w.dstSet = (*sets)[k->bindings[i].set];
    w.dstBinding = k->bindings[i].binding;
    w.descriptorCount = 1;
    w.descriptorType = type_of(k->bindings[i]);
    w.pBufferInfo = &(*infos)[i];
  }
  Core& c = *core_;
  c.vk.vkUpdateDescriptorSets(c.device, std::uint32_t(writes.size()), writes.data(), 0, nullptr);
  const auto commands = begin();
  if (!commands) return commands.error();
  c.vk.vkCmdBindPipeline(*commands, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
  if (!sets->empty())
    c.vk.vkCmdBindDescriptorSets(*commands, VK_PIPELINE_BIND_POINT_COMPUTE, k->layout, 0,
                                 std::uint32_t(sets->size()), sets->data(), 0, nullptr);
  if (k->push_bytes != 0) {
    std::vector<std::byte> push(k->push_bytes);
    std::ranges::copy(arguments.push, push.begin());
    c.vk.vkCmdPushConstants(*commands, k->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, k->push_bytes, push.data());
  }
  c.vk.vkCmdDispatch(*commands, x, y, z);
  return end(*commands);
}

}  // namespace gpuio::gpu::vulkan
