// Softmax and norms: a workgroup a row, read twice or three times, the later times from the cache.

#include <cmath>

#include "ops/norm.hpp"
#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;
using F = std::vector<Val<f32>>;

// What a body is traced for.
struct Traits : NormTypes {
  Lanes by;
};

// Parameters of all bodies here, in the order of arguments().
struct Parameters {
  Elements<f32> x, y;
  Val<u64> rows;
  Val<u32> columns;
  Val<u64> x_stride, y_stride;
  Parameters(Ctx k, const Traits& t)
      : x(Elements<f32>::in(k, t.x)),
        y(Elements<f32>::out(k, t.y)),
        rows(scalar<u64>(k)),
        columns(scalar<u32>(k)),
        x_stride(scalar<u64>(k)),
        y_stride(scalar<u64>(k)) {}
};

// f(neighbours) for each width of neighbouring elements of this lane's part of a row.
template <class Use>
void for_elements(Ctx k, const Parameters& p, const Traits& t, const Val<u64>& row, const Use& use) {
  const auto from = row * p.x_stride;
  for_columns(k, p.columns, t.by, [&](const Val<u64>& j) { use(j, p.x.load(from + j, t.by.width)); });
}
template <class Map>
void write(Ctx k, const Parameters& p, const Traits& t, const Val<u64>& row, const Map& map) {
  const auto to = row * p.y_stride;
  for_elements(k, p, t, row, [&](const Val<u64>& j, const F& v) {
    F out;
    for (u32 e = 0; e < t.by.width; ++e) out.push_back(map(e ? j + e : j, v[e]));
    p.y.store(to + j, out);
  });
}
F each(const F& v, const auto& f) {
  F out;
  for (const auto& e : v) out.push_back(f(e));
  return out;
}

void softmax_body(Ctx k, const Traits& t) {
  const Parameters p(k, t);
  for_rows(k, p.rows, [&](const Val<u64>& row) {
    auto top = k.var(-std::numeric_limits<f32>::infinity());
    for_elements(k, p, t, row, [&](const Val<u64>&, const F& v) {
      // A NaN passes through no max: it is met by the sum.
      for (const auto& e : v) top = max(top, e);
    });
    const auto most = k.block_reduce_max(top);
    Sum sum(k);
    for_elements(k, p, t, row, [&](const Val<u64>&, const F& v) {
      sum.add(each(v, [&](const auto& e) { return exp(e - most); }));
    });
    const auto scale = 1.0f / k.block_reduce_add(sum.get());
    write(k, p, t, row, [&](const Val<u64>&, const Val<f32>& v) { return exp(v - most) * scale; });
  });
}

void layer_norm_body(Ctx k, const Traits& t) {
  const Parameters p(k, t);
  const auto epsilon = scalar<f32>(k);
  const auto gain = Elements<f32>::in(k, t.gain.value_or(Dtype::f32)),
             bias = Elements<f32>::in(k, t.bias.value_or(Dtype::f32));
  const auto count = p.columns.as<f32>();
  for_rows(k, p.rows, [&](const Val<u64>& row) {
    Sum sum(k);
    for_elements(k, p, t, row, [&](const Val<u64>&, const F& v) { sum.add(v); });
    const auto mean = k.block_reduce_add(sum.get()) / count;
    // The mean is a rounded one: what it is off by is the mean of the differences from it.
    Sum off(k), squares(k);
    for_elements(k, p, t, row, [&](const Val<u64>&, const F& v) {
      const F d = each(v, [&](const auto& e) { return e - mean; });
      off.add(d);
      squares.add(each(d, [](const auto& e) { return e * e; }));
    });
    const auto shift = k.block_reduce_add(off.get()) / count;
    const auto variance = k.block_reduce_add(squares.get()) / count - shift * shift;
    const auto scale = rsqrt(max(variance, 0.0f * variance) + epsilon);
    write(k, p, t, row, [&](const Val<u64>& j, const Val<f32>& v) {
      const auto normal = ((v - mean) - shift) * scale;
      const auto scaled = t.gain ? normal * gain[j] : normal;
      return t.bias ? scaled + bias[j] : scaled;
    });
  });
}

void rms_norm_body(Ctx k, const Traits& t) {
  const Parameters p(k, t);
  const auto epsilon = scalar<f32>(k);
  const auto gain = Elements<f32>::in(k, t.gain.value_or(Dtype::f32));
  const auto count = p.columns.as<f32>();
  for_rows(k, p.rows, [&](const Val<u64>& row) {
    Sum squares(k);
    for_elements(k, p, t, row, [&](const Val<u64>&, const F& v) {
      squares.add(each(v, [](const auto& e) { return e * e; }));
    });
    const auto scale = rsqrt(k.block_reduce_add(squares.get()) / count + epsilon);
    write(k, p, t, row, [&](const Val<u64>& j, const Val<f32>& v) {
      const auto normal = v * scale;
      return t.gain ? normal * gain[j] : normal;
    });
  });
}

Status along_the_row(const std::optional<Tensor>& t, const Tensor& x) {
  if (!t) return {};
  if (t->type != Dtype::f32 && t->type != x.type)
    return error(Code::unsupported, "{}: f32 and the type of {} are built", describe(*t), describe(x));
  const std::uint64_t columns = x.last();
  return needs_shape(*t, {&columns, 1}, "the length of x's rows");
}
Status needs_epsilon(float epsilon) {
  if (epsilon >= 0 && std::isfinite(epsilon)) return {};
  return error(Code::invalid_arg, "epsilon = {}: give 0 or a small positive number", epsilon);
}

// Body and arguments: those of all bodies, and `more`.
template <std::size_t N>
Status launch(const Place& place, Operation operation, std::string_view name,
              void (*body)(Ctx, const Traits&), gpu::Native (*native)(const NormTypes&), const Tensor& x,
              const Tensor& y, const std::optional<Tensor>& gain, const std::optional<Tensor>& bias,
              const std::array<gpu::Argument, N>& more) {
  const auto from = rows_of(x), to = rows_of(y);
  if (!from) return from.error();
  if (!to) return to.error();
  if (x.count() == 0) return {};
  Traits t{{.x = x.type, .y = y.type}, lanes_for(from->columns, width_of({&x, &y}))};
  if (gain) t.gain = gain->type;
  if (bias) t.bias = bias->type;
  const auto kernel = place.kernels.get(
      {operation,
       {x.type, y.type, t.gain.value_or(Dtype::f32), t.bias.value_or(Dtype::f32)},
       {t.by.lanes, t.by.width, gain.has_value(), bias.has_value()}},
      name, {t.by.lanes, 1, 1}, [&](Ctx k) { body(k, t); }, [&] { return native(t); });
  if (!kernel) return kernel.error();
  std::array<gpu::Argument, 6 + N> arguments{
      argument(x),         argument(y), argument(from->rows), argument(from->columns), argument(from->stride),
      argument(to->stride)};
  std::ranges::copy(more, arguments.begin() + 6);
  const std::uint64_t bytes = x.count() * (bits_of(x.type) + bits_of(y.type)) / 8;
  return place.plan.launch(*kernel, place.grid(from->rows, bytes), arguments);
}
// A parameter that the body does not look at still has to be one.
gpu::Argument argument_or(const std::optional<Tensor>& t, const Tensor& other) {
  return argument(t ? *t : other);
}

}  // namespace

Status softmax(const Place& place, const Tensor& x, const Tensor& y) {
  if (Status s = floats_by_rows(x, y); !s) return s;
  return launch<0>(place, Operation::softmax, "softmax", softmax_body, native_softmax, x, y, {}, {}, {});
}

Status layer_norm(const Place& place, const Tensor& x, const std::optional<Tensor>& gain,
                  const std::optional<Tensor>& bias, float epsilon, const Tensor& y) {
  if (Status s = floats_by_rows(x, y); !s) return s;
  if (Status s = along_the_row(gain, x); !s) return s;
  if (Status s = along_the_row(bias, x); !s) return s;
  if (Status s = needs_epsilon(epsilon); !s) return s;
  return launch<3>(place, Operation::layer_norm, "layer_norm", layer_norm_body, native_layer_norm, x, y, gain,
                   bias, {argument(epsilon), argument_or(gain, x), argument_or(bias, x)});
}

Status rms_norm(const Place& place, const Tensor& x, const std::optional<Tensor>& gain, float epsilon,
                const Tensor& y) {
  if (Status s = floats_by_rows(x, y); !s) return s;
  if (Status s = along_the_row(gain, x); !s) return s;
  if (Status s = needs_epsilon(epsilon); !s) return s;
  return launch<2>(place, Operation::rms_norm, "rms_norm", rms_norm_body, native_rms_norm, x, y, gain, {},
                   {argument(epsilon), argument_or(gain, x)});
}

}  // namespace gpuio::ops
