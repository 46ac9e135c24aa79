// expect: index_out_of_range 6 64
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k) {
  auto tile = k.shared<f32, 64>();
  tile[k.tid() + 1] = 0.0f;
});
