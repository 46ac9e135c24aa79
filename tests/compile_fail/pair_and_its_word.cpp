// expect: text 5 operands of different types
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<u32> x, InOut<f16x2> z) {
  z[k.tid()] += x[k.tid()];
});
