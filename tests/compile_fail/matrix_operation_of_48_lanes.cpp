// expect: matrix_workgroup_size 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 48>([](Ctx k, Out<u32> y) { auto tile = k.shared<f16, 512>();
  k.fragment_a(tile, 0, 16);
  y[k.tid()] = 1u;
});
