// expect: index_out_of_range 5 100
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f32, 100> x, Out<f32> y) {
  y[k.tid()] = x[100];
});
