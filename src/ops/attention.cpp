#include "ops/attention.hpp"

#include <bit>
#include <cmath>

#include "ops/elements.hpp"

namespace gpuio::ops {
namespace {

constexpr std::uint32_t kDepthMax = 256, kPartsMost = 64;

Status check_tensors(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out) {
  for (const Tensor* t : {&q, &k, &v, &out}) {
    if (Status s = needs_rank(*t, 4, 4); !s) return s;
    if (Status s = needs_type(*t, {Dtype::f32, Dtype::f16, Dtype::bf16}); !s) return s;
    if (t->type != q.type)
      return error(Code::unsupported, "{} and {}: built are four of one type", describe(q), describe(*t));
  }
  if (q.last() == 0 || q.last() > kDepthMax)
    return error(Code::unsupported, "{}: heads of {} elements; built are 1 to {}", describe(q), q.last(),
                 kDepthMax);
  if (Status s = needs_shape(out, q.sizes(), "as q"); !s) return s;
  if (k.shape[0] != q.shape[0] || k.shape[3] != q.shape[3])
    return error(Code::invalid_arg, "{}: its first and last dimension are to be those of {}", describe(k),
                 describe(q));
  if (k.shape[1] == 0 || q.shape[1] % k.shape[1])
    return error(Code::invalid_arg, "{}: {} heads; the {} of {} are to be a multiple of them", describe(k),
                 k.shape[1], q.shape[1], describe(q));
  return needs_shape(v, k.sizes(), "as k");
}

Status check_options(const Tensor& q, const Tensor& k, const AttentionOptions& o) {
  if (!std::isfinite(o.scale))
    return error(Code::invalid_arg, "scale = {}: give a finite one, or 0", o.scale);
  const auto beside = [](const Tensor& t, Dtype type, std::span<const std::uint64_t> shape,
                         std::string_view what) -> Status {
    if (Status s = needs_type(t, {type}); !s) return s;
    if (Status s = needs_shape(t, shape, what); !s) return s;
    return needs_dense(t);
  };
  if (o.lengths)
    if (Status s = beside(*o.lengths, Dtype::u32, std::array{q.shape[0]}, "one for each sequence"); !s)
      return s;
  if (o.indices) {
    if (Status s = needs_rank(*o.indices, 4, 4); !s) return s;
    const std::array shape{q.shape[0], k.shape[1], q.shape[2], o.indices->last()};
    if (Status s = beside(*o.indices, Dtype::u32, shape, "batch x heads of k x queries x any number"); !s)
      return s;
  }
  if (!o.log_sum) return {};
  return beside(*o.log_sum, Dtype::f32, std::array{q.shape[0], q.shape[1], q.shape[2]},
                "batch x heads x queries");
}

// A tensor that is not given: never read.
gpu::Argument or_none(const std::optional<Tensor>& t) { return t ? argument(*t) : gpu::Argument{}; }

}  // namespace

AttentionSpec attention_spec(std::uint32_t d, std::uint64_t rows) {
  AttentionSpec s{};
  s.depth = std::bit_ceil(std::max(d, 32u));
  if (rows > 8) {
    s.lane_rows = s.depth == kDepthMax ? 8 : 16, s.own = 2, s.lane_keys = 8;
    s.keys = std::min(2048 / s.depth, 32u);
    return s;
  }
  s.lane_rows = std::uint32_t(std::bit_ceil(std::max<std::uint64_t>(rows, 1))), s.own = 1;
  s.keys = std::min(4096 / s.depth, 64u);
  s.lane_keys = std::min({64 / s.lane_rows, s.keys, s.depth});
  return s;
}

AttentionSpec units_attention_spec(std::uint32_t d) {
  AttentionSpec s{};
  s.units = d, s.depth = std::bit_ceil(std::max(d, 32u));
  s.own = 2, s.lane_keys = 4;
  s.lane_rows = s.depth == kDepthMax ? 16 : 32;              // 8 for each subgroup
  s.keys = s.depth == kDepthMax || s.depth == 64 ? 16 : 32;  // of 64 with more keys ptxas spills
  return s;
}

bool units_can(const gpu::DeviceInfo& device, const Tensor& q, const Tensor& k, const Tensor& v,
               const AttentionOptions& o) {
  if (device.backend != gpu::Backend::cuda || device.major < 8) return false;
  if ((q.type != Dtype::f16 && q.type != Dtype::bf16) || o.indices || q.last() % 16) return false;
  if (q.shape[1] / k.shape[1] * q.shape[2] <= 8) return false;
  for (const Tensor* t : {&q, &k, &v}) {
    if (t->address % 16) return false;
    for (std::size_t i = 0; i < 3; ++i)
      if (t->stride[i] % 8) return false;
  }
  return true;
}

Status attention(const Place& place, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                 const AttentionOptions& o) {
  if (Status s = check_tensors(q, k, v, out); !s) return s;
  if (Status s = check_options(q, k, o); !s) return s;
  if (q.count() == 0) return {};
  return attention_by(place, units_can(place.device().info(), q, k, v, o), q, k, v, out, o);
}

Status attention_by(const Place& place, bool units, const Tensor& q, const Tensor& k, const Tensor& v,
                    const Tensor& out, const AttentionOptions& o) {
  const auto batch = std::uint32_t(q.shape[0]), heads = std::uint32_t(q.shape[1]),
             tq = std::uint32_t(q.shape[2]);
  const auto d = std::uint32_t(q.shape[3]), shared_heads = std::uint32_t(k.shape[1]),
             tk = std::uint32_t(k.shape[2]);
  const std::uint32_t group = heads / shared_heads;
  const bool sparse = o.indices.has_value();
  const std::uint64_t rows = sparse ? group : std::uint64_t{group} * tq;
  const std::uint32_t picks = sparse ? std::uint32_t(o.indices->last()) : 0;
  AttentionSpec spec = units ? units_attention_spec(d) : attention_spec(d, rows);
  if (sparse && rows > spec.rows())
    return error(Code::unsupported, "{}: {} heads of q for one of k; with indices built are up to {}",
                 describe(q), group, spec.rows());
  if (rows > ~std::uint32_t{0} / 2)
    return error(Code::unsupported, "{}: {} queries share a head of k; at most {}", describe(q), rows,
                 ~std::uint32_t{0} / 2);
  spec.type = q.type, spec.causal = o.causal, spec.lengths = o.lengths.has_value(), spec.sparse = sparse;
  spec.log_sum = o.log_sum.has_value();
  spec.width = width_of({&q, &k, &v});
  // Tiles as those who go over them need them.
  AttentionSpec tile = spec;
  const bool native = place.kernels.native() && !units;
  if (native) {
    const std::uint64_t beside = std::uint64_t{shared_heads} * batch * (sparse ? tq : 1);
    const std::uint64_t wanted =
        (4 * std::uint64_t{place.device().info().compute_units} + beside - 1) / beside;
    tile = native_attention_spec(d, rows, wanted);
  }
  const std::uint64_t blocks = sparse ? tq : (rows + tile.rows() - 1) / tile.rows();
  const std::uint64_t tiles = blocks * shared_heads * batch;
  // Four tiles for each unit of the device, of 4 times the keys that a tile takes at once, at the least.
  const std::uint32_t all = sparse ? picks : tk, least = 4 * tile.keys;
  const std::uint64_t wanted =
      (4 * std::uint64_t{std::max(place.device().info().compute_units, 1u)} + tiles - 1) / tiles;
  std::uint64_t parts =
      std::clamp<std::uint64_t>(std::min<std::uint64_t>(wanted, all / least), 1, kPartsMost);
  const std::uint64_t chunk =
      std::max<std::uint64_t>(((all + parts - 1) / parts + tile.keys - 1) / tile.keys * tile.keys, 1);
  parts = std::max<std::uint64_t>((all + chunk - 1) / chunk, 1);
  spec.parts = parts > 1;
  if (tiles * parts > ~std::uint32_t{0})
    return error(Code::unsupported, "{}: {} tiles of attention; at most {}: give it in parts", describe(q),
                 tiles * parts, ~std::uint32_t{0});
  const std::uint64_t out_rows = std::uint64_t{batch} * heads * tq;
  gpu::Argument scratch{};
  if (spec.parts) {
    const std::uint64_t floats = out_rows * parts * (d + kPartHead);
    const auto address = place.scratch(floats * 4);
    if (!address) return address.error();
    scratch = {*address, floats};
  }
  const std::uint32_t flags = std::uint32_t(o.causal) | std::uint32_t(spec.lengths) << 1 |
                              std::uint32_t(sparse) << 2 | std::uint32_t(spec.log_sum) << 3 |
                              std::uint32_t(spec.parts) << 4;
  const auto kernel = place.kernels.get(
      {Operation::attention,
       {q.type},
       {spec.depth, spec.lane_rows, flags, spec.width, native ? tile.rows() : 0, spec.units}},
      "attention", {spec.lanes(), 1, 1}, [&spec](kernel::Ctx ctx) { trace_attention(ctx, spec); },
      [&] {
        if (!native) return gpu::Native{};
        AttentionSpec tiled = spec;
        tiled.lane_rows = tile.rows(), tiled.own = 1;
        return native_attention(tiled);
      });
  if (!kernel) return kernel.error();
  const float scale = o.scale == 0 ? 1 / std::sqrt(float(d)) : o.scale;
  const auto strides = [](const Tensor& t, std::size_t i) { return argument(t.stride[i]); };
  const std::array arguments{argument(q),
                             argument(k),
                             argument(v),
                             argument(out),
                             or_none(o.lengths),
                             or_none(o.indices),
                             or_none(o.log_sum),
                             scratch,
                             argument(tq),
                             argument(tk),
                             argument(d),
                             argument(shared_heads),
                             argument(group),
                             argument(std::uint32_t(blocks)),
                             argument(std::uint32_t(parts)),
                             argument(std::uint32_t(chunk)),
                             argument(picks),
                             argument(std::uint32_t(tiles * parts)),
                             argument(scale),
                             strides(q, 0),
                             strides(q, 1),
                             strides(q, 2),
                             strides(k, 0),
                             strides(k, 1),
                             strides(k, 2),
                             strides(v, 0),
                             strides(v, 1),
                             strides(v, 2),
                             strides(out, 0),
                             strides(out, 1),
                             strides(out, 2)};
  if (Status s = place.plan.launch(*kernel, {.groups = {groups_for(tiles * parts), 1, 1}}, arguments); !s)
    return s;
  if (!spec.parts) return {};
  const auto merge = place.kernels.get(
      {Operation::merge, {q.type}, {spec.log_sum}}, "attention_merge", {kMergeLanes, 1, 1},
      [&spec](kernel::Ctx ctx) { trace_merge(ctx, spec.type, spec.log_sum); },
      [&spec] { return native_merge(spec.type, spec.log_sum); });
  if (!merge) return merge.error();
  const std::array of_merge{
      scratch,         argument(out),   or_none(o.log_sum), argument(out_rows),
      argument(heads), argument(tq),    argument(d),        argument(std::uint32_t(parts)),
      strides(out, 0), strides(out, 1), strides(out, 2)};
  return place.plan.launch(*merge, {.groups = {groups_for(out_rows), 1, 1}}, of_merge);
}

}  // namespace gpuio::ops
