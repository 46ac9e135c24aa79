#include "bench/gpu/setup.hpp"

#include <cstring>
#include <thread>

#include "base/clock.hpp"
#include "base/platform/thread.hpp"
#include "base/uri.hpp"
#include "bench/gpu/kernels.hpp"
#include "bench/report.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "gpu/vulkan/vulkan.hpp"
#include "launch/compile.hpp"

namespace gpuio::bench {
namespace {

constexpr std::uint64_t kLong = 60'000'000'000;

template <class T>
T must(Result<T> r, std::string_view what) {
  if (!r) die(fmt::format("{}: {}", what, r.error().message()));
  return std::move(*r);
}
void must(const Status& s, std::string_view what) {
  if (!s) die(fmt::format("{}: {}", what, s.message()));
}
double now() { return double(SteadyClock().now_ns()) / 1e9; }

}  // namespace

std::unique_ptr<gpu::Device> open_device(const std::string& name) {
  auto device = name == "cpu"      ? gpu::cpu::open({})
                : name == "vulkan" ? gpu::vulkan::open({})
                : name == "cuda"
                    ? gpu::cuda::open({})
                    : fail(Code::invalid_arg, "unknown device '{}'; known are cpu, vulkan, cuda", name);
  if (!device) fmt::print(stderr, "no {} device: {}\n", name, device.error().message());
  return device ? std::move(*device) : nullptr;
}

Setup::Setup(gpu::Device& device, const Sizes& sizes)
    : device_(device), sizes_(sizes), engine_(io::make_memory_engine()) {
  const Uri uri = *Uri::parse(fmt::format("mem://data?size={}&limit={}", sizes.data_bytes, sizes.data_bytes));
  bytes_ = must(engine_->open(uri, io::kRead | io::kWrite), "memory for the data");
  auto* words = reinterpret_cast<std::uint32_t*>(bytes_->address());
  for (std::uint64_t i = 0; i < sizes.data_bytes / 4; ++i)
    words[i] = std::uint32_t(i * 2654435761u + (i >> 7));
  pinned_ = must(device.allocate(gpu::MemoryKind::pinned, sizes.data_bytes), "pinned data");
  local_ = must(device.allocate(gpu::MemoryKind::device, sizes.data_bytes), "device data");
  sum_ = must(device.allocate(gpu::MemoryKind::pinned, 8), "the sum");
  flags_ = must(device.allocate(gpu::MemoryKind::pinned, 256), "the flags");
  stream_ = must(device.stream(), "a stream");
  std::memcpy(pinned_->host(), words, sizes.data_bytes);
  must(stream_->copy(*local_, 0, *pinned_, 0, sizes.data_bytes), "copy");
  must(stream_->wait(stream_->last(), kLong), "copy");
  // Twice the data, so that no two pages fight over a way.
  arrays_ = must(paging::Arrays::create(
                     device, {.cache = {.cache_bytes = 2 * sizes.data_bytes, .page_bytes = sizes.page_bytes},
                              .service = {}}),
                 "the page cache");
}

std::uint64_t Setup::sum(std::uint32_t element, std::uint64_t n) const {
  if (const auto known = sums_.find({element, n}); known != sums_.end()) return known->second;
  std::uint64_t& total = sums_[{element, n}];
  for (std::uint64_t i = 0; i < n; ++i) {
    std::uint64_t v = 0;
    std::memcpy(&v, bytes_->address() + i * element, element);
    total += v;
  }
  return total;
}

double Setup::plain(const kernel::View& kernel, const gpu::Buffer& data, std::uint32_t element,
                    std::uint64_t n, std::uint32_t turns) {
  const auto loaded = must(launch::load(device_, kernel), kernel.name);
  const gpu::Argument arguments[] = {
      gpu::Argument::buffer(data, element), gpu::Argument::buffer(*sum_, 8), {n, 0}, {turns, 0}};
  std::memset(sum_->host(), 0, 8);
  const double from = now();
  must(stream_->launch(*loaded, {.groups = {sizes_.groups, 1, 1}}, arguments), kernel.name);
  must(stream_->wait(stream_->last(), kLong), kernel.name);
  const double seconds = now() - from;
  std::uint64_t got = 0;
  std::memcpy(&got, sum_->host(), 8);
  if (got != sum(element, n) * turns)
    die(fmt::format("{}: the sum is {}, not {}", kernel.name, got, sum(element, n) * turns));
  return seconds;
}

paging::Array Setup::open(std::uint32_t element) {
  const Uri uri = *Uri::parse("mem://data");
  return must(arrays_->open({engine_.get(), must(engine_->open(uri, io::kRead), "the data")}, element),
              "an array");
}

paging::RunReport Setup::run(const kernel::View& kernel, std::uint32_t groups,
                             std::vector<gpu::Argument> arguments, paging::Miss miss,
                             std::uint64_t expected) {
  std::memset(sum_->host(), 0, 8);
  paging::RunOptions options;
  options.miss = miss;
  options.timeout_ns = kLong;
  auto report = must(arrays_->run(kernel, {.groups = {groups, 1, 1}}, arguments, options), kernel.name);
  std::uint64_t got = 0;
  std::memcpy(&got, sum_->host(), 8);
  if (got != expected)
    die(fmt::format("{}: the sum is {}, not {} ({})", kernel.name, got, expected, report.reason));
  return report;
}

double Setup::on_demand(const kernel::View& kernel, const paging::Array& array, std::uint32_t element,
                        std::uint64_t n, std::uint32_t turns, paging::Miss miss) {
  return run(kernel, sizes_.groups, {array.argument(), gpu::Argument::buffer(*sum_, 8), {n, 0}, {turns, 0}},
             miss, sum(element, n) * turns)
      .running_seconds;
}

Setup::Missed Setup::touch_pages(std::uint32_t lanes, paging::Miss miss) {
  const std::uint64_t pages = std::min<std::uint64_t>(sizes_.misses, sizes_.data_bytes / sizes_.page_bytes);
  std::uint64_t expected = 0;
  for (std::uint64_t p = 0; p < pages; ++p) {
    std::uint64_t v = 0;
    std::memcpy(&v, bytes_->address() + p * sizes_.page_bytes, 8);
    expected += v;
  }
  const paging::Array array = open(8);
  const std::vector<gpu::Argument> arguments = {
      array.argument(), gpu::Argument::buffer(*sum_, 8), {pages, 0}, {sizes_.page_bytes / 8, 0}, {lanes, 0}};
  const auto cold = run(touch.view(), 1, arguments, miss, expected);
  close(array);
  return {cold.running_seconds / double(pages), double(cold.latency_ns.percentile(50)) / 1e3,
          double(cold.latency_ns.percentile(99)) / 1e3};
}

double Setup::copy_engine() {
  const double from = now();
  must(stream_->copy(*local_, 0, *pinned_, 0, sizes_.data_bytes), "copy");
  must(stream_->wait(stream_->last(), kLong), "copy");
  return now() - from;
}

double Setup::round_trip(std::uint32_t turns) {
  const auto loaded = must(launch::load(device_, ping_pong.view()), "ping_pong");
  std::memset(flags_->host(), 0, flags_->size());
  auto* flags = reinterpret_cast<std::uint32_t*>(flags_->host());
  const std::atomic_ref<std::uint32_t> theirs(flags[0]), ours(flags[32]);
  const gpu::Argument arguments[] = {gpu::Argument::buffer(*flags_, 4), {turns, 0}};
  must(stream_->launch(*loaded, {}, arguments), "ping_pong");
  const double begin = now();
  double from = 0;
  for (std::uint32_t seen = 0; seen < turns;) {
    // Acquire and release pair with the lane's.
    const std::uint32_t at = theirs.load(std::memory_order_acquire);
    if (at == seen) {
      if (now() - begin > 30) die("ping_pong: the kernel does not answer");
      relax_cpu();
      continue;
    }
    if (seen == 0) from = now();
    seen = at;
    ours.store(seen, std::memory_order_release);
  }
  const double seconds = now() - from;
  must(stream_->wait(stream_->last(), kLong), "ping_pong");
  return seconds / turns;
}

double Setup::launch(std::uint32_t launches) {
  const auto loaded = must(launch::load(device_, nothing.view()), "nothing");
  must(stream_->launch(*loaded, {}, {}), "nothing");
  must(stream_->wait(stream_->last(), kLong), "nothing");
  const double from = now();
  for (std::uint32_t i = 0; i < launches; ++i) must(stream_->launch(*loaded, {}, {}), "nothing");
  const double seconds = now() - from;
  must(stream_->wait(stream_->last(), kLong), "nothing");
  return seconds / launches;
}

}  // namespace gpuio::bench
