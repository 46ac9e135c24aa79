// What a kernel becomes on its way to a device, as the library makes it: on-demand accesses lowered, then PTX
// or SPIR-V. And NVIDIA's and Khronos' programs that look at the result, where they are installed.
//
// Pure, except `run_program`, which blocks on the program for up to a minute.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.hpp"

namespace gpuio::cli {

bool on_demand(const kernel::View& kernel);

// One program that a device gets: as it is, or for each way in which a miss is met.
struct Form {
  std::string way;  // "plain", "yield" or "wait"
  kernel::Program program;
};
// `way` "": all that there are. INVALID_ARG for one that the kernel has not, UNSUPPORTED with the line where
// the suspend pass refuses it. The cache has the shape that the configuration's defaults give.
Result<std::vector<Form>> forms_of(const kernel::View& kernel, const std::string& way);

Result<std::string> ptx_of(const kernel::View& kernel, std::uint32_t sm);

// What ptxas says of a text.
struct Assembled {
  int registers = 0, stack_bytes = 0, spill_bytes = 0;
};
// NOT_FOUND without ptxas in PATH; INVALID_ARG with its words when it refuses the text.
Result<Assembled> assemble(const std::string& ptx, std::uint32_t sm);
// NOT_FOUND without spirv-val in PATH, or with one that is older than what the words use; INVALID_ARG with
// its words when it refuses the words.
Status validate(const std::vector<kernel::u32>& words);
// The text of spirv-dis, or NOT_FOUND.
Result<std::string> disassemble(const std::vector<kernel::u32>& words);

}  // namespace gpuio::cli
