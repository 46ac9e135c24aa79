// Integers as the verifier sees them: ranges, and sums of symbols times constants.
//
// A symbol is a value that no sum explains: a lane coordinate, the trip number of a for, a loaded value. One
// that is divided by a constant has digits, symbols too: t = 16 * (t / 16) + t % 16; and so on, t / 64 is t /
// 16 divided by 4. Shifts and masks are such divisions.
// Literal types, constexpr.
#pragma once

#include <gpuio/kernel/list.hpp>

namespace gpuio::kernel::detail {

inline constexpr i64 kHuge = i64{1} << 61;  // stands for everything beyond: nothing is known of such a value

constexpr i64 clamp(i64 v) { return v > kHuge ? kHuge : v < -kHuge ? -kHuge : v; }
constexpr i64 sat_add(i64 a, i64 b) { return clamp(a + b); }  // both within ±2^61
constexpr i64 sat_mul(i64 a, i64 b) {
  if (a == 0 || b == 0) return 0;
  const i64 x = a < 0 ? -a : a, y = b < 0 ? -b : b;
  if (x > kHuge / y) return (a < 0) == (b < 0) ? kHuge : -kHuge;
  return clamp(a * b);
}

constexpr i64 floor_div(i64 a, i64 b) { return a / b - (a % b < 0); }  // b > 0
constexpr i64 ceil_div(i64 a, i64 b) { return -floor_div(-a, b); }

struct Range {
  i64 lo, hi;
  constexpr bool operator==(const Range&) const = default;
  constexpr bool huge() const { return hi >= kHuge || lo <= -kHuge; }
  constexpr bool within(Range o) const { return lo >= o.lo && hi <= o.hi; }
  constexpr Range join(Range o) const { return {lo < o.lo ? lo : o.lo, hi > o.hi ? hi : o.hi}; }
};
constexpr Range operator+(Range a, Range b) { return {sat_add(a.lo, b.lo), sat_add(a.hi, b.hi)}; }
constexpr Range operator*(i64 k, Range a) {
  const i64 x = sat_mul(k, a.lo), y = sat_mul(k, a.hi);
  return k >= 0 ? Range{x, y} : Range{y, x};
}

constexpr Range range_of_type(Type t) {
  switch (t) {
    case Type::boolean: return {0, 1};
    case Type::u8: return {0, 255};
    case Type::i8: return {-128, 127};
    case Type::u16: return {0, 65535};
    case Type::i16: return {-32768, 32767};
    case Type::u32: return {0, 0xffffffff};
    case Type::i32: return {-(i64{1} << 31), (i64{1} << 31) - 1};
    case Type::u64: return {0, kHuge};
    default: return {-kHuge, kHuge};
  }
}
constexpr i64 constant_value(const Inst& i) {
  if (is_signed(i.type) && size_of(i.type) < 8) {
    const u32 shift = 64 - 8 * size_of(i.type);
    return i64(i.imm << shift) >> shift;
  }
  return i.imm > u64(kHuge) && !is_signed(i.type) ? kHuge : clamp(i64(i.imm));
}

// A sum: constant + Σ coefficient * symbol, sorted by symbol, none zero.
struct Affine {
  static constexpr u32 kTerms = 8;
  struct Term {
    u32 symbol;
    i64 factor;
    constexpr bool operator==(const Term&) const = default;
  };
  i64 constant = 0;
  u32 count = 0;
  bool known = true;
  Term terms[kTerms]{};

  constexpr i64 factor(u32 symbol) const {
    for (u32 i = 0; i < count; ++i)
      if (terms[i].symbol == symbol) return terms[i].factor;
    return 0;
  }
  constexpr void add(u32 symbol, i64 f) {
    if (f == 0 || !known) return;
    u32 at = 0;
    while (at < count && terms[at].symbol < symbol) ++at;
    if (at < count && terms[at].symbol == symbol) {
      terms[at].factor = sat_add(terms[at].factor, f);
      if (terms[at].factor == 0) {
        for (u32 i = at + 1; i < count; ++i) terms[i - 1] = terms[i];
        --count;
      }
      return;
    }
    if (count == kTerms) {
      known = false;
      return;
    }
    for (u32 i = count++; i > at; --i) terms[i] = terms[i - 1];
    terms[at] = {symbol, f};
  }
  constexpr bool operator==(const Affine& o) const {
    if (constant != o.constant || count != o.count || known != o.known) return false;
    for (u32 i = 0; i < count; ++i)
      if (!(terms[i] == o.terms[i])) return false;
    return true;
  }
};
// a + k * b
constexpr Affine sum(Affine a, i64 k, const Affine& b) {
  a.known = a.known && b.known && b.constant > -kHuge / 4 && b.constant < kHuge / 4 && k > -(i64{1} << 33) &&
            k < (i64{1} << 33);
  if (!a.known) return a;
  a.constant = sat_add(a.constant, sat_mul(k, b.constant));
  for (u32 i = 0; i < b.count; ++i) a.add(b.terms[i].symbol, sat_mul(k, b.terms[i].factor));
  return a;
}

// The symbols of a kernel.
class Symbols {
 public:
  // Lane coordinates are the first symbols.
  enum : u32 { kX, kY, kZ, kSubgroupLane, kSubgroupIndex, kCoordinates };
  struct Symbol {
    Range range{};
    u32 position = 0;        // the instruction that made it; 0: the same throughout the kernel
    bool divergent = false;  // lanes have their own
    bool exact = false;      // takes every value of its range (lane coordinates, trip numbers)
    bool grid = false;       // the workgroup's place in the grid
    u32 split = kNone;       // the first of its splits
    u32 digit_of = kNone;    // the split that it is a digit of
  };
  // whole = size * high + low, 0 <= low < size
  struct Split {
    u32 whole = 0;
    i64 size = 1;
    u32 high = 0, low = 0;
    u32 next = kNone;  // of the same whole
  };

  constexpr const Symbol& symbol(u32 s) const { return symbols_.data[s]; }
  constexpr const List<Split>& splits() const { return splits_; }
  // The symbol that s is a digit of a digit of.
  constexpr u32 root(u32 s) const {
    while (symbols_.data[s].digit_of != kNone) s = splits_.data[symbols_.data[s].digit_of].whole;
    return s;
  }
  // Writes those symbols as their digits of which a digit occurs in the list; `known` gets what their ranges
  // say that those of the digits do not, as sums >= 0.
  constexpr void refine(List<Affine>& sums, List<Affine>& known) const {
    List<u32> used, chain;
    for (u32 n = 0; n < sums.count; ++n)
      for (u32 t = 0; t < sums.data[n].count; ++t) {
        chain.clear();
        for (u32 d = symbols_.data[sums.data[n].terms[t].symbol].digit_of; d != kNone;
             d = symbols_.data[splits_.data[d].whole].digit_of)
          chain.push(d);
        for (; chain.count; chain.pop()) {
          const u32 d = chain.back();
          bool seen = false;
          for (u32 u = 0; u < used.count; ++u) seen = seen || used.data[u] == d;
          if (!seen) used.push(d);
        }
      }
    for (u32 u = 0; u < used.count; ++u) {  // a whole before its digits, and so its digits' own
      const Split& split = splits_.data[used.data[u]];
      for (u32 n = 0; n < sums.count; ++n) expand(sums.data[n], split);
      for (u32 n = 0; n < known.count; ++n) expand(known.data[n], split);
      const Symbol& whole = symbols_.data[split.whole];
      const Range high = split.size * symbols_.data[split.high].range, low = symbols_.data[split.low].range;
      Affine value;
      value.add(split.high, split.size);
      value.add(split.low, 1);
      if (high.lo + low.lo < whole.range.lo) {
        known.push(value);
        known.back().constant = -whole.range.lo;
      }
      if (high.hi + low.hi > whole.range.hi) {
        Affine most;
        most.constant = whole.range.hi;
        known.push(sum(most, -1, value));
      }
    }
  }
  constexpr Range bounds(const Affine& a) const {
    if (!a.known) return {-kHuge, kHuge};
    Range r{a.constant, a.constant};
    for (u32 i = 0; i < a.count; ++i) r = r + a.terms[i].factor * symbols_.data[a.terms[i].symbol].range;
    return r;
  }

 protected:
  static constexpr i64 kMostDivisor = i64{1} << 40;
  constexpr u32 new_symbol(Range r, u32 position, bool divergent, bool exact = false) {
    symbols_.push({.range = r, .position = position, .divergent = divergent, .exact = exact});
    return symbols_.count - 1;
  }
  constexpr Affine alone(u32 symbol) const {
    Affine a;
    a.add(symbol, 1);
    return a;
  }
  struct Parts {
    Affine high, low;
  };
  // a = c * high + low with 0 <= low < c, or unknown.
  constexpr Parts divide(const Affine& a, i64 c) {
    Parts p;
    p.high.known = p.low.known = a.known && c <= kMostDivisor;
    if (!p.low.known) return p;
    p.high.constant = floor_div(a.constant, c);
    p.low.constant = a.constant - c * p.high.constant;
    for (u32 t = 0; t < a.count; ++t) divide_term(p, a.terms[t].symbol, a.terms[t].factor, c);
    if (!bounds(p.low).within({0, c - 1})) p.high.known = p.low.known = false;
    return p;
  }

 private:
  constexpr void divide_term(Parts& p, u32 symbol, i64 factor, i64 c) {
    const i64 size = factor < 0 ? -factor : factor;
    const Symbol& s = symbols_.data[symbol];
    if (size >= kMostDivisor || (size * s.range).within({1 - c, c - 1})) return p.low.add(symbol, factor);
    if (factor % c == 0) return p.high.add(symbol, factor / c);
    for (u32 d = s.split; d != kNone; d = splits_.data[d].next) {
      const Split by = splits_.data[d];
      const i64 all = sat_mul(size, by.size);
      if (all % c != 0 && c % all != 0) continue;
      divide_term(p, by.high, sat_mul(factor, by.size), c);
      return divide_term(p, by.low, factor, c);
    }
    if (c % size == 0 && s.range.lo >= 0 && !s.range.huge()) {
      const Split by = split(symbol, c / size);
      p.high.add(by.high, factor / size);
      return p.low.add(by.low, factor);
    }
    p.high.add(symbol, factor / c);
    p.low.add(symbol, factor % c);
  }
  constexpr Split split(u32 whole, i64 size) {
    const Symbol s = symbols_.data[whole];
    const bool full = s.range.lo == 0 && (s.range.hi + 1) % size == 0;
    const Split made{whole, size, symbols_.count, symbols_.count + 1, s.split};
    Symbol digit = s;
    digit.exact = s.exact && full && s.split == kNone;  // digits of two splits are not independent
    digit.split = kNone;
    digit.digit_of = splits_.count;
    digit.range = {s.range.lo / size, s.range.hi / size};
    symbols_.push(digit);
    digit.range = {0, size - 1};
    symbols_.push(digit);
    symbols_.data[whole].split = digit.digit_of;
    splits_.push(made);
    return made;
  }
  static constexpr void expand(Affine& a, const Split& by) {
    const i64 factor = a.factor(by.whole);
    if (factor == 0) return;
    a.add(by.whole, -factor);
    a.add(by.high, sat_mul(factor, by.size));
    a.add(by.low, factor);
  }

 protected:
  List<Symbol> symbols_;

 private:
  List<Split> splits_;
};

}  // namespace gpuio::kernel::detail
