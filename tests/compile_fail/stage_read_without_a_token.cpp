// expect: stage_not_owned 13
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<u32, 64> x, Out<u32, 64> y) {
  auto tile = k.shared<u32, 64>();
  auto stage = k.stage(32);
  GPU_IF(k.tid() == 0) {
    auto mine = stage.acquire();
    k.bulk_load<256>(tile, 0, x, 0, mine);
    mine.commit();
  }
  GPU_IF(k.tid() >= 32) {
    y[k.tid()] = tile[k.tid()];
    stage.wait().release();
  }
});
