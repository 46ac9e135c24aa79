// expect: mbarrier_use 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y) {
  for (auto i : k.range(0u, 4u)) {
    k.mbarrier(64);
    y[i * 64 + k.tid()] = 1.0f;
  }
});
