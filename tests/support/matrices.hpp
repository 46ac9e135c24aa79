// A product that goes through the matrix units, for every type and layout of B: c = a * b, 32 x 2K by 2K
// x 16.
#pragma once

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/random_program.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;

inline constexpr u32 kProductRows = 32, kProductColumns = 16;
template <class T>
inline constexpr u32 kProductDepth = 2 * kMatrixDepth<T>;

// a: 32 x depth by rows. b: by columns (n after n), else by rows (k after k). Two subgroups, 16 rows each.
template <class T, bool kColumns>
inline constexpr auto product = [](Ctx k, In<T, kProductRows * kProductDepth<T>> a,
                                   In<T, kProductColumns * kProductDepth<T>> b,
                                   Out<typename FragmentSum<T>::Number, kProductRows * kProductColumns> c) {
  constexpr u32 kDepth = kMatrixDepth<T>, kAll = kProductDepth<T>, kPad = 16 / sizeof(T);
  constexpr u32 kRowsB = kColumns ? kProductColumns : kDepth, kWidthB = kColumns ? kDepth : kProductColumns;
  constexpr u32 kStrideA = kDepth + kPad, kStrideB = kWidthB + kPad;
  auto tile_a = k.shared<T, kProductRows * kStrideA>();
  auto tile_b = k.shared<T, kRowsB * kStrideB>();
  auto left = k.fragment_sum<T>();
  auto right = k.fragment_sum<T>();
  auto first = k.subgroup_index() * 16;
  for (auto from : k.range(0u, kAll, kDepth)) {
    GPU_IF(k.tid() < kDepth) {
      for (u32 row = 0; row < kProductRows; ++row) {
        auto j = k.tid();
        tile_a[row * kStrideA + j] = a[row * kAll + from + j];
      }
    }
    GPU_IF(k.tid() < kWidthB) {
      for (u32 row = 0; row < kRowsB; ++row) {
        auto j = k.tid();
        tile_b[row * kStrideB + j] =
            kColumns ? b[row * kAll + from + j] : b[(from + row) * kProductColumns + j];
      }
    }
    k.barrier();
    auto of_a = k.fragment_a(tile_a, first * kStrideA, kStrideA);
    if constexpr (kColumns) {
      left.multiply_add(of_a, k.fragment_b_columns(tile_b, 0, kStrideB));
      right.multiply_add(of_a, k.fragment_b_columns(tile_b, 8 * kStrideB, kStrideB));
    } else {
      left.multiply_add(of_a, k.fragment_b_rows(tile_b, 0, kStrideB));
      if constexpr (8 * sizeof(T) % 16 == 0) right.multiply_add(of_a, k.fragment_b_rows(tile_b, 8, kStrideB));
    }
    k.barrier();
  }
  left.for_elements([&](auto row, auto column, auto v) { c[(first + row) * kProductColumns + column] = v; });
  right.for_elements(
      [&](auto row, auto column, auto v) { c[(first + row) * kProductColumns + 8 + column] = v; });
};

// Calls f(lambda, type, by columns) for each.
template <class F>
void each_product(F f) {
  const auto both = [&](auto number) {
    using T = decltype(number);
    f(product<T, true>, number, std::true_type{});
    f(product<T, false>, number, std::false_type{});
  };
  both(f16{});
  both(bf16{});
  both(f32{});
  both(i8{});
  both(f8e4m3{});
  both(f8e5m2{});
}

}  // namespace gpuio::test_kernels
