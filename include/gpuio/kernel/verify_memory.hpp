// Third part of the verifier: what the lanes of a workgroup do to memory. Shared memory needs a barrier
// between accesses of two lanes to one element, if one of them writes; indices stay inside what has a known
// length.
//
// Shared memory: a list of the accesses since the last barrier; each new one is compared with all of them,
// and with itself. Two accesses are safe if lanes that differ cannot name one element: their ranges are apart
// under the conditions they stand in, or the index is one and the same injective function of the lane. A
// loop's body also meets its own earlier iteration. What cannot be shown safe is refused.
//
// An async copy is a write that no barrier ends and that the lane itself may not touch either, until a wait
// after the commit; then it is the lane's write. A wait in a branch counts for what was copied in it. The
// same holds for what bulk copies write and read (verify_async.hpp). An mbarrier that all lanes arrive at and
// wait for orders like a barrier what they did before they arrived.
//
// Indices: a mistake is reported only where it happens: the whole range is outside, or every lane and trip of
// the range is known to exist and no condition that this code does not understand stands around.
//
// constexpr; needs what verify_types.hpp and verify_flow.hpp establish.
#pragma once

#include <gpuio/kernel/two_lanes.hpp>
#include <gpuio/kernel/verify_async.hpp>

namespace gpuio::kernel::detail {

class Memory {
 public:
  constexpr Memory(const View& v, const Flow& flow, bool races)
      : v_(v),
        flow_(flow),
        ints_(v, flow),
        async_(follows_waits(v)),
        races_(races && !v.shared.empty() && (v.lanes() > 1 || async_)) {
    else_.assign(v.insts.size(), kNone);
    barriers_.assign(v.insts.size() + 1, 0);
    std::vector<u32> opened;
    for (u32 i = 0; i < v.insts.size(); ++i) {
      const Op op = v.insts[i].op;
      if (opens_region(op)) opened.push_back(i);
      if (op == Op::else_) else_[opened.back()] = i;
      if (closes_region(op)) opened.pop_back();
      barriers_[i + 1] = barriers_[i] + orders(i);
    }
  }
  constexpr VerifyResult run() {
    walk(0, u32(v_.insts.size()));
    return result_;
  }

 private:
  // A condition that holds: sum >= 0, or (not understood) nothing.
  struct Fact {
    Affine sum;
    bool understood = true;
    u32 parent = kNone;
  };
  using Kind = Access::Kind;

  // Do all lanes meet here, or wait together for what they did?
  constexpr bool orders(u32 n) const {
    const Op op = v_.insts[n].op;
    return op == Op::barrier || op == Op::barrier_any || op == Op::mbarrier_init ||
           (op == Op::mbarrier_wait && !flow_.apart(n));
  }
  constexpr bool has_barrier(u32 begin, u32 end) const { return barriers_[end] != barriers_[begin]; }
  static constexpr bool jumps(Op op) { return op == Op::break_ || op == Op::continue_ || op == Op::return_; }

  // --- The walk ---
  constexpr void walk(u32 begin, u32 end) {
    const u32 outer = fact_;
    for (u32 n = begin; n < end && result_.ok(); ++n) {
      const Inst& i = v_.insts[n];
      switch (i.op) {
        case Op::if_: n = walk_if(n); break;
        case Op::for_:
        case Op::loop: n = walk_loop(n); break;
        case Op::mbarrier_init: phases_.make(i); [[fallthrough]];
        case Op::barrier:
        case Op::barrier_any:
          if (async_) std::erase_if(live_, [](const Access& a) { return a.landed; });
          else live_.clear();
          break;
        case Op::async_copy:
        case Op::bulk_load: copy(n, Kind::write); break;
        case Op::bulk_store: copy(n, Kind::read); break;
        case Op::warpgroup_multiply: multiply(n); break;
        case Op::warpgroup_clear:
        case Op::warpgroup_read: name_sums(n); break;
        case Op::async_commit:
        case Op::warpgroup_commit:
        case Op::bulk_commit: commit(live_, via_of(i.op)); break;
        case Op::async_wait:
        case Op::warpgroup_wait:
        case Op::bulk_wait: wait(live_, via_of(i.op), i.imm); break;
        case Op::mbarrier_arrive: arrive(n); break;
        case Op::mbarrier_wait:
          if (orders(n)) phases_.wait(v_, live_, i);  // where only some wait, the others know nothing
          break;
        case Op::break_:
        case Op::continue_:
          if (!pending_.empty())
            for (const Access& a : live_) pending_.back().push_back(a);
          break;
        case Op::load:
        case Op::matrix_load: access(n, Kind::read); break;
        case Op::store: access(n, Kind::write); break;
        case Op::atomic_load: access(n, Kind::atomic_read); break;
        case Op::atomic_store:
        case Op::atomic_rmw:
        case Op::atomic_cas: access(n, Kind::atomic_write); break;
        case Op::ondemand_load: index(n, i.a, i.b, 1); break;
        default: break;
      }
    }
    fact_ = outer;
  }
  // Both sides start from what was live; lanes of a divergent branch are on both at once. A side that leaves
  // makes the opposite condition hold after it.
  constexpr u32 walk_if(u32 n) {
    const u32 end = ints_.end_of(n), middle = else_[n] == kNone ? end : else_[n];
    const u32 condition = v_.insts[n].a, outer = fact_;
    if (has_barrier(n, end)) {
      const Accesses before = live_;
      assume(condition, true);
      walk(n + 1, middle);
      Accesses after = std::move(live_);
      live_ = before;
      fact_ = outer;
      assume(condition, false);
      if (middle != end) walk(middle + 1, end);
      for (const Access& a : after) live_.push_back(a);
    } else {
      const Accesses before = waited_for();
      const u32 start = u32(live_.size());
      assume(condition, true);
      walk(n + 1, middle);
      fact_ = outer;
      if (middle != end) {
        const Accesses after = waited_for();
        wait_less(live_, before);
        if (!flow_.divergent(condition)) skipped_.push_back({start, u32(live_.size())});
        assume(condition, false);
        walk(middle + 1, end);
        if (!flow_.divergent(condition)) skipped_.pop_back();
        wait_less(live_, after);
      }
      wait_less(live_, before);  // a wait on one side only
    }
    fact_ = outer;
    if (jumps(v_.insts[middle - 1].op)) assume(condition, false);
    else if (middle != end && jumps(v_.insts[end - 1].op)) assume(condition, true);
    return end;
  }
  constexpr u32 walk_loop(u32 n) {
    const u32 end = ints_.end_of(n), outer = fact_;
    if (v_.insts[n].op == Op::for_) {
      const Inst& i = v_.insts[n];
      learn(sum(ints_.sum_of(i.b), -1, ints_.sum_of(n)), -1, n);
      learn(sum(ints_.sum_of(n), -1, ints_.sum_of(i.a)), 0, n);
    }
    if (!has_barrier(n, end)) {
      const Accesses before = waited_for();
      const u32 start = u32(live_.size());
      // What leaves an iteration here is in live_ anyway, and leaves none of a loop around.
      pending_.push_back({});
      walk(n + 1, end);
      pending_.pop_back();
      // The same code in two iterations, in either order.
      const u32 stop = u32(live_.size());
      for (u32 a = start; a < stop && result_.ok(); ++a)
        for (u32 b = start; b < stop && result_.ok(); ++b)
          if (!live_[a].old_end && !live_[b].old_end) compare(aged(live_[a], n, end), live_[b]);
      wait_less(live_, before);  // there may be no trip,
      bool leaves = false;
      for (u32 i = n; async_ && i < end; ++i) leaves = leaves || jumps(v_.insts[i].op);
      for (u32 a = start; leaves && a < stop; ++a)  // or none that comes to the wait
        if (live_[a].via != Via::lane) live_[a].commits = 0, live_[a].landed = false;
    } else {
      const Accesses before = live_;
      for (u32 pass = 0; pass < 2; ++pass) {
        pending_.push_back({});
        walk(n + 1, end);
        for (const Access& a : pending_.back()) live_.push_back(a);
        pending_.pop_back();
        if (pass == 0)
          for (Access& a : live_) a = aged(a, n, end);
      }
      for (const Access& a : before) live_.push_back(a);
    }
    fact_ = outer;
    return end;
  }
  // Where nothing is asynchronous nobody asks, and compiling has no time to lose.
  constexpr Accesses waited_for() const {
    Accesses some;
    if (async_) some = live_;  // no conditional expression: g++ 12 loses its vector
    return some;
  }
  // An access of this iteration, seen from a later one.
  static constexpr Access aged(Access a, u32 begin, u32 end) {
    if (a.inst < begin || a.inst >= end) return a;
    a.old_begin = begin;
    a.old_end = end;
    return a;
  }

  // --- Conditions ---
  constexpr void push(const Fact& f) {
    facts_.push_back(f);
    facts_.back().parent = fact_;
    fact_ = u32(facts_.size() - 1);
  }
  // sum + constant >= 0, if neither side can have wrapped: value says whose type bounds it.
  constexpr void learn(Affine s, i64 constant, u32 value) {
    const Inst& i = v_.insts[value];
    if (!s.known) return push({.sum = {}, .understood = false});
    for (u32 side : {i.a, i.b}) {
      if (ints_.bounds(ints_.sum_of(side)).within(range_of_type(v_.insts[side].type))) continue;
      for (u32 t = 0; t < s.count; ++t)
        if (ints_.symbol(s.terms[t].symbol).grid) return;  // group 0 is there, whatever the condition
      return push({.sum = {}, .understood = false});
    }
    s.constant = sat_add(s.constant, constant);
    push({.sum = s});
  }
  constexpr void assume(u32 condition, bool holds) {
    const Inst& i = v_.insts[condition];
    switch (i.op) {
      case Op::bit_not: return assume(i.a, !holds);
      case Op::bit_and:
      case Op::bit_or:
        if ((i.op == Op::bit_and) == holds) {
          assume(i.a, holds);
          return assume(i.b, holds);
        }
        break;
      case Op::subgroup_elect:
        // With all lanes here the lowest is lane 0.
        if (holds && !flow_.apart(condition)) {
          Affine lane;
          lane.add(Integers::kSubgroupLane, -1);
          return push({.sum = lane});
        }
        break;
      case Op::eq:
      case Op::ne:
      case Op::lt:
      case Op::le:
      case Op::gt:
      case Op::ge:
        if (is_integer(i.from)) return compare_fact(condition, i, holds);
        break;
      default: break;
    }
    // Equal for all lanes and iterations: it does not choose among the lanes that an index could name.
    if (flow_.divergent(condition) || !fixed(condition)) push({.sum = {}, .understood = false});
  }
  constexpr void compare_fact(u32 condition, const Inst& i, bool holds) {
    const Affine up = sum(ints_.sum_of(i.b), -1, ints_.sum_of(i.a)),
                 down = sum(ints_.sum_of(i.a), -1, ints_.sum_of(i.b));
    Op op = i.op;
    if (!holds) {
      constexpr std::array<Op, 6> other{Op::ne, Op::eq, Op::ge, Op::gt, Op::le, Op::lt};
      op = other[u32(op) - u32(Op::eq)];
    }
    switch (op) {
      case Op::lt: return learn(up, -1, condition);
      case Op::le: return learn(up, 0, condition);
      case Op::gt: return learn(down, -1, condition);
      case Op::ge: return learn(down, 0, condition);
      case Op::eq: learn(up, 0, condition); return learn(down, 0, condition);
      default: break;
    }
    // Unequal cuts off an end of the range, or nothing that a range could say.
    const Range r = up.known ? ints_.bounds(up) : Range{-1, 1};
    if (r.lo == 0) return learn(up, -1, condition);
    if (r.hi == 0) return learn(down, -1, condition);
    if (flow_.divergent(condition) || !fixed(condition)) push({.sum = {}, .understood = false});
  }
  // Made of arguments and constants only.
  constexpr bool fixed(u32 value) const {
    const Inst& i = v_.insts[value];
    if (i.op == Op::argument || i.op == Op::constant || i.op == Op::length) return true;
    if (i.op >= Op::add && i.op <= Op::bitcast) {
      const u32 mask = value_operands(i);
      return (!(mask & 1) || fixed(i.a)) && (!(mask & 2) || fixed(i.b)) && (!(mask & 4) || fixed(i.c));
    }
    return false;
  }

  // Appends the conditions that are understood.
  constexpr void gather(std::vector<Affine>& out, u32 fact) const {
    for (u32 f = fact; f != kNone; f = facts_[f].parent)
      if (facts_[f].understood && facts_[f].sum.known) out.push_back(facts_[f].sum);
  }

  // --- Races ---
  constexpr void access(u32 n, Kind kind) {
    const Inst& i = v_.insts[n];
    access(n, kind, i.a, i.b, span_of(i));
  }
  constexpr void access(u32 n, Kind kind, u32 object, u32 at, u64 span) {
    const Inst& i = v_.insts[n];
    index(n, object, at, span);
    if (!(object & kShared) || !races_ || !result_.ok()) return;
    const Access a{.inst = n,
                   .object = object,
                   .at = at,
                   .kind = kind,
                   .via = via_of(i.op),
                   .span = i64(span),
                   .fact = fact_,
                   .landed = via_of(i.op) == Via::lane,
                   .serial = ++serial_};
    for (u32 e = 0; e < live_.size() && result_.ok(); ++e) {
      bool skip = false;
      for (const auto& s : skipped_) skip = skip || (e >= s[0] && e < s[1]);
      if (!skip) compare(live_[e], a);
    }
    live_.push_back(a);
    if (kind == Kind::write) compare(a, a);
  }
  constexpr void copy(u32 n, Kind kind) {
    const Inst& i = v_.insts[n];
    index(n, i.c, i.d, span_of(i));
    if (result_.ok()) access(n, kind);
  }
  constexpr void multiply(u32 n) {
    const Inst& i = v_.insts[n];
    access(n, Kind::read, i.a, i.b, panels_span(i, true));
    if (result_.ok()) access(n, Kind::read, i.c, i.d, panels_span(i, false));
  }
  constexpr void name_sums(u32 n) {
    const Inst& i = v_.insts[n];
    const u32 product = races_ ? adding_to(v_, live_, i) : kNone;
    if (product != kNone) result_ = {Err::sums_under_way, i.line, v_.insts[product].line, i.a};
  }
  // Its phase can only be trusted to end when it should if those arrive that it was made for.
  constexpr void arrive(u32 n) {
    const Inst& i = v_.insts[n];
    const u32 count = phases_.made_for(i.a);
    const bool all = !flow_.apart(n) && count == v_.lanes();
    if (races_ && !all && !(count == 1 && single_lane())) {
      result_ = {Err::mbarrier_arrivals, i.line, count};
      return;
    }
    phases_.arrive(v_, live_, n, all ? serial_ : 0);
  }
  constexpr bool single_lane() const {
    std::vector<Affine> facts;
    gather(facts, fact_);
    const u32 first = u32(facts.size());
    gather(facts, fact_);
    return TwoLanes(ints_, Affine{}, Affine{}, facts, first, {0, 0}).one_lane(1, 1);
  }
  static constexpr bool writes(Kind k) { return k == Kind::write || k == Kind::atomic_write; }
  static constexpr bool atomic(Kind k) { return k >= Kind::atomic_read; }
  // a came before b.
  constexpr void compare(const Access& a, const Access& b) {
    if (a.object != b.object || !(writes(a.kind) || writes(b.kind)) || (atomic(a.kind) && atomic(b.kind)))
      return;
    if (safe(a, b) || !result_.ok()) return;
    const Err e = under_way(a, b)   ? (writes(a.kind) ? Err::missing_wait : Err::still_read)
                  : !writes(b.kind) ? Err::missing_barrier
                  : writes(a.kind)  ? Err::write_after_write
                                    : Err::write_after_read;
    result_ = {e, v_.insts[b.inst].line, v_.insts[a.inst].line, a.object & ~kShared};
  }
  // Is a an asynchronous access that b comes upon, and not just what another lane does at the same time?
  static constexpr bool under_way(const Access& a, const Access& b) {
    return !a.landed && (a.inst != b.inst || a.old_end);
  }
  constexpr bool safe(const Access& a, const Access& b) const {
    const Affine &x = ints_.sum_of(a.at), &y = ints_.sum_of(b.at);
    if (!x.known || !y.known) return false;
    std::vector<Affine> facts;
    gather(facts, a.fact);
    const u32 first = u32(facts.size());
    gather(facts, b.fact);
    const TwoLanes lanes(ints_, x, y, facts, first, {a.old_begin, a.old_end});
    if (!lanes.known()) return false;
    if (lanes.apart(a.span, b.span)) return true;
    if (under_way(a, b)) return false;  // nor is it the lane's own
    return lanes.one_lane(a.span, b.span) || lanes.nobody();
  }

  // --- Indices ---
  constexpr void index(u32 n, u32 object, u32 at, u64 span) {
    const Inst& i = v_.insts[n];
    const u64 elements = object & kShared ? v_.shared[object & ~kShared].count : v_.params[object].count;
    const Affine& x = ints_.sum_of(at);
    if (!x.known) return;
    const u32 multiple = alignment_of(i);
    bool aligned = multiple > 1;
    for (u32 t = 0; t < x.count; ++t) aligned = aligned && x.terms[t].factor % multiple == 0;
    if (aligned && x.constant % multiple != 0) {
      result_ = {Err::vector_misaligned, i.line, u32(x.constant), multiple};
      return;
    }
    if (elements == 0) return;
    std::vector<Affine> facts;
    gather(facts, fact_);
    const TwoLanes lane(ints_, x, Affine{}, facts, u32(facts.size()), {0, 0});
    if (!lane.known()) return;
    constexpr u64 kMost = ~u64{0} >> 1;  // a kernel read from bytes may declare more
    const i64 last = i64(elements < kMost ? elements : kMost) - i64(span);
    const i64 lo = lane.least(), hi = lane.most();
    if (lo > hi) return;  // never runs
    if (lo <= last && hi >= 0) {
      if (lo >= 0 && hi <= last) return;
      if (!lane.exact() || blind(fact_, x)) return;
    }
    if (lane.nobody() || (lane.least(true) >= 0 && lane.most(true) <= last)) return;
    result_ = {Err::index_out_of_range, i.line, u32(hi > last ? hi : lo), u32(elements)};
  }
  // May a condition around keep x from values of its range, in a way that is not understood? Conditions on
  // data of the lane may, and those that tie x to what is only known at launch, unless it is the place in the
  // grid.
  constexpr bool blind(u32 fact, const Affine& x) const {
    for (u32 f = fact; f != kNone; f = facts_[f].parent) {
      if (!facts_[f].understood) return true;
      bool open = false, shared = false, grid = false;
      const Affine& s = facts_[f].sum;
      for (u32 t = 0; t < s.count; ++t) {
        const Integers::Symbol& symbol = ints_.symbol(s.terms[t].symbol);
        if (!symbol.exact && symbol.divergent) return true;
        open = open || !symbol.exact;
        grid = grid || symbol.grid;
        for (u32 e = 0; e < x.count; ++e)
          shared = shared || ints_.root(x.terms[e].symbol) == ints_.root(s.terms[t].symbol);
      }
      if (open && shared && !grid) return true;
    }
    return false;
  }

  const View& v_;
  const Flow& flow_;
  Integers ints_;
  bool async_, races_;
  u32 serial_ = 0;
  Phases phases_;
  std::vector<u32> else_;                    // of each if_
  std::vector<u32> barriers_;                // before each instruction
  Accesses live_;                            // since the last barrier
  std::vector<std::array<u32, 2>> skipped_;  // parts of live_ that are on the other side of a uniform if
  std::vector<Accesses> pending_;            // of each loop with barriers: live where an iteration was left
  std::vector<Fact> facts_;
  u32 fact_ = kNone;
  VerifyResult result_;
};

// Is there anything for Memory to check? Shared arrays, declared lengths, vectors.
constexpr bool checks_memory(const View& v) {
  bool any = !v.shared.empty();
  for (const Param& p : v.params) any = any || p.count != 0;
  for (const Inst& i : v.insts) any = any || i.width > 1 || i.op == Op::async_copy || moves_bulk(i.op);
  return any;
}

}  // namespace gpuio::kernel::detail
