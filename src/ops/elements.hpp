// Buffers of a body whose element type is known when the body is traced, not when it is compiled: one body,
// compiled once, for every type.
//
// A body that uses them takes the Ctx alone and makes its parameters itself, in the order of the launch's
// arguments. What is stored becomes a T, in which the body computes, and back: from floats of 16 and 8 bits
// exactly, to them rounded to nearest even. As the handles of kernel.hpp: they live as long as the trace; one
// thread.
//
//   const auto body = [type](kernel::Ctx k) {
//     const Elements<f32> x = Elements<f32>::in(k, type), y = Elements<f32>::out(k, type);
//     const auto n = scalar<u64>(k);
//     GPU_IF(k.global_id().as<u64>() < n) y.set(k.global_id(), x[k.global_id()] * 2.0f);
//   };
#pragma once

#include <vector>

#include "ops/kernels.hpp"

namespace gpuio::ops {

kernel::Type stored_as(Dtype type);  // i4: bytes
// What is stored, as a value of type `to` and back.
kernel::u32 widened(kernel::Builder& b, Dtype from, kernel::Type to, kernel::u32 value);
kernel::u32 narrowed(kernel::Builder& b, Dtype to, kernel::u32 value);

template <class T>
class Elements : public kernel::Object {
 public:
  static Elements in(kernel::Ctx k, Dtype type) { return {k, type, kernel::ParamKind::in}; }
  static Elements out(kernel::Ctx k, Dtype type) { return {k, type, kernel::ParamKind::out}; }

  kernel::Val<T> operator[](kernel::Index i) const {
    const kernel::u32 index = i.get(*tracer_);
    return {tracer_, widened(tracer_->build, type_, kernel::kTypeOf<T>, tracer_->build.load(object_, index))};
  }
  void set(kernel::Index i, kernel::Arg<T> value) const {
    const kernel::u32 index = i.get(*tracer_);
    const kernel::u32 v = value.get(*tracer_);
    tracer_->build.store(object_, index, narrowed(tracer_->build, type_, v));
  }
  // Neighbours at once: width 1, 2 or 4, at most 16 bytes; i a multiple of it.
  std::vector<kernel::Val<T>> load(kernel::Index i, kernel::u32 width) const {
    if (width == 1) return {(*this)[i]};
    kernel::Builder& b = tracer_->build;
    const kernel::u32 index = i.get(*tracer_);
    const kernel::u32 all = b.load(object_, index, kernel::u8(width));
    std::vector<kernel::Val<T>> out;
    for (kernel::u32 e = 0; e < width; ++e)
      out.emplace_back(tracer_, widened(b, type_, kernel::kTypeOf<T>, b.extract(all, e)));
    return out;
  }
  void store(kernel::Index i, const std::vector<kernel::Val<T>>& values) const {
    kernel::Builder& b = tracer_->build;
    const kernel::u32 index = i.get(*tracer_);
    std::vector<kernel::u32> v;
    for (const auto& value : values) v.push_back(narrowed(b, type_, value.id()));
    b.store(object_, index,
            v.size() == 1   ? v[0]
            : v.size() == 2 ? b.compose(v[0], v[1])
                            : b.compose(v[0], v[1], v[2], v[3]));
  }

 private:
  Elements(kernel::Ctx k, Dtype type, kernel::ParamKind kind)
      : Object(&k.tracer(), k.tracer().build.param(kind, stored_as(type))), type_(type) {}
  Dtype type_;
};

template <class T>
kernel::Val<T> scalar(kernel::Ctx k) {
  return kernel::detail::MakeParam<kernel::Val<T>>::make(k.tracer());
}
// A buffer of a type that the body knows.
template <class Handle>
Handle buffer(kernel::Ctx k) {
  return kernel::detail::MakeParam<Handle>::make(k.tracer());
}

// How many elements kernels take at once from rows of these tensors: 4 where all rows begin at a multiple of
// four elements in memory too and have such a length, else 1.
std::uint32_t width_of(std::initializer_list<const Tensor*> tensors);

}  // namespace gpuio::ops
