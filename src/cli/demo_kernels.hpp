// The kernels behind `gpuio demo`: what a user of on-demand arrays would write. Each counts lanes that could
// not read something in `failed`, so that a failure is never taken for a zero.
#pragma once

#include "cli/scan_kernel.hpp"

namespace gpuio::demo {

using gpuio::kernel::kernel;  // inside gpuio the namespace would hide it

// What `gather` reads: rows of 264 bytes, as a model's conditional-memory table has them.
inline constexpr u32 kRowWords = 33;

inline constexpr auto scan = kernel<"scan", kScanLanes>(scan_body);

// sums[i] = a mix of the 33 words of row rows[i]; any grid.
inline constexpr auto gather = kernel<"gather", 64>(
    [](Ctx k, OnDemand<u64> table, In<u64> rows, Out<u64> sums, InOut<u32, 1> failed, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 64)) {
        auto base = rows[i] * kRowWords;
        auto sum = k.var<u64>(0);
        for (auto w : k.range(0, kRowWords)) sum = sum * 0x9E3779B97F4A7C15u + table[base + w.as<u64>()];
        sums[i] = sum;
      }
      GPU_IF(k.lane_status() != 0) failed.atomic_add(0, 1u);
    });

// sums[b] = the sum of the words of block b, each of `words_a_block`; through shared memory. One group a
// block at a time.
inline constexpr auto reduce = kernel<"block_sums", 128>(
    [](Ctx k, OnDemand<u64> words, Out<u64> sums, InOut<u32, 1> failed, Val<u64> words_a_block) {
      auto t = k.tid();
      auto tile = k.shared<u64, 128>();
      auto total = words.length();
      auto first = k.cta().as<u64>() * words_a_block;
      auto end = min(first + words_a_block, total);
      auto sum = k.var<u64>(0);
      for (auto i : k.range(first + t.as<u64>(), end, 128)) sum += words[i];
      tile[t] = sum;
      k.barrier();
      for (u32 s = 64; s; s >>= 1) {
        GPU_IF(t < s) tile[t] = tile[t] + tile[t + s];
        k.barrier();
      }
      GPU_IF(t == 0) sums[k.cta()] = tile[0];
      GPU_IF(k.lane_status() != 0) failed.atomic_add(0, 1u);
    });

}  // namespace gpuio::demo
