// The projections of attention: three products of one x as parts of one launch.

#include "ops/matmul.hpp"

namespace gpuio::ops {

Status qkv(const Place& place, const Tensor& x, const std::array<Tensor, 3>& weights,
           const std::array<Tensor, 3>& outputs, const QkvOptions& o) {
  if (Status s = needs_rank(x, 2, 2); !s) return s;
  std::optional<Product> all;
  for (std::size_t i = 0; i < 3; ++i) {
    const Tensor &w = weights[i], &y = outputs[i];
    if (w.type != weights[0].type || y.type != outputs[0].type)
      return error(Code::unsupported, "{} and {}: built are three of one type",
                   describe(w.type != weights[0].type ? weights[0] : outputs[0]),
                   describe(w.type != weights[0].type ? w : y));
    if (o.scales[i].has_value() != o.scales[0].has_value())
      return error(Code::invalid_arg, "{} has {} scales and {} has {}: give all three or none",
                   describe(weights[0]), o.scales[0] ? "its" : "no", describe(w), o.scales[i] ? "its" : "no");
    const auto one =
        product_of(x, w, y, {.b_transposed = true, .scale_a = o.scale_x, .scale_b = o.scales[i]});
    if (!one) return one.error();
    if (one->empty()) continue;
    if (!all) all = *one;
    else all->part[all->parts++] = one->part[0];
  }
  if (!all) return {};
  return launch(place, *all, way_for(place, *all));
}

}  // namespace gpuio::ops
