// expect: unreachable 7
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<u32> y) {
  GPU_LOOP(k) {
    k.break_();
    y[0] = 1u;
  }
});
