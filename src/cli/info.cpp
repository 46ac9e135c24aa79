#include "cli/info.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "cli/devices.hpp"
#include "cli/engines.hpp"

namespace gpuio::cli {
namespace {

struct Row {
  const char* name;
  const gpu::Capability& capability;
};

std::vector<Row> rows(const gpu::DeviceInfo& d) {
  return {{"in-kernel IO", d.kernel_io},
          {"waits in kernels", d.kernel_wait},
          {"imports host memory", d.import_host},
          {"time stamps", d.timestamps}};
}

void print(const gpu::DeviceInfo& d) {
  fmt::print(
      "  {}\n    driver {}; {} of memory; subgroups of {}; {} lanes and {} of shared memory a workgroup\n",
      d.name, d.driver, format_size(d.memory_bytes), d.subgroup_size, d.lanes_max,
      format_size(d.shared_bytes_max));
  for (const Row& row : rows(d))
    fmt::print("    {:<20} {}\n", row.name,
               row.capability.available ? "yes" : "no: " + row.capability.reason);
}

nlohmann::json to_json(const gpu::DeviceInfo& d) {
  nlohmann::json j{{"name", d.name},
                   {"driver", d.driver},
                   {"memory_bytes", d.memory_bytes},
                   {"subgroup_size", d.subgroup_size},
                   {"lanes_max", d.lanes_max},
                   {"shared_bytes_max", d.shared_bytes_max}};
  for (const Row& row : rows(d))
    j["capabilities"][row.name] = {{"available", row.capability.available},
                                   {"reason", row.capability.reason}};
  return j;
}

}  // namespace

int run_info(bool json) {
  nlohmann::json out;
  if (!json) fmt::print("devices\n");
  for (const DeviceProbe& probe : probe_devices()) {
    if (!json && probe.devices.empty()) fmt::print("  {}: none: {}\n", probe.backend, probe.reason);
    for (const auto& d : probe.devices)
      if (!json) print(d);
    auto& j = out["devices"][probe.backend];
    j["reason"] = probe.reason;
    j["list"] = nlohmann::json::array();
    for (const auto& d : probe.devices) j["list"].push_back(to_json(d));
  }
  if (!json) fmt::print("engines\n");
  for (const EngineEntry& engine : engine_entries()) {
    if (!json)
      fmt::print("  {:<8} {:<44} {}\n", engine.name, engine.schemes,
                 engine.reason.empty() ? "" : "no: " + engine.reason);
    out["engines"][engine.name] = {{"schemes", engine.schemes}, {"reason", engine.reason}};
  }
  if (json) fmt::print("{}\n", out.dump(2));
  return 0;
}

}  // namespace gpuio::cli
