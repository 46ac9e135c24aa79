// The innermost of the native product: up to 6 x 16 sums in registers.
//
// a: a number of each row and k, `a_row` from one row to the next and `a_step` from one k to the next; b: of
// each k sixteen side by side. c (rows x 16, `step` from one row to the next) is what they sum to, or that is
// added to it.
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpuio::ops {

inline constexpr std::uint32_t kMicroRows = 6, kMicroColumns = 16;

using Micro = void (*)(const float* a, std::size_t a_row, std::size_t a_step, const float* b, float* c,
                       std::uint32_t step, std::uint32_t depth, std::uint32_t rows, bool first);
// The sum of a[k] * b[k]: for products of few rows, where what is read of b is read once.
using Dot = float (*)(const float* a, const float* b, std::uint32_t depth);

// With the widest vectors that this processor has of those that are built.
Micro micro_of_this_cpu();
Dot dot_of_this_cpu();

}  // namespace gpuio::ops
