// Kernels that the contenders run, and the same work as a person would write it for a CPU.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::bench {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

inline constexpr u32 kBlock = 256;

inline constexpr auto saxpy =
    kernel<"saxpy", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) y[i] = a * x[i] + y[i];
    });

// 120 operations an element.
inline constexpr auto polynomial =
    kernel<"polynomial", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) {
        auto v = k.var(x[i]);
        auto t = x[i];
        for (u32 d = 0; d < 60; ++d) v = v * t + (a + f32(d));
        y[i] = v;
      }
    });

// A third of the lanes goes another way than the rest.
inline constexpr auto branches =
    kernel<"branches", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y, Val<u32> n) {
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

// Their loops; not inlined, so that the compiler knows no sizes.
using Loop = void (*)(f32 a, const f32* x, f32* y, u32 n);
[[gnu::noinline]] void saxpy_loop(f32 a, const f32* x, f32* y, u32 n);
[[gnu::noinline]] void polynomial_loop(f32 a, const f32* x, f32* y, u32 n);
[[gnu::noinline]] void branches_loop(f32 a, const f32* x, f32* y, u32 n);

}  // namespace gpuio::bench
