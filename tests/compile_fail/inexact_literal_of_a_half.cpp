// expect: literal_not_exact 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f16> x, Out<f16> y) {
  y[k.tid()] = rounded(x[k.tid()]) * 0.1f;
});
