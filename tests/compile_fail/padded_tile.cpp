// expect: none
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x, Out<f32> y) {
  auto tile = k.shared<f32, 4 * 17>();
  tile[k.tid() / 16 * 17 + k.tid() % 16] = x[k.tid()];
  k.barrier();
  y[k.tid()] = tile[(k.tid() & 3) * 17 + (k.tid() >> 2)];
});
