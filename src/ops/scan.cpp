// Scans of rows: chunks are folded, what they gave is scanned, and each chunk is scanned from there.

#include "ops/fold.hpp"
#include "ops/native_forms.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

struct Traits {
  Fold fold;
  bool exclusive, starts;  // starts: chunk c begins with starts[c]
  Dtype x, y;
  std::uint32_t lanes, width;
};

// A tile, kTogether elements a lane, at a time; what is before it goes from tile to tile.
template <class T>
void body(Ctx k, const Traits& t) {
  const auto x = Elements<T>::in(k, t.x), y = Elements<T>::out(k, t.y);
  const auto starts = buffer<In<T>>(k);
  const auto rows = scalar<u64>(k), x_stride = scalar<u64>(k), y_stride = scalar<u64>(k);
  const auto columns = scalar<u32>(k), size = scalar<u32>(k), chunks = scalar<u32>(k);
  const auto each = chunks.template as<u64>();
  const auto fold = [&](const Val<T>& a, const Val<T>& b) { return folded(t.fold, a, b); };
  for_rows(k, rows * each, [&](const Val<u64>& chunk) {
    const auto row = chunk / each;
    const auto begin = (chunk % each).template as<u32>() * size;
    const auto end = min(begin + size, columns);
    Total<T> before(k, t.fold);
    if (t.starts) before.add({starts[chunk]});
    for (auto tile : k.range(begin, end, t.lanes * kTogether)) {
      const auto first = tile + k.tid() * kTogether;
      std::vector<Val<T>> upto;  // of this lane's own
      for (const auto& v : elements_at(x, row * x_stride, first, end, t.fold, 1))
        upto.push_back(upto.empty() ? v : fold(upto.back(), v));
      const auto lanes_before = k.block_scan_exclusive(upto.back(), neutral<T>(t.fold), fold);
      const Val<T> start = fold(before.get(), lanes_before);
      for (u32 e = 0; e < kTogether; ++e) {
        const auto at = first + e;
        GPU_IF(at < end)
          y.set(row * y_stride + at.template as<u64>(), !t.exclusive ? fold(start, upto[e])
                                                        : e == 0     ? start
                                                                     : fold(start, upto[e - 1]));
      }
      before.add({k.block_broadcast(fold(lanes_before, upto.back()), t.lanes - 1)});
    }
  });
}

Status scan_chunks(const Place& place, Fold fold, bool exclusive, const Tensor& x, const Rows& from,
                   const Tensor& y, const Rows& to, const Chunks& chunks, std::uint64_t starts) {
  return with_folded_type(x.type, [&]<class T>(std::type_identity<T>) -> Status {
    const Traits t{fold, exclusive, starts != 0, x.type, y.type, chunks.lanes, 1};
    const auto kernel = place.kernels.get(
        {Operation::scan, {x.type, y.type}, {std::uint32_t(fold), exclusive, t.starts, t.lanes}}, "scan",
        {t.lanes, 1, 1}, [&](Ctx k) { body<T>(k, t); },
        [&] { return native_scan(fold, exclusive, t.starts, x.type, y.type); });
    if (!kernel) return kernel.error();
    const std::uint64_t items = from.rows * chunks.number;
    const std::array arguments{argument(x),
                               argument(y),
                               gpu::Argument{starts ? starts : x.address, starts ? items : 0},
                               argument(from.rows),
                               argument(from.stride),
                               argument(to.stride),
                               argument(from.columns),
                               argument(chunks.size),
                               argument(chunks.number)};
    return place.plan.launch(*kernel, place.grid(items, x.count() * (bits_of(x.type) + bits_of(y.type)) / 8),
                             arguments);
  });
}

}  // namespace

Status scan(const Place& place, const Tensor& x, Fold fold, bool exclusive, const Tensor& y) {
  if (Status s = foldable(x, y); !s) return s;
  const bool integers = x.type != Dtype::f32 && bits_of(x.type) != 16;
  if (!integers && fold != Fold::add)
    return error(Code::unsupported, "{}: of floats only the scan by addition is built", describe(x));
  if (Status s = needs_shape(y, x.sizes(), "as x"); !s) return s;
  const auto from = rows_of(x), to = rows_of(y);
  if (!from) return from.error();
  if (!to) return to.error();
  if (x.count() == 0) return {};
  const Chunks chunks = chunks_of(*from);
  if (chunks.number == 1) return scan_chunks(place, fold, exclusive, x, *from, y, *to, chunks, 0);

  const Rows second{from->rows, chunks.number, chunks.number};
  Tensor parts{
      .name = "parts", .rank = 2, .shape = {from->rows, chunks.number}, .stride = {chunks.number, 1}};
  parts.type = integers ? x.type : Dtype::f32;
  const auto memory = place.scratch(parts.count() * bits_of(parts.type) / 8);
  if (!memory) return memory.error();
  parts.address = *memory;
  if (Status s = fold_chunks(place, fold, {x, *from, chunks, parts.address, parts.count(), parts.type}); !s)
    return s;
  if (Status s = scan_chunks(place, fold, true, parts, second, parts, second, chunks_of(second), 0); !s)
    return s;
  return scan_chunks(place, fold, exclusive, x, *from, y, *to, chunks, parts.address);
}

}  // namespace gpuio::ops
