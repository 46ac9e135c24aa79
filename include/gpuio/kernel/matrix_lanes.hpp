// Where the lanes of a subgroup hold the elements of matrices, and what multiplying them gives: the layout of
// PTX's mma.sync, and the definition that interpreters run.
//
// Lane 4g + t (g 0 to 7, t 0 to 3), with s bytes an element, register r and element e of its 4 / s:
//   A  16 x K   row g + 8 (r & 1), column r / 2 * 16 / s + t * 4 / s + e     r 0 to 3
//   B   K x 8   row r * 16 / s + t * 4 / s + e, column g                     r 0, 1
//   C  16 x 8   row g + 8 (r / 2), column 2t + (r & 1); one element each     r 0 to 3
//
// In panels, as warpgroups multiply them, a matrix of s-byte elements lies in columns of 16 bytes: panel p
// has elements 16 / s * p and on of each row, 16 bytes a row, the rows one after the other. B is the same
// with its columns for rows. Wide panels have rows of 32, 64 or 128 bytes, and in each 128 bytes of a panel
// the chunks of 16 are swapped: bits 4 and up of a byte's place are xored with as many from bit 7 on, one bit
// for rows of 32 bytes to three for 128. So eight rows of one column lie in different banks.
// Pure functions; constexpr.
#pragma once

#include <gpuio/kernel/semantics.hpp>
#include <gpuio/kernel/small_floats.hpp>

namespace gpuio::kernel {

struct MatrixElement {
  u32 row, column;
};
constexpr MatrixElement element_of_a(u32 size, u32 lane, u32 r, u32 e) {
  return {lane / 4 + 8 * (r & 1), r / 2 * (16 / size) + lane % 4 * (4 / size) + e};
}
constexpr MatrixElement element_of_b(u32 size, u32 lane, u32 r, u32 e) {
  return {r * (16 / size) + lane % 4 * (4 / size) + e, lane / 4};
}
constexpr MatrixElement element_of_c(u32 lane, u32 r) {
  return {lane / 4 + 8 * (r / 2), lane % 4 * 2 + (r & 1)};
}

constexpr u32 element_bytes(Matrix what) {
  switch (what) {
    case Matrix::of_f16:
    case Matrix::of_bf16: return 2;
    case Matrix::of_tf32: return 4;
    default: return 1;
  }
}

// An f32 as matrix units take it, 10 bits behind the point: to nearest, ties away from zero; NaN stays.
constexpr u32 round_to_tf32(u32 bits) {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits & ~u32{0x1fff}) | 0x400000;
  return (bits + 0x1000) & ~u32{0x1fff};
}

// The element that a matrix_load reads for (lane, r, e), counted from the one at its index.
constexpr u64 place_in_part(const Inst& load, u32 lane, u32 r, u32 e) {
  const u32 size = size_of(load.from);
  const MatrixElement at = MatrixPart(load.mode) == MatrixPart::a ? element_of_a(size, lane, r, e)
                                                                  : element_of_b(size, lane, r, e);
  return MatrixPart(load.mode) == MatrixPart::b_columns ? at.column * load.imm + at.row
                                                        : at.row * load.imm + at.column;
}

namespace detail {
constexpr f32 matrix_element(Matrix what, u32 bits) {
  switch (what) {
    case Matrix::of_f16: return f16_to_f32(u16(bits));
    case Matrix::of_bf16: return bf16_to_f32(u16(bits));
    case Matrix::of_tf32: return std::bit_cast<f32>(bits & ~u32{0x1fff});
    case Matrix::of_e4m3: return f8_to_f32(kE4m3, u8(bits));
    default: return f8_to_f32(kE5m2, u8(bits));
  }
}
// sum + x_k * y_k for k = 0, 1, ...
template <class X, class Y>
constexpr u32 add_products(Matrix what, u32 sum, u32 k_end, X x, Y y) {
  for (u32 k = 0; k < k_end; ++k) {
    if (what == Matrix::of_i8) {
      sum += u32(i32(i8(x(k))) * i32(i8(y(k))));
    } else {
      const auto bits = [&](u32 v) { return u64(std::bit_cast<u32>(matrix_element(what, v))); };
      sum = u32(eval_fma(Type::f32, bits(x(k)), bits(y(k)), sum));
    }
  }
  return sum;
}
}  // namespace detail

// In a panel with rows of 16 << width bytes: where byte `column` of a row lies.
constexpr u32 byte_in_panel(u32 width, u32 row, u32 column) {
  const u32 place = (row * 16 << width) + column;
  return place ^ (place >> 7 & ((1u << width) - 1)) << 4;
}
// In panels `panel` elements apart: where the element lies, counted from the first.
constexpr u64 place_in_panels(u32 size, u32 width, u64 panel, u32 row, u32 column) {
  const u32 each = (16u << width) / size;
  return column / each * panel + byte_in_panel(width, row, column % each * size) / size;
}
// Of an operand of a warpgroup_multiply.
constexpr u64 place_in_operand(const Inst& i, bool a, u32 row, u32 k) {
  const WarpgroupShape shape = WarpgroupShape::of(i);
  const u32 size = size_of(i.from), panel = a ? shape.panel_a : shape.panel_b;
  return place_in_panels(size, shape.width, u64{panel} * (16 / size), row, shape.step * (32 / size) + k);
}

// What a subgroup does of a warpgroup_multiply: sums (lane, r), r below columns / 2, of its 16 rows. a(row,
// k) and b(column, k) give bits of elements, sum(lane, r) a reference.
template <class A, class B, class Sum>
constexpr void multiply_panels(const Inst& i, A a, B b, Sum sum) {
  const Matrix what{i.mode};
  const u32 k_end = 32 / element_bytes(what), columns = WarpgroupShape::of(i).columns;
  std::vector<u32> of_a(16 * k_end), of_b(columns * k_end);
  for (u32 k = 0; k < k_end; ++k) {
    for (u32 row = 0; row < 16; ++row) of_a[row * k_end + k] = a(row, k);
    for (u32 column = 0; column < columns; ++column) of_b[column * k_end + k] = b(column, k);
  }
  for (u32 lane = 0; lane < kMatrixLanes; ++lane) {
    for (u32 r = 0; r < columns / 2; ++r) {
      const MatrixElement at = element_of_c(lane, r % 4);
      const u32 column = r / 4 * 8 + at.column;
      auto&& bits = sum(lane, r);
      bits = detail::add_products(
          what, u32(bits), k_end, [&](u32 k) { return of_a[at.row * k_end + k]; },
          [&](u32 k) { return of_b[column * k_end + k]; });
    }
  }
}

// C + A * B for a subgroup. a(lane, r) and b(lane, r) give registers, c(lane, r) the bits of a sum; put(lane,
// r, bits) takes the result, after everything was read.
template <class A, class B, class C, class Put>
constexpr void multiply_matrices(Matrix what, A a, B b, C c, Put put) {
  const u32 size = element_bytes(what), k_end = 32 / size, mask = size == 4 ? ~0u : (1u << 8 * size) - 1;
  // As in memory: element (row, column) of A, (column, row) of B.
  std::array<u32, 16 * 32> of_a{};
  std::array<u32, 8 * 32> of_b{};
  for (u32 lane = 0; lane < kMatrixLanes; ++lane) {
    for (u32 r = 0; r < 4; ++r) {
      const u32 bits_a = a(lane, r), bits_b = r < 2 ? b(lane, r) : 0;
      for (u32 e = 0; e < 4 / size; ++e) {
        const MatrixElement at = element_of_a(size, lane, r, e);
        of_a[at.row * k_end + at.column] = bits_a >> 8 * size * e & mask;
        if (r > 1) continue;
        const MatrixElement to = element_of_b(size, lane, r, e);
        of_b[to.column * k_end + to.row] = bits_b >> 8 * size * e & mask;
      }
    }
  }
  std::array<u32, 4 * kMatrixLanes> sums{};
  for (u32 lane = 0; lane < kMatrixLanes; ++lane) {
    for (u32 r = 0; r < 4; ++r) {
      const MatrixElement at = element_of_c(lane, r);
      sums[lane * 4 + r] = detail::add_products(
          what, u32(c(lane, r)), k_end, [&](u32 k) { return of_a[at.row * k_end + k]; },
          [&](u32 k) { return of_b[at.column * k_end + k]; });
    }
  }
  for (u32 lane = 0; lane < kMatrixLanes; ++lane)
    for (u32 r = 0; r < 4; ++r) put(lane, r, sums[lane * 4 + r]);
}

}  // namespace gpuio::kernel
