// expect: sums_under_way 8 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 128>([](Ctx k, Out<f32> y) { auto tile = k.shared<f16, 2048>();
  auto sum = k.warpgroup_sum<f16, 8>();
  sum.multiply_add(tile, 0, 512, tile, 1024, 512);
  k.warpgroup_commit();
  sum.for_elements([&](auto row, auto column, auto v) { y[row * 8 + column] = v; });
});
