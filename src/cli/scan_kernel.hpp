// The kernel that counts bytes, as a body: `gpuio demo scan` makes it while compiling, the Python package
// when it is first used, which costs its build nothing.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::demo {

using namespace gpuio::kernel;

inline constexpr u32 kScanLanes = 128;

// counts[v] += how often byte v occurs in the first `bytes` bytes of the array; found[0] += how often the
// needle does. The needle is up to eight bytes, the first in the lowest; mask has ones where it has bits. Any
// grid; a workgroup reads one part of the file in order, so that it keeps to a page.
inline constexpr auto scan_body = [](Ctx k, OnDemand<u64> words, InOut<u64, 256> counts, InOut<u64, 1> found,
                                     InOut<u32, 1> failed, Val<u64> bytes, Val<u64> needle, Val<u64> mask,
                                     Val<u32> length) {
  auto t = k.tid();
  auto local = k.shared<u32, 256>();
  for (auto i : k.range(t, 256, 128)) local[i] = 0u;
  k.barrier();
  auto hits = k.var<u64>(0);
  auto total = words.length();
  auto groups = k.nctas().as<u64>();
  auto part = ((total + groups - 1) / groups + 127) / 128 * 128;
  auto begin = k.cta().as<u64>() * part;
  for (auto i : k.range(begin + t.as<u64>(), min(begin + part, total), 128)) {
    auto word = words[i];
    auto next = k.var<u64>(0);
    GPU_IF(i + 1 < total) next = words[i + 1];
    auto left = min(bytes - i * 8, 8).as<u32>();
    for (u32 j = 0; j < 8; ++j) {
      GPU_IF(left > j) local.atomic_add((word >> (8 * j)).as<u32>() & 255, 1u);
      auto window = j == 0 ? word + 0 : (word >> (8 * j)) | (next << (64 - 8 * j));
      GPU_IF(((window & mask) == needle) & (i * 8 + j + length.as<u64>() <= bytes)) hits += 1;
    }
  }
  k.barrier();
  for (auto i : k.range(t, 256, 128)) counts.atomic_add(i, local[i].as<u64>());
  GPU_IF((hits != 0) & (length != 0)) found.atomic_add(0, hits);
  GPU_IF(k.lane_status() != 0) failed.atomic_add(0, 1u);
};

}  // namespace gpuio::demo
