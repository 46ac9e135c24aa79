// The memory that was registered with one queue, and the checks that every engine makes of an operation
// before it takes it. One thread: the queue's. Only `add` allocates.
//
//   Result<std::uint32_t> region = regions_.add(memory);
//   if (Code c = check(op, caps, regions_); c != Code::ok) …   // refuse
//   regions_.hold(op); … regions_.release(op);                 // between them `remove` answers BUSY
#pragma once

#include <vector>

#include "io/engine.hpp"

namespace gpuio::io {

class Regions {
 public:
  static constexpr std::uint32_t kMax = 1024;  // as many as a queue registers

  Result<std::uint32_t> add(std::span<std::byte> memory);
  Status remove(std::uint32_t region);  // NOT_FOUND, or BUSY while held

  std::span<std::byte> memory(std::uint32_t region) const { return regions_[region].memory; }
  bool contains(const Segment& segment) const;
  void hold(const Op& op) { count(op, 1); }
  void release(const Op& op) { count(op, -1); }

 private:
  struct Region {
    std::span<std::byte> memory;  // empty: free
    std::int64_t users = 0;
  };
  void count(const Op& op, int by) {
    for (const Segment& s : op.segments)
      if (s.region != kUnregistered) regions_[s.region].users += by;
  }
  std::vector<Region> regions_;
};

// Offsets are file offsets: 63 bits everywhere, so that a program meets one limit with every engine.
inline constexpr std::uint64_t kOffsetMax = (std::uint64_t{1} << 63) - 1;

// ok, or why an engine must refuse the operation: PERMISSION (the target was not opened for it) or
// INVALID_ARG.
Code check(const Op& op, Caps caps, const Regions& regions);

}  // namespace gpuio::io
