#include "gpu/vulkan/device.hpp"

#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <thread>

namespace gpuio::gpu::vulkan {
namespace {

using kernel::Builder;
using kernel::Op;
using kernel::Order;
using kernel::ParamKind;
using kernel::Program;
using kernel::Scope;
using kernel::Type;

constexpr std::uint32_t kMesaLeast = 25;
constexpr std::uint32_t kTestLanes = 32, kTestGroups = 2;
constexpr std::uint64_t kTestWait = 10'000'000'000;

Capability capability(bool masked, std::string_view what, std::string_view missing) {
  if (masked) return {.available = false, .reason = fmt::format("{} is masked by the caller", what)};
  return {.available = missing.empty(), .reason = std::string(missing)};
}

Vendor vendor_of(const VkPhysicalDeviceProperties& p) {
  if (p.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU) return Vendor::cpu;
  switch (p.vendorID) {
    case 0x10de: return Vendor::nvidia;
    case 0x1002: return Vendor::amd;
    case 0x8086: return Vendor::intel;
    default: return Vendor::other;
  }
}

// Why kernels must not wait here, known without trying; empty when it is worth a try. Debian 12's lavapipe
// ends all loops of a lane silently after 65 535 turns together, and drops lanes at acquire and release.
std::string unfit(const Adapter& a) {
  if (a.driver.driverID != VK_DRIVER_ID_MESA_LLVMPIPE) return {};
  const std::string_view text = a.driver.driverInfo;
  std::uint32_t major = 0;
  if (const auto at = text.find("Mesa "); at != text.npos)
    std::from_chars(text.data() + at + 5, text.data() + text.size(), major);
  if (major >= kMesaLeast) return {};
  return fmt::format(
      "lavapipe of {} ends long loops of a kernel silently; Mesa {} or later is needed (Debian 12: "
      "mesa-vulkan-drivers of bookworm-backports)",
      text, kMesaLeast);
}

DeviceInfo describe(const Adapter& a, const Mask& mask) {
  const VkPhysicalDeviceProperties& p = a.properties;
  DeviceInfo info;
  info.backend = Backend::vulkan;
  info.vendor = vendor_of(p);
  info.name = p.deviceName;
  info.driver = fmt::format("{} {}", a.driver.driverName, a.driver.driverInfo);
  for (std::uint32_t h = 0; h < a.memory.memoryHeapCount; ++h)
    if (a.memory.memoryHeaps[h].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT)
      info.memory_bytes = std::max<std::uint64_t>(info.memory_bytes, a.memory.memoryHeaps[h].size);
  info.compute_units = a.compute_units;
  info.subgroup_size = a.subgroup_size;
  info.lanes_max = std::min(p.limits.maxComputeWorkGroupInvocations, p.limits.maxComputeWorkGroupSize[0]);
  info.shared_bytes_max = p.limits.maxComputeSharedMemorySize;
  info.major = int(VK_API_VERSION_MAJOR(p.apiVersion));
  info.minor = int(VK_API_VERSION_MINOR(p.apiVersion));
  info.kernel_io = capability(mask.kernel_io, "kernel_io", unfit(a));
  info.kernel_wait =
      info.kernel_io.available ? capability(mask.kernel_wait, "kernel_wait", "") : info.kernel_io;
  info.overlap = {
      .available = false,
      .reason =
          "all streams share one Vulkan queue: what is submitted later starts after a kernel that waits"};
  info.import_host =
      capability(mask.import_host, "import_host",
                 a.import_alignment != 0 ? "" : "the driver lacks VK_EXT_external_memory_host");
  info.timestamps = capability(mask.timestamps, "timestamps",
                               a.timestamp_bits != 0 ? "" : "the device's compute queue has no time stamps");
  info.native_code =
      capability(mask.native_code, "native_code", "code of the processor's own runs on the CPU device alone");
  return info;
}

// Every lane says that it is there, polls for the host's answer so many times and counts itself when it came.
// (words inout u32[3]: lanes there, answer, lanes answered; polls u32)
Program waiting_kernel() {
  Program p{.name = "self_test", .block = {kTestLanes, 1, 1}};
  Builder b(p);
  const auto words = b.param(ParamKind::inout, Type::u32), polls = b.param(ParamKind::scalar, Type::u32);
  const auto zero = b.constant(Type::u32, 0), one = b.constant(Type::u32, 1), two = b.constant(Type::u32, 2);
  b.atomic_rmw(kernel::Rmw::add, words, zero, one, Order::release, Scope::system);
  b.for_(zero, b.argument(polls), one);
  b.if_(b.compare(Op::ne, b.atomic_load(words, one, Order::acquire, Scope::system), zero));
  b.atomic_rmw(kernel::Rmw::add, words, two, one, Order::release, Scope::system);
  b.break_();
  b.end_if();
  b.end_for();
  return p;
}

// Polls a word of the host's memory until it is `wanted`, for at most a few seconds.
bool becomes(std::uint32_t& word, std::uint32_t wanted) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::atomic_ref(word).load(std::memory_order_acquire) != wanted) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

Result<std::unique_ptr<VulkanDevice>> open_adapter(const std::shared_ptr<Instance>& instance,
                                                   const Adapter& adapter, const Options& options) {
  auto core = Core::create(instance, adapter, options);
  if (!core) return fail(std::move(core.error()).wrap(adapter.properties.deviceName));
  auto device = std::make_unique<VulkanDevice>(describe(adapter, options.mask), std::move(*core));
  if (device->info().kernel_wait.available)
    if (Status s = device->test_waiting(); !s)
      return fail(std::move(s).wrap(
          fmt::format("{}: self-test of a kernel that waits", adapter.properties.deviceName)));
  return device;
}

}  // namespace

Result<std::unique_ptr<Buffer>> VulkanDevice::allocate(MemoryKind kind, std::uint64_t size) {
  return VulkanBuffer::allocate(core_, kind, size);
}

Result<std::unique_ptr<Buffer>> VulkanDevice::import(std::span<std::byte> memory) {
  if (!info_.import_host.available) return fail(Code::unsupported, "import: {}", info_.import_host.reason);
  return VulkanBuffer::import(core_, memory);
}

Status VulkanDevice::test_waiting() {
  constexpr std::uint32_t kLanes = kTestLanes * kTestGroups;
  const Program program = waiting_kernel();
  const std::vector<std::uint32_t> words = kernel::emit_spirv(program.view());
  const auto kernel = load({.name = program.name, .block = program.block, .parameters = 2, .spirv = words});
  if (!kernel) return kernel.error();
  const auto buffer = allocate(MemoryKind::pinned, 12);
  if (!buffer) return buffer.error();
  const auto s = stream();
  if (!s) return s.error();
  auto* const host = reinterpret_cast<std::uint32_t*>((*buffer)->host());
  std::fill_n(host, 3, 0u);
  // Below a second on a GPU, where a poll crosses the bus; on a CPU the scheduler may take its time.
  const bool on_cpu = info_.vendor == Vendor::cpu;
  const Argument arguments[] = {Argument::buffer(**buffer, 4), {on_cpu ? 100'000'000u : 300'000u, 0}};
  if (Status launched = (*s)->launch(**kernel, {.groups = {kTestGroups, 1, 1}}, arguments); !launched)
    return launched;
  // With one thread a device may run one group after the other, so the first group's lanes are enough to
  // answer.
  const auto first = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::atomic_ref(host[0]).load(std::memory_order_acquire) == 0 &&
         std::chrono::steady_clock::now() < first)
    std::this_thread::yield();
  const bool seen = std::atomic_ref(host[0]).load(std::memory_order_acquire) != 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(2));  // more turns than a broken loop survives
  std::atomic_ref(host[1]).store(1, std::memory_order_release);
  if (Status done = (*s)->wait((*s)->last(), kTestWait); !done) return done;
  if (seen && becomes(host[0], kLanes) && becomes(host[2], kLanes)) return {};
  info_.kernel_io = {.available = false,
                     .reason = fmt::format(
                         "a test kernel that waits for the host got {} of {} answers through pinned memory",
                         host[2], kLanes)};
  info_.kernel_wait = info_.kernel_io;
  return {};
}

Probe probe() {
  Probe result;
  auto instance = Instance::create(nullptr);
  if (!instance) return {.devices = {}, .reason = instance.error().message()};
  const auto physical = (*instance)->devices();
  if (!physical) return {.devices = {}, .reason = physical.error().message()};
  std::string reasons;
  for (std::size_t i = 0; i < physical->size(); ++i) {
    const auto adapter = examine(**instance, (*physical)[i]);
    const auto device = adapter ? open_adapter(*instance, *adapter, {}) : fail(adapter.error());
    if (device) result.devices.push_back({.info = (*device)->info(), .ordinal = int(i)});
    else reasons += (reasons.empty() ? "" : "; ") + device.error().message();
  }
  if (result.devices.empty()) result.reason = reasons.empty() ? "no Vulkan driver is installed" : reasons;
  return result;
}

Result<std::unique_ptr<Device>> open(const Options& options) {
  auto instance = Instance::create(options.validation);
  if (!instance) return fail(std::move(instance.error()).wrap("opening a Vulkan device"));
  const auto physical = (*instance)->devices();
  if (!physical) return fail(physical.error());
  if (options.ordinal < 0 || std::size_t(options.ordinal) >= physical->size())
    return fail(Code::not_found, "Vulkan device {}: {} are there", options.ordinal, physical->size());
  const auto adapter = examine(**instance, (*physical)[std::size_t(options.ordinal)]);
  if (!adapter) return fail(adapter.error());
  return open_adapter(*instance, *adapter, options);
}

}  // namespace gpuio::gpu::vulkan
