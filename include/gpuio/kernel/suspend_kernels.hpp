// Kernels by hand for the tests of the suspend pass, each with a shape of its own: a scan with a histogram, a
// block reduction, a tiled product, a pointer chase, an append with ballots, nested loops with jumps.
// Parameter 0 is an on-demand array of kElements numbers below 256, 1 the output, 2 counters.
#pragma once

#include <gpuio/kernel/builder.hpp>

namespace gpuio::kernel::suspend_kernels {

inline constexpr u32 kElements = 704;  // of the array
inline constexpr u32 kOutputs = 1024, kCounters = 256;
inline constexpr u32 kScanned = 600;

struct Kit : Builder {
  Program program_text;
  explicit Kit(std::string_view name, u32 lanes) : Builder(program_text) {
    program_text.name = name;
    program_text.block = {lanes, 1, 1};
    param(ParamKind::on_demand, Type::u32, kElements);
    param(ParamKind::inout, Type::u32, kOutputs);
    param(ParamKind::inout, Type::u32, kCounters);
    local = builtin(Builtin::local_x);
    group = builtin(Builtin::group_x);
    lanes_all = mul(builtin(Builtin::groups_x), number(lanes));
    global = add(mul(group, number(lanes)), local);
  }
  u32 number(u64 n) { return constant(Type::u32, n); }
  u32 add(u32 a, u32 b) { return binary(Op::add, a, b); }
  u32 sub(u32 a, u32 b) { return binary(Op::sub, a, b); }
  u32 mul(u32 a, u32 b) { return binary(Op::mul, a, b); }
  u32 mask(u32 a, u32 b) { return binary(Op::bit_and, a, number(b)); }
  u32 lt(u32 a, u32 b) { return compare(Op::lt, a, b); }
  u32 eq(u32 a, u32 b) { return compare(Op::eq, a, b); }
  u32 at(u32 index) {
    ++line;
    return ondemand_load(0, index);
  }
  void out(u32 index, u32 value) {
    ++line;
    store(1, index, value);
  }
  u32 count(u32 index, u32 value) {
    ++line;
    return atomic_rmw(Rmw::add, 2, index, value, Order::relaxed, Scope::device);
  }
  u32 get(u32 v) { return var_load(v); }
  void set(u32 v, u32 value) { var_store(v, value); }
  void increase(u32 v, u32 by) { set(v, add(get(v), by)); }
  template <class F>
  void if_so(u32 condition, F&& body) {
    if_(condition);
    body();
    end_if();
  }
  void leave_unless(u32 condition) {
    if_so(unary(Op::bit_not, condition), [&] { break_(); });
  }
  u32 local = 0, group = 0, global = 0, lanes_all = 0;
};

// hist[a[i] & 255] += 1, in a grid-stride for_.
inline Program scan() {
  Kit k("scan", 32);
  const u32 i = k.for_(k.global, k.number(kScanned), k.number(64));
  k.count(k.mask(k.at(i), 255), k.number(1));
  k.end_for();
  return k.program_text;
}

inline Program reduce() {
  Kit k("reduce", 32);
  const u32 sum = k.var(Type::u32), half = k.var(Type::u32), tile = k.shared(Type::u32, 32);
  const u32 i = k.for_(k.global, k.number(kScanned), k.number(64));
  k.increase(sum, k.at(i));
  k.end_for();
  ++k.line;
  k.store(tile, k.local, k.get(sum));
  k.barrier();
  k.set(half, k.number(16));
  k.loop();
  k.leave_unless(k.compare(Op::gt, k.get(half), k.number(0)));
  k.if_so(k.lt(k.local, k.get(half)), [&] {
    const u32 other = k.load(tile, k.add(k.local, k.get(half)));
    k.store(tile, k.local, k.add(k.load(tile, k.local), other));
  });
  k.barrier();
  k.set(half, k.binary(Op::shr, k.get(half), k.number(1)));
  k.end_loop();
  k.if_so(k.eq(k.local, k.number(0)), [&] { k.out(k.group, k.load(tile, k.number(0))); });
  return k.program_text;
}

// A product of two 12 x 12 matrices by tiles of 4 x 4; the second lies behind the first in the array.
inline Program tiled() {
  constexpr u32 kTile = 4, kTiles = 3, kSide = kTile * kTiles;
  Kit k("tiled", kTile * kTile);
  const u32 tile_a = k.shared(Type::u32, kTile * kTile), tile_b = k.shared(Type::u32, kTile * kTile);
  const u32 sum = k.var(Type::u32);
  const u32 y = k.binary(Op::div, k.local, k.number(kTile)), x = k.binary(Op::rem, k.local, k.number(kTile));
  const u32 row = k.add(k.mul(k.binary(Op::div, k.group, k.number(kTiles)), k.number(kTile)), y);
  const u32 column = k.add(k.mul(k.binary(Op::rem, k.group, k.number(kTiles)), k.number(kTile)), x);
  const u32 t = k.for_(k.number(0), k.number(kSide), k.number(kTile));
  const u32 a = k.at(k.add(k.mul(row, k.number(kSide)), k.add(t, x)));
  const u32 b = k.at(k.add(k.number(kSide * kSide), k.add(k.mul(k.add(t, y), k.number(kSide)), column)));
  k.store(tile_a, k.local, a);
  k.store(tile_b, k.local, b);
  k.barrier();
  const u32 j = k.for_(k.number(0), k.number(kTile), k.number(1));
  const u32 left = k.load(tile_a, k.add(k.mul(y, k.number(kTile)), j));
  const u32 right = k.load(tile_b, k.add(k.mul(j, k.number(kTile)), x));
  k.increase(sum, k.mul(left, right));
  k.end_for();
  k.barrier();
  k.end_for();
  k.out(k.add(k.mul(row, k.number(kSide)), column), k.get(sum));
  return k.program_text;
}

inline Program chase() {
  Kit k("chase", 32);
  const u32 at = k.var(Type::u32), steps = k.var(Type::u32);
  k.set(at, k.global);
  k.loop();
  k.leave_unless(k.compare(Op::ne, k.mask(k.at(k.get(at)), 7), k.number(3)));
  k.leave_unless(k.lt(k.get(steps), k.number(12)));
  k.set(at, k.at(k.get(at)));
  k.increase(steps, k.number(1));
  k.end_loop();
  k.out(k.global, k.add(k.mul(k.get(at), k.number(100)), k.get(steps)));
  return k.program_text;
}

// Appends what fits, a subgroup at a time; the order in the output depends on the schedule.
inline Program append() {
  Kit k("append", 32);
  const u32 base = k.var(Type::u32);
  const u32 lane = k.builtin(Builtin::subgroup_lane);
  const u32 i = k.for_(k.global, k.number(kScanned), k.number(64));
  const u32 value = k.at(i);
  const u32 fits = k.eq(k.mask(value, 3), k.number(1));
  ++k.line;
  const u32 said = k.cast(Type::u32, k.ballot(fits));
  const u32 below = k.sub(k.binary(Op::shl, k.number(1), lane), k.number(1));
  const u32 leader = k.elect();
  k.set(base, k.number(0));
  k.if_so(leader, [&] { k.set(base, k.count(k.number(0), k.unary(Op::popcount, said))); });
  const u32 first = k.reduce(Rmw::max, k.get(base));  // the leader's; the others have 0
  k.if_so(fits,
          [&] { k.out(k.add(first, k.unary(Op::popcount, k.binary(Op::bit_and, said, below))), value); });
  k.end_for();
  return k.program_text;
}

inline Program nested() {
  constexpr u32 kRows = 9, kColumns = 11;
  Kit k("nested", 32);
  const u32 row = k.var(Type::u32), found = k.var(Type::u32), j = k.var(Type::u32);
  k.loop();
  k.leave_unless(k.lt(k.get(row), k.number(kRows)));
  k.set(j, k.number(0));
  k.loop();
  k.leave_unless(k.lt(k.get(j), k.number(kColumns)));
  const u32 v = k.at(k.add(k.mul(k.get(row), k.number(kColumns)), k.add(k.get(j), k.global)));
  k.increase(j, k.number(1));
  k.if_so(k.eq(k.mask(v, 3), k.number(0)), [&] { k.continue_(); });
  k.count(k.mask(v, 255), k.number(1));
  k.if_so(k.eq(k.mask(v, 31), k.mask(k.global, 31)), [&] {
    k.increase(found, k.get(j));
    k.break_();
  });
  k.end_loop();
  k.if_so(k.compare(Op::gt, k.get(found), k.number(9)), [&] { k.break_(); });
  k.increase(row, k.add(k.number(1), k.mask(k.at(k.get(row)), 1)));
  k.end_loop();
  k.out(k.global, k.add(k.mul(k.get(row), k.number(1000)), k.get(found)));
  return k.program_text;
}

}  // namespace gpuio::kernel::suspend_kernels
