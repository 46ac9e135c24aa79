// A kernel's launch, tried in the interpreter: what its lanes do to memory is watched, on copies of what they
// are given (gpuio/kernel/sanitize.hpp says what is found, and which races are not).
//
// Pure: no device takes part, nothing that was given is changed. Threading: any. Costs about 100 bytes of
// memory an element; `steps_max` bounds the time. Errors: UNSUPPORTED for a kernel whose IR is not known or
// that has on-demand arrays, INVALID_ARG names the argument that is wrong.
//
//   auto found = sanitize(*module, {.groups = {4, 1, 1}}, {{.bytes = x}, {.number = n}}, 1 << 28);
//   for (const Finding& f : *found) fmt::print("{}\n", f.message);
#pragma once

#include <span>
#include <string>
#include <vector>

#include "launch/module.hpp"
#include "launch/number.hpp"

namespace gpuio::launch {

// A buffer's bytes, or a number.
struct Given {
  std::vector<std::byte> bytes{};
  std::uint32_t element_size = 0;  // of a buffer; 0: as the kernel has it
  std::optional<Number> number{};
};

struct Finding {
  std::string message;
  std::uint32_t line = 0;          // of the kernel's source
  std::uint32_t earlier_line = 0;  // of a race the other access; else 0
};

// Races, then what ended the run before its end, if anything did: an index out of range, shared memory read
// before anybody wrote it, a barrier that not every lane reaches, `steps_max` instructions of lanes.
Result<std::vector<Finding>> sanitize(const Module& module, const gpu::Grid& grid,
                                      std::vector<Given> arguments, std::uint64_t steps_max);

}  // namespace gpuio::launch
