// expect: missing_wait 10 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y) { auto tile = k.shared<f32, 64>(); auto full = k.mbarrier(1);
  GPU_IF(k.tid() == 0) {
    k.bulk_load<256>(tile, 0, x, 0, full);
    full.arrive();
  }
  k.barrier();
  y[k.tid()] = tile[63 - k.tid()];
});
