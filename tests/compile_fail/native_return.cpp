// expect: jump_out_of_region 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<u32> y) {
  GPU_IF(k.tid() == 0) {
    y[0] = 1u;
    return;
  }
});
