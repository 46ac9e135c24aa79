// Operations on tensors of a Gpu: products, attention, norms, reductions, selections, quantization.
//
//   gpuio::Gpu gpu;
//   auto x = gpu.buffer(values), y = gpu.buffer<float>(rows * columns);
//   gpuio::Tensor from(x, GPUIO_DTYPE_F32, {rows, columns}), to(y, GPUIO_DTYPE_F32, {rows, columns});
//   gpuio::ops::softmax(gpu, from, to);                       // returns before it has run
//   gpuio::ops::softmax({gpu, *stream}, to, to);              // in a stream, in place
//   std::vector<float> result = y.read<float>();              // waits
//
// gpuio_ops.h says what each computes, takes and refuses, and how far it may be off: this is that interface
// with values for its structures. Threading and errors: as there, Error for what is refused. Lifetime: a
// Tensor is a view; what it looks at stays until the stream has come past the operation.
#pragma once

#include <gpuio/gpuio_ops.h>
#include <gpuio/gpu.hpp>

namespace gpuio {

// Elements that C++20 has a type for; the others are named: GPUIO_DTYPE_BF16 over memory of 16-bit numbers.
template <class T>
inline constexpr int kDtypeOf = -1;
template <>
inline constexpr int kDtypeOf<float> = GPUIO_DTYPE_F32;
template <>
inline constexpr int kDtypeOf<std::int8_t> = GPUIO_DTYPE_I8;
template <>
inline constexpr int kDtypeOf<std::uint8_t> = GPUIO_DTYPE_U8;
template <>
inline constexpr int kDtypeOf<std::int32_t> = GPUIO_DTYPE_I32;
template <>
inline constexpr int kDtypeOf<std::uint32_t> = GPUIO_DTYPE_U32;
template <>
inline constexpr int kDtypeOf<std::int64_t> = GPUIO_DTYPE_I64;
template <>
inline constexpr int kDtypeOf<std::uint64_t> = GPUIO_DTYPE_U64;

// A view of memory as rows of elements, without gaps unless strides are given.
class Tensor {
 public:
  using Sizes = std::vector<std::uint64_t>;

  Tensor(const GpuBuffer& memory, gpuio_dtype_t dtype, const Sizes& shape)
      : Tensor(memory.get(), dtype, shape) {
    holds(memory.bytes());
  }
  template <class T>
  Tensor(const Memory<T>& memory, const Sizes& shape)
      : Tensor(memory.get(), static_cast<gpuio_dtype_t>(kDtypeOf<T>), shape) {
    static_assert(kDtypeOf<T> >= 0, "name the dtype of this memory's elements");
    holds(memory.bytes());
  }
  template <class T>
  Tensor(const Memory<T>& memory, gpuio_dtype_t dtype, const Sizes& shape)
      : Tensor(memory.get(), dtype, shape) {
    holds(memory.bytes());
  }
  // Memory of whoever calls, who knows that it is large enough.
  Tensor(void* data, gpuio_dtype_t dtype, const Sizes& shape) {
    if (shape.empty() || shape.size() > GPUIO_TENSOR_RANK_MAX)
      throw Error(GPUIO_ERROR_INVALID_ARG, "a tensor of " + std::to_string(shape.size()) +
                                               " dimensions: give 1 to " +
                                               std::to_string(GPUIO_TENSOR_RANK_MAX));
    tensor_.data = data;
    tensor_.dtype = dtype;
    tensor_.rank = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), tensor_.shape);
  }

  // The same with gaps: elements from one index to the next, in each dimension; the last is 1.
  Tensor with_strides(const Sizes& strides, std::size_t bytes) const {
    if (strides.size() != static_cast<std::size_t>(tensor_.rank))
      throw Error(GPUIO_ERROR_INVALID_ARG, std::to_string(strides.size()) + " strides of a tensor of " +
                                               std::to_string(tensor_.rank) + " dimensions");
    Tensor made = *this;
    std::copy(strides.begin(), strides.end(), made.tensor_.stride);
    made.holds(bytes);
    return made;
  }
  const gpuio_tensor_t& get() const { return tensor_; }
  std::uint64_t size(int dimension) const { return tensor_.shape[dimension]; }

 private:
  // Refused where `bytes` from the first element on are too few. What cannot be at all the library refuses.
  void holds(std::size_t bytes) const {
    const bool i4 = tensor_.dtype == GPUIO_DTYPE_I4;
    const std::uint64_t size = tensor_.dtype <= GPUIO_DTYPE_F32    ? 4
                               : tensor_.dtype <= GPUIO_DTYPE_BF16 ? 2
                               : tensor_.dtype <= GPUIO_DTYPE_I4   ? 1
                               : tensor_.dtype <= GPUIO_DTYPE_U32  ? 4
                                                                   : 8;
    const bool dense =
        std::all_of(tensor_.stride, tensor_.stride + tensor_.rank, [](auto s) { return s == 0; });
    const std::uint64_t limit = i4 ? 2 * bytes : bytes / size;
    std::uint64_t step = 1, end = 1;
    for (int i = tensor_.rank; i-- > 0;) {
      const std::uint64_t n = tensor_.shape[i], by = dense ? step : tensor_.stride[i];
      if (n == 0) return;
      if (n > 1 && by > (limit - std::min(limit, end)) / (n - 1)) return too_small(bytes);
      end += (n - 1) * by;
      if (end > limit) return too_small(bytes);
      step *= n;
      if (i4) step += step % 2;
    }
  }
  [[noreturn]] void too_small(std::size_t bytes) const {
    std::string text;
    for (int i = 0; i < tensor_.rank; ++i) text += (i ? " x " : "") + std::to_string(tensor_.shape[i]);
    throw Error(GPUIO_ERROR_INVALID_ARG, "a tensor of " + text + " " + gpuio_dtype_name(tensor_.dtype) +
                                             " does not fit into " + std::to_string(bytes) + " bytes");
  }
  gpuio_tensor_t tensor_{};
};

namespace ops {

// Where an operation runs: the default stream of a Gpu, or one of its streams.
struct On {
  On(const Gpu& gpu) : context(gpu.context().get()) {}
  On(const Gpu& gpu, const Stream& s) : context(gpu.context().get()), stream(s.get()) {}
  gpuio_context_t context;
  gpuio_stream_t stream = nullptr;
};
using Maybe = std::optional<Tensor>;

namespace detail {
using gpuio::detail::check;
inline const gpuio_tensor_t* of(const Maybe& t) { return t ? &t->get() : nullptr; }
}  // namespace detail

struct MatmulOptions {
  bool b_transposed = false, tf32 = false;
  Maybe scale_a{}, scale_b{}, bias{};
};
namespace detail {
inline gpuio_matmul_options_t of(const MatmulOptions& o) {
  return {o.b_transposed, o.tf32, of(o.scale_a), of(o.scale_b), of(o.bias)};
}
}  // namespace detail

inline void matmul(On on, const Tensor& a, const Tensor& b, const Tensor& c,
                   const MatmulOptions& options = {}) {
  const gpuio_matmul_options_t o = detail::of(options);
  detail::check(gpuio_matmul(on.context, &a.get(), &b.get(), &c.get(), &o, on.stream));
}
// Blocks; answers the name of what was chosen.
inline std::string tune_matmul(On on, const Tensor& a, const Tensor& b, const Tensor& c,
                               const MatmulOptions& options = {}, std::chrono::microseconds budget = {}) {
  const gpuio_matmul_options_t o = detail::of(options);
  char chosen[64] = "";
  detail::check(gpuio_tune_matmul(on.context, &a.get(), &b.get(), &c.get(), &o,
                                  static_cast<std::uint64_t>(budget.count()), chosen, on.stream));
  return chosen;
}

struct QkvOptions {
  Maybe scale_x{}, scale_q{}, scale_k{}, scale_v{};
};
struct Three {
  const Tensor &q, &k, &v;
};
inline void qkv(On on, const Tensor& x, Three weights, Three out, const QkvOptions& options = {}) {
  const gpuio_qkv_options_t o{detail::of(options.scale_x), detail::of(options.scale_q),
                              detail::of(options.scale_k), detail::of(options.scale_v)};
  detail::check(gpuio_qkv(on.context, &x.get(), &weights.q.get(), &weights.k.get(), &weights.v.get(),
                          &out.q.get(), &out.k.get(), &out.v.get(), &o, on.stream));
}

struct AttentionOptions {
  float scale = 0;  // 0: 1 / sqrt(d)
  bool causal = false;
  Maybe lengths{}, indices{}, log_sum{};
};
inline void attention(On on, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                      const AttentionOptions& options = {}) {
  const gpuio_attention_options_t o{options.scale, options.causal, detail::of(options.lengths),
                                    detail::of(options.indices), detail::of(options.log_sum)};
  detail::check(gpuio_attention(on.context, &q.get(), &k.get(), &v.get(), &out.get(), &o, on.stream));
}

inline void softmax(On on, const Tensor& x, const Tensor& y) {
  detail::check(gpuio_softmax(on.context, &x.get(), &y.get(), on.stream));
}
inline void layer_norm(On on, const Tensor& x, const Maybe& gain, const Maybe& bias, float epsilon,
                       const Tensor& y) {
  detail::check(gpuio_layer_norm(on.context, &x.get(), detail::of(gain), detail::of(bias), epsilon, &y.get(),
                                 on.stream));
}
inline void rms_norm(On on, const Tensor& x, const Maybe& gain, float epsilon, const Tensor& y) {
  detail::check(gpuio_rms_norm(on.context, &x.get(), detail::of(gain), epsilon, &y.get(), on.stream));
}
inline void reduce(On on, const Tensor& x, gpuio_reduce_t op, const Tensor& y) {
  detail::check(gpuio_reduce(on.context, &x.get(), op, &y.get(), on.stream));
}
inline void scan(On on, const Tensor& x, gpuio_reduce_t op, bool exclusive, const Tensor& y) {
  detail::check(gpuio_scan(on.context, &x.get(), op, exclusive, &y.get(), on.stream));
}
inline void top_k(On on, const Tensor& x, const Maybe& values, const Tensor& indices) {
  detail::check(gpuio_top_k(on.context, &x.get(), detail::of(values), &indices.get(), on.stream));
}
inline void gather_rows(On on, const Tensor& x, const Tensor& indices, const Tensor& y) {
  detail::check(gpuio_gather_rows(on.context, &x.get(), &indices.get(), &y.get(), on.stream));
}
inline void scatter_rows(On on, const Tensor& x, const Tensor& indices, const Tensor& y) {
  detail::check(gpuio_scatter_rows(on.context, &x.get(), &indices.get(), &y.get(), on.stream));
}
inline void quantize(On on, const Tensor& x, gpuio_scale_t scale, const Tensor& q, const Tensor& scales) {
  detail::check(gpuio_quantize(on.context, &x.get(), scale, &q.get(), &scales.get(), on.stream));
}
inline void dequantize(On on, const Tensor& q, const Tensor& scales, gpuio_scale_t scale, const Tensor& x) {
  detail::check(gpuio_dequantize(on.context, &q.get(), &scales.get(), scale, &x.get(), on.stream));
}
inline void histogram(On on, const Tensor& x, const Tensor& counts) {
  detail::check(gpuio_histogram(on.context, &x.get(), &counts.get(), on.stream));
}
inline void random(On on, gpuio_random_t distribution, std::uint64_t seed, std::uint64_t offset,
                   const Tensor& y) {
  detail::check(gpuio_random(on.context, distribution, seed, offset, &y.get(), on.stream));
}

}  // namespace ops
}  // namespace gpuio
