// What an mbarrier is where kernels are interpreted: one word, and the steps that lanes take on it. Bulk
// copies of a phase land before anybody sees that it has ended, which is for the interpreter to see to.
// Pure functions; constexpr.
#pragma once

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel::phases {

// Bits 0 to 19: lanes a phase; 20 to 39: of them yet to arrive; from 40 on: the phase's number.
constexpr u64 made_for(u32 arrivals) { return arrivals | u64{arrivals} << 20; }
constexpr u64 number(u64 word) { return word >> 40; }
// A lane arrives; answers the phase it arrived in.
constexpr u64 arrive(u64& word) {
  const u64 phase = number(word), all = word & kArrivalsMax;
  word -= u64{1} << 20;
  if ((word >> 20 & kArrivalsMax) == 0) word = all | all << 20 | ((phase + 1) & 0xffffff) << 40;
  return phase;
}
constexpr bool ended(u64 word, PhaseOf what, u64 phase) {
  return what == PhaseOf::token ? number(word) != phase : (number(word) & 1) != (phase & 1);
}

}  // namespace gpuio::kernel::phases
