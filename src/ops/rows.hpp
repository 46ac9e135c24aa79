// Tensors seen as rows of columns: what all operations along the last dimension share.
//
// A workgroup takes a row, and the next one a grid further on; its lanes take neighbouring columns, `width`
// each at a time. Pure; any thread.
#pragma once

#include "ops/elements.hpp"

namespace gpuio::ops {

struct Rows {
  std::uint64_t rows = 0;
  std::uint32_t columns = 0;
  std::uint64_t stride = 0;  // elements from one row to the next
};
// INVALID_ARG where the rows are not evenly spaced.
Result<Rows> rows_of(const Tensor& t);

// x and y of one shape: floats in x; in y its type, or f32.
Status floats_by_rows(const Tensor& x, const Tensor& y);

// How the lanes of a workgroup share a row.
struct Lanes {
  std::uint32_t lanes = 256, width = 1;
};
// Short rows get fewer lanes: a barrier costs by the lane.
Lanes lanes_for(std::uint32_t columns, std::uint32_t width);

// For bodies: f(row) for each row of this workgroup, f with barriers and all.
template <class F>
void for_rows(kernel::Ctx k, const kernel::Val<kernel::u64>& rows, const F& f) {
  for (auto row : k.range(k.cta().as<kernel::u64>(), rows, k.nctas().as<kernel::u64>())) f(row);
}
// f(column) for the first of each `width` of this lane.
template <class F>
void for_columns(kernel::Ctx k, const kernel::Val<kernel::u32>& columns, Lanes by, const F& f) {
  for (auto column : k.range(k.tid() * by.width, columns, by.lanes * by.width))
    f(column.template as<kernel::u64>());
}

// A sum whose error does not grow with the number of terms: two roundings, and one a doubling of what add()
// takes at once (Kahan). An infinity or a NaN makes it one.
class Sum {
 public:
  explicit Sum(kernel::Ctx k) : sum_(k.var(0.0f)), lost_(k.var(0.0f)) {}
  void add(const std::vector<kernel::Val<kernel::f32>>& terms);
  kernel::Val<kernel::f32> get() const { return sum_.get(); }

 private:
  kernel::Var<kernel::f32> sum_, lost_;
};

}  // namespace gpuio::ops
