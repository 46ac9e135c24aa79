// On-demand arrays: what a URI names, indexed by kernels on a chosen device through a cache of pages.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <array>
#include <cstring>
#include <future>
#include <optional>
#include <vector>

#include "cli/devices.hpp"
#include "cli/engines.hpp"
#include "cli/scan_kernel.hpp"
#include "paging/arrays.hpp"
#include "src/common.hpp"

namespace gpuio::python {
namespace {

using gpuio::kernel::Ctx;
using gpuio::kernel::In;
using gpuio::kernel::InOut;
using gpuio::kernel::OnDemand;
using gpuio::kernel::Out;
using gpuio::kernel::Val;

// out[i] = a[index[i]]; any grid. What could not be read is counted in failed[0].
template <class T>
constexpr auto gather_body = [](Ctx k, OnDemand<T> a, In<std::uint64_t> index, Out<T> out,
                                InOut<std::uint32_t, 1> failed, Val<std::uint64_t> n) {
  auto stride = k.nctas().template as<std::uint64_t>() * 64;
  for (auto i : k.range(k.global_id().template as<std::uint64_t>(), n, stride)) out[i] = a[index[i]];
  GPU_IF(k.lane_status() != 0) failed.atomic_add(0, 1u);
};

// Traced when it is needed, not while this is compiled.
gpuio::kernel::Program trace_gather(std::uint32_t element_bytes) {
  const auto trace = [](const auto& body) {
    return gpuio::kernel::trace_program(body, "gather", {64, 1, 1});
  };
  switch (element_bytes) {
    case 1: return trace(gather_body<std::uint8_t>);
    case 2: return trace(gather_body<std::uint16_t>);
    case 4: return trace(gather_body<std::uint32_t>);
    default: return trace(gather_body<std::uint64_t>);
  }
}

using Indices = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<nb::ndim<1>, nb::c_contig, nb::device::cpu>;

class Array {
 public:
  Array(const std::string& uri, std::uint32_t element_bytes, const std::string& device,
        const std::string& mode, std::uint64_t cache_bytes, std::uint64_t page_bytes)
      : uri_(uri), element_bytes_(element_bytes), device_name_(device) {
    miss_ = mode == "wait"    ? paging::Miss::wait
            : mode == "yield" ? paging::Miss::yield
                              : paging::Miss::automatic;
    nb::gil_scoped_release others;
    registry_ = must(cli::make_registry());
    device_ = must(cli::open_device(device));
    arrays_ = must(paging::Arrays::create(
        *device_, {.cache = {.cache_bytes = cache_bytes, .page_bytes = page_bytes}, .service = {}}));
    auto opened = must(registry_->open(uri, io::kRead));
    bytes_ = must(opened.target->info()).size;
    elements_ = must(arrays_->open(std::move(opened), element_bytes));
  }

  std::uint64_t bytes() const { return bytes_; }

  // counts[v]: how often byte v occurs. Returns how often the needle does, and the run's report.
  std::pair<std::uint64_t, nb::dict> histogram(const nb::bytes& needle,
                                               std::array<std::uint64_t, 256>& counts) {
    if (!words_) {
      nb::gil_scoped_release others;
      words_ = must(arrays_->open(must(registry_->open(uri_, io::kRead)), 8));
    }
    std::uint64_t value = 0, mask = 0;
    std::memcpy(&value, needle.c_str(), needle.size());
    std::memset(&mask, 0xff, needle.size());
    gpu::Buffer &count = zeros(sizeof counts), &found = zeros(8), &failed = zeros(4);
    const gpu::Argument arguments[] = {words_->argument(),
                                       gpu::Argument::buffer(count, 8),
                                       gpu::Argument::buffer(found, 8),
                                       gpu::Argument::buffer(failed, 4),
                                       {bytes_, 0},
                                       {value, 0},
                                       {mask, 0},
                                       {needle.size(), 0}};
    const auto scan = gpuio::kernel::trace_program(demo::scan_body, "scan", {demo::kScanLanes, 1, 1});
    nb::dict report = run(scan.view(), arguments, failed);
    std::memcpy(counts.data(), count.host(), sizeof counts);
    std::uint64_t n = 0;
    std::memcpy(&n, found.host(), 8);
    buffers_.clear();
    return {n, report};
  }

  // values[i] = the element at index[i].
  nb::dict gather(const Indices& index, const Values& values) {
    const std::size_t n = index.shape(0);
    gpu::Buffer &from = zeros(n * 8), &out = zeros(n * element_bytes_), &failed = zeros(4);
    std::memcpy(from.host(), index.data(), n * 8);
    const gpu::Argument arguments[] = {elements_.argument(),
                                       gpu::Argument::buffer(from, 8),
                                       gpu::Argument::buffer(out, element_bytes_),
                                       gpu::Argument::buffer(failed, 4),
                                       {n, 0}};
    const auto kernel = trace_gather(element_bytes_);
    nb::dict report = run(kernel.view(), arguments, failed);
    std::memcpy(values.data(), out.host(), n * element_bytes_);
    buffers_.clear();
    return report;
  }

 private:
  template <class T>
  static T must(Result<T> result) {
    check(result ? Status() : result.error());
    return std::move(*result);
  }

  gpu::Buffer& zeros(std::uint64_t bytes) {
    auto buffer = must(device_->allocate(gpu::MemoryKind::pinned, bytes));
    std::memset(buffer->host(), 0, bytes);
    buffers_.push_back(std::move(buffer));
    return *buffers_.back();
  }

  // On a thread of its own, while this one serves Python's signals.
  nb::dict run(const gpuio::kernel::View& kernel, std::span<const gpu::Argument> arguments,
               const gpu::Buffer& failed) {
    std::atomic<bool> cancel{false};
    bool interrupted = false;
    auto running = std::async(std::launch::async, [&] {
      return arrays_->run(kernel, {.groups = {64, 1, 1}}, arguments, {.miss = miss_, .cancel = &cancel});
    });
    for (bool ended = false; !ended;) {
      {
        nb::gil_scoped_release others;
        ended = running.wait_for(std::chrono::milliseconds(50)) == std::future_status::ready;
      }
      if (!ended && !interrupted && PyErr_CheckSignals() != 0) interrupted = cancel = true;
    }
    auto ran = running.get();
    if (interrupted) throw nb::python_error();
    check(ran ? Status() : ran.error());
    std::uint32_t failures = 0;
    std::memcpy(&failures, failed.host(), 4);
    if (failures)
      throw Error{int(Code::io),
                  fmt::format("{} lanes could not read all of {}; {}", failures, uri_, ran->reason)};
    nb::dict d;
    d["device"] = device_->info().name;
    d["mode"] = ran->miss == paging::Miss::wait ? "wait" : "yield";
    d["seconds"] = ran->seconds;
    d["launches"] = ran->launches;
    d["misses"] = ran->misses;
    d["pages"] = ran->pages;
    d["miss_p50_us"] = double(ran->latency_ns.percentile(50)) / 1e3;
    d["miss_p99_us"] = double(ran->latency_ns.percentile(99)) / 1e3;
    d["reason"] = ran->reason;
    return d;
  }

  const std::string uri_;
  const std::uint32_t element_bytes_;
  const std::string device_name_;
  paging::Miss miss_ = paging::Miss::automatic;
  std::uint64_t bytes_ = 0;
  // In order of destruction: what uses another first.
  std::unique_ptr<io::Registry> registry_;
  std::unique_ptr<gpu::Device> device_;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers_;  // of one run
  std::unique_ptr<paging::Arrays> arrays_;
  paging::Array elements_;
  std::optional<paging::Array> words_;
};

}  // namespace

void bind_array(nb::module_& m) {
  nb::class_<Array>(m, "Array")
      .def(nb::init<const std::string&, std::uint32_t, const std::string&, const std::string&, std::uint64_t,
                    std::uint64_t>(),
           nb::arg("uri"), nb::arg("element_bytes"), nb::arg("device"), nb::arg("mode"),
           nb::arg("cache_bytes"), nb::arg("page_bytes"))
      .def_prop_ro("bytes", &Array::bytes)
      .def(
          "histogram",
          [](Array& a, const nb::bytes& needle,
             const nb::ndarray<std::uint64_t, nb::shape<256>, nb::c_contig, nb::device::cpu>& counts) {
            std::array<std::uint64_t, 256> all{};
            auto result = a.histogram(needle, all);
            std::memcpy(counts.data(), all.data(), sizeof all);
            return result;
          },
          nb::arg("needle"), nb::arg("counts").noconvert())
      .def("gather", &Array::gather, nb::arg("index").noconvert(), nb::arg("values").noconvert());
}

}  // namespace gpuio::python
