// expect: text 6 deleted
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y) {
  auto a = k.array<f32, 4>();
  y[k.tid()] = a[k.tid()];
});
