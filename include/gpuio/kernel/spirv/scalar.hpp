// The scalar operations of the IR in SPIR-V, with the semantics of ir.hpp: what SPIR-V leaves undefined
// (division by zero, large shifts, conversions out of range, negative remainders) is defined here by selects,
// never by branches. Operands and results are ids of the register form (reg_of). On Vulkan, how well div and
// sqrt are rounded and whether fma rounds once is the device's: lavapipe rounds div and sqrt correctly and
// fma twice.
#pragma once

#include <gpuio/kernel/spirv/library.hpp>

namespace gpuio::kernel::spirv {

class Scalars {
 public:
  constexpr explicit Scalars(Module& module) : m_(&module), library_(module) {}

  constexpr u32 binary(Op op, Type t, u32 a, u32 b) {
    if (t == Type::boolean) return m_->op(m_->bool_type(), logic(op), {a, b});
    if (is_float(t)) return float_binary(op, t, a, b);
    const u32 of = type(t);
    switch (op) {
      case Op::div:
      case Op::rem: return divide(op, t, a, b);
      case Op::min: return m_->glsl(of, is_signed(t) ? Glsl::SMin : Glsl::UMin, {a, b});
      case Op::max: return m_->glsl(of, is_signed(t) ? Glsl::SMax : Glsl::UMax, {a, b});
      case Op::shl:
      case Op::shr: {
        const u32 count = m_->op(m_->u32_type(), Word::BitwiseAnd, {b, m_->number(size_of(t) * 8 - 1)});
        const Word right = is_signed(t) ? Word::ShiftRightArithmetic : Word::ShiftRightLogical;
        return m_->op(of, op == Op::shl ? Word::ShiftLeftLogical : right, {a, count});
      }
      default: return m_->op(of, integer_word(op), {a, b});
    }
  }

  constexpr u32 unary(Op op, Type t, u32 a) {
    const u32 of = type(t);
    if (t == Type::boolean) return m_->op(of, Word::LogicalNot, {a});
    if (!is_float(t)) {
      if (op == Op::bit_not) return m_->op(of, Word::Not, {a});
      const u32 negated = m_->op(of, Word::SNegate, {a});
      if (op == Op::neg) return negated;
      if (!is_signed(t)) return a;  // abs
      return m_->op(of, Word::Select,
                    {m_->op(m_->bool_type(), Word::SLessThan, {a, constant(t, 0)}), negated, a});
    }
    switch (op) {
      case Op::neg: return m_->exact(of, Word::FNegate, {a});
      case Op::abs: return m_->glsl(of, Glsl::FAbs, {a});
      case Op::sqrt: return m_->glsl(of, Glsl::Sqrt, {a});
      case Op::floor: return m_->glsl(of, Glsl::Floor, {a});
      case Op::exp2: return library_.exp2(a);
      case Op::log2: return library_.log2(a);
      case Op::sin: return library_.sin(a, 0);
      default: return library_.sin(a, 1);
    }
  }

  constexpr u32 fma(Type t, u32 a, u32 b, u32 c) { return m_->glsl(type(t), Glsl::Fma, {a, b, c}); }

  // Of both halves of a word.
  constexpr u32 pair(Op op, Type half, u32 a, u32 b, u32 c) {
    const u32 low = library_.half(op, half, part(a, false), part(b, false), c ? part(c, false) : 0);
    const u32 high = library_.half(op, half, part(a, true), part(b, true), c ? part(c, true) : 0);
    const u32 moved = m_->op(m_->u32_type(), Word::ShiftLeftLogical, {high, m_->number(16)});
    return m_->op(m_->u32_type(), Word::BitwiseOr, {low, moved});
  }

  // popcount and count_leading_zeros: Vulkan has them for 32 bits.
  constexpr u32 count(Op op, Type from, u32 a) {
    const u32 of = m_->u32_type();
    if (size_of(from) < 8) return count32(op, a);
    const u32 low = m_->op(of, Word::UConvert, {a});
    const u32 shifted = m_->op(m_->u64_type(), Word::ShiftRightLogical, {a, m_->number(32)});
    const u32 high = m_->op(of, Word::UConvert, {shifted});
    const u32 of_low = count32(op, low), of_high = count32(op, high);
    const u32 sum = m_->op(of, Word::IAdd, {of_low, of_high});
    if (op == Op::popcount) return sum;
    const u32 zero = m_->op(m_->bool_type(), Word::IEqual, {high, m_->number(0)});
    return m_->op(of, Word::Select, {zero, sum, of_high});
  }

  constexpr u32 compare(Op op, Type from, u32 a, u32 b) {
    const Word word = is_float(from)          ? float_compare(op)
                      : from == Type::boolean ? (op == Op::eq ? Word::LogicalEqual : Word::LogicalNotEqual)
                      : is_signed(from)       ? signed_compare(op)
                                              : unsigned_compare(op);
    return is_float(from) ? m_->exact(m_->bool_type(), word, {a, b}) : m_->op(m_->bool_type(), word, {a, b});
  }

  constexpr u32 cast(Type to, Type from, u32 a) {
    if (to == from) return a;
    // First to a type that has arithmetic.
    if (from == Type::f16 || from == Type::bf16) {
      return cast(to, Type::f32, from == Type::f16 ? library_.f16_to_f32(a) : library_.bf16_to_f32(a));
    }
    if (from == Type::boolean) {
      return cast(to, Type::u32, m_->op(m_->u32_type(), Word::Select, {a, m_->number(1), m_->number(0)}));
    }
    if (size_of(from) < 4) {
      if (!is_signed(from)) return cast(to, Type::u32, a);
      const u32 bits = size_of(from) * 8;
      return cast(to, Type::i32,
                  m_->op(m_->u32_type(), Word::BitFieldSExtract, {a, m_->number(0), m_->number(bits)}));
    }
    switch (to) {
      case Type::boolean: {
        if (is_float(from)) return m_->exact(m_->bool_type(), Word::FUnordNotEqual, {a, constant(from, 0)});
        return m_->op(m_->bool_type(), Word::INotEqual, {a, constant(from, 0)});
      }
      case Type::f16: return library_.f32_to_f16(cast(Type::f32, from, a));
      case Type::bf16: return library_.f32_to_bf16(cast(Type::f32, from, a));
      case Type::f32:
      case Type::f64: {
        if (is_float(from)) return m_->exact(type(to), Word::FConvert, {a});
        return m_->exact(type(to), is_signed(from) ? Word::ConvertSToF : Word::ConvertUToF, {a});
      }
      default: return is_float(from) ? saturate(to, from, a) : resize(to, from, a);
    }
  }

  constexpr u32 bitcast(Type to, Type from, u32 a) {
    if (to == Type::boolean || from == Type::boolean) return cast(to, from, a);
    return reg_of(to) == reg_of(from) ? a : m_->op(type(to), Word::Bitcast, {a});
  }

  constexpr u32 type(Type t) { return m_->reg(reg_of(t)); }
  constexpr u32 constant(Type t, u64 bits) { return m_->constant(reg_of(t), bits); }

 private:
  constexpr u32 part(u32 pair, bool high) {
    if (high) return m_->op(m_->u32_type(), Word::ShiftRightLogical, {pair, m_->number(16)});
    return keep_low(Type::u16, pair);
  }
  static constexpr Word logic(Op op) {
    return op == Op::bit_and ? Word::LogicalAnd : op == Op::bit_or ? Word::LogicalOr : Word::LogicalNotEqual;
  }
  static constexpr Word integer_word(Op op) {
    switch (op) {
      case Op::add: return Word::IAdd;
      case Op::sub: return Word::ISub;
      case Op::mul: return Word::IMul;
      case Op::bit_and: return Word::BitwiseAnd;
      case Op::bit_or: return Word::BitwiseOr;
      default: return Word::BitwiseXor;
    }
  }
  static constexpr Word float_compare(Op op) {
    switch (op) {
      case Op::eq: return Word::FOrdEqual;
      case Op::ne: return Word::FUnordNotEqual;
      case Op::lt: return Word::FOrdLessThan;
      case Op::le: return Word::FOrdLessThanEqual;
      case Op::gt: return Word::FOrdGreaterThan;
      default: return Word::FOrdGreaterThanEqual;
    }
  }
  static constexpr Word signed_compare(Op op) {
    switch (op) {
      case Op::lt: return Word::SLessThan;
      case Op::le: return Word::SLessThanEqual;
      case Op::gt: return Word::SGreaterThan;
      case Op::ge: return Word::SGreaterThanEqual;
      default: return unsigned_compare(op);
    }
  }
  static constexpr Word unsigned_compare(Op op) {
    switch (op) {
      case Op::eq: return Word::IEqual;
      case Op::ne: return Word::INotEqual;
      case Op::lt: return Word::ULessThan;
      case Op::le: return Word::ULessThanEqual;
      case Op::gt: return Word::UGreaterThan;
      default: return Word::UGreaterThanEqual;
    }
  }

  constexpr u32 float_binary(Op op, Type t, u32 a, u32 b) {
    const u32 of = type(t);
    switch (op) {
      case Op::add: return m_->exact(of, Word::FAdd, {a, b});
      case Op::sub: return m_->exact(of, Word::FSub, {a, b});
      case Op::mul: return m_->exact(of, Word::FMul, {a, b});
      case Op::div: return divide_floats(of, t == Type::f64 ? Type::u64 : Type::u32, a, b);
      case Op::min: return m_->glsl(of, Glsl::NMin, {a, b});
      default: return m_->glsl(of, Glsl::NMax, {a, b});
    }
  }

  // SPIR-V leaves a division by zero open, and lavapipe folds one by a constant to 0: a times an infinity of
  // the divisor's sign is the same quotient, of zeros and NaNs too.
  constexpr u32 divide_floats(u32 of, Type bits, u32 a, u32 b) {
    const bool wide = bits == Type::u64;
    const u32 plain = m_->exact(of, Word::FDiv, {a, b});
    const u32 all_but_sign = constant(bits, ~u64{0} >> (wide ? 1 : 33));
    const u32 largest = constant(bits, wide ? u64{0x7ff0000000000000} : u64{0x7f800000});
    const u32 word = m_->op(type(bits), Word::Bitcast, {b});
    const u32 rest = m_->op(type(bits), Word::BitwiseAnd, {word, all_but_sign});
    const u32 infinity = m_->op(of, Word::Bitcast, {m_->op(type(bits), Word::BitwiseOr, {word, largest})});
    const u32 zero = m_->op(m_->bool_type(), Word::IEqual, {rest, constant(bits, 0)});
    return m_->op(of, Word::Select, {zero, m_->exact(of, Word::FMul, {a, infinity}), plain});
  }

  // The divisors that SPIR-V gives no meaning to are replaced by 1, and the quotient then by what ir.hpp
  // says. The remainder is a - q * b, as SPIR-V's own is undefined on negative operands.
  constexpr u32 divide(Op op, Type t, u32 a, u32 b) {
    const u32 of = type(t), truth = m_->bool_type(), one = constant(t, 1), ones = constant(t, ~u64{0});
    const u32 zero = m_->op(truth, Word::IEqual, {b, constant(t, 0)});
    u32 quotient = 0;
    if (is_signed(t)) {
      const u32 minus = m_->op(truth, Word::IEqual, {b, ones});
      const u32 either = m_->op(truth, Word::LogicalOr, {zero, minus});
      const u32 safe = m_->op(of, Word::Select, {either, one, b});
      const u32 plain = m_->op(of, Word::SDiv, {a, safe});
      quotient = m_->op(of, Word::Select, {minus, m_->op(of, Word::SNegate, {a}), plain});
    } else {
      quotient = m_->op(of, Word::UDiv, {a, m_->op(of, Word::Select, {zero, one, b})});
    }
    if (op == Op::div) return m_->op(of, Word::Select, {zero, ones, quotient});
    return m_->op(of, Word::ISub, {a, m_->op(of, Word::IMul, {quotient, b})});  // of b = 0: a - q * 0
  }

  constexpr u32 count32(Op op, u32 a) {
    if (op == Op::popcount) return m_->op(m_->u32_type(), Word::BitCount, {a});
    const u32 highest = m_->glsl(m_->u32_type(), Glsl::FindUMsb, {a});  // -1 when there is none
    return m_->op(m_->u32_type(), Word::ISub, {m_->number(31), highest});
  }

  // Integer to integer: `from` has 32 or 64 bits.
  constexpr u32 resize(Type to, Type from, u32 a) {
    if (size_of(to) == 8) {
      if (size_of(from) == 8) return a;
      return m_->op(m_->u64_type(), is_signed(from) ? Word::SConvert : Word::UConvert, {a});
    }
    const u32 low = size_of(from) == 8 ? m_->op(m_->u32_type(), Word::UConvert, {a}) : a;
    return size_of(to) == 4 ? low : keep_low(to, low);
  }
  constexpr u32 keep_low(Type to, u32 a) {
    return m_->op(m_->u32_type(), Word::BitwiseAnd, {a, m_->number(size_of(to) == 1 ? 0xff : 0xffff)});
  }

  // Float to integer: what the type cannot hold goes to its ends, NaN to 0.
  constexpr u32 saturate(Type to, Type from, u32 a) {
    if (size_of(to) < 4) {
      const bool minus = is_signed(to);
      const u32 most = (1u << (size_of(to) * 8 - (minus ? 1 : 0))) - 1, wide = saturate(Type::i32, from, a);
      const u32 below = m_->glsl(m_->u32_type(), Glsl::SMin, {wide, m_->number(most)});
      const u32 both = m_->glsl(m_->u32_type(), Glsl::SMax, {below, m_->number(minus ? ~most : 0)});
      return minus ? keep_low(to, both) : both;
    }
    const bool minus = is_signed(to);
    const u32 of = type(to), bits = size_of(to) * 8;
    const u64 most = ~u64{0} >> (64 - bits + (minus ? 1 : 0));
    // One past the largest value is a power of two: its exponent, put in place by hand.
    const u32 power = bits - (minus ? 1 : 0);
    const u64 above = from == Type::f32 ? u64{127 + power} << 23 : u64{1023 + power} << 52;
    const u64 sign = u64{1} << (from == Type::f32 ? 31 : 63);
    const u32 inside = m_->op(of, minus ? Word::ConvertFToS : Word::ConvertFToU, {a});
    const u32 high = m_->exact(m_->bool_type(), Word::FOrdGreaterThanEqual, {a, constant(from, above)});
    const u32 capped = m_->op(of, Word::Select, {high, constant(to, most), inside});
    if (!minus) {
      const u32 positive = m_->exact(m_->bool_type(), Word::FOrdGreaterThan, {a, constant(from, 0)});
      return m_->op(of, Word::Select, {positive, capped, constant(to, 0)});
    }
    const u32 low = m_->exact(m_->bool_type(), Word::FOrdLessThanEqual, {a, constant(from, above | sign)});
    const u32 bounded = m_->op(of, Word::Select, {low, constant(to, most + 1), capped});
    const u32 number = m_->exact(m_->bool_type(), Word::FOrdEqual, {a, a});
    return m_->op(of, Word::Select, {number, bounded, constant(to, 0)});
  }

  Module* m_;
  Library library_;
};

}  // namespace gpuio::kernel::spirv
