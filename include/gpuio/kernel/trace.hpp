// Tracer: the state of one run of a kernel's lambda. Every handle of values.hpp, memory.hpp and control.hpp
// carries a pointer to it and appends to its Program; nothing is kept outside, so tracing is re-entrant.
//
// Kernels do not name it; generators that mix typed handles with builder.hpp do. constexpr throughout; one
// thread; the Program outlives it. The first mistake is kept in `result` and tracing goes on.
#pragma once

#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/error.hpp>
#include <gpuio/kernel/small_floats.hpp>

namespace gpuio::kernel {

class Tracer {
 public:
  constexpr explicit Tracer(Program& program) : build(program), program_(&program) {}
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  Builder build;
  VerifyResult result;

  // Lines move only on purpose: what has none of its own (a negation, a conversion) keeps the last.
  constexpr void at(u32 line) {
    if (line) build.line = line;
  }
  constexpr void fail(Err error, u32 line, u32 other = 0, u32 detail = 0) {
    if (result.ok()) result = {error, line, other, detail};
  }
  constexpr u32 size() const { return u32(insts().size()); }
  constexpr const std::vector<Inst>& insts() const { return program_->insts; }
  // A shared array of `count` elements that operations of the whole workgroup share. Who uses it leaves with
  // a barrier.
  constexpr u32 scratch(Type type, u32 count) {
    u32& array = scratch_[u32(type)];
    if (array == kNone) array = build.shared(type, count);
    return array;
  }
  // Takes back the newest instruction, if it is this one.
  constexpr void drop_newest(u32 id) {
    if (size() == id + 1) program_->insts.pop_back();
  }
  // Takes back a load that nobody turns out to need: now, or in finish().
  constexpr void discard(u32 id) {
    if (size() == id + 1) program_->insts.pop_back();
    else discarded_.push_back(id);
  }
  // Ends the trace: what was discarded and is not used after all goes, and ids close the gaps.
  constexpr void finish() {
    if (discarded_.empty()) return;
    std::vector<Inst>& insts = program_->insts;
    std::vector<u32> moved(insts.size(), 0);
    for (u32 d : discarded_) moved[d] = kNone;
    for (Inst& i : insts) for_values(i, [&](u32& v) { moved[v] = 0; });
    u32 kept = 0;
    for (u32 i = 0; i < insts.size(); ++i) {
      const bool drop = moved[i] == kNone;
      moved[i] = kept;
      if (drop) continue;
      insts[kept] = insts[i];
      for_values(insts[kept++], [&](u32& v) { v = moved[v]; });
    }
    insts.resize(kept);
    discarded_.clear();
  }

 private:
  template <class F>
  static constexpr void for_values(Inst& i, F f) {
    const u32 mask = value_operands(i);
    if (mask & 1) f(i.a);
    if (mask & 2) f(i.b);
    if (mask & 4) f(i.c);
    if (mask & 8) f(i.d);
  }
  std::vector<u32> discarded_;
  std::array<u32, u32(Type::f64) + 1> scratch_ = [] {
    std::array<u32, u32(Type::f64) + 1> none{};
    none.fill(kNone);
    return none;
  }();
  Program* program_;
};

// Types of memory that C++20 has no name for: the bits. Arithmetic on them is f32's.
struct f16 {
  u16 bits = 0;
  constexpr bool operator==(const f16&) const = default;
};
struct bf16 {
  u16 bits = 0;
  constexpr bool operator==(const bf16&) const = default;
};

// Bytes to the IR, numbers to kernels: see small_floats.hpp.
struct f8e4m3 {
  u8 bits = 0;
  constexpr bool operator==(const f8e4m3&) const = default;
};
struct f8e5m2 {
  u8 bits = 0;
  constexpr bool operator==(const f8e5m2&) const = default;
};
// Two halves in a word, the low one first in memory: arithmetic on both at once (packed.hpp).
struct f16x2 {
  u32 bits = 0;
  constexpr bool operator==(const f16x2&) const = default;
};
struct bf16x2 {
  u32 bits = 0;
  constexpr bool operator==(const bf16x2&) const = default;
};
template <class T>
concept PackedPair = std::same_as<T, f16x2> || std::same_as<T, bf16x2>;
template <class T>
using half_t = std::conditional_t<std::same_as<T, f16x2>, f16, bf16>;

template <class T>
inline constexpr bool kIsF8 = std::same_as<T, f8e4m3> || std::same_as<T, f8e5m2>;
template <class T>
inline constexpr F8 kF8Of = std::same_as<T, f8e4m3> ? kE4m3 : kE5m2;
template <class T>
concept SmallFloat = std::same_as<T, f16> || std::same_as<T, bf16> || kIsF8<T>;

// On the host: the nearest number of the type, and the f32 that it is.
template <SmallFloat T>
constexpr T narrow(f32 value) {
  if constexpr (kIsF8<T>) return {f32_to_f8(kF8Of<T>, value)};
  else if constexpr (std::same_as<T, f16>) return {f32_to_f16(value)};
  else return {f32_to_bf16(value)};
}
constexpr f16x2 packed(f16 low, f16 high) { return {low.bits | u32(high.bits) << 16}; }
constexpr bf16x2 packed(bf16 low, bf16 high) { return {low.bits | u32(high.bits) << 16}; }
template <SmallFloat T>
constexpr f32 widen(T value) {
  if constexpr (kIsF8<T>) return f8_to_f32(kF8Of<T>, value.bits);
  else if constexpr (std::same_as<T, f16>) return f16_to_f32(value.bits);
  else return bf16_to_f32(value.bits);
}

template <class T>
inline constexpr Type kTypeOf = Type::none;
template <>
inline constexpr Type kTypeOf<bool> = Type::boolean;
template <>
inline constexpr Type kTypeOf<u8> = Type::u8;
template <>
inline constexpr Type kTypeOf<i8> = Type::i8;
template <>
inline constexpr Type kTypeOf<u16> = Type::u16;
template <>
inline constexpr Type kTypeOf<i16> = Type::i16;
template <>
inline constexpr Type kTypeOf<f16> = Type::f16;
template <>
inline constexpr Type kTypeOf<bf16> = Type::bf16;
template <>
inline constexpr Type kTypeOf<f8e4m3> = Type::u8;
template <>
inline constexpr Type kTypeOf<f8e5m2> = Type::u8;
template <>
inline constexpr Type kTypeOf<f16x2> = Type::u32;
template <>
inline constexpr Type kTypeOf<bf16x2> = Type::u32;
template <>
inline constexpr Type kTypeOf<u32> = Type::u32;
template <>
inline constexpr Type kTypeOf<i32> = Type::i32;
template <>
inline constexpr Type kTypeOf<f32> = Type::f32;
template <>
inline constexpr Type kTypeOf<u64> = Type::u64;
template <>
inline constexpr Type kTypeOf<i64> = Type::i64;
template <>
inline constexpr Type kTypeOf<f64> = Type::f64;

template <class T>
concept Storable = kTypeOf<T> != Type::none;
template <class T>
concept Number = Storable<T> && is_arithmetic(kTypeOf<T>) && !PackedPair<T>;
template <class T>
concept IntegerNumber = Number<T> && std::integral<T>;
template <class T>
concept FloatNumber = Number<T> && std::floating_point<T>;
// Native numbers and booleans, as written in a kernel or computed while tracing it.
template <class L>
concept Literal = std::integral<L> || std::floating_point<L>;

namespace detail {
template <class T>
struct Promote {
  using type = T;
};
template <>
struct Promote<u8> {
  using type = u32;
};
template <>
struct Promote<u16> {
  using type = u32;
};
template <>
struct Promote<i8> {
  using type = i32;
};
template <>
struct Promote<i16> {
  using type = i32;
};
template <SmallFloat T>
struct Promote<T> {
  using type = f32;
};

template <class L, bool Integral, bool Signed, u32 Size>
struct LiteralType {
  using type = L;
};
template <class L>
struct LiteralType<L, true, true, 4> {
  using type = i32;
};
template <class L>
struct LiteralType<L, true, true, 8> {
  using type = i64;
};
template <class L>
struct LiteralType<L, true, false, 4> {
  using type = u32;
};
template <class L>
struct LiteralType<L, true, false, 8> {
  using type = u64;
};
}  // namespace detail

// The value's id as one of type To, by value; by way of f32 where an 8-bit float takes part.
template <class To, class From>
constexpr u32 convert(Builder& b, u32 v) {
  if constexpr (std::same_as<To, From>) return v;
  else if constexpr (kIsF8<From>) return convert<To, f32>(b, widen_f8(b, kF8Of<From>, v));
  else if constexpr (kIsF8<To>) return narrow_f8(b, kF8Of<To>, convert<f32, From>(b, v));
  else return b.cast(kTypeOf<To>, v);
}

// What a value of T takes part in arithmetic as: storage types widen, exactly.
template <class T>
using promote_t = typename detail::Promote<T>::type;
// The IR's name for the type of a literal (long and long long are one to us).
template <Literal L>
using literal_t = typename detail::LiteralType<L, std::integral<L>, std::is_signed_v<L>, sizeof(L)>::type;

// A literal becomes a constant of type T: only of the same kind (checked by the types) and only exactly.
template <class T, Literal L>
constexpr bool exact(L v) {
  if constexpr (std::same_as<T, bool>) return true;
  else if constexpr (std::integral<T>) {
    if constexpr (std::integral<L> && !std::same_as<L, bool>) return std::in_range<T>(v);
    else return false;
  } else if constexpr (std::floating_point<T>) {
    if (v != v) return true;
    const f64 wide = f64(v);
    if constexpr (std::same_as<T, f32>) {
      if (wide > f64(std::numeric_limits<f32>::max()) || wide < f64(std::numeric_limits<f32>::lowest()))
        return wide == std::numeric_limits<f64>::infinity() || wide == -std::numeric_limits<f64>::infinity();
    }
    return f64(T(v)) == wide;
  } else if constexpr (PackedPair<T>) {
    return exact<half_t<T>>(v);
  } else if constexpr (SmallFloat<T> && std::floating_point<L>) {
    return exact<f32>(v) && (v != v || f64(widen(narrow<T>(f32(v)))) == f64(v));
  } else {
    return false;
  }
}
template <class T, Literal L>
constexpr u64 bits_of(L v) {
  if constexpr (std::same_as<T, f32>) return __builtin_bit_cast(u32, f32(v));
  else if constexpr (std::same_as<T, f64>) return __builtin_bit_cast(u64, f64(v));
  else if constexpr (std::same_as<T, bool>) return v ? 1 : 0;
  else if constexpr (SmallFloat<T>) return narrow<T>(f32(v)).bits;
  else if constexpr (PackedPair<T>) return u64{narrow<half_t<T>>(f32(v)).bits} * 0x10001;  // in both
  else if constexpr (sizeof(T) == 8) return u64(v);
  else return u64(std::make_unsigned_t<T>(v));
}
// Is a literal of type L meant for T at all? Integers for integers, floats for floats, booleans for booleans.
template <class T, class L>
inline constexpr bool kSameKind =
    std::same_as<T, bool> ? std::same_as<L, bool>
    : std::integral<T>    ? std::integral<L> && !std::same_as<L, bool>
                       : (std::floating_point<T> || SmallFloat<T> || PackedPair<T>) && std::floating_point<L>;

}  // namespace gpuio::kernel
