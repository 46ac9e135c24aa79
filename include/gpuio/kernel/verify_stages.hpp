// Stages: shared arrays that lanes which load them and lanes which read them hand to each other by two
// mbarriers, `full` and `empty`. Part of verify_memory.hpp.
//
// A lane acquires a stage (waits for empty), loads, and commits it (arrives at full); another waits for full,
// reads, and releases it (arrives at empty). The first wait for empty is for the phase before the first one,
// which has ended. Two rules make that safe, whatever the lanes do meanwhile:
//   - a lane owns the stage from its wait to its arrival, loads and reads only then, and arrives only then;
//     where paths meet it owns what it owned on all of them;
//   - as many lanes arrive as the mbarrier was made for, and whoever loads or reads is one of them. Of a
//     product that has been waited for one lane of each subgroup is enough.
// For then each phase of one mbarrier takes one arrival of each of its lanes, who all waited for the last
// phase of the other: all reads of a round lie between two fills, and all loads of a fill between two rounds.
// A lane that stays away lets others wait, which is bounded, but breaks nothing. So conditions that are only
// known at run time count as true: they can only keep lanes away.
//
// An array is a stage's if a bulk load brings it to a full mbarrier. constexpr; borrows the View.
#pragma once

#include <gpuio/kernel/error.hpp>
#include <gpuio/kernel/list.hpp>
#include <gpuio/kernel/semantics.hpp>

namespace gpuio::kernel::detail {

class Stages {
 public:
  constexpr explicit Stages(const View& v) : v_(v), of_(v.shared.size()) {
    for (u32 n = 0; n < u32(v.insts.size()); ++n) {
      const Inst& i = v.insts[n];
      if (i.op != Op::mbarrier_init || i.c == kNone) continue;
      stages_.push({i.c, i.a});
      of_.data[i.c & ~kShared] = of_.data[i.a & ~kShared] = stages_.count;
    }
    if (stages_.count == 0) return;
    for (const Inst& i : v.insts)
      if (loads(i)) of_.data[i.a & ~kShared] = stage_of(bulk_mbarrier(i));
  }

  constexpr bool none() const { return stages_.count == 0; }
  // Of an mbarrier or array: which, from 1 on; 0: none.
  constexpr u32 stage_of(u32 object) const {
    return object & kShared && object != kNone ? of_.data[object & ~kShared] : 0;
  }
  constexpr bool acquires(const Inst& i) const {
    const u32 s = i.op == Op::mbarrier_wait ? stage_of(i.a) : 0;
    return s && stages_.data[s - 1].empty == i.a;
  }
  constexpr bool releases(const Inst& i) const {
    const u32 s = i.op == Op::mbarrier_arrive ? stage_of(i.a) : 0;
    return s && stages_.data[s - 1].empty == i.a;
  }
  // Fills of a stage, counted as a walk comes to them.
  constexpr void fill(u32 object) { ++stages_.data[stage_of(object) - 1].fills; }
  constexpr u32 fill_of(u32 object) const {
    const u32 s = stage_of(object);
    return s ? stages_.data[s - 1].fills : 0;
  }
  // Is there but one lane that loads it, whose fills follow each other?
  constexpr bool one_loads(u32 object) const {
    return made_for(stages_.data[stage_of(object) - 1].full) == 1;
  }
  constexpr VerifyResult run() {
    for (u32 s = 1; s <= stages_.count && result_.ok(); ++s) {
      owns_ = Owns::nothing;
      frames_.clear();
      arrivals_[0] = arrivals_[1] = {};
      users_.clear();
      for (u32 n = 0; n < u32(v_.insts.size()) && result_.ok(); ++n) step(s, n);
      if (result_.ok()) count(s);
    }
    return result_;
  }

 private:
  struct Stage {
    u32 full, empty, fills = 0;
  };
  enum class Owns : u8 { nothing, to_load, to_read, unreachable };
  // Lanes that may come somewhere, a bit each.
  struct Lanes {
    u64 bits[16]{};
    constexpr u32 count() const {
      u32 n = 0;
      for (const u64 b : bits) n += u32(std::popcount(b));
      return n;
    }
    constexpr bool has(u32 lane) const { return bits[lane / 64] >> lane % 64 & 1; }
    constexpr void put(u32 lane) { bits[lane / 64] |= u64{1} << lane % 64; }
    constexpr void add(const Lanes& more) {
      for (u32 w = 0; w < 16; ++w) bits[w] |= more.bits[w];
    }
  };
  struct Frame {
    u32 at;
    Owns entry;
    Owns other = Owns::unreachable;  // of an if: after the side walked first
    bool second = false;             // on its second side
    bool asked = false;              // who may be here
    Lanes lanes{};
  };
  enum class Use : u8 { load, read, product };
  struct User {
    Use use;
    u32 line, frame;  // the instruction that opened what it stands in
    Lanes lanes;
  };
  struct Known {
    bool known = false;
    u64 bits = 0;
  };

  constexpr bool loads(const Inst& i) const {
    return (i.op == Op::bulk_load || i.op == Op::tensor_load) && stage_of(bulk_mbarrier(i));
  }
  constexpr void fail(Err e, u32 line, u32 other = 0) {
    if (result_.ok()) result_ = {e, line, other};
  }
  static constexpr Owns both(Owns a, Owns b) {
    if (a == Owns::unreachable) return b;
    return b == Owns::unreachable || a == b ? a : Owns::nothing;
  }

  constexpr void step(u32 s, u32& n) {
    const Inst& i = v_.insts[n];
    if (is_control(i.op)) return control(i, n);
    if (owns_ == Owns::unreachable) return;
    const Stage& stage = stages_.data[s - 1];
    const bool product = i.op == Op::warpgroup_multiply;
    if (i.op == Op::mbarrier_wait && stage_of(i.a) == s) {
      if (PhaseOf(i.mode) != PhaseOf::parity) return fail(Err::mbarrier_use, i.line);
      if (owns_ != Owns::nothing) return fail(Err::stage_held, i.line);
      owns_ = i.a == stage.empty ? Owns::to_load : Owns::to_read;
    } else if (i.op == Op::mbarrier_arrive && stage_of(i.a) == s) {
      const bool full = i.a == stage.full;
      if (owns_ != (full ? Owns::to_load : Owns::to_read)) return fail(Err::stage_not_owned, i.line);
      owns_ = Owns::nothing;
      arrivals_[full].lanes.add(here());
      arrivals_[full].line = i.line;
      arrivals_[full].any = true;
    } else if (loads(i)) {
      const bool its = stage_of(i.a) == s, by = stage_of(bulk_mbarrier(i)) == s;
      if (!its && !by) return;
      if (!its || !by || bulk_mbarrier(i) != stage.full || owns_ != Owns::to_load)
        return fail(Err::stage_not_owned, i.line);
      use(Use::load, i.line);
    } else if ((touches(i) && stage_of(i.a) == s) || (product && stage_of(i.c) == s)) {
      const bool reads = product || i.op == Op::load || i.op == Op::atomic_load || i.op == Op::matrix_load;
      if (!reads || owns_ != Owns::to_read) return fail(Err::stage_not_owned, i.line);
      use(product ? Use::product : Use::read, i.line);
    }
  }
  static constexpr bool touches(const Inst& i) {
    return is_access(i.op) || i.op == Op::async_copy || moves_bulk(i.op) || i.op == Op::warpgroup_multiply;
  }
  constexpr void use(Use use, u32 line) {
    const u32 frame = frames_.count ? frames_.back().at * 2 + frames_.back().second : kNone;
    if (users_.count && users_.back().use == use && users_.back().frame == frame) return;
    users_.push({use, line, frame, here()});
  }

  constexpr void control(const Inst& i, u32& n) {
    switch (i.op) {
      case Op::if_:
      case Op::for_:
      case Op::loop: frames_.push({.at = n, .entry = owns_}); break;
      case Op::else_:
        frames_.back().other = owns_;
        frames_.back().second = true;
        frames_.back().asked = false;
        owns_ = frames_.back().entry;
        break;
      case Op::end_if: {
        const Frame f = frames_.back();
        frames_.pop();
        owns_ = both(owns_, f.second ? f.other : f.entry);
        break;
      }
      case Op::continuing:
        if (owns_ == Owns::unreachable) owns_ = frames_.back().entry;
        break;
      case Op::end_for:
      case Op::end_loop: {
        Frame& f = frames_.back();
        const Owns entry = both(f.entry, owns_);
        if (f.entry == Owns::nothing && both(entry, owns_) != owns_) fail(Err::stage_held, i.line);
        owns_ = entry;
        if (entry != f.entry) {  // again, with less
          f.entry = entry;
          n = f.at;
        } else {
          frames_.pop();
        }
        break;
      }
      case Op::break_:
      case Op::continue_:
        // Such a path meets others at the loop's begin or end.
        for (u32 f = frames_.count; f-- > 0;) {
          if (v_.insts[frames_.data[f].at].op == Op::if_) continue;
          if (frames_.data[f].entry != owns_) fail(Err::stage_held, i.line);
          break;
        }
        [[fallthrough]];
      case Op::return_: owns_ = Owns::unreachable; break;
      default: break;
    }
  }

  // --- Who comes here ---
  constexpr const Lanes& here() { return frames_.count ? in(frames_.count - 1) : in_all(); }
  constexpr const Lanes& in_all() {
    if (all_.count() == 0)
      for (u32 lane = 0; lane < v_.lanes(); ++lane) all_.put(lane);
    return all_;
  }
  constexpr const Lanes& in(u32 frame) {
    if (frames_.data[frame].asked) return frames_.data[frame].lanes;
    const Lanes around = frame ? in(frame - 1) : in_all();
    Frame& f = frames_.data[frame];
    const Inst& i = v_.insts[f.at];
    f.asked = true;
    f.lanes = around;
    if (i.op != Op::if_) return f.lanes;
    f.lanes = {};
    for (u32 lane = 0; lane < v_.lanes(); ++lane) {
      if (!around.has(lane)) continue;
      const Known c = value(i.a, lane);
      if (!c.known || (c.bits != 0) != f.second) f.lanes.put(lane);
    }
    return f.lanes;
  }
  // A value that follows from the lane alone.
  constexpr Known value(u32 id, u32 lane) const {
    const Inst& i = v_.insts[id];
    if (i.width != 1) return {};
    switch (i.op) {
      case Op::constant: return {is_literal(i), i.imm};
      case Op::builtin:
        switch (Builtin(i.mode)) {
          case Builtin::local_index: return {true, lane};
          case Builtin::local_x: return {true, lane % v_.block[0]};
          case Builtin::local_y: return {true, lane / v_.block[0] % v_.block[1]};
          case Builtin::local_z: return {true, lane / v_.block[0] / v_.block[1]};
          case Builtin::subgroup_lane: return {true, lane % kMatrixLanes};
          case Builtin::subgroup_index: return {true, lane / kMatrixLanes};
          default: return {};
        }
      case Op::bit_not: {
        const Known a = value(i.a, lane);
        return {a.known, eval_unary(i.op, i.type, a.bits)};
      }
      case Op::cast: {
        const Known a = value(i.a, lane);
        if (!is_integer(i.type) || !is_integer(i.from)) return {};
        return {a.known, eval_cast(i.type, i.from, a.bits)};
      }
      default: break;
    }
    const bool compares = is_compare(i.op), logic = i.type == Type::boolean && !compares;
    const bool computes =
        compares ? is_integer(i.from) : is_integer(i.type) && (i.op >= Op::add && i.op <= Op::shr);
    if (!computes && !(logic && (i.op == Op::bit_and || i.op == Op::bit_or))) return {};
    const Known a = value(i.a, lane), b = value(i.b, lane);
    if (logic) {  // one side may be enough
      const u64 decides = i.op == Op::bit_or;
      if ((a.known && a.bits == decides) || (b.known && b.bits == decides)) return {true, decides};
    }
    if (!a.known || !b.known) return {};
    return {true, compares ? u64(eval_compare(i.op, i.from, a.bits, b.bits))
                           : eval_binary(i.op, i.type, a.bits, b.bits)};
  }

  // --- After the walk ---
  constexpr u32 made_for(u32 mbarrier) const {
    for (const Inst& i : v_.insts)
      if (i.op == Op::mbarrier_init && i.a == mbarrier) return u32(i.imm);
    return 0;
  }
  constexpr void count(u32 s) {
    const Stage& stage = stages_.data[s - 1];
    for (const bool full : {false, true}) {
      const u32 lanes = made_for(full ? stage.full : stage.empty);
      const Arrivals& who = arrivals_[full];
      if (who.any && who.lanes.count() != lanes) return fail(Err::mbarrier_arrivals, who.line, lanes);
    }
    for (u32 u = 0; u < users_.count; ++u) {
      const User& user = users_.data[u];
      const Lanes& passing = arrivals_[user.use == Use::load].lanes;
      for (u32 lane = 0; lane < v_.lanes(); ++lane) {
        if (!user.lanes.has(lane)) continue;
        bool passes = passing.has(lane);
        const u32 subgroup = lane / kMatrixLanes * kMatrixLanes;
        for (u32 other = subgroup; user.use == Use::product && other < subgroup + kMatrixLanes; ++other)
          passes = passes || passing.has(other);
        if (!passes) return fail(Err::stage_not_passed, user.line, lane);
      }
    }
  }

  struct Arrivals {
    Lanes lanes{};
    u32 line = 0;
    bool any = false;
  };
  const View& v_;
  List<Stage> stages_;
  Numbers<u32> of_;  // of each shared array
  List<Frame> frames_;
  Owns owns_ = Owns::nothing;
  Arrivals arrivals_[2];  // at empty, at full
  List<User> users_;
  Lanes all_;
  VerifyResult result_;
};

}  // namespace gpuio::kernel::detail
