// gpuio for C++20: handles.hpp has contexts, streams, memory and arrays as objects; run.hpp launches kernels;
// gpu.hpp, which has to be included by itself, runs kernel files: SPIR-V, PTX and ADead-BIB.
// Kernels themselves are written with gpuio/kernel.hpp. Link gpuio::gpuio, or what pkg-config says of gpuio.
// clang needs -fconstexpr-steps=100000000 for kernels above ~1000 operations.
#pragma once

#include <gpuio/handles.hpp>
#include <gpuio/run.hpp>
