// expect: index_out_of_range 6
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32> x) {
  auto tile = k.shared<f32, 64>();
  tile[(k.tid() & 15) * 5 + (k.tid() >> 4)] = x[k.tid()];
});
