// The kernels that AGPU's operations become: every size is a constant of the kernel, one lane an element of
// the output or a row of it, plain loops. Written to be right on every device; not tuned.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include "launch/adead/parts.hpp"

namespace gpuio::launch::adead {

// C[batch, i, j] = scale * sum over k of A[batch, i, k] * B[batch, k, j], with strides in elements.
struct Contraction {
  u64 batches = 1, rows = 0, columns = 0, depth = 0;
  struct Strides {
    u64 batch = 0, outer = 0, inner = 0;
  };
  Strides a{}, b{}, c{};  // outer, inner: (i, k), (k, j), (i, j)
  float scale = 1;
  bool relu = false;
  u64 lanes() const { return batches * rows * columns; }
};
kernel::Program contraction(const Contraction& shape);  // (a, b, c)

kernel::Program copy(u64 count);                   // (from, to), u32
kernel::Program fill(u64 count, u32 value);        // (to), u32
kernel::Program binary(kernel::Op op, u64 count);  // (a, b, c), f32
enum class Map : u8 { scale, relu, sigmoid, tanh, gelu };
kernel::Program map(Map what, u64 count, float factor = 1);       // (from, to), f32; may be one buffer
kernel::Program softmax(u64 rows, u64 columns);                   // (from, to), f32; one lane a row
kernel::Program layer_norm(u64 rows, u64 columns);                // (from, to), f32; one lane a row
kernel::Program embedding(u64 count, u64 vocabulary, u64 width);  // (ids u32, table f32, to f32)

}  // namespace gpuio::launch::adead
