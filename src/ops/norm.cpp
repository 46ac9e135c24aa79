// Softmax and norms: a workgroup a row, read twice or three times, the later times from the cache.

#include "ops/ops.hpp"
#include "ops/rows.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

Status floats_by_rows(const Tensor& x, const Tensor& y) {
  if (Status s = needs_type(x, {Dtype::f32, Dtype::f16, Dtype::bf16}); !s) return s;
  if (y.type != Dtype::f32 && y.type != x.type)
    return error(Code::unsupported, "{}: f32 and the type of {} are built", describe(y), describe(x));
  return needs_shape(y, x.sizes(), "as x");
}

// f with the types of kernels that those of x and y mean.
template <class F>
Status with_types(const Tensor& x, const Tensor& y, const F& f) {
  return with_type<f32, f16, bf16>(x.type, [&]<class X>(std::type_identity<X> of_x) -> Status {
    if (y.type == Dtype::f32) return f(of_x, std::type_identity<f32>());
    return f(of_x, of_x);
  });
}

template <class X, class Y>
constexpr auto kSoftmax = [](Ctx k, In<X> x, Out<Y> y, Val<u64> rows, Val<u32> columns, Val<u64> x_stride,
                             Val<u64> y_stride) {
  for_rows(k, rows, [&](const auto& row) {
    auto from = row * x_stride;
    auto to = row * y_stride;
    auto top = k.var(-std::numeric_limits<f32>::infinity());
    for_columns(k, columns, [&](const auto& j) {
      // A NaN passes through no max: it is met by the sum.
      top = max(top, x[from + j.template as<u64>()].template as<f32>());
    });
    auto most = k.block_reduce_max(top);
    auto sum = k.var(0.0f);
    for_columns(k, columns,
                [&](const auto& j) { sum += exp(x[from + j.template as<u64>()].template as<f32>() - most); });
    auto scale = 1.0f / k.block_reduce_add(sum);
    for_columns(k, columns, [&](const auto& j) {
      y[to + j.template as<u64>()] =
          (exp(x[from + j.template as<u64>()].template as<f32>() - most) * scale).template as<Y>();
    });
  });
};

}  // namespace

Status softmax(const Place& place, const Tensor& x, const Tensor& y) {
  if (Status s = floats_by_rows(x, y); !s) return s;
  const auto from = rows_of(x), to = rows_of(y);
  if (!from) return from.error();
  if (!to) return to.error();
  if (x.count() == 0) return {};
  return with_types(x, y, [&]<class X, class Y>(std::type_identity<X>, std::type_identity<Y>) -> Status {
    const auto kernel = place.kernels.get({Operation::softmax, {x.type, y.type}}, "softmax",
                                          {kRowLanes, 1, 1}, kSoftmax<X, Y>);
    if (!kernel) return kernel.error();
    const std::array arguments{argument(x),
                               argument(y),
                               argument(from->rows),
                               argument(from->columns),
                               argument(from->stride),
                               argument(to->stride)};
    return place.plan.launch(*kernel, {.groups = {groups_for(from->rows), 1, 1}}, arguments);
  });
}

}  // namespace gpuio::ops
