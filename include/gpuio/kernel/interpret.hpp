// The interpreter: runs a kernel as ir.hpp says, one workgroup after another, each subgroup in lock step. It
// is the oracle of every device and of every pass, so it is plain and strict, not fast: about 10 ns a lane
// and instruction. constexpr: a small kernel runs inside static_assert.
//
// It stops at the first mistake of the kernel and names its line: an index out of range, a barrier that not
// every lane reaches, a shared element read before anyone wrote it, more steps than allowed. It trusts that
// the kernel is well formed (verify.hpp).
//
//   std::array<std::byte, 400> bytes{};
//   const Outcome o = interpret(k, {4, 1, 1}, {{Argument::buffer(bytes), Argument::scalar(100)}});
//   if (!o.ok()) report(o.error, o.line);
//
// Hooks see on-demand accesses and effects; derive from Hooks and override (by hiding) what is of interest.
// One call is one thread's; arguments and hooks are borrowed for the call.
#pragma once

#include <utility>

#include <gpuio/kernel/hooks.hpp>
#include <gpuio/kernel/interpret_units.hpp>
#include <gpuio/kernel/lock_step.hpp>
#include <gpuio/kernel/random.hpp>
#include <gpuio/kernel/semantics.hpp>
#include <gpuio/kernel/structure.hpp>

namespace gpuio::kernel {

// --- The machine ------------------------------------------------------------------------------------------

namespace detail {

template <class Observer>
class Machine {
  template <class>
  friend class Units;

 public:
  constexpr Machine(View kernel, std::array<u32, 3> grid, std::span<const Argument> arguments,
                    const InterpretOptions& options, Observer& hooks)
      : k_(kernel),
        grid_(grid),
        arguments_(arguments),
        options_(options),
        hooks_(hooks),
        structure_(kernel.insts),
        random_{options.shuffle_seed},
        size_(options.subgroup_size) {
    // A slot a value; a vector has its elements in consecutive slots, a for_ its trips left and an
    // ondemand_load its status in a second one.
    u32 slots = 0;
    slot_.reserve(kernel.insts.size());
    for (const Inst& i : kernel.insts) {
      slot_.push_back(slots);
      const bool pair = i.op == Op::for_ || i.op == Op::ondemand_load;
      slots += !has_result(i.op) ? 0 : pair ? 2 : i.width;
    }
    u64 bytes = 0;
    for (const SharedArray& s : kernel.shared) {
      shared_at_.push_back(bytes);
      bytes += (u64{s.count} * size_of(s.type) + 15) & ~u64{15};
    }
    shared_.assign(bytes, std::byte{0});
    written_.assign(bytes, 0);
    subgroups_.assign((kernel.lanes() + size_ - 1) / size_, Subgroup{});
    for (Subgroup& s : subgroups_) {
      s.index = u32(&s - subgroups_.data());
      s.first = s.index * size_;
      const u32 count = kernel.lanes() - s.first < size_ ? kernel.lanes() - s.first : size_;
      s.all = count == 64 ? ~u64{0} : (u64{1} << count) - 1;
      s.values.assign(u64{slots} * size_, 0);
    }
  }

  constexpr Outcome run() {
    const u64 groups = u64{grid_[0]} * grid_[1] * grid_[2];
    std::vector<u64> order{};
    for (u64 g = 0; g < groups; ++g) order.push_back(g);
    for (u64 g = groups; options_.shuffle_seed != 0 && g > 1; --g) {
      std::swap(order[g - 1], order[random_.below(g)]);
    }
    for (const u64 g : order) {
      group_ = g;
      if (!run_group()) break;
    }
    outcome_.steps = steps_;
    return outcome_;
  }

 private:
  // --- Workgroups ---
  constexpr bool run_group() {
    const std::byte pattern{options_.check_shared ? u8{0} : u8{0xa5}};
    hooks_.group(group_);
    for (std::byte& b : shared_) b = pattern;
    for (u8& w : written_) w = 0;
    for (Subgroup& s : subgroups_) {
      s.mask = s.all;
      s.pc = 0;
      s.phase = Phase::ready;
      s.frames.clear();
      s.vars.assign(k_.vars.size() * size_, 0);
      s.status.assign(size_, 0);
      s.copies.begin(size_);
      s.stores.begin(size_);
      s.products.clear();
      s.product_commits = 0;
    }
    loads_.clear();
    while (true) {
      Subgroup* next = choose();
      if (next != nullptr) {
        if (!run_turn(*next)) return false;
        hooks_.turn();
      } else if (!open_barrier()) {
        return outcome_.ok();
      }
    }
  }

  constexpr Subgroup* choose() {
    u32 ready = 0;
    for (Subgroup& s : subgroups_)
      if (s.phase == Phase::waiting && Units<Machine>(*this).ended(s, k_.insts[s.pc])) s.phase = Phase::ready;
    for (const Subgroup& s : subgroups_) ready += s.phase == Phase::ready ? 1 : 0;
    if (ready == 0) return nullptr;
    if (options_.shuffle_seed != 0) {
      u64 pick = random_.below(ready);
      for (Subgroup& s : subgroups_) {
        if (s.phase == Phase::ready && pick-- == 0) return &s;
      }
    }
    // Round robin, so that with short turns a subgroup that spins lets the others on.
    for (u32 i = 1; i <= subgroups_.size(); ++i) {
      Subgroup& s = subgroups_[(last_ + i) % subgroups_.size()];
      if (s.phase == Phase::ready) {
        last_ = s.index;
        return &s;
      }
    }
    return nullptr;
  }

  // Nobody can run: either all ended, or all must stand at the same barrier.
  constexpr bool open_barrier() {
    const Subgroup* waiting = nullptr;
    bool same = true, any = false;
    for (const Subgroup& s : subgroups_) {
      if (s.phase == Phase::waiting)
        return fail("mbarrier whose phase nobody ends", s, u32(std::countr_zero(s.mask)));
      if (s.phase == Phase::barrier && waiting == nullptr) waiting = &s;
    }
    if (waiting == nullptr) return false;
    for (const Subgroup& s : subgroups_) {
      same = same && s.phase == Phase::barrier && s.pc == waiting->pc && s.mask == s.all;
      any = any || s.vote;
    }
    if (!same) {
      return fail("barrier that not every lane of the workgroup reaches", *waiting,
                  u32(std::countr_zero(waiting->mask)));
    }
    hooks_.barrier();
    for (Subgroup& s : subgroups_) {
      if (k_.insts[s.pc].op == Op::barrier_any) {
        for_lanes(s, [&](u32 lane) { set(s, s.pc, lane, any ? 1 : 0); });
      }
      s.vote = false;
      s.phase = Phase::ready;
      ++s.pc;
    }
    return true;
  }

  // Until a barrier, the end, or the end of the turn.
  constexpr bool run_turn(Subgroup& s) {
    const u32 n = u32(k_.insts.size());
    for (u64 left = options_.turn_steps; s.phase == Phase::ready;) {
      if (s.pc < n && s.mask != 0) {
        steps_ += u64(std::popcount(s.mask));
        if (steps_ > options_.steps_max) {
          return fail("step limit reached", s, u32(std::countr_zero(s.mask)));
        }
      }
      if (s.pc >= n) {
        s.phase = Phase::done;
      } else if (!step(s, k_.insts[s.pc])) {
        return false;
      }
      if (options_.turn_steps != 0 && --left == 0) break;
    }
    return true;
  }

  constexpr bool fail(std::string_view what, const Subgroup& s, u32 lane) {
    outcome_.error = what;
    outcome_.inst = s.pc;
    outcome_.line = k_.insts[s.pc].line;
    outcome_.lane = lane_of(s, lane);
    return false;
  }

  // --- Values ---
  constexpr u64 lane_of(const Subgroup& s, u32 lane) const { return group_ * k_.lanes() + s.first + lane; }
  constexpr u64 get(const Subgroup& s, u32 value, u32 lane, u32 element = 0) const {
    return s.values[u64{slot_[value] + element} * size_ + lane];
  }
  constexpr void set(Subgroup& s, u32 value, u32 lane, u64 bits, u32 element = 0) {
    s.values[u64{slot_[value] + element} * size_ + lane] = bits;
  }
  template <class F>
  static constexpr void for_lanes(const Subgroup& s, F&& f) {
    for (u64 m = s.mask; m != 0; m &= m - 1) f(u32(std::countr_zero(m)));
  }
  constexpr u64 lanes_where(const Subgroup& s, u32 value) const {
    u64 lanes = 0;
    for_lanes(s, [&](u32 lane) { lanes |= get(s, value, lane) << lane; });
    return lanes;
  }

  // --- One instruction for the active lanes ---
  constexpr bool step(Subgroup& s, const Inst& i) {
    switch (i.op) {
      case Op::if_:
      case Op::else_:
      case Op::end_if:
      case Op::for_:
      case Op::end_for:
      case Op::loop:
      case Op::continuing:
      case Op::end_loop:
      case Op::break_:
      case Op::continue_:
      case Op::return_: control(s, i); return true;
      case Op::mbarrier_init: Units<Machine>(*this).make(i); [[fallthrough]];
      case Op::barrier:
      case Op::barrier_any:
        s.phase = Phase::barrier;
        s.vote = i.op == Op::barrier_any && lanes_where(s, i.a) != 0;
        return true;
      case Op::load:
      case Op::store:
      case Op::atomic_load:
      case Op::atomic_store:
      case Op::atomic_rmw:
      case Op::atomic_cas: {
        for (u64 m = s.mask; m != 0; m &= m - 1) {
          if (!access(s, i, u32(std::countr_zero(m)))) return false;
        }
        break;
      }
      case Op::subgroup_shuffle:
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce:
      case Op::subgroup_elect: subgroup(s, i); break;
      case Op::inline_ptx: return fail("inline PTX runs on CUDA only", s, u32(std::countr_zero(s.mask)));
      case Op::async_copy:
      case Op::async_commit:
      case Op::async_wait:
      case Op::bulk_load:
      case Op::bulk_store:
      case Op::bulk_commit:
      case Op::bulk_wait:
      case Op::tensor_load:
      case Op::mbarrier_arrive:
      case Op::mbarrier_wait:
      case Op::warpgroup_clear:
      case Op::warpgroup_read:
      case Op::warpgroup_multiply:
      case Op::warpgroup_commit:
      case Op::warpgroup_wait:
      case Op::matrix_load:
      case Op::matrix_multiply:
        if (!Units<Machine>(*this).step(s, i)) return false;
        if (s.phase == Phase::waiting) return true;
        break;
      default: for_lanes(s, [&](u32 lane) { scalar(s, i, lane); }); break;
    }
    ++s.pc;
    return true;
  }

  // Moves the masks.
  constexpr void control(Subgroup& s, const Inst& i) {
    u32 next = s.pc + 1;
    switch (i.op) {
      case Op::if_: {
        const u64 taken = lanes_where(s, i.a);
        s.frames.push_back({s.pc, s.mask & ~taken});
        s.mask = taken;
        break;
      }
      case Op::else_: {
        Frame& f = s.frames.back();
        f.continued = s.mask;
        s.mask = f.waiting;
        f.waiting = 0;
        break;
      }
      case Op::end_if:
        s.mask |= s.frames.back().waiting | s.frames.back().continued;
        s.frames.pop_back();
        break;
      case Op::loop: s.frames.push_back({s.pc}); break;
      case Op::for_: {
        Frame f{s.pc};
        for_lanes(s, [&](u32 lane) {
          const u64 trips = trip_count(i.type, get(s, i.a, lane), get(s, i.b, lane), get(s, i.c, lane));
          set(s, s.pc, lane, get(s, i.a, lane));
          set(s, s.pc, lane, trips, 1);
          f.waiting |= u64{trips == 0} << lane;
        });
        s.mask &= ~f.waiting;
        s.frames.push_back(f);
        break;
      }
      case Op::continuing:
        s.mask |= s.frames.back().continued;
        s.frames.back().continued = 0;
        break;
      case Op::end_for:
      case Op::end_loop: next = close_loop(s, i.op); break;
      case Op::break_:
      case Op::continue_: {
        u32 at = u32(s.frames.size()) - 1;
        while (k_.insts[s.frames[at].opener].op == Op::if_) --at;
        (i.op == Op::break_ ? s.frames[at].waiting : s.frames[at].continued) |= s.mask;
        s.mask = 0;
        break;
      }
      default: s.mask = 0; break;  // return_
    }
    // With no lane left: to the end of the section entered or, where none was, of the one around.
    if (s.mask == 0) {
      const bool entered = opens_region(i.op) || i.op == Op::else_ || i.op == Op::continuing;
      next = entered ? structure_.own_end[s.pc] : structure_.section_end[s.pc];
    }
    s.pc = next;
  }

  // At the end of a trip; returns where to go on.
  constexpr u32 close_loop(Subgroup& s, Op op) {
    Frame& f = s.frames.back();
    s.mask |= f.continued;
    f.continued = 0;
    if (op == Op::end_for) {
      const Inst& opener = k_.insts[f.opener];
      for_lanes(s, [&](u32 lane) {
        const u64 left = get(s, f.opener, lane, 1) - 1;
        set(s, f.opener, lane, left, 1);
        set(s, f.opener, lane,
            eval_binary(Op::add, opener.type, get(s, f.opener, lane), get(s, opener.c, lane)));
        f.waiting |= u64{left == 0} << lane;
      });
      s.mask &= ~f.waiting;
    }
    if (s.mask != 0) return f.opener + 1;
    s.mask = f.waiting;
    s.frames.pop_back();
    return s.pc + 1;
  }

  // --- Per lane ---
  constexpr void scalar(Subgroup& s, const Inst& i, u32 lane) {
    const auto value = [&](u32 operand) { return get(s, operand, lane); };
    u64 r = 0;
    switch (i.op) {
      case Op::constant: r = i.imm; break;
      case Op::argument: r = truncate_to(i.type, arguments_[i.a].bits); break;
      case Op::builtin: r = builtin(k_, grid_, group_, size_, s, Builtin(i.mode), lane); break;
      case Op::length: r = length(i.a); break;
      case Op::fma: r = eval_fma(i.type, value(i.a), value(i.b), value(i.c)); break;
      case Op::popcount:
      case Op::count_leading_zeros: r = eval_count(i.op, i.from, value(i.a)); break;
      case Op::select: r = value(i.a) != 0 ? value(i.b) : value(i.c); break;
      case Op::cast: r = eval_cast(i.type, i.from, value(i.a)); break;
      case Op::bitcast: r = value(i.a); break;
      case Op::extract: r = get(s, i.a, lane, u32(i.imm)); break;
      case Op::compose: {
        const std::array<u32, 4> parts{i.a, i.b, i.c, i.d};
        for (u32 e = 1; e < i.width; ++e) set(s, s.pc, lane, value(parts[e]), e);
        r = value(i.a);
        break;
      }
      case Op::var_load: r = s.vars[u64{i.a} * size_ + lane]; break;
      case Op::var_store: s.vars[u64{i.a} * size_ + lane] = value(i.b); return;
      case Op::ondemand_load: {
        const OnDemandAnswer answer = hooks_.on_demand(i.a, arguments_[i.a], i.type, value(i.b));
        if (answer.status != 0 && s.status[lane] == 0) s.status[lane] = answer.status;
        set(s, s.pc, lane, answer.status, 1);
        r = answer.status == 0 ? answer.value : 0;
        break;
      }
      case Op::ondemand_status: r = get(s, i.a, lane, 1); break;
      case Op::lane_status: r = s.status[lane]; break;
      case Op::fence: hooks_.fence(lane_of(s, lane), i.order); return;
      case Op::ondemand_prefetch: return;
      default:
        if (is_pair(i.op)) {
          r = eval_pair(i.op, i.from, u32(value(i.a)), u32(value(i.b)),
                        i.op == Op::pair_fma ? u32(value(i.c)) : 0);
        } else if (is_compare(i.op)) {
          r = eval_compare(i.op, i.from, value(i.a), value(i.b)) ? 1 : 0;
        } else if (value_operands(i) == 0b0001) {
          r = eval_unary(i.op, i.type, value(i.a));
        } else {
          r = eval_binary(i.op, i.type, value(i.a), value(i.b));
        }
    }
    set(s, s.pc, lane, r);
  }

  constexpr u64 length(u32 object) const {
    if (object & kShared) return k_.shared[object & ~kShared].count;
    const Argument& a = arguments_[object];
    return a.bytes.empty() ? a.count : a.bytes.size() / size_of(k_.params[object].type);
  }

  // --- Memory ---
  constexpr bool access(Subgroup& s, const Inst& i, u32 lane) {
    const bool shared = (i.a & kShared) != 0;
    const u32 size = size_of(i.type);
    const u64 index = get(s, i.b, lane), count = length(i.a);
    const bool atomic_write = i.op >= Op::atomic_store && i.op <= Op::atomic_cas;
    if (index >= count || count - index < i.width) return fail("index out of range", s, lane);
    if (i.width > 1 && index % i.width != 0) return fail("vector access that is not aligned", s, lane);
    if (const std::string_view bad =
            hooks_.access({&i, lane_of(s, lane), i.a, index, i.width, i.op == Op::store || atomic_write});
        !bad.empty())
      return fail(bad, s, lane);
    const std::span<std::byte> bytes = shared ? std::span<std::byte>(shared_) : arguments_[i.a].bytes;
    const u64 at = (shared ? shared_at_[i.a & ~kShared] : 0) + index * size;
    if (shared && options_.check_shared) {
      for (u64 b = 0; b < u64{size} * i.width; ++b) {
        if (i.op == Op::store || i.op == Op::atomic_store) {
          written_[at + b] = 1;
        } else if (written_[at + b] == 0) {
          return fail("shared memory read before it was written", s, lane);
        }
      }
    }
    if (i.op == Op::store) {
      for (u32 e = 0; e < i.width; ++e) {
        const u64 v = get(s, i.c, lane, e);
        write_element(bytes, at + u64{e} * size, size, v);
        hooks_.effect(lane_of(s, lane), {&i, index + e, v});
      }
      return true;
    }
    for (u32 e = 0; i.op == Op::load && e < i.width; ++e) {
      set(s, s.pc, lane, truncate_to(i.type, read_element(bytes, at + u64{e} * size, size)), e);
    }
    if (i.op == Op::load) return true;
    atomic(s, i, lane, bytes, at, index);
    return true;
  }

  constexpr void atomic(Subgroup& s, const Inst& i, u32 lane, std::span<std::byte> bytes, u64 at, u64 index) {
    const u32 size = size_of(i.type);
    const u64 old = read_element(bytes, at, size);
    if (i.op != Op::atomic_store) set(s, s.pc, lane, old);
    if (i.op == Op::atomic_load) return;
    u64 operand = get(s, i.c, lane), value = operand;
    if (i.op == Op::atomic_rmw) value = eval_rmw(Rmw(i.mode), i.type, old, operand);
    if (i.op == Op::atomic_cas) {
      value = old == operand ? get(s, i.d, lane) : old;
      operand = get(s, i.d, lane);
    }
    write_element(bytes, at, size, value);
    hooks_.effect(lane_of(s, lane), {&i, index, operand});
  }

  // --- Subgroup operations ---
  constexpr void subgroup(Subgroup& s, const Inst& i) {
    const u64 said = i.op == Op::subgroup_vote || i.op == Op::subgroup_ballot ? lanes_where(s, i.a) : 0;
    u64 total = 0;
    if (i.op == Op::subgroup_reduce) {
      const u32 lowest = u32(std::countr_zero(s.mask));
      for_lanes(s, [&](u32 lane) {
        const u64 v = get(s, i.a, lane);
        total = lane == lowest ? v : eval_reduce(Rmw(i.mode), i.type, total, v);
      });
    }
    for_lanes(s, [&](u32 lane) {
      u64 r = total;
      switch (i.op) {
        case Op::subgroup_shuffle: r = get(s, i.a, shuffle_source(s, i, lane)); break;
        case Op::subgroup_vote: r = (Vote(i.mode) == Vote::any ? said != 0 : said == s.mask) ? 1 : 0; break;
        case Op::subgroup_ballot: r = said; break;
        case Op::subgroup_elect: r = u32(std::countr_zero(s.mask)) == lane ? 1 : 0; break;
        default: break;
      }
      set(s, s.pc, lane, r);
      hooks_.effect(lane_of(s, lane), {&i, s.mask, r});
    });
  }

  // The lane that a shuffle reads; itself where that one is inactive or absent.
  constexpr u32 shuffle_source(const Subgroup& s, const Inst& i, u32 lane) const {
    const u64 by = get(s, i.b, lane);
    u64 source = by;
    switch (Shuffle(i.mode)) {
      case Shuffle::lane: break;
      case Shuffle::exclusive_or: source = lane ^ by; break;
      case Shuffle::up: source = lane - by; break;  // wraps to absent
      case Shuffle::down: source = lane + by; break;
    }
    return source < size_ && (s.mask >> source & 1) != 0 ? u32(source) : lane;
  }

  View k_;
  std::array<u32, 3> grid_;
  std::span<const Argument> arguments_;
  InterpretOptions options_;
  Observer& hooks_;
  Structure structure_;
  Random random_;
  u32 size_;
  u32 last_ = kNone;
  u64 group_ = 0;
  u64 steps_ = 0;
  Outcome outcome_{};
  std::vector<u32> slot_{};
  std::vector<u64> shared_at_{};
  std::vector<std::byte> shared_{};
  std::vector<u8> written_{};
  std::vector<BulkLoad> loads_{};  // that have not landed
  std::vector<Subgroup> subgroups_{};
};

}  // namespace detail

// Runs the kernel over a grid of workgroups.
template <class Observer>
constexpr Outcome interpret(View kernel, std::array<u32, 3> grid, std::span<const Argument> arguments,
                            const InterpretOptions& options, Observer& hooks) {
  return detail::Machine<Observer>(kernel, grid, arguments, options, hooks).run();
}
constexpr Outcome interpret(View kernel, std::array<u32, 3> grid, std::span<const Argument> arguments,
                            const InterpretOptions& options = {}) {
  Hooks none;
  return interpret(kernel, grid, arguments, options, none);
}

}  // namespace gpuio::kernel
