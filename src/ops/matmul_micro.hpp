// The innermost of the native product: up to 6 x 16 sums in registers.
//
// a: of each k six numbers side by side, b: sixteen. c (rows x 16, `step` from one row to the next) is what
// they sum to, or that is added to it.
// Pure; any thread.
#pragma once

#include <cstdint>

namespace gpuio::ops {

inline constexpr std::uint32_t kMicroRows = 6, kMicroColumns = 16;

using Micro = void (*)(const float* a, const float* b, float* c, std::uint32_t step, std::uint32_t depth,
                       std::uint32_t rows, bool first);
// With the widest vectors that this processor has of those that are built.
Micro micro_of_this_cpu();

}  // namespace gpuio::ops
