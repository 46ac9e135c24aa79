// The k largest of a row without sorting the row: four passes count the bytes of keys to find the k-th
// largest (radix select), one collects what is not below it in the order of the row, and the k are sorted. A
// workgroup a row; no step depends on timing.

#include "ops/native_forms.hpp"
#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

constexpr u32 kLanes = 256;    // one a value of a byte
constexpr u32 kTogether = 4;   // neighbours that a lane takes at once when collecting
constexpr u32 kShared = 1024;  // so many are sorted in shared memory, more in scratch
constexpr std::uint64_t kMost = 4096;

struct Traits {
  Dtype type;
  bool values;
  u32 padded;  // a power of two, at least k
};

// An unsigned number in the order of the elements; of NaNs 0.
Val<u32> key_of(const Elements<f32>& x, const Val<u64>& i) {
  const auto v = x[i];
  const auto bits = select(v == 0.0f, 0, bitcast<i32>(v));  // one zero
  const auto key = bitcast<u32>(select(bits < 0, ~bits, bits | std::numeric_limits<i32>::min()));
  return select(v == v, key, 0u);
}
Val<u32> key_of(const Elements<i32>& x, const Val<u64>& i) {
  return bitcast<u32>(x[i] ^ std::numeric_limits<i32>::min());
}
Val<u32> key_of(const Elements<u32>& x, const Val<u64>& i) { return x[i]; }

// Bitonic, descending.
void sort(Ctx k, u32 array, const Val<u64>& base, u32 n) {
  Tracer& t = k.tracer();
  for (auto stage : k.range(1u, u32(std::bit_width(n))))
    for (auto step : k.range(0u, stage)) {
      const auto run = k.val<u32>(1) << stage, by = k.val<u32>(1) << (stage - 1u - step);
      for (auto pair : k.range(k.tid(), n / 2, kLanes)) {
        const auto low = ((pair & ~(by - 1u)) << 1) | (pair & (by - 1u));
        const auto at = base + low.as<u64>(), beside = at + by.as<u64>();
        const Val<u64> a{&t, t.build.load(array, at.id())}, b{&t, t.build.load(array, beside.id())};
        GPU_IF((a < b) == ((low & run) == 0)) {
          t.build.store(array, at.id(), b.id());
          t.build.store(array, beside.id(), a.id());
        }
      }
      k.barrier();
    }
}

template <class T>
void body(Ctx k, const Traits& t) {
  const auto x = Elements<T>::in(k, t.type);
  const auto values = Elements<T>::out(k, t.type);
  const auto indices = buffer<Out<u32>>(k);
  const auto scratch = buffer<InOut<u64>>(k);
  const auto rows = scalar<u64>(k), x_stride = scalar<u64>(k), v_stride = scalar<u64>(k),
             i_stride = scalar<u64>(k);
  const auto columns = scalar<u32>(k), most = scalar<u32>(k);
  k.unchecked_races("every rank and every digit is one lane's, and bitonic pairs are disjoint");
  const auto counts = k.shared<u32, 256>();
  const auto digit = k.shared<u32, 2>();
  const bool near = t.padded <= kShared;
  const u32 found = near ? k.tracer().build.shared(Type::u64, t.padded) : scratch.object();
  for_rows(k, rows, [&](const Val<u64>& row) {
    const auto from = row * x_stride;
    const auto base = near ? k.val<u64>(0) : k.cta().template as<u64>() * u64(t.padded);
    auto threshold = k.var<u32>(0);
    auto wanted = k.var(most);
    for (auto pass : k.range(0u, 4u)) {
      const auto shift = 24u - pass * 8u;
      counts[k.tid()] = 0u;
      k.barrier();
      for (auto j : k.range(k.tid(), columns, kLanes)) {
        const auto key = key_of(x, from + j.template as<u64>());
        GPU_IF((key >> shift >> 8) == (threshold >> shift >> 8))
          counts.atomic_add(255u - ((key >> shift) & 255u), 1u);
      }
      k.barrier();
      // Lane 0 has the largest byte. One lane finds the `wanted`-th among its own: that is the byte.
      const Val<u32> own = counts[k.tid()];
      const auto before = k.block_scan_add(own) - own;
      GPU_IF((before < wanted) & (wanted <= before + own)) {
        digit[0] = 255u - k.tid();
        digit[1] = wanted - before;
      }
      k.barrier();
      threshold = threshold | (digit[0] << shift);
      wanted = digit[1];
    }
    // `wanted` of those equal to the threshold belong to the k, the first ones.
    for (auto i : k.range(k.tid(), t.padded, kLanes)) {
      const auto at = base + i.template as<u64>();
      k.tracer().build.store(found, at.id(), k.val<u64>(0).id());
    }
    k.barrier();
    const auto larger = most - wanted;
    auto above = k.var<u32>(0), equal = k.var<u32>(0);  // so far
    for (auto tile : k.range(0u, columns, kLanes * kTogether)) {
      const auto first = tile + k.tid() * kTogether;
      std::vector<Val<u32>> keys;
      auto mine = k.var<u32>(0);  // above the threshold, and equal to it in the upper half
      for (u32 e = 0; e < kTogether; ++e) {
        const auto at = first + e;
        keys.push_back(key_of(x, from + min(at, columns - 1u).template as<u64>()));
        mine += select(
            at < columns,
            (keys[e] > threshold).template as<u32>() + ((keys[e] == threshold).template as<u32>() << 16), 0u);
      }
      GPU_IF(k.block_any(mine != 0)) {
        const auto before = k.block_scan_exclusive_add(mine);
        auto next_above = k.var(above + (before & 0xffffu)), next_equal = k.var(equal + (before >> 16));
        for (u32 e = 0; e < kTogether; ++e) {
          const auto at = first + e;
          const auto in = at < columns, is_above = in & (keys[e] > threshold),
                     is_equal = in & (keys[e] == threshold);
          GPU_IF(is_above | (is_equal & (next_equal < wanted))) {
            const auto place = select(is_above, next_above, larger + next_equal);
            const auto entry = (keys[e].template as<u64>() << 32) | (~at).template as<u64>();
            const auto slot = base + place.template as<u64>();
            k.tracer().build.store(found, slot.id(), entry.id());
          }
          next_above += is_above.template as<u32>();
          next_equal += is_equal.template as<u32>();
        }
        const auto all = k.block_broadcast(before + mine, kLanes - 1);
        above += all & 0xffffu;
        equal += all >> 16;
      }
    }
    k.barrier();
    sort(k, found, base, t.padded);
    for (auto i : k.range(k.tid(), most, kLanes)) {
      const auto at = base + i.template as<u64>();
      const Val<u64> entry{&k.tracer(), k.tracer().build.load(found, at.id())};
      const auto index = ~entry.template as<u32>();
      indices[row * i_stride + i.template as<u64>()] = index;
      if (t.values) values.set(row * v_stride + i.template as<u64>(), x[from + index.template as<u64>()]);
    }
    k.barrier();
  });
}

}  // namespace

Status top_k(const Place& place, const Tensor& x, const std::optional<Tensor>& values,
             const Tensor& indices) {
  if (Status s = needs_type(x, {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i32, Dtype::u32}); !s) return s;
  if (Status s = needs_type(indices, {Dtype::u32}); !s) return s;
  auto shape = x.shape;
  shape[std::size_t(x.rank) - 1] = indices.last();
  const std::span wanted = std::span(shape).first(std::size_t(x.rank));
  if (Status s = needs_shape(indices, wanted, "x's shape with k as its last dimension"); !s) return s;
  if (values) {
    if (Status s = needs_type(*values, {x.type}); !s) return s;
    if (Status s = needs_shape(*values, wanted, "as indices"); !s) return s;
  }
  const std::uint64_t most = indices.last();
  if (most > kMost || most > x.last())
    return error(Code::invalid_arg, "{}: k = {}: at most {}, and {}, the length of x's rows",
                 describe(indices), most, kMost, x.last());
  const auto from = rows_of(x), to = rows_of(indices), and_to = rows_of(values.value_or(indices));
  if (!from) return from.error();
  if (!to) return to.error();
  if (!and_to) return and_to.error();
  if (indices.count() == 0) return {};

  const Traits t{x.type, values.has_value(), std::bit_ceil(std::max<u32>(u32(most), 2))};
  const bool near = t.padded <= kShared || place.kernels.native();
  gpu::Grid grid = place.grid(from->rows, 4 * x.count() * bits_of(x.type) / 8);  // read, and looked through
  const u32 groups = grid.groups[0] = std::min<u32>(grid.groups[0], near ? kGroupsMax : 1024);
  gpu::Argument scratch = argument(indices);
  if (!near) {
    const auto memory = place.scratch(std::uint64_t(groups) * t.padded * 8);
    if (!memory) return memory.error();
    scratch = {*memory, std::uint64_t(groups) * t.padded};
  }
  const auto trace = [&](Ctx k) {
    if (t.type == Dtype::i32) body<i32>(k, t);
    else if (t.type == Dtype::u32) body<u32>(k, t);
    else body<f32>(k, t);
  };
  const auto kernel =
      place.kernels.get({Operation::top_k, {x.type}, {t.values, t.padded}}, "top_k", {kLanes, 1, 1}, trace,
                        [&] { return native_top_k(t.type, t.values); });
  if (!kernel) return kernel.error();
  const std::array arguments{argument(x),
                             argument(values ? *values : x),
                             argument(indices),
                             scratch,
                             argument(from->rows),
                             argument(from->stride),
                             argument(and_to->stride),
                             argument(to->stride),
                             argument(from->columns),
                             argument(u32(most))};
  return place.plan.launch(*kernel, grid, arguments);
}

}  // namespace gpuio::ops
