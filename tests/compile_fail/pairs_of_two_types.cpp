// expect: text 5 operands of different types
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f16x2> x, In<bf16x2> y, Out<f16x2> z) {
  z[k.tid()] = fma(x[k.tid()], y[k.tid()], 1.0f);
});
