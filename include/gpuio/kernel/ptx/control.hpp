// PTX of regions and of the ways out of them. Part of ptx.hpp; flow.hpp says what the masks are for.
//
// Labels carry the number of the region's opening instruction: $else, $end (of an if_), $loop (start of a
// trip), $next (end of a trip), $done. %m<region> is the mask in a region; %n<region> of a managed loop the
// lanes that still make trips. %leaving: this lane is on its way out of a loop; %broke: for good.
#pragma once

#include <gpuio/kernel/ptx/flow.hpp>
#include <gpuio/kernel/ptx/subgroup.hpp>

namespace gpuio::kernel::detail::ptx {

template <class Sink>
class Control {
 public:
  constexpr Control(Out<Sink>& out, const Flow& flow) : o_(out), flow_(flow) {}

  // The lanes that execute what comes next.
  constexpr MaskedOut<Sink> masked() { return {o_, mask(here_)}; }

  // Declarations, and the mask of the whole kernel.
  constexpr void begin() {
    if (!flow_.subgroups) return;
    o_.line(".reg .b32 %m<", u32(flow_.regions.size()), ">, %n<", u32(flow_.regions.size()), ">");
    if (flow_.any_managed) {
      o_.line(".reg .pred %leaving, %broke");
      o_.line("mov.pred %leaving, 0");
      o_.line("mov.pred %broke, 0");
    }
    const u32 lanes = o_.k.lanes(), last = lanes % 32;
    if (lanes > 32 && last != 0) {  // the last subgroup of the workgroup is smaller
      local_index(o_, "%x0");
      o_.line("setp.lt.u32 %q0, %x0, ", lanes - last);
      o_.line("selp.b32 %m0, 0xFFFFFFFF, ", (u32{1} << last) - 1, ", %q0");
    } else if (flow_.regions[0].owns_mask()) {
      o_.line("mov.b32 %m0, ", first_lanes());
    }
  }

  constexpr void step(const Inst& i, u32 id) {
    switch (i.op) {
      case Op::if_: return open_if(i);
      case Op::else_: return turn_else();
      case Op::end_if: return close_if();
      case Op::for_: return open_for(i, id);
      case Op::loop: return open_loop();
      case Op::continuing: return end_trip();
      case Op::end_for:
      case Op::end_loop: return close_loop(i);
      case Op::return_: return o_.line("ret");
      default: return leave(i.op == Op::break_);
    }
  }

 private:
  constexpr const Region& at(u32 region) const { return flow_.regions[region]; }
  constexpr u32 first_lanes() const { return o_.k.lanes() >= 32 ? kAllLanes : (u32{1} << o_.k.lanes()) - 1; }
  constexpr Mask mask(u32 region) const {
    const u32 owner = flow_.mask_of(region);
    const bool partial = o_.k.lanes() > 32 && o_.k.lanes() % 32 != 0;
    if (owner == 0 && !at(0).owns_mask() && !partial) return {true, first_lanes(), 0};
    return {false, 0, owner};
  }
  constexpr void move_mask(std::string_view set, u32 region, Mask from) {
    o_.text("  mov.b32 ", set, region, ", ");
    MaskedOut<Sink>{o_, from}.put_mask();
    o_.text(";\n");
  }
  constexpr void enter() { here_ = next_++; }

  // After a region that lanes may have vanished in: those who came through make the mask anew.
  constexpr void count_who_stayed(std::string_view stays) {
    const Mask around = mask(at(here_).parent);
    MaskedOut<Sink>{o_, around}.line("vote.sync.ballot.b32 %m", around.region, ", ", stays);
  }
  constexpr bool must_count() const { return at(here_).leaves && at(at(here_).parent).tracked; }

  constexpr void open_if(const Inst& i) {
    const Mask around = mask(here_);
    enter();
    const Region& r = at(here_);
    if (r.owns_mask() && r.uniform) move_mask("%m", here_, around);
    else if (r.owns_mask())
      MaskedOut<Sink>{o_, around}.line("vote.sync.ballot.b32 %m", here_, ", ", o_.reg(i.a));
    o_.line("@!", o_.reg(i.a), " bra ", r.has_else ? "$else" : "$end", r.opener);
  }
  constexpr void turn_else() {
    const Region& r = at(here_);
    o_.line("bra $end", r.opener);
    o_.label("$else", r.opener);
    if (!r.owns_mask() || r.uniform) return;
    o_.line("not.b32 %m", here_, ", %m", here_);
    o_.text("  and.b32 %m", here_, ", %m", here_, ", ");
    MaskedOut<Sink>{o_, mask(r.parent)}.put_mask();
    o_.text(";\n");
  }
  constexpr void close_if() {
    const Region& r = at(here_);
    o_.label("$end", r.opener);
    if (must_count()) {
      o_.line(r.jumps ? "not.pred %q0, %leaving" : "mov.pred %q0, 1");
      count_who_stayed("%q0");
      const Region& around = at(r.parent);
      if (r.jumps) o_.line("@%leaving bra ", around.is_loop() ? "$next" : "$end", around.opener);
    }
    here_ = r.parent;
  }

  constexpr void open_loop() {
    const Mask around = mask(here_);
    enter();
    if (at(here_).managed) {
      move_mask("%n", here_, around);
      move_mask("%m", here_, around);
    }
    o_.label("$loop", at(here_).opener);
  }
  constexpr void open_for(const Inst& i, u32 id) {
    const Mask around = mask(here_);
    enter();
    const Reg counter{i.type, id};
    o_.line("mov.", bits_of(i.type), " ", counter, ", ", o_.reg(i.a));
    o_.line("setp.lt.", type_name(i.type), " %q0, ", counter, ", ", o_.reg(i.b));
    if (at(here_).managed) MaskedOut<Sink>{o_, around}.line("vote.sync.ballot.b32 %n", here_, ", %q0");
    o_.line("@!%q0 bra $done", id);
    if (at(here_).managed) o_.line("mov.b32 %m", here_, ", %n", here_);
    o_.label("$loop", id);
  }
  // Moves the counter on; %q1: is there another trip? The distance to the end decides, for the counter itself
  // may wrap; with a step of 1 it cannot.
  constexpr void advance() {
    const u32 id = at(here_).opener;
    const Inst& i = o_.k.insts[id];
    const Reg counter{i.type, id}, end = o_.reg(i.b), step = o_.reg(i.c);
    const std::string_view bits = size_of(i.type) == 8 ? "u64" : "u32";
    if (o_.is_constant(i.c) && o_.k.insts[i.c].imm == 1) {
      o_.line("add.", bits, " ", counter, ", ", counter, ", 1");
      o_.line("setp.lt.", type_name(i.type), " %q1, ", counter, ", ", end);
      return;
    }
    const std::string_view left = scratch(i.type);
    o_.line("sub.", bits, " ", left, ", ", end, ", ", counter);
    o_.line("setp.gt.", bits, " %q1, ", left, ", ", step);
    o_.line("add.", bits, " ", counter, ", ", counter, ", ", step);
  }
  // The end of a trip, where `continue` goes; before a continuing part.
  constexpr void end_trip() {
    const Region& r = at(here_);
    o_.label("$next", r.opener);
    if (!r.managed) return;
    o_.line("not.pred %q0, %broke");
    if (r.kind == Op::for_) {
      advance();
      o_.line("and.pred %q0, %q0, %q1");
    }
    o_.line("vote.sync.ballot.b32 %n", here_, ", %q0, %n", here_);
    o_.line("mov.pred %broke, 0");
    o_.line("mov.pred %leaving, 0");
    o_.line("@!%q0 bra $done", r.opener);
    o_.line("mov.b32 %m", here_, ", %n", here_);
  }
  constexpr void close_loop(const Inst& i) {
    const Region& r = at(here_);
    if (!r.has_continuing) end_trip();
    if (i.op == Op::end_for && !r.managed) {
      advance();
      o_.line("@%q1 bra $loop", r.opener);
    } else {
      o_.line("bra $loop", r.opener);
    }
    o_.label("$done", r.opener);
    if (must_count()) {
      o_.line("mov.pred %q0, 1");
      count_who_stayed("%q0");
    }
    here_ = r.parent;
  }

  constexpr void leave(bool for_good) {
    const u32 loop = flow_.innermost_loop(here_);
    if (!at(loop).managed) return o_.line("bra ", for_good ? "$done" : "$next", at(loop).opener);
    if (for_good) o_.line("mov.pred %broke, 1");
    const u32 first = flow_.way_out(here_);
    if (first != loop) o_.line("mov.pred %leaving, 1");
    o_.line("bra ", first == loop ? "$next" : "$end", at(first).opener);
  }

  Out<Sink>& o_;
  const Flow& flow_;
  u32 here_ = 0;
  u32 next_ = 1;
};

}  // namespace gpuio::kernel::detail::ptx
