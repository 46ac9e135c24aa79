// The suspend pass, first part: the kernel as a tree of blocks in its normal form.
//
//  - An on-demand load is a node of its own, with its value and its status as results.
//  - Loops that hold an access have no for_ and no continuing part, and no continue where a gate may stand at
//    their end: a continue there sets a flag that the rest of the body asks.
//  - Vectors are taken apart where they are loaded, so that only scalars can live across an access.
//  - Nothing follows a jump.
#pragma once

#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/suspend/layout.hpp>

namespace gpuio::kernel::suspend_detail {

constexpr bool is_subgroup(Op op) { return op >= Op::subgroup_shuffle && op <= Op::subgroup_elect; }
constexpr bool is_barrier(Op op) { return op == Op::barrier || op == Op::barrier_any; }
constexpr bool is_jump(Op op) { return op == Op::break_ || op == Op::continue_ || op == Op::return_; }

enum class Kind : u8 { plain, access, gate, branch, loop, counted };

struct Range {  // of points in a block: empty when last < first
  u32 first = 1, last = 0;
};

struct Node {
  Kind kind = Kind::plain;
  Scope scope = Scope::workgroup;  // of a gate
  bool is_barrier = false;         // a gate that stands for a barrier of the kernel
  bool workgroup = false;          // matters to the workgroup: holds a barrier, or a jump that does
  bool subgroup = false;           // holds a subgroup operation
  u32 id = kNone;                  // instruction; of a gate, the one that it stands before
  u32 point = 0;                   // of an access or gate
  std::vector<Node> first{};       // then; body
  std::vector<Node> second{};      // else; continuing part
  Range first_points{}, second_points{};
  std::vector<u32> live{};   // things to save at a point
  bool shared_live = false;  // shared memory is read after this point
};
using Block = std::vector<Node>;

struct Tree {
  Program program{};             // declarations, with the Vars that were added
  std::vector<Inst> insts{};     // what the nodes' ids name; more than the kernel's
  std::vector<u32> alias{};      // an id -> the id that has its value
  std::vector<u32> status_of{};  // an on-demand load -> the id of its status, or kNone
  u32 sticky = kNone;            // Var of the lane's first failure, where the kernel asks for it
  Block root{};
  bool barriers = false, subgroups = false;

  constexpr u32 add(const Inst& i) {
    insts.push_back(i);
    alias.push_back(u32(insts.size() - 1));
    status_of.push_back(kNone);
    return u32(insts.size() - 1);
  }
  constexpr const Inst& inst(const Node& n) const { return insts[n.id]; }
};

// Does the block hold a node for which f says yes?
template <class F>
constexpr bool any_node(const Block& block, F&& f) {
  for (const Node& n : block) {
    if (f(n) || any_node(n.first, f) || any_node(n.second, f)) return true;
  }
  return false;
}
template <class F>
constexpr void each_node(Block& block, F&& f) {
  for (Node& n : block) {
    f(n);
    each_node(n.first, f);
    each_node(n.second, f);
  }
}
constexpr bool has_access(const Block& block) {
  return any_node(block, [](const Node& n) { return n.kind == Kind::access; });
}
constexpr bool holds_point(const Node& n) {
  const auto is_point = [](const Node& m) { return m.kind == Kind::access || m.kind == Kind::gate; };
  return is_point(n) || any_node(n.first, is_point) || any_node(n.second, is_point);
}

class TreeBuilder {
 public:
  constexpr TreeBuilder(View kernel, const SuspendFaults& faults)
      : faults_(faults), structure_(kernel.insts) {
    tree_.program = declarations_of(kernel);
    for (const Inst& i : kernel.insts) {
      tree_.add(i);
      tree_.barriers = tree_.barriers || is_barrier(i.op);
      tree_.subgroups = tree_.subgroups || is_subgroup(i.op);
      if (i.op == Op::lane_status && tree_.sticky == kNone) tree_.sticky = new_var(Type::u32);
    }
    size_ = u32(kernel.insts.size());
  }

  constexpr Tree build() {
    u32 at = 0;
    tree_.root = block(at);
    merge_continuing(tree_.root);
    return std::move(tree_);
  }

 private:
  constexpr u32 new_var(Type t) {
    tree_.program.vars.push_back(t);
    return u32(tree_.program.vars.size() - 1);
  }

  // Up to the bracket that ends the section, which `at` is left on.
  constexpr Block block(u32& at) {
    Block nodes;
    bool dead = false;
    while (at < size_) {
      const Inst i = tree_.insts[at];
      if (closes_region(i.op) || i.op == Op::else_ || i.op == Op::continuing) break;
      Node n{.id = at};
      ++at;
      if (opens_region(i.op)) {
        n.kind = i.op == Op::if_ ? Kind::branch : i.op == Op::loop ? Kind::loop : Kind::counted;
        n.first = block(at);
        if (!closes_region(tree_.insts[at].op)) {
          ++at;
          n.second = block(at);
        }
        ++at;
      } else if (i.op == Op::ondemand_load) {
        n.kind = Kind::access;
      } else if (i.op == Op::ondemand_status) {
        status(n.id, i);
        continue;
      } else if (i.op == Op::lane_status) {
        tree_.insts[n.id] = {.op = Op::var_load, .type = Type::u32, .a = tree_.sticky, .line = i.line};
      } else if (i.op == Op::compose) {
        continue;  // composed again where it is used
      }
      if (i.op == Op::extract) {  // of what was taken apart
        tree_.alias[n.id] = element(tree_.alias[i.a], u32(i.imm));
        continue;
      }
      if (dead) continue;
      nodes.push_back(std::move(n));
      if (i.op == Op::load && i.width > 1) take_apart(nodes, at - 1, i);
      dead = is_jump(i.op);
    }
    return nodes;
  }

  constexpr void status(u32 id, const Inst& i) {
    u32& known = tree_.status_of[i.a];
    if (known == kNone) {
      const u32 fresh = tree_.add({.op = Op::ondemand_status, .type = Type::u32, .a = i.a});
      tree_.status_of[i.a] = fresh;
    }
    tree_.alias[id] = tree_.status_of[i.a];
  }

  // Element of a vector: what the compose was given.
  constexpr u32 element(u32 vector, u32 which) {
    Inst composed = tree_.insts[vector];
    return tree_.alias[operand(composed, which)];
  }

  // A wide load is followed by its elements; whoever names the vector gets them composed.
  constexpr void take_apart(Block& nodes, u32 id, const Inst& load) {
    Inst composed{.op = Op::compose, .type = load.type, .width = load.width};
    for (u32 e = 0; e < load.width; ++e) {
      const u32 part = tree_.add({.op = Op::extract, .type = load.type, .a = id, .imm = e});
      operand(composed, e) = part;
      nodes.push_back({.id = part});
    }
    tree_.alias[id] = tree_.add(composed);
  }

  // --- continue ---
  constexpr bool has_continue(const Node& n) const {
    if (n.kind == Kind::plain) return tree_.inst(n).op == Op::continue_;
    return n.kind == Kind::branch && (has_continue(n.first) || has_continue(n.second));
  }
  constexpr bool has_continue(const Block& block) const {
    for (const Node& n : block) {
      if (has_continue(n)) return true;
    }
    return false;
  }

  constexpr void merge_continuing(Block& block) {
    for (Node& n : block) {
      merge_continuing(n.first);
      merge_continuing(n.second);
      if (n.kind != Kind::loop || !(has_access(n.first) || has_access(n.second))) continue;
      const bool gated = any_node(n.first, [&](const Node& m) {
        const Op op = m.kind == Kind::plain ? tree_.inst(m).op : Op::constant;
        return is_barrier(op) || is_subgroup(op) || op == Op::return_;
      });
      if (has_continue(n.first) && (!n.second.empty() || (gated && !faults_.no_continue_lowering))) {
        const u32 flag = new_var(Type::boolean);
        Block body;
        set_flag(body, flag, false);
        append(body, without_continue(std::move(n.first), flag));
        n.first = std::move(body);
      }
      append(n.first, std::move(n.second));
      n.second.clear();
    }
  }

  static constexpr void append(Block& to, Block from) {
    for (Node& n : from) to.push_back(std::move(n));
  }
  constexpr void set_flag(Block& to, u32 flag, bool value) {
    const u32 c = tree_.add({.op = Op::constant, .type = Type::boolean, .imm = value ? 1u : 0u});
    to.push_back({.id = c});
    to.push_back({.id = tree_.add({.op = Op::var_store, .type = Type::boolean, .a = flag, .b = c})});
  }

  constexpr Block without_continue(Block block, u32 flag) {
    Block out;
    for (std::size_t i = 0; i < block.size(); ++i) {
      Node& n = block[i];
      if (!has_continue(n)) {
        out.push_back(std::move(n));
        continue;
      }
      if (n.kind == Kind::plain) {
        set_flag(out, flag, true);
        break;
      }
      n.first = without_continue(std::move(n.first), flag);
      n.second = without_continue(std::move(n.second), flag);
      out.push_back(std::move(n));
      Block rest;
      for (std::size_t k = i + 1; k < block.size(); ++k) rest.push_back(std::move(block[k]));
      if (rest.empty()) break;
      const u32 set = tree_.add({.op = Op::var_load, .type = Type::boolean, .a = flag});
      const u32 clear =
          tree_.add({.op = Op::bit_not, .type = Type::boolean, .from = Type::boolean, .a = set});
      out.push_back({.id = set});
      out.push_back({.id = clear});
      const u32 branch = tree_.add({.op = Op::if_, .a = clear});
      out.push_back({.kind = Kind::branch, .id = branch, .first = without_continue(std::move(rest), flag)});
      break;
    }
    return out;
  }

  SuspendFaults faults_;
  Structure structure_;
  Tree tree_{};
  u32 size_ = 0;
};

// for_ is lowered where an access stands inside.
constexpr Program lower_suspended_loops(View kernel) {
  const Structure structure(kernel.insts);
  return lower_for(kernel, [&](u32 id) {
    for (u32 i = id; i < structure.partner[id]; ++i) {
      if (kernel.insts[i].op == Op::ondemand_load) return true;
    }
    return false;
  });
}

}  // namespace gpuio::kernel::suspend_detail
