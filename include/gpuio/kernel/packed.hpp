// Pairs of halves, f16x2 and bf16x2: a 32-bit word, two numbers, one instruction where the GPU has it.
//
//   In<f16x2> x, y; Out<f16x2> out;
//   out[i] = fma(x[i], y[i], 0.5f);                 // both halves, each rounded once
//   auto v = packed(h[2 * i], h[2 * i + 1]);        // of an In<f16>; packed(a) is a in both
//   auto sum = rounded(v.low()) + v.high();
//
// + - * min max fma, unary minus and abs, of pairs of one type; a literal is meant for both halves and held
// exactly. Each result is correctly rounded, to nearest even, subnormals kept, the same bits on every device
// (of a NaN only that it is one; of min and max of zeros the sign is open). Otherwise a pair is its word:
// element of buffers and shared arrays, Var, select, shuffles, bitcast from and to u32, f16 by f16 .low() and
// .high(). CUDA has it all from sm_53 (bf16: sm_80; min and max too); older GPUs and Vulkan do it half by
// half.
#pragma once

#include <gpuio/kernel/half.hpp>

namespace gpuio::kernel {

namespace detail {
template <class T>
using pair_t = std::conditional_t<std::same_as<T, f16>, f16x2, bf16x2>;

template <class T>
constexpr Val<T> pair(Op op, Tracer& t, u32 a, u32 b, u32 c = kNone) {
  return {&t, t.build.pair(op, kTypeOf<half_t<T>>, a, b, c)};
}
// By bits, of both halves: a NaN stays one.
template <class T>
constexpr Val<T> pair_bits(Op op, const Expr<T>& a, u32 mask) {
  Builder& b = a.tracer().build;
  const u32 word = a.id();
  return {&a.tracer(), b.binary(op, word, b.constant(Type::u32, mask))};
}
}  // namespace detail

template <class T>
  requires std::same_as<T, f16> || std::same_as<T, bf16>
constexpr Val<detail::pair_t<T>> packed(const Expr<T>& low, std::type_identity_t<Arg<T>> high) {
  Tracer& t = low.tracer();
  Builder& b = t.build;
  const u32 first = low.id(), second = high.get(t);
  const u32 word = b.cast(Type::u32, b.bitcast(Type::u16, first));
  const u32 above = b.cast(Type::u32, b.bitcast(Type::u16, second));
  const u32 moved = b.binary(Op::shl, above, b.constant(Type::u32, 16));
  return {&t, b.binary(Op::bit_or, word, moved)};
}
template <class T>
  requires std::same_as<T, f16> || std::same_as<T, bf16>
constexpr Val<detail::pair_t<T>> packed(const Expr<T>& both) {
  const Val<T> once = both;
  return packed(once, once);
}

#define GPUIO_PAIR(NAME, OP)                                                \
  template <PackedPair T>                                                   \
  constexpr Val<T> NAME(const Expr<T>& a, std::type_identity_t<Arg<T>> b) { \
    const u32 x = a.id();                                                   \
    const u32 y = b.get(a.tracer());                                        \
    return detail::pair<T>(Op::OP, a.tracer(), x, y);                       \
  }                                                                         \
  template <Literal L, PackedPair T>                                        \
  constexpr Val<T> NAME(L a, const Expr<T>& b) {                            \
    const u32 x = Arg<T>(a, 0).get(b.tracer());                             \
    const u32 y = b.id();                                                   \
    return detail::pair<T>(Op::OP, b.tracer(), x, y);                       \
  }
GPUIO_PAIR(operator+, pair_add)
GPUIO_PAIR(operator-, pair_sub)
GPUIO_PAIR(operator*, pair_mul)
GPUIO_PAIR(min, pair_min)
GPUIO_PAIR(max, pair_max)
#undef GPUIO_PAIR

template <PackedPair T>
constexpr Val<T> fma(const Expr<T>& a, std::type_identity_t<Arg<T>> b, std::type_identity_t<Arg<T>> c) {
  Tracer& t = a.tracer();
  const u32 x = a.id();
  const u32 y = b.get(t);
  const u32 z = c.get(t);
  return detail::pair<T>(Op::pair_fma, t, x, y, z);
}
template <PackedPair T>
constexpr Val<T> operator-(const Expr<T>& a) {
  return detail::pair_bits(Op::bit_xor, a, 0x80008000);
}
template <PackedPair T>
constexpr Val<T> abs(const Expr<T>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return detail::pair_bits(Op::bit_and, a, 0x7fff7fff);
}

}  // namespace gpuio::kernel
