// Numbers of fewer bits as code of the processor: the same divisions and roundings as in the kernels, so the
// same bits.

#include <cmath>

#include "ops/native.hpp"
#include "ops/native_forms.hpp"

namespace gpuio::ops {
namespace {

using namespace native;

constexpr std::uint32_t kGroup = 128;

namespace quantize_slots {
enum Slot : std::uint32_t { kX, kQ, kRows, kXStride, kQStride, kColumns, kScaleStride, kScales };
}

float largest_number(Dtype q) {
  return q == Dtype::i8 ? 127.0f : q == Dtype::i4 ? 7.0f : q == Dtype::f8e4m3 ? 448.0f : 57344.0f;
}
GPUIO_INLINE float scale_of(float most, float largest) {
  const float scale = most / largest;
  return scale == 0.0f ? 1.0f : scale;
}

// Quotients as elements of q from `at` on, which is even where there are two to a byte.
struct Writer {
  Dtype type;
  std::byte* base;

  GPUIO_INLINE void put(float* quotients, std::uint64_t at, std::uint32_t count) const {
    if (type == Dtype::f8e4m3 || type == Dtype::f8e5m2)
      return conversions().narrow(type, base, at, count, quotients);
    const float most = largest_number(type);
    for (std::uint32_t i = 0; i < count; ++i) {
      float v = quotients[i];
      v = v > most ? most : v;
      v = v < -most ? -most : v;
      v = v == v ? v : 0.0f;
      quotients[i] = (v + 0x1.8p23f) - 0x1.8p23f;  // to the nearest whole number, ties to even
    }
    if (type == Dtype::i8) {
      auto* const to = reinterpret_cast<std::int8_t*>(base) + at;
      for (std::uint32_t i = 0; i < count; ++i) to[i] = std::int8_t(std::int32_t(quotients[i]));
      return;
    }
    std::byte* const to = base + at / 2;
    for (std::uint32_t i = 0; i + 2 <= count; i += 2)
      to[i / 2] = std::byte((std::int32_t(quotients[i]) & 15) | (std::int32_t(quotients[i + 1]) & 15) << 4);
    if (count % 2) to[count / 2] = std::byte(std::int32_t(quotients[count - 1]) & 15);
  }
};

struct Quantize {
  Dtype x, q;
  ScaleBy by;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace quantize_slots;
    float* const line = scratch().floats(3 * kLine);
    if (!line) return no_memory("a line to quantize");
    const Source from = source(group, kX, x);
    const Writer to{q, pointer<std::byte>(group, kQ)};
    auto* const scales = pointer<float>(group, kScales);
    if (by == ScaleBy::column) columns(group, from, to, scales, line);
    else along_rows(group, from, to, scales, line);
    return {};
  }

 private:
  // Rows, or groups of them: what shares a scale lies side by side.
  GPUIO_INLINE void along_rows(const gpu::Workgroup& group, const Source& from, const Writer& to,
                               float* scales, float* line) const {
    using namespace quantize_slots;
    const std::uint64_t all = number(group, kColumns), size = by == ScaleBy::group ? kGroup : all,
                        groups = (all + size - 1) / size;
    const float largest = largest_number(q);
    const Share share = share_of(group, number(group, kRows) * groups);
    for (std::uint64_t item = share.begin; item < share.end; ++item) {
      const std::uint64_t row = item / groups, begin = item % groups * size,
                          first = row * number(group, kXStride) + begin,
                          put = row * number(group, kQStride) + begin;
      const auto count = std::uint32_t(std::min(size, all - begin));
      float most = 0;  // passes over NaNs
      for_lines(count, [&](std::uint32_t j, std::uint32_t n) {
        const float* const v = from.floats(line, first + j, n);
        most = largest_of(n, most, [&](std::uint64_t i) { return std::fabs(v[i]); });
      });
      const float scale = scale_of(most, largest);
      scales[row * number(group, kScaleStride) + item % groups] = scale;
      for_lines(count, [&](std::uint32_t j, std::uint32_t n) {
        const float* const v = from.floats(line, first + j, n);
        float* const quotients = line + kLine;
        for (std::uint32_t i = 0; i < n; ++i) quotients[i] = v[i] / scale;
        to.put(quotients, put + j, n);
      });
    }
  }

  // Some columns of all rows.
  GPUIO_INLINE void columns(const gpu::Workgroup& group, const Source& from, const Writer& to, float* scales,
                            float* line) const {
    using namespace quantize_slots;
    static_assert(kNativeColumns <= kLine && kNativeColumns % 2 == 0);
    const std::uint64_t all = number(group, kColumns), rows = number(group, kRows);
    const float largest = largest_number(q);
    float *const quotients = line + kLine, *const scale = line + 2 * kLine;
    const Share share = share_of(group, (all + kNativeColumns - 1) / kNativeColumns);
    for (std::uint64_t block = share.begin; block < share.end; ++block) {
      const std::uint64_t begin = block * kNativeColumns;
      const auto count = std::uint32_t(std::min<std::uint64_t>(kNativeColumns, all - begin));
      for (std::uint32_t i = 0; i < count; ++i) scale[i] = 0;
      for (std::uint64_t row = 0; row < rows; ++row) {
        const float* const v = from.floats(line, row * number(group, kXStride) + begin, count);
        for (std::uint32_t i = 0; i < count; ++i) {
          const float size = std::fabs(v[i]);
          scale[i] = size > scale[i] ? size : scale[i];
        }
      }
      for (std::uint32_t i = 0; i < count; ++i) scales[begin + i] = scale[i] = scale_of(scale[i], largest);
      for (std::uint64_t row = 0; row < rows; ++row) {
        const float* const v = from.floats(line, row * number(group, kXStride) + begin, count);
        for (std::uint32_t i = 0; i < count; ++i) quotients[i] = v[i] / scale[i];
        to.put(quotients, row * number(group, kQStride) + begin, count);
      }
    }
  }
};

struct Dequantize {
  Dtype x, q;
  ScaleBy by;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace quantize_slots;
    float* const line = scratch().floats(2 * kLine);
    if (!line) return no_memory("a line to widen");
    const Source from = source(group, kQ, q);
    const Sink to = sink(group, kX, x);
    const auto* const scales = pointer<const float>(group, kScales);
    const auto columns = std::uint32_t(number(group, kColumns));
    const Share rows = share_of(group, number(group, kRows));
    for (std::uint64_t row = rows.begin; row < rows.end; ++row) {
      const std::uint64_t first = row * number(group, kQStride), put = row * number(group, kXStride);
      for_lines(columns, [&](std::uint32_t j, std::uint32_t n) {
        from.widen(line, first + j, n);
        float* const out = to.room(line + kLine, put + j);
        if (by == ScaleBy::row) {
          const float scale = scales[row];
          for (std::uint32_t i = 0; i < n; ++i) out[i] = line[i] * scale;
        } else if (by == ScaleBy::column) {
          for (std::uint32_t i = 0; i < n; ++i) out[i] = line[i] * scales[j + i];
        } else {
          static_assert(kLine % kGroup == 0);
          for (std::uint32_t g = 0; g < n; g += kGroup) {
            const float scale = scales[row * number(group, kScaleStride) + (j + g) / kGroup];
            for (std::uint32_t i = g; i < std::min(n, g + kGroup); ++i) out[i] = line[i] * scale;
          }
        }
        to.put(out, put + j, n);
      });
    }
    return {};
  }
};

}  // namespace

gpu::Native native_quantize(Dtype x, Dtype q, ScaleBy scale) { return native::of(Quantize{x, q, scale}); }
gpu::Native native_dequantize(Dtype x, Dtype q, ScaleBy scale) { return native::of(Dequantize{x, q, scale}); }

}  // namespace gpuio::ops
