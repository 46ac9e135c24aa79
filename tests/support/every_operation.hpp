// Kernels that between them use each scalar operation of the IR on each type it takes, for differential
// tests: a back end runs one on `interesting` values and must leave the same bytes as the interpreter. One
// lane an element; results are recorded as u64, NaNs as one NaN and zeros without sign where ir.hpp leaves
// the choice.
#pragma once

#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/semantics.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

inline constexpr u32 kEveryLanes = 64;  // a workgroup; the grid has elements / kEveryLanes
inline constexpr Type kValueTypes[] = {Type::boolean, Type::u8,   Type::i8,  Type::u16, Type::i16,
                                       Type::f16,     Type::bf16, Type::u32, Type::i32, Type::f32,
                                       Type::u64,     Type::i64,  Type::f64};

// Appends what every kernel here starts with, and records results.
class Every {
 public:
  Every(Program& p, Type in, u32 elements) : b(p), elements_(elements) {
    p.block = {kEveryLanes, 1, 1};
    const u32 first = b.param(ParamKind::in, in, elements), second = b.param(ParamKind::in, in, elements);
    out_ = b.param(ParamKind::inout, Type::u64);
    const u32 group = b.binary(Op::mul, b.builtin(Builtin::group_x), b.constant(Type::u32, kEveryLanes));
    i = b.binary(Op::add, group, b.builtin(Builtin::local_x));
    x = b.load(first, i);
    y = b.load(second, i);
  }
  void record(u32 v) {
    const Type t = b.type(v);
    if (t == Type::f16 || t == Type::bf16) return record(b.cast(Type::f32, v));
    if (is_float(t)) {
      const Type bits = t == Type::f32 ? Type::u32 : Type::u64;
      const u32 nan = b.constant(bits, t == Type::f32 ? 0x7fc00000u : 0x7ff8000000000000ull);
      v = b.select(b.compare(Op::eq, v, v), b.bitcast(bits, v), nan);
    }
    const u32 at = b.binary(Op::add, i, b.constant(Type::u32, results * elements_));
    b.store(out_, at, b.type(v) == Type::u64 ? v : b.cast(Type::u64, v));
    ++results;
  }

  Builder b;
  u32 i = 0, x = 0, y = 0, results = 0;

 private:
  u32 elements_, out_ = 0;
};

struct EveryProgram {
  Program program;  // (in T[], in T[], inout u64[results * elements])
  u32 results = 0;
};

// Arithmetic, comparison and bits of one of u32 i32 u64 i64 f32 f64, and boolean.
inline EveryProgram every_arithmetic(Type t, u32 elements) {
  Program p{.name = "every_arithmetic"};
  Every e(p, t, elements);
  Builder& b = e.b;
  if (is_float(t)) {
    for (const Op op : {Op::add, Op::sub, Op::mul, Op::div}) e.record(b.binary(op, e.x, e.y));
    const u32 zero = b.constant(t, 0);
    for (const Op op : {Op::min, Op::max}) e.record(b.binary(Op::add, b.binary(op, e.x, e.y), zero));
    for (const Op op : {Op::neg, Op::abs, Op::sqrt, Op::floor}) e.record(b.unary(op, e.x));
    e.record(b.binary(Op::add, b.binary(Op::mul, e.x, e.y), e.x));  // two roundings
  } else if (t != Type::boolean) {
    for (const Op op : {Op::add, Op::sub, Op::mul, Op::div, Op::rem, Op::min, Op::max, Op::bit_and,
                        Op::bit_or, Op::bit_xor}) {
      e.record(b.binary(op, e.x, e.y));
    }
    for (const Op op : {Op::neg, Op::abs, Op::bit_not, Op::popcount, Op::count_leading_zeros})
      e.record(b.unary(op, e.x));
    const u32 count = b.cast(Type::u32, e.y);
    for (const Op op : {Op::shl, Op::shr}) e.record(b.binary(op, e.x, count));
  } else {
    for (const Op op : {Op::bit_and, Op::bit_or, Op::bit_xor}) e.record(b.binary(op, e.x, e.y));
    e.record(b.unary(Op::bit_not, e.x));
    for (const Op op : {Op::eq, Op::ne}) e.record(b.compare(op, e.x, e.y));
  }
  if (t != Type::boolean) {
    for (const Op op : {Op::eq, Op::ne, Op::lt, Op::le, Op::gt, Op::ge}) e.record(b.compare(op, e.x, e.y));
    const u32 order = b.compare(Op::lt, e.x, e.y);
    e.record(b.select(order, e.x, e.y));
  }
  return {std::move(p), e.results};
}

// Pairs of halves, on all bits; each half of a result is recorded.
inline EveryProgram every_pair(Type half, u32 elements) {
  Program p{.name = "every_pair"};
  Every e(p, half, elements);
  Builder& b = e.b;
  const auto number = [&](u32 n) { return b.constant(Type::u32, n); };
  const auto word = [&](u32 low, u32 high) {
    const u32 first = b.cast(Type::u32, b.bitcast(Type::u16, low));
    const u32 second = b.cast(Type::u32, b.bitcast(Type::u16, high));
    return b.binary(Op::bit_or, first, b.binary(Op::shl, second, number(16)));
  };
  const auto record = [&](u32 pair, bool zero = false) {
    for (const u32 shift : {0, 16}) {
      const u32 bits = b.cast(Type::u16, b.binary(Op::shr, pair, number(shift)));
      const u32 v = b.cast(Type::f32, b.bitcast(half, bits));
      e.record(zero ? b.select(b.compare(Op::eq, v, b.constant(Type::f32, 0)), b.constant(Type::f32, 0), v)
                    : v);
    }
  };
  const u32 x = word(e.x, e.y), y = word(e.y, e.x);
  // The last bit and the sign another, and a quarter or so of it: terms that meet, and cancel, and do not.
  const u32 near = b.binary(Op::bit_xor, x, number(0x80018001));
  const u32 less = b.binary(Op::sub, x, number(half == Type::f16 ? 0x08010801 : 0x01010101));
  for (const Op op : {Op::pair_add, Op::pair_sub, Op::pair_mul}) record(b.pair(op, half, x, y));
  for (const Op op : {Op::pair_min, Op::pair_max}) record(b.pair(op, half, x, y), true);  // either zero
  const u32 one = number(half == Type::f16 ? 0x3c003c00 : 0x3f803f80);
  for (const u32 z : {x, near, less, one}) record(b.pair(Op::pair_fma, half, x, y, z));
  record(b.pair(Op::pair_fma, half, x, one, near));
  const u32 product = b.pair(Op::pair_mul, half, x, y);
  record(b.pair(Op::pair_fma, half, x, y, b.binary(Op::bit_xor, product, number(0x80008000))));
  record(b.pair(Op::pair_add, half, product, number(0)));
  return {std::move(p), e.results};
}

// Casts from one type to every other, and the bitcasts that keep its size.
inline EveryProgram every_cast(Type from, u32 elements) {
  Program p{.name = "every_cast"};
  Every e(p, from, elements);
  for (const Type to : kValueTypes) {
    if (to == from) continue;
    e.record(e.b.cast(to, e.x));
    if (size_of(to) == size_of(from) && to != Type::boolean && from != Type::boolean && !is_float(to)) {
      e.record(e.b.bitcast(to, e.x));
    }
  }
  e.record(e.b.select(e.b.cast(Type::boolean, e.y), e.x, e.y));
  return {std::move(p), e.results};
}

// exp2 log2 sin cos, which are compared with a tolerance.
inline EveryProgram every_function(u32 elements) {
  Program p{.name = "every_function"};
  Every e(p, Type::f32, elements);
  for (const Op op : {Op::exp2, Op::log2, Op::sin, Op::cos}) e.record(e.b.unary(op, e.x));
  return {std::move(p), e.results};
}

// The bits of an element that is likely to go wrong. `subnormal`: also floats below the smallest normal one.
template <class Random>
u64 interesting(Type t, Random& random, bool subnormal) {
  const u64 n = random();
  if (!is_float(t)) {
    const u64 ends[] = {
        0, 1, 2, ~u64{0}, u64{1} << (size_of(t) * 8 - 1), (u64{1} << (size_of(t) * 8 - 1)) - 1, 31, 33, 64};
    const u64 bits = n % 3 == 0 ? random() : n % 3 == 1 ? ends[(n >> 8) % std::size(ends)] : random() % 100;
    return truncate_to(t, bits);
  }
  const f64 values[] = {0,
                        1,
                        -1,
                        0.5,
                        -0.5,
                        1.5,
                        2.5,
                        255,
                        256,
                        65504,
                        65520,
                        2147483647,
                        2147483648.0,
                        -2147483648.0,
                        4294967295.0,
                        4294967296.0,
                        9223372036854775808.0,
                        -9223372036854775808.0,
                        18446744073709551616.0};
  u64 bits = eval_cast(t, Type::f64, to_bits(values[(n >> 8) % std::size(values)]));
  if (n % 3 == 0) bits = truncate_to(t, random());  // NaN and infinity among them
  if (n % 3 == 1)
    bits = eval_cast(t, Type::f64, to_bits((f64(i64(random())) / 9e18) * f64(u64{1} << (n >> 8) % 40)));
  const u32 exponent_at = t == Type::f16 ? 10 : t == Type::bf16 ? 7 : t == Type::f32 ? 23 : 52;
  const u64 magnitude = truncate_to(t, bits << 1) >> 1;
  if (!subnormal && magnitude >> exponent_at == 0) bits = 0;
  return bits;
}

}  // namespace gpuio::test_kernels
