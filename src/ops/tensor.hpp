// Tensors as operations take them: where, of what, how many. And the words that refuse them.
//
// Plain values; any thread. Memory stays its owner's until the stream has come past the operation. Errors:
// INVALID_ARG names the tensor and its shape or type, and what was needed; UNSUPPORTED the types that are
// built.
//
//   if (Status s = needs_type(x, {Dtype::f32, Dtype::f16}); !s) return s;
//   if (Status s = needs_shape(y, x.sizes()); !s) return s;
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/status.hpp"

namespace gpuio::ops {

// The values of gpuio_dtype_t; src/capi asserts that they agree.
enum class Dtype : std::uint8_t { f32, f16, bf16, f8e4m3, f8e5m2, i8, u8, i4, i32, u32, i64, u64 };
inline constexpr std::size_t kDtypes = 12;

std::string_view name_of(Dtype type);
std::uint32_t bits_of(Dtype type);  // of an element

// From one row to the next where nothing is between them: rows of i4 are whole bytes.
constexpr std::uint64_t dense_step(Dtype type, std::uint64_t elements) {
  return type == Dtype::i4 ? elements + elements % 2 : elements;
}

inline constexpr int kRankMax = 4;

struct Tensor {
  std::string_view name;      // in messages: "x", "the scales of b"
  std::uint64_t address = 0;  // as kernels see it
  Dtype type = Dtype::f32;
  int rank = 1;
  std::array<std::uint64_t, kRankMax> shape{1, 1, 1, 1},
      stride{1, 1, 1, 1};  // in elements; of the first `rank`

  std::span<const std::uint64_t> sizes() const { return {shape.data(), std::size_t(rank)}; }
  std::uint64_t last() const { return shape[std::size_t(rank) - 1]; }
  std::uint64_t rows() const;   // all dimensions but the last, multiplied
  std::uint64_t count() const;  // elements
  bool dense() const;           // no gaps: element i of all is at i
  // Elements from the first to behind the last, gaps included.
  std::uint64_t extent() const;
};

// "x: bf16 2 x 3 x 128"
std::string describe(const Tensor& t);

// Ranks, sizes and strides that can be: what every tensor has to pass before anything else looks at it.
Status check(const Tensor& t);
Status needs_type(const Tensor& t, std::initializer_list<Dtype> types);
Status needs_rank(const Tensor& t, int from, int to);
Status needs_shape(const Tensor& t, std::span<const std::uint64_t> shape, std::string_view of_what);
// Rows one behind the other, and elements of a row too.
Status needs_dense(const Tensor& t);

}  // namespace gpuio::ops
