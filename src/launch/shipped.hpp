// The kernels that gpuio ships, as .spv and .ptx beside the package and built into the library: what the CPU
// runs of them is compiled, not interpreted.
//
//   vecadd (in f32[], in f32[], out f32[])   out[i] = a[i] + b[i], as far as the shortest goes; any grid,
//                                            256 lanes
//   reduce (in f32[], out f32[])             out[group] = the sum of the group's strided share of x, in an
//                                            order that the grid decides; again with one group: of all
//   matmul (in f32[], in f32[], out f32[])   C (m x n) = A (m x k) * B (k x n), row-major; the sizes follow
//                                            from the three lengths, and where they cannot, C is NaN. A group
//                                            makes 32 x 32 of C: grid (ceil(n / 32), ceil(m / 32)). Sums in
//                                            order of k, two roundings a step.
//
// Pure; any thread.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include "gpu/device.hpp"

namespace gpuio::launch {

struct ShippedKernel {
  kernel::View view;
  gpu::Native native;
};
std::span<const ShippedKernel> shipped_kernels();

// The native form of a kernel whose IR, as serialized, is that of a shipped one; else nothing to run.
gpu::Native shipped_native(std::span<const std::uint8_t> ir);

}  // namespace gpuio::launch
