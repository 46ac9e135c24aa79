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
#include <gpuio/kernel/ways.hpp>

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
    const Type type = b.object_type(object);
    const ways::Location place = locate(b, array, index);
    const u32 frame = b.var(Type::u32), value = b.var(type);
    const auto number = [&](u64 n) { return b.constant(Type::u32, n); };
    const auto held = [&] { return b.compare(Op::ne, b.var_load(frame), number(ways::kNoFrame)); };
    const traced::Word page{b, place.page}, buckets{b, number(shape_.buckets)};
    // A launch has no pins and dirties nothing, so a tag is exactly this or another page's.
    const u32 wanted = ways::valid_tag(b, place.page);
    const auto tags = [&](u32 first) {
      const u32 low = b.load(directory_, first, 2);
      const u32 high = b.load(directory_, b.binary(Op::add, first, number(2)), 2);
      return std::array{b.extract(low, 0), b.extract(low, 1), b.extract(high, 0), b.extract(high, 1)};
    };
    b.var_store(value, b.constant(type, 0));
    const u32 primary = traced::bucket(page, device::kHashPrimary, buckets).id;
    b.var_store(frame, ways::find(b, primary, wanted, tags));
    b.if_(b.unary(Op::bit_not, held()));
    const u32 secondary = traced::bucket(page, device::kHashSecondary, buckets).id;
    b.var_store(frame, ways::find(b, ways::other_bucket(b, primary, secondary, buckets.id), wanted, tags));
    b.end_if();
    const u32 ok = held();
    b.if_(ok);
    const u32 at = ways::in_frame(b, type, b.var_load(frame), place.element, page_shift());
    b.var_store(value, b.load(array.frames, at));
    b.end_if();
    return {.ok = ok, .value = b.var_load(value)};
  }

  constexpr void request(Builder& b, Slab& slab, u32 object, u32 index) {
    const ways::Location place = locate(b, find(object), index);
    const u32 size = b.constant(Type::u32, size_of(b.object_type(object)));
    slab.write_wide(kRecordPage, place.page);
    slab.write(kRecordByte, b.binary(Op::mul, place.element, size));
    slab.write(kRecordBytes, size);
  }

  // The host reads ahead by itself.
  constexpr void prefetch(Builder&, u32, u32) {}

 private:
  constexpr u32 page_shift() const { return u32(std::countr_zero(shape_.page_bytes)); }
  constexpr const Array& find(u32 object) const {
    for (const Array& a : arrays_)
      if (a.object == object) return a;
    return arrays_[0];
  }

  // Past the array's end: in no page.
  constexpr ways::Location locate(Builder& b, const Array& array, u32 index) const {
    ways::Location l = ways::locate(b, array.object, index, b.argument(array.first), page_shift());
    l.page = b.select(l.inside, l.page, b.constant(Type::u64, device::kNoPage));
    return l;
  }

  DirectoryShape shape_;
  u32 directory_ = 0;
  std::vector<Array> arrays_{};
};

}  // namespace gpuio::kernel
