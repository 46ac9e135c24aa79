// expect: text 0 captures nothing
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
int f(int n) {
  auto k0 = kernel<"k", 64>([n](Ctx k, Out<i32> y) { y[k.tid()] = n; });
  return int(k0.view().insts.size());
}
