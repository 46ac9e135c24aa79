// What the native execution knows of a kernel while compiling. Part of native.hpp.
#pragma once

#include <array>

#include <gpuio/kernel/native/shape.hpp>

namespace gpuio::kernel::native {

// A value: how it grows and where it is kept. An affine one is its base, one for the workgroup or one for the
// chunk; one that is not exact is its lanes besides; any other is its lanes.
struct Value {
  Shape shape{};
  u32 base_at = 0, lanes_at = 0;  // in the row of its type
  u32 kept_at = kNone;            // where it waits, in bytes, if another segment needs it
};
struct VarPlace {
  bool uniform = false;
  u32 at = 0;
  u32 kept_at = kNone;
};
inline constexpr u32 kTypes = 14;
using RowSizes = std::array<u32, kTypes>;

inline constexpr u32 kNoSegment = kNone;
// A segment is what a chunk runs in one go: to the next barrier, or one trip of a loop that the chunks of a
// workgroup make together.
template <std::size_t N, std::size_t X>
struct FactTables {
  std::array<u32, N + 1> own_end{}, partner{};
  std::array<bool, N + 1> uniform{};
  std::array<Value, N + 1> value{};
  std::array<VarPlace, X + 1> var{};
  std::array<Counted, N + 1> counted{};
  std::array<bool, N + 1> machinery{};
  std::array<bool, N + 1> escapes{};   // a region that lanes may leave for more than its own end
  std::array<bool, N + 1> jumps{};     // a loop that something in it breaks or continues
  std::array<bool, N + 1> barriers{};  // a region, or the instruction itself
  std::array<bool, N + 1> together{};  // a loop whose trips the chunks make together
  std::array<bool, N + 1> rows{};      // ... and whose on-demand loads all take the workgroup's row
  std::array<u32, N + 1> segment{};
  RowSizes group_rows{}, base_rows{}, lane_rows{};
  u32 kept_bytes = 0;
  bool any_barrier = false, returns = false;
};

// Does the workgroup as a whole take this step, standing between segments?
constexpr bool alone(const View& k, const auto& t, u32 i) {
  const Op op = k.insts[i].op;
  return t.barriers[i] || t.together[i] || op == Op::break_ || op == Op::continue_ || op == Op::return_ ||
         (op == Op::if_ && t.escapes[i] && t.uniform[k.insts[i].a]);
}
constexpr u32 after(const View& k, const auto& t, u32 i) {
  return opens_region(k.insts[i].op) ? t.partner[i] + 1 : i + 1;
}

// Arithmetic on bases of which the workgroup has one each.
constexpr bool computed_ahead(const View& k, const auto& t, u32 i) {
  const Shape& s = t.value[i].shape;
  return k.insts[i].op <= Op::compose && s.affine && s.group && s.exact;
}

template <class Tables>
class FactMaker {
 public:
  constexpr FactMaker(const View& k, Tables& t) : k_(k), t_(t) {
    const Structure structure(k.insts);
    const Uniformity uniformity(k);
    const CountedLoops loops(k, structure);
    const Shapes shapes(k, uniformity, loops);
    const u32 n = u32(k.insts.size());
    for (u32 i = 0; i < n; ++i) {
      t.own_end[i] = structure.own_end[i];
      t.partner[i] = structure.partner[i];
      t.uniform[i] = uniformity.value[i] != 0;
      t.counted[i] = loops.loops[i];
      t.machinery[i] = loops.machinery[i] != 0;
      t.value[i].shape = shapes.of[i];
      t.segment[i] = kNoSegment;
    }
    for (u32 x = 0; x < k.vars.size(); ++x) t.var[x].uniform = uniformity.var[x] != 0;
    find_jumps();
    find_segments(0, n, false);
    place_values();
    place_vars();
  }

 private:
  constexpr void find_jumps() {
    std::vector<u32> open;
    for (u32 i = 0; i < k_.insts.size(); ++i) {
      const Op op = k_.insts[i].op;
      if (opens_region(op)) open.push_back(i);
      if (closes_region(op)) open.pop_back();
      if (t_.machinery[i]) continue;
      if (op == Op::return_) {
        t_.returns = true;
        for (const u32 r : open) t_.escapes[r] = true;
      }
      if (op == Op::break_ || op == Op::continue_) {
        for (std::size_t r = open.size(); r-- > 0;) {
          if (k_.insts[open[r]].op != Op::if_) {
            t_.jumps[open[r]] = true;
            break;
          }
          t_.escapes[open[r]] = true;
        }
      }
      if (op == Op::barrier || op == Op::barrier_any) {
        t_.barriers[i] = t_.any_barrier = true;
        for (const u32 r : open) t_.barriers[r] = true;
      }
    }
  }

  // Where the lanes of the workgroup take neighbouring elements in each trip, memory is read in its order if
  // the chunks make each trip together. It takes whole chunks, and nobody leaving.
  constexpr bool together(u32 i) const {
    const Counted& loop = t_.counted[i];
    if (!loop.known() || t_.barriers[i] || t_.jumps[i] || t_.escapes[i] || t_.returns || k_.lanes() % 8 != 0)
      return false;
    const Shape& begin = t_.value[loop.begin].shape;
    return begin.affine && begin.group && begin.exact && begin.stride != 0 && t_.uniform[loop.end] &&
           t_.uniform[loop.step];
  }

  // The workgroup's lanes take neighbours, from a place that follows from what it shares as a trip begins.
  constexpr bool takes_rows(u32 loop) const {
    const u32 body = t_.counted[loop].body;
    const auto takes_row = [&](u32 load) {
      const Shape& s = t_.value[k_.insts[load].b].shape;
      return s.affine && s.group && s.exact && s.stride == 1 && known_before(k_.insts[load].b, body, load);
    };
    u32 loads = 0, direct = 0;
    for (u32 i = body; i < t_.own_end[loop]; ++i) {
      if (k_.insts[i].op == Op::ondemand_prefetch) return false;
      loads += k_.insts[i].op == Op::ondemand_load;
    }
    for (u32 i = body; i < t_.own_end[loop]; i = after(k_, t_, i))
      direct += k_.insts[i].op == Op::ondemand_load && takes_row(i);
    return loads != 0 && loads == direct;
  }
  constexpr bool known_before(u32 v, u32 body, u32 load) const {
    if (v < body) return true;
    const Inst& i = k_.insts[v];
    const u32 mask = value_operands(i), operands[] = {i.a, i.b, i.c, i.d};
    if (v >= load || i.op > Op::compose || !computed_ahead(k_, t_, v)) return false;
    for (u32 o = 0; o < 4; ++o)
      if ((mask >> o & 1) != 0 && !known_before(operands[o], body, load)) return false;
    return true;
  }

  constexpr void find_segments(u32 from, u32 to, bool repeats) {
    bool open = false;
    for (u32 i = from; i < to; i = after(k_, t_, i)) {
      t_.together[i] = together(i);
      if (!alone(k_, t_, i)) {
        if (!open) repeats_.push_back(repeats);
        open = true;
        for (u32 j = i; j < after(k_, t_, i); ++j) t_.segment[j] = u32(repeats_.size()) - 1;
        continue;
      }
      open = false;
      if (!opens_region(k_.insts[i].op)) continue;
      if (t_.together[i]) {
        t_.rows[i] = takes_rows(i);
        repeats_.push_back(true);
        for (u32 j = i + 1; j < t_.partner[i]; ++j) t_.segment[j] = u32(repeats_.size()) - 1;
        continue;
      }
      const bool again = repeats || k_.insts[i].op != Op::if_;
      find_segments(t_.counted[i].known() ? t_.counted[i].body : i + 1, t_.own_end[i], again);
      if (t_.own_end[i] != t_.partner[i] && !t_.counted[i].known())
        find_segments(t_.own_end[i] + 1, t_.partner[i], again);
    }
  }

  constexpr u32 keep(u32 size) {
    const u32 at = t_.kept_bytes;
    t_.kept_bytes += (size + 15) / 16 * 16;
    return at;
  }
  constexpr void used(u32 user, u32 v) {
    Value& value = t_.value[v];
    if (value.kept_at != kNone || t_.segment[v] == t_.segment[user] || t_.machinery[user]) return;
    const Shape& s = value.shape;
    if (s.affine && s.group && s.exact) return;
    const Inst& i = k_.insts[v];
    const u32 size = i.type == Type::boolean ? 4 : size_of(i.type);
    value.kept_at = keep(s.affine && s.exact ? size * i.width : size * i.width * 9);
  }
  constexpr void place_values() {
    for (u32 i = 0; i < k_.insts.size(); ++i) {
      const Inst& inst = k_.insts[i];
      const u32 operands = value_operands(inst);
      if (operands & 1) used(i, inst.a);
      if (operands & 2) used(i, inst.b);
      if (operands & 4) used(i, inst.c);
      if (operands & 8) used(i, inst.d);
      if ((!has_result(inst.op) && inst.op != Op::for_) || inst.op == Op::constant) continue;
      Value& v = t_.value[i];
      if (v.shape.affine) {
        u32& row = (v.shape.group ? t_.group_rows : t_.base_rows)[u32(inst.type)];
        v.base_at = row;
        row += inst.width;
      }
      if (!v.shape.affine || !v.shape.exact) {
        v.lanes_at = t_.lane_rows[u32(inst.type)];
        t_.lane_rows[u32(inst.type)] += inst.width;
      }
    }
  }

  // A var that one segment alone uses, and sets before it reads it, need not wait anywhere.
  constexpr void place_vars() {
    std::vector<u32> first(k_.vars.size(), kNone), depth_of(k_.vars.size(), 0);
    std::vector<char> several(k_.vars.size(), 0);
    u32 depth = 0, depth_now = 0, segment = kNoSegment;
    for (u32 i = 0; i < k_.insts.size(); ++i) {
      const Inst& inst = k_.insts[i];
      if (closes_region(inst.op)) --depth;
      if (t_.segment[i] != segment) {
        segment = t_.segment[i];
        depth_now = depth;
      }
      if (opens_region(inst.op)) ++depth;
      if ((inst.op != Op::var_load && inst.op != Op::var_store) || t_.machinery[i]) continue;
      if (first[inst.a] == kNone) {
        first[inst.a] = i;
        depth_of[inst.a] = depth - depth_now;
      }
      if (t_.segment[first[inst.a]] != t_.segment[i]) several[inst.a] = 1;
    }
    for (u32 x = 0; x < k_.vars.size(); ++x) {
      VarPlace& v = t_.var[x];
      const Type type = k_.vars[x];
      u32& row = (v.uniform ? t_.base_rows : t_.lane_rows)[u32(type)];
      v.at = row++;
      if (first[x] == kNone) continue;
      const bool set_first = k_.insts[first[x]].op == Op::var_store && depth_of[x] == 0;
      const u32 in = t_.segment[first[x]];
      if (several[x] || in == kNoSegment || (repeats_[in] && !set_first))
        v.kept_at = keep((type == Type::boolean ? 4 : size_of(type)) * (v.uniform ? 1 : 8));
    }
  }

  View k_;
  Tables& t_;
  std::vector<char> repeats_{};  // of each segment: may it run more than once?
};

template <class K>
consteval auto make_facts() {
  FactTables<K::frozen().insts.size(), K::frozen().vars.size()> t;
  FactMaker(K::frozen().view(), t);
  return t;
}
template <class K>
inline constexpr auto kFacts = make_facts<K>();

// The instructions that stand directly in [Begin, End), a region by its opening one.
template <class K, u32 Begin, u32 End>
struct Section {
  static constexpr bool runs(u32 i) {
    return K::frozen().insts[i].op != Op::constant && !kFacts<K>.machinery[i];
  }
  static constexpr u32 kCount = [] {
    u32 count = 0;
    for (u32 i = Begin; i < End; i = after(K::frozen().view(), kFacts<K>, i)) count += runs(i);
    return count;
  }();
  static constexpr std::array<u32, kCount + 1> kAt = [] {
    std::array<u32, kCount + 1> at{};
    u32 count = 0;
    for (u32 i = Begin; i < End; i = after(K::frozen().view(), kFacts<K>, i))
      if (runs(i)) at[count++] = i;
    return at;
  }();
};

}  // namespace gpuio::kernel::native
