// The suspend pass, last part: writes the kernel that can yield and go on.
//
// A lane runs in one of three modes: RUN; SEEK, on its way from the entry to the point where it yielded;
// YIELDED, which enters no region, leaves each at its end and takes part in gates only. A seeking lane enters
// a block if its point's number lies in the block's range, whatever the condition says.
//
// Two ways to write a block: `walk`, where any lane may be in any mode and everything is guarded; and
// `clean`, where no lane seeks any more and guards stand only between an access and the next gate. A loop is
// one guarded trip for lanes that seek into it, then a clean loop (peeled), or just a guarded loop (direct).
//
// Without collectives a lane that misses saves and returns, so YIELDED does not exist. With them it only
// notes its point; the values are saved where the lane ends.
//
// A value of the kernel is, where it is used: in scope; else done again, if it depends on built-ins only;
// else kept in a Var. Which values need a Var shows while writing, so the kernel is written again until none
// is new.
#pragma once

#include <gpuio/kernel/suspend/place.hpp>
#include <gpuio/kernel/suspend/slab.hpp>

namespace gpuio::kernel::suspend_detail {

enum Mode : u32 { kRun = 0, kSeek = 1, kYielded = 2 };

template <class Access>
class Emitter {
 public:
  constexpr Emitter(const Tree& tree, const std::vector<bool>& recomputable,
                    const SuspendPassOptions& options, SuspendLayout& layout, Access& access)
      : tree_(tree),
        recomputable_(recomputable),
        options_(options),
        layout_(layout),
        access_(access),
        b_(out_),
        slab_(b_, layout) {
    var_of_.assign(tree.insts.size(), kNone);
    collectives_ = tree.barriers || tree.subgroups;
    out_ = tree.program;
    out_.params.push_back({ParamKind::inout, Type::u32, 0});
    layout.slab_parameter = u32(out_.params.size() - 1);
    out_.params.push_back({ParamKind::scalar, Type::u32, 0});
    layout.resume_parameter = u32(out_.params.size() - 1);
    access.declare(b_);
    declared_ = out_;
    for (const Node* n : points()) {
      for (const u32 thing : n->live) {
        if (thing >= first_value()) var_of_[thing - first_value()] = 0;  // wanted; numbered when written
      }
    }
  }

  // May be called again for the other form.
  constexpr Program run(bool peel) {
    peel_ = peel;
    do {
      grew_ = false;
      write();
    } while (grew_);
    return out_;
  }

 private:
  // --- Points and what they save ---
  constexpr u32 first_value() const { return u32(tree_.program.vars.size()); }
  constexpr void collect(const Block& block, std::vector<const Node*>& to) const {
    for (const Node& n : block) {
      if (n.point != 0) to.push_back(&n);
      collect(n.first, to);
      collect(n.second, to);
    }
  }
  constexpr std::vector<const Node*> points() const {
    std::vector<const Node*> all;
    collect(tree_.root, all);
    return all;
  }
  constexpr Type type_of(u32 thing) const {
    return thing < first_value() ? tree_.program.vars[thing] : tree_.insts[thing - first_value()].type;
  }
  constexpr u32 var_for(u32 thing) const {
    return thing < first_value() ? thing : var_of_[thing - first_value()];
  }

  constexpr void save(const Node& n) {
    u32 w = 0;
    for (const u32 thing : n.live) {
      slab_.save(w, b_.var_load(var_for(thing)), type_of(thing));
      w += words_of(type_of(thing));
    }
  }
  constexpr void restore(const Node& n) {
    u32 w = 0;
    for (const u32 thing : n.live) {
      b_.var_store(var_for(thing), slab_.restore(w, type_of(thing)));
      w += words_of(type_of(thing));
    }
    set_mode(kRun);
  }

  // The lane leaves at this point. `waits`: for the host's answer.
  constexpr void park(const Node& n, bool waits) {
    slab_.write(kRecordPoint, slab_.number(n.point));
    slab_.write(kRecordStatus, slab_.number(waits ? device::kUnanswered : 0));
    slab_.count_unfinished();
    if (collectives_) {
      b_.var_store(yield_point_, slab_.number(n.point));
    } else {
      save(n);
    }
  }
  // With collectives: the saving that was put off.
  constexpr void save_parked() {
    for (const Node* n : points()) {
      if (n->live.empty()) continue;
      b_.if_(b_.compare(Op::eq, b_.var_load(yield_point_), slab_.number(n->point)));
      save(*n);
      b_.end_if();
    }
  }
  constexpr void done() { slab_.write(kRecordPoint, slab_.number(device::kLaneDone)); }

  // --- Modes ---
  constexpr u32 mode_is(Mode m) { return b_.compare(Op::eq, b_.var_load(mode_), slab_.number(m)); }
  constexpr void set_mode(Mode m) { b_.var_store(mode_, slab_.number(m)); }
  constexpr u32 both(u32 a, u32 c) { return b_.binary(Op::bit_and, a, c); }
  constexpr u32 either(u32 a, u32 c) { return b_.binary(Op::bit_or, a, c); }
  constexpr u32 seeking(Range points) {
    if (points.last < points.first) return b_.constant(Type::boolean, 0);
    const u32 at = b_.var_load(seek_point_);
    u32 inside = b_.compare(points.first == points.last ? Op::eq : Op::ge, at, slab_.number(points.first));
    if (points.first != points.last) inside = both(inside, b_.compare(Op::le, at, slab_.number(points.last)));
    return both(mode_is(kSeek), inside);
  }
  template <class F>
  constexpr void if_so(u32 condition, F&& body) {
    b_.if_(condition);
    const std::size_t mark = scope_.size();
    body();
    leave(mark);
    b_.end_if();
  }

  // --- Values ---
  constexpr void leave(std::size_t mark) {
    while (scope_.size() > mark) {
      now_[scope_.back()] = kNone;
      scope_.pop_back();
    }
  }
  constexpr void bind(u32 id, u32 value) {
    now_[id] = value;
    scope_.push_back(id);
  }
  // `id` gets its value here.
  constexpr void define(u32 id, u32 value) {
    bind(id, value);
    if (var_of_[id] != kNone) b_.var_store(var_of_[id], value);
  }
  constexpr u32 value(u32 id) {
    id = tree_.alias[id];
    if (now_[id] != kNone) return now_[id];
    Inst i = tree_.insts[id];
    u32 made = kNone;
    if (i.op == Op::compose || recomputable_[id]) {
      for_values(i, [&](u32& v) { v = value(v); });
      made = b_.append(i);
    } else {
      if (var_of_[id] == kNone) {
        var_of_[id] = b_.var(i.type);
        grew_ = true;
      }
      made = b_.var_load(var_of_[id]);
    }
    bind(id, made);
    return made;
  }

  // --- Blocks without points: as they were ---
  struct Trip {
    u32 again;  // Var of a one-trip loop: go on with the clean one; kNone: a real loop
  };

  constexpr void plain(const Node& n) {
    const Inst i = tree_.inst(n);
    const std::size_t mark = scope_.size();
    switch (n.kind) {
      case Kind::plain: straight(n, i); break;
      case Kind::branch:
        b_.if_(value(i.a));
        plain(n.first);
        leave(mark);
        if (!n.second.empty()) {
          b_.else_();
          plain(n.second);
          leave(mark);
        }
        b_.end_if();
        break;
      default: {
        if (n.kind == Kind::counted) {
          const u32 begin = value(i.a), end = value(i.b), step = value(i.c);
          define(n.id, b_.for_(begin, end, step));
        } else {
          b_.loop();
        }
        trips_.push_back({kNone});
        const std::size_t inside = scope_.size();
        plain(n.first);
        if (!n.second.empty()) {
          leave(inside);  // a continue may have passed over what the body has in scope
          b_.continuing();
          plain(n.second);
        }
        trips_.pop_back();
        leave(mark);
        n.kind == Kind::counted ? b_.end_for() : b_.end_loop();
        break;
      }
    }
  }
  constexpr void plain(const Block& block) {
    for (const Node& n : block) plain(n);
  }

  constexpr void straight(const Node& n, Inst i) {
    if (is_jump(i.op)) {
      jump(i.op);
    } else if (i.op == Op::ondemand_prefetch) {
      access_.prefetch(b_, i.a, value(i.b));
    } else if (recomputable_[n.id]) {
      return;  // where it is used
    } else {
      if (i.op == Op::extract) {
        i.a = now_[i.a];
      } else {
        for_values(i, [&](u32& v) { v = value(v); });
      }
      b_.line = i.line;
      const u32 made = b_.append(i);
      b_.line = 0;
      if (has_result(i.op)) define(n.id, made);
    }
  }

  constexpr void jump(Op op) {
    if (op == Op::return_) {
      done();
      b_.return_();
    } else if (op == Op::continue_ && trips_.back().again != kNone) {
      b_.var_store(trips_.back().again, b_.constant(Type::boolean, 1));
      b_.break_();
    } else {
      op == Op::break_ ? b_.break_() : b_.continue_();
    }
  }
  constexpr bool ends_in_jump(const Block& block) const {
    return !block.empty() && block.back().kind == Kind::plain && is_jump(tree_.inst(block.back()).op);
  }

  // --- Accesses and gates ---
  // A value has come, with its status (kNone: it is 0).
  constexpr void arrived(const Node& n, u32 result, u32 status) {
    define(n.id, result);
    const u32 named = tree_.status_of[n.id];
    if (named != kNone) define(named, status == kNone ? slab_.number(0) : status);
    if (tree_.sticky == kNone || status == kNone) return;
    const u32 first = b_.var_load(tree_.sticky);
    b_.var_store(tree_.sticky, b_.select(b_.compare(Op::eq, first, slab_.number(0)), status, first));
  }
  constexpr void yield(const Node& n, u32 index) {
    access_.request(b_, slab_, tree_.inst(n).a, index);
    park(n, true);
    if (collectives_) {
      set_mode(kYielded);
    } else {
      b_.return_();
    }
  }

  constexpr void walk_access(const Node& n) {
    const Inst& i = tree_.inst(n);
    b_.if_(mode_is(kRun));
    const std::size_t mark = scope_.size();
    const u32 index = value(i.b);
    const auto got = access_.load(b_, i.a, index);
    b_.if_(got.ok);
    arrived(n, got.value, got.status);
    leave(mark);
    b_.else_();
    yield(n, index);
    b_.end_if();
    b_.else_();
    if_so(seeking({n.point, n.point}), [&] {
      restore(n);
      const u32 status = slab_.read(kRecordStatus);
      arrived(n, slab_.answer(i.type), status);
    });
    b_.end_if();
  }

  constexpr void clean_access(const Node& n) {
    const Inst& i = tree_.inst(n);
    const u32 index = value(i.b);
    const auto got = access_.load(b_, i.a, index);
    if_so(b_.unary(Op::bit_not, got.ok), [&] { yield(n, index); });
    const bool sticky = tree_.sticky != kNone && got.status != kNone && collectives_;
    arrived(n, got.value, sticky ? b_.select(got.ok, got.status, slab_.number(0)) : got.status);
  }

  constexpr void walk_gate(const Node& n) {
    if_so(seeking({n.point, n.point}), [&] { restore(n); });
    const u32 here = b_.compare(Op::ne, b_.var_load(mode_), slab_.number(kSeek));
    if_so(options_.faults.seek_collectives ? b_.constant(Type::boolean, 1) : here, [&] { vote(n); });
  }

  // All lanes of the scope that do not seek are here.
  constexpr void vote(const Node& n) {
    const u32 mine = mode_is(kYielded);
    if (n.scope == Scope::workgroup) {
      b_.line = n.is_barrier ? tree_.inst(n).line : 0;
      const u32 any = b_.barrier_any(mine);
      b_.line = 0;
      if_so(any, [&] {
        if_so(mode_is(kRun), [&] { park(n, false); });
        save_parked();
        if (layout_.group_words != 0) slab_.save_shared();
        b_.return_();
      });
      return;
    }
    const u32 any = b_.vote(Vote::any, mine);
    if_so(both(any, mode_is(kRun)), [&] {
      park(n, false);
      set_mode(kYielded);
    });
    if (options_.faults.subgroup_gate_returns && !tree_.barriers) {
      if_so(any, [&] {
        save_parked();
        b_.return_();
      });
    }
  }

  // --- Blocks with points ---
  // Nodes without points, gathered so that they share one guard.
  template <class Tail>
  constexpr void segment(std::vector<const Node*>& nodes, bool guard, bool wanted, Tail&& tail) {
    if (nodes.empty() && !wanted) return;
    const auto body = [&] {
      for (const Node* n : nodes) plain(*n);
      tail();
    };
    if (guard) {
      if_so(mode_is(kRun), body);
    } else {
      body();
    }
    nodes.clear();
  }
  constexpr void segment(std::vector<const Node*>& nodes, bool guard) {
    segment(nodes, guard, false, [] {});
  }

  constexpr void walk(const Block& block) {
    std::vector<const Node*> gathered;
    for (const Node& n : block) {
      if (!holds_point(n)) {
        gathered.push_back(&n);
        continue;
      }
      if (n.kind == Kind::branch) {
        walk_branch(n, gathered);
        continue;
      }
      segment(gathered, true);
      switch (n.kind) {
        case Kind::access: walk_access(n); break;
        case Kind::gate: walk_gate(n); break;
        default: peel_ ? walk_peeled(n) : walk_direct(n); break;
      }
    }
    segment(gathered, true);
  }

  constexpr void walk_branch(const Node& n, std::vector<const Node*>& before) {
    const u32 enter = b_.var(Type::boolean);
    b_.var_store(enter, seeking(n.first_points));
    segment(before, true, true, [&] { b_.var_store(enter, value(tree_.inst(n).a)); });
    b_.if_(b_.var_load(enter));
    walk(n.first);
    if (!n.second.empty()) {
      b_.else_();
      if_so(either(mode_is(kRun), seeking(n.second_points)), [&] { walk(n.second); });
    }
    b_.end_if();
  }

  constexpr void leave_if_yielded() {
    if (collectives_) if_so(mode_is(kYielded), [&] { b_.break_(); });
  }

  constexpr void walk_direct(const Node& n) {
    if_so(either(mode_is(kRun), seeking(n.first_points)), [&] {
      b_.loop();
      trips_.push_back({kNone});
      walk(n.first);
      trips_.pop_back();
      leave_if_yielded();
      b_.end_loop();
    });
  }

  constexpr void walk_peeled(const Node& n) {
    const u32 again = b_.var(Type::boolean);
    b_.var_store(again, b_.constant(Type::boolean, 1));
    if_so(seeking(n.first_points), [&] {
      b_.var_store(again, b_.constant(Type::boolean, 0));
      b_.loop();
      trips_.push_back({again});
      walk(n.first);
      trips_.pop_back();
      b_.var_store(again, b_.constant(Type::boolean, 1));
      b_.break_();
      b_.end_loop();
    });
    if_so(both(mode_is(kRun), b_.var_load(again)), [&] { clean_loop(n); });
  }

  constexpr void clean_loop(const Node& n) {
    b_.loop();
    const std::size_t mark = scope_.size();
    trips_.push_back({kNone});
    const bool known = clean(n.first);
    if (!known) leave_if_yielded();
    trips_.pop_back();
    leave(mark);
    b_.end_loop();
  }

  // Every lane that is here runs. Returns whether that still holds at the end.
  constexpr bool clean(const Block& block) {
    std::vector<const Node*> gathered;
    bool known = true;
    for (const Node& n : block) {
      if (!holds_point(n)) {
        gathered.push_back(&n);
        continue;
      }
      segment(gathered, !known);
      const auto guarded = [&](auto&& body) { known ? body() : if_so(mode_is(kRun), body); };
      switch (n.kind) {
        case Kind::access: guarded([&] { clean_access(n); }); break;
        case Kind::gate: vote(n); break;
        case Kind::branch: clean_branch(n, known); break;
        default: guarded([&] { clean_loop(n); }); break;
      }
      known = !collectives_ || (n.kind == Kind::gate && n.scope == Scope::workgroup);
    }
    segment(gathered, !known);
    return known;
  }

  constexpr void clean_branch(const Node& n, bool known) {
    const u32 condition = value(tree_.inst(n).a);
    b_.if_(known ? condition : both(mode_is(kRun), condition));
    const std::size_t mark = scope_.size();
    clean(n.first);
    leave(mark);
    if (!n.second.empty()) {
      b_.else_();
      if (known) {
        clean(n.second);
        leave(mark);
      } else {
        if_so(mode_is(kRun), [&] { clean(n.second); });
      }
    }
    b_.end_if();
  }

  // --- The kernel ---
  constexpr void write() {
    out_ = declared_;
    now_.assign(tree_.insts.size(), kNone);
    scope_.clear();
    for (u32 id = 0; id < var_of_.size(); ++id) {
      if (var_of_[id] != kNone) var_of_[id] = b_.var(tree_.insts[id].type);
    }
    mode_ = b_.var(Type::u32);
    seek_point_ = b_.var(Type::u32);
    yield_point_ = collectives_ ? b_.var(Type::u32) : kNone;

    slab_.entry();
    if_so(b_.compare(Op::ne, b_.argument(layout_.resume_parameter), slab_.number(0)), [&] {
      if (layout_.group_words != 0) {
        if_so(b_.compare(Op::ne, slab_.parked(), slab_.number(0)), [&] {
          slab_.restore_shared();
          b_.barrier();
        });
      }
      const u32 at = slab_.read(kRecordPoint);
      b_.var_store(seek_point_, at);
      b_.var_store(
          mode_, b_.select(b_.compare(Op::eq, at, slab_.number(0)), slab_.number(kRun), slab_.number(kSeek)));
      if_so(b_.compare(Op::eq, at, slab_.number(device::kLaneDone)), [&] { b_.return_(); });
    });
    walk(tree_.root);
    if (collectives_) if_so(mode_is(kYielded), [&] { save_parked(); });
    if (!ends_in_jump(tree_.root)) if_so(mode_is(kRun), [&] { done(); });
  }

  const Tree& tree_;
  const std::vector<bool>& recomputable_;
  const SuspendPassOptions& options_;
  SuspendLayout& layout_;
  Access& access_;
  Program out_{};
  Program declared_{};  // parameters, and the Vars of the kernel and the access
  Builder b_;
  SlabCode slab_;
  bool collectives_ = false, grew_ = false, peel_ = true;
  u32 mode_ = kNone, seek_point_ = kNone, yield_point_ = kNone;
  std::vector<u32> var_of_{};  // value -> its Var
  std::vector<u32> now_{};     // value -> its new id, while in scope
  std::vector<u32> scope_{};
  std::vector<Trip> trips_{};
};

}  // namespace gpuio::kernel::suspend_detail
