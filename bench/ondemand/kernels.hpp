// Kernels that read an array, on demand or plainly from one body, and the same work as a loop for a CPU.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::bench {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

inline constexpr u32 kRowWords = 128;      // a row of 512 bytes
inline constexpr u32 kTileWords = 16384;   // what a workgroup reads in order: 64 KiB
inline constexpr u32 kPicksAGroup = 8192;  // random words
inline constexpr u32 kRowsAGroup = 256;    // random rows

// sums[lane of the grid] = the sum of its words of the workgroup's tile.
template <class Array>
inline constexpr auto tile_body = [](Ctx k, Array words, Out<u32> sums) {
  auto begin = k.cta() * kTileWords;
  auto sum = k.var(0u);
  for (auto i : k.range(begin + k.tid(), begin + kTileWords, 128)) sum += words[i];
  sums[k.global_id()] = sum;
};
inline constexpr auto tile_plain = kernel<"tile_plain", 128>(tile_body<In<u32>>);
inline constexpr auto tile_on_demand = kernel<"tile_on_demand", 128>(tile_body<OnDemand<u32>>);

// The sum of words at random places.
template <class Array>
inline constexpr auto pick_body = [](Ctx k, Array words, In<u32> picks, Out<u32> sums) {
  auto begin = k.cta() * kPicksAGroup;
  auto sum = k.var(0u);
  for (auto i : k.range(begin + k.tid(), begin + kPicksAGroup, 128)) sum += words[picks[i]];
  sums[k.global_id()] = sum;
};
inline constexpr auto pick_plain = kernel<"pick_plain", 128>(pick_body<In<u32>>);
inline constexpr auto pick_on_demand = kernel<"pick_on_demand", 128>(pick_body<OnDemand<u32>>);

// The sum of rows at random places: a subgroup of the CPU device a row.
template <class Array>
inline constexpr auto rows_body = [](Ctx k, Array words, In<u32> rows, Out<u32> sums) {
  auto begin = k.cta() * kRowsAGroup;
  auto sum = k.var(0u);
  for (auto r : k.range(begin, begin + kRowsAGroup)) {
    auto base = rows[r] * kRowWords + k.tid();
    for (u32 w = 0; w < kRowWords; w += 8) sum += words[base + w];
  }
  sums[k.global_id()] = sum;
};
inline constexpr auto rows_plain = kernel<"rows_plain", 8>(rows_body<In<u32>>);
inline constexpr auto rows_on_demand = kernel<"rows_on_demand", 8>(rows_body<OnDemand<u32>>);

// sums[group] of the words of its part of a whole file, tile by tile; `failed` counts lanes that could not
// read.
inline constexpr auto file_sum = kernel<"file_sum", 128>(
    [](Ctx k, OnDemand<u64> words, Out<u64> sums, InOut<u32, 1> failed, Val<u64> words_a_group) {
      auto begin = k.cta().as<u64>() * words_a_group;
      auto end = min(begin + words_a_group, words.length());
      auto sum = k.var<u64>(0);
      for (auto tile : k.range(begin, end, u64{8192})) {
        auto size = min(end - tile, 8192).as<u32>();
        for (auto i : k.range(k.tid(), size, 128)) sum += words[tile + i.as<u64>()];
        k.barrier();
      }
      sums[k.global_id()] = sum;
      GPU_IF(k.lane_status() != 0) failed.atomic_add(0, 1u);
    });

// Not inlined, so that the compiler knows no sizes.
[[gnu::noinline]] u32 sum_loop(const u32* words, u64 n);
[[gnu::noinline]] u32 pick_loop(const u32* words, const u32* picks, u64 n);
[[gnu::noinline]] u32 rows_loop(const u32* words, const u32* rows, u64 n);

}  // namespace gpuio::bench
