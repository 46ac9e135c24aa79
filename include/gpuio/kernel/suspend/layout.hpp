// What the suspend pass is asked for and what it says about its result: options, faults for its own tests,
// and the layout of the slab that the host allocates, reads and answers. Plain values.
#pragma once

#include <string>
#include <vector>

#include <gpuio/device/layout.hpp>
#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

// Each leaves out one rule of the pass, and breaks it. For the tests that prove the rules needed.
struct SuspendFaults {
  bool no_decision_gate = false;       // no gate before an `if` that holds a collective
  bool seek_collectives = false;       // seeking lanes execute the gate's barrier
  bool head_gate = false;              // a loop's gate at its head instead of its latch
  bool subgroup_gate_returns = false;  // a positive subgroup gate ends the lane
  bool flow_merge = false;             // bits flow-sensitive after divergent branches
  bool no_end_gate = false;
  bool no_continue_lowering = false;
  bool no_jump_gate = false;              // no gate before jumps that matter to the workgroup
  bool returns_in_loops_ignored = false;  // a return does not make its loop workgroup-gated
};

struct SuspendPassOptions {
  bool peel = true;             // clean loops after a guarded first trip; else guards everywhere
  u32 insts_max = 16384;        // a peeled kernel that gets longer falls back to guards everywhere
  u32 lane_words_max = 64;      // saved a lane, in 32-bit words; more is refused
  u32 group_words_max = 16384;  // saved a workgroup
  u32 recompute_max = 6;        // operations on built-ins that are done again rather than saved
  SuspendFaults faults{};
};

// A place where a lane can go on. Points count from 1, in the order of the kernel's text.
struct SuspendPoint {
  u32 line = 0;
  bool access = false;  // of an on-demand array; else a gate, which waits for nobody's answer
  u32 words = 0;        // live, saved
};

// The slab, in 32-bit words: device::SlabHeader; a device::LaneRecord a lane; word w of lane l of the saved
// values at values(lanes) + w * lanes + l; then group_words a workgroup, the first of which says that the
// rest holds shared memory. Lanes are counted over the grid: group * lanes of a workgroup + local index.
struct SuspendLayout {
  u32 slab_parameter = 0;    // inout u32
  u32 resume_parameter = 0;  // scalar u32: 0 in the first launch, which reads nothing of the slab, then 1
  u32 lane_words = 0;
  u32 group_words = 0;
  bool peeled = false;
  bool collectives = false;  // whole workgroups must run again, with the same subgroups
  std::vector<SuspendPoint> points{};

  static constexpr u32 kHeaderWords = sizeof(device::SlabHeader) / 4;
  static constexpr u32 kRecordWords = sizeof(device::LaneRecord) / 4;
  static constexpr u64 record(u64 lane) { return kHeaderWords + lane * kRecordWords; }
  static constexpr u64 values(u64 lanes) { return record(lanes); }
  constexpr u64 group(u64 lanes, u64 index) const {
    return values(lanes) + lanes * lane_words + index * group_words;
  }
  constexpr u64 words(u64 lanes, u64 groups) const { return group(lanes, groups); }
};

// Words of a record.
inline constexpr u32 kRecordPoint = offsetof(device::LaneRecord, point) / 4;
inline constexpr u32 kRecordStatus = offsetof(device::LaneRecord, status) / 4;
inline constexpr u32 kRecordPage = offsetof(device::LaneRecord, page) / 4;
inline constexpr u32 kRecordByte = offsetof(device::LaneRecord, byte) / 4;
inline constexpr u32 kRecordBytes = offsetof(device::LaneRecord, bytes) / 4;
inline constexpr u32 kRecordAnswer = offsetof(device::LaneRecord, answer) / 4;
inline constexpr u32 kHeaderUnfinished = offsetof(device::SlabHeader, unfinished) / 4;

}  // namespace gpuio::kernel
