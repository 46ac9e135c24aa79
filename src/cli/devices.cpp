#include "cli/devices.hpp"

#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "gpu/vulkan/vulkan.hpp"

namespace gpuio::cli {
namespace {

struct Backend {
  const char* name;
  gpu::Probe (*probe)();
  Result<std::unique_ptr<gpu::Device>> (*open)(int ordinal);
};

const Backend kBackends[] = {
    {"cpu", [] { return gpu::cpu::probe(); }, [](int) { return gpu::cpu::open({}); }},
    {"vulkan", [] { return gpu::vulkan::probe(); },
     [](int ordinal) { return gpu::vulkan::open({.ordinal = ordinal}); }},
    {"cuda", [] { return gpu::cuda::probe(); },
     [](int ordinal) { return gpu::cuda::open({.ordinal = ordinal}); }},
};

}  // namespace

std::vector<DeviceProbe> probe_devices() {
  std::vector<DeviceProbe> probes;
  for (const Backend& backend : kBackends) {
    gpu::Probe probe = backend.probe();
    DeviceProbe& out = probes.emplace_back(backend.name, std::vector<gpu::DeviceInfo>{}, probe.reason);
    for (auto& found : probe.devices) out.devices.push_back(found.info);
  }
  return probes;
}

Result<std::unique_ptr<gpu::Device>> open_device(const std::string& name) {
  std::string known;
  for (const Backend& backend : kBackends) {
    known += (known.empty() ? "" : ", ") + std::string(backend.name);
    if (name != backend.name) continue;
    gpu::Probe probe = backend.probe();
    if (probe.devices.empty()) return fail(Code::not_found, "no {} device: {}", name, probe.reason);
    return backend.open(probe.devices[0].ordinal);
  }
  return fail(Code::invalid_arg, "unknown device '{}'; known are {}", name, known);
}

}  // namespace gpuio::cli
