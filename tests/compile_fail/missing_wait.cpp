// expect: missing_wait 8 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y) { auto tile = k.shared<f32, 64>();
  k.async_copy<4>(tile, k.tid(), x, k.tid());
  k.async_commit();
  k.barrier();
  y[k.tid()] = tile[63 - k.tid()];
});
