#include "cli/demo_session.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/platform/file.hpp"
#include "base/text.hpp"
#include "base/uri.hpp"
#include "cli/devices.hpp"
#include "cli/engines.hpp"

namespace gpuio::cli {

Result<DemoSession> DemoSession::open(const DemoOptions& options, const std::atomic<bool>& cancel) {
  DemoSession s(options, cancel);
  auto registry = make_registry();
  if (!registry) return fail(std::move(registry).error());
  s.registry_ = std::move(*registry);
  auto device = open_device(options.device);
  if (!device) return fail(std::move(device).error());
  s.device_ = std::move(*device);
  paging::ArraysOptions arrays;
  arrays.cache.cache_bytes = options.cache_bytes;
  arrays.cache.page_bytes = options.page_bytes;
  auto made = paging::Arrays::create(*s.device_, arrays);
  if (!made) return fail(std::move(made).error());
  s.arrays_ = std::move(*made);
  return s;
}

Result<paging::Array> DemoSession::words(const std::string& path) {
  auto opened = registry_->open(path, io::kRead);
  if (!opened) return fail(std::move(opened).error());
  return arrays_->open(std::move(*opened), 8);
}

Result<gpu::Buffer*> DemoSession::results(std::uint64_t bytes) {
  auto buffer = device_->allocate(gpu::MemoryKind::pinned, bytes);
  if (!buffer) return fail(std::move(buffer).error());
  std::memset((*buffer)->host(), 0, bytes);
  results_.push_back(std::move(*buffer));
  return results_.back().get();
}

Result<paging::RunReport> DemoSession::run(const paging::Kernel& kernel, std::uint32_t groups,
                                           std::span<const gpu::Argument> arguments,
                                           std::uint64_t bytes_expected) {
  paging::RunOptions run;
  if (options_->mode == "wait") run.miss = paging::Miss::wait;
  else if (options_->mode == "yield") run.miss = paging::Miss::yield;
  else if (options_->mode != "auto")
    return fail(Code::invalid_arg, "unknown mode '{}'; known are auto, wait, yield", options_->mode);
  run.cancel = cancel_;
  run.grace_ns = 1'000'000'000;
  const bool bar = !options_->json && isatty(STDERR_FILENO) != 0;
  if (bar)
    run.progress = [&](std::uint64_t pages) {
      const double done = double(pages) * double(options_->page_bytes);
      const int filled = int(std::min(1.0, done / double(bytes_expected)) * 40);
      fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {} ", "", filled, "", 40 - filled,
                 format_size(std::uint64_t(done)));
      std::fflush(stderr);
    };
  auto result = arrays_->run(kernel, {.groups = {groups, 1, 1}}, arguments, run);
  if (bar) fmt::print(stderr, "\r{:60}\r", "");
  return result;
}

Result<std::string> local_path(const std::string& file) {
  auto uri = Uri::parse(file);
  if (!uri) return fail(std::move(uri).error());
  if (uri->family != EngineFamily::localio)
    return fail(Code::invalid_arg, "{}: the demo checks itself against a plain read; name a local file",
                file);
  return uri->path;
}

Status read_all(const std::string& path, const std::atomic<bool>& cancel,
                const std::function<void(std::span<const std::byte>, std::uint64_t)>& each_piece) {
  auto file = File::open(path, OpenFlags::read);
  if (!file) return std::move(file).error();
  std::vector<std::byte> piece(1 << 20);
  for (std::uint64_t at = 0;;) {
    if (cancel.load(std::memory_order_relaxed)) return error(Code::canceled, "interrupted");
    auto got = file->read_at(piece, at);
    if (!got) return std::move(got).error();
    if (*got == 0) return {};
    each_piece(std::span(piece).first(*got), at);
    at += *got;
  }
}

int report(const DemoOptions& options, const std::string& device, const paging::RunReport& run,
           std::uint64_t bytes, std::uint64_t accesses, const std::string& difference,
           nlohmann::ordered_json fields) {
  const bool verified = difference.empty();
  const char* mode = run.miss == paging::Miss::wait ? "wait" : "yield";
  const double hit_rate = accesses ? 1 - double(run.misses) / double(accesses) : 0;
  const double p50 = double(run.latency_ns.percentile(50)) / 1e3,
               p99 = double(run.latency_ns.percentile(99)) / 1e3;
  if (options.json) {
    nlohmann::ordered_json j{
        {"device", options.device}, {"mode", mode}, {"bytes", bytes}, {"seconds", run.seconds}};
    j.update(fields);
    j["pages_missed"] = run.pages;
    j["hit_rate"] = hit_rate;
    j["miss_p50_us"] = p50;
    j["miss_p99_us"] = p99;
    j["launches"] = run.launches;
    j["native"] = run.native;
    j["verified"] = verified;
    if (!verified) j["difference"] = difference;
    fmt::print("{}\n", j.dump());
    return verified ? 0 : 1;
  }
  fmt::print("device   {}\n", device);
  fmt::print("kernel   {}\n", run.choice);
  fmt::print("misses   {}: {} in {} launch{}{}\n", mode, run.misses, run.launches,
             run.launches == 1 ? "" : "es", run.reason.empty() ? "" : " (" + run.reason + ")");
  fmt::print("pages    {} of {} brought, hit rate {:.4f}\n", run.pages, format_size(options.page_bytes),
             hit_rate);
  fmt::print("speed    {:.1f} MB/s ({} bytes in {:.3f} s)\n",
             run.seconds > 0 ? double(bytes) / 1e6 / run.seconds : 0, bytes, run.seconds);
  fmt::print("latency  p50 {:.1f} us, p99 {:.1f} us from request to answer\n", p50, p99);
  for (const auto& [name, value] : fields.items())
    if (!value.is_array()) fmt::print("{:<8} {}\n", name, value.dump());
  fmt::print("{}\n", verified ? "verified" : "DIFFERENT: " + difference);
  return verified ? 0 : 1;
}

int report_error(const DemoOptions& options, const Status& status, const std::atomic<bool>& cancel) {
  if (options.json)
    fmt::print("{}\n", nlohmann::json{{"error", status.message()}, {"verified", false}}.dump());
  fmt::print(stderr, "gpuio: {}\n", status.message());
  if (!cancel.load()) return 1;
  // A kernel of a device that was given up may still run; it ends with the process.
  std::fflush(nullptr);
  std::_Exit(130);
}

}  // namespace gpuio::cli
