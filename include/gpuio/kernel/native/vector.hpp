// Eight lanes at a time: vectors of the compiler's own, which it maps to whatever the processor has. Part of
// native.hpp.
#pragma once

#include <cstring>

#include <gpuio/kernel/semantics.hpp>

// Vectors are passed between inlined functions only, so that no ABI is involved. g++ says so at the end of
// the translation unit, which is why this is not popped.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace gpuio::kernel::native {

inline constexpr u32 kLanes = 8;

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kLanes * sizeof(T))));
};
template <class T>
using V = typename VectorOf<T>::type;
using Mask = V<i32>;  // a boolean a lane: 0 or -1

#define GPUIO_INLINE [[gnu::always_inline]] inline

template <u32 size>
auto unsigned_of_size() {
  if constexpr (size == 1) return u8{};
  else if constexpr (size == 2) return u16{};
  else if constexpr (size == 4) return u32{};
  else return u64{};
}
template <class T>
using Bits = decltype(unsigned_of_size<sizeof(T)>());
template <class T>
using SignedBits = std::make_signed_t<Bits<T>>;

// f(lane) in every lane.
template <class R, class F>
GPUIO_INLINE V<R> lanes(F&& f) {
  V<R> r{};
  for (u32 l = 0; l < kLanes; ++l) r[l] = f(l);
  return r;
}
template <class T>
GPUIO_INLINE V<T> spread(T value) {
  return V<T>{} + value;
}
template <>
GPUIO_INLINE V<f32> spread(f32 value) {  // 0 + -0 would lose the sign
  return V<f32>{value, value, value, value, value, value, value, value};
}
template <>
GPUIO_INLINE V<f64> spread(f64 value) {
  return V<f64>{value, value, value, value, value, value, value, value};
}
GPUIO_INLINE Mask spread_mask(bool value) { return spread<i32>(value ? -1 : 0); }

template <class T>
GPUIO_INLINE V<Bits<T>> to_unsigned(V<T> a) {
  return reinterpret_cast<V<Bits<T>>>(a);
}
template <class T>
GPUIO_INLINE V<T> from_unsigned(V<Bits<T>> a) {
  return reinterpret_cast<V<T>>(a);
}

GPUIO_INLINE bool any(Mask m) {
  u64 w[4];
  std::memcpy(w, &m, sizeof(m));
  return (w[0] | w[1] | w[2] | w[3]) != 0;
}
GPUIO_INLINE bool all(Mask m) {
  u64 w[4];
  std::memcpy(w, &m, sizeof(m));
  return (w[0] & w[1] & w[2] & w[3]) == ~u64{0};
}

// A mask for elements of T's size, and back.
template <class T>
GPUIO_INLINE V<SignedBits<T>> wide_mask(Mask m) {
  if constexpr (sizeof(T) == 4) return m;
  else return __builtin_convertvector(m, V<SignedBits<T>>);
}
template <class M>
GPUIO_INLINE Mask narrow_mask(M m) {
  if constexpr (sizeof(m) == sizeof(Mask)) return reinterpret_cast<Mask>(m);
  else return __builtin_convertvector(m, Mask);
}

template <class T>
GPUIO_INLINE V<T> choose(Mask m, V<T> a, V<T> b) {
  const V<Bits<T>> w = reinterpret_cast<V<Bits<T>>>(wide_mask<T>(m));
  return from_unsigned<T>((to_unsigned<T>(a) & w) | (to_unsigned<T>(b) & ~w));
}

template <Op op, class A>
GPUIO_INLINE auto compare_vectors(A a, A b) {
  if constexpr (op == Op::eq) return a == b;
  else if constexpr (op == Op::ne) return a != b;
  else if constexpr (op == Op::lt) return a < b;
  else if constexpr (op == Op::le) return a <= b;
  else if constexpr (op == Op::gt) return a > b;
  else return a >= b;
}
// In halves that every processor compares at once: g++ takes a wider comparison apart, lane by lane.
template <Op op, class T>
GPUIO_INLINE Mask compare_lanes(V<T> a, V<T> b) {
  if constexpr (sizeof(T) == 4) {
    const auto low = compare_vectors<op>(__builtin_shufflevector(a, a, 0, 1, 2, 3),
                                         __builtin_shufflevector(b, b, 0, 1, 2, 3));
    const auto high = compare_vectors<op>(__builtin_shufflevector(a, a, 4, 5, 6, 7),
                                          __builtin_shufflevector(b, b, 4, 5, 6, 7));
    return reinterpret_cast<Mask>(__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7));
  } else {
    return narrow_mask(compare_vectors<op>(a, b));
  }
}

// Whole vectors where the language has the operation, else lane by lane what semantics.hpp says.
template <Op op, class T>
GPUIO_INLINE V<T> binary_lanes(V<T> a, V<T> b) {
  if constexpr (std::is_floating_point_v<T>) {
    if constexpr (op == Op::add) return a + b;
    else if constexpr (op == Op::sub) return a - b;
    else if constexpr (op == Op::mul) return a * b;
    else if constexpr (op == Op::div) return a / b;
    else if constexpr (op == Op::min)
      return choose<T>(compare_lanes<Op::lt, T>(b, a) | compare_lanes<Op::ne, T>(a, a), b, a);
    else return choose<T>(compare_lanes<Op::lt, T>(a, b) | compare_lanes<Op::ne, T>(a, a), b, a);
  } else {
    const auto x = to_unsigned<T>(a), y = to_unsigned<T>(b);
    if constexpr (op == Op::add) return from_unsigned<T>(x + y);
    else if constexpr (op == Op::sub) return from_unsigned<T>(x - y);
    else if constexpr (op == Op::mul) return from_unsigned<T>(x * y);
    else if constexpr (op == Op::bit_and) return a & b;
    else if constexpr (op == Op::bit_or) return a | b;
    else if constexpr (op == Op::bit_xor) return a ^ b;
    else if constexpr (op == Op::min) return choose<T>(compare_lanes<Op::lt, T>(b, a), b, a);
    else if constexpr (op == Op::max) return choose<T>(compare_lanes<Op::lt, T>(a, b), b, a);
    else return lanes<T>([&](u32 l) { return binary<T>(op, a[l], b[l]); });
  }
}

template <Op op, class T>
GPUIO_INLINE V<T> shift_lanes(V<T> a, V<u32> count) {
  constexpr u32 kMask = sizeof(T) * 8 - 1;
  if constexpr (sizeof(T) == 4) {
    const V<u32> n = count & kMask;
    if constexpr (op == Op::shl) return from_unsigned<T>(to_unsigned<T>(a) << n);
    else return a >> reinterpret_cast<V<T>>(n);
  } else {
    return lanes<T>([&](u32 l) { return shift<T>(op, a[l], count[l]); });
  }
}
template <Op op, class T>
GPUIO_INLINE V<T> shift_lanes_by(V<T> a, u32 count) {
  const int n = int(count & (sizeof(T) * 8 - 1));
  if constexpr (op == Op::shl) return from_unsigned<T>(to_unsigned<T>(a) << n);
  else return a >> n;
}

template <Op op, class T>
GPUIO_INLINE V<T> unary_lanes(V<T> a) {
  if constexpr (op == Op::bit_not) return ~a;
  else if constexpr (op == Op::neg && std::is_floating_point_v<T>) return -a;
  else if constexpr (op == Op::neg) return from_unsigned<T>(V<Bits<T>>{} - to_unsigned<T>(a));
  else if constexpr (op == Op::abs && std::is_floating_point_v<T>)
    return from_unsigned<T>(to_unsigned<T>(a) & Bits<T>(~Bits<T>(0) >> 1));
  else if constexpr (op == Op::abs && std::is_unsigned_v<T>) return a;
  else return lanes<T>([&](u32 l) { return unary<T>(op, a[l]); });
}

// The C++ type of one element of an array of this Type. f16 and bf16 are their bits.
template <Type t>
auto element_type() {
  if constexpr (t == Type::boolean) return bool{};
  else if constexpr (t == Type::u8) return u8{};
  else if constexpr (t == Type::i8) return i8{};
  else if constexpr (t == Type::u16 || t == Type::f16 || t == Type::bf16) return u16{};
  else if constexpr (t == Type::i16) return i16{};
  else if constexpr (t == Type::u32) return u32{};
  else if constexpr (t == Type::i32) return i32{};
  else if constexpr (t == Type::u64) return u64{};
  else if constexpr (t == Type::i64) return i64{};
  else if constexpr (t == Type::f32) return f32{};
  else return f64{};
}
template <Type t>
using Element = decltype(element_type<t>());
// Lanes of booleans are masks.
template <class T>
struct LanesOf {
  using type = V<T>;
};
template <>
struct LanesOf<bool> {
  using type = Mask;
};
template <class T>
using Lanes = typename LanesOf<T>::type;

template <Type to, Type from>
GPUIO_INLINE Element<to> cast_scalar(Element<from> a) {
  return from_bits<Element<to>>(eval_cast(to, from, to_bits(a)));
}
template <Type to, Type from>
GPUIO_INLINE Lanes<Element<to>> cast_lanes(Lanes<Element<from>> a) {
  using To = Element<to>;
  using From = Element<from>;
  constexpr bool kHalf = to == Type::f16 || to == Type::bf16 || from == Type::f16 || from == Type::bf16;
  if constexpr (to == from) return a;
  else if constexpr (to == Type::boolean && !kHalf) return narrow_mask(a != V<From>{});
  else if constexpr (to == Type::boolean)
    return lanes<i32>([&](u32 l) { return cast_scalar<to, from>(a[l]) ? -1 : 0; });
  else if constexpr (from == Type::boolean && std::is_integral_v<To> && !kHalf)
    return from_unsigned<To>(reinterpret_cast<V<Bits<To>>>(wide_mask<To>(a)) & Bits<To>(1));
  else if constexpr (from == Type::boolean)
    return lanes<To>([&](u32 l) { return cast_scalar<to, from>(a[l] != 0); });
  else if constexpr (!kHalf && std::is_integral_v<From>) return __builtin_convertvector(a, V<To>);
  else if constexpr (!kHalf && std::is_floating_point_v<To>) return __builtin_convertvector(a, V<To>);
  else return lanes<To>([&](u32 l) { return cast_scalar<to, from>(a[l]); });
}

}  // namespace gpuio::kernel::native
