// What every access to an on-demand array begins with: in which page an index lies, and which ways of the
// page directory may hold that page. Writes code; lookup.hpp (kernels that yield) and access.hpp (kernels
// that wait) use it.
//
// Threading, lifetime: as Builder. Errors: none.
#pragma once

#include <gpuio/kernel/traced_word.hpp>

#include <array>
#include <bit>

namespace gpuio::kernel::ways {

struct Location {
  u32 inside;   // boolean: the index is one of the array's
  u32 page;     // u64
  u32 element;  // u32: in the page
};

// `first_page`: u64. Elements are powers of two of bytes, no larger than a page.
constexpr Location locate(Builder& b, u32 object, u32 index, u32 first_page, u32 page_shift) {
  const u32 shift = page_shift - u32(std::countr_zero(size_of(b.object_type(object))));
  const u32 wide = b.type(index) == Type::u64 ? index : b.cast(Type::u64, index);
  const u32 small = b.type(index) == Type::u32 ? index : b.cast(Type::u32, index);
  return {.inside = b.compare(Op::lt, wide, b.length(object)),
          .page = b.binary(Op::add, first_page, b.binary(Op::shr, wide, b.constant(Type::u32, shift))),
          .element = b.binary(Op::bit_and, small, b.constant(Type::u32, (u64{1} << shift) - 1))};
}

// Element `element` (u32) of frame `frame` (u32), as an index into the frames.
constexpr u32 in_frame(Builder& b, Type type, u32 frame, u32 element, u32 page_shift) {
  const u32 shift = page_shift - u32(std::countr_zero(size_of(type)));
  const u32 begin = b.binary(Op::shl, b.cast(Type::u64, frame), b.constant(Type::u32, shift));
  return b.binary(Op::bit_or, begin, b.cast(Type::u64, element));
}

// What the tag of a way says that holds the page `page` (u64), nobody's pin and nothing written; u64.
constexpr u32 valid_tag(Builder& b, u32 page) {
  return b.binary(Op::bit_or, b.binary(Op::shl, page, b.constant(Type::u32, device::kPageShift)),
                  b.constant(Type::u64, u64{device::kValid} << device::kStateShift));
}

// The other bucket: by the second hash, or the next one if that gives the same. All u32.
constexpr u32 other_bucket(Builder& b, u32 primary, u32 secondary, u32 buckets) {
  const u32 next = b.binary(Op::add, primary, b.constant(Type::u32, 1));
  const u32 beside = b.select(b.compare(Op::eq, next, buckets), b.constant(Type::u32, 0), next);
  return b.select(b.compare(Op::eq, primary, secondary), beside, secondary);
}

inline constexpr u32 kNoFrame = 0xffffffff;

// The frame of the bucket's way that has the tag `wanted`, else kNoFrame; u32. tags(word) gives the four tags
// that begin at that word of the directory, as far as they are to be compared.
template <class Tags>
constexpr u32 find(Builder& b, u32 bucket, u32 wanted, Tags tags) {
  const u32 first = b.binary(Op::shl, bucket, b.constant(Type::u32, std::countr_zero(device::kWays)));
  const auto tag = tags(b.binary(Op::add, first, b.constant(Type::u32, device::kTagWord)));
  u32 frame = b.constant(Type::u32, kNoFrame);
  for (u32 w = device::kWays; w-- > 0;) {
    const u32 its = w ? b.binary(Op::add, first, b.constant(Type::u32, w)) : first;
    frame = b.select(b.compare(Op::eq, tag[w], wanted), its, frame);
  }
  return frame;
}

}  // namespace gpuio::kernel::ways
