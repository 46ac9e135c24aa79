// expect: text 5 deleted
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y, Val<u32> n) {
  GPU_IF(k.tid() < 4 && k.tid() < n) y[k.tid()] = 1.0f;
});
