#include "ops/elements.hpp"

namespace gpuio::ops {

using kernel::Builder;
using kernel::Type;
using kernel::u32;

Type stored_as(Dtype type) {
  switch (type) {
    case Dtype::f32: return Type::f32;
    case Dtype::f16: return Type::f16;
    case Dtype::bf16: return Type::bf16;
    case Dtype::i8: return Type::i8;
    case Dtype::f8e4m3:
    case Dtype::f8e5m2:
    case Dtype::u8:
    case Dtype::i4: return Type::u8;
    case Dtype::i32: return Type::i32;
    case Dtype::u32: return Type::u32;
    case Dtype::i64: return Type::i64;
    case Dtype::u64: return Type::u64;
  }
  return Type::none;
}

u32 widened(Builder& b, Dtype from, Type to, u32 value) {
  if (from == Dtype::f8e4m3) value = widen_f8(b, kernel::kE4m3, value);
  if (from == Dtype::f8e5m2) value = widen_f8(b, kernel::kE5m2, value);
  return b.type(value) == to ? value : b.cast(to, value);
}
u32 narrowed(Builder& b, Dtype to, u32 value) {
  if (to == Dtype::f8e4m3) return narrow_f8(b, kernel::kE4m3, value);
  if (to == Dtype::f8e5m2) return narrow_f8(b, kernel::kE5m2, value);
  return b.type(value) == stored_as(to) ? value : b.cast(stored_as(to), value);
}

std::uint32_t width_of(std::initializer_list<const Tensor*> tensors) {
  for (const Tensor* t : tensors) {
    const std::uint64_t bytes = bits_of(t->type) / 8;
    if (bytes == 0 || 4 * bytes > 16 || t->last() % 4 || t->address % (4 * bytes)) return 1;
    for (int i = 0; i + 1 < t->rank; ++i)
      if (t->shape[std::size_t(i)] > 1 && t->stride[std::size_t(i)] % 4) return 1;
  }
  return 4;
}

}  // namespace gpuio::ops
