// Folding the elements of a row with + * min max: what reductions and scans share.
//
// Long rows are divided into chunks, each a workgroup's. How many, and who takes which elements in which
// order, follows from the shape alone, so that floats add up to the same bits wherever the tensor lies. Pure;
// any thread.
#pragma once

#include <limits>

#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {

inline constexpr std::uint32_t kTogether = 4;  // neighbours that a lane takes at once

struct Chunks {
  std::uint32_t size = 1, number = 1;  // of a row; the last may be short
  std::uint32_t lanes = 256;
};
Chunks chunks_of(const Rows& rows);

// What both take: f32, f16, bf16, integers of 32 and 64 bits; y of x's type, or f32.
Status foldable(const Tensor& x, const Tensor& y);

template <class T>
constexpr T neutral(Fold fold) {
  using Limits = std::numeric_limits<T>;
  switch (fold) {
    case Fold::add: return T(0);
    case Fold::mul: return T(1);
    case Fold::min: return Limits::has_infinity ? Limits::infinity() : Limits::max();
    case Fold::max: return Limits::has_infinity ? -Limits::infinity() : Limits::min();
  }
  return T(0);
}
template <class T>
kernel::Val<T> folded(Fold fold, const kernel::Val<T>& a, const kernel::Val<T>& b) {
  switch (fold) {
    case Fold::add: return a + b;
    case Fold::mul: return a * b;
    case Fold::min: return min(a, b);
    case Fold::max: return max(a, b);
  }
  return a;
}

// A running result of a lane.
template <class T>
class Total {
 public:
  Total(kernel::Ctx k, Fold fold) : fold_(fold), value_(k.var(neutral<T>(fold))) {
    if constexpr (std::same_as<T, kernel::f32>)
      if (fold == Fold::add) sum_.emplace(k);
  }
  void add(const std::vector<kernel::Val<T>>& terms) {
    if constexpr (std::same_as<T, kernel::f32>)
      if (sum_) return sum_->add(terms);
    for (const auto& term : terms) value_ = folded(fold_, value_.get(), term);
  }
  kernel::Val<T> get() const {
    if constexpr (std::same_as<T, kernel::f32>)
      if (sum_) return sum_->get();
    return value_.get();
  }

 private:
  Fold fold_;
  kernel::Var<T> value_;
  std::optional<Sum> sum_;
};

// The kTogether elements from `column` on, neutral ones from `end` on. At once where `width` says so.
template <class T>
std::vector<kernel::Val<T>> elements_at(const Elements<T>& x, const kernel::Val<kernel::u64>& row,
                                        const kernel::Val<kernel::u32>& column,
                                        const kernel::Val<kernel::u32>& end, Fold fold, std::uint32_t width) {
  if (width == kTogether) return x.load(row + column.template as<kernel::u64>(), width);
  std::vector<kernel::Val<T>> out;
  for (kernel::u32 e = 0; e < kTogether; ++e) {
    const auto at = column + e;
    const auto value = x[row + min(at, end - 1u).template as<kernel::u64>()];
    out.push_back(select(at < end, value, neutral<T>(fold)));
  }
  return out;
}

// f with the type in which elements of this type are folded.
template <class F>
Status with_folded_type(Dtype type, const F& f) {
  switch (type) {
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16: return f(std::type_identity<kernel::f32>());
    case Dtype::i32: return f(std::type_identity<kernel::i32>());
    case Dtype::u32: return f(std::type_identity<kernel::u32>());
    case Dtype::i64: return f(std::type_identity<kernel::i64>());
    case Dtype::u64: return f(std::type_identity<kernel::u64>());
    default: return error(Code::general, "type {} was not expected here", name_of(type));
  }
}

// y[row * chunks + c] = chunk c of that row, folded.
struct Folding {
  Tensor x;
  Rows rows;
  Chunks chunks;
  std::uint64_t y;  // its address, and how many there are room for
  std::uint64_t y_length;
  Dtype y_type;
};
Status fold_chunks(const Place& place, Fold fold, const Folding& f);

}  // namespace gpuio::ops
