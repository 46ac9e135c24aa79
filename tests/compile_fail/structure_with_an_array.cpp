// expect: text 0 a member is a number
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
struct S { float x[4]; };
GPUIO_STRUCT(S, x)
constexpr auto k0 = kernel<"k", 64>([](Ctx k, InOut<S> s) { s[k.tid()].store(s[0].load()); });
