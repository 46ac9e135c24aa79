// The configurations that several tests start from. Each is small enough to be visited whole.
#pragma once

#include <gpuio/device/check/model.hpp>

namespace gpuio::device::check {

// Two lanes read and write two pages through one way; loads complete late.
inline Config one_way() { return {.name = "one way", .uses = {2, 2, 0}, .late = true}; }

// The same, with every way of not ending looked for.
inline Config one_way_live() { return {.name = "one way, live", .uses = {2, 2, 0}, .live = true}; }

// Two ways: claims of one page may meet.
inline Config two_ways() { return {.name = "two ways", .ways = 2, .boxes = 2, .uses = {1, 2, 0}}; }

// A lane that runs out of time, in a pool of one.
inline Config leaver_live() {
  return {.name = "a lane that leaves, live", .ways = 2, .uses = {1, 1, 0}, .leavers = 1, .live = true};
}
inline Config leavers() {
  return {.name = "lanes that leave", .ways = 2, .uses = {2, 1, 0}, .failures = 1, .leavers = 3};
}

// Everything that may go wrong around one way: leaving, coming back, failing, going past the cache.
inline Config trouble(u32 first) {
  return {
      .name = "trouble", .uses = {first, 1, 0}, .failures = 1, .leavers = 3, .parks = true, .bypass = true};
}

// Pages arrive in staging slots and are copied by whoever finishes.
inline Config staging(u32 second) {
  return {
      .name = "staging", .uses = {2, second, 0}, .failures = 1, .staged = true, .late = true, .stale = true};
}

// Lanes may find at hand what they miss, and bring it themselves.
inline Config at_hand() {
  return {
      .name = "bytes at hand", .uses = {2, 1, 0}, .failures = 1, .late = true, .stale = true, .brings = true};
}

}  // namespace gpuio::device::check
