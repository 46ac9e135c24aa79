// Contexts: configuration in, devices and statistics out.
#include <nanobind/stl/optional.h>

#include <optional>

#include "src/common.hpp"

namespace gpuio::python {
namespace {

// Every field of gpuio_config_t, as the package's Python has checked it.
Context make(uint32_t api_version, uint32_t flags, int max_gpus, std::size_t memory_pool_size, int log_level,
             std::optional<std::string> config_file, int numa_node, bool numa_strict, bool enable_security,
             std::optional<std::string> credentials_path) {
  const gpuio_config_t config{.api_version = api_version,
                              .flags = flags,
                              .max_gpus = max_gpus,
                              .memory_pool_size = memory_pool_size,
                              .log_level = static_cast<gpuio_log_level_t>(log_level),
                              .config_file = config_file ? config_file->c_str() : nullptr,
                              .numa_node = numa_node,
                              .numa_strict = numa_strict,
                              .enable_security = enable_security,
                              .credentials_path = credentials_path ? credentials_path->c_str() : nullptr};
  gpuio_context_t ctx = nullptr;
  gpuio_error_t e;
  {
    nb::gil_scoped_release others;
    e = gpuio_init(&ctx, &config);
  }
  check(e);
  return {std::make_shared<Owner>(ctx)};
}

nb::dict device_info(const Context& c, int id) {
  gpuio_device_info_t i;
  check(gpuio_get_device_info(c.owner->ctx, id, &i));
  constexpr const char* kVendors[] = {"NVIDIA", "AMD", "Intel", "CPU", "other"};
  nb::dict d;
  d["device_id"] = i.device_id;
  d["vendor"] = std::size_t(i.vendor) < std::size(kVendors) ? kVendors[i.vendor] : "other";
  d["name"] = i.name;
  d["total_memory"] = i.total_memory;
  d["free_memory"] = i.free_memory;
  d["compute_capability_major"] = i.compute_capability_major;
  d["compute_capability_minor"] = i.compute_capability_minor;
  d["supports_gds"] = i.supports_gds;
  d["supports_gdr"] = i.supports_gdr;
  d["supports_cxl"] = i.supports_cxl;
  d["supports_p2p"] = i.supports_p2p;
  d["numa_node"] = i.numa_node;
  d["numa_distance"] = i.numa_distance;
  return d;
}

nb::dict stats(const Context& c) {
  gpuio_stats_t s;
  check(gpuio_get_stats(c.owner->ctx, &s));
  nb::dict d;
  d["requests_submitted"] = s.requests_submitted;
  d["requests_completed"] = s.requests_completed;
  d["requests_failed"] = s.requests_failed;
  d["requests_cancelled"] = s.requests_cancelled;
  d["bandwidth_gbps"] = s.bandwidth_gbps;
  d["bytes_read"] = s.bytes_read;
  d["bytes_written"] = s.bytes_written;
  d["latency_avg_us"] = s.latency_avg_us;
  d["latency_p50_us"] = s.latency_p50_us;
  d["latency_p99_us"] = s.latency_p99_us;
  d["cache_hits"] = s.cache_hits;
  d["cache_misses"] = s.cache_misses;
  d["cache_hit_rate"] = s.cache_hit_rate;
  return d;
}

}  // namespace

void bind_context(nb::module_& m) {
  nb::class_<Context>(m, "Context")
      .def_static("make", &make, nb::kw_only(), nb::arg("api_version"), nb::arg("flags"), nb::arg("max_gpus"),
                  nb::arg("memory_pool_size"), nb::arg("log_level"), nb::arg("config_file").none(),
                  nb::arg("numa_node"), nb::arg("numa_strict"), nb::arg("enable_security"),
                  nb::arg("credentials_path").none())
      .def("finalize",
           [](Context& c) {
             gpuio_error_t e;
             {
               nb::gil_scoped_release others;  // it waits for what is in flight
               e = c.owner->end();
             }
             check(e);
           })
      .def("device_count",
           [](const Context& c) {
             int count = 0;
             check(gpuio_get_device_count(c.owner->ctx, &count));
             return count;
           })
      .def("device_info", &device_info, nb::arg("device_id"))
      .def("stats", &stats)
      .def("reset_stats", [](const Context& c) { check(gpuio_reset_stats(c.owner->ctx)); });
}

}  // namespace gpuio::python
