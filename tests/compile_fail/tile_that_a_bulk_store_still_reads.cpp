// expect: still_read 7 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y) { auto tile = k.shared<f32, 64>(); tile[k.tid()] = 1.0f; k.barrier();
  GPU_IF(k.tid() == 0) k.bulk_store<256>(y, 0, tile, 0);
  k.barrier();
  tile[k.tid()] = 2.0f;
});
