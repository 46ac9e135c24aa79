// Which lanes execute an instruction together, worked out before PTX is written. Part of ptx.hpp.
//
// Structured control flow promises that lanes are together again where a region ends; hardware that schedules
// lanes one by one does not, and its "active mask" is only what happened. So a kernel with subgroup
// operations carries masks in registers: an if_ on a condition that differs splits the mask by a ballot;
// where lanes may have left (break, continue, return) a ballot of those who stayed makes the mask anew. Each
// ballot names the lanes that will come to it and waits for them. Lanes that leave a loop therefore do not
// jump to its end at once: they pass through the end of each if_ around them (telling the others there), then
// through the end of the trip. Regions without subgroup operations, and flow that is the same in the whole
// subgroup (`uniform`), are left as plain branches.
#pragma once

#include <vector>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel::detail::ptx {

constexpr bool is_subgroup(Op op) { return op >= Op::subgroup_shuffle && op <= Op::subgroup_elect; }

struct Region {
  Op kind = Op::loop;  // if_, for_ or loop; of region 0, the kernel's body: return_
  u32 opener = kNone;  // its instruction
  u32 parent = 0;
  bool tracked = false;  // holds a subgroup operation
  bool uniform = true;   // all lanes that come to it go the same way
  bool managed = false;  // a tracked loop that lanes leave at different times
  bool leaves = false;   // lanes may vanish inside, on their way out of a region around it
  bool jumps = false;    // and come by its end on that way
  bool has_else = false;
  bool has_continuing = false;
  constexpr bool owns_mask() const { return tracked && (!uniform || leaves || managed); }
  constexpr bool is_loop() const { return kind == Op::for_ || kind == Op::loop; }
};

struct Flow {
  std::vector<Region> regions{};  // in the order of their openers, after the body
  bool subgroups = false;
  bool any_managed = false;
  bool balanced = true;

  constexpr explicit Flow(View k) {
    regions.push_back({.kind = Op::return_});
    find_regions(k);
    if (!balanced || !subgroups) return;
    // Lanes that vanish make a loop managed, which makes more lanes take the long way out.
    walk(k, [&](const Inst& i, u32 at) { divergent_exit(i, at); });
    walk(k, [&](const Inst& i, u32 at) { long_way_out(i, at); });
  }

  constexpr u32 innermost_loop(u32 region) const {
    while (region != 0 && !regions[region].is_loop()) region = regions[region].parent;
    return region;
  }
  // The region whose mask register holds for code in `region`; 0 also where there is no register.
  constexpr u32 mask_of(u32 region) const {
    while (region != 0 && !regions[region].owns_mask()) region = regions[region].parent;
    return region;
  }
  // Where a lane in `region` that leaves the managed loop around it shows up first: the if_ at whose end
  // others that count on it wait, or the loop.
  constexpr u32 way_out(u32 region) const {
    while (!regions[region].is_loop() && !regions[regions[region].parent].tracked)
      region = regions[region].parent;
    return region;
  }

 private:
  constexpr void find_regions(View k) {
    std::vector<u8> same(k.insts.size(), 0);  // values that are equal in all lanes that are together
    u32 here = 0;
    for (u32 n = 0; n < k.insts.size(); ++n) {
      const Inst& i = k.insts[n];
      same[n] = is_same(i, same);
      if (opens_region(i.op)) {
        regions.push_back({.kind = i.op, .opener = n, .parent = here});
        here = u32(regions.size()) - 1;
        if (i.op == Op::if_) regions[here].uniform = same[i.a] != 0;
        if (i.op == Op::for_) regions[here].uniform = same[i.a] && same[i.b] && same[i.c];
      } else if (i.op == Op::else_) {
        balanced = balanced && regions[here].kind == Op::if_ && !regions[here].has_else;
        regions[here].has_else = true;
      } else if (i.op == Op::continuing) {
        balanced = balanced && regions[here].kind == Op::loop && !regions[here].has_continuing;
        regions[here].has_continuing = true;
      } else if (i.op == Op::break_ || i.op == Op::continue_) {
        balanced = balanced && innermost_loop(here) != 0;
      } else if (closes_region(i.op)) {
        const Op closer = regions[here].kind == Op::if_    ? Op::end_if
                          : regions[here].kind == Op::for_ ? Op::end_for
                                                           : Op::end_loop;
        if (here == 0 || i.op != closer) {
          balanced = false;
          return;
        }
        here = regions[here].parent;
      } else if (is_subgroup(i.op)) {
        subgroups = true;
        for (u32 r = here; !regions[r].tracked; r = regions[r].parent) regions[r].tracked = true;
      }
    }
    balanced = balanced && here == 0;
  }

  static constexpr bool is_same(const Inst& i, const std::vector<u8>& same) {
    switch (i.op) {
      case Op::constant:
      case Op::argument:
      case Op::length:
      case Op::barrier_any:
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce: return true;
      case Op::builtin:
        return (Builtin(i.mode) >= Builtin::group_x && Builtin(i.mode) <= Builtin::subgroup_size) ||
               Builtin(i.mode) == Builtin::subgroup_index;
      case Op::for_: return same[i.a] && same[i.b] && same[i.c];
      default: break;
    }
    if (i.op < Op::add || i.op > Op::bitcast) return false;
    const u32 operands[] = {i.a, i.b, i.c, i.d};
    const u32 values = value_operands(i);
    for (u32 n = 0; n < 4; ++n) {
      if (values >> n & 1 && !same[operands[n]]) return false;
    }
    return true;
  }

  template <class F>
  constexpr void walk(View k, F&& f) {
    u32 here = 0, next = 1;
    for (const Inst& i : k.insts) {
      if (opens_region(i.op)) here = next++;
      else if (closes_region(i.op)) here = regions[here].parent;
      else if (i.op == Op::break_ || i.op == Op::continue_ || i.op == Op::return_) f(i, here);
    }
    for (Region& r : regions) {
      r.managed = r.managed || (r.kind == Op::for_ && r.tracked && !r.uniform);
      any_managed = any_managed || r.managed;
    }
  }

  // Does this exit take some lanes and leave others behind?
  constexpr void divergent_exit(const Inst& i, u32 at) {
    const u32 target = i.op == Op::return_ ? 0 : innermost_loop(at);
    bool divergent = false;
    for (u32 r = at; r != target; r = regions[r].parent) {
      divergent = divergent || !regions[r].uniform || regions[r].is_loop();
    }
    if (!divergent) return;
    if (i.op != Op::return_) {
      regions[target].managed = regions[target].managed || regions[target].tracked;
      return;
    }
    for (u32 r = at;; r = regions[r].parent) {
      regions[r].leaves = true;
      regions[r].managed = regions[r].managed || (regions[r].is_loop() && regions[r].tracked);
      if (r == 0) break;
    }
  }

  constexpr void long_way_out(const Inst& i, u32 at) {
    if (i.op == Op::return_) return;
    const u32 target = innermost_loop(at);
    for (u32 r = at; r != target && regions[target].managed; r = regions[r].parent) {
      regions[r].leaves = regions[r].jumps = true;
    }
  }
};

}  // namespace gpuio::kernel::detail::ptx
