// Arithmetic that stays in f16 or bf16. Otherwise they widen to f32 and stay there until a store rounds them;
// rounded() asks for a rounding after each operation, as hardware for halves has it.
//
//   auto a = rounded(x[i]), b = rounded(y[i]);      // In<f16>
//   out[i] = a * b + 0.5f;                          // two roundings to f16
//
// Each operation is done in f32 and its result rounded to the type, to nearest even. So + - * / and sqrt are
// correctly rounded (bf16: where the result of * or / is no subnormal number). fma is rounded once: it is one
// half of that of packed.hpp. min max abs neg and comparisons are exact. A literal is held exactly, or an
// error. The bits are the same on every device. Values only; a Var<f16> keeps one: `v = rounded(v) + a`.
#pragma once

#include <gpuio/kernel/values.hpp>

namespace gpuio::kernel {

template <class T>
class Rounded : public Val<T> {
 public:
  static_assert(std::same_as<T, f16> || std::same_as<T, bf16>, "f16 and bf16 have arithmetic of their own");
  constexpr explicit Rounded(const Expr<T>& v) : Val<T>(v) {}
  // Of a result in f32.
  constexpr explicit Rounded(const Val<f32>& v) : Val<T>(v.template as<T>(0)) {}
};
template <class T>
constexpr Rounded<T> rounded(const Expr<T>& v, u32 line = __builtin_LINE()) {
  v.tracer().at(line);
  return Rounded<T>(v);
}

namespace detail {
template <class T>
constexpr Val<f32> widened(const Expr<T>& v) {
  return {&v.tracer(), v.wide_id()};
}
template <class T>
constexpr Val<f32> widened(Tracer& t, const Arg<T>& v) {
  const u32 id = v.get(t);
  return {&t, t.build.cast(Type::f32, id)};
}
}  // namespace detail

#define GPUIO_ROUNDED(OP)                                                                 \
  template <class T>                                                                      \
  constexpr Rounded<T> operator OP(const Rounded<T>& a, const Rounded<T>& b) {            \
    const Val<f32> x = detail::widened(a), y = detail::widened(b);                        \
    return Rounded<T>(x OP y);                                                            \
  }                                                                                       \
  template <class T>                                                                      \
  constexpr Rounded<T> operator OP(const Rounded<T>& a, std::type_identity_t<Arg<T>> b) { \
    const Val<f32> x = detail::widened(a), y = detail::widened(a.tracer(), b);            \
    return Rounded<T>(x OP y);                                                            \
  }                                                                                       \
  template <class T>                                                                      \
  constexpr Rounded<T> operator OP(const Expr<T>& a, const Rounded<T>& b) {               \
    const Val<f32> x = detail::widened(a), y = detail::widened(b);                        \
    return Rounded<T>(x OP y);                                                            \
  }                                                                                       \
  template <Literal L, class T>                                                           \
  constexpr Rounded<T> operator OP(L a, const Rounded<T>& b) {                            \
    const Val<f32> x = detail::widened(b.tracer(), Arg<T>(a, 0)), y = detail::widened(b); \
    return Rounded<T>(x OP y);                                                            \
  }
GPUIO_ROUNDED(+)
GPUIO_ROUNDED(-)
GPUIO_ROUNDED(*)
GPUIO_ROUNDED(/)
#undef GPUIO_ROUNDED

template <class T>
constexpr Rounded<T> operator-(const Rounded<T>& a) {
  return Rounded<T>(-detail::widened(a));
}
template <class T>
constexpr Rounded<T> abs(const Rounded<T>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return Rounded<T>(abs(detail::widened(a), line));
}
template <class T>
constexpr Rounded<T> sqrt(const Rounded<T>& a, u32 line = __builtin_LINE()) {
  a.tracer().at(line);
  return Rounded<T>(sqrt(detail::widened(a), line));
}
template <class T>
constexpr Rounded<T> min(const Rounded<T>& a, std::type_identity_t<Arg<T>> b) {
  const Val<f32> x = detail::widened(a), y = detail::widened(a.tracer(), b);
  return Rounded<T>(min(x, y));
}
template <class T>
constexpr Rounded<T> max(const Rounded<T>& a, std::type_identity_t<Arg<T>> b) {
  const Val<f32> x = detail::widened(a), y = detail::widened(a.tracer(), b);
  return Rounded<T>(max(x, y));
}
template <class T>
constexpr Rounded<T> fma(const Rounded<T>& a, std::type_identity_t<Arg<T>> b,
                         std::type_identity_t<Arg<T>> c) {
  Tracer& t = a.tracer();
  const u32 ids[] = {a.id(), b.get(t), c.get(t)};
  u32 words[3]{};
  for (u32 n = 0; n < 3; ++n) words[n] = t.build.cast(Type::u32, t.build.bitcast(Type::u16, ids[n]));
  const u32 both = t.build.pair(Op::pair_fma, kTypeOf<T>, words[0], words[1], words[2]);
  return Rounded<T>(Val<T>(&t, t.build.bitcast(kTypeOf<T>, t.build.cast(Type::u16, both))));
}

}  // namespace gpuio::kernel
