// What the native execution knows of a kernel while compiling. Part of native.hpp.
#pragma once

#include <array>

#include <gpuio/kernel/structure.hpp>
#include <gpuio/kernel/uniformity.hpp>

namespace gpuio::kernel::native {

// How a value grows from lane to lane.
enum class Stride : u8 {
  zero,
  one,
  likely,  // by one, it seems: the counter of a loop over a whole grid is a var
  any
};

template <std::size_t N, std::size_t X>
struct FactTables {
  std::array<u32, N + 1> own_end{}, partner{};
  std::array<bool, N + 1> uniform{};
  std::array<bool, X + 1> uniform_var{};
  std::array<Stride, N + 1> stride{};
  std::array<bool, N + 1> escapes{};   // a region that lanes may leave for more than its own end
  std::array<bool, N + 1> jumps{};     // a loop that something in it breaks or continues
  std::array<bool, N + 1> barriers{};  // a region, or the instruction itself
  bool any_barrier = false, returns = false;
};

// Neighbouring lanes, neighbouring numbers: modulo the width of the type.
constexpr Stride stride_of(const View& k, const Inst& i, const auto& t) {
  const auto of = [&](u32 v) { return t.uniform[v] ? Stride::zero : t.stride[v]; };
  switch (i.op) {
    case Op::builtin:
      // Eight lanes in a row share y and z when x is a multiple of eight, or is all there is.
      if (Builtin(i.mode) == Builtin::local_index) return Stride::one;
      if (Builtin(i.mode) == Builtin::local_x && (k.block[0] % 8 == 0 || k.block[0] == k.lanes()))
        return Stride::one;
      return Stride::any;
    case Op::add:
      if (of(i.a) == Stride::zero) return of(i.b);
      return of(i.b) == Stride::zero ? of(i.a) : Stride::any;
    case Op::sub: return of(i.b) == Stride::zero ? of(i.a) : Stride::any;
    case Op::for_: return t.uniform[i.c] ? of(i.a) : Stride::any;
    case Op::var_load: return is_integer(i.type) && size_of(i.type) >= 4 ? Stride::likely : Stride::any;
    case Op::bitcast: return of(i.a);
    // Whoever relies on it compares the first and the last lane, which tells when the narrower type wrapped.
    case Op::cast:
      return is_integer(i.type) && is_integer(i.from) && size_of(i.from) >= 4 ? of(i.a) : Stride::any;
    default: return Stride::any;
  }
}

template <class K>
consteval auto make_facts() {
  constexpr const auto& kernel = K::frozen();
  constexpr std::size_t n = kernel.insts.size(), x = kernel.vars.size();
  FactTables<n, x> t;
  const View k = kernel.view();
  const Structure structure(k.insts);
  const Uniformity uniformity(k);
  for (u32 v = 0; v < x; ++v) t.uniform_var[v] = uniformity.var[v] != 0;
  std::vector<u32> open;
  for (u32 i = 0; i < n; ++i) {
    const Inst& inst = k.insts[i];
    t.own_end[i] = structure.own_end[i];
    t.partner[i] = structure.partner[i];
    t.uniform[i] = uniformity.value[i] != 0;
    t.stride[i] = stride_of(k, inst, t);
    if (opens_region(inst.op)) open.push_back(i);
    if (closes_region(inst.op)) open.pop_back();
    if (inst.op == Op::return_) {
      t.returns = true;
      for (const u32 r : open) t.escapes[r] = true;
    }
    if (inst.op == Op::break_ || inst.op == Op::continue_) {
      for (std::size_t r = open.size(); r-- > 0;) {
        if (k.insts[open[r]].op != Op::if_) {
          t.jumps[open[r]] = true;
          break;
        }
        t.escapes[open[r]] = true;
      }
    }
    if (inst.op == Op::barrier || inst.op == Op::barrier_any) {
      t.barriers[i] = t.any_barrier = true;
      for (const u32 r : open) t.barriers[r] = true;
    }
  }
  return t;
}
template <class K>
inline constexpr auto kFacts = make_facts<K>();

// The instructions that stand directly in [Begin, End), a region by its opening one.
template <class K, u32 Begin, u32 End>
struct Section {
  static constexpr u32 next(u32 i) {
    return opens_region(K::frozen().insts[i].op) ? kFacts<K>.partner[i] + 1 : i + 1;
  }
  static constexpr u32 kCount = [] {
    u32 count = 0;
    for (u32 i = Begin; i < End; i = next(i)) ++count;
    return count;
  }();
  static constexpr std::array<u32, kCount + 1> kAt = [] {
    std::array<u32, kCount + 1> at{};
    u32 count = 0;
    for (u32 i = Begin; i < End; i = next(i)) at[count++] = i;
    return at;
  }();
};

}  // namespace gpuio::kernel::native
