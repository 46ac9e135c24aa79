// Reductions of rows: a workgroup a chunk, and where there are several a second kernel over what they gave.

#include "ops/fold.hpp"
#include "ops/native_forms.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

template <class T>
void body(Ctx k, Fold fold, Dtype x_type, Dtype y_type, std::uint32_t lanes, std::uint32_t width) {
  const auto x = Elements<T>::in(k, x_type), y = Elements<T>::out(k, y_type);
  const auto rows = scalar<u64>(k), stride = scalar<u64>(k);
  const auto columns = scalar<u32>(k), size = scalar<u32>(k), chunks = scalar<u32>(k);
  const auto each = chunks.template as<u64>();
  for_rows(k, rows * each, [&](const Val<u64>& chunk) {
    const auto row = chunk / each * stride;
    const auto begin = (chunk % each).template as<u32>() * size;
    const auto end = min(begin + size, columns);
    Total<T> total(k, fold);
    for (auto j : k.range(begin + k.tid() * kTogether, end, lanes * kTogether))
      total.add(elements_at(x, row, j, end, fold, width));
    const auto all =
        k.block_reduce(total.get(), [&](const auto& a, const auto& b) { return folded(fold, a, b); });
    GPU_IF(k.tid() == 0) y.set(chunk, all);
  });
}

}  // namespace

Chunks chunks_of(const Rows& rows) {
  const std::uint32_t columns = rows.columns;
  if (columns <= 16384 || rows.rows >= 1024)
    return {.size = std::max(columns, 1u), .number = 1, .lanes = columns <= 512 ? 32u : 256u};
  // At most 1024, so that one workgroup can go through what they gave.
  const std::uint32_t size = std::max(8192u, (columns / 1024 + 1024) / 1024 * 1024);
  return {.size = size, .number = (columns + size - 1) / size};
}

Status foldable(const Tensor& x, const Tensor& y) {
  if (Status s = needs_type(
          x, {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i32, Dtype::u32, Dtype::i64, Dtype::u64});
      !s)
    return s;
  if (y.type == x.type || (y.type == Dtype::f32 && bits_of(x.type) == 16)) return {};
  return error(Code::unsupported, "{}: the type of {}{} is built", describe(y), describe(x),
               bits_of(x.type) == 16 ? " or f32" : "");
}

Status fold_chunks(const Place& place, Fold fold, const Folding& f) {
  const std::uint32_t width = width_of({&f.x});
  return with_folded_type(f.x.type, [&]<class T>(std::type_identity<T>) -> Status {
    const auto kernel = place.kernels.get(
        {Operation::reduce, {f.x.type, f.y_type}, {std::uint32_t(fold), f.chunks.lanes, width}}, "reduce",
        {f.chunks.lanes, 1, 1}, [&](Ctx k) { body<T>(k, fold, f.x.type, f.y_type, f.chunks.lanes, width); },
        [&] { return native_reduce(fold, f.x.type, f.y_type); });
    if (!kernel) return kernel.error();
    const std::array arguments{argument(f.x),
                               gpu::Argument{f.y, f.y_length},
                               argument(f.rows.rows),
                               argument(f.rows.stride),
                               argument(f.rows.columns),
                               argument(f.chunks.size),
                               argument(f.chunks.number)};
    const std::uint64_t bytes = f.rows.rows * f.rows.columns * bits_of(f.x.type) / 8;
    return place.plan.launch(*kernel, place.grid(f.rows.rows * f.chunks.number, bytes), arguments);
  });
}

Status reduce(const Place& place, const Tensor& x, Fold fold, const Tensor& y) {
  if (Status s = foldable(x, y); !s) return s;
  const std::uint64_t one = 1;
  const auto shape = x.rank == 1 ? std::span(&one, 1) : x.sizes().first(std::size_t(x.rank) - 1);
  if (Status s = needs_shape(y, shape, "x without its last dimension"); !s) return s;
  if (Status s = needs_dense(y); !s) return s;
  const auto rows = rows_of(x);
  if (!rows) return rows.error();
  if (y.count() == 0) return {};
  const Chunks chunks = chunks_of(*rows);
  if (chunks.number == 1) return fold_chunks(place, fold, {x, *rows, chunks, y.address, y.extent(), y.type});

  Tensor parts{
      .name = "parts", .rank = 2, .shape = {rows->rows, chunks.number}, .stride = {chunks.number, 1}};
  parts.type = bits_of(x.type) == 16 ? Dtype::f32 : x.type;
  const auto memory = place.scratch(parts.count() * bits_of(parts.type) / 8);
  if (!memory) return memory.error();
  parts.address = *memory;
  const Rows second{rows->rows, chunks.number, chunks.number};
  if (Status s = fold_chunks(place, fold, {x, *rows, chunks, parts.address, parts.count(), parts.type}); !s)
    return s;
  return fold_chunks(place, fold, {parts, second, chunks_of(second), y.address, y.extent(), y.type});
}

}  // namespace gpuio::ops
