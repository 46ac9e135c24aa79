// expect: text 0 the kernel has another number of parameters
#include <gpuio/gpuio.hpp>
using namespace gpuio::kernel;
constexpr auto k = kernel<"k", 32>([](Ctx c, OnDemand<u32> a, Out<u32> out) { out[c.tid()] = a[c.tid()]; });
void run(gpuio::Array<u32>& a) { gpuio::run(k, 1, a); }
