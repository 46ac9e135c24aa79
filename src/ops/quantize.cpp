// Numbers of fewer bits and their scales: of rows and groups a workgroup each, of columns 32 at a time.

#include "ops/native_forms.hpp"
#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

constexpr u32 kGroup = 128;
constexpr u32 kColumns = 32, kSlices = 8;  // of a workgroup: columns (i4: pairs), and who share them

struct Traits {
  Dtype x, q;
  ScaleBy scale;
  u32 lanes, together;  // together: neighbours that a lane takes at once; of i4 2
};

f32 largest_of(Dtype q) {
  return q == Dtype::i8 ? 127.0f : q == Dtype::i4 ? 7.0f : q == Dtype::f8e4m3 ? 448.0f : 57344.0f;
}
Val<f32> scale_of(const Val<f32>& most, Dtype q) {
  const auto scale = most / largest_of(q);
  return select(scale == 0.0f, 1.0f, scale);
}
// x[at] ... as many as `together`; those from `end` on are 0.
std::vector<Val<f32>> read(const Elements<f32>& x, const Val<u64>& row, const Val<u32>& j,
                           const Val<u32>& end, const Traits& t) {
  if (t.together == 4) return x.load(row + j.as<u64>(), 4);
  std::vector<Val<f32>> out{x[row + j.as<u64>()]};
  if (t.together == 2) {
    const auto beside = j + 1u;
    out.push_back(select(beside < end, x[row + min(beside, end - 1u).as<u64>()], 0.0f));
  }
  return out;
}
// What the elements are that these quotients mean.
void write(const Elements<f32>& q, const Val<u64>& at, const std::vector<Val<f32>>& quotients,
           const Traits& t) {
  Builder& b = q.tracer().build;
  if (t.q == Dtype::f8e4m3 || t.q == Dtype::f8e5m2) return q.store(at, quotients);
  std::vector<Val<i32>> whole;
  const f32 most = largest_of(t.q);
  for (const auto& v : quotients) {
    const auto nearest = round_even(v).as<i32>();  // of a NaN 0
    whole.push_back(min(max(nearest, -i32(most)), i32(most)));
  }
  if (t.q == Dtype::i4) {
    const auto byte = (whole[0] & 15) | ((whole[1] & 15) << 4);
    b.store(q.object(), (at >> 1).id(), byte.as<u8>().id());
    return;
  }
  std::vector<u32> v;
  for (const auto& w : whole) v.push_back(w.as<i8>().id());
  b.store(q.object(), at.id(), v.size() == 1 ? v[0] : b.compose(v[0], v[1], v[2], v[3]));
}
std::vector<Val<f32>> divided(const std::vector<Val<f32>>& values, const std::vector<Val<f32>>& scales) {
  std::vector<Val<f32>> out;
  for (std::size_t e = 0; e < values.size(); ++e)
    out.push_back(values[e] / scales[scales.size() == 1 ? 0 : e]);
  return out;
}

struct Parameters {
  Elements<f32> x, q;
  Val<u64> rows, x_stride, q_stride;
  Val<u32> columns;
  Val<u64> scale_stride;
  Parameters(Ctx k, const Traits& t, bool quantizes)
      : x(quantizes ? Elements<f32>::in(k, t.x) : Elements<f32>::out(k, t.x)),
        q(quantizes ? Elements<f32>::out(k, t.q) : Elements<f32>::in(k, t.q)),
        rows(scalar<u64>(k)),
        x_stride(scalar<u64>(k)),
        q_stride(scalar<u64>(k)),
        columns(scalar<u32>(k)),
        scale_stride(scalar<u64>(k)) {}
};

// Rows, or groups of them: what shares a scale lies side by side.
void along_rows(Ctx k, const Traits& t) {
  const Parameters p(k, t, true);
  const auto scales = buffer<Out<f32>>(k);
  const auto size = t.scale == ScaleBy::group ? k.val(kGroup) : p.columns;
  const auto groups = ((p.columns + size - 1u) / size).as<u64>();
  for_rows(k, p.rows * groups, [&](const Val<u64>& item) {
    const auto row = item / groups, group = item % groups;
    const auto begin = group.as<u32>() * size, end = min(begin + size, p.columns);
    const auto from = row * p.x_stride;
    const auto first = begin + k.tid() * t.together;
    auto most = k.var(0.0f);
    for (auto j : k.range(first, end, t.lanes * t.together))
      for (const auto& v : read(p.x, from, j, end, t)) most = max(most, abs(v));  // passes over NaNs
    const auto scale = scale_of(k.block_reduce_max(most), t.q);
    GPU_IF(k.tid() == 0) scales[row * p.scale_stride + group] = scale;
    for (auto j : k.range(first, end, t.lanes * t.together))
      write(p.q, row * p.q_stride + j.as<u64>(), divided(read(p.x, from, j, end, t), {scale}), t);
  });
}

void along_columns(Ctx k, const Traits& t) {
  const Parameters p(k, t, true);
  const auto scales = buffer<Out<f32>>(k);
  const auto tile = k.shared<f32, kColumns * kSlices>();
  const auto blocks = ((p.columns + (kColumns * t.together - 1)) / (kColumns * t.together)).as<u64>();
  for_rows(k, blocks, [&](const Val<u64>& block) {
    const auto j = (block.as<u32>() * kColumns + k.tid()) * t.together;
    const auto inside = j < p.columns;
    std::vector<Val<f32>> scale;
    for (u32 e = 0; e < t.together; ++e) {
      auto most = k.var(0.0f);
      const auto column = j + e;
      GPU_IF(column < p.columns)
        for (auto row : k.range(k.tid_y().as<u64>(), p.rows, u64(kSlices)))
          most = max(most, abs(p.x[row * p.x_stride + column.as<u64>()]));
      tile[k.tid_y() * kColumns + k.tid()] = most;
      k.barrier();
      auto all = k.var(0.0f);
      for (u32 slice = 0; slice < kSlices; ++slice) all = max(all, tile[k.tid() + slice * kColumns]);
      k.barrier();
      scale.push_back(scale_of(all.get(), t.q));
      GPU_IF((column < p.columns) & (k.tid_y() == 0)) scales[column] = scale.back();
    }
    GPU_IF(inside)
      for (auto row : k.range(k.tid_y().as<u64>(), p.rows, u64(kSlices)))
        write(p.q, row * p.q_stride + j.as<u64>(),
              divided(read(p.x, row * p.x_stride, j, p.columns, t), scale), t);
  });
}

void dequantize_body(Ctx k, const Traits& t) {
  const Parameters p(k, t, false);
  const auto scales = buffer<In<f32>>(k);
  Builder& b = k.tracer().build;
  for_rows(k, p.rows, [&](const Val<u64>& row) {
    const auto scale = [&](const Val<u32>& j) -> Val<f32> {
      if (t.scale == ScaleBy::row) return scales[row];
      if (t.scale == ScaleBy::column) return scales[j];
      return scales[row * p.scale_stride + (j / kGroup).as<u64>()];
    };
    for (auto j : k.range(k.tid() * t.together, p.columns, t.lanes * t.together)) {
      const auto at = row * p.q_stride + j.as<u64>(), to = row * p.x_stride + j.as<u64>();
      if (t.q != Dtype::i4) {
        const auto values = p.q.load(at, t.together);
        std::vector<Val<f32>> out;
        for (u32 e = 0; e < t.together; ++e) out.push_back(values[e] * scale(e ? j + e : j));
        p.x.store(to, out);
        continue;
      }
      const Val<u8> byte{&k.tracer(), b.load(p.q.object(), (at >> 1).id())};
      const auto bits = byte.as<i32>();
      p.x.set(to, (((bits & 15) ^ 8) - 8).as<f32>() * scale(j));
      const auto beside = j + 1u;
      GPU_IF(beside < p.columns) p.x.set(to + u64(1), ((bits >> 4 ^ 8) - 8).as<f32>() * scale(beside));
    }
  });
}

Status check(const Tensor& x, const Tensor& q, const Tensor& scales, ScaleBy scale) {
  if (Status s = needs_type(x, {Dtype::f32, Dtype::f16, Dtype::bf16}); !s) return s;
  if (Status s = needs_type(q, {Dtype::i8, Dtype::i4, Dtype::f8e4m3, Dtype::f8e5m2}); !s) return s;
  if (Status s = needs_rank(x, 2, 2); !s) return s;
  if (Status s = needs_shape(q, x.sizes(), "as x"); !s) return s;
  if (Status s = needs_type(scales, {Dtype::f32}); !s) return s;
  if (scale == ScaleBy::row) return needs_shape(scales, x.sizes().first(1), "one for each row of x");
  if (scale == ScaleBy::column) return needs_shape(scales, x.sizes().last(1), "one for each column of x");
  const std::array shape{x.shape[0], (x.shape[1] + kGroup - 1) / kGroup};
  return needs_shape(scales, shape, "one for every 128 of a row of x");
}

Status launch(const Place& place, bool quantizes, const Tensor& x, const Tensor& q, const Tensor& scales,
              ScaleBy scale) {
  if (Status s = check(x, q, scales, scale); !s) return s;
  if (x.count() == 0) return {};
  const bool columns = quantizes && scale == ScaleBy::column;
  Traits t{x.type, q.type, scale, 256, 1};
  if (q.type == Dtype::i4) t.together = 2;
  else if (!columns) t.together = width_of({&x, &q});
  const auto length = u32(quantizes && scale == ScaleBy::group ? kGroup : x.last());
  if (!columns) t.lanes = lanes_for(length, t.together).lanes;
  const std::array<std::uint32_t, 3> block =
      columns ? std::array{kColumns, kSlices, 1u} : std::array{t.lanes, 1u, 1u};
  const auto kernel = place.kernels.get(
      {quantizes ? Operation::quantize : Operation::dequantize,
       {x.type, q.type},
       {std::uint32_t(scale), t.lanes, t.together}},
      quantizes ? "quantize" : "dequantize", block,
      [&](Ctx k) { quantizes ? columns ? along_columns(k, t) : along_rows(k, t) : dequantize_body(k, t); },
      [&] {
        return quantizes ? native_quantize(x.type, q.type, scale) : native_dequantize(x.type, q.type, scale);
      });
  if (!kernel) return kernel.error();
  std::uint64_t work = x.shape[0];
  const std::uint64_t wide = place.kernels.native() ? kNativeColumns : kColumns * t.together;
  if (columns) work = (x.last() + wide - 1) / wide;
  else if (quantizes && scale == ScaleBy::group) work *= scales.last();
  gpu::Argument of_q = argument(q);
  if (q.type == Dtype::i4) of_q.count = (q.extent() + 1) / 2;
  const std::array arguments{argument(x),
                             of_q,
                             argument(x.shape[0]),
                             argument(x.stride[0]),
                             argument(q.stride[0]),
                             argument(u32(x.last())),
                             argument(scale == ScaleBy::group ? scales.stride[0] : std::uint64_t{1}),
                             argument(scales)};
  return place.plan.launch(*kernel, place.grid(work, x.count() * (bits_of(x.type) + bits_of(q.type)) / 8),
                           arguments);
}

}  // namespace

Status quantize(const Place& place, const Tensor& x, ScaleBy scale, const Tensor& q, const Tensor& scales) {
  return launch(place, true, x, q, scales, scale);
}
Status dequantize(const Place& place, const Tensor& q, const Tensor& scales, ScaleBy scale, const Tensor& x) {
  return launch(place, false, x, q, scales, scale);
}

}  // namespace gpuio::ops
