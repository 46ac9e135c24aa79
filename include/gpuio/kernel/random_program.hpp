// Random kernels, valid by construction, for whoever runs the IR: a back end runs one and must leave the same
// bytes as the interpreter. They have typed arithmetic, casts, nested control flow (uniform and divergent),
// shared memory, barriers, subgroup operations, atomics and on-demand loads, each of which RandomOptions can
// leave out. One seed and one set of options give the same kernel with every compiler.
//
// What makes the result one on every device: a lane writes only its own elements of the buffers, and its own
// slots of shared memory, which others read only after a barrier; atomics on common elements commute and
// their results are not used; indices are in range; loops are bounded; floats are stored without a NaN's
// bits or a zero's sign; only correctly rounded operations are made.
//
//   const RandomOptions options{.subgroups = false};
//   const Program p = random_program(seed, options);
//   RandomData want = random_contents(p.view(), seed), got = want;
//   ASSERT_TRUE(interpret(p.view(), options.grid(), want.arguments()).ok());
//   run_on_device(p.view(), options.grid(), got);       // parameter i: got.bits[i] or got.bytes[i]
//   EXPECT_EQ(want.bytes, got.bytes);
#pragma once

#include <gpuio/kernel/interpret.hpp>
#include <gpuio/kernel/random_expression.hpp>

namespace gpuio::kernel {

// What a kernel's parameters refer to: bytes of the buffers and bits of the scalars, by parameter.
struct RandomData {
  std::vector<u64> bits{};
  std::vector<std::vector<std::byte>> bytes{};
  std::vector<Argument> arguments() {
    std::vector<Argument> result;
    for (std::size_t i = 0; i < bits.size(); ++i) {
      result.push_back(bytes[i].empty() ? Argument::scalar(bits[i]) : Argument::buffer(bytes[i]));
    }
    return result;
  }
};

// Bytes for every parameter of a kernel that declares its counts: random numbers, the floats among them
// finite.
inline RandomData random_contents(View kernel, u64 seed) {
  Random random{seed ^ 0xda7a};
  RandomData data;
  const auto element = [&](Type t) -> u64 {
    const u64 n = random.below(256);
    if (is_float(t)) return eval_cast(t, Type::f32, to_bits((f32(n) - 128.0f) / 8.0f));
    return truncate_to(t, random.chance(50) ? n : random.next());
  };
  for (const Param& p : kernel.params) {
    data.bits.push_back(p.kind == ParamKind::scalar ? element(p.type) : 0);
    data.bytes.emplace_back(p.count * size_of(p.type));
    for (u64 i = 0; i < p.count; ++i) {
      write_element(data.bytes.back(), i * size_of(p.type), size_of(p.type), element(p.type));
    }
  }
  return data;
}

namespace detail {

class RandomProgram : RandomExpressions {
 public:
  constexpr RandomProgram(u64 seed, const RandomOptions& options)
      : RandomExpressions(seed, options),
        budget_(options.statements),
        strict_(o_.barriers || (o_.subgroups && !o_.divergent_subgroups)) {}

  constexpr Program make() {
    declare();
    prologue();
    block(true, Loop::none, 0);
    for (u32 v = 0; v < vars_.size(); ++v) store_own(b_.var_load(vars_[v]));
    return std::move(program_);
  }

 private:
  // Which jumps a place allows: none, by a uniform condition, by any.
  enum class Loop : u8 { none, uniform, divergent };
  enum class Stage : u8 { write, read };  // of shared memory
  constexpr void prologue() {
    local_ = b_.builtin(Builtin::local_index);
    group_ = b_.builtin(Builtin::group_x);
    global_ = b_.binary(Op::add, b_.binary(Op::mul, group_, number(lanes_)), local_);
    for (const u32 v : vars_) {
      const u32 start = b_.binary(Op::add, global_, number(below(50)));
      b_.var_store(v, program_.vars[v] == Type::u32 ? start : b_.cast(program_.vars[v], start));
    }
    for (const u32 v : uniform_) b_.var_store(v, number(below(9)));
    if (!o_.barriers) return;
    b_.store(tile_, local_, local_);
    b_.store(tile_, b_.binary(Op::add, local_, number(lanes_)), global_);
    b_.if_(b_.compare(Op::lt, local_, number(1)));
    for (u32 i = 0; i < 4; ++i) {
      const u32 at = number(i);
      b_.store(sums_, at, number(i * 3));
    }
    b_.end_if();
    b_.barrier();
  }

  // --- Statements ---
  constexpr void block(bool uniform, Loop loop, u32 depth) {
    const std::size_t known = values_.size();
    for (u32 left = 1 + below(depth == 0 ? 7 : 4); left > 0 && budget_ > 0; --left) {
      --budget_;
      statement(uniform, loop, depth);
    }
    if (depth == 0 && budget_ > 0) block(uniform, loop, depth);
    values_.resize(known < values_.size() ? known : values_.size());
  }

  constexpr void statement(bool uniform, Loop loop, u32 depth) {
    next_line();
    if (uniform && chance(18) && uniform_statement()) return;
    const u32 x = below(100);
    if (x < 16) {
      assign(expression_for(vars_[below(vars_.size())]));
    } else if (x < 24) {
      const Type t = any_type();
      const u32 v = expression(t);
      values_.push_back({v, t});
    } else if (x < 34) {
      const Type t = any_type();
      store_own(expression(t));
    } else if (x < 44 && o_.atomics) {
      atomic();
    } else if (x < 54 && o_.barriers) {
      shared();
    } else if (x < 64 && o_.subgroups && (uniform || o_.divergent_subgroups)) {
      subgroup();
    } else if (x < 80 && depth < 4) {
      branch(uniform, loop, depth);
    } else if (x < 93 && depth < 3) {
      chance(50) ? counted(uniform, depth) : endless(uniform, depth);
    } else if (x < 98 && loop != Loop::none) {
      jump(uniform, loop);
    } else if (x >= 98 && (uniform || !strict_)) {
      b_.if_(condition(0, strict_));
      store_own(leaf(Type::u32));
      b_.return_();
      b_.end_if();
    } else {
      assign(expression_for(vars_[below(vars_.size())]));
    }
  }

  struct Assignment {
    u32 var, value;
  };
  constexpr Assignment expression_for(u32 v) { return {v, expression(program_.vars[v])}; }
  constexpr void assign(Assignment a) { b_.var_store(a.var, a.value); }
  constexpr void assign_any(u32 u32_value) {
    const u32 v = vars_[below(vars_.size())];
    const Type t = program_.vars[v];
    b_.var_store(v, t == Type::u32 ? u32_value : b_.cast(t, u32_value));
  }

  constexpr bool uniform_statement() {
    const u32 x = below(100);
    if (x < 35) {
      const u32 v = uniform_expression();
      b_.var_store(uniform_[below(2)], v);
      return true;
    }
    if (!o_.barriers) return false;
    enter(x < 60                  ? pick({Stage::write, Stage::read})
          : stage_ == Stage::read ? Stage::write
                                  : Stage::read,
          true);
    return true;
  }
  constexpr void enter(Stage stage, bool always = false) {
    if (stage == stage_ && !always) return;
    if (chance(15)) {
      const u32 any = b_.barrier_any(condition(2));
      b_.var_store(uniform_[0], b_.cast(Type::u32, any));
    } else {
      b_.barrier();
    }
    stage_ = stage;
  }

  constexpr void store_own(u32 v) {
    const Type t = b_.type(v);
    next_line();
    if (t == Type::f32 || t == Type::f64) {
      const u32 at = own_index(2);
      b_.store(t == Type::f32 ? own_f32_ : own_f64_, at, settled(v, t));
      return;
    }
    if (!small_.empty() && chance(25)) {
      const u32 to = small_[below(small_.size())];
      b_.store(to, global_, b_.cast(program_.params[to].type, v));
      return;
    }
    if (size_of(t) == 8) {
      const u32 at = own_index(2);
      b_.store(own64_, at, t == Type::u64 ? v : b_.bitcast(Type::u64, v));
      return;
    }
    if (t == Type::i32) v = b_.bitcast(Type::u32, v);
    if (o_.vectors && chance(20)) {
      const u32 at = b_.binary(Op::mul, global_, number(4));
      const u32 other = b_.var_load(vars_[0]);
      b_.store(own_, at, chance(50) ? b_.compose(v, other) : b_.compose(v, local_, other, v));
      return;
    }
    b_.store(own_, own_index(4), v);
  }

  constexpr void atomic() {
    const bool wide = o_.wide && chance(30);
    const Rmw how = pick({Rmw::add, Rmw::min, Rmw::max, Rmw::bit_and, Rmw::bit_or, Rmw::bit_xor});
    const Order order = pick({Order::relaxed, Order::acq_rel});
    if (chance(70)) {  // on common elements, each of which belongs to one operation
      const Type t = wide ? Type::i64 : Type::u32;
      const u32 v = expression(t, 1);
      const u32 within = masked(expression(Type::u32, 2), 3);
      const u32 at = b_.binary(Op::add, within, number(u32(how) * 4));
      next_line();
      b_.atomic_rmw(how, wide ? common64_ : common_, at, v, order, Scope::device);
      return;
    }
    const u32 object = wide ? own64_ : own_;
    const Type t = wide ? Type::u64 : Type::u32;
    const u32 v = expression(t, 2);
    const u32 at = own_index(wide ? 2 : 4);
    next_line();
    u32 before = kNone;
    switch (below(4)) {
      case 0:
        before = b_.atomic_rmw(chance(50) ? how : Rmw::exchange, object, at, v, order, Scope::device);
        break;
      case 1: {
        const u32 seen = b_.atomic_load(object, at, Order::relaxed, Scope::device);
        const u32 expected = chance(60) ? seen : v;
        const u32 desired = leaf(t);
        before = b_.atomic_cas(object, at, expected, desired, order, Scope::device);
        break;
      }
      case 2: b_.atomic_store(object, at, v, Order::release, Scope::device); return;
      default: before = b_.atomic_load(object, at, Order::acquire, Scope::device); break;
    }
    assign_any(wide ? b_.cast(Type::u32, before) : before);
  }

  constexpr void shared() {
    if (stage_ == Stage::write) {
      const u32 v = expression(Type::u32);
      if (!o_.atomics || chance(60)) {
        const u32 at = b_.binary(Op::add, local_, number(lanes_ * below(2)));
        b_.store(tile_, at, v);
      } else {
        const u32 at = masked(expression(Type::u32, 2), 3);
        b_.atomic_rmw(Rmw::add, sums_, at, v, Order::relaxed, Scope::workgroup);
      }
      return;
    }
    const u32 anywhere = expression(Type::u32, 1);
    const u32 at = b_.binary(Op::rem, anywhere, number(lanes_ * 2));
    const u32 a = b_.load(tile_, at);
    const u32 c = b_.load(sums_, masked(expression(Type::u32, 2), 3));
    assign_any(b_.binary(Op::add, a, c));
  }

  constexpr void subgroup() {
    const Type t = o_.wide && chance(30) ? Type::u64 : Type::u32;
    u32 r = kNone;
    switch (below(5)) {
      case 0: {
        const u32 v = expression(t, 1);
        r = b_.reduce(pick({Rmw::add, Rmw::min, Rmw::max, Rmw::bit_and, Rmw::bit_or, Rmw::bit_xor}), v);
        break;
      }
      case 1: r = b_.cast(Type::u32, b_.ballot(condition(1))); break;
      case 2: {
        const u32 v = expression(t, 1);
        // Lanes past the subgroup are not one value everywhere; stay within the smallest.
        const u32 by = masked(expression(Type::u32, 2), 3);
        r = b_.shuffle(pick({Shuffle::lane, Shuffle::exclusive_or, Shuffle::up, Shuffle::down}), v, by);
        break;
      }
      case 3: {
        const u32 said = condition(1);
        r = b_.cast(Type::u32, b_.vote(pick({Vote::any, Vote::all}), said));
        break;
      }
      default: r = b_.cast(Type::u32, b_.elect()); break;
    }
    assign_any(b_.type(r) == Type::u64 ? b_.cast(Type::u32, r) : r);
  }

  // --- Control ---
  constexpr Loop inner(bool uniform, Loop loop) const {
    return !uniform && loop == Loop::uniform && strict_ ? Loop::none : loop;
  }
  constexpr bool inner_uniform(bool uniform) { return uniform && chance(o_.barriers ? 65 : 40); }

  constexpr void branch(bool uniform, Loop loop, u32 depth) {
    const bool inside = inner_uniform(uniform);
    const Stage stage = stage_;
    const u32 c = condition(0, inside);
    b_.if_(c);
    block(inside, inner(inside, loop), depth + 1);
    if (inside) restore(stage);
    if (chance(50)) {
      b_.else_();
      block(inside, inner(inside, loop), depth + 1);
      if (inside) restore(stage);
    }
    b_.end_if();
  }
  constexpr void restore(Stage stage) {
    if (o_.barriers) enter(stage);
  }

  constexpr u32 limit(bool uniform, u32 mask) {
    return masked(uniform ? uniform_expression(1) : expression(Type::u32, 1), mask);
  }

  constexpr void body(bool uniform, u32 depth, Stage stage) {
    const Stage around = loop_stage_;
    if (uniform) loop_stage_ = stage;
    block(uniform, uniform ? Loop::uniform : Loop::divergent, depth + 1);
    if (uniform) restore(stage);
    loop_stage_ = around;
  }

  // for_, at times with bounds next to where the counter wraps.
  constexpr void counted(bool uniform, u32 depth) {
    const bool inside = inner_uniform(uniform);
    const Type t =
        o_.wide ? pick({Type::u32, Type::i32, Type::u64, Type::i64}) : pick({Type::u32, Type::i32});
    const auto as = [&](u32 v) { return t == Type::u32 ? v : b_.cast(t, v); };
    u32 begin = as(limit(inside, 3));
    u32 end = as(limit(inside, 3));
    if (chance(20)) {
      const u64 top = truncate_to(t, is_signed(t) ? ~u64{0} >> (65 - size_of(t) * 8) : ~u64{0});
      begin = b_.constant(t, truncate_to(t, top - 1 - below(6)));
      end = b_.constant(t, top);
    }
    const u32 step = b_.constant(t, 1 + below(3));
    const u32 counter = b_.for_(begin, end, step);
    values_.push_back({counter, t});
    const std::size_t known = values_.size();
    body(inside, depth, stage_);
    values_.resize(known - 1);
    b_.end_for();
  }

  // loop, whose counter is in a Var and moves at the head or in the continuing part.
  constexpr void endless(bool uniform, u32 depth) {
    const bool inside = inner_uniform(uniform), at_end = chance(50);
    const u32 at = b_.var(Type::u32);
    b_.var_store(at, number(0));
    u32 fixed = kNone;
    if (chance(60)) {
      const u32 most = limit(inside, pick({1u, 3u}));
      fixed = b_.binary(Op::add, most, number(below(2)));
    }
    const std::size_t known = values_.size();
    b_.loop();
    const u32 bound = fixed != kNone ? fixed : limit(inside, pick({1u, 3u}));
    b_.if_(b_.compare(Op::ge, b_.var_load(at), bound));
    b_.break_();
    b_.end_if();
    const auto advance = [&] {
      const u32 now = b_.var_load(at);
      b_.var_store(at, b_.binary(Op::add, now, number(1)));
    };
    if (!at_end) advance();
    body(inside, depth, stage_);
    if (at_end || chance(30)) {
      values_.resize(known);
      b_.continuing();
      next_line();
      if (at_end) advance();
      if (chance(40)) assign(expression_for(vars_[below(vars_.size())]));
    }
    values_.resize(known);
    b_.end_loop();
  }

  constexpr void jump(bool uniform, Loop loop) {
    const bool by_uniform = loop == Loop::uniform && strict_;
    if (by_uniform && (!uniform || stage_ != loop_stage_)) return;
    const u32 c = condition(0, by_uniform);
    b_.if_(c);
    if (chance(40)) assign(expression_for(vars_[below(vars_.size())]));
    if (chance(20)) store_own(leaf(Type::u32));
    chance(60) ? b_.break_() : b_.continue_();
    b_.end_if();
  }

  u32 budget_;
  bool strict_;  // jumps and returns of uniform regions stay uniform
  Stage stage_ = Stage::write, loop_stage_ = Stage::write;
};

}  // namespace detail

constexpr Program random_program(u64 seed, const RandomOptions& options = {}) {
  return detail::RandomProgram(seed, options).make();
}

}  // namespace gpuio::kernel
