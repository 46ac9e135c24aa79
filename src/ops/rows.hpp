// Tensors seen as rows of columns: what all operations along the last dimension share.
//
// A workgroup takes a row, and the next one a grid further on; its lanes take every 256th column. Pure; any
// thread.
#pragma once

#include "ops/kernels.hpp"

namespace gpuio::ops {

struct Rows {
  std::uint64_t rows = 0;
  std::uint32_t columns = 0;
  std::uint64_t stride = 0;  // elements from one row to the next
};
// INVALID_ARG where the rows are not evenly spaced.
Result<Rows> rows_of(const Tensor& t);

inline constexpr std::uint32_t kRowLanes = 256;

// For bodies: f(row) for each row of this workgroup, f with barriers and all.
template <class F>
constexpr void for_rows(kernel::Ctx k, const kernel::Val<kernel::u64>& rows, const F& f) {
  for (auto row : k.range(k.cta().as<kernel::u64>(), rows, k.nctas().as<kernel::u64>())) f(row);
}
// f(column) for each of this lane.
template <class F>
constexpr void for_columns(kernel::Ctx k, const kernel::Val<kernel::u32>& columns, const F& f) {
  for (auto column : k.range(k.tid(), columns, kRowLanes)) f(column);
}

}  // namespace gpuio::ops
