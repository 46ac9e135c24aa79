// Matrix units, for kernels: fragments of matrices that a subgroup of 32 lanes holds together.
//
//   auto a = k.shared<f16, 64 * 24>();                      // rows of 16 elements, 24 apart
//   auto b = k.shared<f16, 8 * 24>();                       // columns likewise
//   ... fill, k.barrier()
//   auto sum = k.fragment_sum<f16>();                       // 16 x 8, f32, zero
//   sum.multiply_add(k.fragment_a(a, warp * 16 * 24, 24),   // 16 x 16, from element warp * 16 * 24 on
//                    k.fragment_b_columns(b, 0, 24));       // 16 x 8
//   sum.for_elements([&](auto row, auto column, auto v) { c[(warp * 16 + row) * n + column] = v; });
//
// Products are 16 x K by K x 8: kMatrixDepth<T> says K, which is 16 for f16 and bf16, 32 for i8 f8e4m3
// f8e5m2, 8 for f32: such numbers are rounded to tf32 (10 bits behind the point) as they are loaded. Sums are
// f32, of i8 i32; ir.hpp says in which order, and what GPUs may do differently.
//
// All 32 lanes of a subgroup arrive together, the workgroup is a multiple of 32 lanes, and an index is the
// same for the subgroup (made of k.subgroup_index(), not of the lane) and a multiple of 16 bytes, as are the
// rows' distance. Rows that are 16 bytes further apart than a power of two meet no bank conflicts. Runs on
// CUDA from sm_80 on (8-bit floats: sm_89), in the interpreter and on the CPU device; on Vulkan, of f16 bf16
// i8, with drivers that have such products (VK_KHR_cooperative_matrix; never run). Other back ends refuse.
#pragma once

#include <gpuio/kernel/memory.hpp>

namespace gpuio::kernel {

namespace detail {
template <class T>
inline constexpr bool kMultiplied = std::same_as<T, f16> || std::same_as<T, bf16> || std::same_as<T, f32> ||
                                    std::same_as<T, i8> || std::same_as<T, f8e4m3> || std::same_as<T, f8e5m2>;
template <class T>
inline constexpr Matrix kMatrixOf = std::same_as<T, f16>      ? Matrix::of_f16
                                    : std::same_as<T, bf16>   ? Matrix::of_bf16
                                    : std::same_as<T, f32>    ? Matrix::of_tf32
                                    : std::same_as<T, i8>     ? Matrix::of_i8
                                    : std::same_as<T, f8e4m3> ? Matrix::of_e4m3
                                                              : Matrix::of_e5m2;
}  // namespace detail

template <class T>
concept MatrixNumber = detail::kMultiplied<T>;
template <MatrixNumber T>
inline constexpr u32 kMatrixDepth = 32 / sizeof(T);

// What a product takes: 16 x K of A, K x 8 of B. Values.
template <MatrixNumber T>
struct FragmentA {
  Tracer* tracer;
  u32 id;
};
template <MatrixNumber T>
struct FragmentB {
  Tracer* tracer;
  u32 id;
};

// 16 x 8 sums, four Vars a lane.
template <MatrixNumber T>
class FragmentSum {
 public:
  using Number = std::conditional_t<std::same_as<T, i8>, i32, f32>;
  constexpr explicit FragmentSum(Tracer& t) : tracer_(&t) {
    for (u32& v : vars_) v = t.build.var(kTypeOf<Number>);
    zero();
  }
  FragmentSum(const FragmentSum&) = delete;
  FragmentSum& operator=(const FragmentSum&) = delete;

  constexpr void zero(u32 line = __builtin_LINE()) const {
    tracer_->at(line);
    const u32 none = tracer_->build.constant(kTypeOf<Number>, 0);
    for (const u32 v : vars_) tracer_->build.var_store(v, none);
  }
  // += a * b
  constexpr void multiply_add(const FragmentA<T>& a, const FragmentB<T>& b,
                              u32 line = __builtin_LINE()) const {
    Builder& build = tracer_->build;
    tracer_->at(line);
    u32 old[4];
    for (u32 r = 0; r < 4; ++r) old[r] = build.var_load(vars_[r]);
    const u32 before = build.compose(old[0], old[1], old[2], old[3]);
    const u32 after = build.matrix_multiply(detail::kMatrixOf<T>, a.id, b.id, before);
    for (u32 r = 0; r < 4; ++r) build.var_store(vars_[r], build.extract(after, r));
  }
  // Calls f(row, column, value) for the lane's four elements while tracing: Val<u32>, Val<u32>, Val<Number>.
  template <class F>
  constexpr void for_elements(F f, u32 line = __builtin_LINE()) const {
    tracer_->at(line);
    const Val<u32> lane{tracer_, tracer_->build.builtin(Builtin::subgroup_lane)};
    const Val<u32> top = lane / 4u, left = lane % 4u * 2u;
    for (u32 r = 0; r < 4; ++r) {
      const Val<u32> row = top + r / 2 * 8, column = left + r % 2;
      const Val<Number> value{tracer_, tracer_->build.var_load(vars_[r])};
      f(row, column, value);
    }
  }

 private:
  Tracer* tracer_;
  u32 vars_[4];
};

namespace detail {

// Part of Ctx. `at`: where in the array the part's first element lies; `stride`: elements from one row (of
// columns: column) to the next.
template <class Ctx>
class MatrixOperations {
 public:
  template <MatrixNumber T>
  constexpr FragmentSum<T> fragment_sum(u32 line = __builtin_LINE()) const {
    tracer().at(line);
    return FragmentSum<T>(tracer());
  }
  template <MatrixNumber T, u32 N>
  constexpr FragmentA<T> fragment_a(const Shared<T, N>& array, Index at, u32 stride) const {
    return {&tracer(), load(MatrixPart::a, array, at, stride)};
  }
  // B, k by n: its rows one after the other.
  template <MatrixNumber T, u32 N>
  constexpr FragmentB<T> fragment_b_rows(const Shared<T, N>& array, Index at, u32 stride) const {
    return {&tracer(), load(MatrixPart::b_rows, array, at, stride)};
  }
  // B by columns: as a matrix of n by k with its rows one after the other.
  template <MatrixNumber T, u32 N>
  constexpr FragmentB<T> fragment_b_columns(const Shared<T, N>& array, Index at, u32 stride) const {
    return {&tracer(), load(MatrixPart::b_columns, array, at, stride)};
  }

 private:
  constexpr Tracer& tracer() const { return static_cast<const Ctx&>(*this).tracer(); }
  constexpr u32 load(MatrixPart part, const Object& array, const Index& at, u32 stride) const {
    const u32 index = at.get(tracer());
    return tracer().build.matrix_load(part, array.object(), index, stride);
  }
};

}  // namespace detail
}  // namespace gpuio::kernel
