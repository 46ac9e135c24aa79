// What the parts of the ADead-BIB loader share: a reader that knows its offset, and who lowers what.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "launch/adead.hpp"

namespace gpuio::launch::adead {

using kernel::u32;
using kernel::u64;
using kernel::u8;

inline constexpr u32 kLanes = 256;  // of a workgroup, unless the caller says otherwise

// Little-endian fields of a file; `base` is where its bytes lie in the whole file, for messages.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes, u64 base = 0) : bytes_(bytes), base_(base) {}
  u64 offset() const { return base_ + at_; }
  u64 left() const { return bytes_.size() - at_; }

  Result<u32> number(u32 size, std::string_view what) {
    if (left() < size)
      return fail(
          Code::invalid_arg,
          "offset {}: {} needs {} bytes and {} are left; the file is truncated or its counts are wrong",
          offset(), what, size, left());
    u32 value = 0;
    for (u32 i = 0; i < size; ++i) value |= u32(bytes_[at_ + i]) << (8 * i);
    at_ += size;
    return value;
  }
  Result<std::span<const std::byte>> take(u64 size, std::string_view what) {
    if (left() < size)
      return fail(Code::invalid_arg, "offset {}: {} has {} bytes and {} are left; the file is truncated",
                  offset(), what, size, left());
    const auto part = bytes_.subspan(at_, size);
    at_ += size;
    return part;
  }

 private:
  std::span<const std::byte> bytes_;
  u64 base_;
  u64 at_ = 0;
};

// Accumulator and register code, decoded: a machine whose registers are arrays, one element a lane.
enum class ArrayOp : u8 {
  load,       // a: buffer
  store,      // dst: buffer, a
  immediate,  // a: the number itself
  add,        // a, b
  sub,
  mul,
  div,
  fma,           // dst + a * b
  dot,           // sum of a * b over all elements; the same in every element
  norm,          // Euclidean, of a; the same in every element
  matmul,        // square matrices a, b
  transpose,     // square matrix a
  inverse,       // square matrix a
  load_shared,   // a: slot
  store_shared,  // dst: slot, a
  sync,
};
struct ArrayInst {
  ArrayOp op{};
  u8 dst = 0, a = 0, b = 0;
  u64 offset = 0;  // in the file
};
inline constexpr u32 kSharedSlots = 4;

Result<std::vector<ArrayInst>> decode_accumulator(std::span<const std::byte> bytes);
Result<std::vector<ArrayInst>> decode_registers(Reader reader, u32 count);

// One kernel from decoded code; `options.block` is a workgroup.
Result<AdeadModule> lower_array(std::span<const ArrayInst> code, const AdeadOptions& options);

// AGPU, from its magic on.
Result<AdeadModule> parse_operations(Reader reader);

// The grid that has at least `count` lanes in workgroups of `lanes`.
std::array<u32, 3> grid_of(u64 count, u32 lanes);

}  // namespace gpuio::launch::adead
