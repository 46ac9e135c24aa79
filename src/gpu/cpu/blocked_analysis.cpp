#include "gpu/cpu/blocked_analysis.hpp"

#include <algorithm>
#include <array>

namespace gpuio::gpu::cpu::blocked {
namespace {

std::array<u32, 4> operands(const Inst& i) { return {i.a, i.b, i.c, i.d}; }

template <class F>
void each_value(const Inst& i, F&& f) {
  const u32 mask = value_operands(i);
  const auto all = operands(i);
  for (u32 k = 0; k < 4; ++k)
    if (mask >> k & 1) f(all[k]);
}

// Uniformity: assumed of everything, taken back until nothing changes. Lanes differ by their position, by
// what they read from different places, and by having gone different ways.
class Uniformity {
 public:
  Uniformity(const View& kernel, Analysis& out)
      : k_(kernel), out_(out), loop_splits_(kernel.insts.size(), 0) {
    out.uniform.assign(kernel.insts.size(), 1);
    out.uniform_var.assign(kernel.vars.size(), 1);
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

  void take_back(char& flag) {
    if (!flag) return;
    flag = 0;
    changed_ = true;
  }

  bool operands_uniform(const Inst& i) const {
    bool all = true;
    each_value(i, [&](u32 v) { all = all && out_.uniform[v]; });
    return all;
  }

  bool value_uniform(const Inst& i) const {
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
      case Op::var_load: return out_.uniform_var[i.a];
      case Op::for_: return out_.uniform[i.a] && out_.uniform[i.c];
      case Op::barrier_any: return true;
      case Op::atomic_load:
      case Op::atomic_rmw:
      case Op::atomic_cas:
      case Op::subgroup_shuffle:
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce:
      case Op::subgroup_elect: return false;
      default: return operands_uniform(i);
    }
  }

  void visit(u32 at) {
    const Inst& i = k_.insts[at];
    if (has_result(i.op) && !value_uniform(i)) take_back(out_.uniform[at]);
    switch (i.op) {
      case Op::if_: open_.push_back({at, !out_.uniform[i.a]}); break;
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
      case Op::var_store: {
        const bool split = std::ranges::any_of(open_, &Open::splits);
        if (split || !out_.uniform[i.b]) take_back(out_.uniform_var[i.a]);
        break;
      }
      default: break;
    }
  }

  void mark(u32 loop) {
    if (loop_splits_[loop]) return;
    loop_splits_[loop] = 1;
    changed_ = true;
  }

  // Lanes that jump under a condition they do not share leave the others behind in the loop.
  void jump() {
    bool split = false;
    for (auto r = open_.rbegin(); r != open_.rend(); ++r) {
      if (k_.insts[r->at].op == Op::if_) {
        split = split || r->splits;
        continue;
      }
      if (split) mark(r->at);
      return;
    }
  }

  const View& k_;
  Analysis& out_;
  std::vector<char> loop_splits_;
  std::vector<Open> open_;
  bool changed_ = false;
};

void find_lifetimes(const View& k, Analysis& out) {
  const u32 n = u32(k.insts.size());
  out.last_use.resize(n);
  for (u32 i = 0; i < n; ++i) out.last_use[i] = i;
  std::vector<u32> loops;  // open ones
  const auto use = [&](u32 value, u32 at) {
    u32 until = at;
    for (const u32 loop : loops) {
      if (loop <= value) continue;
      until = out.structure.partner[loop];  // the outermost loop that the value enters from outside
      break;
    }
    out.last_use[value] = std::max(out.last_use[value], until);
  };
  for (u32 at = 0; at < n; ++at) {
    const Inst& i = k.insts[at];
    each_value(i, [&](u32 v) { use(v, at); });
    if (i.op == Op::for_) {
      out.last_use[at] = out.structure.partner[at];  // counter and trips
      loops.push_back(at);
      use(i.c, at);
    } else if (i.op == Op::loop) {
      loops.push_back(at);
    } else if (i.op == Op::end_for || i.op == Op::end_loop) {
      loops.pop_back();
    } else if (i.op == Op::continue_ && !loops.empty()) {
      out.has_continue[loops.back()] = 1;
    } else if (i.op == Op::atomic_load) {
      for (const u32 loop : loops) out.polls[loop] = 1;
    }
  }
  // These name their operand's storage instead of copying it.
  for (u32 at = n; at-- > 0;) {
    const Inst& i = k.insts[at];
    if (i.op == Op::extract || i.op == Op::bitcast)
      out.last_use[i.a] = std::max(out.last_use[i.a], out.last_use[at]);
  }
}

void find_aliases(const View& k, Analysis& out) {
  std::vector<std::vector<u32>> stores(k.vars.size());
  for (u32 at = 0; at < k.insts.size(); ++at)
    if (k.insts[at].op == Op::var_store) stores[k.insts[at].a].push_back(at);
  for (u32 at = 0; at < k.insts.size(); ++at) {
    if (k.insts[at].op != Op::var_load) continue;
    const auto& all = stores[k.insts[at].a];
    const auto next = std::ranges::upper_bound(all, at);
    out.aliases_var[at] = next == all.end() || *next > out.last_use[at];
  }
}

}  // namespace

Analysis::Analysis(const View& kernel) : structure(kernel.insts) {
  const auto n = kernel.insts.size();
  has_continue.assign(n, 0);
  polls.assign(n, 0);
  aliases_var.assign(n, 0);
  Uniformity(kernel, *this);
  find_lifetimes(kernel, *this);
  find_aliases(kernel, *this);
}

}  // namespace gpuio::gpu::cpu::blocked
