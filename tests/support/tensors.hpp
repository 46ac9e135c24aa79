// Kernels that load boxes of matrices by tensor maps, for every back end that has them; traced in one place.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

// y = the box of x from (top, left) on, by rows. Parameters x, rows, columns, step, top, left, y.
struct BoxCopy {
  Program program;
  Type type;
  u32 rows, bytes;
};
std::vector<BoxCopy> box_copies();

// c = a * b, 64 x columns: a by rows, b by columns, two panels deep, of which boxes are loaded. Parameters a,
// b, c, then rows of a, rows of b, depth and the step of both.
struct BoxProduct {
  Program program;
  Matrix what;
  u32 columns, depth;
};
std::vector<BoxProduct> box_products();

// c = a * b of any size: a m x depth, b n x depth, rows at multiples of 16 bytes; a tile of 64 x 128 a
// workgroup. Parameters a, b, c, m, n, depth, the step of a, the step of b.
Program boxed_product();

}  // namespace gpuio::test_kernels
