// expect: jump_out_of_region 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<u32> y) {
  for (auto i : k.range(0u, 4u)) {
    y[i] = 1u;
    break;
  }
});
