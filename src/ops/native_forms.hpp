// The operations that run as code of the processor on the CPU device (native.hpp), by what each is
// specialised for. They take the arguments of the kernels beside which they stand, in the same order.
//
// Pure; any thread.
#pragma once

#include "ops/ops.hpp"

namespace gpuio::ops {

// Of chunks of rows: what they add up to, and their scans; starts: chunk c begins with starts[c].
gpu::Native native_reduce(Fold fold, Dtype x, Dtype y);
gpu::Native native_scan(Fold fold, bool exclusive, bool starts, Dtype x, Dtype y);

gpu::Native native_histogram(Dtype x, Dtype counts);
gpu::Native native_random(Distribution distribution, Dtype y);

// `bytes`: of a word, in which `words` counts; strides count in words of at most 4.
gpu::Native native_move(bool gathers, bool wide_indices, std::uint32_t bytes);
gpu::Native native_top_k(Dtype x, bool values);

gpu::Native native_quantize(Dtype x, Dtype q, ScaleBy scale);
gpu::Native native_dequantize(Dtype x, Dtype q, ScaleBy scale);
inline constexpr std::uint32_t kNativeColumns = 256;  // that a workgroup quantizes at a time, by columns

}  // namespace gpuio::ops
