// What the traced products share: their parameters, the walk over tiles of c, and what becomes of a sum.
//
// A body derives from it. As the handles of kernel.hpp: lives as long as the trace; one thread.
#pragma once

#include "ops/matmul.hpp"

namespace gpuio::ops {

constexpr kernel::Type storage_of(Dtype type) {
  switch (type) {
    case Dtype::f32: return kernel::Type::f32;
    case Dtype::f16: return kernel::Type::f16;
    case Dtype::bf16: return kernel::Type::bf16;
    case Dtype::i32: return kernel::Type::i32;
    case Dtype::i8: return kernel::Type::i8;
    default: return kernel::Type::u8;  // floats of 8 bits; i4 by pairs
  }
}
// What the matrix units call a type; of f32 they take ten bits behind the point.
constexpr kernel::Matrix matrix_of(Dtype type) {
  switch (type) {
    case Dtype::f32: return kernel::Matrix::of_tf32;
    case Dtype::f16: return kernel::Matrix::of_f16;
    case Dtype::bf16: return kernel::Matrix::of_bf16;
    case Dtype::i8: return kernel::Matrix::of_i8;
    case Dtype::f8e4m3: return kernel::Matrix::of_e4m3;
    default: return kernel::Matrix::of_e5m2;
  }
}
constexpr kernel::u32 log2_of(kernel::u32 power) { return kernel::u32(std::countr_zero(power)); }

class MatmulBody {
 protected:
  using u32 = kernel::u32;
  using u64 = kernel::u64;
  template <class T>
  using Val = kernel::Val<T>;

  // Types of the parameters that hold a and b.
  MatmulBody(kernel::Ctx k, const MatmulSpec& spec, kernel::Type of_a, kernel::Type of_b);

  struct Tile {
    Val<u64> nth;          // product
    Val<u32> row, column;  // with which it begins; the column in its part
    Val<u32> m, n, depth;  // of the part
  };
  // f(tile) for those of the workgroup, while tracing.
  template <class F>
  void each_tile(F&& f) {
    const auto m = scalar<u32>(kM);
    const auto down = tiles(m, w_.rows);
    std::array<u32, kPartsMax> end{};  // of each part, in tiles from the left
    for (u32 i = 0; i < p_.parts; ++i) {
      const auto own = tiles(scalar<u32>(kN + i), w_.columns);
      end[i] = i == 0 ? own.id() : (value<u32>(end[i - 1]) + own).id();
    }
    const auto across = value<u32>(end[p_.parts - 1]);
    const auto all = down * across, total = all * scalar<u32>(kBatch);
    for (auto tile : k_.range(k_.cta(), total, k_.nctas())) {
      const Val<u32> product = tile / all, rest = tile % all;
      const Val<u32> panel = across * kPanel, top = rest / panel * kPanel, in_panel = rest % panel;
      const Val<u32> high = min(down - top, kPanel);
      const Val<u32> row = (top + in_panel % high) * w_.rows, column_tile = in_panel / high;
      u32 left = k_.val(0u).id();
      for (u32 i = 0; i + 1 < p_.parts; ++i) {
        past_[i] = (column_tile >= value<u32>(end[i])).id();
        left = b_.select(past_[i], end[i], left);
      }
      const Val<u32> column = (column_tile - value<u32>(left)) * w_.columns;
      f(Tile{product.as<u64>(), row, column, m, of_part<u32>(kN), scalar<u32>(kK)});
    }
  }

  template <class T>
  Val<T> value(u32 id) const {
    return {&t_, id};
  }
  template <class T>
  Val<T> scalar(u32 slot) const {
    return {&t_, b_.argument(slot)};
  }
  // A part's, of three scalars.
  template <class T>
  Val<T> of_part(u32 slot) const {
    u32 id = scalar<T>(slot).id();
    for (u32 i = 1; i < p_.parts; ++i) id = b_.select(past_[i - 1], scalar<T>(slot + i).id(), id);
    return value<T>(id);
  }
  // The scale of i4 of that row of b, for the group of k: f32.
  u32 scale_of(const Val<u32>& row, const Val<u32>& k, const Val<u32>& depth, const Val<bool>& there) const;

  // A column of c in the tile, and what its sums are scaled by and have added.
  struct Column {
    Val<u32> at;
    u32 scale, bias;
  };
  Column column_at(const Tile& tile, const Val<u32>& at) const;
  // Of a row of c: where it begins, and its scale.
  struct Row {
    Val<u64> to;
    u32 scale;
  };
  Row row_at(const Tile& tile, const Val<u32>& at) const;
  // A sum as c holds it.
  u32 finished(u32 sum, const Row& row, const Column& column) const;

  kernel::Ctx k_;
  kernel::Tracer& t_;
  kernel::Builder& b_;
  const Product& p_;
  const Way& w_;
  const MatmulSpec& spec_;
  const kernel::Type sum_;

 private:
  static constexpr u32 kPanel =
      8;  // tiles one below the other that follow each other: they share b in a cache

  Val<u32> tiles(const Val<u32>& n, u32 size) const {  // n + size - 1 may not fit
    return n / size + select(n % size == 0u, k_.val(0u), k_.val(1u));
  }
  bool scales_columns() const { return p_.scaled_b && p_.b != Dtype::i4; }

  std::array<u32, kPartsMax> past_{};  // whether the tile is right of a part's end
};

}  // namespace gpuio::ops
