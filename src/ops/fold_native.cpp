// Reductions and scans as code of the processor. Floats are folded in f64, in an order that follows from
// their number.

#include <type_traits>

#include "ops/fold.hpp"
#include "ops/native.hpp"
#include "ops/native_forms.hpp"

namespace gpuio::ops {
namespace {

using namespace native;

// Integers wrap; min and max pass over a NaN in b.
template <class T>
GPUIO_INLINE T fold_two(Fold by, T a, T b) {
  using U =
      typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;
  switch (by) {
    case Fold::add: return T(U(a) + U(b));
    case Fold::mul: return T(U(a) * U(b));
    case Fold::min: return b < a ? b : a;
    case Fold::max: return b > a ? b : a;
  }
  return a;
}

// f(fold) with what to fold by known while compiling, so that its loops become vectors.
template <class F>
GPUIO_INLINE void with_fold(Fold by, const F& f) {
  switch (by) {
    case Fold::add: return f(std::integral_constant<Fold, Fold::add>());
    case Fold::mul: return f(std::integral_constant<Fold, Fold::mul>());
    case Fold::min: return f(std::integral_constant<Fold, Fold::min>());
    case Fold::max: return f(std::integral_constant<Fold, Fold::max>());
  }
}

// Which chunk an item is: row, first and last element.
struct Chunk {
  std::uint64_t row;
  std::uint32_t begin, end;
};
inline Chunk chunk_of(std::uint64_t item, std::uint64_t chunks, std::uint64_t size, std::uint64_t columns) {
  const std::uint64_t begin = item % chunks * size;
  return {item / chunks, std::uint32_t(begin), std::uint32_t(std::min(begin + size, columns))};
}

namespace reduce_slots {
enum Slot : std::uint32_t { kX, kY, kRows, kStride, kColumns, kSize, kChunks };
}
template <class T>  // double: of floats
struct Reduce {
  Fold by;
  Dtype x, y;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace reduce_slots;
    float* const line = scratch().floats(kLine);
    if (!line) return no_memory("a line of a reduction");
    const Source from = source(group, kX, x);
    const Sink to = sink(group, kY, y);
    const Share share = share_of(group, number(group, kRows) * number(group, kChunks));
    with_fold(by, [&]<Fold Of>(std::integral_constant<Fold, Of>) {
      const auto fold_one = [](T a, T b) { return fold_two(Of, a, b); };
      for (std::uint64_t item = share.begin; item < share.end; ++item) {
        const Chunk c = chunk_of(item, number(group, kChunks), number(group, kSize), number(group, kColumns));
        const std::uint64_t first = c.row * number(group, kStride) + c.begin;
        const std::uint32_t count = c.end - c.begin;
        T all = neutral<T>(Of);
        if constexpr (std::is_integral_v<T>) {
          const T* const v = pointer<const T>(group, kX) + first;
          pointer<T>(group, kY)[item] = fold<T>(count, all, [&](std::uint64_t i) { return v[i]; }, fold_one);
        } else {
          for_lines(count, [&](std::uint32_t j, std::uint32_t n) {
            const float* const v = from.floats(line, first + j, n);
            all =
                fold_one(all, fold<T>(n, neutral<T>(Of), [&](std::uint64_t i) { return T(v[i]); }, fold_one));
          });
          float result = float(all);
          *to.room(&result, item) = result;
          to.put(&result, item, 1);
        }
      }
    });
    return {};
  }
};

namespace scan_slots {
enum Slot : std::uint32_t { kX, kY, kStarts, kRows, kXStride, kYStride, kColumns, kSize, kChunks };
}
template <class T>  // double: of floats
struct Scan {
  Fold by;
  bool exclusive, starts;
  Dtype x, y;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace scan_slots;
    float* const line = scratch().floats(2 * kLine);
    if (!line) return no_memory("a line of a scan");
    const Source from = source(group, kX, x);
    const Sink to = sink(group, kY, y);
    const Share share = share_of(group, number(group, kRows) * number(group, kChunks));
    with_fold(by, [&]<Fold Of>(std::integral_constant<Fold, Of>) {
      const auto fold_one = [](T a, T b) { return fold_two(Of, a, b); };
      for (std::uint64_t item = share.begin; item < share.end; ++item) {
        const Chunk c = chunk_of(item, number(group, kChunks), number(group, kSize), number(group, kColumns));
        const std::uint64_t at = c.row * number(group, kXStride) + c.begin,
                            put = c.row * number(group, kYStride) + c.begin;
        if constexpr (std::is_integral_v<T>) {
          T before = starts ? pointer<const T>(group, kStarts)[item] : neutral<T>(Of);
          const T* const v = pointer<const T>(group, kX) + at;
          T* const out = pointer<T>(group, kY) + put;
          for (std::uint32_t i = 0; i < c.end - c.begin; ++i) {
            const T next = fold_one(before, v[i]);
            out[i] = exclusive ? before : next;
            before = next;
          }
        } else {
          T before = starts ? T(pointer<const float>(group, kStarts)[item]) : neutral<T>(Of);
          for_lines(c.end - c.begin, [&](std::uint32_t j, std::uint32_t count) {
            const float* const v = from.floats(line, at + j, count);
            float* const out = to.room(line + kLine, put + j);
            before = exclusive ? one_line<true>(v, out, count, before, fold_one)
                               : one_line<false>(v, out, count, before, fold_one);
            to.put(out, put + j, count);
          });
        }
      }
    });
    return {};
  }

 private:
  // By eights: what is before them is added at the end, so that one does not wait for the one before.
  template <bool Exclusive, class FoldOne>
  GPUIO_INLINE static T one_line(const float* v, float* out, std::uint32_t count, T before,
                                 const FoldOne& fold_one) {
    constexpr std::uint32_t kEach = 8;
    std::uint32_t i = 0;
    for (; i + kEach <= count; i += kEach) {
      T upto[kEach];
      upto[0] = T(v[i]);
      for (std::uint32_t e = 1; e < kEach; ++e) upto[e] = fold_one(upto[e - 1], T(v[i + e]));
      if (Exclusive) out[i] = float(before);
      for (std::uint32_t e = 0; e + Exclusive < kEach; ++e)
        out[i + e + Exclusive] = float(fold_one(before, upto[e]));
      before = fold_one(before, upto[kEach - 1]);
    }
    for (; i < count; ++i) {
      const T next = fold_one(before, T(v[i]));
      out[i] = float(Exclusive ? before : next);
      before = next;
    }
    return before;
  }
};

// f with the type in which elements of this one are folded.
template <class F>
gpu::Native with_type(Dtype type, const F& f) {
  switch (type) {
    case Dtype::i32: return f(std::type_identity<std::int32_t>());
    case Dtype::u32: return f(std::type_identity<std::uint32_t>());
    case Dtype::i64: return f(std::type_identity<std::int64_t>());
    case Dtype::u64: return f(std::type_identity<std::uint64_t>());
    default: return f(std::type_identity<double>());
  }
}

}  // namespace

gpu::Native native_reduce(Fold by, Dtype x, Dtype y) {
  return with_type(x, [&]<class T>(std::type_identity<T>) { return native::of(Reduce<T>{by, x, y}); });
}
gpu::Native native_scan(Fold by, bool exclusive, bool starts, Dtype x, Dtype y) {
  return with_type(
      x, [&]<class T>(std::type_identity<T>) { return native::of(Scan<T>{by, exclusive, starts, x, y}); });
}

}  // namespace gpuio::ops
