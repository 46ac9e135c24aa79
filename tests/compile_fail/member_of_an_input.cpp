// expect: text 7 set
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
struct S { float x; };
GPUIO_STRUCT(S, x)
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<S> s) {
  s[k.tid()].set(&S::x, 1.0f);
});
