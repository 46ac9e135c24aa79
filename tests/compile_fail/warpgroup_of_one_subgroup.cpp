// expect: divergent_matrix 6 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 128>([](Ctx k, Out<f32>) { auto tile = k.shared<f16, 2048>();
  auto sum = k.warpgroup_sum<f16, 8>();
  GPU_IF(k.tid() < 32) sum.multiply_add(tile, 0, 512, tile, 1024, 512);
});
