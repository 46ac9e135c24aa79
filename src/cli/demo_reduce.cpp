#include <cstring>

#include "base/platform/file.hpp"
#include "cli/demo.hpp"
#include "cli/demo_kernels.hpp"
#include "cli/demo_session.hpp"
#include "gpu/cpu/native.hpp"

namespace gpuio::cli {
namespace {

constexpr std::uint64_t kBlockWords = 8192;  // 64 KiB, read by one workgroup

Result<int> reduce(const DemoOptions& options, const std::atomic<bool>& cancel) {
  auto session = DemoSession::open(options, cancel);
  if (!session) return fail(std::move(session).error());
  auto path = local_path(options.file);
  if (!path) return fail(std::move(path).error());
  auto words = session->words(options.file);
  if (!words) return fail(std::move(words).error());
  // A grid has at most 65535 groups, so blocks grow with the file.
  const std::uint64_t block = std::max(kBlockWords, (words->count + 65534) / 65535);
  const std::uint64_t blocks = (words->count + block - 1) / block;
  auto sums = session->results(blocks * 8), failed = session->results(4);
  for (auto* r : {&sums, &failed})
    if (!*r) return fail(std::move(*r).error());
  const gpu::Argument arguments[] = {
      words->argument(), gpu::Argument::buffer(**sums, 8), gpu::Argument::buffer(**failed, 4), {block, 0}};
  auto run = session->run({demo::reduce.view(), gpu::cpu::make_native(demo::reduce)}, std::uint32_t(blocks),
                          arguments, words->range.bytes);
  if (!run) return fail(std::move(run).error());
  if (const auto failures = *reinterpret_cast<const std::uint32_t*>((*failed)->host()))
    return fail(Code::io, "{} lanes could not read all of {}; {}", failures, options.file, run->reason);

  std::vector<std::uint64_t> expected(blocks);
  Status read = read_all(*path, cancel, [&](std::span<const std::byte> piece, std::uint64_t at) {
    for (std::size_t i = 0; i < piece.size(); i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, piece.data() + i, std::min<std::size_t>(8, piece.size() - i));
      expected[(at + i) / 8 / block] += word;
    }
  });
  if (!read) return fail(std::move(read));
  const auto* got = reinterpret_cast<const std::uint64_t*>((*sums)->host());
  std::string difference;
  std::uint64_t total = 0;
  for (std::uint64_t b = 0; b < blocks; ++b) {
    total += got[b];
    if (got[b] != expected[b] && difference.empty())
      difference =
          fmt::format("block {}: the kernel's sum is {:#x}, a plain pass {:#x}", b, got[b], expected[b]);
  }
  nlohmann::ordered_json fields;
  fields["blocks"] = blocks;
  fields["sum"] = fmt::format("{:#018x}", total);
  return report(options, session->device().info().name, *run, words->range.bytes, words->count, difference,
                std::move(fields));
}

}  // namespace

int demo_reduce(const DemoOptions& options, const std::atomic<bool>& cancel) {
  auto result = reduce(options, cancel);
  return result ? *result : report_error(options, result.error(), cancel);
}

}  // namespace gpuio::cli
