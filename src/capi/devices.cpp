#include "capi/devices.hpp"

#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "capi/context.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "gpu/vulkan/vulkan.hpp"

namespace gpuio::capi {

void Devices::find() {
  if (found_) return;
  const auto most = config_.max_gpus < 0 ? ~std::size_t{0} : static_cast<std::size_t>(config_.max_gpus);
  if (most > 0) {
    gpu::Probe cuda_devices = gpu::cuda::probe(), vulkan_devices = gpu::vulkan::probe();
    why_none_[0] = std::move(cuda_devices.reason);
    why_none_[1] = std::move(vulkan_devices.reason);
    for (auto& found : cuda_devices.devices) gpus_.push_back({std::move(found), nullptr});
    const bool cuda = !gpus_.empty();
    std::vector<gpu::Found> emulated;
    for (auto& found : vulkan_devices.devices) {
      if (found.info.vendor == gpu::Vendor::cpu) {
        found.info.vendor = gpu::Vendor::other;
        emulated.push_back(std::move(found));
      } else if (!cuda || found.info.vendor != gpu::Vendor::nvidia) {
        gpus_.push_back({std::move(found), nullptr});
      } else {
        others_.push_back({std::move(found), nullptr});
      }
    }
    const bool counted = (config_.flags & GPUIO_CONFIG_SOFTWARE_GPUS) != 0;
    for (auto& found : emulated) (counted ? gpus_ : others_).push_back({std::move(found), nullptr});
    if (gpus_.size() > most) gpus_.resize(most);
  }
  current_ = gpus_.empty() ? kCpu : 0;
  found_ = true;
}

Result<Devices::Entry*> Devices::entry(int id) {
  if (id == kCpu) return &cpu_;
  find();
  if (id >= 0 && static_cast<std::size_t>(id) < gpus_.size()) return &gpus_[static_cast<std::size_t>(id)];
  const std::size_t other = id < -1 ? static_cast<std::size_t>(-(id + 2)) : others_.size();
  if (other < others_.size()) return &others_[other];
  if (gpus_.empty()) return fail(Code::not_found, "device {}: no GPU was found; the CPU device is -1", id);
  return fail(Code::not_found, "device {}: the GPUs are 0 to {}, the CPU device is -1", id, gpus_.size() - 1);
}

Devices::Devices(const Config& config)
    : config_(config),
      kernels_(std::make_shared<DiskCache>(DiskCache::Options{
          .folder = config.kernel_cache_folder.empty() ? default_cache_folder(process_environment())
                                                       : config.kernel_cache_folder,
          .bytes_max = config.kernel_cache_size})) {
  cpu_.found = gpu::cpu::probe().devices.at(0);
}

bool Devices::found() {
  std::scoped_lock hold(mutex_);
  return found_;
}

int Devices::count() {
  std::scoped_lock hold(mutex_);
  find();
  return static_cast<int>(gpus_.size());
}

Result<gpu::DeviceInfo> Devices::info(int id) {
  std::scoped_lock hold(mutex_);
  auto found = entry(id);
  if (!found) return fail(std::move(found).error());
  return (*found)->found.info;
}

Result<std::uint64_t> Devices::memory_free(int id) {
  auto device = open(id);
  if (!device) return fail(std::move(device).error());
  return (*device)->memory_free();
}

Result<gpu::Device*> Devices::open(int id) {
  std::scoped_lock hold(mutex_);
  auto found = entry(id);
  if (!found) return fail(std::move(found).error());
  Entry& e = **found;
  if (!e.device) {
    auto made = [&] {
      switch (e.found.info.backend) {
        case gpu::Backend::vulkan:
          return gpu::vulkan::open({.ordinal = e.found.ordinal, .kernels = kernels_});
        case gpu::Backend::cuda: return gpu::cuda::open({.ordinal = e.found.ordinal});
        case gpu::Backend::cpu: break;
      }
      return gpu::cpu::open({});
    }();
    if (!made) return fail(std::move(made).error().wrap(fmt::format("opening device {}", id)));
    e.device = std::move(*made);
  }
  return e.device.get();
}

Result<int> Devices::named(std::string_view name) {
  const std::scoped_lock hold(mutex_);
  const std::size_t colon = name.find(':');
  const std::string_view kind = name.substr(0, colon);
  std::size_t number = 0;
  if (colon != name.npos) {
    const auto parsed = parse_integer(name.substr(colon + 1), 0, 1023);
    if (!parsed) return fail(Status(parsed.error()).wrap(fmt::format("device '{}'", printable(name))));
    number = static_cast<std::size_t>(*parsed);
  }
  constexpr std::string_view kKinds[] = {"auto", "cpu", "cuda", "vulkan"};
  const auto* const known = std::ranges::find(kKinds, kind);
  if (known == std::end(kKinds))
    return fail(Code::invalid_arg, "device '{}'{}", printable(name), suggest(kind, kKinds));
  if (kind == "cpu" || kind == "auto") {
    if (number > 0) return fail(Code::not_found, "device '{}': there is one, '{}'", printable(name), kind);
    if (kind == "auto") find();
    return kind == "cpu" ? kCpu : current_;
  }
  find();
  const gpu::Backend backend = kind == "cuda" ? gpu::Backend::cuda : gpu::Backend::vulkan;
  std::size_t seen = 0;
  for (std::size_t i = 0; i < gpus_.size(); ++i)
    if (gpus_[i].found.info.backend == backend && seen++ == number) return static_cast<int>(i);
  for (std::size_t i = 0; i < others_.size(); ++i)
    if (others_[i].found.info.backend == backend && seen++ == number) return -2 - static_cast<int>(i);
  const std::string& why = why_none_[backend == gpu::Backend::cuda ? 0 : 1];
  if (seen > 0)
    return fail(Code::not_found, "device '{}': there {} {} of this kind, from {}:0", printable(name),
                seen == 1 ? "is" : "are", seen, kind);
  return fail(Code::not_found, "device '{}': {}", printable(name),
              why.empty() ? "max_gpus of the configuration leaves none" : why);
}

int Devices::current() {
  std::scoped_lock hold(mutex_);
  find();
  return current_;
}

Status Devices::set_current(int id) {
  std::scoped_lock hold(mutex_);
  auto found = entry(id);
  if (!found) return std::move(found).error();
  current_ = id;
  return {};
}

}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_get_device_count(gpuio_context_t ctx, int* count) {
  return call("gpuio_get_device_count", ctx, Outputs(count), [&](Context& c) {
    *count = c.devices.count();
    return Status();
  });
}

gpuio_error_t gpuio_get_device_info(gpuio_context_t ctx, int device_id, gpuio_device_info_t* info) {
  return call("gpuio_get_device_info", ctx, Outputs(info), [&](Context& c) {
    auto found = c.devices.info(device_id);
    if (!found) return std::move(found).error();
    auto free = c.devices.memory_free(device_id);
    if (!free) return std::move(free).error();
    info->device_id = device_id;
    info->vendor = static_cast<gpuio_gpu_vendor_t>(found->vendor);
    const std::size_t length = std::min(found->name.size(), sizeof info->name - 1);
    std::memcpy(info->name, found->name.data(), length);
    info->total_memory = found->memory_bytes;
    info->free_memory = *free;
    // Of other backends the numbers are those of their interface.
    if (found->backend == gpu::Backend::cuda) {
      info->compute_capability_major = found->major;
      info->compute_capability_minor = found->minor;
    }
    info->numa_node = found->numa_node;
    info->numa_distance = -1;
    return Status();
  });
}

gpuio_error_t gpuio_find_device(gpuio_context_t ctx, const char* name, int* device_id) {
  return call("gpuio_find_device", ctx, Outputs(device_id), [&](Context& c) {
    if (!name) return null_argument("the name");
    auto found = c.devices.named(name);
    if (!found) return std::move(found).error();
    *device_id = *found;
    return Status();
  });
}

gpuio_error_t gpuio_set_device(gpuio_context_t ctx, int device_id) {
  return call("gpuio_set_device", ctx, [&](Context& c) { return c.devices.set_current(device_id); });
}

}  // extern "C"
