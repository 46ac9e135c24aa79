// expect: index_out_of_range 6 4
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Out<f32> y) {
  auto a = k.array<f32, 4>();
  for (u32 j = 0; j <= 4; ++j) y[k.tid() + j] = a[j] + 1.0f;
});
