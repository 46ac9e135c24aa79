// What in-kernel access costs on a device, beside what the device can do at all: host reads by the kernel and
// by the copy engine, misses one and 32 at a time beside a bare round trip, a cold scan both ways, warm
// `array[i]` beside a plain load of the same bytes, and a launch beside the driver's own. Sums of all that
// was read are checked.
//
//   bench_gpu [--device cpu|vulkan|cuda] [--bytes N] [--page N] --pairs N [--smoke]
//
// Without --device: the CPU device, and the first NVIDIA GPU as `gpu` where there is one.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "bench/gpu/kernels.hpp"
#include "bench/gpu/setup.hpp"
#include "bench/report.hpp"

namespace gpuio::bench {
namespace {

using paging::Miss;

struct Options {
  std::string device;
  std::uint64_t bytes = 0, page = 64 << 10;
};

// Contenders of one case on one device, in rounds that begin with another one each.
void sample(Case& row, bool gpu, unsigned pairs, const Case::Contenders& contenders) {
  for (unsigned round = 0; round < pairs; ++round)
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const auto& [name, run] = contenders[(i + round) % contenders.size()];
      gpu ? row.add_gpu(name, run()) : row.add(name, run());
    }
}

// Rows by name: two devices fill the same ones.
class Rows {
 public:
  explicit Rows(Report& report) : report_(report) {}
  Case& operator()(const std::string& name, const std::string& unit, Better better) {
    for (auto& [known, row] : rows_)
      if (known == name) return *row;
    Case& row = report_.add(name, unit, better);
    rows_.emplace_back(name, &row);
    return row;
  }

 private:
  Report& report_;
  std::vector<std::pair<std::string, Case*>> rows_;
};

struct Warm {
  const char* name;
  std::uint32_t element;
  kernel::View on_demand, plain;
};

// Turns that make a kernel last long enough to be timed.
template <class F>
std::uint32_t turns_for(const Sizes& sizes, F&& once) {
  return std::uint32_t(std::clamp(std::ceil(sizes.spend_s / once()), 1.0, 64.0));
}

// G elements/s of warm access: array[i] waiting, array[i] yielding (a bare tag check, no pin), and plain
// loads of the same bytes in pinned and in device memory.
void warm(Rows& rows, Setup& s, bool gpu, unsigned pairs, const Warm& w, bool waits) {
  const std::uint64_t n = s.sizes().data_bytes / w.element;
  const paging::Array array = s.open(w.element);
  const auto array_rate = [&, n](Miss miss) {
    auto once = [&] { return s.on_demand(w.on_demand, array, w.element, n, 1, miss); };
    once();  // brings the pages
    const std::uint32_t turns = turns_for(s.sizes(), once);
    return [&s, &w, array, n, turns, miss] {
      return double(n) * turns / s.on_demand(w.on_demand, array, w.element, n, turns, miss) / 1e9;
    };
  };
  const auto plain_rate = [&, n](const gpu::Buffer& data) {
    const std::uint32_t turns = turns_for(s.sizes(), [&] { return s.plain(w.plain, data, w.element, n, 1); });
    return [&s, &w, &data, n, turns] {
      return double(n) * turns / s.plain(w.plain, data, w.element, n, turns) / 1e9;
    };
  };
  Case::Contenders contenders;
  if (waits) contenders.emplace_back("ours", array_rate(Miss::wait));
  contenders.emplace_back(waits ? "tag check" : "ours", array_rate(Miss::yield));
  contenders.emplace_back("pinned", plain_rate(s.pinned_data()));
  contenders.emplace_back("device", plain_rate(s.device_data()));
  sample(rows(fmt::format("warm {}", w.name), "G elements/s", Better::more), gpu, pairs, contenders);
  s.close(array);
}

void misses(Rows& rows, Setup& s, bool gpu, unsigned pairs, std::uint32_t lanes) {
  Case& row = rows(fmt::format("miss, {} outstanding", lanes), "us", Better::less);
  for (unsigned round = 0; round < pairs; ++round) {
    const Setup::Missed m = s.touch_pages(lanes, Miss::wait);
    const double trip = s.round_trip(s.sizes().misses);
    const auto put = [&](const char* name, double value) {
      gpu ? row.add_gpu(name, value) : row.add(name, value);
    };
    put("ours", m.seconds * 1e6 * lanes);  // as a lane sees it: they go side by side
    put("host p50", m.p50_us);
    put("host p99", m.p99_us);
    put("round trip", trip * 1e6);
  }
}

void measure(Rows& rows, gpu::Device& device, bool gpu, const Report& report, const Options& options) {
  const bool real = device.info().backend != gpu::Backend::cpu && device.info().vendor != gpu::Vendor::cpu;
  Sizes sizes{.data_bytes = options.bytes ? std::bit_floor(options.bytes)
                            : real        ? std::uint64_t{256} << 20
                                          : 8 << 20,
              .page_bytes = options.page,
              .groups = real ? std::max(device.info().compute_units, 32u) * 8 : 16,
              .misses = real ? 4096u : 64u,
              .spend_s = 0.05};
  if (report.smoke()) {
    sizes = {.data_bytes = 256 << 10, .page_bytes = 4096, .groups = 4, .misses = 16, .spend_s = 0};
  }
  Setup s(device, sizes);
  const unsigned pairs = report.pairs();
  const double bytes = double(sizes.data_bytes);
  const bool waits = device.info().kernel_wait.available;
  const std::uint64_t words = sizes.data_bytes / 8;

  const auto host_read = [&] {
    return bytes / s.plain(read_wide.view(), s.pinned_data(), 4, sizes.data_bytes / 4, 1) / 1e9;
  };
  host_read();
  sample(rows("host read", "GB/s", Better::more), gpu, pairs,
         {{"ours", host_read}, {"copy engine", [&] { return bytes / s.copy_engine() / 1e9; }}});

  for (const auto& [name, view] : {std::pair{"cold scan, in order", in_order.view()},
                                   std::pair{"cold scan, 4 KiB a group", by_piece.view()}}) {
    const auto scan = [&](Miss miss) {
      const paging::Array array = s.open(8);
      const double rate = bytes / s.on_demand(view, array, 8, words, 1, miss) / 1e9;
      s.close(array);
      return rate;
    };
    Case::Contenders scans{{"ours", [&] { return scan(waits ? Miss::wait : Miss::yield); }},
                           {"host read", host_read}};
    if (waits) scans.emplace_back("yield", [&] { return scan(Miss::yield); });
    sample(rows(name, "GB/s", Better::more), gpu, pairs, scans);
  }

  for (const Warm& w : {Warm{"in order", 8, in_order.view(), in_order_plain.view()},
                        Warm{"random rows of 512 bytes", 8, by_row.view(), by_row_plain.view()},
                        Warm{"random words of 4 bytes", 4, by_word.view(), by_word_plain.view()}})
    warm(rows, s, gpu, pairs, w, waits);

  if (waits) {
    misses(rows, s, gpu, pairs, 1);
    misses(rows, s, gpu, pairs, 32);
  }

  const std::uint32_t launches = report.smoke() ? 8 : 400;
  Case::Contenders launch{{"ours", [&] { return s.launch(launches) * 1e6; }}};
  if (device.info().backend == gpu::Backend::cuda)
    launch.emplace_back("driver", [&] { return cuda_driver_launch(launches) * 1e6; });
  sample(rows("launch of a loaded kernel", "us", Better::less), gpu, pairs, launch);
}

int run(int count, char** words) {
  Report report(count, words);
  Options options;
  for (int i = 1; i + 1 < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--device") options.device = words[i + 1];
    if (word == "--bytes") options.bytes = std::strtoull(words[i + 1], nullptr, 10);
    if (word == "--page") options.page = std::strtoull(words[i + 1], nullptr, 10);
  }
  Rows rows(report);
  const auto device = open_device(options.device.empty() ? "cpu" : options.device);
  if (device == nullptr) return 77;
  fmt::print(stderr, "samples: {} ({})\n", device->info().name, device->info().driver);
  measure(rows, *device, false, report, options);
  if (options.device.empty()) {
    if (const auto gpu = open_device("cuda")) {
      fmt::print(stderr, "gpu: {} ({})\n", gpu->info().name, gpu->info().driver);
      measure(rows, *gpu, true, report, options);
    } else {
      report.not_measured("gpu", "no NVIDIA GPU that the driver can use");
    }
  }
  return report.print();
}

}  // namespace
}  // namespace gpuio::bench

int main(int count, char** words) { return gpuio::bench::run(count, words); }
