// expect: none
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, In<u8> b, Out<f32> y, Out<u8> z, Val<u32> n) {
  auto tile = k.shared<f32, 64>();
  auto t = k.tid();
  auto sum = k.var(0.0f);
  for (auto i : k.range(0, n)) {
    tile[t] = x[i * 64 + t];
    k.barrier();
    sum += tile[63 - t] * 0.5;
    k.barrier();
  }
  GPU_IF((t < 4) & (t < n)) y[t] = sum;
  z[t] = (b[t] + 1).as<u8>();
});
