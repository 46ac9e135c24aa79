// expect: text 5 operands of different types
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<u8> x, Out<u8> y) {
  y[k.tid()] = x[k.tid()] + 1;
});
