// expect: text 5 atomic_add
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, InOut<f32> y) {
  y.atomic_add(k.tid(), 1.0f);
});
