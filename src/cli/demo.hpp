// `gpuio demo`: kernels that index files, checked against a plain pass of the CPU over the same bytes.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace gpuio::cli {

struct DemoOptions {
  std::string file;
  std::string device = "cpu";
  std::string mode = "auto";  // wait, yield
  std::string needle = "gpuio";
  std::uint64_t cache_bytes = 64 << 20;
  std::uint64_t page_bytes = 64 << 10;
  std::uint64_t table_bytes = std::uint64_t{2} << 30;  // of gather
  std::uint32_t rows = 1'000'000;                      // of gather
  bool json = false;
};

// Each returns the process's exit status: 0 verified, 1 a difference or an error, 130 interrupted. `cancel`
// may be set at any time.
int demo_scan(const DemoOptions& options, const std::atomic<bool>& cancel);
int demo_gather(const DemoOptions& options, const std::atomic<bool>& cancel);
int demo_reduce(const DemoOptions& options, const std::atomic<bool>& cancel);

}  // namespace gpuio::cli
