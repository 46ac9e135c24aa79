// Softmax and norms: the arguments of their kernels, and what these are specialised for.
//
// Pure; any thread.
#pragma once

#include <optional>

#include "ops/native.hpp"

namespace gpuio::ops {

struct NormTypes {
  Dtype x, y;
  std::optional<Dtype> gain{}, bias{};
};

namespace norm {
enum Slot : std::uint32_t { kX, kY, kRows, kColumns, kXStride, kYStride, kEpsilon, kGain, kBias };
}

gpu::Native native_softmax(const NormTypes& types);
gpu::Native native_layer_norm(const NormTypes& types);
gpu::Native native_rms_norm(const NormTypes& types);

}  // namespace gpuio::ops
