// PTX of what a lane computes by itself: leaves, arithmetic, comparison, conversion. Part of ptx.hpp.
//
// PTX differs from the IR in these, and only these: shifts clamp their count, division by zero and of the
// least integer by -1 is unspecified, NaN becomes an integer other than 0 where 64 bits are involved, and
// sin and cos lose their accuracy away from zero. Every rounding is spelt (.rn), which keeps the assembler
// from fusing. Scratch registers (%q predicates, %x 32 bits, %y 64, %z 16) never live past one instruction.
#pragma once

#include <gpuio/kernel/ptx/text.hpp>

namespace gpuio::kernel::detail::ptx {

// --- Leaves -----------------------------------------------------------------------------------------------

// The linear index of the lane in its workgroup, into `to`; uses %x7.
template <class Sink>
constexpr void local_index(Out<Sink>& o, std::string_view to) {
  const auto& b = o.k.block;
  if (b[2] > 1) {
    o.line("mov.u32 %x7, %tid.z");
    o.line("mov.u32 ", to, ", %tid.y");
    o.line("mad.lo.u32 %x7, %x7, ", b[1], ", ", to);
  } else if (b[1] > 1) {
    o.line("mov.u32 %x7, %tid.y");
  }
  o.line("mov.u32 ", to, ", %tid.x");
  if (b[1] > 1 || b[2] > 1) o.line("mad.lo.u32 ", to, ", %x7, ", b[0], ", ", to);
}

template <class Sink>
constexpr void builtin(Out<Sink>& o, const Inst& i, u32 id) {
  constexpr std::string_view kSpecial[] = {"%tid.x",    "%tid.y",   "%tid.z",    "%ctaid.x",
                                           "%ctaid.y",  "%ctaid.z", "%nctaid.x", "%nctaid.y",
                                           "%nctaid.z", "WARP_SZ",  "%laneid"};
  const Reg to{i.type, id};
  if (i.mode < std::size(kSpecial)) {
    o.line("mov.u32 ", to, ", ", kSpecial[i.mode]);
    return;
  }
  local_index(o, "%x0");
  if (Builtin(i.mode) == Builtin::subgroup_index) o.line("shr.u32 ", to, ", %x0, 5");
  else o.line("mov.b32 ", to, ", %x0");
}

template <class Sink>
constexpr void constant(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id};
  switch (i.type) {
    case Type::boolean: o.line("mov.pred ", to, i.imm & 1 ? ", 1" : ", 0"); break;
    case Type::f32: o.line("mov.f32 ", to, ", 0f", std::string_view(hexadecimal(i.imm, 8))); break;
    case Type::f64: o.line("mov.f64 ", to, ", 0d", std::string_view(hexadecimal(i.imm, 16))); break;
    case Type::i8:
      o.line("mov.b16 ", to, ", 0x", std::string_view(hexadecimal(u64(i64(i8(i.imm))), 4)));
      break;
    case Type::u32:
    case Type::u64: o.line("mov.", bits_of(i.type), " ", to, ", ", i.imm); break;
    default:
      o.line("mov.", bits_of(i.type), " ", to, ", 0x",
             std::string_view(hexadecimal(i.imm, size_of(i.type) < 2 ? 4 : size_of(i.type) * 2)));
  }
}

template <class Sink>
constexpr void argument(Out<Sink>& o, const Inst& i, u32 id) {
  const u32 at = i.a * kArgumentSlot;
  if (i.type == Type::boolean) {
    o.line("ld.param.u8 %z0, [args+", at, "]");
    o.line("setp.ne.u16 ", Reg{i.type, id}, ", %z0, 0");
  } else {
    o.line("ld.param.", memory_name(i.type), " ", Reg{i.type, id}, ", [args+", at, "]");
  }
}

template <class Sink>
constexpr void length(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id};
  if (i.a & kShared) o.line("mov.b64 ", to, ", ", o.k.shared[i.a & ~kShared].count);
  else o.line("ld.param.b64 ", to, ", [args+", i.a * kArgumentSlot + 8, "]");
}

// --- Arithmetic -------------------------------------------------------------------------------------------

// A register of scratch as wide as `t`.
constexpr std::string_view scratch(Type t, bool second = false) {
  if (size_of(t) == 8) return second ? "%y1" : "%y0";
  return second ? "%x1" : "%x0";
}

// Divides by a harmless number where PTX leaves the result open, then puts the defined result in.
template <class Sink>
constexpr void divide(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, a = o.reg(i.a), b = o.reg(i.b);
  const std::string_view name = type_name(i.type), bits = bits_of(i.type), by = scratch(i.type);
  const std::string_view op = i.op == Op::div ? "div." : "rem.";
  const bool known = o.is_constant(i.b);
  const u64 width_mask = size_of(i.type) == 8 ? ~u64{0} : 0xffffffff;
  const u64 divisor = known ? o.k.insts[i.b].imm & width_mask : 0;
  if (known && divisor != 0 && !(is_signed(i.type) && divisor == width_mask)) {
    o.line(op, name, " ", to, ", ", a, ", ", b);
    return;
  }
  o.line("setp.eq.", name, " %q0, ", b, ", 0");
  o.line("selp.", bits, " ", by, ", 1, ", b, ", %q0");
  if (is_signed(i.type)) {
    o.line("setp.eq.", name, " %q1, ", b, ", -1");
    o.line("selp.", bits, " ", by, ", 1, ", by, ", %q1");
  }
  o.line(op, name, " ", to, ", ", a, ", ", by);
  if (i.op == Op::rem) {  // x % 1 is 0, as x % -1 has to be
    o.line("selp.", bits, " ", to, ", ", a, ", ", to, ", %q0");
    return;
  }
  if (is_signed(i.type)) {
    const std::string_view minus = scratch(i.type, true);
    o.line("neg.", name, " ", minus, ", ", a);
    o.line("selp.", bits, " ", to, ", ", minus, ", ", to, ", %q1");
  }
  o.line("selp.", bits, " ", to, ", -1, ", to, ", %q0");
}

template <class Sink>
constexpr void shift(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, a = o.reg(i.a);
  const u32 width = size_of(i.type) * 8;
  const std::string_view op = i.op == Op::shl ? "shl." : "shr.";
  const std::string_view name = i.op == Op::shl ? bits_of(i.type) : type_name(i.type);
  if (o.is_constant(i.b)) {
    o.line(op, name, " ", to, ", ", a, ", ", u32(o.k.insts[i.b].imm) & (width - 1));
  } else {
    o.line("and.b32 %x0, ", o.reg(i.b), ", ", width - 1);
    o.line(op, name, " ", to, ", ", a, ", %x0");
  }
}

// sin and cos. The hardware's are accurate near zero only: take out the nearest multiple k of pi in two
// steps (its two parts as floats, Cody and Waite), then a k that is odd turns the sign. With |x| <= 100 each
// step rounds a number below 2, which adds 2^-23 to the 2^-20.5 that the instruction is specified with.
template <class Sink>
constexpr void sine(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, a = o.reg(i.a);
  o.line("mul.rn.f32 %x0, ", a, ", 0f3EA2F983");  // 1/pi
  o.line("cvt.rni.f32.f32 %x0, %x0");
  o.line("cvt.rzi.s32.f32 %x1, %x0");
  o.line("neg.f32 %x0, %x0");
  o.line("fma.rn.f32 %x2, %x0, 0f40490FDB, ", a);  // pi, upper part
  o.line("fma.rn.f32 %x2, %x0, 0fB3BBBD2E, %x2");  // and what is missing
  o.line(i.op == Op::sin ? "sin" : "cos", ".approx.f32 %x2, %x2");
  o.line("shl.b32 %x1, %x1, 31");
  o.line("xor.b32 ", to, ", %x2, %x1");
}

template <class Sink>
constexpr void unary(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, a = o.reg(i.a);
  const std::string_view name = type_name(i.type);
  const bool floating = is_float(i.type);
  switch (i.op) {
    case Op::neg:
      o.line("neg.",
             floating              ? name
             : i.type == Type::u64 ? "s64"
             : i.type == Type::u32 ? "s32"
                                   : name,
             " ", to, ", ", a);
      break;
    case Op::abs:
      if (floating || is_signed(i.type)) o.line("abs.", name, " ", to, ", ", a);
      else o.line("mov.", bits_of(i.type), " ", to, ", ", a);
      break;
    case Op::bit_not:
      o.line("not.", i.type == Type::boolean ? "pred" : bits_of(i.type), " ", to, ", ", a);
      break;
    case Op::popcount: o.line("popc.", bits_of(i.from), " ", to, ", ", a); break;
    case Op::count_leading_zeros: o.line("clz.", bits_of(i.from), " ", to, ", ", a); break;
    case Op::sqrt: o.line("sqrt.rn.", name, " ", to, ", ", a); break;
    case Op::exp2: o.line("ex2.approx.f32 ", to, ", ", a); break;
    case Op::log2: o.line("lg2.approx.f32 ", to, ", ", a); break;
    case Op::floor: o.line("cvt.rmi.", name, ".", name, " ", to, ", ", a); break;
    default: sine(o, i, id);
  }
}

template <class Sink>
constexpr void binary(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, a = o.reg(i.a), b = o.reg(i.b);
  const bool floating = is_float(i.type);
  const std::string_view name = type_name(i.type);
  std::string_view op;
  switch (i.op) {
    case Op::add: op = floating ? "add.rn." : "add."; break;
    case Op::sub: op = floating ? "sub.rn." : "sub."; break;
    case Op::mul: op = floating ? "mul.rn." : "mul.lo."; break;
    case Op::min: op = "min."; break;
    case Op::max: op = "max."; break;
    case Op::div:
    case Op::rem:
      if (!floating) return divide(o, i, id);
      op = "div.rn.";
      break;
    case Op::shl:
    case Op::shr: return shift(o, i, id);
    default: {
      op = i.op == Op::bit_and ? "and." : i.op == Op::bit_or ? "or." : "xor.";
      o.line(op, i.type == Type::boolean ? "pred" : bits_of(i.type), " ", to, ", ", a, ", ", b);
      return;
    }
  }
  o.line(op, name, " ", to, ", ", a, ", ", b);
}

template <class Sink>
constexpr void compare(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, a = o.reg(i.a), b = o.reg(i.b);
  if (i.from == Type::boolean) {
    o.line("xor.pred ", to, ", ", a, ", ", b);
    if (i.op == Op::eq) o.line("not.pred ", to, ", ", to);
    return;
  }
  constexpr std::string_view kNames[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  std::string_view how = kNames[u32(i.op) - u32(Op::eq)];
  if (i.op == Op::ne && is_float(i.from)) how = "neu";  // true when either is NaN
  o.line("setp.", how, ".", type_name(i.from), " ", to, ", ", a, ", ", b);
}

template <class Sink>
constexpr void select(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, p = o.reg(i.a), a = o.reg(i.b), b = o.reg(i.c);
  if (i.type != Type::boolean) {
    o.line("selp.", bits_of(i.type), " ", to, ", ", a, ", ", b, ", ", p);
    return;
  }
  o.line("and.pred %q0, ", p, ", ", a);
  o.line("not.pred %q1, ", p);
  o.line("and.pred %q1, %q1, ", b);
  o.line("or.pred ", to, ", %q0, %q1");
}

// --- Conversion -------------------------------------------------------------------------------------------

// f32 in `from` (a register's name) to bf16, rounding to nearest even; a NaN keeps being one.
template <class Sink, class To>
constexpr void to_bf16(Out<Sink>& o, To to, std::string_view from) {
  if (o.sm >= 80) {
    o.line("cvt.rn.bf16.f32 ", to, ", ", from);
    return;
  }
  o.line("setp.nan.f32 %q0, ", from, ", ", from);
  o.line("shr.u32 %x1, ", from, ", 16");
  o.line("and.b32 %x2, %x1, 1");
  o.line("add.u32 %x2, %x2, 0x7FFF");
  o.line("add.u32 %x2, %x2, ", from);
  o.line("shr.u32 %x2, %x2, 16");
  o.line("or.b32 %x1, %x1, 0x40");
  o.line("selp.b32 %x1, %x1, %x2, %q0");
  o.line("cvt.u16.u32 ", to, ", %x1");
}

// A float in `from` (f32 or f64) to any type.
template <class Sink>
constexpr void cast_float(Out<Sink>& o, Reg to, Type type, std::string_view from) {
  const std::string_view name = type_name(type);
  const bool wide = type == Type::f64;
  if (to.type == Type::boolean) {
    o.line("setp.neu.", name, " ", to, ", ", from, wide ? ", 0d0000000000000000" : ", 0f00000000");
  } else if (to.type == Type::f64) {
    o.line(wide ? "mov.b64 " : "cvt.f64.f32 ", to, ", ", from);
  } else if (to.type == Type::f32) {
    o.line(wide ? "cvt.rn.f32.f64 " : "mov.b32 ", to, ", ", from);
  } else if (is_float(to.type)) {  // by way of f32
    if (wide) o.line("cvt.rn.f32.f64 %x0, ", from);
    const std::string_view single = wide ? "%x0" : from;
    if (to.type == Type::f16) o.line("cvt.rn.f16.f32 ", to, ", ", single);
    else to_bf16(o, to, single);
  } else if (size_of(to.type) >= 4) {
    // The conversion saturates; NaN is 0 already unless 64 bits are on either side.
    o.line("cvt.rzi.", type_name(to.type), ".", name, " ", to, ", ", from);
    if (wide || size_of(to.type) == 8) {
      o.line("setp.nan.", name, " %q0, ", from, ", ", from);
      o.line("selp.", bits_of(to.type), " ", to, ", 0, ", to, ", %q0");
    }
  } else {
    const bool byte = size_of(to.type) == 1;
    o.line("cvt.rzi.s32.", name, " %x1, ", from);
    if (wide) {
      o.line("setp.nan.f64 %q0, ", from, ", ", from);
      o.line("selp.b32 %x1, 0, %x1, %q0");
    }
    o.line("max.s32 %x1, %x1, ", is_signed(to.type) ? (byte ? "-128" : "-32768") : "0");
    o.line("min.s32 %x1, %x1, ", is_signed(to.type) ? (byte ? "127" : "32767") : (byte ? "255" : "65535"));
    o.line("cvt.u16.u32 ", to, ", %x1");
  }
}

template <class Sink>
constexpr void cast_integer(Out<Sink>& o, Reg to, Reg from) {
  const u32 size = size_of(to.type), size_from = size_of(from.type);
  if (to.type == Type::boolean) {
    o.line("setp.ne.", type_name(from.type), " ", to, ", ", from, ", 0");
  } else if (to.type == Type::f16 || to.type == Type::bf16) {  // by way of f32
    o.line("cvt.rn.f32.", type_name(from.type), " %x0, ", from);
    if (to.type == Type::f16) o.line("cvt.rn.f16.f32 ", to, ", %x0");
    else to_bf16(o, to, "%x0");
  } else if (is_float(to.type)) {
    o.line("cvt.rn.", type_name(to.type), ".", type_name(from.type), " ", to, ", ", from);
  } else if (size == 1 && to.type != from.type) {
    // Cut to 8 bits, extended to the 16 of the register.
    if (size_from <= 2) o.line("mov.b16 %z0, ", from);
    else o.line("cvt.u16.", size_from == 8 ? "u64" : "u32", " %z0, ", from);
    if (is_signed(to.type)) o.line("cvt.s16.s8 ", to, ", %z0");
    else o.line("and.b16 ", to, ", %z0, 0xFF");
  } else if (size <= 2) {
    if (size_from <= 2) o.line("mov.b16 ", to, ", ", from);  // the extension is in the register
    else o.line("cvt.u16.", size_from == 8 ? "u64" : "u32", " ", to, ", ", from);
  } else if (size == size_from) {
    o.line("mov.", bits_of(to.type), " ", to, ", ", from);
  } else if (size < size_from) {
    o.line("cvt.u32.u64 ", to, ", ", from);
  } else {
    const std::string_view extended =
        is_signed(from.type) ? (size == 8 ? "s64" : "s32") : (size == 8 ? "u64" : "u32");
    o.line("cvt.", extended, ".", type_name(from.type), " ", to, ", ", from);
  }
}

template <class Sink>
constexpr void cast_boolean(Out<Sink>& o, Reg to, Reg from) {
  std::string_view one = "1";
  switch (to.type) {
    case Type::boolean: o.line("mov.pred ", to, ", ", from); return;
    case Type::f16: one = "0x3C00"; break;
    case Type::bf16: one = "0x3F80"; break;
    case Type::f32: one = "0x3F800000"; break;
    case Type::f64: one = "0x3FF0000000000000"; break;
    default: break;
  }
  o.line("selp.", bits_of(to.type), " ", to, ", ", one, ", 0, ", from);
}

template <class Sink>
constexpr void cast(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, from = o.reg(i.a);
  if (to.type == from.type) {
    o.line("mov.", to.type == Type::boolean ? "pred" : bits_of(to.type), " ", to, ", ", from);
    return;
  }
  switch (from.type) {
    case Type::boolean: return cast_boolean(o, to, from);
    case Type::f16: o.line("cvt.f32.f16 %x0, ", from); return cast_float(o, to, Type::f32, "%x0");
    case Type::bf16:
      o.line("cvt.u32.u16 %x0, ", from);
      o.line("shl.b32 %x0, %x0, 16");
      return cast_float(o, to, Type::f32, "%x0");
    case Type::f32: o.line("mov.b32 %x0, ", from); return cast_float(o, to, Type::f32, "%x0");
    case Type::f64: o.line("mov.b64 %y0, ", from); return cast_float(o, to, Type::f64, "%y0");
    default: return cast_integer(o, to, from);
  }
}

template <class Sink>
constexpr void bitcast(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{i.type, id}, from = o.reg(i.a);
  if (size_of(to.type) == 1 && to.type != from.type) {
    if (to.type == Type::boolean || from.type == Type::boolean) cast(o, i, id);
    else cast_integer(o, to, from);
  } else {
    o.line("mov.", to.type == Type::boolean ? "pred" : bits_of(to.type), " ", to, ", ", from);
  }
}

}  // namespace gpuio::kernel::detail::ptx
