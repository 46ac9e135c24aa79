// Arithmetic over the lanes of a workgroup: one loop for each operation and type, simple enough for the
// compiler's vectoriser. Masks are ignored: results of inactive lanes are never used.
#include "gpu/cpu/blocked_frame.hpp"

#include <cstring>

namespace gpuio::gpu::cpu::blocked {
namespace {

// Lanes to run over, a multiple of kChunk in a way that the compiler sees.
u32 span_of(const Frame& f) { return (f.end - f.begin) & ~(kChunk - 1); }

// The element of lane i: from the array, or the one value all lanes share.
template <class T, bool uniform>
struct Operand {
  const T* array = nullptr;
  T value{};
  Operand(const Frame& f, u32 offset) {
    if constexpr (uniform) value = from_bits<T>(f.scalar(offset));
    else array = f.at<T>(offset) + f.begin;
  }
  T operator[](u32 i) const {
    if constexpr (uniform) return value;
    else return array[i];
  }
};

template <Op op, class T, bool ua, bool ub>
const Step* binary_step(const Step* s, Frame& f) {
  const Operand<T, ua> a(f, s->a);
  const Operand<T, ub> b(f, s->b);
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = binary<T>(op, a[i], b[i]);
  return s + 1;
}

template <Op op, class T, bool ua, bool ub>
const Step* shift_step(const Step* s, Frame& f) {
  const Operand<T, ua> a(f, s->a);
  const Operand<u32, ub> b(f, s->b);
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = shift<T>(op, a[i], b[i]);
  return s + 1;
}

template <Op op, class T, bool ua, bool ub>
const Step* compare_step(const Step* s, Frame& f) {
  const Operand<T, ua> a(f, s->a);
  const Operand<T, ub> b(f, s->b);
  u8* __restrict const to = f.at<u8>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = compare<T>(op, a[i], b[i]) ? 1 : 0;
  return s + 1;
}

template <Op op, class T>
const Step* unary_step(const Step* s, Frame& f) {
  const Operand<T, false> a(f, s->a);
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = unary<T>(op, a[i]);
  return s + 1;
}

const Step* not_step(const Step* s, Frame& f) {  // of a boolean
  const Operand<u8, false> a(f, s->a);
  u8* __restrict const to = f.at<u8>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = a[i] ^ 1;
  return s + 1;
}

template <Op op, Type half, bool ua, bool ub>
const Step* pair_step(const Step* s, Frame& f) {
  const Operand<u32, ua> a(f, s->a);
  const Operand<u32, ub> b(f, s->b);
  u32* __restrict const to = f.at<u32>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = pair<half>(op, a[i], b[i], 0);
  return s + 1;
}

template <Type half>
const Step* pair_fma_step(const Step* s, Frame& f) {
  const Operand<u32, false> a(f, s->a), b(f, s->b), c(f, s->c);
  u32* __restrict const to = f.at<u32>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = pair<half>(Op::pair_fma, a[i], b[i], c[i]);
  return s + 1;
}

template <class T>
const Step* fma_step(const Step* s, Frame& f) {
  const Operand<T, false> a(f, s->a), b(f, s->b), c(f, s->c);
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = std::fma(a[i], b[i], c[i]);
  return s + 1;
}

template <Op op, class T>
const Step* count_step(const Step* s, Frame& f) {
  const Operand<T, false> a(f, s->a);
  u32* __restrict const to = f.at<u32>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i)
    to[i] = u32(op == Op::popcount ? std::popcount(a[i]) : std::countl_zero(a[i]));
  return s + 1;
}

// How a type lies in an array.
template <Type t>
auto storage() {
  if constexpr (t == Type::boolean || t == Type::u8) return u8{};
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

template <Type to_type, Type from_type>
const Step* cast_step(const Step* s, Frame& f) {
  using To = decltype(storage<to_type>());
  using From = decltype(storage<from_type>());
  const Operand<From, false> a(f, s->a);
  To* __restrict const to = f.at<To>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i)
    to[i] = from_bits<To>(eval_cast(to_type, from_type, to_bits<From>(a[i])));
  return s + 1;
}

template <class T>
const Step* select_step(const Step* s, Frame& f) {
  const Operand<u8, false> a(f, s->a);
  const Operand<T, false> b(f, s->b), c(f, s->c);
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = a[i] ? b[i] : c[i];
  return s + 1;
}

template <class T>
const Step* broadcast_step(const Step* s, Frame& f) {
  const T value = T(f.scalar(s->a));
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = value;
  return s + 1;
}

template <class T>
const Step* copy_step(const Step* s, Frame& f) {
  std::memcpy(f.at<T>(s->to) + f.begin, f.at<T>(s->a) + f.begin, span_of(f) * sizeof(T));
  return s + 1;
}

// Leaves inactive lanes as they are: what a var needs.
template <class T>
const Step* masked_copy_step(const Step* s, Frame& f) {
  if (f.dense) return copy_step<T>(s, f);
  const T* __restrict const from = f.at<T>(s->a) + f.begin;
  const u8* __restrict const active = f.active + f.begin;
  T* __restrict const to = f.at<T>(s->to) + f.begin;
  for (u32 i = 0, n = span_of(f); i < n; ++i) to[i] = active[i] ? from[i] : to[i];
  return s + 1;
}

template <template <class> class Pick>
Handler by_size(u32 size) {
  switch (size) {
    case 1: return Pick<u8>::handler;
    case 2: return Pick<u16>::handler;
    case 4: return Pick<u32>::handler;
    case 8: return Pick<u64>::handler;
    default: return nullptr;
  }
}
template <class T>
struct Select {
  static constexpr Handler handler = &select_step<T>;
};
template <class T>
struct Broadcast {
  static constexpr Handler handler = &broadcast_step<T>;
};
template <class T>
struct Copy {
  static constexpr Handler handler = &copy_step<T>;
};
template <class T>
struct MaskedCopy {
  static constexpr Handler handler = &masked_copy_step<T>;
};

template <Op op, class T>
Handler pick_binary(bool ua, bool ub) {
  return ua   ? &binary_step<op, T, true, false>
         : ub ? &binary_step<op, T, false, true>
              : &binary_step<op, T, false, false>;
}
template <Op op, class T>
Handler pick_shift(bool ua, bool ub) {
  return ua   ? &shift_step<op, T, true, false>
         : ub ? &shift_step<op, T, false, true>
              : &shift_step<op, T, false, false>;
}
template <Op op, class T>
Handler pick_compare(bool ua, bool ub) {
  return ua   ? &compare_step<op, T, true, false>
         : ub ? &compare_step<op, T, false, true>
              : &compare_step<op, T, false, false>;
}

template <Op op, Type half>
Handler pick_pair_of(bool ua, bool ub) {
  return ua   ? &pair_step<op, half, true, false>
         : ub ? &pair_step<op, half, false, true>
              : &pair_step<op, half, false, false>;
}
template <Type half>
Handler pick_pair(Op op, bool ua, bool ub) {
  switch (op) {
    case Op::pair_add: return pick_pair_of<Op::pair_add, half>(ua, ub);
    case Op::pair_sub: return pick_pair_of<Op::pair_sub, half>(ua, ub);
    case Op::pair_mul: return pick_pair_of<Op::pair_mul, half>(ua, ub);
    case Op::pair_min: return pick_pair_of<Op::pair_min, half>(ua, ub);
    case Op::pair_max: return pick_pair_of<Op::pair_max, half>(ua, ub);
    default: return &pair_fma_step<half>;
  }
}

template <class T>
Handler pick_bits(Op op, bool ua, bool ub) {
  switch (op) {
    case Op::bit_and: return pick_binary<Op::bit_and, T>(ua, ub);
    case Op::bit_or: return pick_binary<Op::bit_or, T>(ua, ub);
    case Op::bit_xor: return pick_binary<Op::bit_xor, T>(ua, ub);
    default: return nullptr;
  }
}

template <class T>
Handler pick_two_operands(Op op, bool ua, bool ub) {
  switch (op) {
    case Op::add: return pick_binary<Op::add, T>(ua, ub);
    case Op::sub: return pick_binary<Op::sub, T>(ua, ub);
    case Op::mul: return pick_binary<Op::mul, T>(ua, ub);
    case Op::div: return pick_binary<Op::div, T>(ua, ub);
    case Op::min: return pick_binary<Op::min, T>(ua, ub);
    case Op::max: return pick_binary<Op::max, T>(ua, ub);
    default: break;
  }
  if constexpr (std::is_integral_v<T>) {
    switch (op) {
      case Op::rem: return pick_binary<Op::rem, T>(ua, ub);
      case Op::shl: return pick_shift<Op::shl, T>(ua, ub);
      case Op::shr: return pick_shift<Op::shr, T>(ua, ub);
      default: return pick_bits<T>(op, ua, ub);
    }
  }
  return nullptr;
}

template <class T>
Handler pick_comparison(Op op, bool ua, bool ub) {
  switch (op) {
    case Op::eq: return pick_compare<Op::eq, T>(ua, ub);
    case Op::ne: return pick_compare<Op::ne, T>(ua, ub);
    case Op::lt: return pick_compare<Op::lt, T>(ua, ub);
    case Op::le: return pick_compare<Op::le, T>(ua, ub);
    case Op::gt: return pick_compare<Op::gt, T>(ua, ub);
    case Op::ge: return pick_compare<Op::ge, T>(ua, ub);
    default: return nullptr;
  }
}

template <class T>
Handler pick_one_operand(Op op) {
  switch (op) {
    case Op::neg: return &unary_step<Op::neg, T>;
    case Op::abs: return &unary_step<Op::abs, T>;
    default: break;
  }
  if constexpr (std::is_integral_v<T>) {
    return op == Op::bit_not ? &unary_step<Op::bit_not, T> : nullptr;
  } else {
    switch (op) {
      case Op::sqrt: return &unary_step<Op::sqrt, T>;
      case Op::floor: return &unary_step<Op::floor, T>;
      case Op::exp2: return &unary_step<Op::exp2, T>;
      case Op::log2: return &unary_step<Op::log2, T>;
      case Op::sin: return &unary_step<Op::sin, T>;
      case Op::cos: return &unary_step<Op::cos, T>;
      default: return nullptr;
    }
  }
}

template <class T>
Handler pick_count(Op op) {
  return op == Op::popcount ? &count_step<Op::popcount, T> : &count_step<Op::count_leading_zeros, T>;
}

Handler count_handler(Op op, Type from) {
  switch (size_of(from)) {
    case 1: return pick_count<u8>(op);
    case 2: return pick_count<u16>(op);
    case 4: return pick_count<u32>(op);
    default: return pick_count<u64>(op);
  }
}

template <Type to>
Handler pick_cast(Type from) {
  switch (from) {
    case Type::boolean: return &cast_step<to, Type::boolean>;
    case Type::u8: return &cast_step<to, Type::u8>;
    case Type::i8: return &cast_step<to, Type::i8>;
    case Type::u16: return &cast_step<to, Type::u16>;
    case Type::i16: return &cast_step<to, Type::i16>;
    case Type::f16: return &cast_step<to, Type::f16>;
    case Type::bf16: return &cast_step<to, Type::bf16>;
    case Type::u32: return &cast_step<to, Type::u32>;
    case Type::i32: return &cast_step<to, Type::i32>;
    case Type::f32: return &cast_step<to, Type::f32>;
    case Type::u64: return &cast_step<to, Type::u64>;
    case Type::i64: return &cast_step<to, Type::i64>;
    case Type::f64: return &cast_step<to, Type::f64>;
    case Type::none: break;
  }
  return nullptr;
}

}  // namespace

Handler arithmetic_handler(const Inst& i, bool ua, bool ub) {
  const bool compares = i.op >= Op::eq && i.op <= Op::ge;
  const Type type = compares ? i.from : i.type;
  if (i.op == Op::popcount || i.op == Op::count_leading_zeros) return count_handler(i.op, i.from);
  if (is_pair(i.op))
    return i.from == Type::f16 ? pick_pair<Type::f16>(i.op, ua, ub) : pick_pair<Type::bf16>(i.op, ua, ub);
  if (i.op == Op::fma) return type == Type::f32 ? &fma_step<f32> : &fma_step<f64>;
  if (type == Type::boolean) {
    if (i.op == Op::bit_not) return &not_step;
    return compares ? pick_comparison<u8>(i.op, ua, ub) : pick_bits<u8>(i.op, ua, ub);
  }
  return with_arithmetic_type<Handler>(type, nullptr, [&](auto zero) {
    using T = decltype(zero);
    if (compares) return pick_comparison<T>(i.op, ua, ub);
    return value_operands(i) == 0b0001 ? pick_one_operand<T>(i.op) : pick_two_operands<T>(i.op, ua, ub);
  });
}

Handler cast_handler(Type to, Type from) {
  switch (to) {
    case Type::boolean: return pick_cast<Type::boolean>(from);
    case Type::u8: return pick_cast<Type::u8>(from);
    case Type::i8: return pick_cast<Type::i8>(from);
    case Type::u16: return pick_cast<Type::u16>(from);
    case Type::i16: return pick_cast<Type::i16>(from);
    case Type::f16: return pick_cast<Type::f16>(from);
    case Type::bf16: return pick_cast<Type::bf16>(from);
    case Type::u32: return pick_cast<Type::u32>(from);
    case Type::i32: return pick_cast<Type::i32>(from);
    case Type::f32: return pick_cast<Type::f32>(from);
    case Type::u64: return pick_cast<Type::u64>(from);
    case Type::i64: return pick_cast<Type::i64>(from);
    case Type::f64: return pick_cast<Type::f64>(from);
    case Type::none: break;
  }
  return nullptr;
}

Handler select_handler(u32 size) { return by_size<Select>(size); }
Handler broadcast_handler(u32 size) { return by_size<Broadcast>(size); }
Handler copy_handler(u32 size, bool masked) {
  return masked ? by_size<MaskedCopy>(size) : by_size<Copy>(size);
}

}  // namespace gpuio::gpu::cpu::blocked
