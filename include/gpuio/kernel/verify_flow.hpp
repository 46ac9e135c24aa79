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
#include <gpuio/kernel/list.hpp>

namespace gpuio::kernel::detail {

class Flow {
 public:
  // `among`: so many lanes, subgroups of 32 or warpgroups of 128; 0: the workgroup.
  constexpr explicit Flow(const View& v, u32 among = 0)
      : v_(v),
        insts_(v.insts.data()),
        size_(u32(v.insts.size())),
        among_(among),
        divergent_(size_),
        apart_(size_, v.lanes() == 1 ? Numbers<u32>::kZero : Numbers<u32>::kUnset),
        vars_(v.vars.size()) {
    if (v.lanes() == 1) return;
    do {
      again_ = false;
      pass();
    } while (again_);
  }

  // Does the value differ between lanes of the workgroup?
  constexpr bool divergent(u32 value) const { return divergent_.data[value]; }
  // Is the instruction run by some lanes without the others? (1 + the instruction that parted them, or 0)
  constexpr u32 apart(u32 inst) const { return apart_.data[inst]; }

  constexpr VerifyResult check_barriers() const {
    for (u32 i = 0; i < size_; ++i) {
      if (!apart_.data[i]) continue;
      const Op op = insts_[i].op;
      if (op == Op::barrier || op == Op::barrier_any || op == Op::mbarrier_init)
        return {Err::divergent_barrier, insts_[i].line, insts_[apart_.data[i] - 1].line};
    }
    return {};
  }

  // Of a Flow among subgroups or warpgroups.
  constexpr VerifyResult check_matrices() const {
    for (u32 n = 0; n < size_; ++n) {
      const Inst& i = insts_[n];
      const bool many = is_warpgroup(i.op);
      if (among_ == kWarpgroupLanes ? !many : !is_matrix(i.op)) continue;
      if (v_.lanes() % among_ != 0)
        return {many ? Err::warpgroup_size : Err::matrix_workgroup_size, i.line, v_.lanes()};
      if (i.op == Op::warpgroup_clear || i.op == Op::warpgroup_read) continue;
      if (apart(n)) return {Err::divergent_matrix, i.line, insts_[apart(n) - 1].line};
      if (i.op == Op::matrix_load && divergent(i.b))
        return {Err::matrix_place_differs, i.line, insts_[i.b].line};
      if (i.op == Op::warpgroup_multiply && (divergent(i.b) || divergent(i.d)))
        return {Err::matrix_place_differs, i.line, insts_[divergent(i.b) ? i.b : i.d].line};
    }
    return {};
  }

 private:
  struct Frame {
    Op op;
    u32 loop;     // which of them
    u32 apart;    // 1 + what parted the lanes on entry or since, 0: together
    u32 resumed;  // of a loop: 1 + a continue that parted them in this iteration
  };
  enum : u8 { kDiffers = 1, kRead = 2 };  // a var; kRead: in this pass, while it was thought uniform

  // Values follow what they are made of, so that one pass settles all but what is learned of a var after it
  // was read, and of a loop after it was entered.
  constexpr void pass() {
    u8* const divergent = divergent_.data;
    u8* const vars = vars_.data;
    const Inst* const insts = insts_;
    for (u32 v = 0; v < u32(v_.vars.size()); ++v) vars[v] &= kDiffers;
    frames_.clear();
    gone_ = loops_ = 0;
    u32 apart = 0;
    for (u32 n = 0; n < size_; ++n) {
      const Inst& i = insts[n];
      const Op op = i.op;
      apart_.data[n] = apart;
      if (op == Op::var_load) {
        if (vars[i.a] & kDiffers) divergent[n] = true;
        else vars[i.a] = kRead;
      } else if (op == Op::var_store) {
        if ((divergent[i.b] || apart) && !(vars[i.a] & kDiffers)) {
          again_ = again_ || vars[i.a] & kRead;
          vars[i.a] = kDiffers;
        }
      } else if (is_control(op)) {
        control(i, n, apart);
        apart = gone_;
        for (u32 f = 0; f < frames_.count && !apart; ++f)
          apart = frames_.data[f].apart ? frames_.data[f].apart : frames_.data[f].resumed;
      } else if (!kOperations.no_result[u8(op)] && differs(i, apart != 0)) {
        divergent[n] = true;
      }
    }
  }
  constexpr void control(const Inst& i, u32 n, u32 apart) {
    const u8* const divergent = divergent_.data;
    switch (i.op) {
      case Op::if_: frames_.push({i.op, 0, divergent[i.a] ? n + 1 : 0, 0}); break;
      case Op::for_:
        if (divergent[i.a]) divergent_.data[n] = true;
        // Unequal bounds: some lanes leave earlier.
        enter_loop(i.op, divergent[i.a] || divergent[i.b] ? n + 1 : 0);
        break;
      case Op::loop: enter_loop(i.op, 0); break;
      case Op::continuing: frames_.back().resumed = 0; break;
      case Op::end_if:
      case Op::end_for:
      case Op::end_loop: frames_.pop(); break;
      case Op::break_:
      case Op::continue_:
      case Op::return_: jump(i.op, apart); break;
      default: break;
    }
  }
  constexpr void enter_loop(Op op, u32 apart) {
    if (loops_ == leaves_.count) leaves_.push(0);
    frames_.push({op, loops_, apart ? apart : leaves_.data[loops_], 0});
    ++loops_;
  }
  constexpr void jump(Op op, u32 apart) {
    // Together within the loop: nobody is parted by it. A return also leaves every loop around.
    u32 within = gone_;
    for (u32 f = frames_.count; f-- > 0;) {
      Frame& frame = frames_.data[f];
      if (!within) within = frame.apart ? frame.apart : frame.resumed;
      if (frame.op == Op::if_) continue;
      if (op == Op::continue_) {
        if (within) frame.resumed = within;
        return;
      }
      if (within && !leaves_.data[frame.loop]) {
        leaves_.data[frame.loop] = within;
        again_ = true;
      }
      if (op == Op::break_) return;
    }
    if (apart && !gone_) gone_ = apart;
  }
  constexpr bool differs(const Inst& i, bool apart) const {
    const Op op = i.op;
    if (op == Op::constant) return false;
    if (among_ && !apart && same_among(i)) return false;
    const u8* const divergent = divergent_.data;
    if (op >= Op::add && op <= Op::compose) {
      const u32 mask = value_operands(i);
      return (mask & 1 && divergent[i.a]) || (mask & 2 && divergent[i.b]) || (mask & 4 && divergent[i.c]) ||
             (mask & 8 && divergent[i.d]);
    }
    switch (op) {
      case Op::argument:
      case Op::length:
      case Op::barrier_any: return false;
      case Op::builtin: return lane_builtin(Builtin(i.mode));
      case Op::load:
        // What others write to a buffer may come between; an input and (race-free) shared memory hold still.
        return divergent[i.b] || !(i.a & kShared || v_.params[i.a].kind == ParamKind::in);
      default: return true;  // atomics, subgroup operations, on-demand arrays, units beside the lane
    }
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
        const Inst &lane = insts_[i.a], &by = insts_[i.b];
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
  const Inst* insts_;
  u32 size_;
  u32 among_;
  Numbers<u8> divergent_;  // of each value
  Numbers<u32> apart_;     // of each instruction
  Numbers<u8> vars_;
  List<u32> leaves_;  // of each loop: 1 + what parts the lanes that leave it from those that stay
  List<Frame> frames_;
  u32 loops_ = 0;
  u32 gone_ = 0;  // 1 + a return that only some took
  bool again_ = false;
};

}  // namespace gpuio::kernel::detail
