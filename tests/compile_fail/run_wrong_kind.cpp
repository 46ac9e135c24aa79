// expect: text 0 of another kind than the kernel's parameter
#include <gpuio/gpuio.hpp>
using namespace gpuio::kernel;
constexpr auto k = kernel<"k", 32>([](Ctx c, OnDemand<u32> a, Out<u32> out) { out[c.tid()] = a[c.tid()]; });
void run(gpuio::Memory<u32>& a, gpuio::Memory<u32>& out) { gpuio::run(k, 1, a, out); }
