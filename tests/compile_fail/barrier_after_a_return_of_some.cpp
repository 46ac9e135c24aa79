// expect: divergent_barrier 6 5
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, Val<u32> n) {
  k.return_if(k.global_id() >= n);
  k.barrier();
});
