// expect: write_after_write 6 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x) {
  auto tile = k.shared<f32, 64>();
  tile[k.tid() / 16 * 15 + k.tid() % 16] = x[k.tid()];
});
