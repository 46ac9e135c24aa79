// Hopper's matrix units, for kernels: products that four subgroups, a warpgroup of 128 lanes, hand to the
// hardware and wait for later. Operands are in shared memory, sums in the lanes' registers.
//
//   constexpr u32 kPanel = 64 * 8;                            // 64 rows of 16 bytes, 8 elements of f16
//   auto a = k.shared<f16, 8 * kPanel>();                     // 64 x 64 in panels
//   auto b = k.shared<f16, 8 * kPanel>();                     // 64 columns likewise
//   ... a[panel_place<f16>(row, column, kPanel)] = ..., k.barrier()
//   auto sum = k.warpgroup_sum<f16, 64>();                    // 64 x 64 for each warpgroup, f32, zero
//   sum.multiply_add(a, 0, kPanel, b, 0, kPanel, 64);         // 64 deep
//   k.warpgroup_commit();
//   k.warpgroup_wait();
//   sum.for_elements([&](auto row, auto column, auto v) { c[row * 64 + column] = v; });
//
// A matrix lies in panels: columns of 16 bytes, so that panel p has elements 16 / sizeof(T) * p and on of
// each row, its rows one after the other; panel_place says where. `panel` is how many elements one panel is
// from the next: rows * 16 / sizeof(T), or more. B is stored likewise, its columns for rows. A chunk of 16
// bytes of a row stays together, so that async copies of 16 bytes fill a tile; with panels 16 bytes further
// apart than 64 rows need, lanes that copy along a row meet no bank conflicts. What is stored in panels comes
// by one bulk copy.
//
// Wide panels, with rows of 32, 64 or 128 bytes, are what tensor loads bring (tensor_map.hpp): Bytes of the
// functions below. Their chunks of 16 bytes are swapped (matrix_lanes.hpp), which keeps rows in other banks
// without a gap; a tile in them begins at a multiple of eight rows of its array.
//
// Depth: multiples of kMatrixDepth<T>, types and sums as in matrix.hpp; of f32 the units ignore the low 13
// bits. Multiplies since the last commit are a group; warpgroup_wait<N>() lets the newest N go on. Until then
// the sums belong to the units and the operands are not to be written: the verifier follows both. It all is
// done by whole warpgroups, whose lanes arrive together; the workgroup is a multiple of 128 lanes.
//
// wgmma on sm_90, neither older nor newer; the interpreter and the CPU device; other back ends refuse by
// name.
#pragma once

#include <gpuio/kernel/matrix.hpp>
#include <gpuio/kernel/matrix_lanes.hpp>

namespace gpuio::kernel {

template <u32 Bytes>
inline constexpr u32 kPanelWidth = [] {
  static_assert(Bytes == 16 || Bytes == 32 || Bytes == 64 || Bytes == 128,
                "a row of a panel has 16, 32, 64 or 128 bytes");
  return u32(std::countr_zero(Bytes)) - 4;
}();

// Where element (row, column) lies in a matrix in panels: native numbers, or traced.
template <Storable T, u32 Bytes = 16>
constexpr u32 panel_place(u32 row, u32 column, u32 panel) {
  return u32(place_in_panels(sizeof(T), kPanelWidth<Bytes>, panel, row, column));
}
template <Storable T, u32 Bytes = 16>
constexpr Val<u32> panel_place(const Val<u32>& row, const Val<u32>& column, u32 panel) {
  constexpr u32 each = Bytes / sizeof(T), chunk = 16 / sizeof(T), width = kPanelWidth<Bytes>;
  const Val<u32> place = column / each * panel + row * each + column % each;
  if constexpr (width == 0) return place;
  else return place ^ (row / (8u >> width) & ((1u << width) - 1)) * chunk;
}

// 64 x N sums of a warpgroup, N / 2 a lane.
template <MatrixNumber T, u32 N>
class WarpgroupSum {
 public:
  using Number = typename FragmentSum<T>::Number;
  static_assert(N >= 8 && N <= 256 && N % (std::same_as<T, i8> && N > 24 ? 16 : 8) == 0,
                "8 to 256 columns, a multiple of 8 (of i8 beyond 24: of 16)");

  constexpr explicit WarpgroupSum(Tracer& t) : tracer_(&t), first_(t.build.var(kTypeOf<Number>)) {
    for (u32 v = 1; v < N / 2; ++v) t.build.var(kTypeOf<Number>);
    t.build.warpgroup_clear({first_, N / 2});
  }
  WarpgroupSum(const WarpgroupSum&) = delete;
  WarpgroupSum& operator=(const WarpgroupSum&) = delete;

  constexpr void zero(u32 line = __builtin_LINE()) const {
    tracer_->at(line);
    tracer_->build.warpgroup_clear({first_, N / 2});
  }
  // += a * b: 64 x depth from element at_a on, depth x N by columns from at_b on.
  template <u32 Bytes = 16, u32 SizeA, u32 SizeB>
  constexpr void multiply_add(const Shared<T, SizeA>& a, Index at_a, u32 panel_a, const Shared<T, SizeB>& b,
                              Index at_b, u32 panel_b, u32 depth = kMatrixDepth<T>,
                              u32 line = __builtin_LINE()) const {
    constexpr u32 each = 16 / sizeof(T), width = kPanelWidth<Bytes>;
    const bool whole = panel_a % each == 0 && panel_b % each == 0 && depth % kMatrixDepth<T> == 0;
    if (!whole) return tracer_->fail(Err::warpgroup_shape, line, N);
    const u32 first_a = at_a.get(*tracer_);
    const u32 first_b = at_b.get(*tracer_);
    tracer_->at(line);
    for (u32 k = 0; k < depth; k += kMatrixDepth<T>) {
      const u32 panel = k * sizeof(T) / Bytes, step = k * sizeof(T) % Bytes / 32;
      const u32 from_a = plus(first_a, panel * panel_a);
      const u32 from_b = plus(first_b, panel * panel_b);
      const WarpgroupShape shape = width == 0 ? WarpgroupShape{first_, N, panel_a / each, panel_b / each}
                                              : WarpgroupShape{first_, N, 0, 0, width, step};
      tracer_->build.warpgroup_multiply(detail::kMatrixOf<T>, shape, a.object(), from_a, b.object(), from_b);
    }
  }
  // Calls f(row, column, value) for the lane's elements while tracing, row and column of the warpgroup's 64 x
  // N.
  template <class F>
  constexpr void for_elements(F f, u32 line = __builtin_LINE()) const {
    Builder& b = tracer_->build;
    tracer_->at(line);
    const Val<u32> lane{tracer_, b.builtin(Builtin::subgroup_lane)};
    const Val<u32> part{tracer_, b.builtin(Builtin::subgroup_index)};
    const Val<u32> top = part % 4u * 16u + lane / 4u, left = lane % 4u * 2u;
    for (u32 r = 0; r < N / 2; ++r) {
      tracer_->at(line);
      const Val<Number> value{tracer_, b.warpgroup_read(first_ + r)};
      const Val<u32> row = top + r % 4 / 2 * 8, column = left + (r / 4 * 8 + r % 2);
      f(row, column, value);
    }
  }

 private:
  constexpr u32 plus(u32 index, u32 n) const {
    Builder& b = tracer_->build;
    return n == 0 ? index : b.binary(Op::add, index, b.constant(b.type(index), n));
  }
  Tracer* tracer_;
  u32 first_;
};

namespace detail {

// Part of Ctx.
template <class Ctx>
class WarpgroupOperations {
 public:
  template <MatrixNumber T, u32 N>
  constexpr WarpgroupSum<T, N> warpgroup_sum(u32 line = __builtin_LINE()) const {
    tracer().at(line);
    return WarpgroupSum<T, N>(tracer());
  }
  constexpr void warpgroup_commit(u32 line = __builtin_LINE()) const {
    tracer().at(line);
    tracer().build.warpgroup_commit();
  }
  template <u32 Groups = 0>
  constexpr void warpgroup_wait(u32 line = __builtin_LINE()) const {
    static_assert(Groups < 8, "at most 7 groups may be under way");
    tracer().at(line);
    tracer().build.warpgroup_wait(Groups);
  }
  // Of the workgroup.
  constexpr Val<u32> warpgroup_index(u32 line = __builtin_LINE()) const {
    tracer().at(line);
    const Val<u32> subgroup{&tracer(), tracer().build.builtin(Builtin::subgroup_index)};
    return subgroup / 4u;
  }

 private:
  constexpr Tracer& tracer() const { return static_cast<const Ctx&>(*this).tracer(); }
};

}  // namespace detail
}  // namespace gpuio::kernel
