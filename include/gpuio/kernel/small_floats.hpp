// Floats of 16 and 8 bits, as their bits: to f32, which holds them all, and from it, rounded to nearest even.
//
// f16 and bf16 are types of the IR. The two of the Open Compute Project's 8-bit format have no operation
// there: to the IR they are bytes, and their conversions are made of operations on bits (widen_f8,
// narrow_f8).
//   f8e4m3  ("e4m3fn") 4 exponent bits, bias 7; largest 448; no infinities; NaN: 0x7f and 0xff
//   f8e5m2  5 exponent bits, bias 15, the upper byte of an f16; largest 57344; infinities and NaN as there
// From f32 they saturate: what is too large, infinities too, becomes the largest number of its sign. A NaN
// becomes 0x7f. Pure functions; constexpr.
#pragma once

#include <bit>

#include <gpuio/kernel/builder.hpp>

namespace gpuio::kernel {

// f16: 1 sign, 5 exponent, 10 mantissa bits. The exponent is re-biased by hand, subnormals normalised.
constexpr f32 f16_to_f32(u16 h) {
  const u32 sign = u32(h & 0x8000u) << 16;
  const u32 exponent = (h >> 10) & 31;
  u32 mantissa = h & 1023;
  if (exponent == 31) return std::bit_cast<f32>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<f32>(sign | (exponent + 112) << 23 | mantissa << 13);
  if (mantissa == 0) return std::bit_cast<f32>(sign);
  const u32 shift = u32(std::countl_zero(mantissa)) - 21;  // brings the leading one to bit 10
  mantissa = (mantissa << shift) & 1023;
  return std::bit_cast<f32>(sign | (113 - shift) << 23 | mantissa << 13);
}

// Drops `count` low bits (1 to 31), rounding to nearest even.
constexpr u32 round_off(u32 bits, u32 count) {
  const u32 half = u32{1} << (count - 1);
  const u32 odd = (bits >> count) & 1;
  return (bits + (half - 1) + odd) >> count;
}

constexpr u16 f32_to_f16(f32 value) {
  const u32 bits = std::bit_cast<u32>(value);
  const u32 sign = (bits >> 16) & 0x8000u;
  const u32 magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return u16(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x477ff000u) return u16(sign | 0x7c00u);  // 65520 and above round to infinity
  if (magnitude >= 0x38800000u) return u16(sign | round_off(magnitude - 0x38000000u, 13));
  if (magnitude <= 0x33000000u) return u16(sign);  // 2^-25 ties to zero
  const u32 exponent = magnitude >> 23;
  return u16(sign | round_off((magnitude & 0x7fffffu) | 0x800000u, 126 - exponent));  // subnormal
}

constexpr f32 bf16_to_f32(u16 h) { return std::bit_cast<f32>(u32(h) << 16); }

constexpr u16 f32_to_bf16(f32 value) {
  const u32 bits = std::bit_cast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return u16((bits >> 16) | 0x40u);  // NaN stays NaN
  return u16(round_off(bits & 0x7fffffffu, 16) | ((bits >> 16) & 0x8000u));
}

// Of an 8-bit format: what its conversions are made of.
struct F8 {
  u32 mantissa;  // bits
  u32 bias;
  u32 largest;  // as f32's bits
  constexpr u32 drop() const { return 23 - mantissa; }
  constexpr u32 rebias() const { return (127 - bias) << 23; }
  constexpr u32 normal() const { return rebias() + (1u << 23); }  // f32's bits of the smallest normal number
  // A power of two whose ulp is the smallest subnormal: adding it rounds to a multiple of that.
  constexpr u32 magic() const { return (127 + 24 - bias - mantissa) << 23; }
};
inline constexpr F8 kE4m3{3, 7, 0x43e00000}, kE5m2{2, 15, 0x47600000};

constexpr u8 f32_to_f8(F8 f, f32 value) {
  const u32 bits = std::bit_cast<u32>(value), sign = bits >> 24 & 0x80;
  const u32 whole = bits & 0x7fffffffu;
  if (whole > 0x7f800000u) return 0x7f;
  const u32 size = whole < f.largest ? whole : f.largest;
  if (size >= f.normal()) return u8(sign | round_off(size - f.rebias(), f.drop()));
  const f32 sum = std::bit_cast<f32>(size) + std::bit_cast<f32>(f.magic());
  return u8(sign | (std::bit_cast<u32>(sum) - f.magic()));
}
constexpr f32 f8_to_f32(F8 f, u8 value) {
  const u32 sign = u32(value & 0x80) << 24, size = value & 0x7f;
  if (f.mantissa == 2) return f16_to_f32(u16(value << 8));
  if (size == 0x7f) return std::bit_cast<f32>(sign | 0x7fc00000u);
  const u32 magic = f.magic();
  if (size < 1u << f.mantissa) {  // a multiple of the smallest
    const f32 r = std::bit_cast<f32>(size + magic) - std::bit_cast<f32>(magic);
    return sign ? -r : r;
  }
  return std::bit_cast<f32>(sign | ((size << f.drop()) + f.rebias()));
}

// The same as instructions: from a u8 to an f32 and back.
constexpr u32 widen_f8(Builder& b, F8 f, u32 byte) {
  const auto number = [&](u32 n) { return b.constant(Type::u32, n); };
  const u32 wide = b.cast(Type::u32, byte);
  if (f.mantissa == 2) {
    const u32 half = b.cast(Type::u16, b.binary(Op::shl, wide, number(8)));
    return b.cast(Type::f32, b.bitcast(Type::f16, half));
  }
  const u32 size = b.binary(Op::bit_and, wide, number(0x7f));
  const u32 sign = b.binary(Op::shl, b.binary(Op::bit_and, wide, number(0x80)), number(24));
  const u32 normal = b.binary(Op::add, b.binary(Op::shl, size, number(f.drop())), number(f.rebias()));
  const u32 magic = b.bitcast(Type::f32, number(f.magic()));
  const u32 up = b.bitcast(Type::f32, b.binary(Op::add, size, number(f.magic())));
  const u32 subnormal = b.bitcast(Type::u32, b.binary(Op::sub, up, magic));
  const u32 finite = b.select(b.compare(Op::lt, size, number(1u << f.mantissa)), subnormal, normal);
  const u32 all = b.select(b.compare(Op::eq, size, number(0x7f)), number(0x7fc00000), finite);
  return b.bitcast(Type::f32, b.binary(Op::bit_or, sign, all));
}
constexpr u32 narrow_f8(Builder& b, F8 f, u32 value) {
  const auto number = [&](u32 n) { return b.constant(Type::u32, n); };
  const u32 bits = b.bitcast(Type::u32, value);
  const u32 sign = b.binary(Op::bit_and, b.binary(Op::shr, bits, number(24)), number(0x80));
  const u32 whole = b.binary(Op::bit_and, bits, number(0x7fffffff));
  const u32 size = b.binary(Op::min, whole, number(f.largest));
  // To nearest even: half of what is dropped, less one where the last bit that stays is even.
  const u32 moved = b.binary(Op::sub, size, number(f.rebias()));
  const u32 odd = b.binary(Op::bit_and, b.binary(Op::shr, moved, number(f.drop())), number(1));
  const u32 half = b.binary(Op::add, moved, number((1u << (f.drop() - 1)) - 1));
  const u32 normal = b.binary(Op::shr, b.binary(Op::add, half, odd), number(f.drop()));
  const u32 magic = b.bitcast(Type::f32, number(f.magic()));
  const u32 up = b.bitcast(Type::u32, b.binary(Op::add, b.bitcast(Type::f32, size), magic));
  const u32 subnormal = b.binary(Op::sub, up, number(f.magic()));
  const u32 finite = b.select(b.compare(Op::lt, size, number(f.normal())), subnormal, normal);
  const u32 nan = b.compare(Op::gt, whole, number(0x7f800000));
  return b.cast(Type::u8, b.select(nan, number(0x7f), b.binary(Op::bit_or, sign, finite)));
}

}  // namespace gpuio::kernel
