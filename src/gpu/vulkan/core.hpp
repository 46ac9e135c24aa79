// What a Vulkan device, its buffers, kernels and streams share and keep alive: instance, logical device,
// queue.
//
// Threading: everything here may be called from any thread; `submit` serialises. Lifetime: held by
// shared_ptr, so that an order of destruction cannot be wrong.
#pragma once

#include <volk.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "gpu/vulkan/matrices.hpp"
#include "gpu/vulkan/vulkan.hpp"

namespace gpuio::gpu::vulkan {

// The error for a failed call: names the call and the result's meaning.
Status vk_error(VkResult result, std::string_view call);

class Instance {
 public:
  static Result<std::shared_ptr<Instance>> create(std::function<void(std::string_view)> validation);
  ~Instance();
  Result<std::vector<VkPhysicalDevice>> devices() const;
  VkInstance handle() const { return handle_; }

 private:
  Instance() = default;
  VkInstance handle_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  std::function<void(std::string_view)> validation_;
};

// What a physical device was found to offer. Features as they will be enabled.
struct Adapter {
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkPhysicalDeviceProperties properties{};
  VkPhysicalDeviceMemoryProperties memory{};
  VkPhysicalDeviceDriverProperties driver{};
  std::uint32_t subgroup_size = 0, subgroup_operations = 0;
  std::uint64_t allocation_max = 0;
  std::uint32_t queue_family = 0, timestamp_bits = 0;
  std::uint64_t import_alignment = 0;  // 0: host memory cannot be imported
  bool budget = false;                 // the driver tells how much memory is left
  std::uint32_t compute_units = 0;
  bool keeps_specials_32 = false, keeps_specials_64 = false;  // shaderSignedZeroInfNanPreserveFloat*
  std::vector<MatrixProduct> products{};  // of the matrix units; empty where there are none
  bool matrices = false, brain_floats = false, full_subgroups = false;
  bool requires_subgroup_size = false;  // VK_EXT_subgroup_size_control, of compute, within these
  std::uint32_t subgroup_least = 0, subgroup_most = 0;
  VkPhysicalDeviceFeatures features{};
  VkPhysicalDeviceVulkan11Features features11{};
  VkPhysicalDeviceVulkan12Features features12{};
};
Result<Adapter> examine(const Instance& instance,
                        VkPhysicalDevice physical);  // UNSUPPORTED names what is missing

class Core {
 public:
  static Result<std::shared_ptr<Core>> create(std::shared_ptr<Instance> instance, const Adapter& found,
                                              const Options& options);
  ~Core();

  // Submits one command buffer (or none) that signals `point` of `timeline`.
  Status submit(VkCommandBuffer commands, VkSemaphore timeline, Point point);
  // DEVICE_LOST once any call has said so, or a stream was given up.
  Status alive() const;
  Status check(VkResult result, std::string_view call);  // notes a lost device
  void lose() { lost_.store(true, std::memory_order_relaxed); }
  std::uint64_t memory_free() const;

  const Adapter found;
  const std::uint64_t drain_timeout_ns;
  const std::shared_ptr<DiskCache> kernels;  // may be null
  VkDevice device = VK_NULL_HANDLE;
  VolkDeviceTable vk{};
  std::mutex allocation_lock;  // one allocation at a time: each looks at what is left, then takes it
  std::atomic<std::uint64_t> allocated{0};

 private:
  Core(std::shared_ptr<Instance> instance, const Adapter& f, const Options& options)
      : found(f),
        drain_timeout_ns(options.drain_timeout_ns),
        kernels(options.kernels),
        instance_(std::move(instance)) {}
  std::shared_ptr<Instance> instance_;
  VkQueue queue_ = VK_NULL_HANDLE;
  std::mutex submit_lock_;
  std::atomic<bool> lost_{false};  // never goes back; relaxed: it guards no other data
};

}  // namespace gpuio::gpu::vulkan
