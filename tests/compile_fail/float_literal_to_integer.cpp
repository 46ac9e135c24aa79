// expect: text 5 a literal of another kind
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<u32> y) {
  y[k.tid()] = k.tid() + 1.0f;
});
