// The blocked interpreter's machine: pre-decoded steps, and the state of one workgroup that they work on.
//
// A value that differs between lanes is an array with one element a lane, of its own C++ type (a boolean is a
// byte, 0 or 1), padded to a multiple of kChunk lanes; a vector value is `width` such arrays. A uniform value
// is its bits in a u64, as in kernel/semantics.hpp. Both live in the arena at an offset the step names.
// Elements of lanes that are not active hold garbage: whatever computes without side effects ignores masks.
// A kernel with mbarriers runs in parts, each with a frame and an arena of its own, of which it uses its
// lanes.
#pragma once

#include <gpuio/kernel/semantics.hpp>
#include <gpuio/kernel/structure.hpp>

#include <vector>

#include "gpu/device.hpp"

namespace gpuio::gpu::cpu::blocked {

using namespace kernel;
using gpu::Argument;  // of a launch
using gpu::Workgroup;

inline constexpr u32 kChunk = 8;  // lanes that loops handle together; the mask is read in words of so many

struct Frame;
struct Step;
// Does one step and answers the next, or null at the end and after an error.
using Handler = const Step* (*)(const Step*, Frame&);

struct Step {
  Handler run = nullptr;
  u32 to = 0, a = 0, b = 0, c = 0, d = 0;  // arena offsets; `a` of memory steps is the object
  u32 target = 0;   // control: the step where the section just opened ends, or the loop's first step
  u32 section = 0;  // control: where the section that this stands in ends; taken when no lane is left
  u32 region = 0;   // control: index of the region's masks
  u64 imm = 0;
  u32 line = 0;
  Op op = Op::constant;
  Type type = Type::none, from = Type::none;
  u8 width = 1, mode = 0;
  bool uniform_a = false, uniform_b = false;  // control: conditions and bounds; async copy: 64-bit indices
  bool polls = false;                         // end of a loop that reads atomically
};

// Of one loop or if_ under way.
struct Region {
  u8* pending;    // if_: lanes of the other branch; loop: lanes that left
  u8* continued;  // loop: lanes that wait for the continuing part
  u64 trip = 0;   // for_: trips begun; loop: trips done
  u64 trips = 0;  // for_ with uniform bounds: how many there are
};

struct Plan {  // what all workgroups share
  std::string name;
  std::array<u32, 3> block{};
  u32 lanes = 0, padded = 0;
  u32 subgroup_size = 8;
  u32 part_lanes = 0;  // not 0: the workgroup runs in parts of so many lanes that wait for each other
  std::vector<Param> params;
  std::vector<SharedArray> shared;
  std::vector<u32> shared_at;
  std::vector<TensorMap> tensors;
  std::vector<Step> steps;
  u32 regions = 0;
  u32 vars_begin = 0, vars_end = 0;  // zeroed at entry
  u32 masks_begin = 0;               // the active mask, then two masks a region
  u32 arena_bytes = 0;
};

struct Frame {
  const Plan* code = nullptr;
  const Workgroup* group = nullptr;
  std::byte* arena = nullptr;
  u8* active = nullptr;    // one byte a lane, 0 or 1
  u32 begin = 0, end = 0;  // all active lanes are in [begin, end); multiples of kChunk
  u32 count = 0;           // active lanes
  bool dense = false;      // all lanes of [begin, end) that exist are active
  std::vector<Region>* regions = nullptr;
  const Step* paused = nullptr;  // of a part: the barrier or wait that it has come to
  Status error{};

  template <class T>
  T* at(u32 offset) const {
    return reinterpret_cast<T*>(arena + offset);
  }
  u64 scalar(u32 offset) const { return *at<u64>(offset); }
  u32 last() const { return end < code->lanes ? end : code->lanes; }  // one past the last lane that exists

  // After the active mask changed.
  void refresh() {
    u32 first = code->padded, past = 0, n = 0;
    for (u32 i = 0; i < code->padded; i += kChunk) {
      u64 word;
      __builtin_memcpy(&word, active + i, 8);
      if (word == 0) continue;
      if (first > i) first = i;
      past = i + kChunk;
      n += u32((word * 0x0101010101010101u) >> 56);
    }
    begin = past == 0 ? 0 : first;
    end = past;
    count = n;
    dense = n == last() - begin;
  }
  template <class F>
  void for_active(F&& f) const {
    for (u32 i = begin; i < last(); ++i)
      if (active[i]) f(i);
  }
};

// The handler of an arithmetic instruction on arrays; null when there is none. Operands may be uniform.
Handler arithmetic_handler(const Inst& inst, bool uniform_a, bool uniform_b);
Handler cast_handler(Type to, Type from);
Handler select_handler(u32 size);
Handler broadcast_handler(u32 size);  // of the scalar `a` to an array
Handler copy_handler(u32 size, bool masked);
// On uniform values, whatever the type.
Handler uniform_handler(const Inst& inst);
Handler memory_handler(const Inst& inst, bool uniform, bool wide_index);
Handler subgroup_handler(const Inst& inst);
Handler matrix_handler(const Inst& inst, bool wide_index);
Handler async_handler(Op op);  // of mbarriers, bulk copies and tensor loads
Handler warpgroup_handler(Op op);
Handler control_handler(Op op);
Handler builtin_handler();  // of what differs between lanes

}  // namespace gpuio::gpu::cpu::blocked
