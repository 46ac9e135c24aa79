#include <sys/stat.h>

#include <cstdio>
#include <cstring>

#include "base/platform/file.hpp"
#include "base/text.hpp"
#include "cli/demo.hpp"
#include "cli/demo_kernels.hpp"
#include "cli/demo_session.hpp"
#include "gpu/cpu/native.hpp"

namespace gpuio::cli {
namespace {

constexpr std::uint64_t kRowBytes = demo::kRowWords * 8;

// splitmix64: the table's words and the rows that are gathered are functions of their position.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Written once, under another name until it is whole.
Status make_table(const DemoOptions& options, std::uint64_t rows, const std::atomic<bool>& cancel) {
  struct stat status{};
  if (stat(options.file.c_str(), &status) == 0 && std::uint64_t(status.st_size) == rows * kRowBytes)
    return {};
  const std::string part = options.file + ".part";
  auto file = File::open(part, OpenFlags::write | OpenFlags::create | OpenFlags::truncate);
  if (!file) return std::move(file).error();
  if (!options.json) fmt::print(stderr, "making {} of {} rows, once\n", options.file, rows);
  std::vector<std::uint64_t> words(demo::kRowWords * 4096);
  Status result;
  for (std::uint64_t row = 0; row < rows && result.ok(); row += 4096) {
    const std::uint64_t n = std::min<std::uint64_t>(4096, rows - row);
    for (std::uint64_t w = 0; w < n * demo::kRowWords; ++w) words[w] = mixed(row * demo::kRowWords + w);
    result = file->write_at(std::as_bytes(std::span(words).first(n * demo::kRowWords)), row * kRowBytes);
    if (cancel.load(std::memory_order_relaxed)) result = error(Code::canceled, "interrupted");
  }
  if (result.ok()) result = file->close();
  if (result.ok() && std::rename(part.c_str(), options.file.c_str()) != 0)
    result = error(Code::io, "renaming {} to {}: {}", part, options.file, std::strerror(errno));
  if (!result) std::remove(part.c_str());
  return result;
}

Result<int> gather(const DemoOptions& options, const std::atomic<bool>& cancel) {
  const std::uint64_t table_rows = options.table_bytes / kRowBytes;
  if (table_rows == 0)
    return fail(Code::invalid_arg, "a table of {} bytes holds no row of {}; make it larger",
                options.table_bytes, kRowBytes);
  if (options.rows == 0) return fail(Code::invalid_arg, "0 rows to gather; ask for at least one");
  if (Status s = make_table(options, table_rows, cancel); !s) return fail(std::move(s));
  auto session = DemoSession::open(options, cancel);
  if (!session) return fail(std::move(session).error());
  auto table = session->words(options.file);
  if (!table) return fail(std::move(table).error());
  auto rows = session->results(std::uint64_t(options.rows) * 8),
       sums = session->results(std::uint64_t(options.rows) * 8), failed = session->results(4);
  for (auto* r : {&rows, &sums, &failed})
    if (!*r) return fail(std::move(*r).error());
  auto* row = reinterpret_cast<std::uint64_t*>((*rows)->host());
  for (std::uint32_t i = 0; i < options.rows; ++i) row[i] = mixed(~std::uint64_t{i}) % table_rows;
  const gpu::Argument arguments[] = {table->argument(),
                                     gpu::Argument::buffer(**rows, 8),
                                     gpu::Argument::buffer(**sums, 8),
                                     gpu::Argument::buffer(**failed, 4),
                                     {options.rows, 0}};
  const std::uint64_t bytes = options.rows * kRowBytes;
  auto run = session->run({demo::gather.view(), gpu::cpu::make_native(demo::gather)}, 64, arguments,
                          std::min(bytes, table->range.bytes));
  if (!run) return fail(std::move(run).error());
  if (const auto failures = *reinterpret_cast<const std::uint32_t*>((*failed)->host()))
    return fail(Code::io, "{} lanes could not read all of {}; {}", failures, options.file, run->reason);

  // The plain pass reads the rows themselves, so that a wrong table is no excuse.
  auto file = File::open(options.file, OpenFlags::read);
  if (!file) return fail(std::move(file).error());
  const auto* got = reinterpret_cast<const std::uint64_t*>((*sums)->host());
  std::string difference;
  std::uint64_t words[demo::kRowWords];
  for (std::uint32_t i = 0; i < options.rows && difference.empty(); ++i) {
    auto n = file->read_at(std::as_writable_bytes(std::span(words)), row[i] * kRowBytes);
    if (!n) return fail(std::move(n).error());
    std::uint64_t expected = 0;
    for (std::uint64_t w : words) expected = expected * 0x9E3779B97F4A7C15u + w;
    if (got[i] != expected || *n != kRowBytes)
      difference = fmt::format("row {} (of the table {}): the kernel has {:#x}, a plain read {:#x}", i,
                               row[i], got[i], expected);
    if (cancel.load(std::memory_order_relaxed)) return fail(Code::canceled, "interrupted");
  }
  nlohmann::ordered_json fields;
  fields["rows"] = options.rows;
  fields["row_bytes"] = kRowBytes;
  fields["table"] = format_size(options.table_bytes);
  return report(options, session->device().info().name, *run, bytes, bytes / 8, difference,
                std::move(fields));
}

}  // namespace

int demo_gather(const DemoOptions& options, const std::atomic<bool>& cancel) {
  auto result = gather(options, cancel);
  return result ? *result : report_error(options, result.error(), cancel);
}

}  // namespace gpuio::cli
