// What a tensor map means where kernels are interpreted: which part of each row of a box is in the matrix.
// Pure functions; constexpr.
#pragma once

#include <string_view>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

// The numbers that a launch gives a TensorMap, in elements.
struct MappedMatrix {
  u64 rows = 0, columns = 0, step = 0;

  // What is wrong with them, for elements of `size` bytes in a buffer of `length`; empty: nothing.
  constexpr std::string_view wrong(u32 size, u64 length) const {
    constexpr u64 most = 0xffffffff;
    if (rows == 0 || columns == 0 || rows > most || columns > most)
      return "tensor map of a matrix that has not 1 to 2^32 - 1 rows and columns";
    if (step < columns || step >= (u64{1} << 40) / size || step * size % 16 != 0)
      return "tensor map whose rows are not a multiple of 16 bytes apart, at least a row and below 2^40 "
             "bytes";
    if (columns > length || (rows - 1) > (length - columns) / step)
      return "tensor map of a matrix that is longer than its buffer";
    return {};
  }
};

// A box that begins at (row, column) of the matrix, either of which may be negative.
struct MatrixBox {
  const TensorMap& map;
  u32 size;  // bytes of an element
  i32 row, column;

  // Of row r of the box: `count` elements from `from` on in the buffer, `to` elements behind the row's begin.
  struct Part {
    u64 from = 0;
    u32 to = 0, count = 0;
  };
  constexpr Part part(const MappedMatrix& m, u32 r) const {
    const i64 y = i64{row} + r, left = column, right = left + (16 << map.box_width) / size;
    const i64 begin = left < 0 ? 0 : left, end = right < i64(m.columns) ? right : i64(m.columns);
    if (y < 0 || y >= i64(m.rows) || begin >= end) return {};
    return {u64(y) * m.step + u64(begin), u32(begin - left), u32(end - begin)};
  }
};

}  // namespace gpuio::kernel
