// canonical_hash(View): one number for what a kernel does, the key of the caches of compiled kernels.
//
// Compilers evaluate the operands of an expression in different orders, so the same source may be traced into
// the same instructions in another order, and source lines say nothing about what runs. The hash therefore
// takes effects (stores, atomics, barriers, control, …) in their order and everything else through the
// effects that use it; a load or a var's value counts with the number of changes before it. Lines and values
// that nobody uses do not count. Kernels of one hash do the same; the reverse is not promised.
//
// Not cryptographic; stable between builds of one version of the IR, not beyond. Pure; constexpr.
#pragma once

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

namespace detail {

class Hash {
 public:
  constexpr Hash& operator<<(u64 word) {
    state_ = (state_ ^ word) * 0x9E3779B97F4A7C15u;
    state_ ^= state_ >> 29;
    return *this;
  }
  constexpr u64 get() const { return (state_ ^ state_ >> 32) * 0xD6E8FEB86659FD93u; }

 private:
  u64 state_ = 0xCBF29CE484222325u;
};

// How an instruction's place among the others matters.
enum class Place : u8 {
  anywhere,
  after_changes,  // it reads what changes: the number of changes before it counts
  effect,         // its order among the effects counts
  change          // an effect that changes vars, memory or who runs
};
constexpr Place place(Op op) {
  switch (op) {
    case Op::var_load:
    case Op::load: return Place::after_changes;
    case Op::ondemand_status: return Place::anywhere;
    case Op::ondemand_load:
    case Op::ondemand_prefetch:
    case Op::lane_status:
    case Op::subgroup_shuffle:
    case Op::subgroup_vote:
    case Op::subgroup_ballot:
    case Op::subgroup_reduce:
    case Op::subgroup_elect:
    case Op::matrix_load:
    case Op::matrix_multiply: return Place::effect;
    default: return op <= Op::compose || is_pair(op) ? Place::anywhere : Place::change;
  }
}

}  // namespace detail

constexpr u64 canonical_hash(const View& v) {
  detail::Hash all;
  for (char c : v.name) all << u64(u8(c));
  for (u32 n : v.block) all << n;
  all << v.params.size();
  for (const Param& p : v.params) all << u64(p.kind) << u64(p.type) << p.count;
  all << v.shared.size();
  for (const SharedArray& s : v.shared) all << u64(s.type) << s.count;
  all << v.vars.size();
  for (Type t : v.vars) all << u64(t);
  for (const Constant& c : v.constants) {
    for (char n : c.name) all << u64(u8(n));
    all << u64(c.type) << c.value << c.least << c.most;
  }
  for (const TensorMap& t : v.tensors)
    all << t.buffer << t.rows << t.columns << t.step << t.box_rows << t.box_width;

  std::vector<u64> hashes(v.insts.size(), 0);
  u64 changes = 0;
  for (u32 n = 0; n < v.insts.size(); ++n) {
    const Inst& i = v.insts[n];
    detail::Hash h;
    h << (u64(i.op) | u64(i.type) << 8 | u64(i.from) << 16 | u64(i.width) << 24 | u64(i.mode) << 32 |
          u64(i.order) << 40 | u64(i.scope) << 48)
      << i.imm;
    const u32 values = value_operands(i);
    const u32 operands[4] = {i.a, i.b, i.c, i.d};
    if (i.op == Op::inline_ptx)
      for (char c : v.texts[u32(i.imm)]) h << u64(u8(c));
    for (u32 o = 0; o < 4; ++o) h << (values >> o & 1 ? hashes[operands[o]] : operands[o]);
    const detail::Place where = detail::place(i.op);
    if (where != detail::Place::anywhere) h << changes;
    hashes[n] = h.get();
    if (where >= detail::Place::effect) all << hashes[n];
    changes += where == detail::Place::change;
  }
  return all.get();
}

}  // namespace gpuio::kernel
