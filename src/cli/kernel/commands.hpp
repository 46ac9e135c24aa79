// `gpuio kernel`: the kernels that come with gpuio and serialized ones, listed, written to a file, shown in
// the forms that devices get, measured and checked. Each prints for people or, with json, one object, and
// gives the exit status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gpuio::cli {

struct KernelOptions {
  std::vector<std::string> kernels;  // names or files
  std::string file;                  // what export writes
  std::uint32_t sm = 0;              // 0: no PTX is wanted, or sm_90 where some is needed
  bool spirv = false;
  std::string miss;  // yield or wait; empty: both
  bool unchecked_races = false;
  std::vector<std::string> constants{};  // NAME=VALUE
  bool json = false;
};

int kernel_list(const KernelOptions& options);
int kernel_export(const KernelOptions& options);
int kernel_dump(const KernelOptions& options);
int kernel_stats(const KernelOptions& options);
int kernel_check(const KernelOptions& options);

}  // namespace gpuio::cli
