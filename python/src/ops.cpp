// Operations on tensors: gpuio_ops.h with a tensor as (address, dtype, shape). Checks of values and the
// lifetime of what is held are the Python's.
#include <gpuio/gpuio_ops.h>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <vector>

#include "src/common.hpp"

namespace gpuio::python {
namespace {

using Handle = std::uintptr_t;
using Given = std::tuple<Handle, int, std::vector<std::uint64_t>>;
using Maybe = std::optional<Given>;

// As the C interface takes it; NULL where there is none.
class View {
 public:
  View(const Given& g) : is_(true) {
    const auto& [address, dtype, shape] = g;
    if (shape.size() > GPUIO_TENSOR_RANK_MAX)
      throw Error{int(GPUIO_ERROR_INVALID_ARG), "a tensor of " + std::to_string(shape.size()) +
                                                    " dimensions: give 1 to " +
                                                    std::to_string(GPUIO_TENSOR_RANK_MAX)};
    tensor_.data = reinterpret_cast<void*>(address);
    tensor_.dtype = static_cast<gpuio_dtype_t>(dtype);
    tensor_.rank = int(shape.size());
    std::ranges::copy(shape, tensor_.shape);
  }
  View(const Maybe& g) {
    if (g) *this = View(*g);
  }
  operator const gpuio_tensor_t*() const { return is_ ? &tensor_ : nullptr; }

 private:
  gpuio_tensor_t tensor_{};
  bool is_ = false;
};

gpuio_context_t context(Handle h) { return reinterpret_cast<gpuio_context_t>(h); }
gpuio_stream_t stream(Handle h) { return reinterpret_cast<gpuio_stream_t>(h); }

// The first call of a kind has a driver compile: other threads go on.
template <class F>
void run(F&& f) {
  gpuio_error_t e;
  {
    nb::gil_scoped_release others;
    e = f();
  }
  check(e);
}

void softmax(Handle c, const Given& x, const Given& y, Handle s) {
  const View from(x), to(y);
  run([&] { return gpuio_softmax(context(c), from, to, stream(s)); });
}
void layer_norm(Handle c, const Given& x, const Maybe& gain, const Maybe& bias, float epsilon, const Given& y,
                Handle s) {
  const View from(x), times(gain), plus(bias), to(y);
  run([&] { return gpuio_layer_norm(context(c), from, times, plus, epsilon, to, stream(s)); });
}
void rms_norm(Handle c, const Given& x, const Maybe& gain, float epsilon, const Given& y, Handle s) {
  const View from(x), times(gain), to(y);
  run([&] { return gpuio_rms_norm(context(c), from, times, epsilon, to, stream(s)); });
}
void reduce(Handle c, const Given& x, int op, const Given& y, Handle s) {
  const View from(x), to(y);
  run([&] { return gpuio_reduce(context(c), from, static_cast<gpuio_reduce_t>(op), to, stream(s)); });
}
void scan(Handle c, const Given& x, int op, bool exclusive, const Given& y, Handle s) {
  const View from(x), to(y);
  run([&] {
    return gpuio_scan(context(c), from, static_cast<gpuio_reduce_t>(op), exclusive, to, stream(s));
  });
}
void top_k(Handle c, const Given& x, const Maybe& values, const Given& indices, Handle s) {
  const View from(x), largest(values), places(indices);
  run([&] { return gpuio_top_k(context(c), from, largest, places, stream(s)); });
}
void gather_rows(Handle c, const Given& x, const Given& indices, const Given& y, Handle s) {
  const View from(x), which(indices), to(y);
  run([&] { return gpuio_gather_rows(context(c), from, which, to, stream(s)); });
}
void scatter_rows(Handle c, const Given& x, const Given& indices, const Given& y, Handle s) {
  const View from(x), which(indices), to(y);
  run([&] { return gpuio_scatter_rows(context(c), from, which, to, stream(s)); });
}
void quantize(Handle c, const Given& x, int scale, const Given& q, const Given& scales, Handle s) {
  const View from(x), to(q), of(scales);
  run([&] { return gpuio_quantize(context(c), from, static_cast<gpuio_scale_t>(scale), to, of, stream(s)); });
}
void dequantize(Handle c, const Given& q, const Given& scales, int scale, const Given& x, Handle s) {
  const View from(q), of(scales), to(x);
  run([&] {
    return gpuio_dequantize(context(c), from, of, static_cast<gpuio_scale_t>(scale), to, stream(s));
  });
}
void histogram(Handle c, const Given& x, const Given& counts, Handle s) {
  const View from(x), to(counts);
  run([&] { return gpuio_histogram(context(c), from, to, stream(s)); });
}
void random(Handle c, int distribution, std::uint64_t seed, std::uint64_t offset, const Given& y, Handle s) {
  const View to(y);
  run([&] {
    return gpuio_random(context(c), static_cast<gpuio_random_t>(distribution), seed, offset, to, stream(s));
  });
}
void matmul(Handle c, const Given& a, const Given& b, const Given& y, bool b_transposed, bool tf32,
            const Maybe& scale_a, const Maybe& scale_b, const Maybe& bias, Handle s) {
  const View left(a), right(b), to(y), of_a(scale_a), of_b(scale_b), plus(bias);
  const gpuio_matmul_options_t options{b_transposed, tf32, of_a, of_b, plus};
  run([&] { return gpuio_matmul(context(c), left, right, to, &options, stream(s)); });
}
std::string tune_matmul(Handle c, const Given& a, const Given& b, const Given& y, bool b_transposed,
                        bool tf32, const Maybe& scale_a, const Maybe& scale_b, const Maybe& bias,
                        std::uint64_t budget_us, Handle s) {
  const View left(a), right(b), to(y), of_a(scale_a), of_b(scale_b), plus(bias);
  const gpuio_matmul_options_t options{b_transposed, tf32, of_a, of_b, plus};
  char chosen[64] = "";
  run([&] { return gpuio_tune_matmul(context(c), left, right, to, &options, budget_us, chosen, stream(s)); });
  return chosen;
}
void qkv(Handle c, const Given& x, const Given& wq, const Given& wk, const Given& wv, const Given& q,
         const Given& k, const Given& v, const Maybe& scale_x, const Maybe& scale_q, const Maybe& scale_k,
         const Maybe& scale_v, Handle s) {
  const View from(x), by_q(wq), by_k(wk), by_v(wv), to_q(q), to_k(k), to_v(v);
  const View of_x(scale_x), of_q(scale_q), of_k(scale_k), of_v(scale_v);
  const gpuio_qkv_options_t options{of_x, of_q, of_k, of_v};
  run([&] { return gpuio_qkv(context(c), from, by_q, by_k, by_v, to_q, to_k, to_v, &options, stream(s)); });
}
void attention(Handle c, const Given& q, const Given& k, const Given& v, const Given& out, float scale,
               bool causal, const Maybe& lengths, const Maybe& indices, const Maybe& log_sum, Handle s) {
  const View of_q(q), of_k(k), of_v(v), to(out), counts(lengths), which(indices), sums(log_sum);
  const gpuio_attention_options_t options{scale, causal, counts, which, sums};
  run([&] { return gpuio_attention(context(c), of_q, of_k, of_v, to, &options, stream(s)); });
}

}  // namespace

void bind_ops(nb::module_& m) {
  m.def("op_softmax", &softmax, nb::arg("context"), nb::arg("x"), nb::arg("y"), nb::arg("stream"));
  m.def("op_layer_norm", &layer_norm, nb::arg("context"), nb::arg("x"), nb::arg("gain").none(),
        nb::arg("bias").none(), nb::arg("epsilon"), nb::arg("y"), nb::arg("stream"));
  m.def("op_rms_norm", &rms_norm, nb::arg("context"), nb::arg("x"), nb::arg("gain").none(),
        nb::arg("epsilon"), nb::arg("y"), nb::arg("stream"));
  m.def("op_reduce", &reduce, nb::arg("context"), nb::arg("x"), nb::arg("op"), nb::arg("y"),
        nb::arg("stream"));
  m.def("op_scan", &scan, nb::arg("context"), nb::arg("x"), nb::arg("op"), nb::arg("exclusive"), nb::arg("y"),
        nb::arg("stream"));
  m.def("op_top_k", &top_k, nb::arg("context"), nb::arg("x"), nb::arg("values").none(), nb::arg("indices"),
        nb::arg("stream"));
  m.def("op_gather_rows", &gather_rows, nb::arg("context"), nb::arg("x"), nb::arg("indices"), nb::arg("y"),
        nb::arg("stream"));
  m.def("op_scatter_rows", &scatter_rows, nb::arg("context"), nb::arg("x"), nb::arg("indices"), nb::arg("y"),
        nb::arg("stream"));
  m.def("op_quantize", &quantize, nb::arg("context"), nb::arg("x"), nb::arg("scale"), nb::arg("q"),
        nb::arg("scales"), nb::arg("stream"));
  m.def("op_dequantize", &dequantize, nb::arg("context"), nb::arg("q"), nb::arg("scales"), nb::arg("scale"),
        nb::arg("x"), nb::arg("stream"));
  m.def("op_histogram", &histogram, nb::arg("context"), nb::arg("x"), nb::arg("counts"), nb::arg("stream"));
  m.def("op_random", &random, nb::arg("context"), nb::arg("distribution"), nb::arg("seed"), nb::arg("offset"),
        nb::arg("y"), nb::arg("stream"));
  m.def("op_matmul", &matmul, nb::arg("context"), nb::arg("a"), nb::arg("b"), nb::arg("c"),
        nb::arg("b_transposed"), nb::arg("tf32"), nb::arg("scale_a").none(), nb::arg("scale_b").none(),
        nb::arg("bias").none(), nb::arg("stream"));
  m.def("op_tune_matmul", &tune_matmul, nb::arg("context"), nb::arg("a"), nb::arg("b"), nb::arg("c"),
        nb::arg("b_transposed"), nb::arg("tf32"), nb::arg("scale_a").none(), nb::arg("scale_b").none(),
        nb::arg("bias").none(), nb::arg("budget_us"), nb::arg("stream"));
  m.def("op_qkv", &qkv, nb::arg("context"), nb::arg("x"), nb::arg("wq"), nb::arg("wk"), nb::arg("wv"),
        nb::arg("q"), nb::arg("k"), nb::arg("v"), nb::arg("scale_x").none(), nb::arg("scale_q").none(),
        nb::arg("scale_k").none(), nb::arg("scale_v").none(), nb::arg("stream"));
  m.def("op_attention", &attention, nb::arg("context"), nb::arg("q"), nb::arg("k"), nb::arg("v"),
        nb::arg("out"), nb::arg("scale"), nb::arg("causal"), nb::arg("lengths").none(),
        nb::arg("indices").none(), nb::arg("log_sum").none(), nb::arg("stream"));
}

}  // namespace gpuio::python
