// expect: divergent_barrier 6 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k) {
  GPU_IF(k.tid() < 4) {
    k.barrier();
  }
});
