#include "kernels.hpp"

namespace gpuio::bench {

void saxpy_loop(f32 a, const f32* __restrict x, f32* __restrict y, u32 n) {
  for (u32 i = 0; i < n; ++i) y[i] = a * x[i] + y[i];
}

void polynomial_loop(f32 a, const f32* __restrict x, f32* __restrict y, u32 n) {
  for (u32 i = 0; i < n; ++i) {
    const f32 t = x[i];
    f32 v = t;
    for (u32 d = 0; d < 60; ++d) v = v * t + (a + f32(d));
    y[i] = v;
  }
}

void branches_loop(f32 a, const f32* __restrict x, f32* __restrict y, u32 n) {
  for (u32 i = 0; i < n; ++i) y[i] = x[i] > a ? x[i] * x[i] : x[i] * 0.5f + a;
}

}  // namespace gpuio::bench
