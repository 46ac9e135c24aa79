// Rows moved, and the largest of rows, as code of the processor.

#include <algorithm>
#include <limits>

#include "ops/native.hpp"
#include "ops/native_forms.hpp"

namespace gpuio::ops {
namespace {

using namespace native;

namespace move_slots {
enum Slot : std::uint32_t { kX, kY, kIndices, kRows, kLimit, kXStride, kYStride, kWords };
}
struct Move {
  bool gathers, wide_indices;
  std::uint32_t bytes;

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace move_slots;
    const std::uint64_t unit = std::min(bytes, 4u), size = number(group, kWords) * bytes,
                        x_step = number(group, kXStride) * unit, y_step = number(group, kYStride) * unit;
    const auto* const x = pointer<const std::byte>(group, kX);
    auto* const y = pointer<std::byte>(group, kY);
    const Share rows = share_of(group, number(group, kRows));
    for (std::uint64_t row = rows.begin; row < rows.end; ++row) {
      const std::uint64_t other = wide_indices ? pointer<const std::uint64_t>(group, kIndices)[row]
                                               : pointer<const std::uint32_t>(group, kIndices)[row];
      const bool there = other < number(group, kLimit);
      if (there)
        std::memcpy(y + (gathers ? row : other) * y_step, x + (gathers ? other : row) * x_step, size);
      else if (gathers) std::memset(y + row * y_step, 0, size);
    }
    return {};
  }
};

namespace top_k_slots {
enum Slot : std::uint32_t {
  kX,
  kValues,
  kIndices,
  kScratch,
  kRows,
  kXStride,
  kVStride,
  kIStride,
  kColumns,
  kMost
};
}

// The `most` largest of `count` entries first, in no order.
[[gnu::noinline]] void largest_first(std::uint64_t* entries, std::uint32_t count, std::uint32_t most) {
  std::nth_element(entries, entries + (most - 1), entries + count, std::greater<>());
}
[[gnu::noinline]] void sort(std::uint64_t* entries, std::uint32_t count) {
  std::sort(entries, entries + count, std::greater<>());
}

// Entries are a key in the order of the elements, and behind it the index, which is larger where that is
// lower. Those that are larger than the least of the k found so far are collected; when there is no more room
// the k largest stay.
struct TopK {
  Dtype x;
  bool values;

  static constexpr std::uint32_t kTogether = 64;  // elements that are passed over at once where none is large

  GPUIO_INLINE Status run(const gpu::Workgroup& group) const {
    using namespace top_k_slots;
    const auto columns = std::uint32_t(number(group, kColumns)), most = std::uint32_t(number(group, kMost));
    const std::uint32_t room = std::max(2 * most, most + 1024) + kTogether;
    auto* const entries = static_cast<std::uint64_t*>(scratch().bytes(std::size_t{room} * 8 + 2 * kLine * 4));
    if (!entries) return no_memory("the largest of a row");
    auto* const line = reinterpret_cast<float*>(entries + room);
    auto* const keys = reinterpret_cast<std::uint32_t*>(line + kLine);
    const Share rows = share_of(group, number(group, kRows));
    for (std::uint64_t row = rows.begin; row < rows.end; ++row) {
      const std::uint64_t from = row * number(group, kXStride);
      std::uint32_t found = 0, least = 0;
      bool full = false;  // there are k, whose least has the key `least`: later ones need a larger key
      for_lines(columns, [&](std::uint32_t j, std::uint32_t count) {
        keys_of(group, line, from + j, count, keys);
        for (std::uint32_t i = 0; i < count; i += kTogether) {
          const std::uint32_t end = std::min(count, i + kTogether);
          if (full) {
            std::uint32_t above = 0;
            for (std::uint32_t e = i; e < end; ++e) above |= keys[e] > least;
            if (!above) continue;
          }
          for (std::uint32_t e = i; e < end; ++e)
            if (!full || keys[e] > least)
              entries[found++] = std::uint64_t{keys[e]} << 32 | std::uint32_t(~(j + e));
          if (found + kTogether <= room) continue;
          largest_first(entries, found, most);
          found = most, full = true, least = std::uint32_t(entries[most - 1] >> 32);
        }
      });
      if (found > most) largest_first(entries, found, most);
      sort(entries, most);
      store(group, row, from, entries, most);
    }
    return {};
  }

 private:
  // Unsigned numbers in the order of the elements; of NaNs 0.
  GPUIO_INLINE void keys_of(const gpu::Workgroup& group, float* line, std::uint64_t at, std::uint32_t count,
                            std::uint32_t* keys) const {
    using namespace top_k_slots;
    if (x == Dtype::u32) {
      std::memcpy(keys, pointer<const std::uint32_t>(group, kX) + at, std::size_t{count} * 4);
      return;
    }
    if (x == Dtype::i32) {
      const std::uint32_t* const v = pointer<const std::uint32_t>(group, kX) + at;
      for (std::uint32_t i = 0; i < count; ++i) keys[i] = v[i] ^ 0x80000000u;
      return;
    }
    const float* const v = source(group, kX, x).floats(line, at, count);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t bits = v[i] == 0.0f ? 0 : std::bit_cast<std::uint32_t>(v[i]);  // one zero
      const std::uint32_t key = std::int32_t(bits) < 0 ? ~bits : bits | 0x80000000u;
      keys[i] = v[i] == v[i] ? key : 0;
    }
  }
  GPUIO_INLINE void store(const gpu::Workgroup& group, std::uint64_t row, std::uint64_t from,
                          const std::uint64_t* entries, std::uint32_t most) const {
    using namespace top_k_slots;
    auto* const indices = pointer<std::uint32_t>(group, kIndices) + row * number(group, kIStride);
    const std::uint32_t bytes = bits_of(x) / 8;
    const auto* const elements = pointer<const std::byte>(group, kX) + from * bytes;
    for (std::uint32_t i = 0; i < most; ++i) {
      indices[i] = ~std::uint32_t(entries[i]);
      if (values)
        std::memcpy(pointer<std::byte>(group, kValues) + (row * number(group, kVStride) + i) * bytes,
                    elements + std::size_t{indices[i]} * bytes, bytes);
    }
  }
};

}  // namespace

gpu::Native native_move(bool gathers, bool wide_indices, std::uint32_t bytes) {
  return native::of(Move{gathers, wide_indices, bytes});
}
gpu::Native native_top_k(Dtype x, bool values) { return native::of(TopK{x, values}); }

}  // namespace gpuio::ops
