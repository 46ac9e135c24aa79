// The values of random_program.hpp: its options, its parameters, and typed expressions over them. Not for use
// alone.
#pragma once

#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/random.hpp>
#include <gpuio/kernel/semantics.hpp>

namespace gpuio::kernel {

struct RandomOptions {
  u32 statements = 24;  // roughly; loops multiply the work by up to 4 a level, 3 levels deep
  std::array<u32, 3> block{8, 1, 1};
  u32 groups = 2;
  bool barriers = true;
  bool subgroups = true;
  bool divergent_subgroups = true;  // also where only some lanes of a subgroup arrive
  bool atomics = true;
  bool wide = true;    // u64 i64 values; always u32 i32
  bool floats = true;  // f32,
  bool f64 = true;     // and f64
  bool fma = true;     // fused multiply-add
  bool divide = true;  // float division and sqrt
  bool subnormal = true;
  bool small = true;    // u8 i8 u16 i16 f16 bf16 in memory and casts
  bool pairs = false;   // arithmetic on two halves in a u32; came later: seeds mean the same without
  bool vectors = true;  // loads and stores of width 2 and 4
  bool on_demand = false;
  u32 on_demand_percent = 12;  // of expressions
  // Conditions around barriers ask on-demand elements too: right while no element fails, which verify.hpp
  // cannot know.
  bool uniform_on_demand = false;
  constexpr std::array<u32, 3> grid() const { return {groups, 1, 1}; }
};

namespace detail {

// Parameters: 0 numbers (in u32), 1 own (inout u32, 4 a lane), 2 common (inout u32, 28: 4 for each Rmw), 3
// count (scalar u32); then, as the options say, own64, common64, own_f32, in_f32, own_f64, small inputs,
// arrays.
class RandomExpressions {
 protected:
  constexpr RandomExpressions(u64 seed, const RandomOptions& options)
      : random_{seed * 0x9e3779b97f4a7c15ull + 1}, o_(options), b_(program_) {
    program_.name = "random";
    program_.block = o_.block;
    lanes_ = o_.block[0] * o_.block[1] * o_.block[2];
    // A kernel without barriers, and one without subgroup operations, are cases of their own.
    if (o_.barriers && o_.subgroups && chance(50)) (chance(50) ? o_.barriers : o_.subgroups) = false;
  }

  struct Value {
    u32 id;
    Type type;
  };

  constexpr bool chance(u32 percent) { return random_.chance(percent); }
  constexpr u32 below(u64 n) { return u32(random_.below(n)); }
  template <class T, std::size_t N>
  constexpr T pick(const T (&from)[N]) {
    return from[below(N)];
  }
  constexpr u32 number(u64 n) { return b_.constant(Type::u32, n); }
  constexpr void next_line() { b_.line = ++line_; }

  constexpr void declare() {
    const u64 all = u64{lanes_} * o_.groups;
    numbers_ = b_.param(ParamKind::in, Type::u32, 64);
    own_ = b_.param(ParamKind::inout, Type::u32, all * 4);
    common_ = b_.param(ParamKind::inout, Type::u32, 28);
    count_ = b_.param(ParamKind::scalar, Type::u32);
    types_ = {Type::u32, Type::u32, Type::u32, Type::i32};
    if (o_.wide) {
      own64_ = b_.param(ParamKind::inout, Type::u64, all * 2);
      common64_ = b_.param(ParamKind::inout, Type::i64, 28);
      types_.insert(types_.end(), {Type::u64, Type::i64});
    }
    if (o_.floats) {
      own_f32_ = b_.param(ParamKind::inout, Type::f32, all * 2);
      in_f32_ = b_.param(ParamKind::in, Type::f32, 64);
      types_.push_back(Type::f32);
      if (o_.f64) {
        own_f64_ = b_.param(ParamKind::inout, Type::f64, all * 2);
        types_.push_back(Type::f64);
      }
    }
    if (o_.small) {
      for (const Type t : {Type::u8, Type::i8, Type::u16, Type::i16, Type::f16, Type::bf16}) {
        if (!is_float(t) || o_.floats) small_.push_back(b_.param(ParamKind::inout, t, all));
      }
    }
    if (o_.on_demand) {
      arrays_.push_back(b_.param(ParamKind::on_demand, Type::u32, 64));
      arrays_.push_back(b_.param(ParamKind::on_demand, Type::u32, 64));
      if (o_.wide) arrays_.push_back(b_.param(ParamKind::on_demand, Type::u64, 64));
      if (o_.floats) arrays_.push_back(b_.param(ParamKind::on_demand, Type::f32, 64));
    }
    if (o_.barriers) {
      tile_ = b_.shared(Type::u32, lanes_ * 2);
      sums_ = b_.shared(Type::u32, 4);
    }
    const u32 varying = 2 + below(4);
    for (u32 v = 0; v < varying; ++v) vars_.push_back(b_.var(v == 0 ? Type::u32 : any_type()));
    for (u32 v = 0; v < 2; ++v) uniform_.push_back(b_.var(Type::u32));
  }
  constexpr Type any_type() { return types_[below(types_.size())]; }

  // --- Expressions. Operands are made in named steps: compilers differ in the order of arguments. ---
  constexpr u32 uniform_expression(u32 depth = 0) {
    const u32 x = below(100);
    if (depth > 2 || x < 40) return b_.var_load(uniform_[below(2)]);
    if (x < 52) return number(below(7));
    if (x < 60) return group_;
    if (x < 66) return b_.argument(count_);
    if (x < 74) return b_.load(numbers_, masked(uniform_expression(depth + 1), 63));
    if (x < 82 && o_.on_demand && o_.uniform_on_demand) {
      const u32 index = masked(uniform_expression(depth + 1), 63);
      next_line();
      return b_.ondemand_load(arrays_[0], index);
    }
    const Op op = pick({Op::add, Op::sub, Op::mul, Op::bit_xor, Op::bit_and, Op::max, Op::rem, Op::shr});
    const u32 a = uniform_expression(depth + 1);
    const u32 c = uniform_expression(depth + 1);
    return b_.binary(op, a, c);
  }
  constexpr u32 masked(u32 value, u32 mask) { return b_.binary(Op::bit_and, value, number(mask)); }

  constexpr u32 expression(Type t, u32 depth = 0) {
    if (o_.on_demand && depth < 4 && chance(o_.on_demand_percent)) return on_demand(t, depth);
    const u32 x = below(100);
    if (depth > 3 || x < 30) return leaf(t);
    if (x < 36) {
      if (const u32 known = pick_value(t); known != kNone) return known;
    }
    if (x < 46) return load(t, depth);
    if (x < 56) return converted(t, depth);
    if (x < 62) {
      const u32 c = condition(depth + 2);
      const u32 a = expression(t, depth + 2);
      const u32 d = expression(t, depth + 2);
      return b_.select(c, a, d);
    }
    if (!is_float(t)) return integer_operation(t, depth);
    const u32 v = float_operation(t, depth);
    return o_.subnormal ? v : settled(v, t);
  }

  constexpr u32 pick_value(Type t) {
    for (u32 tries = 0; tries < 3 && !values_.empty(); ++tries) {
      const Value v = values_[below(values_.size())];
      if (v.type == t) return v.id;
    }
    return kNone;
  }

  constexpr u32 constant(Type t) {
    if (is_float(t)) {
      const f32 tiny = o_.subnormal ? 0x1.8p-140f : 0x1p-100f;
      const f32 v = pick({0.0f, 1.0f, -1.5f, 3.25f, 1e10f, -0.1f, 1e30f, tiny});
      return b_.constant(t, eval_cast(t, Type::f32, to_bits(v)));
    }
    const u64 n = chance(80) ? below(7) : chance(50) ? random_.next() : ~u64{0} << below(64);
    return b_.constant(t, truncate_to(t, n));
  }

  constexpr u32 leaf(Type t) {
    const u32 x = below(100);
    if (x < 60) {
      const u32 v = vars_[below(vars_.size())];
      if (program_.vars[v] == t) return b_.var_load(v);
    }
    if (x < 75) return constant(t);
    u32 v = kNone;
    switch (below(5)) {
      case 0: v = local_; break;
      case 1: v = global_; break;
      case 2: v = b_.argument(count_); break;
      case 3: v = b_.var_load(uniform_[below(2)]); break;
      default: v = b_.var_load(vars_[0]); break;
    }
    return t == Type::u32 ? v : b_.cast(t, v);
  }

  // Any value of another type, cast.
  constexpr u32 converted(Type t, u32 depth) {
    const u32 v = any_converted(t, depth);
    return is_float(t) && !o_.subnormal ? settled(v, t) : v;
  }
  constexpr u32 any_converted(Type t, u32 depth) {
    const Type from = any_type();
    const u32 v = expression(from, depth + 1);
    if (o_.small && chance(40)) {
      const Type way = pick({Type::u8, Type::i8, Type::u16, Type::i16, Type::f16, Type::bf16, Type::boolean});
      if (o_.floats || !is_float(way)) return b_.cast(t, b_.cast(way, v));
    }
    if (from == t) return v;
    if (size_of(from) == size_of(t) && !is_float(from) && chance(30)) {
      const u32 bits = b_.bitcast(t, v);
      return is_float(t) ? settled(bits, t) : bits;  // a NaN's sign and payload stay out, and subnormals
    }
    return b_.cast(t, v);
  }

  constexpr u32 load(Type t, u32 depth) {
    const u32 slot = masked(expression(Type::u32, depth + 1), 63);
    next_line();
    if (t == Type::f32 && chance(70)) return b_.load(in_f32_, slot);
    if (!small_.empty() && chance(30)) return b_.cast(t, b_.load(small_[below(small_.size())], global_));
    u32 v = kNone;
    if (o_.vectors && chance(30)) {
      const u32 width = chance(50) ? 2 : 4;
      const u32 at = b_.binary(Op::bit_and, slot, number(64 - width));
      v = b_.extract(b_.load(numbers_, at, u8(width)), below(width));
    } else if (chance(30)) {
      v = b_.load(own_, own_index(4));
    } else if (t == Type::u64 && chance(50)) {
      return b_.load(own64_, own_index(2));
    } else {
      v = b_.load(numbers_, slot);
    }
    return t == Type::u32 ? v : b_.cast(t, v);
  }
  constexpr u32 own_index(u32 each) {
    const u32 first = b_.binary(Op::mul, global_, number(each));
    return b_.binary(Op::add, first, number(below(each)));
  }

  constexpr u32 on_demand(Type t, u32 depth) {
    const u32 array = arrays_[below(arrays_.size())];
    u32 index = masked(expression(Type::u32, depth + 1), 63);
    if (o_.wide && chance(20)) index = b_.cast(Type::u64, index);
    next_line();
    if (chance(5)) b_.ondemand_prefetch(array, index);
    u32 v = b_.ondemand_load(array, index);
    const Type from = program_.params[array].type;
    if (from == Type::u32 && chance(15)) v = b_.binary(Op::add, v, b_.ondemand_status(v));
    if (from == Type::u32 && chance(5)) v = b_.binary(Op::add, v, b_.lane_status());
    return from == t ? v : b_.cast(t, v);
  }

  constexpr u32 integer_operation(Type t, u32 depth) {
    const u32 x = below(100);
    const u32 a = expression(t, depth + 1);
    if (t == Type::u32 && o_.pairs && x >= 90) return pair(a, depth);
    if (x < 8) return b_.unary(pick({Op::neg, Op::abs, Op::bit_not}), a);
    if (x < 14) {
      const u32 n = b_.unary(pick({Op::popcount, Op::count_leading_zeros}), a);
      return t == Type::u32 ? n : b_.cast(t, n);
    }
    if (x < 24) {
      const u32 count = expression(Type::u32, depth + 1);
      return b_.binary(pick({Op::shl, Op::shr}), a, count);
    }
    const u32 c = expression(t, depth + 1);
    return b_.binary(pick({Op::add, Op::sub, Op::mul, Op::div, Op::rem, Op::min, Op::max, Op::bit_and,
                           Op::bit_or, Op::bit_xor, Op::add, Op::sub}),
                     a, c);
  }

  // Of words that are pairs of numbers, or of any. A NaN becomes 0, -0 becomes +0: devices may choose.
  constexpr u32 pair(u32 a, u32 depth) {
    const Type half = pick({Type::f16, Type::bf16});
    const Op op = pick({Op::pair_add, Op::pair_sub, Op::pair_mul, Op::pair_fma, Op::pair_min, Op::pair_max});
    const u32 c = expression(Type::u32, depth + 1);
    const u32 d = op == Op::pair_fma ? expression(Type::u32, depth + 1) : kNone;
    const u32 v = b_.pair(op, half, a, c, d);
    const u32 sum = b_.pair(Op::pair_add, half, v, number(0));
    u32 kept = number(0);
    for (const u32 mask : {0xffffu, 0xffff0000u}) {
      const u32 size = masked(sum, mask & 0x7fff7fff), one = masked(sum, mask);
      const u32 infinity = number((half == Type::f16 ? 0x7c007c00 : 0x7f807f80) & mask);
      const u32 is_number = b_.compare(Op::le, size, infinity);
      kept = b_.binary(Op::bit_or, kept, b_.select(is_number, one, number(0)));
    }
    return kept;
  }

  constexpr u32 float_operation(Type t, u32 depth) {
    const u32 x = below(100);
    const u32 a = expression(t, depth + 1);
    if (x < 20) return b_.unary(pick({Op::neg, Op::abs, Op::floor}), a);
    if (x < 26 && o_.divide) return b_.unary(Op::sqrt, a);
    const u32 c = expression(t, depth + 1);
    if (x < 36 && o_.fma) {
      const u32 d = expression(t, depth + 1);
      return b_.fma(a, c, d);
    }
    if (x < 46 && o_.divide) return b_.binary(Op::div, a, c);
    if (x < 62) return settled(b_.binary(pick({Op::min, Op::max}), a, c), t);
    return b_.binary(pick({Op::add, Op::sub, Op::mul}), a, c);
  }

  // The same number without what devices may choose: a NaN becomes 0, -0 becomes +0; without subnormals,
  // where those are not wanted.
  constexpr u32 settled(u32 v, Type t) {
    const u32 zero = b_.constant(t, 0);
    u32 keep = b_.compare(Op::eq, v, v);
    if (!o_.subnormal) {
      const f32 least = t == Type::f32 ? 0x1p-100f : 0x1p-120f;
      const u32 bound = b_.constant(t, eval_cast(t, Type::f32, to_bits(least)));
      keep = b_.compare(Op::ge, b_.unary(Op::abs, v), bound);
    }
    return b_.select(keep, b_.binary(Op::add, v, zero), zero);
  }

  constexpr u32 small_number(u32 value) { return masked(value, pick({1u, 3u, 7u})); }
  constexpr u32 condition(u32 depth = 0, bool uniform = false) {
    if (uniform) {
      const Op how = pick({Op::lt, Op::gt, Op::eq, Op::ne, Op::le});
      const u32 a = small_number(uniform_expression(depth + 1));
      return b_.compare(how, a, number(below(5)));
    }
    if (depth < 2 && chance(12)) {
      const u32 a = condition(depth + 1);
      if (chance(30)) return b_.unary(Op::bit_not, a);
      const u32 c = condition(depth + 1);
      return b_.binary(pick({Op::bit_and, Op::bit_or, Op::bit_xor}), a, c);
    }
    const Op op = pick({Op::eq, Op::ne, Op::lt, Op::le, Op::gt, Op::ge});
    if (chance(60)) {
      const u32 a = small_number(expression(Type::u32, depth + 1));
      return b_.compare(op, a, number(below(5)));
    }
    const Type t = any_type();
    const u32 a = expression(t, depth + 1);
    if (chance(10)) return b_.cast(Type::boolean, a);
    const u32 c = expression(t, depth + 1);
    return b_.compare(op, a, c);
  }

  Random random_;
  RandomOptions o_;
  Program program_{};
  Builder b_;
  u32 lanes_ = 0, line_ = 0;
  u32 numbers_ = 0, own_ = 0, common_ = 0, count_ = 0, own64_ = 0, common64_ = 0, own_f32_ = 0, in_f32_ = 0,
      own_f64_ = 0;
  u32 tile_ = 0, sums_ = 0;
  u32 local_ = 0, group_ = 0, global_ = 0;
  std::vector<Type> types_{};
  std::vector<u32> small_{}, arrays_{}, vars_{}, uniform_{};
  std::vector<Value> values_{};  // in scope
};

}  // namespace detail
}  // namespace gpuio::kernel
