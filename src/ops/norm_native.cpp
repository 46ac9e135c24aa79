// Softmax and norms as code of the processor: a row after the other, by lines that stay near. Sums are in
// f64.

#include <cmath>

#include "ops/norm.hpp"

namespace gpuio::ops {
namespace {

using namespace native;
using namespace norm;

struct Softmax {
  NormTypes types;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    const Source x = source(group, kX, types.x);
    const Sink y = sink(group, kY, types.y);
    const auto columns = std::uint32_t(number(group, kColumns));
    float* const line = scratch().floats(2 * kLine);
    if (!line) return no_memory("a line of softmax");
    float* const kept = line + kLine;
    // What exp gave is kept where there is room for a row of it.
    const bool keeps = types.y == Dtype::f32 || columns <= kLine;
    const Share rows = share_of(group, number(group, kRows));
    for (std::uint64_t row = rows.begin; row < rows.end; ++row) {
      const std::uint64_t from = row * number(group, kXStride), to = row * number(group, kYStride);
      float most = -std::numeric_limits<float>::infinity();  // a NaN passes through it: the sum meets it
      for_lines(columns, [&](std::uint32_t j, std::uint32_t count) {
        const float* const v = x.floats(line, from + j, count);
        most = largest_of(count, most, [&](std::uint64_t i) { return v[i]; });
      });
      double sum = 0;
      for_lines(columns, [&](std::uint32_t j, std::uint32_t count) {
        const float* const v = x.floats(line, from + j, count);
        float* const e = y.room(kept, to + j);
        for (std::uint32_t i = 0; i < count; ++i) e[i] = native::exp(v[i] - most);
        sum += sum_of(count, [&](std::uint64_t i) { return double(e[i]); });
      });
      const float scale = float(1 / sum);
      for_lines(columns, [&](std::uint32_t j, std::uint32_t count) {
        float* const e = y.room(kept, to + j);
        if (!keeps) {
          const float* const v = x.floats(line, from + j, count);
          for (std::uint32_t i = 0; i < count; ++i) e[i] = native::exp(v[i] - most);
        }
        for (std::uint32_t i = 0; i < count; ++i) e[i] *= scale;
        y.put(e, to + j, count);
      });
    }
    return {};
  }
};

// y = (x - mean) * scale * gain + bias; the mean as f32 and what that is off by.
struct Affine {
  const NormTypes& types;
  Source x, gain, bias;
  Sink y;
  float* line;  // four

  GPUIO_INLINE void row(std::uint64_t from, std::uint64_t to, std::uint32_t columns, float mean, float shift,
                        float scale) const {
    for_lines(columns, [&](std::uint32_t j, std::uint32_t count) {
      const float* const v = x.floats(line, from + j, count);
      float* const out = y.room(line + kLine, to + j);
      for (std::uint32_t i = 0; i < count; ++i) out[i] = ((v[i] - mean) - shift) * scale;
      if (types.gain) {
        const float* const by = gain.floats(line + 2 * kLine, j, count);
        for (std::uint32_t i = 0; i < count; ++i) out[i] *= by[i];
      }
      if (types.bias) {
        const float* const plus = bias.floats(line + 3 * kLine, j, count);
        for (std::uint32_t i = 0; i < count; ++i) out[i] += plus[i];
      }
      y.put(out, to + j, count);
    });
  }
};

struct Norm {
  NormTypes types;
  bool centred;  // a layer norm; else of the root of the mean of squares

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    float* const line = scratch().floats(4 * kLine);
    if (!line) return no_memory("a line of a norm");
    const auto beside = [&](std::size_t slot, const std::optional<Dtype>& type) {
      return type ? source(group, slot, *type) : Source{Dtype::f32, nullptr};
    };
    const Affine affine{types,
                        source(group, kX, types.x),
                        beside(kGain, types.gain),
                        beside(kBias, types.bias),
                        sink(group, kY, types.y),
                        line};
    const auto columns = std::uint32_t(number(group, kColumns));
    const double epsilon = double(real(group, kEpsilon));
    const Share rows = share_of(group, number(group, kRows));
    for (std::uint64_t row = rows.begin; row < rows.end; ++row) {
      const std::uint64_t from = row * number(group, kXStride);
      const auto mean_of = [&](const auto& term) {
        double sum = 0;
        for_lines(columns, [&](std::uint32_t j, std::uint32_t count) {
          const float* const v = affine.x.floats(line, from + j, count);
          sum += sum_of(count, [&](std::uint64_t i) { return term(double(v[i])); });
        });
        return sum / columns;
      };
      const double mean = centred ? mean_of([](double v) { return v; }) : 0;
      const double variance = mean_of([&](double v) { return (v - mean) * (v - mean); });
      const float near = float(mean);
      affine.row(from, row * number(group, kYStride), columns, near, float(mean - double(near)),
                 float(1 / std::sqrt(variance + epsilon)));
    }
    return {};
  }
};

}  // namespace

gpu::Native native_softmax(const NormTypes& types) { return native::of(Softmax{types}); }
gpu::Native native_layer_norm(const NormTypes& types) { return native::of(Norm{types, true}); }
gpu::Native native_rms_norm(const NormTypes& types) { return native::of(Norm{types, false}); }

}  // namespace gpuio::ops
