// Philox 4x32 with ten rounds (Salmon, Moraes, Dror and Shaw: Parallel random numbers, as easy as 1, 2, 3;
// 2011) as a part of bodies.
#pragma once

#include "ops/elements.hpp"

namespace gpuio::ops {

using Words = std::vector<kernel::Val<kernel::u32>>;
// Four words, from a counter of four and a key of two.
Words philox(const Words& counter, const Words& key);

}  // namespace gpuio::ops
