// Which Vars of a kernel are 16 x 8 sums that lanes do not touch one by one, so that a back end whose
// fragments are opaque can hold the four Vars as one matrix. This only makes kernels faster: sums that are
// not found here are four numbers a lane, put together for every product.
//
// Found are four Vars that matrix_multiply takes together (var_load x 4, compose), if every store to them is
// of the whole: of what a matrix_multiply gave (extract and var_store x 4) or of one literal constant, and if
// all lanes of the subgroup do together whatever is done to them. matrix.hpp writes just that. constexpr; the
// kernel must be verified.
#pragma once

#include <vector>

#include <gpuio/kernel/verify_flow.hpp>

namespace gpuio::kernel::spirv {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
// What an instruction is to the sums held as a matrix: part of one of the patterns, of which the last
// instruction stands for all (a compose that loads them, a var_store that sets them from a product or a
// constant), or a var_load that reads the lane's own.
enum class SumRole : u8 { none, part, load, put, fill, read };
#pragma GCC diagnostic pop

template <class F>
constexpr void each_operand(const Inst& i, F f) {
  const u32 mask = value_operands(i), operands[] = {i.a, i.b, i.c, i.d};
  for (u32 o = 0; o < 4; ++o)
    if (mask >> o & 1) f(operands[o]);
}

class Sums {
 public:
  struct Group {
    std::array<u32, 4> vars;
    bool held = true;
  };
  std::vector<Group> groups;

  constexpr explicit Sums(const View& k) : insts_(k.insts) {
    roles_.assign(insts_.size(), SumRole::none);
    group_at_.assign(insts_.size(), 0);
    of_var_.assign(k.vars.size(), kNone);
    uses_.assign(insts_.size(), 0);
    for (const Inst& i : insts_) each_operand(i, [&](u32 v) { ++uses_[v]; });
    for (const Inst& i : insts_)
      if (i.op == Op::matrix_multiply && is_whole(i.c)) claim(i.c);
    const detail::Flow flow(k, kMatrixLanes);
    for (u32 n = 0; n < insts_.size(); ++n) {
      const Op op = insts_[n].op;
      if (op != Op::var_load && op != Op::var_store) continue;
      const u32 g = of_var_[insts_[n].a];
      if (g == kNone) continue;
      if (flow.apart(n)) groups[g].held = false;
      if (roles_[n] != SumRole::none) continue;
      if (op == Op::var_load) mark(n, g, SumRole::read);
      else if (!fills(n, g) && !puts(n, g)) groups[g].held = false;
    }
    for (u32 n = 0; n < insts_.size(); ++n)
      if (roles_[n] != SumRole::none && !groups[group_at_[n]].held) roles_[n] = SumRole::none;
  }

  constexpr SumRole role(u32 inst) const { return roles_[inst]; }
  constexpr u32 group(u32 inst) const { return group_at_[inst]; }  // of one with a role

 private:
  constexpr void mark(u32 n, u32 group, SumRole role) {
    roles_[n] = role;
    group_at_[n] = group;
  }
  // Is it a compose of four Vars that are loaded for it alone?
  constexpr bool is_whole(u32 n) const {
    const Inst& i = insts_[n];
    if (i.op != Op::compose || i.width != 4 || n < 4 || uses_[n] != 1) return false;
    const u32 operands[] = {i.a, i.b, i.c, i.d};
    for (u32 r = 0; r < 4; ++r) {
      const u32 at = n - 4 + r;
      if (operands[r] != at || insts_[at].op != Op::var_load || uses_[at] != 1) return false;
      for (u32 s = 0; s < r; ++s)
        if (insts_[n - 4 + s].a == insts_[at].a) return false;
    }
    return true;
  }
  // Makes a group of the Vars of a compose, unless one of them has another company; then it reads them.
  constexpr void claim(u32 n) {
    std::array<u32, 4> vars{};
    bool free = true;
    for (u32 r = 0; r < 4; ++r) {
      vars[r] = insts_[n - 4 + r].a;
      free = free && of_var_[vars[r]] == kNone;
    }
    if (free) {
      for (const u32 v : vars) of_var_[v] = u32(groups.size());
      groups.push_back({vars});
    }
    const u32 g = of_var_[vars[0]];
    if (g == kNone || groups[g].vars != vars) return;
    for (u32 r = 0; r < 4; ++r) mark(n - 4 + r, g, SumRole::part);
    mark(n, g, SumRole::load);
  }
  constexpr bool stores(u32 n, u32 var) const {
    return n < insts_.size() && insts_[n].op == Op::var_store && insts_[n].a == var;
  }
  // Do four stores of one constant begin at n?
  constexpr bool fills(u32 n, u32 g) {
    for (u32 r = 0; r < 4; ++r) {
      if (!stores(n + r, groups[g].vars[r])) return false;
      const Inst& value = insts_[insts_[n + r].b];
      if (!is_literal(value) || value.imm != insts_[insts_[n].b].imm) return false;
    }
    for (u32 r = 0; r < 4; ++r) mark(n + r, g, r == 3 ? SumRole::fill : SumRole::part);
    return true;
  }
  // Is the store at n the first of four that store what a product gave?
  constexpr bool puts(u32 n, u32 g) {
    if (n == 0) return false;
    const u32 product = insts_[n - 1].a;
    for (u32 r = 0; r < 4; ++r) {
      const u32 at = n + 2 * r;
      if (!stores(at, groups[g].vars[r]) || insts_[at].b != at - 1) return false;
      const Inst& element = insts_[at - 1];
      if (element.op != Op::extract || element.a != product || element.imm != r || uses_[at - 1] != 1)
        return false;
    }
    if (insts_[product].op != Op::matrix_multiply) return false;
    for (u32 r = 0; r < 8; ++r) mark(n - 1 + r, g, r == 7 ? SumRole::put : SumRole::part);
    return true;
  }

  std::span<const Inst> insts_;
  std::vector<SumRole> roles_;
  std::vector<u32> group_at_, of_var_, uses_;
};

}  // namespace gpuio::kernel::spirv
