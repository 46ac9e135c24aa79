// Tensor maps of a launch: what the driver makes of a matrix that the launch's arguments name.
#pragma once

#include <span>

#include "gpu/cuda/driver.hpp"
#include "gpu/device.hpp"

namespace gpuio::gpu::cuda {

// Allocates nothing. A matrix that cannot be mapped is INVALID_ARG with its numbers, before the driver is
// asked; what the driver says else has them too. Of the driver's function: not null.
Status encode(const Driver& driver, const TensorSlots& map, std::span<const Argument> arguments,
              CUtensorMap& out);

}  // namespace gpuio::gpu::cuda
