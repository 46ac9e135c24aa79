// expect: text 5 deleted
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x) {
  x[k.tid()] = 1.0f;
});
