// expect: write_after_read 8 10
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y, Val<u32> n) {
  auto tile = k.shared<f32, 64>();
  auto sum = k.var(0.0f);
  for (auto i : k.range(0, n)) {
    tile[k.tid()] = x[i * 64 + k.tid()];
    k.barrier();
    sum += tile[63 - k.tid()];
  }
  y[k.tid()] = sum;
});
