// expect: text 5 operands of different types
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y) {
  y[k.tid()] = x[k.tid()] + k.tid();
});
