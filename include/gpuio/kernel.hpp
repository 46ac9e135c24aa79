// Kernels in plain C++: a lambda over typed handles becomes a kernel for CUDA, Vulkan and the CPU, checked
// while compiling. This header is all that a kernel's author includes.
//
//   #include <gpuio/kernel.hpp>
//   using namespace gpuio::kernel;
//
//   constexpr auto saxpy = kernel<"saxpy", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y, Val<u32> n) {
//     for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) y[i] = a * x[i] + y[i];
//   });
//
// values.hpp has the arithmetic, math.hpp the functions, memory.hpp what is indexed, control.hpp the Ctx and
// control flow, error.hpp the mistakes that are found. clang needs -fconstexpr-steps=100000000 for kernels
// above ~1000 operations.
#pragma once

#include <gpuio/kernel/frozen.hpp>
#include <gpuio/kernel/math.hpp>
#include <gpuio/kernel/math64.hpp>
#include <gpuio/kernel/packed.hpp>
