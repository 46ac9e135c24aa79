// Kernels that the contenders run, and the same work as a person would write it for a CPU.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::bench {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

// A lane's elements are a whole grid apart, as kernels for GPUs have it.
inline constexpr auto saxpy =
    kernel<"saxpy", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) y[i] = a * x[i] + y[i];
    });

inline constexpr auto triad =
    kernel<"triad", 256>([](Ctx k, Val<f32> a, In<f32> x, In<f32> y, Out<f32> out, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) out[i] = a * x[i] + y[i];
    });

// out[group]: the sum of the group's elements, by a tree over its lanes.
inline constexpr auto reduce = kernel<"reduce", 256>([](Ctx k, In<f32> x, Out<f32> out, Val<u32> n) {
  auto t = k.tid();
  auto tile = k.shared<f32, 256>();
  auto acc = k.var(0.0f);
  for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) acc += x[i];
  tile[t] = acc;
  k.barrier();
  for (u32 s = 128; s; s >>= 1) {
    GPU_IF(t < s) tile[t] = tile[t] + tile[t + s];
    k.barrier();
  }
  GPU_IF(t == 0) out[k.cta()] = tile[0];
});

// 119 operations an element.
inline constexpr u32 kDegree = 59;
inline constexpr auto polynomial =
    kernel<"polynomial", 256>([](Ctx k, Val<f32> a, In<f32> x, Out<f32> y, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) {
        auto t = x[i];
        auto v = k.var(t + a);
        for (u32 d = 0; d < kDegree; ++d) v = v * t + f32(d);
        y[i] = v;
      }
    });

inline constexpr auto histogram =
    kernel<"histogram", 256>([](Ctx k, In<u8> x, InOut<u32> counts, Val<u32> n) {
      auto t = k.tid();
      auto local = k.shared<u32, 256>();
      local[t] = 0u;
      k.barrier();
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) local.atomic_add(x[i], 1u);
      k.barrier();
      counts.atomic_add(t, local[t]);
    });

// Half of the lanes go another way than the rest.
inline constexpr auto branches =
    kernel<"branches", 256>([](Ctx k, Val<f32> a, In<f32> x, Out<f32> y, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) {
        auto v = k.var(x[i]);
        GPU_IF(v > a) {
          v = v * v;
        } else {
          v = v * 0.5f + a;
        }
        y[i] = v;
      }
    });

// Their loops, not inlined, so that the compiler knows no sizes.
void saxpy_loop(f32 a, const f32* x, f32* y, u32 n);
void triad_loop(f32 a, const f32* x, const f32* y, f32* out, u32 n);
f32 reduce_loop(const f32* x, u32 n);
void polynomial_loop(f32 a, const f32* x, f32* y, u32 n);
void histogram_loop(const u8* x, u32* counts, u32 n);
void branches_loop(f32 a, const f32* x, f32* y, u32 n);

}  // namespace gpuio::bench
