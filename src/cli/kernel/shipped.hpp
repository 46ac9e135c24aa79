// The kernels that come with gpuio, and serialized ones from files, for `gpuio kernel`.
//
// Plain values; one thread. Errors: a name that is neither names what there is; a file that holds no kernel
// says which byte is wrong.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <string>
#include <vector>

#include "base/status.hpp"

namespace gpuio::cli {

struct Shipped {
  std::string text;  // what it does, and its arguments in order
  kernel::Program program;
};
// The demos' kernels, those of launch/shipped.hpp, and those of ADead-BIB's operations, whose sizes are
// written into them: here small ones.
std::vector<Shipped> shipped_kernels();

// A kernel and the bytes that it was read from, which hold its name.
struct Source {
  std::vector<kernel::u8> bytes;
  kernel::Program program;
};
// `name`: of a shipped kernel, or a file that holds a serialized one, also within SPIR-V or PTX of ours.
// `constants`: NAME=VALUE, set in it.
Result<Source> open_kernel(const std::string& name, const std::vector<std::string>& constants = {});

}  // namespace gpuio::cli
