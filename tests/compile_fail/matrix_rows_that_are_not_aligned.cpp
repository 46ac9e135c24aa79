// expect: matrix_stride 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<u32> y) { auto tile = k.shared<f16, 512>();
  k.fragment_a(tile, 0, 17);
  y[k.tid()] = 1u;
});
