// First part of the verifier: brackets nest, operands name what they should, types are right, values are used
// where they are defined. What the later parts and every emitter may then take for granted.
// One pass; constexpr; pure.
#pragma once

#include <gpuio/kernel/error.hpp>
#include <gpuio/kernel/list.hpp>
#include <gpuio/kernel/specialize.hpp>

namespace gpuio::kernel::detail {

// What arithmetic and comparisons take: operands of the result's type, or of `from`, which is one of `types`.
struct ArithmeticRule {
  u16 types = 0;         // bit: Type; none: another operation
  bool of_from = false;  // then the result's type is this:
  Type result = Type::none;
};
inline constexpr u16 kIntegerTypes = 1u << u8(Type::u32) | 1u << u8(Type::i32) | 1u << u8(Type::u64) |
                                     1u << u8(Type::i64),
                     kFloatTypes = 1u << u8(Type::f32) | 1u << u8(Type::f64),
                     kBoolean = 1u << u8(Type::boolean);
struct ArithmeticRules {
  ArithmeticRule of[256]{};
};
consteval ArithmeticRules arithmetic_rules() {
  ArithmeticRules r;
  const auto take = [&](ArithmeticRule rule, std::initializer_list<Op> ops) {
    for (const Op op : ops) r.of[u8(op)] = rule;
  };
  constexpr u16 all = kIntegerTypes | kFloatTypes;
  take({all}, {Op::add, Op::sub, Op::mul, Op::div, Op::min, Op::max, Op::neg, Op::abs});
  take({kIntegerTypes}, {Op::rem});
  take({kFloatTypes}, {Op::fma, Op::sqrt, Op::floor});
  take({1u << u8(Type::f32)}, {Op::exp2, Op::log2, Op::sin, Op::cos});
  take({kIntegerTypes | kBoolean}, {Op::bit_and, Op::bit_or, Op::bit_xor, Op::bit_not});
  take({kIntegerTypes, true, Type::u32}, {Op::popcount, Op::count_leading_zeros});
  take({all | kBoolean, true, Type::boolean}, {Op::eq, Op::ne});
  take({all, true, Type::boolean}, {Op::lt, Op::le, Op::gt, Op::ge});
  return r;
}
inline constexpr ArithmeticRules kArithmetic = arithmetic_rules();

class TypeCheck {
 public:
  constexpr explicit TypeCheck(const View& v)
      : v_(v),
        insts_(v.insts.data()),
        size_(u32(v.insts.size())),
        region_(size_, Numbers<u32>::kUnset),
        mbarrier_(v.shared.size()),
        sums_(v.vars.size()) {}

  // What the kernel has that the later parts look at; known after run().
  bool matrices = false, warpgroups = false;
  bool waits = false;   // operations that go on beside the lane
  bool memory = false;  // shared arrays, declared lengths, vectors

  constexpr VerifyResult run() {
    const u64 lanes = u64(v_.block[0]) * v_.block[1] * v_.block[2];
    if (lanes == 0 || lanes > 1024) return {Err::block_size, 0, u32(lanes)};
    open_.push(true);  // region 0: the kernel
    frames_.push({});
    constants();
    tensors();
    for (at_ = 0; at_ < size_ && result_.error == Err::ok; ++at_) {
      const Inst& i = insts_[at_];
      if (is_control(i.op)) structure(i);
      else if (ended_) fail(Err::unreachable);
      else operands(i);
      if (result_.error == Err::ok) types(i);
      region_.data[at_] = kOperations.no_result[u8(i.op)] ? kNone : top_region_;
      if (i.op >= Op::matrix_load) unit(i.op);
      if (i.width > 1) memory = true;
    }
    memory = memory || !v_.shared.empty();
    for (const Param& p : v_.params) memory = memory || p.count != 0;
    if (result_.ok() && frames_.count > 1) fail(Err::brackets_do_not_nest, frames_.back().line);
    return result_;
  }

 private:
  struct Frame {
    Op op = Op::return_;  // if_, for_ or loop
    u32 line = 0;
    u32 region = 0;
    bool has_else = false, has_continuing = false;
    u32 first_continue = kNone;  // in a loop: what is defined later may be missing in its continuing
  };

  constexpr void unit(Op op) {
    matrices = matrices || is_matrix(op);
    warpgroups = warpgroups || is_warpgroup(op);
    waits = waits || is_async(op) || is_mbarrier(op) || is_bulk(op) || is_warpgroup(op);
    memory = memory || op == Op::async_copy || moves_bulk(op);
  }
  constexpr void fail(Err e, u32 other = 0, u32 detail = 0) {
    if (!result_.ok()) return;
    result_ = {e, size_ ? insts_[at_ < size_ ? at_ : size_ - 1].line : 0, other, detail};
  }
  constexpr u32 new_region() {
    open_.push(true);
    return open_.count - 1;
  }

  constexpr void constants() {
    for (u32 n = 0; n < v_.constants.size(); ++n) {
      const Constant& c = v_.constants[n];
      bool good = !c.name.empty() && within(c, c.value);
      for (u32 other = 0; other < n; ++other) good = good && v_.constants[other].name != c.name;
      if (good) continue;
      u32 line = 0;
      for (const Inst& i : v_.insts)
        if (i.op == Op::constant && i.a == n) line = i.line;
      result_ = {Err::constant_declaration, line, 0, n};
      return;
    }
  }

  constexpr void tensors() {
    const auto number = [&](u32 p) {
      return p < v_.params.size() && v_.params[p].kind == ParamKind::scalar &&
             (v_.params[p].type == Type::u32 || v_.params[p].type == Type::u64);
    };
    for (u32 n = 0; n < v_.tensors.size() && result_.ok(); ++n) {
      const TensorMap& t = v_.tensors[n];
      const Param p = t.buffer < v_.params.size() ? v_.params[t.buffer] : Param{};
      const bool buffer = (p.kind == ParamKind::in || p.kind == ParamKind::inout) && p.type != Type::boolean;
      const bool box = t.box_rows >= 1 && t.box_rows <= 256 && t.box_width <= 3 && n < 1u << 16;
      if (buffer && box && number(t.rows) && number(t.columns) && number(t.step)) continue;
      u32 line = 0;
      for (const Inst& i : v_.insts)
        if (line == 0 && i.op == Op::tensor_load && TensorLoad::of(i).map == n) line = i.line;
      result_ = {Err::tensor_map, line, 0, n};
    }
  }

  constexpr void structure(const Inst& i) {
    Frame& top = frames_.back();
    const bool bracket = closes_region(i.op) || i.op == Op::else_ || i.op == Op::continuing;
    if (ended_ && !bracket) return fail(Err::unreachable);
    switch (i.op) {
      case Op::if_:
      case Op::for_:
      case Op::loop: {
        // The condition and the bounds belong to the region around.
        operands(i);
        Frame f;
        f.op = i.op;
        f.line = i.line;
        f.region = new_region();
        frames_.push(f);
        break;
      }
      case Op::else_:
        if (top.op != Op::if_ || top.has_else) return fail(Err::brackets_do_not_nest, top.line);
        open_.data[top.region] = false;
        top.region = new_region();
        top.has_else = true;
        break;
      case Op::end_if: close(Op::if_); break;
      case Op::end_for: close(Op::for_); break;
      case Op::end_loop: close(Op::loop); break;
      case Op::continuing:
        if (top.op != Op::loop || top.has_continuing) return fail(Err::continuing_misplaced, top.line);
        top.has_continuing = true;
        ++continuings_;
        break;
      default: jump(i.op); break;
    }
    ended_ = i.op == Op::break_ || i.op == Op::continue_ || i.op == Op::return_;
    top_region_ = frames_.back().region;
  }
  constexpr void close(Op opened) {
    const Frame& top = frames_.back();
    if (top.op != opened) return fail(Err::brackets_do_not_nest, top.line);
    open_.data[top.region] = false;
    continuings_ -= top.has_continuing;
    frames_.pop();
  }
  constexpr void jump(Op op) {
    u32 target = 0;
    for (u32 f = frames_.count; f-- > 1;) {
      if (frames_.data[f].has_continuing) return fail(Err::jump_in_continuing, frames_.data[f].line);
      if (frames_.data[f].op != Op::if_ && target == 0) target = f;
    }
    if (op == Op::return_) return;
    if (target == 0) return fail(Err::jump_outside_loop);
    if (op == Op::continue_ && frames_.data[target].first_continue == kNone)
      frames_.data[target].first_continue = at_;
  }

  // Values: defined before, in a region that is still open.
  constexpr void operands(const Inst& i) {
    if (i.op == Op::inline_ptx && i.mode > 4) return fail(Err::wrong_mode);
    const u32 mask = value_operands(i);
    if (mask & 1) operand(i.a, 0);
    if (mask & 2) operand(i.b, 1);
    if (mask & 4) operand(i.c, 2);
    if (mask & 8) operand(i.d, 3);
  }
  constexpr void operand(u32 id, u32 n) {
    if (id < at_ && !continuings_) {
      const u32 region = region_.data[id];
      if (region != kNone && open_.data[region]) return;
    }
    if (id >= size_ || !has_result(insts_[id].op)) return fail(Err::no_such_value, 0, n);
    const u32 line = insts_[id].line;
    if (id >= at_ || !open_.data[region_.data[id]]) return fail(Err::use_out_of_scope, line, n);
    for (u32 f = 0; f < frames_.count; ++f) {
      const Frame& frame = frames_.data[f];
      if (frame.has_continuing && frame.region == region_.data[id] && id > frame.first_continue &&
          id < continuing_of(frame))
        return fail(Err::use_out_of_scope, line, n);
    }
  }
  // What continuing itself defines may be used in it: nothing in it is skipped.
  constexpr u32 continuing_of(const Frame& f) const {
    for (u32 i = at_; i-- > 0;)
      if (insts_[i].op == Op::continuing && i > f.first_continue) return i;
    return at_;
  }

  constexpr Type type(u32 id) const { return insts_[id].type; }
  constexpr bool is(u32 id, Type t) const { return insts_[id].type == t && insts_[id].width == 1; }
  // Every named operand is a scalar of that type.
  constexpr bool all(const Inst& i, Type t) const {
    const u32 mask = value_operands(i);
    return (!(mask & 1) || is(i.a, t)) && (!(mask & 2) || is(i.b, t)) && (!(mask & 4) || is(i.c, t)) &&
           (!(mask & 8) || is(i.d, t));
  }
  constexpr bool integer(Type t) const { return is_arithmetic(t) && is_integer(t); }
  constexpr bool real(Type t) const { return is_arithmetic(t) && is_float(t); }
  constexpr void want(bool good, Err e = Err::wrong_type) {
    if (!good) fail(e);
  }

  constexpr void types(const Inst& i) {
    if (i.width != 1 && i.op != Op::compose && i.op != Op::load && i.op != Op::store && !is_matrix(i.op))
      return fail(Err::wrong_width);
    const ArithmeticRule& rule = kArithmetic.of[u8(i.op)];
    if (rule.types) {
      const Type t = rule.of_from ? i.from : i.type;
      return want(t <= Type::f64 && rule.types >> u8(t) & 1 && all(i, t) &&
                  (!rule.of_from || i.type == rule.result));
    }
    if (i.op == Op::var_load || i.op == Op::var_store) return var(i);
    if (i.op > Op::compose) return effects(i);
    switch (i.op) {
      case Op::constant:
        if (i.a != kNone && (i.a >= v_.constants.size() || v_.constants[i.a].type != i.type ||
                             v_.constants[i.a].value != i.imm))
          return fail(Err::no_such_object);
        return want(i.type != Type::none && (size_of(i.type) == 8 || i.imm >> (8 * size_of(i.type)) == 0) &&
                    (i.type != Type::boolean || i.imm <= 1));
      case Op::argument:
        if (i.a >= v_.params.size() || v_.params[i.a].kind != ParamKind::scalar)
          return fail(Err::no_such_object);
        return want(i.type == v_.params[i.a].type);
      case Op::builtin:
        want(i.mode <= u8(Builtin::local_index), Err::wrong_mode);
        return want(i.type == Type::u32);
      case Op::length:
        if (i.a & kShared ? (i.a & ~kShared) >= v_.shared.size()
                          : i.a >= v_.params.size() || v_.params[i.a].kind == ParamKind::scalar)
          return fail(Err::no_such_object);
        return want(i.type == Type::u64);
      case Op::shl:
      case Op::shr: return want(integer(i.type) && is(i.a, i.type) && is(i.b, Type::u32));
      case Op::select:
        return want(is(i.a, Type::boolean) && is(i.b, i.type) && is(i.c, i.type) && i.type != Type::none);
      case Op::cast: return want(i.type != Type::none && is(i.a, i.from));
      case Op::bitcast:
        return want(is(i.a, i.from) && size_of(i.type) == size_of(i.from) && i.type != Type::boolean &&
                    i.from != Type::boolean && i.type != Type::none);
      case Op::extract:
        want(insts_[i.a].width > 1 && i.imm < insts_[i.a].width, Err::wrong_width);
        return want(type(i.a) == i.type);
      case Op::compose: want(vector(i) && i.width > 1, Err::wrong_width); return want(all(i, i.type));
      default: break;
    }
  }
  constexpr void var(const Inst& i) {
    if (i.a >= v_.vars.size() || sums_.data[i.a] == kSum) return fail(Err::no_such_var);
    sums_.data[i.a] = kPlain;
    want(i.type == v_.vars[i.a] && (i.op == Op::var_load || is(i.b, i.type)));
  }
  constexpr void inline_ptx(const Inst& i) {
    const u32 text = u32(i.imm);
    want(i.mode <= 4, Err::wrong_mode);
    want(text < v_.texts.size(), Err::inline_ptx_text);
    const u32 ids[] = {i.a, i.b, i.c, i.d};
    want(is_arithmetic(i.type));
    for (u32 n = 0; n < i.mode && result_.ok(); ++n)
      want(is_arithmetic(type(ids[n])) && insts_[ids[n]].width == 1);
    if (!result_.ok()) return;
    const std::string_view s = v_.texts[text];
    for (std::size_t at = 0; at < s.size(); ++at) {
      if (s[at] != '%') continue;
      const char next = at + 1 < s.size() ? s[++at] : ' ';
      want(next == '%' || (next >= '0' && next <= '0' + i.mode), Err::inline_ptx_text);
    }
  }
  // What a shared array, or a Var, has been so far, by bit.
  enum : u8 { kPlain = 1, kMbarrier = 2, kByToken = 4, kByParity = 8, kSum = 16, kStaged = 32 };
  constexpr void use_as_plain(u32 object) {
    u8& was = mbarrier_.data[object & ~kShared];
    want(was <= kPlain, Err::mbarrier_use);
    was = kPlain;
  }
  constexpr void mbarrier(const Inst& i) {
    const bool init = i.op == Op::mbarrier_init;
    if (!(i.a & kShared) || (i.a & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object);
    want(v_.shared[i.a & ~kShared] == SharedArray{Type::u64, 1}, Err::no_such_object);
    u8& was = mbarrier_.data[i.a & ~kShared];
    if (init) {
      want(was == 0 && frames_.count == 1, Err::mbarrier_use);
      want(i.imm > 0 && i.imm <= kArrivalsMax, Err::wrong_mode);
      if (i.c != kNone) {
        counts_on(i.c);
        if (result_.ok()) want(!(mbarrier_.data[i.c & ~kShared] & kStaged), Err::mbarrier_use);
        if (result_.ok()) mbarrier_.data[i.c & ~kShared] |= kStaged;
        was |= kStaged;
      }
      was |= kMbarrier;
    } else {
      want((was & kMbarrier) != 0, Err::mbarrier_use);
    }
    if (i.op == Op::mbarrier_arrive) want(i.type == Type::u64);
    if (i.op != Op::mbarrier_wait || !result_.ok()) return;
    const bool token = PhaseOf(i.mode) == PhaseOf::token;
    want(i.mode <= u8(PhaseOf::parity), Err::wrong_mode);
    want(is(i.c, token ? Type::u64 : Type::u32));
    was |= token ? kByToken : kByParity;
    want(!(was & kByToken && was & kByParity), Err::mbarrier_use);
  }
  constexpr void bulk_copy(const Inst& i) {
    const bool load = i.op == Op::bulk_load;
    const bool buffer = i.c < v_.params.size() && v_.params[i.c].kind != ParamKind::scalar;
    if (!(i.a & kShared) || (i.a & ~kShared) >= v_.shared.size() || !buffer) return fail(Err::no_such_object);
    const Param& p = v_.params[i.c];
    if (p.kind == ParamKind::on_demand) return fail(Err::needs_on_demand);
    if (load && p.kind == ParamKind::out) return fail(Err::load_of_output);
    if (!load && p.kind == ParamKind::in) return fail(Err::store_to_input);
    use_as_plain(i.a);
    want(i.type == v_.shared[i.a & ~kShared].type && i.type == p.type && i.type != Type::boolean);
    want((is(i.b, Type::u32) || is(i.b, Type::u64)) && (is(i.d, Type::u32) || is(i.d, Type::u64)));
    const u32 bytes = bulk_bytes(i), by = bulk_mbarrier(i);
    if (bytes == 0 || bytes % 16 != 0 || bytes > kBulkBytesMax) return fail(Err::bulk_size, bytes);
    if (!load) return want(by == 0, Err::no_such_object);
    counts_on(by);
  }
  constexpr void tensor_load(const Inst& i) {
    const TensorLoad load = TensorLoad::of(i);
    if (load.map >= v_.tensors.size() || !(i.a & kShared) || (i.a & ~kShared) >= v_.shared.size())
      return fail(Err::no_such_object);
    const TensorMap& map = v_.tensors[load.map];
    use_as_plain(i.a);
    want(i.type == v_.shared[i.a & ~kShared].type && i.type == v_.params[map.buffer].type);
    want((is(i.b, Type::u32) || is(i.b, Type::u64)) && is(i.c, Type::u32) && is(i.d, Type::u32));
    want(i.mode == map.box_width && load.bytes == map.box_rows * (16u << map.box_width), Err::wrong_mode);
    counts_on(bulk_mbarrier(i));
  }
  constexpr void counts_on(u32 by) {
    if (!(by & kShared) || (by & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object);
    want((mbarrier_.data[by & ~kShared] & kMbarrier) != 0, Err::mbarrier_use);
  }
  constexpr void async_copy(const Inst& i) {
    const bool from_buffer = i.c < v_.params.size() && v_.params[i.c].kind != ParamKind::scalar;
    if (!(i.a & kShared) || (i.a & ~kShared) >= v_.shared.size() || !from_buffer)
      return fail(Err::no_such_object);
    if (v_.params[i.c].kind == ParamKind::on_demand) return fail(Err::needs_on_demand);
    if (v_.params[i.c].kind == ParamKind::out) return fail(Err::load_of_output);
    use_as_plain(i.a);
    want(i.type == v_.shared[i.a & ~kShared].type && i.type == v_.params[i.c].type &&
         i.type != Type::boolean);
    want((is(i.b, Type::u32) || is(i.b, Type::u64)) && (is(i.d, Type::u32) || is(i.d, Type::u64)));
    want((i.imm == 4 || i.imm == 8 || i.imm == 16) && i.imm >= size_of(i.type), Err::wrong_width);
  }
  constexpr bool fragment(u32 id, Type t, u32 width) const {
    return insts_[id].type == t && insts_[id].width == width;
  }
  constexpr void matrix(const Inst& i) {
    if (i.op == Op::matrix_multiply) {
      want(i.mode <= u8(Matrix::of_e5m2), Err::wrong_mode);
      want(i.width == 4 && fragment(i.a, Type::u32, 4) && fragment(i.b, Type::u32, 2), Err::wrong_width);
      const Type sum = Matrix(i.mode) == Matrix::of_i8 ? Type::i32 : Type::f32;
      return want(i.type == sum && fragment(i.c, sum, 4));
    }
    want(i.mode <= u8(MatrixPart::b_columns), Err::wrong_mode);
    if (!(i.a & kShared) || (i.a & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object);
    use_as_plain(i.a);
    const bool element = i.from == Type::f16 || i.from == Type::bf16 || i.from == Type::f32 ||
                         i.from == Type::i8 || i.from == Type::u8;
    want(element && i.from == v_.shared[i.a & ~kShared].type && i.type == Type::u32);
    want(i.width == (MatrixPart(i.mode) == MatrixPart::a ? 4 : 2), Err::wrong_width);
    want(is(i.b, Type::u32) || is(i.b, Type::u64));
    if (!result_.ok()) return;
    // Rows of 16 bytes that do not overlap, and a matrix whose size 32 bits hold.
    want(i.imm >= matrix_extent(i).columns && i.imm <= 1u << 20 && i.imm * size_of(i.from) % 16 == 0,
         Err::matrix_stride);
  }
  // Sums are Vars of one type that nothing else names.
  constexpr void warpgroup(const Inst& i) {
    if (i.op == Op::warpgroup_commit) return;
    if (i.op == Op::warpgroup_wait) return want(i.imm < 8, Err::wrong_mode);
    if (i.op == Op::warpgroup_multiply) multiply(i);
    const SumVars sums = sums_of(i);
    want(i.op != Op::warpgroup_clear || (i.imm > 0 && i.imm <= 128), Err::wrong_mode);
    want(sums.count <= 128 && u64{sums.first} + sums.count <= v_.vars.size(), Err::no_such_var);
    for (u32 n = 0; n < sums.count && result_.ok(); ++n) {
      u8& was = sums_.data[sums.first + n];
      const Type t = v_.vars[sums.first + n];
      want(was != kPlain, Err::no_such_var);
      want((t == Type::f32 || t == Type::i32) && (i.op == Op::warpgroup_clear || t == i.type));
      was = kSum;
    }
  }
  constexpr void multiply(const Inst& i) {
    constexpr Type kOf[] = {Type::f16, Type::bf16, Type::f32, Type::i8, Type::u8, Type::u8};
    if (i.mode > u8(Matrix::of_e5m2)) return fail(Err::wrong_mode);
    const bool integers = Matrix(i.mode) == Matrix::of_i8;
    want(i.from == kOf[i.mode] && i.type == (integers ? Type::i32 : Type::f32));
    for (const u32 array : {i.a, i.c}) {
      if (!(array & kShared) || (array & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object);
      use_as_plain(array);
      want(v_.shared[array & ~kShared].type == i.from);
    }
    want((is(i.b, Type::u32) || is(i.b, Type::u64)) && (is(i.d, Type::u32) || is(i.d, Type::u64)));
    const WarpgroupShape shape = WarpgroupShape::of(i);
    const u32 n = shape.columns;
    const bool narrow = shape.step == 0 && shape.panel_a >= kWarpgroupRows && shape.panel_b >= n &&
                        shape.panel_a <= kPanelsMax && shape.panel_b <= kPanelsMax;
    const bool wide = shape.panel_a == 0 && shape.panel_b == 0 && 2 * (shape.step + 1) <= 1u << shape.width;
    if (n < 8 || n > 256 || n % (integers && n > 24 ? 16 : 8) != 0 || shape.packed() != i.imm ||
        !(shape.width ? wide : narrow))
      fail(Err::warpgroup_shape, n);
  }
  constexpr bool vector(const Inst& i) const {
    return i.width == 1 ||
           ((i.width == 2 || i.width == 4) && size_of(i.type) * i.width <= 16 && i.type != Type::boolean);
  }

  constexpr void effects(const Inst& i) {
    switch (i.op) {
      case Op::load:
      case Op::store: {
        const bool store = i.op == Op::store;
        if (!object(i, !store, store)) return;
        want(vector(i), Err::wrong_width);
        if (store) {
          want(insts_[i.c].width == i.width, Err::wrong_width);
          want(type(i.c) == i.type);
        }
        return;
      }
      case Op::atomic_load:
      case Op::atomic_store:
      case Op::atomic_rmw:
      case Op::atomic_cas: {
        if (!object(i, i.op != Op::atomic_store, i.op != Op::atomic_load)) return;
        want(integer(i.type) && (i.op == Op::atomic_load || is(i.c, i.type)) &&
             (i.op != Op::atomic_cas || is(i.d, i.type)));
        const bool releases = i.order == Order::release || i.order == Order::acq_rel;
        const bool acquires = i.order == Order::acquire || i.order == Order::acq_rel;
        want(!(i.op == Op::atomic_load && releases) && !(i.op == Op::atomic_store && acquires),
             Err::wrong_mode);
        return want(i.op != Op::atomic_rmw || i.mode <= u8(Rmw::exchange), Err::wrong_mode);
      }
      case Op::barrier_any:
      case Op::subgroup_vote:
        want(i.op == Op::barrier_any || i.mode <= u8(Vote::all), Err::wrong_mode);
        return want(is(i.a, Type::boolean) && i.type == Type::boolean);
      case Op::subgroup_shuffle:
        want(i.mode <= u8(Shuffle::down), Err::wrong_mode);
        return want(is_arithmetic(i.type) && is(i.a, i.type) && is(i.b, Type::u32));
      case Op::subgroup_ballot: return want(is(i.a, Type::boolean) && i.type == Type::u64);
      case Op::subgroup_reduce:
        want(i.mode < u8(Rmw::exchange), Err::wrong_mode);
        return want(is(i.a, i.type) && (i.mode <= u8(Rmw::max) ? is_arithmetic(i.type) : integer(i.type)));
      case Op::subgroup_elect: return want(i.type == Type::boolean);
      case Op::ondemand_load:
      case Op::ondemand_prefetch:
        if (i.a >= v_.params.size()) return fail(Err::no_such_object);
        if (v_.params[i.a].kind != ParamKind::on_demand) return fail(Err::needs_on_demand);
        want(i.type == v_.params[i.a].type);
        return want(is(i.b, Type::u32) || is(i.b, Type::u64));
      case Op::ondemand_status:
        want(insts_[i.a].op == Op::ondemand_load, Err::needs_on_demand);
        return want(i.type == Type::u32);
      case Op::lane_status: return want(i.type == Type::u32);
      case Op::async_copy: return async_copy(i);
      case Op::inline_ptx: return inline_ptx(i);
      case Op::async_wait:
      case Op::bulk_wait: return want(i.imm < 64, Err::wrong_mode);
      case Op::warpgroup_clear:
      case Op::warpgroup_read:
      case Op::warpgroup_multiply:
      case Op::warpgroup_commit:
      case Op::warpgroup_wait: return warpgroup(i);
      case Op::mbarrier_init:
      case Op::mbarrier_arrive:
      case Op::mbarrier_wait: return mbarrier(i);
      case Op::bulk_load:
      case Op::bulk_store: return bulk_copy(i);
      case Op::tensor_load: return tensor_load(i);
      case Op::matrix_load:
      case Op::matrix_multiply: return matrix(i);
      case Op::pair_add:
      case Op::pair_sub:
      case Op::pair_mul:
      case Op::pair_min:
      case Op::pair_max:
      case Op::pair_fma:
        return want(i.type == Type::u32 && (i.from == Type::f16 || i.from == Type::bf16) &&
                    all(i, Type::u32));
      case Op::if_: return want(is(i.a, Type::boolean));
      case Op::for_: {
        want(integer(i.type) && all(i, i.type));
        if (!result_.ok()) return;
        const Inst& c = insts_[i.c];
        const u64 sign = u64{1} << (8 * size_of(i.type) - 1);
        return want(is_literal(c) && c.imm != 0 && !(is_signed(i.type) && c.imm & sign),
                    Err::step_not_positive);
      }
      default: return;
    }
  }
  // a names a buffer or shared array that allows this, b is an index.
  constexpr bool object(const Inst& i, bool reads, bool writes) {
    Type element{};
    if (i.a & kShared) {
      if ((i.a & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object), false;
      element = v_.shared[i.a & ~kShared].type;
      use_as_plain(i.a);
    } else {
      if (i.a >= v_.params.size() || v_.params[i.a].kind == ParamKind::scalar)
        return fail(Err::no_such_object), false;
      const Param& p = v_.params[i.a];
      if (p.kind == ParamKind::on_demand) return fail(Err::needs_on_demand), false;
      if (p.kind == ParamKind::in && writes) return fail(Err::store_to_input), false;
      if (p.kind == ParamKind::out && reads) return fail(Err::load_of_output), false;
      element = p.type;
    }
    want(i.type == element);
    want(is(i.b, Type::u32) || is(i.b, Type::u64));
    return result_.ok();
  }

  const View& v_;
  const Inst* insts_;
  u32 size_;
  Numbers<u32> region_;   // of each value
  Numbers<u8> mbarrier_;  // of each shared array
  Numbers<u8> sums_;      // of each var
  List<u8> open_;         // of each region
  List<Frame> frames_;
  bool ended_ = false;   // by a jump: nothing but a bracket may follow
  u32 top_region_ = 0;   // of the newest frame
  u32 continuings_ = 0;  // frames that are in theirs
  u32 at_ = 0;
  VerifyResult result_;
};

}  // namespace gpuio::kernel::detail
