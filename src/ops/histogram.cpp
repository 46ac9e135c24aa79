// How often each value occurs: counted in shared memory where the counters fit, and added up at the end.

#include "ops/native_forms.hpp"
#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

constexpr u32 kLanes = 256, kNear = 4096, kGroups = 1024;
constexpr u32 kPart = 16384;  // elements that a workgroup takes at a time

struct Traits {
  Dtype x, counts;
  u32 width, near;  // near: counters in shared memory, or 0
};

template <class C>
void body(Ctx k, const Traits& t) {
  const auto x = Elements<u32>::in(k, t.x);
  const auto counts = buffer<InOut<C>>(k);
  const auto rows = scalar<u64>(k), stride = scalar<u64>(k);
  const auto columns = scalar<u32>(k), bins = scalar<u32>(k);
  const Shared<u32, kNear> local(&k.tracer(), t.near ? k.tracer().build.shared(Type::u32, t.near) : 0);
  if (t.near) {
    for (auto i : k.range(k.tid(), t.near, kLanes)) local[i] = 0u;
    k.barrier();
  }
  const auto parts = ((columns + (kPart - 1)) / kPart).template as<u64>();
  for_rows(k, rows * parts, [&](const Val<u64>& item) {
    const auto from = item / parts * stride;
    const auto begin = (item % parts).template as<u32>() * kPart, end = min(begin + kPart, columns);
    for (auto j : k.range(begin + k.tid() * t.width, end, kLanes * t.width))
      for (const auto& v : x.load(from + j.template as<u64>(), t.width)) {
        GPU_IF(v < bins) {
          if (t.near) local.atomic_add(v, 1u);
          else counts.atomic_add(v, C(1));
        }
      }
  });
  if (!t.near) return;
  k.barrier();
  for (auto i : k.range(k.tid(), bins, kLanes)) {
    const Val<u32> n = local[i];
    GPU_IF(n > 0u) counts.atomic_add(i, n.template as<C>());
  }
}

}  // namespace

Status histogram(const Place& place, const Tensor& x, const Tensor& counts) {
  if (Status s = needs_type(x, {Dtype::u8, Dtype::i32, Dtype::u32}); !s) return s;
  if (Status s = needs_type(counts, {Dtype::u32, Dtype::u64}); !s) return s;
  if (Status s = needs_rank(counts, 1, 1); !s) return s;
  const auto rows = rows_of(x);
  if (!rows) return rows.error();
  if (x.count() == 0 || counts.count() == 0) return {};
  Traits t{x.type, counts.type, width_of({&x}), 0};
  if (counts.last() <= kNear) t.near = std::max(256u, std::bit_ceil(u32(counts.last())));
  const auto kernel = place.kernels.get(
      {Operation::histogram, {x.type, counts.type}, {t.width, t.near}}, "histogram", {kLanes, 1, 1},
      [&](Ctx k) { counts.type == Dtype::u64 ? body<u64>(k, t) : body<u32>(k, t); },
      [&] { return native_histogram(x.type, counts.type); });
  if (!kernel) return kernel.error();
  const std::array arguments{argument(x),
                             argument(counts),
                             argument(rows->rows),
                             argument(rows->stride),
                             argument(rows->columns),
                             argument(u32(counts.last()))};
  const std::uint64_t items = rows->rows * ((rows->columns + kPart - 1) / kPart);
  gpu::Grid grid = place.grid(items, x.count() * bits_of(x.type) / 8);
  grid.groups[0] = std::min(grid.groups[0], kGroups);
  return place.plan.launch(*kernel, grid, arguments);
}

}  // namespace gpuio::ops
