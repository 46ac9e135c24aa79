// Eight lanes at a time: a few vectors of the width that the processor has, which g++ and clang both keep in
// registers (a wider vector of the compiler's own goes through memory with g++). Part of native.hpp.
#pragma once

#include <cstring>

#include <gpuio/kernel/semantics.hpp>

// Vectors are passed between inlined functions only, so that no ABI is involved. g++ says so at the end of
// the translation unit, which is why this is not popped.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace gpuio::kernel::native {

inline constexpr u32 kLanes = 8;
inline constexpr u32 kVectorBytes = 16;  // what the plainest x86-64 and AArch64 have

#define GPUIO_INLINE [[gnu::always_inline]] inline

template <class T, u32 Bytes>
struct PieceOf {
  typedef T type __attribute__((vector_size(Bytes)));
};
// The lanes of a T: one to four pieces.
template <class T>
struct V {
  static constexpr u32 kBytes = sizeof(T) * kLanes < kVectorBytes ? sizeof(T) * kLanes : kVectorBytes;
  static constexpr u32 kIn = kBytes / sizeof(T), kPieces = kLanes / kIn;
  using Piece = typename PieceOf<T, kBytes>::type;

  Piece piece[kPieces];

  GPUIO_INLINE T operator[](u32 lane) const { return piece[lane / kIn][lane % kIn]; }
  GPUIO_INLINE void set(u32 lane, T value) { piece[lane / kIn][lane % kIn] = value; }
};
using Mask = V<i32>;  // a boolean a lane: 0 or -1

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

// f, piece by piece. Written out, because arrays become registers only where indices are constants early.
template <class R, class F, class... A>
GPUIO_INLINE V<R> by_piece(F f, const A&... a) {
  if constexpr (V<R>::kPieces == 1) return {{f(a.piece[0]...)}};
  else if constexpr (V<R>::kPieces == 2) return {{f(a.piece[0]...), f(a.piece[1]...)}};
  else return {{f(a.piece[0]...), f(a.piece[1]...), f(a.piece[2]...), f(a.piece[3]...)}};
}

// f(lane) in every lane.
template <class R, u32 First, class F>
GPUIO_INLINE typename V<R>::Piece piece_of(F& f) {
  if constexpr (V<R>::kIn == 2) return typename V<R>::Piece{f(First), f(First + 1)};
  else if constexpr (V<R>::kIn == 4)
    return typename V<R>::Piece{f(First), f(First + 1), f(First + 2), f(First + 3)};
  else
    return typename V<R>::Piece{f(First),     f(First + 1), f(First + 2), f(First + 3),
                                f(First + 4), f(First + 5), f(First + 6), f(First + 7)};
}
template <class R, class F>
GPUIO_INLINE V<R> lanes(F f) {
  constexpr u32 n = V<R>::kIn;
  if constexpr (V<R>::kPieces == 1) return {{piece_of<R, 0>(f)}};
  else if constexpr (V<R>::kPieces == 2) return {{piece_of<R, 0>(f), piece_of<R, n>(f)}};
  else return {{piece_of<R, 0>(f), piece_of<R, n>(f), piece_of<R, 2 * n>(f), piece_of<R, 3 * n>(f)}};
}
template <class T>
GPUIO_INLINE V<T> spread(T value) {
  const auto same = [value](u32) { return value; };
  const auto p = piece_of<T, 0>(same);
  if constexpr (V<T>::kPieces == 1) return {{p}};
  else if constexpr (V<T>::kPieces == 2) return {{p, p}};
  else return {{p, p, p, p}};
}
GPUIO_INLINE Mask spread_mask(bool value) { return spread<i32>(value ? -1 : 0); }
// base + stride * lane, modulo the width.
template <class T>
GPUIO_INLINE V<T> ramp(T base, i32 stride) {
  using U = Bits<T>;
  const V<U> steps = lanes<U>([stride](u32 l) { return U(U(stride) * U(l)); });
  const V<U> bases = spread<U>(U(base));
  return by_piece<T>([](auto a, auto b) { return reinterpret_cast<typename V<T>::Piece>(a + b); }, bases,
                     steps);
}
template <class T>
GPUIO_INLINE V<T> load_lanes(const T* from) {
  V<T> v;
  std::memcpy(&v.piece[0], from, sizeof(v.piece[0]));
  if constexpr (V<T>::kPieces > 1) std::memcpy(&v.piece[1], from + V<T>::kIn, sizeof(v.piece[1]));
  if constexpr (V<T>::kPieces > 2) {
    std::memcpy(&v.piece[2], from + 2 * V<T>::kIn, sizeof(v.piece[2]));
    std::memcpy(&v.piece[3], from + 3 * V<T>::kIn, sizeof(v.piece[3]));
  }
  return v;
}
template <class T>
GPUIO_INLINE void store_lanes(T* to, const V<T>& v) {
  std::memcpy(to, &v.piece[0], sizeof(v.piece[0]));
  if constexpr (V<T>::kPieces > 1) std::memcpy(to + V<T>::kIn, &v.piece[1], sizeof(v.piece[1]));
  if constexpr (V<T>::kPieces > 2) {
    std::memcpy(to + 2 * V<T>::kIn, &v.piece[2], sizeof(v.piece[2]));
    std::memcpy(to + 3 * V<T>::kIn, &v.piece[3], sizeof(v.piece[3]));
  }
}
// Numbers by lane: a sum, or what is in memory so that a lane's number may be looked up.
template <class T>
struct Ramp {
  T base;
  i32 stride;
  GPUIO_INLINE T operator[](u32 lane) const {
    return T(Bits<T>(base) + Bits<T>(Bits<T>(stride) * Bits<T>(lane)));
  }
};
template <class T>
struct Laid {
  T at[kLanes];
  GPUIO_INLINE explicit Laid(const V<T>& v) { store_lanes(at, v); }
  GPUIO_INLINE T operator[](u32 lane) const { return at[lane]; }
};
template <class T>
GPUIO_INLINE V<T> reversed(const V<T>& v) {
  return lanes<T>([&](u32 l) { return v[kLanes - 1 - l]; });
}

template <class T>
GPUIO_INLINE V<Bits<T>> to_unsigned(const V<T>& a) {
  return by_piece<Bits<T>>([](auto p) { return reinterpret_cast<typename V<Bits<T>>::Piece>(p); }, a);
}
template <class T>
GPUIO_INLINE V<T> from_unsigned(const V<Bits<T>>& a) {
  return by_piece<T>([](auto p) { return reinterpret_cast<typename V<T>::Piece>(p); }, a);
}

// --- Masks ---
GPUIO_INLINE Mask operator&(const Mask& a, const Mask& b) {
  return by_piece<i32>([](auto x, auto y) { return x & y; }, a, b);
}
GPUIO_INLINE Mask operator|(const Mask& a, const Mask& b) {
  return by_piece<i32>([](auto x, auto y) { return x | y; }, a, b);
}
GPUIO_INLINE Mask operator~(const Mask& a) {
  return by_piece<i32>([](auto x) { return ~x; }, a);
}
// One bit a lane, lane 0 lowest.
GPUIO_INLINE u32 bits_of(const Mask& m) {
#if defined(__SSE2__)
  typedef float Floats __attribute__((vector_size(16)));
  return u32(__builtin_ia32_movmskps(reinterpret_cast<Floats>(m.piece[0]))) |
         u32(__builtin_ia32_movmskps(reinterpret_cast<Floats>(m.piece[1]))) << 4;
#else
  u32 bits = 0;
  for (u32 l = 0; l < kLanes; ++l) bits |= u32(m[l] & 1) << l;
  return bits;
#endif
}
inline constexpr u32 kAllLanes = (1u << kLanes) - 1;
GPUIO_INLINE bool any(const Mask& m) { return bits_of(m) != 0; }
GPUIO_INLINE bool all(const Mask& m) { return bits_of(m) == kAllLanes; }
GPUIO_INLINE Mask mask_from(u32 bits) {
  return lanes<i32>([bits](u32 l) { return -i32(bits >> l & 1); });
}

// --- Integers of another size: a step doubles or halves it ---
template <class T>
auto twice_type() {
  if constexpr (sizeof(T) == 1) return std::conditional_t<std::is_signed_v<T>, i16, u16>{};
  else if constexpr (sizeof(T) == 2) return std::conditional_t<std::is_signed_v<T>, i32, u32>{};
  else return std::conditional_t<std::is_signed_v<T>, i64, u64>{};
}
template <class T>
GPUIO_INLINE auto widen(const V<T>& a) {
  using W = decltype(twice_type<T>());
  using To = typename V<W>::Piece;
  const auto high = [](auto p) {
    if constexpr (std::is_signed_v<T>) return reinterpret_cast<decltype(p)>(p < decltype(p){});
    else return decltype(p){};
  };
  const auto p = a.piece[0], h = high(p);
  if constexpr (sizeof(T) == 1) {
    return V<W>{{reinterpret_cast<To>(
        __builtin_shufflevector(p, h, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15))}};
  } else if constexpr (sizeof(T) == 2) {
    return V<W>{{reinterpret_cast<To>(__builtin_shufflevector(p, h, 0, 8, 1, 9, 2, 10, 3, 11)),
                 reinterpret_cast<To>(__builtin_shufflevector(p, h, 4, 12, 5, 13, 6, 14, 7, 15))}};
  } else {
    const auto q = a.piece[1], g = high(q);
    return V<W>{{reinterpret_cast<To>(__builtin_shufflevector(p, h, 0, 4, 1, 5)),
                 reinterpret_cast<To>(__builtin_shufflevector(p, h, 2, 6, 3, 7)),
                 reinterpret_cast<To>(__builtin_shufflevector(q, g, 0, 4, 1, 5)),
                 reinterpret_cast<To>(__builtin_shufflevector(q, g, 2, 6, 3, 7))}};
  }
}
// The low halves.
template <class T>
GPUIO_INLINE auto narrow(const V<T>& a) {
  using N = decltype(unsigned_of_size<sizeof(T) / 2>());
  typedef N Parts __attribute__((vector_size(kVectorBytes)));
  const auto part = [&](u32 i) { return reinterpret_cast<Parts>(a.piece[i]); };
  if constexpr (sizeof(T) == 8)
    return V<N>{{__builtin_shufflevector(part(0), part(1), 0, 2, 4, 6),
                 __builtin_shufflevector(part(2), part(3), 0, 2, 4, 6)}};
  else if constexpr (sizeof(T) == 4)
    return V<N>{{__builtin_shufflevector(part(0), part(1), 0, 2, 4, 6, 8, 10, 12, 14)}};
  else return V<N>{{__builtin_shufflevector(part(0), part(0), 0, 2, 4, 6, 8, 10, 12, 14)}};
}
template <class To, class From>
GPUIO_INLINE V<To> resize(const V<From>& a) {
  if constexpr (sizeof(To) > sizeof(From)) return resize<To>(widen(a));
  else if constexpr (sizeof(To) < sizeof(From)) return resize<To>(narrow(a));
  else return from_unsigned<To>(to_unsigned(a));
}
// A mask for elements of T's size.
template <class T>
GPUIO_INLINE V<SignedBits<T>> wide_mask(const Mask& m) {
  return resize<SignedBits<T>>(m);
}

template <class T>
GPUIO_INLINE V<T> choose(const Mask& m, const V<T>& a, const V<T>& b) {
  using P = typename V<T>::Piece;
  using U = typename V<Bits<T>>::Piece;
  return by_piece<T>(
      [](auto w, auto x, auto y) {
        const U u = reinterpret_cast<U>(w);
        return reinterpret_cast<P>((reinterpret_cast<U>(x) & u) | (reinterpret_cast<U>(y) & ~u));
      },
      wide_mask<T>(m), a, b);
}

template <Op op, class A>
GPUIO_INLINE auto compare_pieces(A a, A b) {
  if constexpr (op == Op::eq) return a == b;
  else if constexpr (op == Op::ne) return a != b;
  else if constexpr (op == Op::lt) return a < b;
  else if constexpr (op == Op::le) return a <= b;
  else if constexpr (op == Op::gt) return a > b;
  else return a >= b;
}
template <Op op, class T>
GPUIO_INLINE Mask compare_lanes(const V<T>& a, const V<T>& b) {
  using S = SignedBits<T>;
  return resize<i32>(by_piece<S>(
      [](auto x, auto y) { return reinterpret_cast<typename V<S>::Piece>(compare_pieces<op>(x, y)); }, a, b));
}

// Whole vectors where the language has the operation, else lane by lane what semantics.hpp says.
template <Op op, class P>
GPUIO_INLINE P binary_pieces(P a, P b) {
  if constexpr (op == Op::add) return a + b;
  else if constexpr (op == Op::sub) return a - b;
  else if constexpr (op == Op::mul) return a * b;
  else if constexpr (op == Op::div) return a / b;
  else if constexpr (op == Op::bit_and) return a & b;
  else if constexpr (op == Op::bit_or) return a | b;
  else return a ^ b;
}
template <Op op, class T>
GPUIO_INLINE V<T> binary_lanes(const V<T>& a, const V<T>& b) {
  constexpr bool kFloat = std::is_floating_point_v<T>;
  if constexpr (op == Op::min || op == Op::max) {
    Mask second = op == Op::min ? compare_lanes<Op::lt, T>(b, a) : compare_lanes<Op::lt, T>(a, b);
    if constexpr (kFloat) second = second | compare_lanes<Op::ne, T>(a, a);
    return choose<T>(second, b, a);
  } else if constexpr (kFloat) {
    return by_piece<T>([](auto x, auto y) { return binary_pieces<op>(x, y); }, a, b);
  } else if constexpr (op == Op::add || op == Op::sub || op == Op::mul || op == Op::bit_and ||
                       op == Op::bit_or || op == Op::bit_xor) {
    return from_unsigned<T>(by_piece<Bits<T>>([](auto x, auto y) { return binary_pieces<op>(x, y); },
                                              to_unsigned<T>(a), to_unsigned<T>(b)));
  } else {
    return lanes<T>([&](u32 l) { return binary<T>(op, a[l], b[l]); });
  }
}

template <Op op, class T>
GPUIO_INLINE V<T> shift_lanes(const V<T>& a, const V<u32>& count) {
  return lanes<T>([&](u32 l) { return shift<T>(op, a[l], count[l]); });
}
template <Op op, class T>
GPUIO_INLINE V<T> shift_lanes_by(const V<T>& a, u32 count) {
  const int n = int(count & (sizeof(T) * 8 - 1));
  if constexpr (op == Op::shl)
    return from_unsigned<T>(by_piece<Bits<T>>([n](auto x) { return x << n; }, to_unsigned<T>(a)));
  else return by_piece<T>([n](auto x) { return x >> n; }, a);
}

template <Op op, class T>
GPUIO_INLINE V<T> unary_lanes(const V<T>& a) {
  constexpr bool kFloat = std::is_floating_point_v<T>;
  if constexpr (op == Op::bit_not) return by_piece<T>([](auto x) { return ~x; }, a);
  else if constexpr (op == Op::neg && kFloat) return by_piece<T>([](auto x) { return -x; }, a);
  else if constexpr (op == Op::neg) return binary_lanes<Op::sub, T>(V<T>{}, a);
  else if constexpr (op == Op::abs && kFloat)
    return from_unsigned<T>(
        by_piece<Bits<T>>([](auto x) { return x & Bits<T>(~Bits<T>(0) >> 1); }, to_unsigned<T>(a)));
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
GPUIO_INLINE Lanes<Element<to>> cast_lanes(const Lanes<Element<from>>& a) {
  using To = Element<to>;
  using From = Element<from>;
  constexpr bool kHalf = to == Type::f16 || to == Type::bf16 || from == Type::f16 || from == Type::bf16;
  constexpr bool kIntegers = !kHalf && std::is_integral_v<To> && std::is_integral_v<From>;
  if constexpr (to == from) return a;
  else if constexpr (to == Type::boolean && !kHalf) return compare_lanes<Op::ne, From>(a, V<From>{});
  else if constexpr (to == Type::boolean)
    return lanes<i32>([&](u32 l) { return cast_scalar<to, from>(a[l]) ? -1 : 0; });
  else if constexpr (from == Type::boolean && kIntegers)
    return binary_lanes<Op::bit_and, To>(resize<To>(a), spread<To>(1));
  else if constexpr (from == Type::boolean)
    return lanes<To>([&](u32 l) { return cast_scalar<to, from>(a[l] != 0); });
  else if constexpr (kIntegers) return resize<To>(a);
  else if constexpr (!kHalf && to == Type::f32 && std::is_integral_v<From> && sizeof(From) == 4)
    return by_piece<To>([](auto x) { return __builtin_convertvector(x, typename V<To>::Piece); }, a);
  else return lanes<To>([&](u32 l) { return cast_scalar<to, from>(a[l]); });
}

template <Op op, Type half>
GPUIO_INLINE V<u32> pair_lanes(const V<u32>& a, const V<u32>& b, const V<u32>& c) {
  return lanes<u32>([&](u32 l) { return pair<half>(op, a[l], b[l], c[l]); });
}

}  // namespace gpuio::kernel::native
