// Rows gathered and scattered: a workgroup a row, its bytes in the largest words in which all rows begin.

#include "ops/native_forms.hpp"
#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

struct Traits {
  bool gathers, wide_indices;
  u32 bytes;  // of a word: 1, 2, 4, or 16 as four of 4
  u32 lanes;
};

void body(Ctx k, const Traits& t) {
  const Type type = t.bytes == 1 ? Type::u8 : t.bytes == 2 ? Type::u16 : Type::u32;
  const u8 width = t.bytes == 16 ? 4 : 1;
  Builder& b = k.tracer().build;
  const u32 x = b.param(ParamKind::in, type), y = b.param(ParamKind::out, type);
  const auto indices = Elements<u64>::in(k, t.wide_indices ? Dtype::u64 : Dtype::u32);
  // Rows that are gone through, rows of the side that is indexed; words.
  const auto rows = scalar<u64>(k), limit = scalar<u64>(k), x_stride = scalar<u64>(k),
             y_stride = scalar<u64>(k);
  const auto words = scalar<u32>(k);
  for_rows(k, rows, [&](const Val<u64>& row) {
    const auto there = indices[row];
    const auto is_there = there < limit;
    const auto copy = [&](const Val<u64>& from, const Val<u64>& to) {
      for (auto j : k.range(k.tid(), words, t.lanes)) {
        const auto at = j.template as<u64>() * u64(width);
        const u32 value = b.load(x, (from + at).id(), width);
        b.store(y, (to + at).id(), value);
      }
    };
    if (!t.gathers) {
      GPU_IF(is_there) copy(row * x_stride, there * y_stride);
      return;
    }
    GPU_IF(is_there) copy(there * x_stride, row * y_stride);
    else {
      const auto to = row * y_stride;
      for (auto j : k.range(k.tid(), words, t.lanes)) {
        const u32 zero = b.constant(type, 0);
        const u32 value = width == 4 ? b.compose(zero, zero, zero, zero) : zero;
        b.store(y, (to + j.template as<u64>() * u64(width)).id(), value);
      }
    }
  });
}

// The largest word of which rows and their distances are multiples.
u32 word_of(const Tensor& x, const Tensor& y) {
  const std::uint64_t size = bits_of(x.type) / 8;
  const std::uint64_t all = x.address | y.address | x.last() * size | x.stride[0] * size | y.stride[0] * size;
  for (const u32 bytes : {16u, 4u, 2u})
    if (all % bytes == 0) return bytes;
  return 1;
}

Status move_rows(const Place& place, bool gathers, const Tensor& x, const Tensor& indices, const Tensor& y) {
  for (const Tensor* t : {&x, &y})
    if (Status s = needs_rank(*t, 2, 2); !s) return s;
  if (x.type == Dtype::i4)
    return error(Code::unsupported, "{}: rows of every type but i4 are built; give them as u8", describe(x));
  if (Status s = needs_type(y, {x.type}); !s) return s;
  if (Status s = needs_type(indices, {Dtype::u32, Dtype::u64}); !s) return s;
  const Tensor &through = gathers ? y : x, &indexed = gathers ? x : y;
  if (Status s = needs_shape(indices, {through.shape.data(), 1},
                             gathers ? "one for each row of y" : "one for each row of x");
      !s)
    return s;
  const std::array shape{y.shape[0], x.last()};
  if (Status s = needs_shape(y, shape, "rows of x's length"); !s) return s;
  if (through.count() == 0) return {};

  Traits t{gathers, indices.type == Dtype::u64, word_of(x, y), 256};
  const std::uint64_t size = bits_of(x.type) / 8, unit = std::min(t.bytes, 4u);
  const u32 words = u32(x.last() * size / t.bytes);
  t.lanes = lanes_for(words, 1).lanes;
  const auto kernel = place.kernels.get(
      {gathers ? Operation::gather : Operation::scatter, {}, {t.wide_indices, t.bytes, t.lanes}},
      gathers ? "gather_rows" : "scatter_rows", {t.lanes, 1, 1}, [&](Ctx k) { body(k, t); },
      [&] { return native_move(gathers, t.wide_indices, t.bytes); });
  if (!kernel) return kernel.error();
  const std::array arguments{gpu::Argument{x.address, x.extent() * size / unit},
                             gpu::Argument{y.address, y.extent() * size / unit},
                             argument(indices),
                             argument(through.shape[0]),
                             argument(indexed.shape[0]),
                             argument(x.stride[0] * size / unit),
                             argument(y.stride[0] * size / unit),
                             argument(words)};
  return place.plan.launch(*kernel, place.grid(through.shape[0], 2 * through.count() * size), arguments);
}

}  // namespace

Status gather_rows(const Place& place, const Tensor& x, const Tensor& indices, const Tensor& y) {
  return move_rows(place, true, x, indices, y);
}
Status scatter_rows(const Place& place, const Tensor& x, const Tensor& indices, const Tensor& y) {
  return move_rows(place, false, x, indices, y);
}

}  // namespace gpuio::ops
