// expect: text 0 the elements of this argument are not those of the kernel's parameter
#include <gpuio/gpuio.hpp>
using namespace gpuio::kernel;
constexpr auto k = kernel<"k", 32>([](Ctx c, Out<f32> out, Val<f32> a) { out[c.tid()] = a; });
void run(gpuio::Memory<f32>& out) { gpuio::run(k, 1, out, 0.1); }
