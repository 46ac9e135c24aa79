// expect: still_read 9 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 128>([](Ctx k, In<f16> x, Out<f32>) { auto tile = k.shared<f16, 2048>();
  auto sum = k.warpgroup_sum<f16, 8>();
  sum.multiply_add(tile, 0, 512, tile, 1024, 512);
  k.warpgroup_commit();
  k.barrier();
  tile[k.tid()] = x[k.tid()];
});
