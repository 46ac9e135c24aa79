// gpuio for C++20: handles.hpp has contexts, streams, memory and arrays as objects; run.hpp launches kernels.
// Kernels themselves are written with gpuio/kernel.hpp. Link gpuio::gpuio, or what pkg-config says of gpuio.
// clang needs -fconstexpr-steps=100000000 for kernels above ~1000 operations.
#pragma once

#include <gpuio/handles.hpp>
#include <gpuio/run.hpp>
