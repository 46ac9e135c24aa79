// Builder: appends instructions to a Program. The level below the typed handles: kernels written by people
// use kernel.hpp, passes and generators use this. It fills in types and checks nothing; verify.hpp does. A
// value is its instruction's index. constexpr throughout; not thread-safe; the Program outlives it.
//
//   Program p{.name = "twice", .block = {64, 1, 1}};
//   Builder b(p);
//   u32 out = b.param(ParamKind::inout, Type::u32);
//   u32 i = b.builtin(Builtin::local_x);
//   b.store(out, i, b.binary(Op::add, b.load(out, i), b.load(out, i)));
#pragma once

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

class Builder {
 public:
  constexpr explicit Builder(Program& program) : p_(&program) {}
  constexpr Program& program() { return *p_; }

  u32 line = 0;  // given to what is appended from now on

  // Declarations; objects and vars are numbered in order.
  constexpr u32 param(ParamKind kind, Type type, u64 count = 0) {
    p_->params.push_back({kind, type, count});
    return u32(p_->params.size() - 1);
  }
  constexpr u32 shared(Type type, u32 count) {
    p_->shared.push_back({type, count});
    return kShared | u32(p_->shared.size() - 1);
  }
  constexpr u32 var(Type type) {
    p_->vars.push_back(type);
    return u32(p_->vars.size() - 1);
  }

  constexpr u32 tensor(const TensorMap& map) {
    p_->tensors.push_back(map);
    return u32(p_->tensors.size() - 1);
  }

  constexpr u32 append(Inst i) {
    i.line = line;
    p_->insts.push_back(i);
    return u32(p_->insts.size() - 1);
  }
  constexpr Type type(u32 value) const { return p_->insts[value].type; }
  constexpr Type object_type(u32 object) const {
    return object & kShared ? p_->shared[object & ~kShared].type : p_->params[object].type;
  }

  // Leaves.
  constexpr u32 constant(Type t, u64 bits) { return append({.op = Op::constant, .type = t, .imm = bits}); }
  constexpr u32 constant(const Constant& declared) {
    p_->constants.push_back(declared);
    return append({.op = Op::constant,
                   .type = declared.type,
                   .a = u32(p_->constants.size() - 1),
                   .imm = declared.value});
  }
  constexpr u32 argument(u32 parameter) {
    return append({.op = Op::argument, .type = p_->params[parameter].type, .a = parameter});
  }
  constexpr u32 builtin(Builtin what) {
    return append({.op = Op::builtin, .type = Type::u32, .mode = u8(what)});
  }
  constexpr u32 length(u32 object) { return append({.op = Op::length, .type = Type::u64, .a = object}); }

  // Arithmetic.
  constexpr u32 unary(Op op, u32 a) {
    const bool counts = op == Op::popcount || op == Op::count_leading_zeros;
    return append({.op = op, .type = counts ? Type::u32 : type(a), .from = type(a), .a = a});
  }
  constexpr u32 binary(Op op, u32 a, u32 b) { return append({.op = op, .type = type(a), .a = a, .b = b}); }
  constexpr u32 fma(u32 a, u32 b, u32 c) {
    return append({.op = Op::fma, .type = type(a), .a = a, .b = b, .c = c});
  }
  // Of two words that are pairs of `half`; c only of pair_fma.
  constexpr u32 pair(Op op, Type half, u32 a, u32 b, u32 c = kNone) {
    return append({.op = op, .type = Type::u32, .from = half, .a = a, .b = b, .c = c});
  }
  constexpr u32 compare(Op op, u32 a, u32 b) {
    return append({.op = op, .type = Type::boolean, .from = type(a), .a = a, .b = b});
  }
  constexpr u32 select(u32 condition, u32 a, u32 b) {
    return append({.op = Op::select, .type = type(a), .a = condition, .b = a, .c = b});
  }
  constexpr u32 cast(Type to, u32 a) { return append({.op = Op::cast, .type = to, .from = type(a), .a = a}); }
  constexpr u32 bitcast(Type to, u32 a) {
    return append({.op = Op::bitcast, .type = to, .from = type(a), .a = a});
  }
  constexpr u32 extract(u32 vector, u32 element) {
    return append({.op = Op::extract, .type = type(vector), .a = vector, .imm = element});
  }
  constexpr u32 compose(u32 a, u32 b) {
    return append({.op = Op::compose, .type = type(a), .width = 2, .a = a, .b = b});
  }
  constexpr u32 compose(u32 a, u32 b, u32 c, u32 d) {
    return append({.op = Op::compose, .type = type(a), .width = 4, .a = a, .b = b, .c = c, .d = d});
  }

  // Vars and memory.
  constexpr u32 var_load(u32 var) { return append({.op = Op::var_load, .type = p_->vars[var], .a = var}); }
  constexpr void var_store(u32 var, u32 v) {
    append({.op = Op::var_store, .type = p_->vars[var], .a = var, .b = v});
  }
  constexpr u32 load(u32 object, u32 index, u8 width = 1) {
    return append({.op = Op::load, .type = object_type(object), .width = width, .a = object, .b = index});
  }
  constexpr void store(u32 object, u32 index, u32 value) {
    append({.op = Op::store,
            .type = object_type(object),
            .width = p_->insts[value].width,
            .a = object,
            .b = index,
            .c = value});
  }
  constexpr u32 atomic_load(u32 object, u32 index, Order order, Scope scope) {
    return append({.op = Op::atomic_load,
                   .type = object_type(object),
                   .order = order,
                   .scope = scope,
                   .a = object,
                   .b = index});
  }
  constexpr void atomic_store(u32 object, u32 index, u32 value, Order order, Scope scope) {
    append({.op = Op::atomic_store,
            .type = object_type(object),
            .order = order,
            .scope = scope,
            .a = object,
            .b = index,
            .c = value});
  }
  constexpr u32 atomic_rmw(Rmw what, u32 object, u32 index, u32 value, Order order, Scope scope) {
    return append({.op = Op::atomic_rmw,
                   .type = object_type(object),
                   .mode = u8(what),
                   .order = order,
                   .scope = scope,
                   .a = object,
                   .b = index,
                   .c = value});
  }
  constexpr u32 atomic_cas(u32 object, u32 index, u32 expected, u32 desired, Order order, Scope scope) {
    return append({.op = Op::atomic_cas,
                   .type = object_type(object),
                   .order = order,
                   .scope = scope,
                   .a = object,
                   .b = index,
                   .c = expected,
                   .d = desired});
  }
  // Says that the lane waits for somebody else: a device may run others first.
  constexpr void pause() { fence(Order::relaxed, Scope::subgroup); }
  constexpr void fence(Order order, Scope scope) {
    append({.op = Op::fence, .order = order, .scope = scope});
  }

  constexpr void async_copy(u32 shared, u32 to, u32 buffer, u32 from, u32 bytes) {
    append({.op = Op::async_copy,
            .type = object_type(shared),
            .a = shared,
            .b = to,
            .c = buffer,
            .d = from,
            .imm = bytes});
  }
  constexpr void async_commit() { append({.op = Op::async_commit}); }
  constexpr void async_wait(u32 groups) { append({.op = Op::async_wait, .imm = groups}); }

  // An mbarrier is its shared array. `full`: that of the stage of which this one is the empty.
  constexpr void mbarrier_init(u32 mbarrier, u32 arrivals, u32 full = kNone) {
    append({.op = Op::mbarrier_init, .scope = Scope::workgroup, .a = mbarrier, .c = full, .imm = arrivals});
  }
  constexpr u32 mbarrier_arrive(u32 mbarrier) {
    return append({.op = Op::mbarrier_arrive, .type = Type::u64, .scope = Scope::workgroup, .a = mbarrier});
  }
  constexpr void mbarrier_wait(u32 mbarrier, PhaseOf what, u32 phase) {
    append({.op = Op::mbarrier_wait, .mode = u8(what), .scope = Scope::workgroup, .a = mbarrier, .c = phase});
  }
  constexpr void bulk_load(u32 shared, u32 to, u32 buffer, u32 from, u32 bytes, u32 mbarrier) {
    bulk(Op::bulk_load, shared, to, buffer, from, bytes | u64{mbarrier} << 32);
  }
  constexpr void bulk_store(u32 buffer, u32 to, u32 shared, u32 from, u32 bytes) {
    bulk(Op::bulk_store, shared, from, buffer, to, bytes);
  }
  constexpr void tensor_load(u32 shared, u32 to, u32 map, u32 row, u32 column, u32 mbarrier) {
    const TensorMap& t = p_->tensors[map];
    append({.op = Op::tensor_load,
            .type = object_type(shared),
            .mode = u8(t.box_width),
            .a = shared,
            .b = to,
            .c = row,
            .d = column,
            .imm = TensorLoad{t.box_rows * (16u << t.box_width), map}.packed() | u64{mbarrier} << 32});
  }
  constexpr void bulk_commit() { append({.op = Op::bulk_commit}); }
  constexpr void bulk_wait(u32 groups) { append({.op = Op::bulk_wait, .imm = groups}); }

  // Up to four operands; the text outlives the program.
  constexpr u32 inline_ptx(Type type, std::string_view text, std::span<const u32> operands, u32 sm,
                           u32 version) {
    Inst i{.op = Op::inline_ptx, .type = type, .mode = u8(operands.size())};
    u32* const to[] = {&i.a, &i.b, &i.c, &i.d};
    for (u32 n = 0; n < operands.size() && n < 4; ++n) *to[n] = operands[n];
    i.imm = u64(p_->texts.size()) | u64{sm} << 32 | u64{version} << 48;
    p_->texts.push_back(text);
    return append(i);
  }

  // Workgroup and subgroup.
  constexpr void barrier() { append({.op = Op::barrier, .scope = Scope::workgroup}); }
  constexpr u32 barrier_any(u32 a) {
    return append({.op = Op::barrier_any, .type = Type::boolean, .scope = Scope::workgroup, .a = a});
  }
  constexpr u32 shuffle(Shuffle how, u32 a, u32 lane) {
    return append({.op = Op::subgroup_shuffle,
                   .type = type(a),
                   .mode = u8(how),
                   .scope = Scope::subgroup,
                   .a = a,
                   .b = lane});
  }
  constexpr u32 vote(Vote how, u32 a) {
    return append(
        {.op = Op::subgroup_vote, .type = Type::boolean, .mode = u8(how), .scope = Scope::subgroup, .a = a});
  }
  constexpr u32 ballot(u32 a) {
    return append({.op = Op::subgroup_ballot, .type = Type::u64, .scope = Scope::subgroup, .a = a});
  }
  constexpr u32 reduce(Rmw how, u32 a) {
    return append(
        {.op = Op::subgroup_reduce, .type = type(a), .mode = u8(how), .scope = Scope::subgroup, .a = a});
  }
  constexpr u32 elect() {
    return append({.op = Op::subgroup_elect, .type = Type::boolean, .scope = Scope::subgroup});
  }

  constexpr u32 matrix_load(MatrixPart part, u32 object, u32 index, u32 stride) {
    return append({.op = Op::matrix_load,
                   .type = Type::u32,
                   .from = object_type(object),
                   .width = u8(part == MatrixPart::a ? 4 : 2),
                   .mode = u8(part),
                   .scope = Scope::subgroup,
                   .a = object,
                   .b = index,
                   .imm = stride});
  }
  constexpr u32 matrix_multiply(Matrix what, u32 a, u32 b, u32 c) {
    return append({.op = Op::matrix_multiply,
                   .type = type(c),
                   .width = 4,
                   .mode = u8(what),
                   .scope = Scope::subgroup,
                   .a = a,
                   .b = b,
                   .c = c});
  }

  constexpr void warpgroup_clear(SumVars sums) {
    append({.op = Op::warpgroup_clear, .a = sums.first, .imm = sums.count});
  }
  constexpr u32 warpgroup_read(u32 var) {
    return append({.op = Op::warpgroup_read, .type = p_->vars[var], .a = var});
  }
  constexpr void warpgroup_multiply(Matrix what, WarpgroupShape shape, u32 a, u32 at_a, u32 b, u32 at_b) {
    append({.op = Op::warpgroup_multiply,
            .type = p_->vars[shape.first],
            .from = object_type(a),
            .mode = u8(what),
            .scope = Scope::subgroup,
            .a = a,
            .b = at_a,
            .c = b,
            .d = at_b,
            .imm = shape.packed()});
  }
  constexpr void warpgroup_commit() { append({.op = Op::warpgroup_commit, .scope = Scope::subgroup}); }
  constexpr void warpgroup_wait(u32 groups) {
    append({.op = Op::warpgroup_wait, .scope = Scope::subgroup, .imm = groups});
  }

  // On-demand arrays.
  constexpr u32 ondemand_load(u32 object, u32 index) {
    return append({.op = Op::ondemand_load, .type = object_type(object), .a = object, .b = index});
  }
  constexpr u32 ondemand_status(u32 load) {
    return append({.op = Op::ondemand_status, .type = Type::u32, .a = load});
  }
  constexpr void ondemand_prefetch(u32 object, u32 index) {
    append({.op = Op::ondemand_prefetch, .type = object_type(object), .a = object, .b = index});
  }
  constexpr u32 lane_status() { return append({.op = Op::lane_status, .type = Type::u32}); }

  // Control.
  constexpr void if_(u32 condition) { append({.op = Op::if_, .a = condition}); }
  constexpr void else_() { append({.op = Op::else_}); }
  constexpr void end_if() { append({.op = Op::end_if}); }
  constexpr u32 for_(u32 begin, u32 end, u32 step) {
    return append({.op = Op::for_, .type = type(begin), .a = begin, .b = end, .c = step});
  }
  constexpr void end_for() { append({.op = Op::end_for}); }
  constexpr void loop() { append({.op = Op::loop}); }
  constexpr void continuing() { append({.op = Op::continuing}); }
  constexpr void end_loop() { append({.op = Op::end_loop}); }
  constexpr void break_() { append({.op = Op::break_}); }
  constexpr void continue_() { append({.op = Op::continue_}); }
  constexpr void return_() { append({.op = Op::return_}); }

 private:
  constexpr void bulk(Op op, u32 shared, u32 at, u32 buffer, u32 there, u64 imm) {
    append(
        {.op = op, .type = object_type(shared), .a = shared, .b = at, .c = buffer, .d = there, .imm = imm});
  }
  Program* p_;
};

}  // namespace gpuio::kernel
