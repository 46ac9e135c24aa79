#include "kernels.hpp"

namespace gpuio::bench {

void saxpy_loop(f32 a, const f32* __restrict x, f32* __restrict y, u32 n) {
  for (u32 i = 0; i < n; ++i) y[i] = a * x[i] + y[i];
}

void triad_loop(f32 a, const f32* __restrict x, const f32* __restrict y, f32* __restrict out, u32 n) {
  for (u32 i = 0; i < n; ++i) out[i] = a * x[i] + y[i];
}

// Sixteen sums at a time: one would wait for itself at every element.
f32 reduce_loop(const f32* __restrict x, u32 n) {
  f32 sums[16]{};
  u32 i = 0;
  for (; i + 16 <= n; i += 16)
    for (u32 j = 0; j < 16; ++j) sums[j] += x[i + j];
  f32 sum = 0;
  for (; i < n; ++i) sum += x[i];
  for (const f32 s : sums) sum += s;
  return sum;
}

void polynomial_loop(f32 a, const f32* __restrict x, f32* __restrict y, u32 n) {
  for (u32 i = 0; i < n; ++i) {
    const f32 t = x[i];
    f32 v = t + a;
    for (u32 d = 0; d < kDegree; ++d) v = v * t + f32(d);
    y[i] = v;
  }
}

void histogram_loop(const u8* __restrict x, u32* __restrict counts, u32 n) {
  for (u32 i = 0; i < n; ++i) ++counts[x[i]];
}

void branches_loop(f32 a, const f32* __restrict x, f32* __restrict y, u32 n) {
  for (u32 i = 0; i < n; ++i) y[i] = x[i] > a ? x[i] * x[i] : x[i] * 0.5f + a;
}

}  // namespace gpuio::bench
