// expect: divergent_barrier 5 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y) {
  GPU_IF(k.tid() < 32) y[k.tid()] = k.block_reduce_add(x[k.tid()]);
});
