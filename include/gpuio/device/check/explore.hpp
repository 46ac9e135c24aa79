// Visits every state that a configuration can reach, breadth first, so that a counter-example is the
// shortest.
//
//   Result r = explore(config, 10'000'000);
//   EXPECT_TRUE(r.complete && r.error == kOk) << r.trace;
//
// Looks for: an error of a state, a state with no move, and with Config::live also a state from which the end
// cannot be reached and a run that never ends though every actor that can move does so now and then.
//
// States are told apart by 64-bit fingerprints: two of n states are confused with a probability of n² / 2^65.
// Threading: one exploration at a time. Memory: about 20 bytes a state visited and 700 a state of the
// frontier.
#pragma once

#include <gpuio/device/check/model.hpp>

namespace gpuio::device::check {

struct Result {
  Error error = kOk;
  bool complete = false;  // every state was visited
  std::size_t states = 0;
  u32 depth = 0;  // of the counter-example, else of the whole space
  double seconds = 0;
  std::string trace;  // the counter-example, a line a step
};
Result explore(const Config&, std::size_t states_max);

}  // namespace gpuio::device::check
