// Operations on tensors (gpuio_ops.h): tensors of clients become those of ops/, whose plan goes into the
// stream.

#include <gpuio/gpuio_ops.h>

#include <algorithm>
#include <optional>

#include "capi/context.hpp"
#include "ops/ops.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace gpuio::capi {

Operations::Operations() = default;
Operations::~Operations() = default;
ops::Kernels& Operations::of(gpu::Device& device) {
  std::scoped_lock hold(mutex_);
  std::unique_ptr<ops::Kernels>& entry = kernels_[&device];
  if (!entry) entry = std::make_unique<ops::Kernels>(device);
  return *entry;
}

}  // namespace gpuio::capi

namespace {

static_assert(GPUIO_DTYPE_F32 == int(ops::Dtype::f32) && GPUIO_DTYPE_F8E5M2 == int(ops::Dtype::f8e5m2) &&
              GPUIO_DTYPE_I4 == int(ops::Dtype::i4) && GPUIO_DTYPE_U64 == int(ops::Dtype::u64) &&
              GPUIO_TENSOR_RANK_MAX == ops::kRankMax);

// A call: finds what the client named, then gives the stream what the operation planned.
class Call {
 public:
  Call(Context& c, gpuio_stream_t handle) : context_(c) {
    auto found = c.stream_of(handle);
    if (found) stream_ = std::move(*found);
    else status_ = std::move(found).error();
  }

  // A tensor that has to be there; the first mistake is kept.
  ops::Tensor operator()(std::string_view name, const gpuio_tensor_t* given) {
    ops::Tensor out{.name = name};
    if (!status_) return out;
    if (!given) status_ = null_argument(name.data());
    else status_ = take(out, *given);
    return out;
  }
  std::optional<ops::Tensor> optional(std::string_view name, const gpuio_tensor_t* given) {
    if (!given) return {};
    return (*this)(name, given);
  }

  template <class Operation>
  Status run(const Operation& operation) {
    if (!status_) return status_;
    ops::Plan plan;
    if (Status s = operation(ops::Place{kernels(), stream_->workspace(), plan}); !s) return s;
    if (plan.empty()) return {};
    return stream_->enqueue([plan = std::move(plan), memory = std::move(memory_)](gpu::Stream& queue) {
      return plan.run(queue);
    });
  }

  // What runs the device by itself, once all that was given to the stream has been done.
  template <class Operation>
  Status block(const Operation& operation) {
    if (!status_) return status_;
    if (Status s = stream_->synchronize(context_.limit()); !s) return s;
    return operation(kernels());
  }

 private:
  ops::Kernels& kernels() {
    ops::Kernels& all = context_.operations.of(stream_->device());
    const Config& config = context_.config;
    all.choices.keep_in([&] {
      return DiskCache::Options{.folder = config.kernel_cache_folder.empty()
                                              ? default_cache_folder(process_environment())
                                              : config.kernel_cache_folder,
                                .bytes_max = config.kernel_cache_size};
    });
    return all;
  }

  Status take(ops::Tensor& out, const gpuio_tensor_t& given) {
    if (given.dtype < GPUIO_DTYPE_F32 || given.dtype > GPUIO_DTYPE_U64)
      return error(Code::invalid_arg, "{}: dtype = {}: give one from 0 to {}", out.name, int(given.dtype),
                   int(GPUIO_DTYPE_U64));
    if (given.rank < 1 || given.rank > GPUIO_TENSOR_RANK_MAX)
      return error(Code::invalid_arg, "{}: rank = {}: give one from 1 to {}", out.name, given.rank,
                   GPUIO_TENSOR_RANK_MAX);
    out.type = static_cast<ops::Dtype>(given.dtype);
    out.rank = given.rank;
    const auto rank = std::size_t(given.rank);
    const bool dense = std::all_of(given.stride, given.stride + rank, [](std::uint64_t s) { return s == 0; });
    std::uint64_t step = 1;
    for (std::size_t i = rank; i-- > 0;) {
      out.shape[i] = given.shape[i];
      out.stride[i] = dense ? step : given.stride[i];
      step = ops::dense_step(
          out.type,
          step * std::max<std::uint64_t>(given.shape[i], 1));  // what overflows is refused by check()
    }
    out.address = reinterpret_cast<std::uintptr_t>(given.data);
    if (Status s = ops::check(out); !s) return s;
    const std::uint64_t bytes = (out.extent() * ops::bits_of(out.type) + 7) / 8;
    if (bytes == 0) return {};
    if (!given.data) return error(Code::invalid_arg, "{}: its data is NULL", ops::describe(out));
    auto reached = context_.reach(stream_->device(), given.data, bytes, true);
    if (!reached) return std::move(reached).error().wrap(ops::describe(out));
    out.address = reached->address;
    if (reached->block) memory_.push_back(std::move(reached->block));
    return {};
  }

  Context& context_;
  std::shared_ptr<Stream> stream_;
  std::vector<std::shared_ptr<Allocation>> memory_;
  Status status_;
};

static_assert(GPUIO_REDUCE_ADD == int(ops::Fold::add) && GPUIO_REDUCE_MIN == int(ops::Fold::min) &&
              GPUIO_REDUCE_MAX == int(ops::Fold::max) && GPUIO_REDUCE_MUL == int(ops::Fold::mul));
static_assert(GPUIO_SCALE_ROW == int(ops::ScaleBy::row) && GPUIO_SCALE_COLUMN == int(ops::ScaleBy::column) &&
              GPUIO_SCALE_GROUP == int(ops::ScaleBy::group));
static_assert(GPUIO_RANDOM_BITS == int(ops::Distribution::bits) &&
              GPUIO_RANDOM_UNIFORM == int(ops::Distribution::uniform) &&
              GPUIO_RANDOM_NORMAL == int(ops::Distribution::normal));
// An enumerator of the client's as ours: the values agree, from 0 to the last.
template <class Ours, class Given>
Result<Ours> among(Given given, Given last, Ours, const char* name) {
  if (int(given) >= 0 && given <= last) return static_cast<Ours>(given);
  return fail(Code::invalid_arg, "{} = {}: give one from 0 to {}", name, int(given), int(last));
}

ops::MatmulOptions matmul_options(Call& call, const gpuio_matmul_options_t* given) {
  if (!given) return {};
  return {.b_transposed = given->b_transposed,
          .tf32 = given->tf32,
          .scale_a = call.optional("scale_a", given->scale_a),
          .scale_b = call.optional("scale_b", given->scale_b),
          .bias = call.optional("bias", given->bias)};
}

}  // namespace

extern "C" {

const char* gpuio_dtype_name(gpuio_dtype_t dtype) {
  return dtype < GPUIO_DTYPE_F32 || dtype > GPUIO_DTYPE_U64
             ? "?"
             : ops::name_of(static_cast<ops::Dtype>(dtype)).data();
}

gpuio_error_t gpuio_softmax(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* y,
                            gpuio_stream_t stream) {
  return call("gpuio_softmax", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), to = call("y", y);
    return call.run([&](const ops::Place& p) { return ops::softmax(p, from, to); });
  });
}

gpuio_error_t gpuio_layer_norm(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* gain,
                               const gpuio_tensor_t* bias, float epsilon, const gpuio_tensor_t* y,
                               gpuio_stream_t stream) {
  return call("gpuio_layer_norm", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), to = call("y", y);
    const auto times = call.optional("gain", gain), plus = call.optional("bias", bias);
    return call.run([&](const ops::Place& p) { return ops::layer_norm(p, from, times, plus, epsilon, to); });
  });
}

gpuio_error_t gpuio_rms_norm(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* gain,
                             float epsilon, const gpuio_tensor_t* y, gpuio_stream_t stream) {
  return call("gpuio_rms_norm", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), to = call("y", y);
    const auto times = call.optional("gain", gain);
    return call.run([&](const ops::Place& p) { return ops::rms_norm(p, from, times, epsilon, to); });
  });
}

gpuio_error_t gpuio_reduce(gpuio_context_t ctx, const gpuio_tensor_t* x, gpuio_reduce_t op,
                           const gpuio_tensor_t* y, gpuio_stream_t stream) {
  return call("gpuio_reduce", ctx, [&](Context& c) -> Status {
    Call call(c, stream);
    const auto from = call("x", x), to = call("y", y);
    return call.run([&](const ops::Place& p) -> Status {
      const auto fold = among(op, GPUIO_REDUCE_MUL, ops::Fold::mul, "op");
      return fold ? ops::reduce(p, from, *fold, to) : fold.error();
    });
  });
}

gpuio_error_t gpuio_scan(gpuio_context_t ctx, const gpuio_tensor_t* x, gpuio_reduce_t op, bool exclusive,
                         const gpuio_tensor_t* y, gpuio_stream_t stream) {
  return call("gpuio_scan", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), to = call("y", y);
    return call.run([&](const ops::Place& p) -> Status {
      const auto fold = among(op, GPUIO_REDUCE_MUL, ops::Fold::mul, "op");
      return fold ? ops::scan(p, from, *fold, exclusive, to) : fold.error();
    });
  });
}

gpuio_error_t gpuio_matmul(gpuio_context_t ctx, const gpuio_tensor_t* a, const gpuio_tensor_t* b,
                           const gpuio_tensor_t* c, const gpuio_matmul_options_t* options,
                           gpuio_stream_t stream) {
  return call("gpuio_matmul", ctx, [&](Context& context) {
    Call call(context, stream);
    const auto x = call("a", a), y = call("b", b), to = call("c", c);
    const auto how = matmul_options(call, options);
    return call.run([&](const ops::Place& p) { return ops::matmul(p, x, y, to, how); });
  });
}

gpuio_error_t gpuio_top_k(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* values,
                          const gpuio_tensor_t* indices, gpuio_stream_t stream) {
  return call("gpuio_top_k", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), places = call("indices", indices);
    const auto largest = call.optional("values", values);
    return call.run([&](const ops::Place& p) { return ops::top_k(p, from, largest, places); });
  });
}

gpuio_error_t gpuio_gather_rows(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* indices,
                                const gpuio_tensor_t* y, gpuio_stream_t stream) {
  return call("gpuio_gather_rows", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), which = call("indices", indices), to = call("y", y);
    return call.run([&](const ops::Place& p) { return ops::gather_rows(p, from, which, to); });
  });
}

gpuio_error_t gpuio_scatter_rows(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* indices,
                                 const gpuio_tensor_t* y, gpuio_stream_t stream) {
  return call("gpuio_scatter_rows", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), which = call("indices", indices), to = call("y", y);
    return call.run([&](const ops::Place& p) { return ops::scatter_rows(p, from, which, to); });
  });
}

gpuio_error_t gpuio_quantize(gpuio_context_t ctx, const gpuio_tensor_t* x, gpuio_scale_t scale,
                             const gpuio_tensor_t* q, const gpuio_tensor_t* scales, gpuio_stream_t stream) {
  return call("gpuio_quantize", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), to = call("q", q), of = call("scales", scales);
    return call.run([&](const ops::Place& p) -> Status {
      const auto by = among(scale, GPUIO_SCALE_GROUP, ops::ScaleBy::group, "scale");
      return by ? ops::quantize(p, from, *by, to, of) : by.error();
    });
  });
}

gpuio_error_t gpuio_dequantize(gpuio_context_t ctx, const gpuio_tensor_t* q, const gpuio_tensor_t* scales,
                               gpuio_scale_t scale, const gpuio_tensor_t* x, gpuio_stream_t stream) {
  return call("gpuio_dequantize", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("q", q), of = call("scales", scales), to = call("x", x);
    return call.run([&](const ops::Place& p) -> Status {
      const auto by = among(scale, GPUIO_SCALE_GROUP, ops::ScaleBy::group, "scale");
      return by ? ops::dequantize(p, from, of, *by, to) : by.error();
    });
  });
}

gpuio_error_t gpuio_histogram(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* counts,
                              gpuio_stream_t stream) {
  return call("gpuio_histogram", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto from = call("x", x), to = call("counts", counts);
    return call.run([&](const ops::Place& p) { return ops::histogram(p, from, to); });
  });
}

gpuio_error_t gpuio_random(gpuio_context_t ctx, gpuio_random_t distribution, uint64_t seed, uint64_t offset,
                           const gpuio_tensor_t* y, gpuio_stream_t stream) {
  return call("gpuio_random", ctx, [&](Context& c) {
    Call call(c, stream);
    const auto to = call("y", y);
    return call.run([&](const ops::Place& p) -> Status {
      const auto what = among(distribution, GPUIO_RANDOM_NORMAL, ops::Distribution::normal, "distribution");
      return what ? ops::random(p, *what, seed, offset, to) : what.error();
    });
  });
}

gpuio_error_t gpuio_qkv(gpuio_context_t ctx, const gpuio_tensor_t* x, const gpuio_tensor_t* wq,
                        const gpuio_tensor_t* wk, const gpuio_tensor_t* wv, const gpuio_tensor_t* q,
                        const gpuio_tensor_t* k, const gpuio_tensor_t* v, const gpuio_qkv_options_t* options,
                        gpuio_stream_t stream) {
  return call("gpuio_qkv", ctx, [&](Context& c) {
    Call call(c, stream);
    const gpuio_qkv_options_t given = options ? *options : gpuio_qkv_options_t{};
    const auto from = call("x", x);
    const std::array weights{call("wq", wq), call("wk", wk), call("wv", wv)};
    const std::array outputs{call("q", q), call("k", k), call("v", v)};
    const ops::QkvOptions how{
        .scale_x = call.optional("scale_x", given.scale_x),
        .scales = {call.optional("scale_q", given.scale_q), call.optional("scale_k", given.scale_k),
                   call.optional("scale_v", given.scale_v)}};
    return call.run([&](const ops::Place& p) { return ops::qkv(p, from, weights, outputs, how); });
  });
}

gpuio_error_t gpuio_attention(gpuio_context_t ctx, const gpuio_tensor_t* q, const gpuio_tensor_t* k,
                              const gpuio_tensor_t* v, const gpuio_tensor_t* out,
                              const gpuio_attention_options_t* options, gpuio_stream_t stream) {
  return call("gpuio_attention", ctx, [&](Context& c) {
    Call call(c, stream);
    const gpuio_attention_options_t given = options ? *options : gpuio_attention_options_t{};
    const auto of_q = call("q", q), of_k = call("k", k), of_v = call("v", v), to = call("out", out);
    const ops::AttentionOptions how{.scale = given.scale,
                                    .causal = given.causal,
                                    .lengths = call.optional("lengths", given.lengths),
                                    .indices = call.optional("indices", given.indices),
                                    .log_sum = call.optional("log_sum", given.log_sum)};
    return call.run([&](const ops::Place& p) { return ops::attention(p, of_q, of_k, of_v, to, how); });
  });
}

gpuio_error_t gpuio_tune_matmul(gpuio_context_t ctx, const gpuio_tensor_t* a, const gpuio_tensor_t* b,
                                const gpuio_tensor_t* c, const gpuio_matmul_options_t* options,
                                uint64_t budget_us, char chosen[64], gpuio_stream_t stream) {
  if (chosen) chosen[0] = 0;
  return call("gpuio_tune_matmul", ctx, [&](Context& context) {
    if (Status s = context.may_block(); !s) return s;
    Call call(context, stream);
    const auto x = call("a", a), y = call("b", b), to = call("c", c);
    const auto how = matmul_options(call, options);
    return call.block([&](ops::Kernels& kernels) -> Status {
      const auto name = ops::tune_matmul(kernels, x, y, to, how, budget_us);
      if (!name) return name.error();
      if (chosen) chosen[name->copy(chosen, 63)] = 0;
      return {};
    });
  });
}

}  // extern "C"
