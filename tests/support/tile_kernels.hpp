// Kernels of 64 lanes over a tile of shared memory, as the verifier sees them, for tests of copies into it.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::test_kernels {

// f(k, x, y, tile): x and the tile have 256 numbers; y is what Results says.
template <class Results, class F>
kernel::Traced traced_on_tile(F f) {
  return kernel::trace(
      [f](kernel::Ctx k, kernel::In<kernel::u32, 256> x, Results y) {
        auto tile = k.shared<kernel::u32, 256>();
        f(k, x, y, tile);
      },
      "k", {64, 1, 1});
}

}  // namespace gpuio::test_kernels
