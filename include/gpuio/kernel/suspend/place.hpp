// The suspend pass, second part: where gates stand, how points are numbered, and what is live at each.
//
// A gate of scope S is a place that every lane of S passes together and where all learn whether one of them
// has yielded; if so, the others save themselves there. One stands before whatever all lanes of S do
// together, or decide together, wherever a lane may have yielded since the last gate.
#pragma once

#include <gpuio/kernel/suspend/tree.hpp>

namespace gpuio::kernel::suspend_detail {

// May a lane of my workgroup, of my subgroup, have yielded since the last gate? `dead`: nobody gets here.
struct Bits {
  bool workgroup = false, subgroup = false, dead = false;
};

class Placer {
 public:
  constexpr Placer(Tree& tree, const SuspendFaults& faults, u32 recompute_max)
      : tree_(tree), faults_(faults), recompute_max_(recompute_max) {}

  // Of each value, after run(): can it be computed again anywhere, from built-ins alone?
  constexpr const std::vector<bool>& recomputable() const { return recomputable_; }

  constexpr void run() {
    relevance(tree_.root, nullptr);
    const Bits end = place(tree_.root, {}, nullptr);
    live_sets();
    // Lanes that yielded go past this end while others finish: shared memory must be saved before it is gone.
    const bool needed =
        any_node(tree_.root, [](const Node& n) { return n.kind == Kind::access && n.shared_live; });
    if (tree_.barriers && !end.dead && end.workgroup && needed && !faults_.no_end_gate) {
      tree_.root.push_back(gate(Scope::workgroup, tree_.add({.op = Op::return_})));
      live_sets();
    }
    u32 last = 0;
    number(tree_.root, last);
  }

 private:
  // --- What matters to whom ---
  struct Matters {
    bool workgroup = false, subgroup = false;
  };
  constexpr Matters relevance(Block& block, const Node* loop) {
    Matters all;
    for (Node& n : block) {
      const Op op = tree_.inst(n).op;
      if (n.kind == Kind::plain) {
        if (is_barrier(op) || (op == Op::return_ && tree_.barriers)) n.workgroup = true;
        if (is_subgroup(op)) n.subgroup = true;
        if (op == Op::break_ || op == Op::continue_) n.workgroup = loop->workgroup;
      } else if (n.kind == Kind::branch) {
        const Matters a = relevance(n.first, loop), b = relevance(n.second, loop);
        n.workgroup = a.workgroup || b.workgroup;
        n.subgroup = a.subgroup || b.subgroup;
      } else if (n.kind == Kind::loop || n.kind == Kind::counted) {
        const auto holds = [&](auto&& yes) { return any_node(n.first, yes) || any_node(n.second, yes); };
        n.workgroup = holds([&](const Node& m) {
          const Op inner = m.kind == Kind::plain ? tree_.inst(m).op : Op::constant;
          return is_barrier(inner) ||
                 (inner == Op::return_ && tree_.barriers && !faults_.returns_in_loops_ignored);
        });
        n.subgroup =
            holds([&](const Node& m) { return m.kind == Kind::plain && is_subgroup(tree_.inst(m).op); });
        relevance(n.first, &n);
        relevance(n.second, &n);
      }
      all.workgroup = all.workgroup || n.workgroup;
      all.subgroup = all.subgroup || n.subgroup;
    }
    return all;
  }

  // --- Gates ---
  static constexpr Node gate(Scope scope, u32 before) {
    return {.kind = Kind::gate, .scope = scope, .id = before};
  }

  // A gate before `n` where the bits and what n matters to ask for one; clears the bits that it answers.
  constexpr void gate_before(const Node& n, Block& out, Bits& bits) const {
    if (n.workgroup && bits.workgroup) {
      out.push_back(gate(Scope::workgroup, n.id));
      bits.workgroup = bits.subgroup = false;
    } else if (n.subgroup && bits.subgroup) {
      out.push_back(gate(Scope::subgroup, n.id));
      bits.subgroup = false;
    }
  }

  // Rebuilds the block with gates. `breaks` collects the bits with which the loop around is left.
  constexpr Bits place(Block& block, Bits bits, std::vector<Bits>* breaks) {
    Block out;
    for (Node& n : block) {
      if (bits.dead) break;
      switch (n.kind) {
        case Kind::access: bits.workgroup = bits.subgroup = true; break;
        case Kind::branch: bits = place_branch(n, out, bits, breaks); break;
        case Kind::loop:
        case Kind::counted: bits = place_loop(n, out, bits); break;
        default:
          if (place_plain(n, out, bits, breaks)) continue;
          break;
      }
      out.push_back(std::move(n));
    }
    block = std::move(out);
    return bits;
  }

  // True where a gate took the place of the node.
  constexpr bool place_plain(const Node& n, Block& out, Bits& bits, std::vector<Bits>* breaks) const {
    const Op op = tree_.inst(n).op;
    if (is_barrier(op)) {
      const bool stands_for = bits.workgroup && op == Op::barrier;
      gate_before(n, out, bits);
      if (stands_for) out.back().is_barrier = true;
      bits = {};
      return stands_for;
    }
    if (is_jump(op)) {
      if (!faults_.no_jump_gate) gate_before(n, out, bits);
      if (op == Op::break_ && breaks != nullptr) breaks->push_back(bits);
      bits.dead = true;
    } else if (is_subgroup(op)) {
      gate_before(n, out, bits);
    }
    return false;
  }

  constexpr Bits place_branch(Node& n, Block& out, Bits bits, std::vector<Bits>* breaks) {
    if (!faults_.no_decision_gate) gate_before(n, out, bits);
    const bool access = has_access(n.first) || has_access(n.second);
    const Bits a = place(n.first, bits, breaks), b = place(n.second, bits, breaks);
    const Bits merged{(!a.dead && a.workgroup) || (!b.dead && b.workgroup),
                      (!a.dead && a.subgroup) || (!b.dead && b.subgroup), a.dead && b.dead};
    if (n.workgroup) return merged;
    // Lanes of one subgroup may be on both sides, and a gate on one side answers for those there alone.
    if (faults_.flow_merge) return {bits.workgroup || access, merged.subgroup, merged.dead};
    return {bits.workgroup || access, bits.subgroup || access, false};
  }

  constexpr Bits place_loop(Node& n, Block& out, Bits bits) {
    const bool access = has_access(n.first) || has_access(n.second);
    gate_before(n, out, bits);
    const Bits entry{!n.workgroup && (bits.workgroup || access),
                     !n.workgroup && !n.subgroup && (bits.subgroup || access), false};
    std::vector<Bits> breaks;
    const Bits back = place(n.first, entry, &breaks);
    if (!back.dead && access) {
      Block latch;
      Bits left = back;
      gate_before(n, latch, left);
      for (Node& g : latch) {
        n.first.insert(faults_.head_gate ? n.first.begin() : n.first.end(), std::move(g));
      }
    }
    if (!n.workgroup) return {bits.workgroup || access, bits.subgroup || access, false};
    Bits left{false, bits.subgroup || access, false};
    for (const Bits& b : breaks) left.workgroup = left.workgroup || b.workgroup;
    return left;
  }

  // --- Numbers ---
  constexpr void number(Block& block, u32& last) {
    for (Node& n : block) {
      if (n.kind == Kind::access || n.kind == Kind::gate) n.point = ++last;
      n.first_points.first = last + 1;
      number(n.first, last);
      n.first_points.last = last;
      n.second_points.first = last + 1;
      number(n.second, last);
      n.second_points.last = last;
    }
  }

  // --- Liveness. A thing is a Var, or a value (numbered after the Vars), or shared memory (the last). ---
  using Set = std::vector<bool>;
  static constexpr void join(Set& to, const Set& from) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (from[i]) to[i] = true;
    }
  }
  constexpr u32 value_thing(u32 id) const { return u32(tree_.program.vars.size()) + id; }
  constexpr u32 shared_thing() const { return value_thing(u32(tree_.insts.size())); }

  constexpr void use(Set& live, u32 id) const {
    id = tree_.alias[id];
    if (recomputable_[id]) return;
    Inst i = tree_.insts[id];
    if (i.op == Op::compose) {
      for_values(i, [&](u32& v) { use(live, v); });
    } else {
      live[value_thing(id)] = true;
    }
  }

  constexpr void before_plain(Set& live, const Node& n) const {
    Inst i = tree_.inst(n);
    live[value_thing(n.id)] = false;
    if (i.op == Op::var_store) live[i.a] = false;
    if (i.op == Op::var_load) live[i.a] = true;
    if (i.op == Op::extract) {
      live[value_thing(i.a)] = true;
    } else {
      for_values(i, [&](u32& v) { use(live, v); });
    }
    const bool reads =
        i.op == Op::load || i.op == Op::atomic_load || i.op == Op::atomic_rmw || i.op == Op::atomic_cas;
    if (reads && (i.a & kShared) != 0) live[shared_thing()] = true;
  }

  struct Exits {
    const Set* on_break;
    const Set* on_continue;
  };

  // `live` is what is live after the block, and becomes what is live before it.
  constexpr void flow(Block& block, Set& live, Exits exits) {
    for (std::size_t at = block.size(); at-- > 0;) {
      Node& n = block[at];
      switch (n.kind) {
        case Kind::plain: {
          const Op op = tree_.inst(n).op;
          if (op == Op::break_) {
            live = *exits.on_break;
          } else if (op == Op::continue_) {
            live = *exits.on_continue;
          } else if (op == Op::return_) {
            live.assign(live.size(), false);
          } else {
            before_plain(live, n);
          }
          break;
        }
        case Kind::access:
          live[value_thing(n.id)] = false;
          if (tree_.status_of[n.id] != kNone) live[value_thing(tree_.status_of[n.id])] = false;
          keep(n, live);
          use(live, tree_.inst(n).b);
          break;
        case Kind::gate: keep(n, live); break;
        case Kind::branch: {
          Set other = live;
          flow(n.first, live, exits);
          flow(n.second, other, exits);
          join(live, other);
          use(live, tree_.inst(n).a);
          break;
        }
        case Kind::loop:
        case Kind::counted: flow_loop(n, live); break;
      }
    }
  }

  constexpr void flow_loop(Node& n, Set& live) {
    const Set after = live;
    const bool counted = n.kind == Kind::counted;
    Set head(live.size(), false);
    if (counted) head = after;
    while (true) {  // grows, and is bounded by the number of things
      Set next = head;
      flow(n.second, next, {&after, &head});
      Set body = next;
      flow(n.first, body, {&after, &next});
      if (counted) body[value_thing(n.id)] = false;
      const Set known = head;
      join(head, body);
      if (head == known) break;
    }
    live = head;
    if (counted) {
      Inst i = tree_.inst(n);
      for_values(i, [&](u32& v) { use(live, v); });
    }
  }

  constexpr void keep(Node& n, const Set& live) const {
    n.live.clear();
    for (u32 i = 0; i < shared_thing(); ++i) {
      if (live[i]) n.live.push_back(i);
    }
    n.shared_live = live[shared_thing()];
  }

  constexpr void live_sets() {
    Set live(shared_thing() + 1, false);
    find_recomputable();
    flow(tree_.root, live, {});
  }

  constexpr void find_recomputable() {
    std::vector<u32> cost(tree_.insts.size(), kNone);
    recomputable_.assign(tree_.insts.size(), false);
    for (u32 id = 0; id < tree_.insts.size(); ++id) {
      Inst i = tree_.insts[id];
      if (i.op == Op::constant || i.op == Op::argument || i.op == Op::builtin || i.op == Op::length) {
        cost[id] = 0;
      } else if (i.op >= Op::add && i.op <= Op::bitcast && i.width == 1) {
        u64 sum = 1;
        for_values(i, [&](u32& v) { sum += cost[tree_.alias[v]]; });
        if (sum <= recompute_max_) cost[id] = u32(sum);
      }
      recomputable_[id] = cost[id] != kNone;
    }
  }

  Tree& tree_;
  SuspendFaults faults_;
  u32 recompute_max_;
  std::vector<bool> recomputable_{};
};

}  // namespace gpuio::kernel::suspend_detail
