// Second part of the verifier: which values are equal in all lanes of the workgroup, which code all lanes run
// together, and so which barriers would hang. Asked for subgroups of 32 lanes, or warpgroups of 128, the
// same within each of them: which matrix operations would.
//
// A value is uniform if it is computed from uniform values; a var if every store to it is of a uniform value
// and run by all lanes together. Lanes part at a branch on a value that differs, after a return that only
// some take, in a loop that some leave earlier, and from a continue that some take to the loop's end.
// Iterated until nothing changes (it only ever grows). constexpr; needs what verify_types.hpp establishes.
#pragma once

#include <gpuio/kernel/error.hpp>

namespace gpuio::kernel::detail {

class Flow {
 public:
  // `among`: so many lanes, subgroups of 32 or warpgroups of 128; 0: the workgroup.
  constexpr explicit Flow(const View& v, u32 among = 0)
      : v_(v),
        among_(among),
        divergent_(v.insts.size(), false),
        apart_(v.insts.size(), 0),
        var_(v.vars.size(), false),
        leaves_(v.insts.size(), 0) {
    if (v.lanes() == 1) return;
    do {
      changed_ = false;
      pass();
    } while (changed_);
  }

  // Does the value differ between lanes of the workgroup?
  constexpr bool divergent(u32 value) const { return divergent_[value]; }
  // Is the instruction run by some lanes without the others? (1 + the instruction that parted them, or 0)
  constexpr u32 apart(u32 inst) const { return apart_[inst]; }

  constexpr VerifyResult check_barriers() const {
    for (u32 i = 0; i < v_.insts.size(); ++i) {
      const Op op = v_.insts[i].op;
      if ((op == Op::barrier || op == Op::barrier_any || op == Op::mbarrier_init) && apart_[i])
        return {Err::divergent_barrier, v_.insts[i].line, v_.insts[apart_[i] - 1].line};
    }
    return {};
  }

  // Of a Flow among subgroups or warpgroups.
  constexpr VerifyResult check_matrices() const {
    for (u32 n = 0; n < v_.insts.size(); ++n) {
      const Inst& i = v_.insts[n];
      const bool many = is_warpgroup(i.op);
      if (among_ == kWarpgroupLanes ? !many : !is_matrix(i.op)) continue;
      if (v_.lanes() % among_ != 0)
        return {many ? Err::warpgroup_size : Err::matrix_workgroup_size, i.line, v_.lanes()};
      if (i.op == Op::warpgroup_clear || i.op == Op::warpgroup_read) continue;
      if (apart_[n]) return {Err::divergent_matrix, i.line, v_.insts[apart_[n] - 1].line};
      if (i.op == Op::matrix_load && divergent_[i.b])
        return {Err::matrix_place_differs, i.line, v_.insts[i.b].line};
      if (i.op == Op::warpgroup_multiply && (divergent_[i.b] || divergent_[i.d]))
        return {Err::matrix_place_differs, i.line, v_.insts[divergent_[i.b] ? i.b : i.d].line};
    }
    return {};
  }

 private:
  struct Frame {
    Op op;
    u32 inst;
    u32 apart;    // 1 + what parted the lanes on entry or since, 0: together
    u32 resumed;  // of a loop: 1 + a continue that parted them in this iteration
  };

  constexpr void pass() {
    std::vector<Frame> frames;
    u32 gone = 0;  // 1 + a return that only some took
    for (u32 n = 0; n < v_.insts.size(); ++n) {
      const Inst& i = v_.insts[n];
      u32 apart = gone;
      for (const Frame& f : frames) {
        if (!apart) apart = f.apart ? f.apart : f.resumed;
      }
      apart_[n] = apart;
      switch (i.op) {
        case Op::if_: frames.push_back({i.op, n, divergent_[i.a] ? n + 1 : 0, 0}); break;
        case Op::for_:
          set(divergent_[n], divergent_[i.a]);
          // Unequal bounds: some lanes leave earlier.
          frames.push_back({i.op, n, divergent_[i.a] || divergent_[i.b] ? n + 1 : leaves_[n], 0});
          break;
        case Op::loop: frames.push_back({i.op, n, leaves_[n], 0}); break;
        case Op::continuing: frames.back().resumed = 0; break;
        case Op::end_if:
        case Op::end_for:
        case Op::end_loop: frames.pop_back(); break;
        case Op::break_:
        case Op::continue_:
        case Op::return_: jump(i.op, n, frames, gone, apart); break;
        case Op::var_store:
          if (divergent_[i.b] || apart) {
            if (!var_[i.a]) changed_ = true;
            var_[i.a] = true;
          }
          break;
        default:
          if (has_result(i.op)) set(divergent_[n], differs(i, apart != 0));
      }
    }
  }
  constexpr void set(u8& bit, bool value) {
    if (value && !bit) {
      bit = true;
      changed_ = true;
    }
  }
  constexpr void jump(Op op, u32 n, std::vector<Frame>& frames, u32& gone, u32 apart) {
    // Together within the loop: nobody is parted by it. A return also leaves every loop around.
    u32 within = gone;
    for (u32 f = u32(frames.size()); f-- > 0;) {
      Frame& frame = frames[f];
      if (!within) within = frame.apart ? frame.apart : frame.resumed;
      if (frame.op == Op::if_) continue;
      if (op == Op::continue_) {
        if (within) frame.resumed = within;
        return;
      }
      if (within && !leaves_[frame.inst]) {
        leaves_[frame.inst] = within;
        changed_ = true;
      }
      if (op == Op::break_) return;
    }
    if (apart && !gone) gone = apart;
    (void)n;
  }
  constexpr bool differs(const Inst& i, bool apart) const {
    if (among_ && !apart && same_among(i)) return false;
    switch (i.op) {
      case Op::constant:
      case Op::argument:
      case Op::length:
      case Op::barrier_any: return false;
      case Op::builtin: return lane_builtin(Builtin(i.mode));
      case Op::var_load: return var_[i.a];
      case Op::load:
        // What others write to a buffer may come between; an input and (race-free) shared memory hold still.
        return divergent_[i.b] || !(i.a & kShared || v_.params[i.a].kind == ParamKind::in);
      case Op::atomic_load:
      case Op::atomic_rmw:
      case Op::atomic_cas:
      case Op::subgroup_shuffle:
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce:
      case Op::subgroup_elect:
      case Op::ondemand_load:
      case Op::ondemand_status:
      case Op::lane_status:
      case Op::inline_ptx:
      case Op::mbarrier_arrive:
      case Op::warpgroup_read:
      case Op::matrix_load:
      case Op::matrix_multiply: return true;
      default: break;
    }
    const u32 mask = value_operands(i);
    return (mask & 1 && divergent_[i.a]) || (mask & 2 && divergent_[i.b]) || (mask & 4 && divergent_[i.c]) ||
           (mask & 8 && divergent_[i.d]);
  }
  // Among lanes whose local_index follow each other, from a multiple of their number on.
  constexpr bool same_among(const Inst& i) const {
    const bool whole = v_.block[0] % among_ == 0, subgroup = among_ == kMatrixLanes;
    switch (i.op) {
      case Op::builtin:
        return (subgroup && Builtin(i.mode) == Builtin::subgroup_index) ||
               (whole && (Builtin(i.mode) == Builtin::local_y || Builtin(i.mode) == Builtin::local_z));
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce: return subgroup;
      case Op::div:
      case Op::shr: {  // tid / 32, subgroup_index / 4
        const Inst &lane = v_.insts[i.a], &by = v_.insts[i.b];
        const u64 each = i.op == Op::div ? by.imm : u64{1} << (by.imm & 31);
        if (lane.op != Op::builtin || !is_literal(by) || each == 0) return false;
        if (Builtin(lane.mode) == Builtin::subgroup_index) return each % (among_ / kMatrixLanes) == 0;
        return each % among_ == 0 && (Builtin(lane.mode) == Builtin::local_index ||
                                      (whole && Builtin(lane.mode) == Builtin::local_x));
      }
      default: return false;
    }
  }
  constexpr bool lane_builtin(Builtin b) const {
    switch (b) {
      case Builtin::local_x: return v_.block[0] > 1;
      case Builtin::local_y: return v_.block[1] > 1;
      case Builtin::local_z: return v_.block[2] > 1;
      case Builtin::subgroup_lane:
      case Builtin::subgroup_index:
      case Builtin::local_index: return true;
      default: return false;
    }
  }

  const View& v_;
  u32 among_;
  std::vector<u8> divergent_;  // of each value
  std::vector<u32> apart_;     // of each instruction
  std::vector<u8> var_;
  std::vector<u32> leaves_;  // of each loop: 1 + what parts the lanes that leave it from those that stay
  bool changed_ = false;
};

}  // namespace gpuio::kernel::detail
