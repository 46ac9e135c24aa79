// `gpuio bench kernels`: every operation on tensors (gpuio_ops.h) at a few sizes on one device, its results
// held to the host's, its time beside that of a copy on the device or of a plain loop of the host.
#pragma once

#include <atomic>
#include <string>
#include <vector>

namespace gpuio::cli {

struct BenchOptions {
  std::string device = "auto";    // as gpuio_find_device names them
  std::vector<std::string> only;  // operations; empty: all
  std::string size = "auto";      // tiny, small, large; auto: large on a GPU, else small
  double seconds = 1;             // of measuring, each case; one round at least
  bool json = false;
};

// The process's exit status: 0 all right, 1 a difference or an error, 130 interrupted. `cancel` may be set at
// any time; what runs is waited for.
int bench_kernels(const BenchOptions& options, const std::atomic<bool>& cancel);

}  // namespace gpuio::cli
