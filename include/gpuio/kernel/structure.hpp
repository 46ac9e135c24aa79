// Structure: where the brackets of a kernel's flat instruction list belong to each other. What walks the list
// with jumps (the interpreter) or as a tree (passes) asks it instead of scanning.
//
// A section is the run of instructions between two brackets of one region: the `then` and the `else` of an
// if_, the body and the continuing part of a loop. Linear to build; constexpr; owns its tables, does not
// refer to the kernel afterwards. Brackets must balance (verify.hpp holds that).
#pragma once

#include <vector>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

struct Structure {
  // For each instruction, the bracket that ends the section it stands in (its own brackets stand in the
  // section around the region, except else_ and continuing, whose section is the one they open); size() at
  // top level.
  std::vector<u32> section_end{};
  // For what opens a section (if_ else_ loop continuing for_): the bracket that ends it.
  std::vector<u32> own_end{};
  // For else_, continuing and the closing brackets: the opening one. For an opening one: the closing one.
  std::vector<u32> partner{};

  constexpr explicit Structure(std::span<const Inst> insts) {
    const u32 n = u32(insts.size());
    section_end.assign(n, n);
    own_end.assign(n, n);
    partner.assign(n, n);
    std::vector<u32> ends{n};  // of the sections around, innermost last
    std::vector<u32> closers{};
    for (u32 i = n; i-- > 0;) {
      const Op op = insts[i].op;
      if (closes_region(op)) {
        section_end[i] = ends.back();
        ends.push_back(i);
        closers.push_back(i);
      } else if (op == Op::else_ || op == Op::continuing) {
        section_end[i] = own_end[i] = ends.back();
        ends.back() = i;
      } else if (opens_region(op)) {
        own_end[i] = ends.back();
        ends.pop_back();
        section_end[i] = ends.back();
        partner[i] = closers.back();
        partner[closers.back()] = i;
        if (own_end[i] != closers.back()) partner[own_end[i]] = i;
        closers.pop_back();
      } else {
        section_end[i] = ends.back();
      }
    }
  }
};

// How often a for_ runs: max(0, ceil((end - begin) / step)), where the counter may wrap; by raw bits.
constexpr u64 trip_count(Type type, u64 begin, u64 end, u64 step) {
  const bool some =
      is_signed(type) ? (type == Type::i32 ? i32(begin) < i32(end) : i64(begin) < i64(end)) : begin < end;
  if (!some || step == 0) return 0;
  const u64 distance = size_of(type) == 4 ? u64(u32(end) - u32(begin)) : end - begin;
  return (distance - 1) / step + 1;
}

}  // namespace gpuio::kernel
