// PTX of pairs of halves. Part of ptx.hpp.
//
// f16 has all of it, min and max from sm_80 on. Of bf16 sm_80 has a fused multiply-add, which is the others
// too, exactly: a + b = a * 1 + b, a - b = b * -1 + a, a * b = a * b + -0. What a GPU lacks is done half by
// half in f32 and, where that may round twice, f64.
#pragma once

#include <gpuio/kernel/ptx/scalar.hpp>

namespace gpuio::kernel::detail::ptx {

// A half of a pair in a register as f32.
template <class Sink>
constexpr void widen_half(Out<Sink>& o, Type half, bool high, std::string_view to, Reg from) {
  if (half == Type::bf16) {
    if (high) o.line("and.b32 ", to, ", ", from, ", 0xFFFF0000");
    else o.line("shl.b32 ", to, ", ", from, ", 16");
  } else {
    o.line("mov.b32 {%z2, %z3}, ", from);
    o.line("cvt.f32.f16 ", to, ", ", high ? "%z3" : "%z2");
  }
}

// %x3 * %x4 + addend of bf16 numbers, into %x3 rounded to odd, of which 24 bits round to bf16 as the exact
// sum does. The product is exact in f64. Rounded towards zero, a number is made odd where it is not exact;
// the sum is not where it is another rounded down than up.
template <class Sink>
constexpr void fuse_to_odd(Out<Sink>& o, std::string_view addend) {
  o.text("  {\n");
  o.line(".reg .b64 %e<4>");
  o.line("cvt.f64.f32 %e0, %x3");
  o.line("cvt.f64.f32 %e1, %x4");
  o.line("mul.rn.f64 %e0, %e0, %e1");
  o.line("cvt.f64.f32 %e1, ", addend);
  o.line("add.rm.f64 %e2, %e0, %e1");
  o.line("add.rp.f64 %e3, %e0, %e1");
  o.line("setp.neu.f64 %q0, %e2, %e3");
  o.line("add.rz.f64 %e2, %e0, %e1");
  o.line("or.b64 %e3, %e2, 1");
  o.line("selp.b64 %e2, %e3, %e2, %q0");
  o.line("cvt.rz.f32.f64 %x3, %e2");
  o.line("cvt.f64.f32 %e3, %x3");
  o.line("setp.neu.f64 %q0, %e2, %e3");
  o.line("or.b32 %x4, %x3, 1");
  o.line("selp.b32 %x3, %x4, %x3, %q0");
  o.text("  }\n");
}

template <class Sink>
constexpr void half_by_half(Out<Sink>& o, const Inst& i, u32 id) {
  constexpr std::string_view kNames[] = {"add.rn.", "sub.rn.", "", "min.", "max."};
  for (const bool high : {false, true}) {
    const std::string_view to = high ? "%z1" : "%z0";
    widen_half(o, i.from, high, "%x3", o.reg(i.a));
    widen_half(o, i.from, high, "%x4", o.reg(i.b));
    if (i.op == Op::pair_fma) widen_half(o, i.from, high, "%x5", o.reg(i.c));
    if (i.op == Op::pair_fma) fuse_to_odd(o, "%x5");
    else if (i.op == Op::pair_mul) fuse_to_odd(o, "0f80000000");
    else o.line(kNames[u32(i.op) - u32(Op::pair_add)], "f32 %x3, %x3, %x4");
    if (i.from == Type::bf16) to_bf16(o, to, "%x3");
    else o.line("cvt.rn.f16.f32 ", to, ", %x3");
  }
  o.line("mov.b32 ", Reg{Type::u32, id}, ", {%z0, %z1}");
}

template <class Sink>
constexpr void pair(Out<Sink>& o, const Inst& i, u32 id) {
  const Reg to{Type::u32, id}, a = o.reg(i.a), b = o.reg(i.b);
  const bool bf16 = i.from == Type::bf16, picks = i.op == Op::pair_min || i.op == Op::pair_max;
  if (o.sm < 80 && (bf16 || picks)) return half_by_half(o, i, id);
  const std::string_view type = bf16 ? "bf16x2 " : "f16x2 ";
  if (picks) return o.line(i.op == Op::pair_min ? "min." : "max.", type, to, ", ", a, ", ", b);
  if (i.op == Op::pair_fma) return o.line("fma.rn.", type, to, ", ", a, ", ", b, ", ", o.reg(i.c));
  if (!bf16) {
    const std::string_view op = i.op == Op::pair_add   ? "add.rn."
                                : i.op == Op::pair_sub ? "sub.rn."
                                                       : "mul.rn.";
    return o.line(op, type, to, ", ", a, ", ", b);
  }
  const std::string_view constant = i.op == Op::pair_add   ? "0x3F803F80"
                                    : i.op == Op::pair_sub ? "0xBF80BF80"
                                                           : "0x80008000";
  o.line("mov.b32 %x0, ", constant);
  if (i.op == Op::pair_add) o.line("fma.rn.bf16x2 ", to, ", ", a, ", %x0, ", b);
  else if (i.op == Op::pair_sub) o.line("fma.rn.bf16x2 ", to, ", ", b, ", %x0, ", a);
  else o.line("fma.rn.bf16x2 ", to, ", ", a, ", ", b, ", %x0");
}

}  // namespace gpuio::kernel::detail::ptx
