#include "bench/launch/driver.hpp"

#include "bench/report.hpp"
#include "gpu/vulkan/device.hpp"

namespace gpuio::bench {
namespace {

using namespace gpu::vulkan;

// Command buffer and timeline of the launches by hand.
class Raw {
 public:
  explicit Raw(std::shared_ptr<Core> core) : core_(std::move(core)) {
    const VkCommandPoolCreateInfo pool{.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                       .pNext = nullptr,
                                       .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                       .queueFamilyIndex = core_->found.queue_family};
    must(core_->vk.vkCreateCommandPool(core_->device, &pool, nullptr, &pool_));
    const VkCommandBufferAllocateInfo buffer{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                             .pNext = nullptr,
                                             .commandPool = pool_,
                                             .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                             .commandBufferCount = 1};
    must(core_->vk.vkAllocateCommandBuffers(core_->device, &buffer, &commands_));
    const VkSemaphoreTypeCreateInfo type{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                         .pNext = nullptr,
                                         .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE,
                                         .initialValue = 0};
    const VkSemaphoreCreateInfo semaphore{
        .sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type, .flags = 0};
    must(core_->vk.vkCreateSemaphore(core_->device, &semaphore, nullptr, &timeline_));
  }
  ~Raw() {
    core_->vk.vkDestroySemaphore(core_->device, timeline_, nullptr);
    core_->vk.vkDestroyCommandPool(core_->device, pool_, nullptr);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  void launch_and_wait(const VulkanKernel& kernel) {
    const VkCommandBufferBeginInfo begin{.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                         .pNext = nullptr,
                                         .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
                                         .pInheritanceInfo = nullptr};
    must(core_->vk.vkBeginCommandBuffer(commands_, &begin));
    core_->vk.vkCmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, kernel.pipeline);
    const std::uint64_t nothing = 0;
    core_->vk.vkCmdPushConstants(commands_, kernel.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 8, &nothing);
    core_->vk.vkCmdDispatch(commands_, 1, 1, 1);
    must(core_->vk.vkEndCommandBuffer(commands_));
    if (Status s = core_->submit(commands_, timeline_, ++point_); !s) die(s.message());
    const VkSemaphoreWaitInfo wait{.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                   .pNext = nullptr,
                                   .flags = 0,
                                   .semaphoreCount = 1,
                                   .pSemaphores = &timeline_,
                                   .pValues = &point_};
    must(core_->vk.vkWaitSemaphores(core_->device, &wait, 1'000'000'000));
  }

 private:
  static void must(VkResult result) {
    if (result != VK_SUCCESS) die(fmt::format("Vulkan by hand: result {}", int(result)));
  }
  std::shared_ptr<Core> core_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkSemaphore timeline_ = VK_NULL_HANDLE;
  std::uint64_t point_ = 0;
};

}  // namespace

Result<Vulkan> open_vulkan() {
  auto instance = Instance::create({});
  if (!instance) return fail(std::move(instance).error());
  auto physical = (*instance)->devices();
  if (!physical) return fail(std::move(physical).error());
  if (physical->empty()) return fail(Code::not_found, "no Vulkan device");
  auto found = examine(**instance, physical->front());
  if (!found) return fail(std::move(found).error());
  auto core = Core::create(*instance, *found, {});
  if (!core) return fail(std::move(core).error());
  gpu::DeviceInfo info;
  info.backend = gpu::Backend::vulkan;
  info.name = found->properties.deviceName;
  info.subgroup_size = found->subgroup_size;
  info.lanes_max = found->properties.limits.maxComputeWorkGroupInvocations;
  info.shared_bytes_max = found->properties.limits.maxComputeSharedMemorySize;
  Vulkan v;
  v.device = std::make_unique<VulkanDevice>(std::move(info), *core);
  v.launch_and_wait = [raw = std::make_shared<Raw>(*core)](const gpu::Kernel& kernel) {
    raw->launch_and_wait(dynamic_cast<const VulkanKernel&>(kernel));
  };
  return v;
}

}  // namespace gpuio::bench
