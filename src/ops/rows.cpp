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

}  // namespace gpuio::ops
