// Passes from IR to IR: what they share, and the small ones.
//
// A pass reads a View and builds a new Program; values get new ids as the list grows. Rewriter keeps the map
// from old to new. Lines are kept; what a pass adds has line 0. constexpr; a pass does not check its input.
//
//   const Program q = lower_for(p.view());     // the same kernel without for_
#pragma once

#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/structure.hpp>

namespace gpuio::kernel {

// A Program with the declarations of a kernel and no instructions yet.
constexpr Program declarations_of(View kernel) {
  Program p{.name = kernel.name, .block = kernel.block};
  p.params.assign(kernel.params.begin(), kernel.params.end());
  p.shared.assign(kernel.shared.begin(), kernel.shared.end());
  p.vars.assign(kernel.vars.begin(), kernel.vars.end());
  p.texts.assign(kernel.texts.begin(), kernel.texts.end());
  p.unchecked = kernel.unchecked;
  p.constants.assign(kernel.constants.begin(), kernel.constants.end());
  p.tensors.assign(kernel.tensors.begin(), kernel.tensors.end());
  return p;
}

constexpr Program copy_of(View kernel) {
  Program p = declarations_of(kernel);
  p.insts.assign(kernel.insts.begin(), kernel.insts.end());
  return p;
}

// The operands of an instruction by number; kNone past the last.
constexpr u32& operand(Inst& i, u32 which) {
  return which == 0 ? i.a : which == 1 ? i.b : which == 2 ? i.c : i.d;
}

// Calls f(u32& id) for each operand that names a value.
template <class F>
constexpr void for_values(Inst& i, F&& f) {
  const u32 mask = value_operands(i);
  for (u32 which = 0; which < 4; ++which) {
    if (mask >> which & 1) f(operand(i, which));
  }
}

class Rewriter {
 public:
  constexpr explicit Rewriter(View from) : program_(declarations_of(from)), b_(program_) {
    map_.assign(from.insts.size(), kNone);
  }
  constexpr Builder& builder() { return b_; }
  constexpr u32 value(u32 old) const { return map_[old]; }
  constexpr void replace(u32 old, u32 value) { map_[old] = value; }
  // Appends the old instruction `id` with its operands renamed.
  constexpr u32 copy(u32 id, Inst i) {
    for_values(i, [&](u32& v) { v = map_[v]; });
    b_.line = i.line;
    map_[id] = b_.append(i);
    b_.line = 0;
    return map_[id];
  }
  constexpr Program take() { return std::move(program_); }

 private:
  Program program_;
  Builder b_;
  std::vector<u32> map_{};
};

// Async copies become loads and stores: where a back end has none of its own.
constexpr Program lower_async(View kernel) {
  Rewriter to(kernel);
  Builder& b = to.builder();
  for (u32 id = 0; id < kernel.insts.size(); ++id) {
    const Inst& i = kernel.insts[id];
    if (!is_async(i.op)) to.copy(id, i);
    if (i.op != Op::async_copy) continue;
    b.line = i.line;
    const u32 count = u32(span_of(i)), width = count < 4 ? count : 4;
    const auto plus = [&](u32 index, u32 n) {
      return n == 0 ? index : b.binary(Op::add, index, b.constant(b.program().insts[index].type, n));
    };
    for (u32 e = 0; e < count; e += width) {
      const u32 value = b.load(i.c, plus(to.value(i.d), e), u8(width));
      b.store(i.a, plus(to.value(i.b), e), value);
    }
    b.line = 0;
  }
  return to.take();
}

// for_ becomes a loop over a Var. The step at the end of a trip does not wrap past the end:
//   var = begin; loop { if (!(var < end)) break; counter = var; body;
//                       continuing: var = end - var > step (unsigned) ? var + step : end; }
// `wanted(id)` says which for_ to lower.
template <class Wanted>
constexpr Program lower_for(View kernel, Wanted&& wanted) {
  const Structure structure(kernel.insts);
  Rewriter to(kernel);
  Builder& b = to.builder();
  std::vector<u32> vars(kernel.insts.size(), kNone);  // of a lowered for_
  for (u32 id = 0; id < kernel.insts.size(); ++id) {
    const Inst& i = kernel.insts[id];
    if (i.op == Op::for_ && wanted(id)) {
      vars[id] = b.var(i.type);
      b.var_store(vars[id], to.value(i.a));
      b.loop();
      const u32 counter = b.var_load(vars[id]);
      b.if_(b.compare(Op::ge, counter, to.value(i.b)));
      b.break_();
      b.end_if();
      to.replace(id, counter);
    } else if (i.op == Op::end_for && vars[structure.partner[id]] != kNone) {
      const u32 opener = structure.partner[id], var = vars[opener];
      const Inst& f = kernel.insts[opener];
      const Type bare = size_of(f.type) == 4 ? Type::u32 : Type::u64;
      const auto unsigned_of = [&](u32 v) { return f.type == bare ? v : b.bitcast(bare, v); };
      const u32 end = to.value(f.b), step = to.value(f.c);
      b.continuing();
      const u32 now = b.var_load(var);
      const u32 left = unsigned_of(b.binary(Op::sub, end, now));
      const u32 more = b.compare(Op::gt, left, unsigned_of(step));
      b.var_store(var, b.select(more, b.binary(Op::add, now, step), end));
      b.end_loop();
    } else {
      to.copy(id, i);
    }
  }
  return to.take();
}
constexpr Program lower_for(View kernel) {
  return lower_for(kernel, [](u32) { return true; });
}

}  // namespace gpuio::kernel
