// Operations on tensors of a device: include/gpuio/gpuio_ops.h says what each computes, takes and refuses.
//
// A call checks its tensors, picks the kernels for their types and sizes, and plans their launches.
// Threading: any; a Plan is its caller's. Errors: INVALID_ARG, UNSUPPORTED as tensor.hpp words them.
//
//   Plan plan;
//   if (Status s = softmax({kernels, workspace, plan}, x, y); !s) return s;
//   return plan.run(*stream);
#pragma once

#include <optional>

#include "ops/kernels.hpp"

namespace gpuio::ops {

// Products: matmul.cpp
struct MatmulOptions {
  bool b_transposed = false, tf32 = false;
  std::optional<Tensor> scale_a{}, scale_b{}, bias{};
};
Status matmul(const Place& place, const Tensor& a, const Tensor& b, const Tensor& c,
              const MatmulOptions& options);

// qkv.cpp: weights and outputs of q, k, v
struct QkvOptions {
  std::optional<Tensor> scale_x{};
  std::array<std::optional<Tensor>, 3> scales{};
};
Status qkv(const Place& place, const Tensor& x, const std::array<Tensor, 3>& weights,
           const std::array<Tensor, 3>& outputs, const QkvOptions& options);

// tune.cpp. Blocks, and runs on a stream of its own: what it reads has been written. The name of the way.
Result<std::string_view> tune_matmul(Kernels& kernels, const Tensor& a, const Tensor& b, const Tensor& c,
                                     const MatmulOptions& options, std::uint64_t budget_us);

// attention.cpp
struct AttentionOptions {
  float scale = 0;  // 0: 1 / sqrt(d)
  bool causal = false;
  std::optional<Tensor> lengths{}, indices{}, log_sum{};
};
Status attention(const Place& place, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                 const AttentionOptions& options);

// Rows: norm.cpp
Status softmax(const Place& place, const Tensor& x, const Tensor& y);
Status layer_norm(const Place& place, const Tensor& x, const std::optional<Tensor>& gain,
                  const std::optional<Tensor>& bias, float epsilon, const Tensor& y);
Status rms_norm(const Place& place, const Tensor& x, const std::optional<Tensor>& gain, float epsilon,
                const Tensor& y);

enum class Fold : std::uint8_t { add, min, max, mul };  // the values of gpuio_reduce_t
// reduce.cpp, scan.cpp
Status reduce(const Place& place, const Tensor& x, Fold fold, const Tensor& y);
Status scan(const Place& place, const Tensor& x, Fold fold, bool exclusive, const Tensor& y);
// top_k.cpp
Status top_k(const Place& place, const Tensor& x, const std::optional<Tensor>& values, const Tensor& indices);

// move.cpp
Status gather_rows(const Place& place, const Tensor& x, const Tensor& indices, const Tensor& y);
Status scatter_rows(const Place& place, const Tensor& x, const Tensor& indices, const Tensor& y);

// quantize.cpp
enum class ScaleBy : std::uint8_t { row, column, group };  // the values of gpuio_scale_t
Status quantize(const Place& place, const Tensor& x, ScaleBy scale, const Tensor& q, const Tensor& scales);
Status dequantize(const Place& place, const Tensor& q, const Tensor& scales, ScaleBy scale, const Tensor& x);

// histogram.cpp, random.cpp
Status histogram(const Place& place, const Tensor& x, const Tensor& counts);
enum class Distribution : std::uint8_t { bits, uniform, normal };  // the values of gpuio_random_t
Status random(const Place& place, Distribution distribution, std::uint64_t seed, std::uint64_t offset,
              const Tensor& y);

}  // namespace gpuio::ops
