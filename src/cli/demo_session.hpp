// What the demos share: a device with arrays on it, small result buffers, a progress bar, and the report.
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/demo.hpp"
#include "gpu/device.hpp"
#include "io/registry.hpp"
#include "paging/arrays.hpp"

namespace gpuio::cli {

class DemoSession {
 public:
  static Result<DemoSession> open(const DemoOptions& options, const std::atomic<bool>& cancel);

  gpu::Device& device() { return *device_; }
  paging::Arrays& arrays() { return *arrays_; }
  // The file as an array of 64-bit words.
  Result<paging::Array> words(const std::string& path);
  // Zeroed memory that the kernel writes and the host reads.
  Result<gpu::Buffer*> results(std::uint64_t bytes);

  // Runs with the progress bar of what is expected to be brought.
  Result<paging::RunReport> run(const paging::Kernel& kernel, std::uint32_t groups,
                                std::span<const gpu::Argument> arguments, std::uint64_t bytes_expected);

 private:
  DemoSession(const DemoOptions& options, const std::atomic<bool>& cancel)
      : options_(&options), cancel_(&cancel) {}

  const DemoOptions* options_;
  const std::atomic<bool>* cancel_;
  std::unique_ptr<io::Registry> registry_;
  std::unique_ptr<gpu::Device> device_;
  std::vector<std::unique_ptr<gpu::Buffer>> results_;
  std::unique_ptr<paging::Arrays> arrays_;
};

// Where the file that a path or URI names is, for the plain pass.
Result<std::string> local_path(const std::string& file);

// The plain pass: each_piece(bytes, offset) over the whole file in order. CANCELED when interrupted.
Status read_all(const std::string& path, const std::atomic<bool>& cancel,
                const std::function<void(std::span<const std::byte>, std::uint64_t)>& each_piece);

// Prints the run for people or as one JSON object, with the fields that the caller has put in already; gives
// the exit status.
int report(const DemoOptions& options, const std::string& device, const paging::RunReport& run,
           std::uint64_t bytes, std::uint64_t accesses, const std::string& difference,
           nlohmann::ordered_json fields);
int report_error(const DemoOptions& options, const Status& status, const std::atomic<bool>& cancel);

}  // namespace gpuio::cli
