// Elements of a buffer as bits: little endian bytes, as every device of ours stores them; in constant
// evaluation too, which cannot reinterpret memory. The caller keeps the offset in range.
#pragma once

#include <cstring>
#include <type_traits>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel {

constexpr u64 read_element(std::span<const std::byte> bytes, u64 offset, u32 size) {
  u64 bits = 0;
  if (std::is_constant_evaluated()) {
    for (u32 i = 0; i < size; ++i) bits |= u64(bytes[offset + i]) << (8 * i);
  } else {
    std::memcpy(&bits, bytes.data() + offset, size);
  }
  return bits;
}
constexpr void write_element(std::span<std::byte> bytes, u64 offset, u32 size, u64 bits) {
  if (std::is_constant_evaluated()) {
    for (u32 i = 0; i < size; ++i) bytes[offset + i] = std::byte(bits >> (8 * i) & 255);
  } else {
    std::memcpy(bytes.data() + offset, &bits, size);
  }
}

}  // namespace gpuio::kernel
