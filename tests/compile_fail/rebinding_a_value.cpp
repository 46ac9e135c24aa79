// expect: text 6 deleted
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y) {
  auto sum = x[0];
  for (auto i : k.range(0u, 4u)) sum = sum + x[i];
  y[k.tid()] = sum;
});
