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
#include <gpuio/kernel/verify_stages.hpp>

namespace gpuio::kernel::detail {

class Memory {
 public:
  constexpr Memory(const View& v, const Flow& flow, bool races, bool waits)
      : v_(v),
        insts_(v.insts.data()),
        flow_(flow),
        ints_(v, flow),
        stages_(v),
        async_(waits),
        races_(races && !v.shared.empty() && (v.lanes() > 1 || waits)),
        barriers_(v.insts.size() + 1, Numbers<u32>::kUnset) {
    u32 count = 0;
    for (u32 i = 0; i < u32(v.insts.size()); ++i) {
      barriers_.data[i] = count;
      if (insts_[i].op > Op::fence && orders(i)) ++count;
    }
    barriers_.data[v.insts.size()] = count;
  }
  constexpr VerifyResult run() {
    if (races_ && !stages_.none()) result_ = stages_.run();
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
  // Unrolled code asks the same again and again: answers are kept, the newest of each hash. What is known of
  // an index, a condition around it or a pair of accesses follows from these alone.
  struct Supposed {
    u32 fact, number, how, after;
  };
  struct Inside {
    u32 sum, fact, object, multiple;
    u64 span;
  };
  struct Apart {
    u32 sum_a, sum_b, fact_a, fact_b, old_begin, old_end;
    i64 span_a, span_b;
    constexpr bool operator==(const Apart&) const = default;
  };
  static constexpr u32 kKept = 64;
  template <class... Id>
  static constexpr u32 slot(Id... id) {
    u32 h = 0;
    ((h = h * 31 + id), ...);
    return (h ^ h >> 6) % kKept;
  }
  using Kind = Access::Kind;

  // Do all lanes meet here, or wait together for what they did?
  constexpr bool orders(u32 n) const {
    const Op op = insts_[n].op;
    return op == Op::barrier || op == Op::barrier_any || op == Op::mbarrier_init ||
           (op == Op::mbarrier_wait && !flow_.apart(n));
  }
  constexpr bool has_barrier(u32 begin, u32 end) const {
    return barriers_.data[end] != barriers_.data[begin];
  }
  constexpr bool acquires(u32 begin, u32 end, u32 stage) const {
    for (u32 n = begin; n < end; ++n)
      if (stages_.acquires(insts_[n]) && stages_.stage_of(insts_[n].a) == stage) return true;
    return false;
  }
  // Where products go on from one iteration to the next that releases what they read.
  constexpr bool releases(u32 begin, u32 end) const {
    for (u32 n = begin; n < end && !stages_.none(); ++n)
      if (stages_.releases(insts_[n])) return true;
    return false;
  }
  static constexpr bool jumps(Op op) { return op == Op::break_ || op == Op::continue_ || op == Op::return_; }

  // --- The walk ---
  constexpr void walk(u32 begin, u32 end) {
    const u32 outer = fact_;
    for (u32 n = begin; n < end && result_.error == Err::ok; ++n) {
      const Inst& i = insts_[n];
      if (i.op < Op::load) continue;
      if (i.op == Op::load || i.op == Op::store) {
        access(n, i.op == Op::load ? Kind::read : Kind::write);
        continue;
      }
      switch (i.op) {
        case Op::if_: n = walk_if(n); break;
        case Op::for_:
        case Op::loop: n = walk_loop(n); break;
        case Op::mbarrier_init: phases_.make(i); [[fallthrough]];
        case Op::barrier:
        case Op::barrier_any:
          if (async_) live_.erase_if([](const Access& a) { return a.landed; });
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
          if (stages_.acquires(i)) stages_.fill(i.a);
          else if (orders(n)) phases_.wait(v_, live_, i);  // where only some wait, the others know nothing
          break;
        case Op::break_:
        case Op::continue_:
          if (loops_) pending_.append(live_.data, live_.count);
          break;
        case Op::matrix_load: access(n, Kind::read); break;
        case Op::tensor_load: access(n, Kind::write); break;
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
    const u32 end = ints_.end_of(n), middle = ints_.else_of(n) == kNone ? end : ints_.else_of(n);
    const u32 condition = insts_[n].a, outer = fact_;
    if (has_barrier(n, end)) {
      const Accesses before = live_;
      suppose(condition, kHolds);
      walk(n + 1, middle);
      Accesses after = std::move(live_);
      live_ = before;
      fact_ = outer;
      suppose(condition, kFails);
      if (middle != end) walk(middle + 1, end);
      live_.append(after.data, after.count);
    } else {
      const Accesses before = waited_for();
      const u32 start = live_.count;
      suppose(condition, kHolds);
      walk(n + 1, middle);
      fact_ = outer;
      if (middle != end) {
        const Accesses after = waited_for();
        wait_less(live_, before);
        if (!flow_.divergent(condition)) skipped_.push({start, live_.count});
        suppose(condition, kFails);
        walk(middle + 1, end);
        if (!flow_.divergent(condition)) skipped_.pop();
        wait_less(live_, after);
      }
      wait_less(live_, before);  // a wait on one side only
    }
    fact_ = outer;
    if (jumps(insts_[middle - 1].op)) suppose(condition, kFails);
    else if (middle != end && jumps(insts_[end - 1].op)) suppose(condition, kHolds);
    return end;
  }
  constexpr u32 walk_loop(u32 n) {
    const u32 end = ints_.end_of(n), outer = fact_;
    if (insts_[n].op == Op::for_) suppose(n, kCounts);
    const u32 pending = pending_.count;
    ++loops_;
    if (!has_barrier(n, end) && !releases(n, end)) {
      const Accesses before = waited_for();
      const u32 start = live_.count;
      walk(n + 1, end);
      // What leaves an iteration here is in live_ anyway, and leaves none of a loop around.
      pending_.count = pending;
      // The same code in two iterations, in either order.
      const u32 stop = live_.count;
      for (u32 a = start; a < stop && result_.ok(); ++a) {
        if (live_.data[a].old_end) continue;
        const Access old = aged(live_.data[a], n, end);
        for (u32 b = start; b < stop && result_.ok(); ++b)
          if (!live_.data[b].old_end) compare(old, live_.data[b]);
      }
      wait_less(live_, before);  // there may be no trip,
      bool leaves = false;
      for (u32 i = n; async_ && i < end; ++i) leaves = leaves || jumps(insts_[i].op);
      for (u32 a = start; leaves && a < stop; ++a)  // or none that comes to the wait
        if (live_.data[a].via != Via::lane) live_.data[a].commits = 0, live_.data[a].landed = false;
    } else {
      const Accesses before = live_;
      for (u32 pass = 0; pass < 2; ++pass) {
        walk(n + 1, end);
        live_.append(pending_.data + pending, pending_.count - pending);
        pending_.count = pending;
        if (pass == 0)
          for (u32 a = 0; a < live_.count; ++a) live_.data[a] = aged(live_.data[a], n, end);
      }
      live_.append(before.data, before.count);
    }
    --loops_;
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
  enum : u32 { kFails, kHolds, kCounts };
  // A condition holds or fails, or a for counts: the facts of assume() and count().
  constexpr void suppose(u32 n, u32 how) {
    const u32 number = how == kCounts ? n : ints_.number(n);
    Supposed& kept = supposed_[slot(fact_, number, how)];
    if (kept.after && kept.fact == fact_ && kept.number == number && kept.how == how) {
      fact_ = kept.after - 2;
      return;
    }
    const u32 before = fact_;
    if (how == kCounts) count(n);
    else assume(n, how == kHolds);
    kept = {before, number, how, fact_ + 2};  // kNone + 2 is 1
  }
  constexpr void count(u32 n) {
    const Inst& i = insts_[n];
    learn(sum(ints_.sum_of(i.b), -1, ints_.sum_of(n)), -1, n);
    learn(sum(ints_.sum_of(n), -1, ints_.sum_of(i.a)), 0, n);
  }
  constexpr void push(const Fact& f) {
    facts_.push(f);
    facts_.back().parent = fact_;
    fact_ = facts_.count - 1;
  }
  // sum + constant >= 0, if neither side can have wrapped: value says whose type bounds it.
  constexpr void learn(Affine s, i64 constant, u32 value) {
    const Inst& i = insts_[value];
    if (!s.known) return push({.sum = {}, .understood = false});
    for (u32 side : {i.a, i.b}) {
      if (ints_.bounds(ints_.sum_of(side)).within(range_of_type(insts_[side].type))) continue;
      for (u32 t = 0; t < s.count; ++t)
        if (ints_.symbol(s.terms[t].symbol).grid) return;  // group 0 is there, whatever the condition
      return push({.sum = {}, .understood = false});
    }
    s.constant = sat_add(s.constant, constant);
    push({.sum = s});
  }
  constexpr void assume(u32 condition, bool holds) {
    const Inst& i = insts_[condition];
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
    const Affine &a = ints_.sum_of(i.a), &b = ints_.sum_of(i.b);
    Op op = i.op;
    if (!holds) {
      constexpr std::array<Op, 6> other{Op::ne, Op::eq, Op::ge, Op::gt, Op::le, Op::lt};
      op = other[u32(op) - u32(Op::eq)];
    }
    switch (op) {
      case Op::lt: return learn(sum(b, -1, a), -1, condition);
      case Op::le: return learn(sum(b, -1, a), 0, condition);
      case Op::gt: return learn(sum(a, -1, b), -1, condition);
      case Op::ge: return learn(sum(a, -1, b), 0, condition);
      case Op::eq: learn(sum(b, -1, a), 0, condition); return learn(sum(a, -1, b), 0, condition);
      default: break;
    }
    // Unequal cuts off an end of the range, or nothing that a range could say.
    const Affine up = sum(b, -1, a);
    const Range r = up.known ? ints_.bounds(up) : Range{-1, 1};
    if (r.lo == 0) return learn(up, -1, condition);
    if (r.hi == 0) return learn(sum(a, -1, b), -1, condition);
    if (flow_.divergent(condition) || !fixed(condition)) push({.sum = {}, .understood = false});
  }
  // Made of arguments and constants only.
  constexpr bool fixed(u32 value) const {
    const Inst& i = insts_[value];
    if (i.op == Op::argument || i.op == Op::constant || i.op == Op::length) return true;
    if (i.op >= Op::add && i.op <= Op::bitcast) {
      const u32 mask = value_operands(i);
      return (!(mask & 1) || fixed(i.a)) && (!(mask & 2) || fixed(i.b)) && (!(mask & 4) || fixed(i.c));
    }
    return false;
  }

  // Appends the conditions that are understood.
  constexpr void gather(List<Affine>& out, u32 fact) const {
    for (u32 f = fact; f != kNone; f = facts_.data[f].parent)
      if (facts_.data[f].understood && facts_.data[f].sum.known) out.push(facts_.data[f].sum);
  }

  // --- Races ---
  constexpr void access(u32 n, Kind kind) {
    const Inst& i = insts_[n];
    access(n, kind, i.a, i.b, span_of(i));
  }
  constexpr void access(u32 n, Kind kind, u32 object, u32 at, u64 span) {
    const Inst& i = insts_[n];
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
                   .serial = ++serial_,
                   .fill = stages_.fill_of(object)};
    for (u32 e = 0; e < live_.count && result_.error == Err::ok; ++e) {
      const Access& earlier = live_.data[e];
      if (earlier.object != object || (earlier.kind == Kind::read && kind == Kind::read)) continue;
      bool skip = false;
      for (u32 s = 0; s < skipped_.count; ++s)
        skip = skip || (e >= skipped_.data[s].begin && e < skipped_.data[s].end);
      if (!skip) compare(earlier, a);
    }
    live_.push(a);
    if (kind == Kind::write) compare(a, a);
  }
  constexpr void copy(u32 n, Kind kind) {
    const Inst& i = insts_[n];
    index(n, i.c, i.d, span_of(i));
    if (result_.ok()) access(n, kind);
  }
  constexpr void multiply(u32 n) {
    const Inst& i = insts_[n];
    access(n, Kind::read, i.a, i.b, panels_span(i, true));
    if (result_.ok()) access(n, Kind::read, i.c, i.d, panels_span(i, false));
  }
  constexpr void name_sums(u32 n) {
    const Inst& i = insts_[n];
    const u32 product = races_ ? adding_to(v_, live_, i) : kNone;
    if (product != kNone) result_ = {Err::sums_under_way, i.line, insts_[product].line, i.a};
  }
  // Its phase can only be trusted to end when it should if those arrive that it was made for.
  constexpr void arrive(u32 n) {
    const Inst& i = insts_[n];
    if (const u32 stage = stages_.stage_of(i.a)) {
      if (races_ && stages_.releases(i)) release(i, stage);
      return;
    }
    const u32 count = phases_.made_for(i.a);
    const bool all = !flow_.apart(n) && count == v_.lanes();
    if (races_ && !all && !(count == 1 && single_lane())) {
      result_ = {Err::mbarrier_arrivals, i.line, count};
      return;
    }
    phases_.arrive(v_, live_, n, all ? serial_ : 0);
  }
  // What products read is released when they are done.
  constexpr void release(const Inst& i, u32 stage) {
    for (u32 a = 0; a < live_.count; ++a) {
      const Access& read = live_.data[a];
      if (read.via == Via::product && !read.landed && stages_.stage_of(read.object) == stage)
        result_ = {Err::still_read, i.line, insts_[read.inst].line, read.object & ~kShared};
    }
  }
  constexpr bool single_lane() const {
    List<Affine> facts;
    gather(facts, fact_);
    const u32 first = facts.count;
    gather(facts, fact_);
    return TwoLanes(ints_, Affine{}, Affine{}, facts, first, {0, 0}).one_lane(1, 1);
  }
  static constexpr bool writes(Kind k) { return k == Kind::write || k == Kind::atomic_write; }
  static constexpr bool atomic(Kind k) { return k >= Kind::atomic_read; }
  // a came before b.
  constexpr void compare(const Access& a, const Access& b) {
    if (a.object != b.object || !(writes(a.kind) || writes(b.kind)) || (atomic(a.kind) && atomic(b.kind)))
      return;
    if (const u32 stage = stages_.stage_of(a.object)) {
      // Stages have shown that only the loads of one fill may meet. Of several lanes that load one's first
      // may be another's second.
      if (a.via != Via::bulk_load || b.via != Via::bulk_load) return;
      if (a.fill != b.fill || (a.old_end && acquires(a.old_begin, a.old_end, stage))) {
        if (!stages_.one_loads(a.object) && !apart(a, b, false))
          result_ = {Err::write_after_write, insts_[b.inst].line, insts_[a.inst].line, a.object & ~kShared};
        return;
      }
    }
    if (safe(a, b) || !result_.ok()) return;
    const Err e = under_way(a, b)   ? (writes(a.kind) ? Err::missing_wait : Err::still_read)
                  : !writes(b.kind) ? Err::missing_barrier
                  : writes(a.kind)  ? Err::write_after_write
                                    : Err::write_after_read;
    result_ = {e, insts_[b.inst].line, insts_[a.inst].line, a.object & ~kShared};
  }
  // Is a an asynchronous access that b comes upon, and not just what another lane does at the same time?
  static constexpr bool under_way(const Access& a, const Access& b) {
    return !a.landed && (a.inst != b.inst || a.old_end);
  }
  constexpr bool safe(const Access& a, const Access& b) {
    if (!ints_.sum_of(a.at).known || !ints_.sum_of(b.at).known) return false;
    if (under_way(a, b)) return apart(a, b, true);
    const Apart pair{ints_.sum_number(a.at),
                     ints_.sum_number(b.at),
                     a.fact,
                     b.fact,
                     a.old_begin,
                     a.old_end,
                     a.span,
                     b.span};
    Apart& kept = apart_[slot(pair.sum_a, pair.sum_b, pair.fact_a, pair.fact_b, pair.old_end)];
    if (kept.span_a && kept == pair) return true;
    if (!apart(a, b, false)) return false;
    kept = pair;
    return true;
  }
  // `under_way`: nor may it be the lane's own.
  constexpr bool apart(const Access& a, const Access& b, bool under_way) const {
    List<Affine> facts;
    gather(facts, a.fact);
    const u32 first = facts.count;
    gather(facts, b.fact);
    const TwoLanes lanes(ints_, ints_.sum_of(a.at), ints_.sum_of(b.at), facts, first,
                         {a.old_begin, a.old_end});
    if (!lanes.known()) return false;
    if (lanes.apart(a.span, b.span)) return true;
    if (under_way) return lanes.never_meet(a.span, b.span);
    return lanes.one_lane(a.span, b.span) || lanes.nobody();
  }

  // --- Indices ---
  constexpr void index(u32 n, u32 object, u32 at, u64 span) {
    const u32 sum_number = ints_.sum_number(at);
    if (sum_number == 0) return;
    const Affine& x = ints_.sum_of(at);
    if (!x.known) return;
    const Inst& i = insts_[n];
    const u32 multiple = alignment_of(i);
    Inside& kept = inside_[slot(sum_number, fact_, object, u32(span))];
    if (kept.span && kept.sum == sum_number && kept.fact == fact_ && kept.object == object &&
        kept.multiple == multiple && kept.span == span)
      return;
    check_index(i, object, x, multiple, span);
    if (result_.ok()) kept = {sum_number, fact_, object, multiple, span};
  }
  constexpr void check_index(const Inst& i, u32 object, const Affine& x, u32 multiple, u64 span) {
    const u64 elements = object & kShared ? v_.shared[object & ~kShared].count : v_.params[object].count;
    bool aligned = multiple > 1;
    for (u32 t = 0; t < x.count; ++t) aligned = aligned && x.terms[t].factor % multiple == 0;
    if (aligned && x.constant % multiple != 0) {
      result_ = {Err::vector_misaligned, i.line, u32(x.constant), multiple};
      return;
    }
    if (elements == 0) return;
    List<Affine> facts;
    gather(facts, fact_);
    const u32 first = facts.count;
    const TwoLanes lane(ints_, x, Affine{}, facts, first, {0, 0});
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
    for (u32 f = fact; f != kNone; f = facts_.data[f].parent) {
      if (!facts_.data[f].understood) return true;
      bool open = false, shared = false, grid = false;
      const Affine& s = facts_.data[f].sum;
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

  struct Part {
    u32 begin, end;
  };
  const View& v_;
  const Inst* insts_;
  const Flow& flow_;
  Integers ints_;
  Stages stages_;
  bool async_, races_;
  u32 serial_ = 0;
  Phases phases_;
  Numbers<u32> barriers_;  // before each instruction
  Accesses live_;          // since the last barrier
  List<Part> skipped_;     // parts of live_ that are on the other side of a uniform if
  Accesses pending_;       // of each loop around: live where an iteration was left
  u32 loops_ = 0;          // around
  List<Fact> facts_;
  u32 fact_ = kNone;
  Supposed supposed_[kKept]{};
  Inside inside_[kKept]{};
  Apart apart_[kKept]{};
  VerifyResult result_;
};

}  // namespace gpuio::kernel::detail
