// expect: text 5 a pair is two numbers: compare .low() and .high(), or bitcast<u32>
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f16x2> x, Out<u32> z) {
  z[k.tid()] = (x[k.tid()] == x[0]).as<u32>();
});
