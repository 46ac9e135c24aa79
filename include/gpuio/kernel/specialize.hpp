// Setting the specialization constants of a kernel, before it is made ready.
//
//   Program p = copy_of(blur.view());                     // Val<u32> radius = k.constant<u32>("RADIUS", 2,
//   1, 8) if (specialize(p, "RADIUS", 4) != Specialized::ok) ...
//
// Whatever is in its range keeps the kernel right: it was verified for all of it. Pure; constexpr.
#pragma once

#include <bit>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

// Are the bits a number of the constant's type, and from its least to its most? A NaN is in no range.
constexpr bool within(const Constant& c, u64 bits) {
  const u32 width = 8 * size_of(c.type);
  if (c.type != Type::boolean && !is_arithmetic(c.type)) return false;
  for (const u64 b : {bits, c.least, c.most})
    if (c.type == Type::boolean ? b > 1 : width < 64 && b >> width != 0) return false;
  const auto from_to = [&](auto as) { return as(c.least) <= as(bits) && as(bits) <= as(c.most); };
  switch (c.type) {
    case Type::f32: return from_to([](u64 b) { return std::bit_cast<f32>(u32(b)); });
    case Type::f64: return from_to([](u64 b) { return std::bit_cast<f64>(b); });
    case Type::i32: return from_to([](u64 b) { return i32(u32(b)); });
    case Type::i64: return from_to([](u64 b) { return i64(b); });
    default: return from_to([](u64 b) { return b; });
  }
}

enum class Specialized : u8 { ok, no_such_constant, out_of_range };

// kNone: there is none of that name.
constexpr u32 find_constant(const View& kernel, std::string_view name) {
  for (u32 n = 0; n < kernel.constants.size(); ++n)
    if (kernel.constants[n].name == name) return n;
  return kNone;
}
// `bits`: of the constant's type, zero-extended.
constexpr Specialized specialize(Program& kernel, std::string_view name, u64 bits) {
  const u32 n = find_constant(kernel.view(), name);
  if (n == kNone) return Specialized::no_such_constant;
  if (!within(kernel.constants[n], bits)) return Specialized::out_of_range;
  kernel.constants[n].value = bits;
  for (Inst& i : kernel.insts)
    if (i.op == Op::constant && i.a == n) i.imm = bits;
  return Specialized::ok;
}

}  // namespace gpuio::kernel
