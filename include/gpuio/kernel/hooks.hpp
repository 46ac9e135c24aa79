// What a kernel that the interpreter runs is given, and who may watch it: arguments, and the hooks that
// tests, the sanitizer and on-demand arrays hang on; how it is to be run, and how it went.
#pragma once

#include <string_view>

#include <gpuio/kernel/elements.hpp>

namespace gpuio::kernel {

// One a parameter, in order.
struct Argument {
  u64 bits = 0;                  // of a scalar
  std::span<std::byte> bytes{};  // of a buffer, or of an on-demand array that the default hook reads
  u64 count = 0;                 // elements of an on-demand array without bytes
  static constexpr Argument scalar(u64 bits) { return {bits, {}, 0}; }
  static constexpr Argument buffer(std::span<std::byte> bytes) { return {0, bytes, 0}; }
  static constexpr Argument on_demand(u64 count) { return {0, {}, count}; }
};

struct InterpretOptions {
  u32 subgroup_size = 8;     // 1 to 64
  u64 shuffle_seed = 0;      // not 0: workgroups and subgroups take turns in a random order
  u64 turn_steps = 0;        // not 0: a subgroup's turn ends after so many instructions, not only at barriers
  u64 steps_max = 1u << 30;  // instructions times lanes, in all
  bool check_shared = true;  // reading shared memory that nobody wrote is an error; else it holds a pattern
};

struct Outcome {
  std::string_view error{};  // empty: it ran to its end
  u32 line = 0;              // of the instruction that failed,
  u32 inst = kNone;          // its index
  u64 lane = 0;              // and the lane, counted over the grid
  u64 steps = 0;             // instructions times active lanes
  constexpr bool ok() const { return error.empty(); }
};

struct OnDemandAnswer {
  u64 value = 0;
  u32 status = 0;  // 0: value holds; else a positive code, and the load yields zero
};

// What a lane did to memory, or the subgroup operation it took part in.
struct Effect {
  const Inst* inst;  // of the kernel that runs
  u64 index = 0;     // element; of a subgroup operation: which lanes took part
  u64 value = 0;     // stored, or the operand
};

// An access of a lane (counted over the grid) to `count` elements from index on.
struct Touch {
  const Inst* inst;  // of the kernel that runs
  u64 lane;
  u32 object;  // parameter, or kShared | shared array
  u64 index;
  u32 count;
  bool write;  // or both
};

struct Hooks {
  // An on-demand access of `count` elements' array. The default reads the argument's bytes.
  constexpr OnDemandAnswer on_demand(u32 parameter, const Argument& array, Type type, u64 index) {
    (void)parameter;
    const u32 size = size_of(type);
    if (index >= array.bytes.size() / size) return {0, 1};
    return {read_element(array.bytes, index * size, size), 0};
  }
  // Before each access to a buffer or shared array, in range and one a lane; what it says stops the kernel.
  constexpr std::string_view access(const Touch&) { return {}; }
  // A workgroup begins; all of its lanes have met at a barrier; a lane has run a fence.
  constexpr void group(u64 number) { (void)number; }
  constexpr void barrier() {}
  constexpr void fence(u64 lane, Order) { (void)lane; }
  // Called for every lane (counted over the grid) in the order of execution.
  constexpr void effect(u64 lane, const Effect&) { (void)lane; }
  // Between two turns of subgroups: where a test plays the host.
  constexpr void turn() {}
};

}  // namespace gpuio::kernel
