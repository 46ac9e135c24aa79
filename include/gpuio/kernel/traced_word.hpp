// Numbers of a kernel with operators, so that formulas which host and device share can write code.
//
// Threading: one Builder, one thread. Lifetime: the Builder outlives every Word. Errors: none.
#pragma once

#include <gpuio/device/layout.hpp>
#include <gpuio/kernel/builder.hpp>

namespace gpuio::kernel::traced {

// A number of the kernel, or one known now. Small: a u32 holds it.
struct Word {
  Builder* b = nullptr;
  u32 id = kNone;
  bool small = false;
  u64 known = 0;
  constexpr Word() = default;
  constexpr Word(u64 value) : known(value) {}  // NOLINT: constants mix with words
  // `value` is a u32 or a u64.
  constexpr Word(Builder& builder, u32 value)
      : b(&builder), id(value), small(builder.type(value) == Type::u32) {}
  constexpr bool fits() const { return b ? small : known >> 32 == 0; }
  constexpr u32 in(Builder& builder) const {
    if (!b) return builder.constant(Type::u64, known);
    return small ? builder.cast(Type::u64, id) : id;
  }
  // Its low half.
  constexpr u32 low(Builder& builder) const {
    if (!b) return builder.constant(Type::u32, known & 0xffffffff);
    return small ? id : builder.cast(Type::u32, id);
  }
};

struct Bool {
  Builder* b = nullptr;
  u32 id = kNone;
  bool known = false;
  constexpr Bool() = default;
  constexpr Bool(bool value) : known(value) {}  // NOLINT: as above
  constexpr Bool(Builder& builder, u32 value) : b(&builder), id(value) {}
};

constexpr Builder* either(const Word& x, const Word& y) { return x.b ? x.b : y.b; }

// Small numbers stay small: those of the protocol (frames, ways, mailboxes, states) have room to grow, and
// the lane's turn may wrap.
constexpr Word apply(Op op, const Word& x, const Word& y) {
  Builder& b = *either(x, y);
  if (x.fits() && y.fits()) return {b, b.binary(op, x.low(b), y.low(b))};
  return {b, b.binary(op, x.in(b), y.in(b))};
}
constexpr Bool test(Op op, const Word& x, const Word& y) {
  Builder& b = *either(x, y);
  if (x.fits() && y.fits()) return {b, b.compare(op, x.low(b), y.low(b))};
  return {b, b.compare(op, x.in(b), y.in(b))};
}
constexpr Word operator+(const Word& x, const Word& y) {
  if (!either(x, y)) return x.known + y.known;
  if (!y.b && y.known == 0) return x;
  return apply(Op::add, x, y);
}
constexpr Word operator-(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::sub, x, y) : Word(x.known - y.known);
}
constexpr Word operator*(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::mul, x, y) : Word(x.known * y.known);
}
constexpr Word operator&(const Word& x, const Word& y) {
  if (!either(x, y)) return x.known & y.known;
  Builder& b = *either(x, y);
  // A mask that fits makes the result fit.
  if (x.b && !y.b && y.fits() && !x.small) {
    const Word low{b, x.low(b)};
    return y.known == 0xffffffff ? low : apply(Op::bit_and, low, y);
  }
  return apply(Op::bit_and, x, y);
}
constexpr Word operator|(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::bit_or, x, y) : Word(x.known | y.known);
}
constexpr Word operator^(const Word& x, const Word& y) {
  return either(x, y) ? apply(Op::bit_xor, x, y) : Word(x.known ^ y.known);
}
constexpr Word operator~(const Word& x) {
  return x.b ? Word{*x.b, x.b->unary(Op::bit_not, x.in(*x.b))} : Word(~x.known);
}
constexpr Word operator<<(const Word& x, const Word& y) {
  Builder* b = either(x, y);
  return b ? Word{*b, b->binary(Op::shl, x.in(*b), y.low(*b))} : Word(x.known << y.known);
}
constexpr Word operator>>(const Word& x, const Word& y) {
  Builder* b = either(x, y);
  if (!b) return x.known >> y.known;
  return {*b, b->binary(Op::shr, x.small ? x.id : x.in(*b), y.low(*b))};
}
constexpr Bool operator==(const Word& x, const Word& y) {
  return either(x, y) ? test(Op::eq, x, y) : Bool(x.known == y.known);
}
constexpr Bool operator!=(const Word& x, const Word& y) {
  return either(x, y) ? test(Op::ne, x, y) : Bool(x.known != y.known);
}
constexpr Bool operator<(const Word& x, const Word& y) {
  return either(x, y) ? test(Op::lt, x, y) : Bool(x.known < y.known);
}
constexpr Bool operator&(const Bool& x, const Bool& y) {
  if (!x.b) return x.known ? y : Bool(false);
  if (!y.b) return y.known ? x : Bool(false);
  return {*x.b, x.b->binary(Op::bit_and, x.id, y.id)};
}
constexpr Bool operator|(const Bool& x, const Bool& y) {
  if (!x.b) return x.known ? Bool(true) : y;
  if (!y.b) return y.known ? Bool(true) : x;
  return {*x.b, x.b->binary(Op::bit_or, x.id, y.id)};
}
constexpr Bool operator!(const Bool& x) {
  return x.b ? Bool{*x.b, x.b->unary(Op::bit_not, x.id)} : Bool(!x.known);
}

// A page's bucket by one of its hashes.
constexpr Word bucket(const Word& page, u64 multiplier, const Word& buckets) {
  Builder& b = *page.b;
  const Word wide_page{b, page.in(b)}, wide_buckets{b, buckets.in(b)};
  return {b, device::hash_bucket<Word>(wide_page, multiplier, wide_buckets).low(b)};
}

}  // namespace gpuio::kernel::traced
