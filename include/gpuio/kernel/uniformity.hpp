// Uniformity: which values and vars are the same in all lanes of a workgroup that compute them. What runs
// kernels on a host keeps those once instead of once a lane.
//
// Assumed of everything and taken back until nothing changes: lanes differ by their position, by what they
// read from different places, and by having gone different ways. Holds for execution in lock step. constexpr;
// owns its tables. The kernel must be well formed.
#pragma once

#include <vector>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

class Uniformity {
 public:
  // Not vector<bool>, which constant evaluation handles badly.
  std::vector<char> value{};  // by instruction
  std::vector<char> var{};    // by var: always, and in all lanes

  constexpr explicit Uniformity(const View& kernel) : k_(kernel) {
    value.assign(kernel.insts.size(), 1);
    var.assign(kernel.vars.size(), 1);
    loop_splits_.assign(kernel.insts.size(), 0);
    do {
      changed_ = false;
      open_.clear();
      for (u32 i = 0; i < kernel.insts.size(); ++i) visit(i);
    } while (changed_);
  }

 private:
  struct Open {
    u32 at;
    bool splits;  // lanes inside may have gone different ways
  };

  constexpr void take_back(char& flag) {
    if (!flag) return;
    flag = 0;
    changed_ = true;
  }

  constexpr bool operands_uniform(const Inst& i) const {
    const u32 mask = value_operands(i);
    return (!(mask & 1) || value[i.a]) && (!(mask & 2) || value[i.b]) && (!(mask & 4) || value[i.c]) &&
           (!(mask & 8) || value[i.d]);
  }

  constexpr bool value_uniform(const Inst& i) const {
    switch (i.op) {
      case Op::builtin:
        switch (Builtin(i.mode)) {
          case Builtin::local_x: return k_.block[0] == 1;
          case Builtin::local_y: return k_.block[1] == 1;
          case Builtin::local_z: return k_.block[2] == 1;
          case Builtin::local_index: return k_.lanes() == 1;
          case Builtin::subgroup_lane:
          case Builtin::subgroup_index: return false;
          default: return true;
        }
      case Op::var_load: return var[i.a] != 0;
      case Op::for_: return value[i.a] && value[i.c];
      case Op::barrier_any: return true;
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
      case Op::matrix_multiply: return false;
      default: return operands_uniform(i);
    }
  }

  constexpr void visit(u32 at) {
    const Inst& i = k_.insts[at];
    if (has_result(i.op) && !value_uniform(i)) take_back(value[at]);
    switch (i.op) {
      case Op::if_: open_.push_back({at, !value[i.a]}); break;
      case Op::for_:
        if (!operands_uniform(i)) mark(at);
        open_.push_back({at, loop_splits_[at] != 0});
        break;
      case Op::loop: open_.push_back({at, loop_splits_[at] != 0}); break;
      case Op::end_if:
      case Op::end_for:
      case Op::end_loop: open_.pop_back(); break;
      case Op::break_:
      case Op::continue_: jump(); break;
      case Op::warpgroup_clear:
      case Op::warpgroup_read:
      case Op::warpgroup_multiply:
        for (u32 v = 0; v < sums_of(i).count; ++v) take_back(var[sums_of(i).first + v]);
        break;
      case Op::var_store: {
        bool split = false;
        for (const Open& o : open_) split = split || o.splits;
        if (split || !value[i.b]) take_back(var[i.a]);
        break;
      }
      default: break;
    }
  }

  constexpr void mark(u32 loop) {
    if (loop_splits_[loop]) return;
    loop_splits_[loop] = 1;
    changed_ = true;
  }

  // Lanes that jump under a condition they do not share leave the others behind in the loop.
  constexpr void jump() {
    bool split = false;
    for (std::size_t r = open_.size(); r-- > 0;) {
      if (k_.insts[open_[r].at].op == Op::if_) {
        split = split || open_[r].splits;
        continue;
      }
      if (split) mark(open_[r].at);
      return;
    }
  }

  View k_;
  std::vector<char> loop_splits_{};
  std::vector<Open> open_{};
  bool changed_ = false;
};

}  // namespace gpuio::kernel
