#include "ops/rows.hpp"

namespace gpuio::ops {

Result<Rows> rows_of(const Tensor& t) {
  Rows out{.rows = t.rows(), .columns = std::uint32_t(t.last()), .stride = t.last()};
  // From the inside: each dimension has to begin where those inside it end.
  std::uint64_t next = 0;
  for (std::size_t i = std::size_t(t.rank) - 1; i-- > 0;) {
    if (t.shape[i] <= 1) continue;
    if (next == 0) out.stride = t.stride[i];
    else if (t.stride[i] != next)
      return fail(Code::invalid_arg,
                  "{}: stride[{}] = {}: its rows are not evenly spaced ({} would be); give it in parts",
                  describe(t), i, t.stride[i], next);
    next = t.stride[i] * t.shape[i];
  }
  return out;
}

Status floats_by_rows(const Tensor& x, const Tensor& y) {
  if (Status s = needs_type(x, {Dtype::f32, Dtype::f16, Dtype::bf16}); !s) return s;
  if (y.type != Dtype::f32 && y.type != x.type)
    return error(Code::unsupported, "{}: f32 and the type of {} are built", describe(y), describe(x));
  return needs_shape(y, x.sizes(), "as x");
}

Lanes lanes_for(std::uint32_t columns, std::uint32_t width) {
  return {.lanes = columns / width <= 128 ? 32u : 256u, .width = width};
}

void Sum::add(const std::vector<kernel::Val<kernel::f32>>& terms) {
  std::vector<kernel::Val<kernel::f32>> level = terms;
  while (level.size() > 1) {
    std::vector<kernel::Val<kernel::f32>> next;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2) next.push_back(level[i] + level[i + 1]);
    level.swap(next);
  }
  const kernel::Val<kernel::f32> before = sum_.get(), term = level.front() - lost_, after = before + term;
  // What was lost of an infinity would be a NaN.
  lost_ = select(abs(after) < std::numeric_limits<float>::infinity(), (after - before) - term,
                 kernel::Val<kernel::f32>(before - before));
  sum_ = after;
}

}  // namespace gpuio::ops
