// How values grow from lane to lane, and which loops count: known while compiling. Part of native.hpp.
#pragma once

#include <gpuio/kernel/structure.hpp>
#include <gpuio/kernel/uniformity.hpp>

namespace gpuio::kernel::native {

// A loop that counts from `begin`, below `end`, by `step`: a for_, or what Ctx::range makes of a step that is
// no constant (a var for the counter, one for whether it is below the end).
struct Counted {
  u32 begin = kNone, end = kNone, step = kNone;  // values
  u32 counter = kNone, body = kNone;             // the counter's value; the first instruction after it
  constexpr bool known() const { return counter != kNone; }
};

class CountedLoops {
 public:
  constexpr CountedLoops(const View& k, const Structure& s) : k_(k) {
    loops.assign(k.insts.size(), Counted{});
    machinery.assign(k.insts.size(), 0);
    accesses_.assign(k.vars.size(), 0);
    for (const Inst& i : k.insts)
      if (i.op == Op::var_load || i.op == Op::var_store) ++accesses_[i.a];
    for (u32 i = 0; i < k.insts.size(); ++i) {
      const Inst& inst = k.insts[i];
      if (inst.op == Op::for_) loops[i] = {inst.a, inst.b, inst.c, i, i + 1};
      if (inst.op == Op::loop) find(i, s.own_end[i], s.partner[i]);
    }
  }
  std::vector<Counted> loops{};
  std::vector<char> machinery{};  // instructions that need not run where the loop is run as one that counts

 private:
  constexpr bool is(u32 at, Op op) const { return k_.insts[at].op == op; }
  constexpr u32 behind_bitcast(u32 v) const { return is(v, Op::bitcast) ? k_.insts[v].a : v; }

  constexpr void find(u32 at, u32 body_end, u32 end) {
    if (at < 3 || end < at + 10 || !is(body_end, Op::continuing)) return;
    const auto& in = k_.insts;
    if (!is(at - 3, Op::var_store) || !is(at - 2, Op::lt) || !is(at - 1, Op::var_store) ||
        !is(at + 1, Op::var_load) || !is(at + 2, Op::bit_not) || !is(at + 3, Op::if_) ||
        !is(at + 4, Op::break_) || !is(at + 5, Op::end_if) || !is(at + 6, Op::var_load))
      return;
    if (!is(end - 1, Op::var_store) || !is(end - 2, Op::add) || !is(end - 3, Op::var_store) ||
        !is(end - 4, Op::gt) || end - body_end < 6 || end - body_end > 8)
      return;
    const u32 value = in[at + 6].a, more = in[at + 1].a, counter = at + 6;
    const u32 left = behind_bitcast(in[end - 4].a), step = behind_bitcast(in[end - 4].b);
    const bool enters = in[at - 3].a == value && in[at - 2].a == in[at - 3].b && in[at - 1].a == more &&
                        in[at - 1].b == at - 2;
    const bool leaves = in[at + 2].a == at + 1 && in[at + 3].a == at + 2;
    const bool steps = in[end - 1].a == value && in[end - 1].b == end - 2 && in[end - 2].a == counter &&
                       in[end - 2].b == step && in[end - 3].a == more && in[end - 3].b == end - 4 &&
                       is(left, Op::sub) && in[left].a == in[at - 2].b && in[left].b == counter;
    if (!enters || !leaves || !steps || accesses_[value] != 3 || accesses_[more] != 3) return;
    loops[at] = {in[at - 3].b, in[at - 2].b, step, counter, at + 7};
    for (u32 i = at - 3; i < at; ++i) machinery[i] = 1;
    for (u32 i = at + 1; i < at + 6; ++i) machinery[i] = 1;
    for (u32 i = body_end + 1; i < end; ++i) machinery[i] = 1;
  }

  View k_;
  std::vector<u32> accesses_{};
};

// Lane l of a chunk has base + stride * l, modulo the width of the type; or nothing is known.
struct Shape {
  bool affine = false;
  bool group = false;    // the workgroup has one base: its lane n has base + stride * n
  bool exact = true;     // false: only where nothing wraps, because a narrower sum was widened
  bool aligned = false;  // the base is a multiple of eight, so that eight in a row do not wrap
  bool likely = false;   // not affine, but it looks like one with stride 1: a counter in a var
  i32 stride = 0;
  constexpr bool same() const { return affine && stride == 0; }
  // Do eight in a row lie in a row? Else one in eight of a type's four billion may be where it wraps.
  constexpr bool wraps(u32 size) const {
    return stride != 0 && (size == 4 ? stride != 1 || !aligned : !exact);
  }
};

class Shapes {
 public:
  std::vector<Shape> of{};  // by instruction

  constexpr Shapes(const View& k, const Uniformity& u, const CountedLoops& loops) : k_(k) {
    of.assign(k.insts.size(), Shape{});
    std::vector<u32> loop_of(k.insts.size(), kNone);
    for (u32 i = 0; i < k.insts.size(); ++i)
      if (loops.loops[i].known()) loop_of[loops.loops[i].counter] = i;
    for (u32 i = 0; i < k.insts.size(); ++i) {
      if (!has_result(k.insts[i].op) && k.insts[i].op != Op::for_) continue;
      if (loop_of[i] != kNone) of[i] = counter(loops.loops[loop_of[i]]);
      else of[i] = shape(k.insts[i]);
      if (u.value[i]) of[i] = {.affine = true, .group = true, .aligned = of[i].same() && of[i].aligned};
    }
  }

 private:
  static constexpr i64 kStrideMax = 1 << 16;

  static constexpr Shape with_stride(Shape s, i64 stride) {
    if (stride > kStrideMax || stride < -kStrideMax || (stride == 0 && !s.exact)) return {};
    s.affine = true;
    s.stride = i32(stride);
    return s;
  }
  constexpr bool constant(u32 v) const { return k_.insts[v].op == Op::constant; }
  constexpr i64 number(u32 v) const {
    const Inst& i = k_.insts[v];
    return size_of(i.type) == 4 ? i64(i32(i.imm)) : i64(i.imm);
  }
  constexpr bool multiple_of_eight(u32 v) const { return constant(v) && number(v) % 8 == 0; }

  constexpr Shape counter(const Counted& loop) const {
    const Shape& begin = of[loop.begin];
    const Shape& step = of[loop.step];
    if (!begin.affine || !begin.exact || !step.same()) return {};
    return {.affine = true,
            .group = begin.group && step.group,
            .aligned = begin.aligned && (step.aligned || multiple_of_eight(loop.step)),
            .stride = begin.stride};
  }

  constexpr Shape builtin(Builtin what) const {
    const bool row = k_.block[0] == k_.lanes(), eights = k_.block[0] % 8 == 0;
    switch (what) {
      case Builtin::local_index: return {.affine = true, .group = true, .aligned = true, .stride = 1};
      case Builtin::local_x:
        if (!row && !eights) return {};
        return {.affine = true, .group = row, .aligned = true, .stride = 1};
      case Builtin::local_y:
      case Builtin::local_z: return eights ? Shape{.affine = true} : Shape{};
      case Builtin::subgroup_lane: return {.affine = true, .aligned = true, .stride = 1};
      case Builtin::subgroup_index: return {.affine = true};
      default: return {.affine = true, .group = true};
    }
  }

  // The same in all lanes of a chunk, as all it is made of is.
  constexpr bool same(const Inst& i) const {
    const u32 mask = value_operands(i);
    if (mask == 0 || (i.op > Op::compose && i.op != Op::load)) return false;
    return (!(mask & 1) || of[i.a].same()) && (!(mask & 2) || of[i.b].same()) &&
           (!(mask & 4) || of[i.c].same()) && (!(mask & 8) || of[i.d].same());
  }

  constexpr Shape shape(const Inst& i) const {
    if (i.op == Op::builtin) return builtin(Builtin(i.mode));
    const bool number = is_integer(i.type) && size_of(i.type) >= 4 && i.width == 1;
    if (number) {
      const Shape s = integer(i);
      if (s.affine || s.likely) return s;
    }
    return {.affine = same(i)};
  }

  constexpr Shape integer(const Inst& i) const {
    const u32 mask = value_operands(i);
    const Shape a = mask & 1 ? of[i.a] : Shape{}, b = mask & 2 ? of[i.b] : Shape{};
    const Shape both{.group = a.group && b.group, .exact = a.exact && b.exact};
    switch (i.op) {
      case Op::constant: return {.affine = true, .group = true, .aligned = i.imm % 8 == 0};
      case Op::var_load: return {.likely = true};
      case Op::add:
      case Op::sub: {
        if (!a.affine || !b.affine || (!both.exact && a.stride != 0 && b.stride != 0)) return {};
        Shape s = with_stride(both, i.op == Op::add ? i64(a.stride) + b.stride : i64(a.stride) - b.stride);
        s.aligned = a.aligned && b.aligned;
        return s;
      }
      case Op::mul:
        if (!a.affine || !b.affine || !both.exact) return {};
        if (constant(i.a) && size_of(i.type) == 4) return times(b, number(i.a), both.group);
        if (constant(i.b) && size_of(i.type) == 4) return times(a, number(i.b), both.group);
        if (a.stride != 0 || b.stride != 0) return {};
        return {.affine = true, .group = both.group, .aligned = a.aligned || b.aligned};
      case Op::shl:
        if (!a.affine || !a.exact || !constant(i.b) || number(i.b) < 0 || number(i.b) > 16) return {};
        return times(a, i64{1} << number(i.b), a.group);
      case Op::neg:
        return a.affine && a.exact ? with_stride({.group = a.group, .aligned = a.aligned}, -a.stride)
                                   : Shape{};
      case Op::div:
      case Op::rem:
      case Op::shr:
      case Op::bit_and: return within_eight(i, a);
      case Op::cast:
      case Op::bitcast: {
        if (!is_integer(i.from) || size_of(i.from) < 4 || !a.affine) return {};
        Shape s = a;
        if (size_of(i.type) > size_of(i.from)) s.exact = a.exact && !a.wraps(4);
        else if (size_of(i.type) < size_of(i.from) && !a.exact) return {};
        return s;
      }
      default: return {};
    }
  }
  static constexpr Shape times(const Shape& a, i64 factor, bool group) {
    if (factor > kStrideMax || factor < -kStrideMax)
      return a.stride == 0 ? Shape{.affine = true, .group = group} : Shape{};
    return with_stride({.group = group, .aligned = a.aligned || factor % 8 == 0}, a.stride * factor);
  }
  // Eight in a row from a multiple of eight: divided by a multiple of eight they are one, and the remainders
  // are eight in a row again.
  constexpr Shape within_eight(const Inst& i, const Shape& a) const {
    if (is_signed(i.type) || !a.affine || !a.exact || !a.aligned || a.stride != 1 || !constant(i.b))
      return {};
    const u64 c = k_.insts[i.b].imm;
    const Shape one{.affine = true}, row{.affine = true, .aligned = true, .stride = 1};
    switch (i.op) {
      case Op::div: return c != 0 && c % 8 == 0 ? one : Shape{};
      case Op::rem: return c != 0 && c % 8 == 0 ? row : Shape{};
      case Op::shr: return c >= 3 && c < 8 * size_of(i.type) ? one : Shape{};
      default: return c % 8 == 7 && (c & (c + 1)) == 0 ? row : Shape{};
    }
  }

  View k_;
};

}  // namespace gpuio::kernel::native
