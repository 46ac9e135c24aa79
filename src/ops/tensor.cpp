#include "ops/tensor.hpp"

#include <algorithm>

namespace gpuio::ops {
namespace {

constexpr std::uint64_t kSizeMax = (std::uint64_t{1} << 31) - 1;
constexpr std::uint64_t kExtentMax = std::uint64_t{1} << 60;

struct Type {
  std::string_view name;
  std::uint32_t bits;
};
constexpr std::array<Type, kDtypes> kTypes{{{"f32", 32},
                                            {"f16", 16},
                                            {"bf16", 16},
                                            {"f8e4m3", 8},
                                            {"f8e5m2", 8},
                                            {"i8", 8},
                                            {"u8", 8},
                                            {"i4", 4},
                                            {"i32", 32},
                                            {"u32", 32},
                                            {"i64", 64},
                                            {"u64", 64}}};

std::string text_of(std::span<const std::uint64_t> shape) {
  return fmt::format("{}", fmt::join(shape, " x "));
}

}  // namespace

std::string_view name_of(Dtype type) { return kTypes[std::size_t(type)].name; }
std::uint32_t bits_of(Dtype type) { return kTypes[std::size_t(type)].bits; }

std::uint64_t Tensor::rows() const {
  std::uint64_t n = 1;
  for (const std::uint64_t size : sizes().first(std::size_t(rank) - 1)) n *= size;
  return n;
}
std::uint64_t Tensor::count() const { return rows() * last(); }
bool Tensor::dense() const {
  std::uint64_t step = 1;
  for (std::size_t i = std::size_t(rank); i-- > 0;) {
    if (shape[i] > 1 && stride[i] != step) return false;
    step = dense_step(type, step * shape[i]);
  }
  return true;
}
std::uint64_t Tensor::extent() const {
  std::uint64_t end = 1;
  for (std::size_t i = 0; i < std::size_t(rank); ++i) {
    if (shape[i] == 0) return 0;
    end += (shape[i] - 1) * stride[i];
  }
  return end;
}

std::string describe(const Tensor& t) {
  return fmt::format("{}: {} {}", t.name, name_of(t.type), text_of(t.sizes()));
}

Status check(const Tensor& t) {
  std::uint64_t count = 1, end = 1;
  for (std::size_t i = 0; i < std::size_t(t.rank); ++i) {
    if (t.shape[i] > kSizeMax)
      return error(Code::invalid_arg, "{}: shape[{}] = {}: at most {}", t.name, i, t.shape[i], kSizeMax);
    // Neither overflows: sizes are below 2^31, and what came before is held to kExtentMax.
    if (t.shape[i] && (count > kExtentMax / t.shape[i] || t.stride[i] > (kExtentMax - end) / t.shape[i]))
      return error(Code::invalid_arg, "{}: more elements than can be addressed", describe(t));
    if (t.shape[i]) {
      count *= t.shape[i];
      end += (t.shape[i] - 1) * t.stride[i];
    }
  }
  if (t.last() > 1 && t.stride[std::size_t(t.rank) - 1] != 1)
    return error(Code::invalid_arg, "{}: stride[{}] = {}: the last dimension has its elements side by side",
                 describe(t), t.rank - 1, t.stride[std::size_t(t.rank) - 1]);
  for (int i = 0; t.type == Dtype::i4 && i + 1 < t.rank; ++i)
    if (t.shape[std::size_t(i)] > 1 && t.stride[std::size_t(i)] % 2)
      return error(Code::invalid_arg, "{}: stride[{}] = {}: rows of i4 are whole bytes, so give an even one",
                   describe(t), i, t.stride[std::size_t(i)]);
  const std::uint32_t bits = bits_of(t.type);
  if (bits >= 8 && t.address % (bits / 8))
    return error(Code::invalid_arg, "{}: its memory {:#x} is not aligned to its elements of {} bytes",
                 describe(t), t.address, bits / 8);
  return {};
}

Status needs_type(const Tensor& t, std::initializer_list<Dtype> types) {
  if (std::ranges::find(types, t.type) != types.end()) return {};
  std::string names;
  for (const Dtype type : types) names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(type));
  return error(Code::unsupported, "{}: not of this type; built are {}", describe(t), names);
}
Status needs_rank(const Tensor& t, int from, int to) {
  if (t.rank >= from && t.rank <= to) return {};
  if (from == to) return error(Code::invalid_arg, "{}: it needs {} dimensions", describe(t), from);
  return error(Code::invalid_arg, "{}: it needs {} to {} dimensions", describe(t), from, to);
}
Status needs_shape(const Tensor& t, std::span<const std::uint64_t> shape, std::string_view of_what) {
  if (std::ranges::equal(t.sizes(), shape)) return {};
  return error(Code::invalid_arg, "{}: it needs {}, {}", describe(t), text_of(shape), of_what);
}
Status needs_dense(const Tensor& t) {
  if (t.dense()) return {};
  return error(Code::invalid_arg, "{}: strides {}, and here it must be without gaps", describe(t),
               fmt::join(std::span(t.stride).first(std::size_t(t.rank)), ", "));
}

}  // namespace gpuio::ops
