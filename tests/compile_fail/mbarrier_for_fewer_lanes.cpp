// expect: mbarrier_arrivals 6 32
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y) {
  auto all = k.mbarrier(32);
  all.wait(all.arrive());
  y[k.tid()] = 1.0f;
});
