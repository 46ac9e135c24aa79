// What is known about integers in a kernel while compiling: a range for each value, and its form as a sum of
// symbols times constants (symbols.hpp). The verifier compares indices of two lanes with it.
//
// Sums are taken in the integers; the devices take them modulo 2^32 or 2^64, which gives the same element
// wherever the index is in range. Literal types, constexpr.
#pragma once

#include <gpuio/kernel/symbols.hpp>
#include <gpuio/kernel/verify_flow.hpp>

#include <bit>

namespace gpuio::kernel::detail {

// Ranges and sums of all integer values of a kernel.
class Integers : public Symbols {
 public:
  constexpr Integers(const View& v, const Flow& flow)
      : v_(v),
        insts_(v.insts.data()),
        size_(u32(v.insts.size())),
        flow_(flow),
        range_(size_, Numbers<Range>::kUnset),
        var_(v.vars.size()),
        var_read_(v.vars.size()),
        sum_(size_),
        needed_(size_),
        number_(size_, kUnset),
        own_(size_, kUnset),
        position_(size_, kUnset),
        seen_(v.vars.size()),
        end_(size_, kUnset),
        middle_(size_, kUnset) {
    match_brackets();
    ranges();
    const u32 many = find_needed();
    u32 capacity = 16;
    while (capacity < 2 * many) capacity *= 2;
    sums(Numbers<u32>(capacity).data, capacity - 1);
  }

  constexpr const Affine& sum_of(u32 value) const { return sums_.data[sum_.data[value]]; }
  // Values that share the number of a sum have one sum.
  constexpr u32 sum_number(u32 value) const { return sum_.data[value]; }
  // Two values with one number are equal wherever both are defined, in one iteration.
  constexpr u32 number(u32 value) const { return number_.data[value]; }
  constexpr u32 end_of(u32 opening) const { return end_.data[opening]; }      // the bracket that closes it
  constexpr u32 else_of(u32 opening) const { return middle_.data[opening]; }  // or kNone

 private:
  static constexpr auto kUnset = Numbers<u32>::kUnset;

  constexpr Range builtin_range(Builtin b) const {
    const i64 lanes = v_.lanes();
    switch (b) {
      case Builtin::local_x: return {0, i64(v_.block[0]) - 1};
      case Builtin::local_y: return {0, i64(v_.block[1]) - 1};
      case Builtin::local_z: return {0, i64(v_.block[2]) - 1};
      case Builtin::local_index: return {0, lanes - 1};
      case Builtin::subgroup_index: return {0, lanes - 1};
      case Builtin::subgroup_lane: return {0, 127};
      case Builtin::subgroup_size: return {1, 128};
      default: return {0, 0xffffffff};
    }
  }

  // Ranges: forward, again while vars grow that were read before; those that go on growing get their type's.
  constexpr void ranges() {
    for (u32 round = 0;; ++round) {
      bool again = false;
      for (u32 v = 0; v < u32(v_.vars.size()); ++v) var_read_.data[v] = false;
      for (u32 n = 0; n < size_; ++n) {
        const Inst& i = insts_[n];
        if (is_float(i.type) || i.type == Type::none) continue;
        if (i.op != Op::var_store) {
          if (i.op == Op::var_load) var_read_.data[i.a] = true;
          range_.data[n] = evaluate(i);
          continue;
        }
        Range& var = var_.data[i.a];
        const Range joined = var.join(range_.data[i.b]);
        if (joined == var) continue;
        again = again || var_read_.data[i.a];
        var = round >= 2 ? range_of_type(i.type) : joined;
      }
      if (!again) return;
    }
  }
  static constexpr Range bits_up_to(i64 v) {
    i64 m = 1;
    while (m <= v && m < kHuge) m *= 2;
    return {0, m - 1};
  }
  // Of integers and booleans.
  constexpr Range evaluate(const Inst& i) const {
    if (i.op == Op::var_load) return var_.data[i.a];
    const Range all = range_of_type(i.type);
    if (i.op == Op::constant) return constant_range(i, all);
    if (i.op == Op::builtin) return builtin_range(Builtin(i.mode));
    if ((i.op > Op::bitcast && i.op != Op::for_) || (i.op >= Op::eq && i.op <= Op::ge)) return all;
    if (i.op >= Op::cast && i.op <= Op::bitcast && is_float(i.from)) return all;
    const u32 operands = value_operands(i);
    const Range a = operands & 1 ? range_.data[i.a] : Range{};
    const Range b = operands & 2 ? range_.data[i.b] : Range{};
    if (a.huge() || b.huge()) return evaluate_huge(i, a, b, all);
    const auto fit = [&](Range r) { return r.within(all) && !r.huge() ? r : all; };
    switch (i.op) {
      case Op::add: return fit(a + b);
      case Op::sub: return fit(a + -1 * b);
      case Op::mul: {
        const Range x = b.lo * a, y = b.hi * a;
        return fit(x.join(y));
      }
      case Op::div: return a.lo >= 0 && b.lo > 0 ? Range{a.lo / b.hi, a.hi / b.lo} : all;
      case Op::rem: return a.lo >= 0 && b.lo > 0 ? Range{0, a.hi < b.hi - 1 ? a.hi : b.hi - 1} : all;
      case Op::min: return {a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
      case Op::max: return {a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
      case Op::bit_and:
        if (a.lo >= 0 && b.lo >= 0) return {0, a.hi < b.hi ? a.hi : b.hi};
        return b.lo >= 0 ? Range{0, b.hi} : a.lo >= 0 ? Range{0, a.hi} : all;
      case Op::bit_or:
      case Op::bit_xor: return a.lo >= 0 && b.lo >= 0 ? fit(bits_up_to(a.hi > b.hi ? a.hi : b.hi)) : all;
      case Op::shl: return b.lo == b.hi && b.lo < 62 ? fit((i64{1} << b.lo) * a) : all;
      case Op::shr:
        return a.lo >= 0 && b.lo >= 0 && b.hi < 8 * size_of(i.type) ? Range{a.lo >> b.hi, a.hi >> b.lo} : all;
      case Op::select: return b.join(range_.data[i.c]);
      case Op::cast: return is_integer(i.from) || i.from == Type::boolean ? fit(a) : all;
      case Op::bitcast: return is_integer(i.from) ? fit(a) : all;
      case Op::popcount: return {0, 64};
      case Op::count_leading_zeros: return {0, 64};
      case Op::for_: return a.lo < b.hi ? Range{a.lo, b.hi - 1} : Range{a.lo, a.lo};
      default: return all;
    }
  }

  constexpr Range constant_range(const Inst& i, Range all) const {
    Range r{constant_value(i), constant_value(i)};
    if (i.a != kNone) {
      Inst least = i, most = i;
      least.imm = v_.constants[i.a].least;
      most.imm = v_.constants[i.a].most;
      r = {constant_value(least), constant_value(most)};
    }
    return r.huge() ? all : r;
  }

  // With an operand of which nothing is known: what the other one, or the operation, still says.
  constexpr Range evaluate_huge(const Inst& i, Range a, Range b, Range all) const {
    switch (i.op) {
      case Op::min: return b.lo >= 0 && a.lo >= 0 ? Range{0, a.hi < b.hi ? a.hi : b.hi} : all;
      case Op::bit_and:
        return b.lo >= 0 && !b.huge() ? Range{0, b.hi} : a.lo >= 0 && !a.huge() ? Range{0, a.hi} : all;
      case Op::rem: return !b.huge() && b.lo > 0 && a.lo >= 0 ? Range{0, b.hi - 1} : all;
      case Op::shr:
        if (is_signed(i.type) || b.huge() || b.lo <= 2 || b.hi >= 8 * size_of(i.type)) return all;
        return {0, i64(~u64{0} >> b.lo)};
      case Op::popcount:
      case Op::count_leading_zeros: return {0, 64};
      case Op::select: return b.join(range_.data[i.c]);
      case Op::for_: return a.lo >= 0 ? Range{a.huge() ? 0 : a.lo, all.hi} : all;
      default: return all;
    }
  }

  // Sums and value numbers: forward, once. A var_load is numbered by the store it sees.
  constexpr void sums(u32* table, u32 mask) {
    const bool many = v_.lanes() > 1;
    for (u32 axis = 0; axis < 3; ++axis)
      new_symbol({0, i64(v_.block[axis]) - 1}, 0, v_.block[axis] > 1, true);
    new_symbol({0, 127}, 0, many);
    new_symbol({0, i64(v_.lanes()) - 1}, 0, many);
    sums_.push({});
    sums_.back().known = false;
    List<u32> opened;
    for (u32 i = 0; i < size_; ++i) {
      const Inst& inst = insts_[i];
      if (inst.op == Op::var_store) seen_.data[inst.a] = i;
      else if (is_control(inst.op)) control(i, inst.op, opened);
      number_.data[i] = i;
      position_.data[i] = i;
      if (needed_.data[i]) number_value(i, table, mask);
    }
  }
  constexpr void control(u32 i, Op op, List<u32>& opened) {
    switch (op) {
      case Op::for_:
      case Op::loop:
        forget(i, end_.data[i], i);  // what the body stores differs in each iteration
        opened.push(i);
        break;
      case Op::if_: opened.push(i); break;
      case Op::else_: forget(opened.back(), i, i); break;
      case Op::end_if:
      case Op::end_for:
      case Op::end_loop:
        forget(opened.back(), i, i);
        opened.pop();
        break;
      default: break;
    }
  }
  constexpr void match_brackets() {
    List<u32> opened;
    for (u32 i = 0; i < size_; ++i) {
      const Op op = insts_[i].op;
      if (!is_control(op)) continue;
      if (opens_region(op)) {
        middle_.data[i] = kNone;
        opened.push(i);
      } else if (op == Op::else_) {
        middle_.data[opened.back()] = i;
      } else if (closes_region(op)) {
        end_.data[opened.back()] = i;
        opened.pop();
      }
    }
  }
  // Values that indices, conditions and bounds are made of; floats and what only they need are left alone.
  // How many.
  constexpr u32 find_needed() {
    u8* const needed = needed_.data;
    u32 count = 0;
    for (u32 n = size_; n-- > 0;) {
      const Inst& i = insts_[n];
      if (i.op >= Op::load) find_roots(n, i, needed);
      if (!needed[n]) continue;
      ++count;
      if (!(i.op <= Op::compose || i.op == Op::for_)) continue;
      if (i.from != Type::none && !is_integer(i.from) && i.from != Type::boolean) continue;
      const u32 mask = value_operands(i);
      if (mask & 1) needed[i.a] = 1;
      if (mask & 2) needed[i.b] = 1;
      if (mask & 4) needed[i.c] = 1;
    }
    return count;
  }
  constexpr void find_roots(u32 n, const Inst& i, u8* needed) const {
    if (is_access(i.op)) {
      if (i.a & kShared || i.width > 1 || v_.params[i.a].count != 0) needed[i.b] = 1;
    } else if (i.op == Op::if_) {
      needed[i.a] = 1;
    } else if (i.op == Op::for_) {
      needed[n] = 1;
    } else if (i.op == Op::ondemand_load) {
      if (v_.params[i.a].count != 0) needed[i.b] = 1;
    } else if (i.op == Op::tensor_load) {
      needed[i.b] = 1;
    } else if (value_operands(i) == 0b1010) {
      needed[i.b] = needed[i.d] = 1;
    }
  }
  constexpr void keep(u32 n, const Affine& a) {
    sum_.data[n] = sums_.count;
    sums_.push(a);
  }
  // From `here` on, vars stored in [from, to) hold something new.
  constexpr void forget(u32 from, u32 to, u32 here) {
    for (u32 i = from; i < to; ++i)
      if (insts_[i].op == Op::var_store) seen_.data[insts_[i].a] = here;
  }

  // What an instruction names, by numbers.
  struct Key {
    u32 a, b, c, d;
  };
  constexpr void number_value(u32 n, u32* table, u32 table_mask) {
    const Inst& i = insts_[n];
    Key key{i.a, i.b, i.c, i.d};
    const u32 mask = value_operands(i);
    u32 position = 0;
    const auto canon = [&](u32& v) {
      position = position > position_.data[v] ? position : position_.data[v];
      v = number_.data[v];
    };
    if (mask & 1) canon(key.a);
    if (mask & 2) canon(key.b);
    if (mask & 4) canon(key.c);
    if (mask & 8) canon(key.d);
    position_.data[n] = position;
    if (i.op == Op::var_load) {
      key.b = seen_.data[key.a];
      position_.data[n] = key.b;
    } else if (!pure(i.op)) {
      position_.data[n] = n;
      if (is_integer(i.type)) keep(n, sum_of_inst(n));
      return;
    }
    u64 h = u64(i.op) * 0x9E3779B97F4A7C15u + u64(i.type) * 31 + u64(i.from) * 131 + i.mode * 7 + i.imm;
    h = (h ^ key.a) * 0x9E3779B97F4A7C15u;
    h = (h ^ (h >> 29) ^ key.b) * 0x9E3779B97F4A7C15u;
    h = (h ^ (h >> 29) ^ key.c) * 0x9E3779B97F4A7C15u;
    u64 at = (h >> 20) & table_mask;
    while (table[at]) {
      const u32 other = table[at] - 1;
      if (same(other, i, key)) {
        number_.data[n] = other;
        sum_.data[n] = sum_.data[other];
        return;
      }
      at = (at + 1) & table_mask;
    }
    table[at] = n + 1;
    if (is_integer(i.type)) keep(n, sum_of_inst(n));
    if (i.op == Op::var_load) own_.data[n] = key.b;
  }
  constexpr bool same(u32 other, const Inst& i, const Key& key) const {
    const Inst& o = insts_[other];
    if (o.op != i.op || o.type != i.type || o.from != i.from || o.mode != i.mode || o.imm != i.imm ||
        o.width != i.width)
      return false;
    if (o.op == Op::var_load) return o.a == key.a && own_.data[other] == key.b;
    const u32 mask = value_operands(o);
    return (mask & 1 ? number_.data[o.a] : o.a) == key.a && (mask & 2 ? number_.data[o.b] : o.b) == key.b &&
           (mask & 4 ? number_.data[o.c] : o.c) == key.c && (mask & 8 ? number_.data[o.d] : o.d) == key.d;
  }
  static constexpr bool pure(Op op) {
    return op <= Op::compose;  // leaves, arithmetic, comparison, select, casts, vectors
  }

  constexpr Affine opaque(u32 n) {
    return alone(new_symbol(range_.data[n], position_.data[n], flow_.divergent(n)));
  }
  constexpr Affine sum_of_inst(u32 n) {
    const Inst& i = insts_[n];
    Affine r;
    switch (i.op) {
      case Op::constant:
        r.constant = constant_value(i);
        r.known = is_literal(i) && r.constant > -kHuge / 4 && r.constant < kHuge / 4;
        break;
      case Op::builtin: return builtin(n, Builtin(i.mode));
      case Op::add: r = sum(sum_of(i.a), 1, sum_of(i.b)); break;
      case Op::sub: r = sum(sum_of(i.a), -1, sum_of(i.b)); break;
      case Op::mul:
        if (sum_of(i.b).known && sum_of(i.b).count == 0) r = sum(r, sum_of(i.b).constant, sum_of(i.a));
        else if (sum_of(i.a).known && sum_of(i.a).count == 0) r = sum(r, sum_of(i.a).constant, sum_of(i.b));
        else r.known = false;
        break;
      case Op::shl:
        if (sum_of(i.b).count == 0 && sum_of(i.b).constant >= 0 && sum_of(i.b).constant < 32)
          r = sum(r, i64{1} << sum_of(i.b).constant, sum_of(i.a));
        else r.known = false;
        break;
      case Op::neg: r = sum(r, -1, sum_of(i.a)); break;
      case Op::cast:
      case Op::bitcast:
        // The same integer, if neither type had to wrap it.
        if (is_integer(i.from) && bounds(sum_of(i.a)).within(range_of_type(i.from)) &&
            bounds(sum_of(i.a)).within(range_of_type(i.type)))
          return sum_of(i.a);
        r.known = false;
        break;
      case Op::rem:
        if (bounds(sum_of(i.a)).within({0, range_.data[i.b].lo - 1})) return sum_of(i.a);
        r = quotient(i, false);
        break;
      case Op::div: r = quotient(i, true); break;
      case Op::shr: r = shifted_right(i); break;
      case Op::bit_and: r = masked(i); break;
      case Op::bit_or:
      case Op::bit_xor: r = disjoint(sum_of(i.a), i.b); break;
      case Op::for_: return counter(n);
      default: r.known = false;
    }
    return r.known ? r : opaque(n);
  }

  // --- Division by constants ---
  static constexpr bool is_power(i64 c) { return c > 0 && (c & (c - 1)) == 0; }
  static constexpr Affine unknown() {
    Affine r;
    r.known = false;
    return r;
  }
  // Is the value of the device the sum itself?
  constexpr bool unwrapped(u32 value) const {
    const Range r = bounds(sum_of(value));
    return !r.huge() && r.within(range_of_type(insts_[value].type));
  }
  // A known value's bits, of its type.
  constexpr bool constant_bits(u32 value, u64& bits) const {
    const Inst& i = insts_[value];
    const Affine& a = sum_of(value);
    if (is_literal(i)) bits = i.imm;
    else if (a.known && a.count == 0) bits = u64(a.constant);
    else return false;
    if (size_of(i.type) < 8) bits &= (u64{1} << 8 * size_of(i.type)) - 1;
    return true;
  }
  // a / b or a % b.
  constexpr Affine quotient(const Inst& i, bool high) {
    const Affine& by = sum_of(i.b);
    if (!by.known || by.count != 0 || by.constant <= 0) return unknown();
    const bool any = !high && !is_signed(i.type) && is_power(by.constant);  // divides what wraps
    if (!any && (!unwrapped(i.a) || bounds(sum_of(i.a)).lo < 0)) return unknown();
    const Parts parts = divide(sum_of(i.a), by.constant);
    return high ? parts.high : parts.low;
  }
  constexpr Affine shifted_right(const Inst& i) {
    u64 by = 0;
    if (!constant_bits(i.b, by) || by >= 8 * size_of(i.type) || !unwrapped(i.a)) return unknown();
    return by < 40 ? divide(sum_of(i.a), i64{1} << by).high : unknown();
  }
  // With bits of the mask side by side: what is below them is taken away, and what is above.
  constexpr Affine masked(const Inst& i) {
    u64 mask = 0;
    u32 value = i.a;
    if (!constant_bits(i.b, mask)) {
      if (!constant_bits(i.a, mask)) return unknown();
      value = i.b;
    }
    const u32 from = u32(std::countr_zero(mask)), width = 8 * size_of(i.type);
    if (mask == 0 || (mask >> from & ((mask >> from) + 1)) != 0) return unknown();
    const u32 to = u32(64 - std::countl_zero(mask));
    Affine r = sum_of(value);
    if (to < width) r = to <= 40 ? divide(r, i64{1} << to).low : unknown();
    if (from > 0) r = from <= 40 ? sum(Affine{}, i64{1} << from, divide(r, i64{1} << from).high) : unknown();
    return r;
  }
  // a | b or a ^ b of no common bits.
  constexpr Affine disjoint(Affine high, u32 b) const {
    Affine low = sum_of(b);
    for (u32 side = 0; side < 2; ++side) {
      const Range r = bounds(low);
      i64 size = 1;
      while (size <= r.hi && size < kMostDivisor) size *= 2;
      bool clear = high.known && low.known && r.lo >= 0 && r.hi < size && high.constant % size == 0;
      for (u32 t = 0; t < high.count; ++t) clear = clear && high.terms[t].factor % size == 0;
      if (clear) return sum(high, 1, low);
      const Affine other = high;
      high = low;
      low = other;
    }
    return unknown();
  }

  constexpr Affine builtin(u32 n, Builtin b) {
    Affine r;
    switch (b) {
      case Builtin::local_x: r.add(kX, v_.block[0] > 1); return r;
      case Builtin::local_y: r.add(kY, v_.block[1] > 1); return r;
      case Builtin::local_z: r.add(kZ, v_.block[2] > 1); return r;
      case Builtin::local_index:
        r.add(kX, v_.block[0] > 1);
        r.add(kY, v_.block[1] > 1 ? v_.block[0] : 0);
        r.add(kZ, v_.block[2] > 1 ? i64(v_.block[0]) * v_.block[1] : 0);
        return r;
      case Builtin::subgroup_lane: return alone(kSubgroupLane);
      case Builtin::subgroup_index: return alone(kSubgroupIndex);
      case Builtin::group_x:
      case Builtin::group_y:
      case Builtin::group_z: {
        const Affine place = opaque(n);
        symbols_.back().grid = true;
        return place;
      }
      default: return opaque(n);
    }
  }
  // begin + step * trip
  constexpr Affine counter(u32 n) {
    const Inst& i = insts_[n];
    const Range begin = range_.data[i.a], end = range_.data[i.b];
    const i64 step = range_.data[i.c].lo;
    if (!sum_of(i.a).known || step <= 0) return opaque(n);
    const i64 span = sat_add(end.hi, -begin.lo);
    const i64 trips = span <= 0 ? 1 : span / step + (span % step != 0);
    bool exact = end.lo == end.hi;
    for (u32 t = 0; t < sum_of(i.a).count; ++t)
      exact = exact && symbols_.data[sum_of(i.a).terms[t].symbol].exact;
    for (u32 j = n; j < end_.data[n] && exact; ++j)
      exact = insts_[j].op != Op::break_ && insts_[j].op != Op::continue_ && insts_[j].op != Op::return_;
    return sum(sum_of(i.a), step, alone(new_symbol({0, trips - 1}, n, false, exact)));
  }

  const View& v_;
  const Inst* insts_;
  u32 size_;
  const Flow& flow_;
  Numbers<Range> range_, var_;
  Numbers<u8> var_read_;
  Numbers<u32> sum_;  // of each value: which of sums_; 0: not known
  List<Affine> sums_;
  Numbers<u8> needed_;
  Numbers<u32> number_, own_, position_, seen_, end_, middle_;
};

}  // namespace gpuio::kernel::detail
