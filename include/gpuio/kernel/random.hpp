// A small seeded generator (splitmix64), constexpr and the same on every machine: for schedules, tests and
// programs that one number must reproduce. Not for secrets.
#pragma once

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

struct Random {
  u64 state;
  constexpr u64 next() {
    u64 z = state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
  }
  constexpr u64 below(u64 n) { return next() % n; }  // n > 0
  constexpr bool chance(u32 percent) { return below(100) < percent; }
};

}  // namespace gpuio::kernel
