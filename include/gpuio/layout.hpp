// Where the elements of an array lie in memory: rows with a pitch, tiles, lanes interleaved, Morton order,
// and structures taken apart; each with its inverse.
//
// A Layout says where every element goes: the byte offset of an element is a sum with one term an axis, so
// that a kernel can compute it too (docs/layouts.md has the formulas). `pack` brings an array into the
// layout, `unpack` back; padding is zero, no element is lost, and any shape will do: sizes that are multiples
// of nothing, 0 and 1 among them. The base address is the caller's, or AlignedBytes'.
//
// Threading: a Layout never changes; any threads. Errors: std::invalid_argument for an alignment, tile or
// lane count that cannot be, std::length_error where the bytes do not fit in std::size_t. C++20, no other
// header of ours.
//
//   using namespace gpuio::layout;
//   const Layout tiles = Layout::tiled({1000, 700}, sizeof(float));
//   AlignedBytes memory(tiles.bytes(), tiles.alignment());
//   tiles.pack(matrix, memory.data());
//   float x; std::memcpy(&x, memory.data() + tiles.offset({i, j}), sizeof x);
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace gpuio::layout {

using Shape = std::vector<std::size_t>;

// Memory that begins at a multiple of `alignment`, a power of two. Zero at first.
class AlignedBytes {
 public:
  AlignedBytes(std::size_t size, std::size_t alignment) : size_(size), alignment_(alignment) {
    if (!std::has_single_bit(alignment))
      throw std::invalid_argument("an alignment is a power of two, not " + std::to_string(alignment));
    data_ = static_cast<std::byte*>(::operator new(size ? size : 1, std::align_val_t(alignment)));
    if (size) std::memset(data_, 0, size);
  }
  AlignedBytes(AlignedBytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(other.size_), alignment_(other.alignment_) {}
  AlignedBytes& operator=(AlignedBytes&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(alignment_, other.alignment_);
    return *this;
  }
  ~AlignedBytes() {
    if (data_) ::operator delete(data_, std::align_val_t(alignment_));
  }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0, alignment_ = 1;
};

namespace detail {

inline std::size_t times(std::size_t a, std::size_t b) {
  if (b != 0 && a > std::numeric_limits<std::size_t>::max() / b)
    throw std::length_error("a layout of more bytes than std::size_t counts");
  return a * b;
}
inline std::size_t round_up(std::size_t n, std::size_t to) {
  if (n > std::numeric_limits<std::size_t>::max() - (to - 1))
    throw std::length_error("a layout of more bytes than std::size_t counts");
  return (n + to - 1) / to * to;
}
inline std::size_t pieces(std::size_t n, std::size_t size) { return n / size + (n % size != 0); }
inline void check_alignment(std::size_t alignment) {
  if (!std::has_single_bit(alignment))
    throw std::invalid_argument("an alignment is a power of two, not " + std::to_string(alignment));
}

}  // namespace detail

enum class Order {
  rows,       // row by row, each at a multiple of the alignment
  tiles,      // square tiles of the last two axes, each in one piece
  coalesced,  // groups of lanes: at each step, what the lanes of a group want lies side by side
  morton,     // the bits of the indices interleaved
};

class Layout {
 public:
  // The array as it is, but that each row (of the last axis) begins at a multiple of `alignment`.
  static Layout aligned(Shape shape, std::size_t element_bytes, std::size_t alignment = 128) {
    Layout l(Order::rows, std::move(shape), element_bytes, alignment);
    std::size_t step = element_bytes;
    for (std::size_t axis = l.shape_.size(); axis-- > 0;) {
      const std::size_t n = l.shape_[axis];
      l.fill(axis, [&](std::size_t i) { return i * step; });
      step = detail::times(step, n);
      if (axis + 1 == l.shape_.size()) step = detail::round_up(step, alignment);
    }
    l.bytes_ = detail::round_up(step, alignment);
    return l;
  }

  // Tiles of tile x tile elements. Fewer than two axes: a matrix of one row.
  static Layout tiled(Shape shape, std::size_t element_bytes, std::size_t tile = 32,
                      std::size_t alignment = 128) {
    Layout l(Order::tiles, std::move(shape), element_bytes, alignment);
    if (tile == 0) throw std::invalid_argument("a tile has at least 1 x 1 elements, not 0");
    l.group_ = tile;
    const std::size_t rank = l.shape_.size();
    const std::size_t columns = rank > 0 ? l.shape_[rank - 1] : 1, rows = rank > 1 ? l.shape_[rank - 2] : 1;
    const std::size_t in_row = detail::times(tile, element_bytes), in_tile = detail::times(tile, in_row);
    const std::size_t across = detail::times(in_tile, detail::pieces(columns, tile));
    if (rank > 0)
      l.fill(rank - 1, [&](std::size_t j) { return j / tile * in_tile + j % tile * element_bytes; });
    if (rank > 1) l.fill(rank - 2, [&](std::size_t i) { return i / tile * across + i % tile * in_row; });
    l.outer_axes(rank > 1 ? rank - 2 : 0, detail::times(across, detail::pieces(rows, tile)));
    return l;
  }

  // For lanes that each walk one row (axis 0): groups of `lanes` rows, and element k of all rows of a group
  // side by side. One axis: cut into `lanes` equal runs, a row each.
  static Layout coalesced(Shape shape, std::size_t element_bytes, std::size_t lanes = 32,
                          std::size_t alignment = 128) {
    Layout l(Order::coalesced, std::move(shape), element_bytes, alignment);
    if (lanes == 0) throw std::invalid_argument("a group has at least 1 lane, not 0");
    l.group_ = lanes;
    const std::size_t step = detail::times(lanes, element_bytes);
    if (l.shape_.size() < 2) {
      const std::size_t n = l.shape_.empty() ? 1 : l.shape_[0], run = detail::pieces(n, lanes);
      if (!l.shape_.empty())
        l.fill(0, [&](std::size_t i) { return i % run * step + i / run * element_bytes; });
      l.bytes_ = detail::round_up(detail::times(run, step), alignment);
      return l;
    }
    std::size_t in_group = step;
    for (std::size_t axis = l.shape_.size(); axis-- > 1;) {
      l.fill(axis, [&](std::size_t k) { return k * in_group; });
      in_group = detail::times(in_group, l.shape_[axis]);
    }
    l.fill(0, [&](std::size_t r) { return r / lanes * in_group + r % lanes * element_bytes; });
    l.bytes_ = detail::round_up(detail::times(in_group, detail::pieces(l.shape_[0], lanes)), alignment);
    return l;
  }

  // Each axis is padded to a power of two; the bits of the indices are interleaved from the lowest, the last
  // axis first, as long as an axis has bits left.
  static Layout morton(Shape shape, std::size_t element_bytes, std::size_t alignment = 128) {
    Layout l(Order::morton, std::move(shape), element_bytes, alignment);
    const std::size_t rank = l.shape_.size();
    bool empty = false;
    std::vector<std::vector<unsigned>> place(rank);  // of each bit of an axis, in the code
    unsigned next = 0;
    for (unsigned bit = 0; bit < 64; ++bit)
      for (std::size_t axis = rank; axis-- > 0;)
        if (l.shape_[axis] > 1 && (l.shape_[axis] - 1) >> bit != 0) place[axis].push_back(next++);
    for (const std::size_t n : l.shape_) empty = empty || n == 0;
    if (!empty && next >= 64) throw std::length_error("a layout of more bytes than std::size_t counts");
    l.bytes_ = empty ? 0 : detail::round_up(detail::times(std::size_t(1) << next, element_bytes), alignment);
    for (std::size_t axis = 0; axis < rank && !empty; ++axis)
      l.fill(axis, [&](std::size_t i) {
        std::size_t code = 0;
        for (std::size_t bit = 0; bit < place[axis].size(); ++bit) code |= (i >> bit & 1) << place[axis][bit];
        return code * element_bytes;
      });
    return l;
  }

  Order order() const { return order_; }
  const Shape& shape() const { return shape_; }
  std::size_t element_bytes() const { return element_bytes_; }
  std::size_t alignment() const { return alignment_; }  // that the base address should have
  std::size_t group() const { return group_; }          // side of a tile, or lanes of a group; else 0
  std::size_t bytes() const { return bytes_; }          // all, padding included
  std::size_t padding() const { return bytes_ - elements_ * element_bytes_; }  // bytes that hold no element

  // Of the element with this index, one number an axis, each below the shape's.
  std::size_t offset(std::span<const std::size_t> index) const {
    std::size_t sum = 0;
    for (std::size_t axis = 0; axis < shape_.size(); ++axis) sum += offsets_[axis][index[axis]];
    return sum;
  }
  std::size_t offset(std::initializer_list<std::size_t> index) const {
    return offset(std::span(index.begin(), index.size()));
  }

  // Bytes from one element to the next on each axis, where that is all there is to say; else empty. An axis
  // of one element has 0.
  std::vector<std::ptrdiff_t> strides() const {
    std::vector<std::ptrdiff_t> out;
    for (const auto& axis : offsets_) {
      const std::size_t step = axis.size() > 1 ? axis[1] - axis[0] : 0;
      for (std::size_t i = 0; i < axis.size(); ++i)
        if (axis[i] != i * step) return {};
      out.push_back(std::ptrdiff_t(step));
    }
    return out;
  }

  // From an array, row-major or with strides in bytes (one an axis, of any sign), to bytes() bytes and back.
  void pack(const void* from, void* to) const { pack(from, row_major(), to); }
  void unpack(const void* from, void* to) const { unpack(from, to, row_major()); }
  void pack(const void* from, std::span<const std::ptrdiff_t> strides, void* to) const {
    if (padding()) std::memset(to, 0, bytes_);
    move<true>(const_cast<std::byte*>(static_cast<const std::byte*>(from)), strides,
               static_cast<std::byte*>(to));
  }
  void unpack(const void* from, void* to, std::span<const std::ptrdiff_t> strides) const {
    move<false>(static_cast<std::byte*>(to), strides,
                const_cast<std::byte*>(static_cast<const std::byte*>(from)));
  }

 private:
  struct Run {  // elements of the last axis that lie side by side
    std::size_t first, count;
  };

  Layout(Order order, Shape shape, std::size_t element_bytes, std::size_t alignment)
      : order_(order), shape_(std::move(shape)), element_bytes_(element_bytes), alignment_(alignment) {
    detail::check_alignment(alignment);
    if (element_bytes == 0) throw std::invalid_argument("an element has at least 1 byte, not 0");
    offsets_.resize(shape_.size());
    std::size_t count = 1;
    for (const std::size_t n : shape_) count = n == 0 ? 0 : count;
    for (const std::size_t n : shape_)
      if (count) count = detail::times(count, n);
    elements_ = count;
    (void)detail::times(count, element_bytes);
  }
  template <class F>
  void fill(std::size_t axis, F&& offset_of) {
    if (elements_ == 0) return;  // nobody asks where nothing lies
    offsets_[axis].reserve(shape_[axis]);
    for (std::size_t i = 0; i < shape_[axis]; ++i) offsets_[axis].push_back(offset_of(i));
  }
  // The axes before the first `count` inner ones, each element of which has `step` bytes.
  void outer_axes(std::size_t count, std::size_t step) {
    for (std::size_t axis = count; axis-- > 0;) {
      fill(axis, [&](std::size_t i) { return i * step; });
      step = detail::times(step, shape_[axis]);
    }
    bytes_ = detail::round_up(step, alignment_);
  }
  std::vector<std::ptrdiff_t> row_major() const {
    std::vector<std::ptrdiff_t> out(shape_.size());
    std::size_t step = element_bytes_;
    for (std::size_t axis = shape_.size(); axis-- > 0; step *= shape_[axis]) out[axis] = std::ptrdiff_t(step);
    return out;
  }

  template <bool Pack>
  static void copy(std::byte* outside, std::byte* inside, std::size_t bytes) {
    if constexpr (Pack) std::memcpy(inside, outside, bytes);
    else std::memcpy(outside, inside, bytes);
  }
  template <bool Pack>
  void move(std::byte* outside, std::span<const std::ptrdiff_t> strides, std::byte* inside) const {
    if (strides.size() != shape_.size())
      throw std::invalid_argument(std::to_string(strides.size()) + " strides for " +
                                  std::to_string(shape_.size()) + " axes");
    if (elements_ == 0) return;
    if (shape_.empty()) return copy<Pack>(outside, inside, element_bytes_);
    const auto& last = offsets_.back();
    std::vector<Run> runs;
    for (std::size_t j = 0; j < last.size(); ++j) {
      const bool on = j > 0 && strides.back() == std::ptrdiff_t(element_bytes_) &&
                      last[j] == last[j - 1] + element_bytes_;
      if (on) ++runs.back().count;
      else runs.push_back({j, 1});
    }
    // An element of the usual sizes is one load and one store when its size is a constant.
    switch (runs.size() == last.size() ? element_bytes_ : 0) {
      case 1: return move_axis<Pack, 1>(0, outside, strides, inside, runs);
      case 2: return move_axis<Pack, 2>(0, outside, strides, inside, runs);
      case 4: return move_axis<Pack, 4>(0, outside, strides, inside, runs);
      case 8: return move_axis<Pack, 8>(0, outside, strides, inside, runs);
      case 16: return move_axis<Pack, 16>(0, outside, strides, inside, runs);
      default: return move_axis<Pack, 0>(0, outside, strides, inside, runs);
    }
  }
  // Constant: the size of an element where no two lie side by side, else 0.
  template <bool Pack, std::size_t Constant>
  void move_axis(std::size_t axis, std::byte* outside, std::span<const std::ptrdiff_t> strides,
                 std::byte* inside, const std::vector<Run>& runs) const {
    const auto& at = offsets_[axis];
    if (axis + 1 < shape_.size()) {
      for (std::size_t i = 0; i < at.size(); ++i)
        move_axis<Pack, Constant>(axis + 1, outside + std::ptrdiff_t(i) * strides[axis], strides,
                                  inside + at[i], runs);
      return;
    }
    if constexpr (Constant != 0) {
      for (std::size_t j = 0; j < at.size(); ++j)
        copy<Pack>(outside + std::ptrdiff_t(j) * strides[axis], inside + at[j], Constant);
    } else {
      for (const Run& r : runs)
        copy<Pack>(outside + std::ptrdiff_t(r.first) * strides[axis], inside + at[r.first],
                   r.count * element_bytes_);
    }
  }

  Order order_;
  Shape shape_;
  std::size_t element_bytes_, alignment_, group_ = 0, bytes_ = 0, elements_ = 0;
  std::vector<std::vector<std::size_t>> offsets_;  // in bytes, of each index of each axis
};

// A structure's member: where it begins and how long it is.
struct Field {
  std::size_t offset = 0, bytes = 0;
};

// An array of structures as one array a member, each beginning at a multiple of the alignment.
class Planes {
 public:
  Planes(std::size_t count, std::size_t record_bytes, std::vector<Field> fields, std::size_t alignment = 128)
      : count_(count), record_bytes_(record_bytes), alignment_(alignment), fields_(std::move(fields)) {
    detail::check_alignment(alignment);
    (void)detail::times(count, record_bytes);
    for (const Field& f : fields_) {
      if (f.bytes == 0 || f.offset > record_bytes || f.bytes > record_bytes - f.offset)
        throw std::invalid_argument("a member of " + std::to_string(f.bytes) + " bytes at " +
                                    std::to_string(f.offset) + " in a structure of " +
                                    std::to_string(record_bytes));
      planes_.push_back(bytes_);
      const std::size_t plane = detail::round_up(detail::times(count, f.bytes), alignment);
      if (plane > std::numeric_limits<std::size_t>::max() - bytes_)
        throw std::length_error("a layout of more bytes than std::size_t counts");
      bytes_ += plane;
    }
  }

  std::size_t bytes() const { return bytes_; }
  std::size_t alignment() const { return alignment_; }
  std::size_t plane(std::size_t field) const { return planes_[field]; }  // where its array begins

  void pack(const void* records, void* to) const {
    if (bytes_) std::memset(to, 0, bytes_);
    const auto* from = static_cast<const std::byte*>(records);
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      std::byte* out = static_cast<std::byte*>(to) + planes_[f];
      for (std::size_t i = 0; i < count_; ++i)
        std::memcpy(out + i * fields_[f].bytes, from + i * record_bytes_ + fields_[f].offset,
                    fields_[f].bytes);
    }
  }
  // Writes the members; bytes between them keep what they hold.
  void unpack(const void* from, void* records) const {
    auto* to = static_cast<std::byte*>(records);
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      const std::byte* in = static_cast<const std::byte*>(from) + planes_[f];
      for (std::size_t i = 0; i < count_; ++i)
        std::memcpy(to + i * record_bytes_ + fields_[f].offset, in + i * fields_[f].bytes, fields_[f].bytes);
    }
  }

 private:
  std::size_t count_, record_bytes_, alignment_, bytes_ = 0;
  std::vector<Field> fields_;
  std::vector<std::size_t> planes_;
};

}  // namespace gpuio::layout
