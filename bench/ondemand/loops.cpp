#include "kernels.hpp"

namespace gpuio::bench {

u32 sum_loop(const u32* words, u64 n) {
  u32 sum = 0;
  for (u64 i = 0; i < n; ++i) sum += words[i];
  return sum;
}

u32 pick_loop(const u32* words, const u32* picks, u64 n) {
  u32 sum = 0;
  for (u64 i = 0; i < n; ++i) sum += words[picks[i]];
  return sum;
}

u32 rows_loop(const u32* words, const u32* rows, u64 n) {
  u32 sum = 0;
  for (u64 r = 0; r < n; ++r) {
    const u32* const row = words + u64(rows[r]) * kRowWords;
    for (u32 w = 0; w < kRowWords; ++w) sum += row[w];
  }
  return sum;
}

}  // namespace gpuio::bench
