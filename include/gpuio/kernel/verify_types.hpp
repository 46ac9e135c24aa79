// First part of the verifier: brackets nest, operands name what they should, types are right, values are used
// where they are defined. What the later parts and every emitter may then take for granted.
// One pass; constexpr; pure.
#pragma once

#include <gpuio/kernel/error.hpp>
#include <gpuio/kernel/specialize.hpp>

namespace gpuio::kernel::detail {

class TypeCheck {
 public:
  constexpr explicit TypeCheck(const View& v)
      : v_(v), region_(v.insts.size(), kNone), mbarrier_(v.shared.size(), 0), sums_(v.vars.size(), 0) {}

  constexpr VerifyResult run() {
    const u64 lanes = u64(v_.block[0]) * v_.block[1] * v_.block[2];
    if (lanes == 0 || lanes > 1024) return {Err::block_size, 0, u32(lanes)};
    open_.push_back(true);  // region 0: the kernel
    frames_.push_back({});
    constants();
    for (at_ = 0; at_ < v_.insts.size() && result_.ok(); ++at_) {
      const Inst& i = v_.insts[at_];
      structure(i);
      if (result_.ok() && !opens_region(i.op)) operands(i);
      if (result_.ok()) types(i);
      if (has_result(i.op)) region_[at_] = frames_.back().region;
    }
    if (result_.ok() && frames_.size() > 1) fail(Err::brackets_do_not_nest, frames_.back().line);
    return result_;
  }

 private:
  struct Frame {
    Op op = Op::return_;  // if_, for_ or loop
    u32 line = 0;
    u32 region = 0;
    bool has_else = false, has_continuing = false, ended = false;
    u32 first_continue = kNone;  // in a loop: what is defined later may be missing in its continuing
  };

  constexpr void fail(Err e, u32 other = 0, u32 detail = 0) {
    if (!result_.ok()) return;
    const u32 n = u32(v_.insts.size());
    result_ = {e, n ? v_.insts[at_ < n ? at_ : n - 1].line : 0, other, detail};
  }
  constexpr u32 new_region() {
    open_.push_back(true);
    return u32(open_.size() - 1);
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

  constexpr void structure(const Inst& i) {
    Frame& top = frames_.back();
    const bool bracket = closes_region(i.op) || i.op == Op::else_ || i.op == Op::continuing;
    if (top.ended && !bracket) return fail(Err::unreachable);
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
        frames_.push_back(f);
        break;
      }
      case Op::else_:
        if (top.op != Op::if_ || top.has_else) return fail(Err::brackets_do_not_nest, top.line);
        open_[top.region] = false;
        top.region = new_region();
        top.has_else = true;
        top.ended = false;
        break;
      case Op::end_if: close(Op::if_); break;
      case Op::end_for: close(Op::for_); break;
      case Op::end_loop: close(Op::loop); break;
      case Op::continuing:
        if (top.op != Op::loop || top.has_continuing) return fail(Err::continuing_misplaced, top.line);
        top.has_continuing = true;
        top.ended = false;
        break;
      case Op::break_:
      case Op::continue_:
      case Op::return_: jump(i.op); break;
      default: break;
    }
  }
  constexpr void close(Op opened) {
    const Frame& top = frames_.back();
    if (top.op != opened) return fail(Err::brackets_do_not_nest, top.line);
    open_[top.region] = false;
    frames_.pop_back();
  }
  constexpr void jump(Op op) {
    u32 target = 0;
    for (u32 f = u32(frames_.size()); f-- > 1;) {
      if (frames_[f].has_continuing) return fail(Err::jump_in_continuing, frames_[f].line);
      if (frames_[f].op != Op::if_ && target == 0) target = f;
    }
    if (op != Op::return_) {
      if (target == 0) return fail(Err::jump_outside_loop);
      if (op == Op::continue_ && frames_[target].first_continue == kNone)
        frames_[target].first_continue = at_;
    }
    frames_.back().ended = true;
  }

  // Values: defined before, in a region that is still open.
  constexpr void operands(const Inst& i) {
    if (i.op == Op::inline_ptx && i.mode > 4) return fail(Err::wrong_mode);
    const u32 mask = value_operands(i);
    const u32 ids[4] = {i.a, i.b, i.c, i.d};
    for (u32 n = 0; n < 4; ++n) {
      if (!(mask >> n & 1)) continue;
      const u32 id = ids[n];
      if (id >= v_.insts.size() || !has_result(v_.insts[id].op)) return fail(Err::no_such_value, 0, n);
      const u32 line = v_.insts[id].line;
      if (id >= at_ || region_[id] == kNone || !open_[region_[id]])
        return fail(Err::use_out_of_scope, line, n);
      for (const Frame& f : frames_)
        if (f.has_continuing && f.region == region_[id] && id > f.first_continue && id < continuing_of(f))
          return fail(Err::use_out_of_scope, line, n);
    }
  }
  // What continuing itself defines may be used in it: nothing in it is skipped.
  constexpr u32 continuing_of(const Frame& f) const {
    for (u32 i = at_; i-- > 0;)
      if (v_.insts[i].op == Op::continuing && i > f.first_continue) return i;
    return at_;
  }

  constexpr Type type(u32 id) const { return v_.insts[id].type; }
  constexpr bool is(u32 id, Type t) const { return type(id) == t && v_.insts[id].width == 1; }
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
    const bool wide_ok = i.op == Op::compose || i.op == Op::load || i.op == Op::store || is_matrix(i.op);
    if (i.width != 1 && !wide_ok) return fail(Err::wrong_width);
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
      case Op::add:
      case Op::sub:
      case Op::mul:
      case Op::div:
      case Op::min:
      case Op::max:
      case Op::neg:
      case Op::abs: return want(is_arithmetic(i.type) && all(i, i.type));
      case Op::rem: return want(integer(i.type) && all(i, i.type));
      case Op::fma:
      case Op::sqrt:
      case Op::floor: return want(real(i.type) && all(i, i.type));
      case Op::exp2:
      case Op::log2:
      case Op::sin:
      case Op::cos: return want(i.type == Type::f32 && all(i, i.type));
      case Op::bit_and:
      case Op::bit_or:
      case Op::bit_xor:
      case Op::bit_not: return want((integer(i.type) || i.type == Type::boolean) && all(i, i.type));
      case Op::shl:
      case Op::shr: return want(integer(i.type) && is(i.a, i.type) && is(i.b, Type::u32));
      case Op::popcount:
      case Op::count_leading_zeros: return want(integer(i.from) && all(i, i.from) && i.type == Type::u32);
      case Op::eq:
      case Op::ne:
        return want((is_arithmetic(i.from) || i.from == Type::boolean) && all(i, i.from) &&
                    i.type == Type::boolean);
      case Op::lt:
      case Op::le:
      case Op::gt:
      case Op::ge: return want(is_arithmetic(i.from) && all(i, i.from) && i.type == Type::boolean);
      case Op::select:
        return want(is(i.a, Type::boolean) && is(i.b, i.type) && is(i.c, i.type) && i.type != Type::none);
      case Op::cast: return want(i.type != Type::none && is(i.a, i.from));
      case Op::bitcast:
        return want(is(i.a, i.from) && size_of(i.type) == size_of(i.from) && i.type != Type::boolean &&
                    i.from != Type::boolean && i.type != Type::none);
      case Op::extract:
        want(v_.insts[i.a].width > 1 && i.imm < v_.insts[i.a].width, Err::wrong_width);
        return want(type(i.a) == i.type);
      case Op::compose: want(vector(i) && i.width > 1, Err::wrong_width); return want(all(i, i.type));
      case Op::var_load:
      case Op::var_store:
        if (i.a >= v_.vars.size() || sums_[i.a] == kSum) return fail(Err::no_such_var);
        sums_[i.a] = kPlain;
        return want(i.type == v_.vars[i.a] && (i.op == Op::var_load || is(i.b, i.type)));
      default: break;
    }
    effects(i);
  }
  constexpr void inline_ptx(const Inst& i) {
    const u32 text = u32(i.imm);
    want(i.mode <= 4, Err::wrong_mode);
    want(text < v_.texts.size(), Err::inline_ptx_text);
    const u32 ids[] = {i.a, i.b, i.c, i.d};
    want(is_arithmetic(i.type));
    for (u32 n = 0; n < i.mode && result_.ok(); ++n)
      want(is_arithmetic(type(ids[n])) && v_.insts[ids[n]].width == 1);
    if (!result_.ok()) return;
    const std::string_view s = v_.texts[text];
    for (std::size_t at = 0; at < s.size(); ++at) {
      if (s[at] != '%') continue;
      const char next = at + 1 < s.size() ? s[++at] : ' ';
      want(next == '%' || (next >= '0' && next <= '0' + i.mode), Err::inline_ptx_text);
    }
  }
  // What a shared array, or a Var, has been so far, by bit.
  enum : u8 { kPlain = 1, kMbarrier = 2, kByToken = 4, kByParity = 8, kSum = 16 };
  constexpr void use_as_plain(u32 object) {
    u8& was = mbarrier_[object & ~kShared];
    want(was <= kPlain, Err::mbarrier_use);
    was = kPlain;
  }
  constexpr void mbarrier(const Inst& i) {
    const bool init = i.op == Op::mbarrier_init;
    if (!(i.a & kShared) || (i.a & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object);
    want(v_.shared[i.a & ~kShared] == SharedArray{Type::u64, 1}, Err::no_such_object);
    u8& was = mbarrier_[i.a & ~kShared];
    if (init) {
      want(was == 0 && frames_.size() == 1, Err::mbarrier_use);
      want(i.imm > 0 && i.imm <= kArrivalsMax, Err::wrong_mode);
      was = kMbarrier;
    } else {
      want((was & kMbarrier) != 0, Err::mbarrier_use);
    }
    if (i.op == Op::mbarrier_arrive) want(i.type == Type::u64);
    if (i.op != Op::mbarrier_wait || !result_.ok()) return;
    const bool token = PhaseOf(i.mode) == PhaseOf::token;
    want(i.mode <= u8(PhaseOf::parity), Err::wrong_mode);
    want(is(i.c, token ? Type::u64 : Type::u32));
    was |= token ? kByToken : kByParity;
    want(was != (kMbarrier | kByToken | kByParity), Err::mbarrier_use);
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
    if (!(by & kShared) || (by & ~kShared) >= v_.shared.size()) return fail(Err::no_such_object);
    want((mbarrier_[by & ~kShared] & kMbarrier) != 0, Err::mbarrier_use);
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
    return v_.insts[id].type == t && v_.insts[id].width == width;
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
      u8& was = sums_[sums.first + n];
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
    if (n < 8 || n > 256 || n % (integers && n > 24 ? 16 : 8) != 0 || shape.panel_a < kWarpgroupRows ||
        shape.panel_b < n || shape.panel_a > kPanelsMax || shape.panel_b > kPanelsMax)
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
          want(v_.insts[i.c].width == i.width, Err::wrong_width);
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
        want(v_.insts[i.a].op == Op::ondemand_load, Err::needs_on_demand);
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
      case Op::matrix_load:
      case Op::matrix_multiply: return matrix(i);
      case Op::if_: return want(is(i.a, Type::boolean));
      case Op::for_: {
        want(integer(i.type) && all(i, i.type));
        if (!result_.ok()) return;
        const Inst& c = v_.insts[i.c];
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
  std::vector<u32> region_;   // of each value
  std::vector<u8> open_;      // of each region
  std::vector<u8> mbarrier_;  // of each shared array
  std::vector<u8> sums_;      // of each var
  std::vector<Frame> frames_;
  u32 at_ = 0;
  VerifyResult result_;
};

}  // namespace gpuio::kernel::detail
