// expect: divergent_matrix 6 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<u32> y) { auto tile = k.shared<f16, 512>();
  GPU_IF(k.tid() < 16)
    k.fragment_a(tile, 0, 16);
  y[k.tid()] = 1u;
});
