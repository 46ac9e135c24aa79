// Products that warpgroups make, for every type; traced in one place.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

// c = a * b, 128 x depth by depth x columns, a by rows, b by columns: two warpgroups of 64 rows.
struct WarpgroupProduct {
  Program program;  // parameters a, b, c
  Matrix what;
  u32 columns, depth;
};
inline constexpr u32 kGroupRows = 128;
std::vector<WarpgroupProduct> warpgroup_products();

// Tiles that bulk copies bring, in a loop: a in panels of 64 rows, b in panels of 128 columns, 64 deep each,
// one tile after the other; c 64 x 128.
inline constexpr u32 kStreamTiles = 4;
Program streamed_product();

}  // namespace gpuio::test_kernels
