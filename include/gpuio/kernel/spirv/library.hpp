// What SPIR-V lacks or does too loosely, as helper functions put into a module once, when first called:
// conversions of 16-bit floats (exact, by integer code: the built-in ones may flush subnormals or round
// towards zero), their fused multiply-add, and exp2 log2 sin cos (Vulkan allows errors of 2^-11 for sin).
// Straight-line code of u32 and f32.
//
// Formulas: exp2 splits x = n + f, |f| <= 1/2, and sums the Taylor series of 2^f to f^7 (remainder 5e-9);
// log2 takes m in [sqrt(1/2), sqrt(2)] and 2 atanh((m-1)/(m+1)) to the ninth power; sin and cos subtract n
// pi/2 in three parts, exact products for n < 2^13, then minimax polynomials of Cephes on [-pi/4, pi/4].
#pragma once

#include <bit>

#include <gpuio/kernel/spirv/module.hpp>

namespace gpuio::kernel::spirv {

class Library {
 public:
  constexpr explicit Library(Module& module) : m_(&module) {}

  constexpr u32 f16_to_f32(u32 bits) {
    return call(f16_to_f32_, Reg::f32, Reg::u32, bits, &Library::make_f16_to_f32);
  }
  constexpr u32 f32_to_f16(u32 value) {
    return call(f32_to_f16_, Reg::u32, Reg::f32, value, &Library::make_f32_to_f16);
  }
  constexpr u32 f32_to_bf16(u32 value) {
    return call(f32_to_bf16_, Reg::u32, Reg::f32, value, &Library::make_f32_to_bf16);
  }
  constexpr u32 bf16_to_f32(u32 bits) { return as_f32(u(Word::ShiftLeftLogical, {bits, n(16)})); }
  // One half of a pair operation: of bits, and bits. Of bf16 all is done in integers, as devices may flush
  // the subnormal numbers that it shares with f32.
  constexpr u32 half(Op op, Type type, u32 a, u32 b, u32 c) {
    const bool bf16 = type == Type::bf16;
    if (op == Op::pair_min || op == Op::pair_max)
      return choose(op == Op::pair_min, bf16 ? 0x7f80 : 0x7c00, a, b);
    if (bf16) {
      const u32 one = n(0x3f80);
      if (op == Op::pair_add) return fma_bf16(a, one, b);
      if (op == Op::pair_sub) return fma_bf16(b, n(0xbf80), a);
      return fma_bf16(a, b, op == Op::pair_mul ? n(0x8000) : c);
    }
    // The sign of a zero is put in by hand: drivers leave out a sum with, and a product by, a constant 0.
    if (op == Op::pair_mul) {
      const u32 x = f16_to_f32(a), y = f16_to_f32(b), product = f32_to_f16(f(Word::FMul, {x, y}));
      const u32 sign = u(Word::BitwiseAnd, {u(Word::BitwiseXor, {a, b}), n(0x8000)});
      return u(Word::BitwiseOr, {u(Word::BitwiseAnd, {product, n(0x7fff)}), sign});
    }
    if (op == Op::pair_fma) {
      const u32 x = f16_to_f32(a), y = f16_to_f32(b), z = f16_to_f32(c);
      return fma_f16(x, y, z);
    }
    const u32 addend = op == Op::pair_sub ? u(Word::BitwiseXor, {b, n(0x8000)}) : b;
    const u32 x = f16_to_f32(a), y = f16_to_f32(addend), sum = f32_to_f16(f(Word::FAdd, {x, y}));
    const u32 zero = is(Word::IEqual, {u(Word::BitwiseAnd, {sum, n(0x7fff)}), n(0)});
    const u32 both = u(Word::BitwiseAnd, {u(Word::BitwiseAnd, {a, addend}), n(0x8000)});
    return pick(Reg::u32, {zero, both, sum});
  }
  constexpr u32 exp2(u32 x) { return call(exp2_, Reg::f32, Reg::f32, x, &Library::make_exp2); }
  constexpr u32 log2(u32 x) { return call(log2_, Reg::f32, Reg::f32, x, &Library::make_log2); }
  // sin with quarter = 0, cos with quarter = 1.
  constexpr u32 sin(u32 x, u32 quarter) {
    if (sin_ == 0) {
      auto h = m_->begin_helper(f32_type(), f32_type(), m_->u32_type());
      sin_ = h.id;
      m_->end_helper(h, make_sin(h.parameters[0], h.parameters[1]));
    }
    return m_->op(f32_type(), Word::FunctionCall, {sin_, x, n(quarter)});
  }

 private:
  using Make = u32 (Library::*)(u32);
  constexpr u32 call(u32& id, Reg result, Reg from, u32 argument, Make make) {
    if (id == 0) {
      auto h = m_->begin_helper(m_->reg(result), m_->reg(from));
      id = h.id;
      m_->end_helper(h, (this->*make)(h.parameters[0]));
    }
    return m_->op(m_->reg(result), Word::FunctionCall, {id, argument});
  }

  // Short names: u on integers, f on floats, is for comparisons. Operands come in braces, which fixes the
  // order in which nested ones are appended; arguments of a call have none.
  constexpr u32 f32_type() { return m_->reg(Reg::f32); }
  constexpr u32 n(u32 value) { return m_->number(value); }
  constexpr u32 c(float value) { return m_->constant(Reg::f32, std::bit_cast<u32>(value)); }
  constexpr u32 u(Word word, Module::Words operands) { return m_->op(m_->u32_type(), word, operands); }
  constexpr u32 f(Word word, Module::Words operands) { return m_->exact(f32_type(), word, operands); }
  constexpr u32 is(Word word, Module::Words operands) { return m_->op(m_->bool_type(), word, operands); }
  constexpr u32 pick(Reg r, Module::Words operands) { return m_->op(m_->reg(r), Word::Select, operands); }
  constexpr u32 as_f32(u32 bits) { return m_->op(f32_type(), Word::Bitcast, {bits}); }
  constexpr u32 as_u32(u32 value) { return m_->op(m_->u32_type(), Word::Bitcast, {value}); }
  // x * a + b, rounded twice.
  constexpr u32 step(u32 x, u32 a, float b) { return f(Word::FAdd, {f(Word::FMul, {x, a}), c(b)}); }

  constexpr u32 make_f16_to_f32(u32 h) {
    const u32 sign = u(Word::ShiftLeftLogical, {u(Word::BitwiseAnd, {h, n(0x8000)}), n(16)});
    const u32 magnitude = u(Word::BitwiseAnd, {h, n(0x7fff)});
    const u32 shifted = u(Word::ShiftLeftLogical, {magnitude, n(13)});
    // The exponent is biased by 15 there and 127 here; infinity and NaN go from 31 to 255.
    const u32 big = is(Word::UGreaterThanEqual, {magnitude, n(0x7c00)});
    const u32 normal = u(Word::IAdd, {shifted, pick(Reg::u32, {big, n(224u << 23), n(112u << 23)})});
    const u32 small =
        as_u32(f(Word::FMul, {m_->op(f32_type(), Word::ConvertUToF, {magnitude}), c(0x1p-24f)}));
    const u32 value = pick(Reg::u32, {is(Word::ULessThan, {magnitude, n(0x400)}), small, normal});
    return as_f32(u(Word::BitwiseOr, {value, sign}));
  }

  // Drops `count` low bits, rounding to nearest even.
  constexpr u32 round_off(u32 bits, u32 count) {
    const u32 half = u(Word::ShiftLeftLogical, {n(1), u(Word::ISub, {count, n(1)})});
    const u32 odd = u(Word::BitwiseAnd, {u(Word::ShiftRightLogical, {bits, count}), n(1)});
    const u32 sum = u(Word::IAdd, {u(Word::IAdd, {bits, u(Word::ISub, {half, n(1)})}), odd});
    return u(Word::ShiftRightLogical, {sum, count});
  }
  constexpr u32 make_f32_to_f16(u32 value) {
    const u32 bits = as_u32(value), magnitude = u(Word::BitwiseAnd, {bits, n(0x7fffffff)});
    const u32 sign = u(Word::BitwiseAnd, {u(Word::ShiftRightLogical, {bits, n(16)}), n(0x8000)});
    const u32 rebiased = u(Word::ISub, {magnitude, n(0x38000000)}), low = n(13),
              normal = round_off(rebiased, low);
    const u32 away = u(Word::ISub, {n(126), u(Word::ShiftRightLogical, {magnitude, n(23)})});
    const u32 count =
        m_->glsl(m_->u32_type(), Glsl::UMin, {away, n(31)});  // out of range only where not picked
    const u32 mantissa = u(Word::BitwiseOr, {u(Word::BitwiseAnd, {magnitude, n(0x7fffff)}), n(0x800000)});
    u32 r = pick(Reg::u32, {is(Word::UGreaterThanEqual, {magnitude, n(0x38800000)}), normal,
                            round_off(mantissa, count)});
    r = pick(Reg::u32, {is(Word::ULessThanEqual, {magnitude, n(0x33000000)}), n(0), r});
    r = pick(Reg::u32, {is(Word::UGreaterThanEqual, {magnitude, n(0x477ff000)}), n(0x7c00), r});
    r = pick(Reg::u32, {is(Word::UGreaterThan, {magnitude, n(0x7f800000)}), n(0x7e00), r});
    return u(Word::BitwiseOr, {r, sign});
  }
  constexpr u32 make_f32_to_bf16(u32 value) {
    const u32 bits = as_u32(value), magnitude = u(Word::BitwiseAnd, {bits, n(0x7fffffff)});
    const u32 high = u(Word::ShiftRightLogical, {bits, n(16)});
    const u32 rounded =
        u(Word::BitwiseOr, {round_off(magnitude, n(16)), u(Word::BitwiseAnd, {high, n(0x8000)})});
    const u32 nan = is(Word::UGreaterThan, {magnitude, n(0x7f800000)});
    return pick(Reg::u32, {nan, u(Word::BitwiseOr, {high, n(0x40)}), rounded});
  }

  // The number that is less (more), by bits: signs turned the order is that of integers. A NaN is passed
  // over.
  constexpr u32 choose(bool less, u32 infinity, u32 a, u32 b) {
    const auto key = [&](u32 half) {
      const u32 negative = is(Word::UGreaterThanEqual, {half, n(0x8000)});
      return u(Word::BitwiseXor, {half, pick(Reg::u32, {negative, n(0xffff), n(0x8000)})});
    };
    const auto nan = [&](u32 half) {
      return is(Word::UGreaterThan, {u(Word::BitwiseAnd, {half, n(0x7fff)}), n(infinity)});
    };
    const u32 key_a = key(a), key_b = key(b);
    const u32 first = is(less ? Word::ULessThan : Word::UGreaterThan, {key_a, key_b});
    const u32 number = pick(Reg::u32, {first, a, b});
    const u32 right = pick(Reg::u32, {nan(b), a, number});
    return pick(Reg::u32, {nan(a), b, right});
  }

  // a * b + c of f16 numbers as f32, where the product is exact, and the sum rounded to odd (semantics.hpp).
  constexpr u32 fma_f16(u32 a, u32 b, u32 c) {
    if (fma_f16_ == 0) {
      auto h = m_->begin_helper(m_->u32_type(), f32_type(), f32_type(), f32_type());
      fma_f16_ = h.id;
      m_->end_helper(h, make_fma_f16(h.parameters[0], h.parameters[1], h.parameters[2]));
    }
    return m_->op(m_->u32_type(), Word::FunctionCall, {fma_f16_, a, b, c});
  }
  constexpr u32 make_fma_f16(u32 a, u32 b, u32 addend) {
    const u32 product = f(Word::FMul, {a, b}), sum = f(Word::FAdd, {product, addend});
    const u32 of_addend = f(Word::FSub, {sum, product}), of_product = f(Word::FSub, {sum, of_addend});
    const u32 lost = f(Word::FSub, {product, of_product}), lost_too = f(Word::FSub, {addend, of_addend});
    const u32 error = f(Word::FAdd, {lost, lost_too}), bits = as_u32(sum);
    const u32 less = is(Word::FOrdLessThan, {error, c(0.0f)}),
              more = is(Word::FOrdGreaterThan, {error, c(0.0f)});
    const u32 even = is(Word::IEqual, {u(Word::BitwiseAnd, {bits, n(1)}), n(0)});
    const u32 minus = is(Word::UGreaterThanEqual, {bits, n(0x80000000)});
    const u32 down = u(Word::ISub, {bits, n(1)}), up = u(Word::IAdd, {bits, n(1)});
    const u32 shrinks = is(Word::LogicalNotEqual, {less, minus});
    const u32 odd = pick(Reg::u32, {shrinks, down, up});
    const u32 moves = is(Word::LogicalAnd, {is(Word::LogicalOr, {less, more}), even});
    const u32 moved = pick(Reg::u32, {moves, odd, bits});
    // A zero is -0 where both terms are; by hand, as above.
    const u32 signs = u(Word::BitwiseXor, {as_u32(a), as_u32(b)});
    const u32 both = u(Word::BitwiseAnd, {u(Word::BitwiseAnd, {signs, as_u32(addend)}), n(0x80000000)});
    const u32 zero = is(Word::IEqual, {u(Word::BitwiseAnd, {bits, n(0x7fffffff)}), n(0)});
    return f32_to_f16(as_f32(pick(Reg::u32, {zero, both, moved})));
  }

  constexpr u32 fma_bf16(u32 a, u32 b, u32 c) {
    if (fma_bf16_ == 0) {
      const u32 of = m_->u32_type();
      auto h = m_->begin_helper(of, of, of, of);
      fma_bf16_ = h.id;
      m_->end_helper(h, make_fma_bf16(h.parameters[0], h.parameters[1], h.parameters[2]));
    }
    return m_->op(m_->u32_type(), Word::FunctionCall, {fma_bf16_, a, b, c});
  }
  // A bf16 taken apart: mantissa * 2^(exponent - 134), finite or not.
  struct Parts {
    u32 minus, raw, exponent, mantissa;
  };
  constexpr Parts parts(u32 half) {
    const u32 raw = u(Word::BitwiseAnd, {u(Word::ShiftRightLogical, {half, n(7)}), n(255)});
    const u32 fraction = u(Word::BitwiseAnd, {half, n(127)});
    const u32 tiny = is(Word::IEqual, {raw, n(0)});
    return {is(Word::UGreaterThanEqual, {half, n(0x8000)}), raw, pick(Reg::u32, {tiny, n(1), raw}),
            pick(Reg::u32, {tiny, fraction, u(Word::BitwiseOr, {fraction, n(128)})})};
  }
  // Shifted right; what is lost leaves the last bit set.
  constexpr u32 shift_right(u32 bits, u32 count) {
    const u32 capped = m_->glsl(m_->u32_type(), Glsl::UMin, {count, n(31)});
    const u32 r = u(Word::ShiftRightLogical, {bits, capped});
    const u32 whole = is(Word::IEqual, {u(Word::ShiftLeftLogical, {r, capped}), bits});
    return pick(Reg::u32, {whole, r, u(Word::BitwiseOr, {r, n(1)})});
  }
  constexpr u32 with_sign(u32 minus, u32 size) {
    return pick(Reg::u32, {minus, m_->op(m_->u32_type(), Word::SNegate, {size}), size});
  }
  // Both terms in units of 2^-13 of the larger one's last place, of which each has at least one unless it is
  // 0: bits that the other one loses are below what a sum of 8 bits is rounded by. Then that rounding, to 8
  // bits or to the last place of subnormal numbers.
  constexpr u32 make_fma_bf16(u32 a, u32 b, u32 addend) {
    const Parts x = parts(a), y = parts(b), z = parts(addend);
    const u32 product = u(Word::IMul, {x.mantissa, y.mantissa});
    const u32 none = is(Word::IEqual, {product, n(0)});
    const u32 exponents = u(Word::ISub, {u(Word::IAdd, {x.exponent, y.exponent}), n(134)});
    const u32 exponent = pick(Reg::u32, {none, z.exponent, exponents});
    const u32 top = m_->glsl(m_->u32_type(), Glsl::SMax, {exponent, z.exponent});
    const u32 wide = u(Word::ShiftLeftLogical, {product, n(13)}),
              wide_z = u(Word::ShiftLeftLogical, {z.mantissa, n(13)});
    const u32 away = u(Word::ISub, {top, exponent}), away_z = u(Word::ISub, {top, z.exponent});
    const u32 first = shift_right(wide, away), second = shift_right(wide_z, away_z);
    const u32 minus = is(Word::LogicalNotEqual, {x.minus, y.minus});
    const u32 signed_first = with_sign(minus, first), signed_second = with_sign(z.minus, second);
    const u32 sum = u(Word::IAdd, {signed_first, signed_second});
    const u32 negative = is(Word::UGreaterThanEqual, {sum, n(0x80000000)}), size = with_sign(negative, sum);
    // Exponents of a unit, and of the result's last place, of which 1 is the least.
    const u32 unit = u(Word::ISub, {top, n(13)});
    const u32 highest = m_->glsl(m_->u32_type(), Glsl::FindUMsb, {size});
    const u32 wanted = u(Word::ISub, {u(Word::IAdd, {unit, highest}), n(7)});
    const u32 last = m_->glsl(m_->u32_type(), Glsl::SMax, {wanted, n(1)});
    const u32 count = u(Word::ISub, {last, unit}), left = u(Word::ISub, {unit, last});
    const u32 drops = is(Word::SGreaterThan, {count, n(0)});
    const u32 right_count = pick(Reg::u32, {drops, count, n(1)}),
              left_count = pick(Reg::u32, {drops, n(0), left});
    const u32 rounded = round_off(size, right_count);
    const u32 mantissa = pick(Reg::u32, {drops, rounded, u(Word::ShiftLeftLogical, {size, left_count})});
    const u32 places = u(Word::ShiftLeftLogical, {u(Word::ISub, {last, n(1)}), n(7)});
    const u32 magnitude =
        m_->glsl(m_->u32_type(), Glsl::UMin, {u(Word::IAdd, {places, mantissa}), n(0x7f80)});
    const u32 finite = u(Word::BitwiseOr, {magnitude, pick(Reg::u32, {negative, n(0x8000), n(0)})});
    // -0 only of two of them.
    const u32 both = is(Word::LogicalAnd, {minus, z.minus});
    const u32 zero = pick(Reg::u32, {both, n(0x8000), n(0)});
    const u32 of_numbers = pick(Reg::u32, {is(Word::IEqual, {size, n(0)}), zero, finite});
    const u32 end_z = is(Word::IEqual, {z.raw, n(255)});
    const u32 end_x = is(Word::IEqual, {x.raw, n(255)}), end_y = is(Word::IEqual, {y.raw, n(255)});
    const u32 as_f32_sum =
        f(Word::FAdd, {f(Word::FMul, {bf16_to_f32(a), bf16_to_f32(b)}), bf16_to_f32(addend)});
    const u32 endless = f32_to_bf16(as_f32_sum);
    const u32 far = pick(Reg::u32, {end_z, addend, of_numbers});
    return pick(Reg::u32, {is(Word::LogicalOr, {end_x, end_y}), endless, far});
  }

  constexpr u32 make_exp2(u32 x) {
    const u32 low = m_->glsl(f32_type(), Glsl::NMax, {x, c(-152.0f)});
    const u32 inside = m_->glsl(f32_type(), Glsl::NMin, {low, c(129.0f)});
    const u32 whole = m_->glsl(f32_type(), Glsl::Floor, {f(Word::FAdd, {inside, c(0.5f)})});
    const u32 part = f(Word::FSub, {inside, whole});
    u32 p = c(1.52527338e-5f);
    for (const float k :
         {1.54035304e-4f, 1.33335581e-3f, 9.61812911e-3f, 5.55041087e-2f, 0.240226507f, 0.693147181f, 1.0f}) {
      p = step(p, part, k);
    }
    // In two factors, so that neither 2^128 nor 2^-149 is asked of one.
    const u32 exponent = m_->op(m_->u32_type(), Word::ConvertFToS, {whole});
    const u32 first = u(Word::ShiftRightArithmetic, {exponent, n(1)}),
              second = u(Word::ISub, {exponent, first});
    const u32 scaled = f(Word::FMul, {f(Word::FMul, {p, power(first)}), power(second)});
    return pick(Reg::f32, {is(Word::FUnordNotEqual, {x, x}), x, scaled});
  }
  constexpr u32 power(u32 exponent) {
    return as_f32(u(Word::ShiftLeftLogical, {u(Word::IAdd, {exponent, n(127)}), n(23)}));
  }

  constexpr u32 make_log2(u32 x) {
    const u32 tiny = is(Word::FOrdLessThan, {x, c(0x1p-126f)});
    const u32 bits = as_u32(pick(Reg::f32, {tiny, f(Word::FMul, {x, c(0x1p23f)}), x}));
    const u32 raw = u(Word::BitwiseAnd, {u(Word::ShiftRightLogical, {bits, n(23)}), n(255)});
    u32 exponent = u(Word::ISub, {raw, pick(Reg::u32, {tiny, n(150), n(127)})});
    u32 m = as_f32(u(Word::BitwiseOr, {u(Word::BitwiseAnd, {bits, n(0x7fffff)}), n(0x3f800000)}));
    const u32 high = is(Word::FOrdGreaterThan, {m, c(1.41421356f)});
    m = pick(Reg::f32, {high, f(Word::FMul, {m, c(0.5f)}), m});
    exponent = u(Word::IAdd, {exponent, pick(Reg::u32, {high, n(1), n(0)})});
    const u32 s = f(Word::FDiv, {f(Word::FSub, {m, c(1.0f)}), f(Word::FAdd, {m, c(1.0f)})});
    const u32 z = f(Word::FMul, {s, s});
    u32 p = c(2.88539008f / 9);
    for (const float k : {2.88539008f / 7, 2.88539008f / 5, 2.88539008f / 3, 2.88539008f}) p = step(p, z, k);
    const u32 sum = f(Word::FAdd, {m_->op(f32_type(), Word::ConvertSToF, {exponent}), f(Word::FMul, {s, p})});
    const u32 infinity = m_->constant(Reg::f32, 0x7f800000);
    const u32 positive = pick(Reg::f32, {is(Word::FOrdEqual, {x, infinity}), infinity, sum});
    const u32 zero = pick(Reg::f32, {is(Word::FOrdEqual, {x, c(0.0f)}), m_->constant(Reg::f32, 0xff800000),
                                     m_->constant(Reg::f32, 0x7fc00000)});
    return pick(Reg::f32, {is(Word::FOrdGreaterThan, {x, c(0.0f)}), positive, zero});
  }

  constexpr u32 make_sin(u32 x, u32 quarter) {
    const u32 turns = f(Word::FAdd, {f(Word::FMul, {x, c(0.636619772f)}), c(0.5f)});
    const u32 whole = m_->glsl(f32_type(), Glsl::Floor, {turns});
    u32 r = x;
    for (const float part : {1.5703125f, 4.837512969970703125e-4f, 7.549789954891882e-8f}) {
      r = f(Word::FSub, {r, f(Word::FMul, {whole, c(part)})});
    }
    const u32 q = u(Word::IAdd, {m_->op(m_->u32_type(), Word::ConvertFToS, {whole}), quarter});
    const u32 z = f(Word::FMul, {r, r});
    const u32 s = step(step(z, c(-1.9515295891e-4f), 8.3321608736e-3f), z, -1.6666654611e-1f);
    const u32 sine = f(Word::FAdd, {f(Word::FMul, {f(Word::FMul, {s, z}), r}), r});
    const u32 k = step(step(z, c(2.443315711809948e-5f), -1.388731625493765e-3f), z, 4.166664568298827e-2f);
    const u32 square = f(Word::FMul, {f(Word::FMul, {k, z}), z});
    const u32 cosine = f(Word::FAdd, {f(Word::FSub, {square, f(Word::FMul, {z, c(0.5f)})}), c(1.0f)});
    const u32 odd = is(Word::INotEqual, {u(Word::BitwiseAnd, {q, n(1)}), n(0)});
    const u32 flip = u(Word::ShiftLeftLogical, {u(Word::BitwiseAnd, {q, n(2)}), n(30)});
    return as_f32(u(Word::BitwiseXor, {as_u32(pick(Reg::f32, {odd, cosine, sine})), flip}));
  }

  Module* m_;
  u32 f16_to_f32_ = 0, f32_to_f16_ = 0, f32_to_bf16_ = 0, exp2_ = 0, log2_ = 0, sin_ = 0, fma_f16_ = 0,
      fma_bf16_ = 0;
};

}  // namespace gpuio::kernel::spirv
