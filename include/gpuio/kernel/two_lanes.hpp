// Can two lanes name one element? Their indices, sums of symbols, are subtracted: the first's symbols stand
// for themselves; the second's, where its lane or iteration is another, have a number above all. What is
// known of the difference are the ranges of symbols, under the conditions around both accesses.
//
//   const TwoLanes lanes(ints, x, y, facts, first, iterations);
//   if (lanes.apart(1, 1) || lanes.one_lane(1, 1)) ...   // no race
//
// constexpr; borrows the Integers.
#pragma once

#include <gpuio/kernel/affine.hpp>

namespace gpuio::kernel::detail {

class TwoLanes {
 public:
  // Conditions (sums >= 0): those from `first` on are the second's. What is made in the instructions
  // [old[0], old[1]) may be of another iteration.
  constexpr TwoLanes(const Integers& ints, const Affine& x, const Affine& y, List<Affine>& facts, u32 first,
                     std::array<u32, 2> old)
      : ints_(ints), old_begin_(old[0]), old_end_(old[1]) {
    if (ints.splits().count == 0) {
      for (u32 f = first; f < facts.count; ++f) become_second(facts.data[f]);
      facts_ = std::move(facts);
      d_ = y.known && y.count == 0 && y.constant == 0 ? x : sum(x, -1, second(y));
      return;
    }
    List<Affine> both;  // of both lanes
    facts.push(x);
    facts.push(y);
    ints.refine(facts, both);
    d_ = sum(facts.data[facts.count - 2], -1, second(facts.back()));
    for (u32 f = 0; f + 2 < facts.count; ++f)
      if (facts.data[f].known) facts_.push(f < first ? facts.data[f] : second(facts.data[f]));
    for (u32 f = 0; f < both.count; ++f) {
      if (!both.data[f].known) continue;
      facts_.push(both.data[f]);
      const Affine other = second(both.data[f]);
      if (!(other == both.data[f])) facts_.push(other);
    }
  }

  constexpr bool known() const { return d_.known; }
  // Of the difference; of x where y is nothing. `narrowed`: takes longer and is closer.
  constexpr i64 least(bool narrowed = false) const { return least(d_, narrowed); }
  constexpr i64 most(bool narrowed = false) const { return -least(sum(Affine{}, -1, d_), narrowed); }
  // No lane meets the conditions.
  constexpr bool nobody() const {
    for (u32 n = 0; n < facts_.count; ++n) {
      const Affine& f = facts_.data[n];
      i64 most = f.constant;
      for (u32 t = 0; t < f.count; ++t) {
        const Affine::Term& term = f.terms[t];
        most = sat_add(most, (term.factor * of(term.symbol).range).hi);
      }
      if (most < 0) return true;
    }
    return false;
  }
  // Does it take every value from the least to the most?
  constexpr bool exact() const {
    for (u32 t = 0; t < d_.count; ++t)
      if (!of(d_.terms[t].symbol).exact) return false;
    return true;
  }

  // x - y is never in (-width of the first, width of the second).
  constexpr bool apart(i64 width_a, i64 width_b) const {
    if (least() >= width_b || most() <= -width_a) return true;
    if (width_a == 1 && width_b == 1 && d_.count) {  // different remainders
      i64 g = 0;
      for (u32 i = 0; i < d_.count; ++i) {
        i64 p = d_.terms[i].factor < 0 ? -d_.terms[i].factor : d_.terms[i].factor;
        while (p) {
          const i64 r = g % p;
          g = p;
          p = r;
        }
      }
      if (d_.constant % g != 0) return true;
    }
    // A symbol of few values, such as which half of a double buffer: each on its own.
    for (u32 i = 0; i < d_.count; ++i) {
      const Affine::Term t = d_.terms[i];
      const Range r = of(t.symbol).range;
      if (t.symbol & kSecond || of(t.symbol).divergent || r.hi - r.lo > 3) continue;
      bool all = true;
      for (i64 v = r.lo; v <= r.hi && all; ++v) {
        Affine one = d_;
        one.add(t.symbol, -t.factor);
        one.constant = sat_add(one.constant, sat_mul(v, t.factor));
        all = least(one) >= width_b || -least(sum(Affine{}, -1, one)) <= -width_a;
      }
      if (all) return true;
    }
    return false;
  }

  // Where elements meet, both are one lane (or they never do). The difference is c + Σ f * g, taken from the
  // largest factor f down: what is below leaves one value to each g, or none. A g that is 0 and the
  // difference of one symbol says that it is equal in both; so do the conditions alone where they leave one
  // value.
  constexpr bool one_lane(i64 width_a, i64 width_b) const {
    List<u32> equal;
    return !meet(width_a, width_b, equal) || names_lane(equal);
  }
  // Not even one lane's own elements meet, by the same steps.
  constexpr bool never_meet(i64 width_a, i64 width_b) const {
    List<u32> equal;
    return !meet(width_a, width_b, equal);
  }

 private:
  static constexpr u32 kSecond = u32{1} << 30;
  struct Level {
    i64 factor = 0;
    Range range{};
    u32 terms = 0;
    u32 of = kNone;  // the symbol whose difference it is
  };

  // May they? `equal`: the symbols that then are equal in both.
  constexpr bool meet(i64 width_a, i64 width_b, List<u32>& equal) const {
    std::array<Level, Affine::kTerms> levels{};
    const u32 count = sort_by_factor(levels);
    i64 c = d_.constant;
    for (u32 l = count; l-- > 0;) {
      Range below{0, 0};
      for (u32 i = 0; i < l; ++i) below = below + levels[i].factor * levels[i].range;
      const Level& level = levels[l];
      const i64 least = ceil_div(sat_add(sat_add(1 - width_a, -c), -below.hi), level.factor);
      const i64 most = floor_div(sat_add(sat_add(width_b - 1, -c), -below.lo), level.factor);
      const i64 lo = least > level.range.lo ? least : level.range.lo,
                hi = most < level.range.hi ? most : level.range.hi;
      if (lo > hi) return false;
      if (lo < hi) break;
      if (lo == 0 && level.of != kNone) equal.push(level.of);
      c = sat_add(c, sat_mul(level.factor, lo));
    }
    return true;
  }

  constexpr const Symbols::Symbol& of(u32 symbol) const { return ints_.symbol(symbol & ~kSecond); }
  constexpr Affine second(const Affine& a) const {
    Affine r = a;
    become_second(r);
    return r;
  }
  // Stays sorted: what is the second's own goes behind the rest.
  constexpr void become_second(Affine& a) const {
    u32 own = 0;
    Affine::Term behind[Affine::kTerms]{};
    for (u32 i = 0; i < a.count; ++i) {
      const Affine::Term t = a.terms[i];
      const Symbols::Symbol& s = of(t.symbol);
      const bool varies = old_end_ && s.position >= old_begin_ && s.position < old_end_ && s.position != 0;
      if (s.divergent || varies) behind[own++] = {t.symbol | kSecond, t.factor};
      else a.terms[i - own] = t;
    }
    for (u32 i = 0; i < own; ++i) a.terms[a.count - own + i] = behind[i];
  }

  // --- Ranges under conditions ---
  // `narrowed`: the other symbols of a condition are under the conditions too.
  constexpr Range range(u32 s, bool narrowed = false) const {
    Range r = of(s).range;
    for (u32 n = 0; n < facts_.count; ++n) {
      const Affine& f = facts_.data[n];
      const i64 k = f.factor(s);
      i64 rest = f.constant;  // factor * s + rest >= 0, the other symbols at their most
      if (k == 0) continue;
      bool bounded = true;
      for (u32 t = 0; t < f.count && bounded; ++t) {
        if (f.terms[t].symbol == s) continue;
        const u32 symbol = f.terms[t].symbol;
        const Range other = f.terms[t].factor * (narrowed ? range(symbol) : of(symbol).range);
        bounded = !other.huge();
        rest = sat_add(rest, other.hi);
      }
      if (!bounded) continue;
      if (k > 0) {
        const i64 least = rest >= 0 ? -(rest / k) : (-rest + k - 1) / k;
        if (least > r.lo) r.lo = least;
      } else {
        const i64 most = rest >= 0 ? rest / -k : -((-rest + -k - 1) / -k);
        if (most < r.hi) r.hi = most;
      }
    }
    return r;
  }
  constexpr i64 lowest(const Affine& a, bool narrowed) const {
    i64 lo = a.constant;
    for (u32 i = 0; i < a.count; ++i)
      lo = sat_add(lo, (a.terms[i].factor * range(a.terms[i].symbol, narrowed)).lo);
    return a.known ? lo : -kHuge;
  }
  // The least value of a, also after taking a condition (>= 0) off it, as often as a shared symbol says.
  constexpr i64 least(const Affine& a, bool narrowed = false) const {
    i64 best = lowest(a, narrowed);
    for (u32 n = 0; n < facts_.count; ++n) {
      const Affine& f = facts_.data[n];
      if (f.count < 2) continue;
      for (u32 t = 0; t < f.count; ++t) {
        const i64 mine = a.factor(f.terms[t].symbol), its = f.terms[t].factor;
        if (mine == 0 || mine % its != 0 || mine / its <= 0) continue;
        const i64 lo = lowest(sum(a, -(mine / its), f), narrowed);
        if (lo > best) best = lo;
      }
    }
    return best;
  }

  // --- One lane ---
  constexpr u32 sort_by_factor(std::array<Level, Affine::kTerms>& levels) const {
    u32 count = 0;
    for (u32 i = 0; i < d_.count; ++i) {
      const Affine::Term t = d_.terms[i];
      const i64 size = t.factor < 0 ? -t.factor : t.factor;
      u32 at = 0;
      while (at < count && levels[at].factor < size) ++at;
      if (at == count || levels[at].factor != size) {
        for (u32 l = count++; l > at; --l) levels[l] = levels[l - 1];
        levels[at] = {.factor = size};
      }
      Level& level = levels[at];
      level.range = level.range + (t.factor / size) * range(t.symbol);
      const bool pair =
          ++level.terms == 2 && t.symbol & kSecond && d_.factor(t.symbol & ~kSecond) == -t.factor;
      level.of = pair ? t.symbol & ~kSecond : kNone;
    }
    return count;
  }
  constexpr bool point(u32 symbol) const {
    const Range r = range(symbol, true);
    return r.lo == r.hi && r == range(symbol | kSecond, true);
  }
  // The symbols that are equal in both, and those of which the conditions leave one value, say which lane it
  // is.
  constexpr bool names_lane(List<u32>& equal) const {
    const auto same = [&](u32 s) {
      for (u32 e = 0; e < equal.count; ++e)
        if (equal.data[e] == s) return true;
      return point(s);
    };
    for (u32 i = ints_.splits().count; i-- > 0;) {
      const Symbols::Split& split = ints_.splits().data[i];
      if (of(split.whole).divergent && same(split.high) && same(split.low)) equal.push(split.whole);
    }
    return (same(Integers::kX) && same(Integers::kY) && same(Integers::kZ)) ||
           (same(Integers::kSubgroupLane) && same(Integers::kSubgroupIndex));
  }

  const Integers& ints_;
  const u32 old_begin_, old_end_;
  List<Affine> facts_;
  Affine d_;
};

}  // namespace gpuio::kernel::detail
