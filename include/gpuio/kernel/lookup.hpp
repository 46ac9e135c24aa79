// Lookup: how a kernel that yields finds an element of an on-demand array. Only the host changes the page
// directory, and only between launches, so a lane just looks: at the eight ways that may hold its page, and
// into the frame. No pin, no atomic. What is not there becomes a request in the lane's record (suspend.hpp
// calls this an access).
//
// Parameters: the array's own slot keeps the first page where a buffer has its address, and the element
// count. Added, after the pass's own: the directory, then for each on-demand array its first page and the
// frames as its type. The cache's shape is written into the kernel as constants.
//
//   Lookup access({.page_bytes = 65536, .buckets = 256});
//   Suspended s = suspend(kernel, {}, access);
//   // arguments: the kernel's, slab, resume, directory, {first page, frames} for each of access.arrays()
#pragma once

#include <gpuio/device/layout.hpp>
#include <gpuio/kernel/suspend.hpp>

#include <bit>
#include <vector>

namespace gpuio::kernel {

struct DirectoryShape {
  u64 page_bytes = 0;  // a power of two
  u32 buckets = 0;
};

class Lookup {
 public:
  // `object` is the parameter of an on-demand array; the other two were added for it.
  struct Array {
    u32 object = 0, first = 0, frames = 0;
  };

  constexpr explicit Lookup(DirectoryShape shape) : shape_(shape) {}
  constexpr const std::vector<Array>& arrays() const { return arrays_; }

  constexpr void declare(Builder& b) {
    arrays_.clear();  // the pass may write the kernel several times
    const u32 own = u32(b.program().params.size());
    directory_ = b.param(ParamKind::in, Type::u64);
    for (u32 p = 0; p < own; ++p) {
      Param& param = b.program().params[p];
      if (param.kind != ParamKind::on_demand) continue;
      const Type type = param.type;
      param.kind = ParamKind::in;  // for its length only
      const u32 first = b.param(ParamKind::scalar, Type::u64);
      arrays_.push_back({p, first, b.param(ParamKind::in, type)});
    }
  }

  constexpr SuspendTry load(Builder& b, u32 object, u32 index) {
    const Array& array = find(object);
    const Place place = locate(b, array, index);
    const u32 frame = b.var(Type::u32), found = b.var(Type::boolean), value = b.var(b.object_type(object));
    b.var_store(found, b.constant(Type::boolean, 0));
    b.var_store(value, b.constant(b.object_type(object), 0));
    const u32 wanted = b.binary(Op::bit_or, b.binary(Op::shl, place.page, number(b, device::kPageShift)),
                                wide(b, u64{device::kValid} << device::kStateShift));
    const u32 buckets = wide(b, shape_.buckets);
    const u32 one = device::hash_bucket(Word{&b, place.page}, device::kHashPrimary, Word{&b, buckets}).id;
    const u32 other = device::hash_bucket(Word{&b, place.page}, device::kHashSecondary, Word{&b, buckets}).id;
    const u32 next = b.binary(Op::add, one, wide(b, 1));
    const u32 beside = b.select(b.compare(Op::eq, next, buckets), wide(b, 0), next);
    const u32 two = b.select(b.compare(Op::eq, one, other), beside, other);
    look(b, one, wanted, found, frame);
    b.if_(b.unary(Op::bit_not, b.var_load(found)));
    look(b, two, wanted, found, frame);
    b.end_if();
    b.if_(b.var_load(found));
    const u32 elements = shape_page_elements(b, object);
    const u32 at = b.binary(
        Op::add, b.binary(Op::mul, b.cast(Type::u64, b.var_load(frame)), wide(b, elements)), place.element);
    b.var_store(value, b.load(array.frames, at));
    b.end_if();
    return {.ok = b.var_load(found), .value = b.var_load(value)};
  }

  constexpr void request(Builder& b, Slab& slab, u32 object, u32 index) {
    const Place place = locate(b, find(object), index);
    const u32 size = size_of(b.object_type(object));
    slab.write_wide(kRecordPage, place.page);
    slab.write(kRecordByte, b.binary(Op::mul, b.cast(Type::u32, place.element), number(b, size)));
    slab.write(kRecordBytes, number(b, size));
  }

  // The host reads ahead by itself.
  constexpr void prefetch(Builder&, u32, u32) {}

 private:
  // Lets hash_bucket, which host and device share, write code.
  struct Word {
    Builder* b;
    u32 id;
    constexpr Word operator*(u64 n) const { return {b, b->binary(Op::mul, id, b->constant(Type::u64, n))}; }
    constexpr Word operator*(Word w) const { return {b, b->binary(Op::mul, id, w.id)}; }
    constexpr Word operator>>(u32 n) const { return {b, b->binary(Op::shr, id, b->constant(Type::u32, n))}; }
  };
  struct Place {
    u32 page, element;  // u64: the page, none if past the array's end; the element in the page
  };

  static constexpr u32 wide(Builder& b, u64 n) { return b.constant(Type::u64, n); }
  static constexpr u32 number(Builder& b, u64 n) { return b.constant(Type::u32, n); }
  constexpr u32 shape_page_elements(Builder& b, u32 object) const {
    return u32(shape_.page_bytes / size_of(b.object_type(object)));
  }
  constexpr const Array& find(u32 object) const {
    for (const Array& a : arrays_)
      if (a.object == object) return a;
    return arrays_[0];
  }

  constexpr Place locate(Builder& b, const Array& array, u32 index) {
    const u32 elements = shape_page_elements(b, array.object);
    const u32 i = b.type(index) == Type::u64 ? index : b.cast(Type::u64, index);
    const u32 inside = b.compare(Op::lt, i, b.length(array.object));
    const u32 page = b.binary(Op::add, b.argument(array.first),
                              b.binary(Op::shr, i, number(b, u32(std::countr_zero(elements)))));
    return {b.select(inside, page, wide(b, device::kNoPage)),
            b.binary(Op::bit_and, i, wide(b, elements - 1))};
  }

  // Sets found and frame if a way of the bucket holds the wanted page, whatever its pins and dirty bit.
  constexpr void look(Builder& b, u32 bucket, u32 wanted, u32 found, u32 frame) {
    const u32 first = b.binary(Op::mul, bucket, wide(b, device::kWays));
    const u32 word = b.binary(Op::add, first, wide(b, device::kTagWord));
    for (u32 w = 0; w < device::kWays; ++w) {
      const u32 tag = b.load(directory_, b.binary(Op::add, word, wide(b, w)));
      const u32 same =
          b.compare(Op::eq, b.binary(Op::bit_and, tag, wide(b, device::kPage | device::kState)), wanted);
      b.if_(same);
      b.var_store(found, b.constant(Type::boolean, 1));
      b.var_store(frame, b.cast(Type::u32, b.binary(Op::add, first, wide(b, w))));
      b.end_if();
    }
  }

  DirectoryShape shape_;
  u32 directory_ = 0;
  std::vector<Array> arrays_{};
};

}  // namespace gpuio::kernel
