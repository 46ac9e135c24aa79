// expect: text 0 the elements of this argument are not those of the kernel's parameter
#include <gpuio/gpuio.hpp>
using namespace gpuio::kernel;
constexpr auto k = kernel<"k", 32>([](Ctx c, OnDemand<u32> a, Out<u32> out) { out[c.tid()] = a[c.tid()]; });
void run(gpuio::Array<u32>& a, gpuio::Memory<f32>& out) { gpuio::run(k, 1, a, out); }
