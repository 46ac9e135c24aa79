// expect: text 6 deleted
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y) {
  auto v = k.var(1.0f);
  auto w = v;
  y[k.tid()] = w;
});
