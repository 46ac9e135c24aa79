// expect: text 5 operands of different types
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f16> x, Out<f16> y, Val<f32> a) {
  y[k.tid()] = rounded(x[k.tid()]) * a;
});
