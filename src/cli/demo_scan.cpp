#include <algorithm>
#include <array>
#include <cstring>

#include "base/platform/file.hpp"
#include "cli/demo.hpp"
#include "cli/demo_kernels.hpp"
#include "cli/demo_session.hpp"
#include "gpu/cpu/native.hpp"

namespace gpuio::cli {
namespace {

struct Counts {
  std::array<std::uint64_t, 256> of{};
  std::uint64_t needle = 0;
};

// Byte by byte, so that it shares nothing with the kernel but the question.
Status count_plainly(const std::string& path, const std::string& needle, const std::atomic<bool>& cancel,
                     Counts& counts) {
  std::string tail;  // what a needle that began in the last piece would have begun with
  return read_all(path, cancel, [&](std::span<const std::byte> piece, std::uint64_t) {
    for (std::byte b : piece) ++counts.of[std::size_t(b)];
    if (needle.empty()) return;
    tail.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    for (auto at = tail.find(needle); at != tail.npos; at = tail.find(needle, at + 1)) ++counts.needle;
    tail.erase(0, tail.size() - std::min(tail.size(), needle.size() - 1));
  });
}

std::string first_difference(const Counts& expected, const std::uint64_t* counts, std::uint64_t found) {
  for (std::size_t v = 0; v < 256; ++v)
    if (counts[v] != expected.of[v])
      return fmt::format("byte {:#04x}: the kernel counted {}, a plain pass {}", v, counts[v],
                         expected.of[v]);
  if (found != expected.needle)
    return fmt::format("needle: the kernel found {}, a plain pass {}", found, expected.needle);
  return "";
}

Result<int> scan(const DemoOptions& options, const std::atomic<bool>& cancel) {
  if (options.needle.size() > 8)
    return fail(Code::invalid_arg, "the needle '{}' has {} bytes; at most 8 can be", options.needle,
                options.needle.size());
  auto session = DemoSession::open(options, cancel);
  if (!session) return fail(std::move(session).error());
  auto path = local_path(options.file);
  if (!path) return fail(std::move(path).error());
  auto file = File::open(*path, OpenFlags::read);
  if (!file) return fail(std::move(file).error());
  auto info = file->info();
  if (!info) return fail(std::move(info).error());
  const std::uint64_t bytes = info->size_bytes;

  auto counts = session->results(256 * 8), found = session->results(8), failed = session->results(4);
  for (auto* r : {&counts, &found, &failed})
    if (!*r) return fail(std::move(*r).error());
  paging::RunReport run;
  std::uint64_t accesses = 0;  // each word, and the one after it
  if (bytes > 0) {
    auto words = session->words(options.file);
    if (!words) return fail(std::move(words).error());
    std::uint64_t needle = 0, mask = 0;
    std::memcpy(&needle, options.needle.data(), options.needle.size());
    std::memset(&mask, 0xff, options.needle.size());
    const gpu::Argument arguments[] = {words->argument(),
                                       gpu::Argument::buffer(**counts, 8),
                                       gpu::Argument::buffer(**found, 8),
                                       gpu::Argument::buffer(**failed, 4),
                                       {bytes, 0},
                                       {needle, 0},
                                       {mask, 0},
                                       {options.needle.size(), 0}};
    // Each workgroup is at a page of its own: no more of them than find room.
    const auto groups =
        std::uint32_t(std::clamp<std::uint64_t>(options.cache_bytes / options.page_bytes / 4, 1, 64));
    auto ran = session->run({demo::scan.view(), gpu::cpu::make_native(demo::scan)}, groups, arguments, bytes);
    if (!ran) return fail(std::move(ran).error());
    run = std::move(*ran);
    accesses = 2 * words->count - 1;
  }
  const auto* counted = reinterpret_cast<const std::uint64_t*>((*counts)->host());
  const auto found_count = *reinterpret_cast<const std::uint64_t*>((*found)->host());
  const auto failures = *reinterpret_cast<const std::uint32_t*>((*failed)->host());
  if (failures)
    return fail(Code::io, "{} lanes could not read all of {}; {}", failures, options.file, run.reason);

  Counts expected;
  if (Status s = count_plainly(*path, options.needle, cancel, expected); !s) return fail(std::move(s));
  nlohmann::ordered_json fields;
  fields["counts"] = std::vector<std::uint64_t>(counted, counted + 256);
  fields["needle"] = options.needle;
  fields["needle_count"] = found_count;
  return report(options, session->device().info().name, run, bytes, accesses,
                first_difference(expected, counted, found_count), std::move(fields));
}

}  // namespace

int demo_scan(const DemoOptions& options, const std::atomic<bool>& cancel) {
  auto result = scan(options, cancel);
  return result ? *result : report_error(options, result.error(), cancel);
}

}  // namespace gpuio::cli
