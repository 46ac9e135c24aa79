// The native product of the CPU device: a workgroup sums a block of c from panels of a and b, which it widens
// to f32 and puts in the order in which they are read. Sums of i8 stay exact: as many products are added as
// f32 holds, and the rest in i32.
//
// After K. Goto and R. van de Geijn, Anatomy of high-performance matrix multiplication (2008).

#include <bit>
#include <cstring>

#include "ops/matmul.hpp"
#include "ops/matmul_micro.hpp"
#include "ops/native.hpp"

namespace gpuio::ops {
namespace {

constexpr std::uint32_t kFewRows = 4;   // of a, for which b is not put in order
constexpr std::uint32_t kExact = 1024;  // products of two i8 whose sum f32 holds exactly

std::uint32_t up(std::uint32_t n, std::uint32_t to) { return (n + to - 1) / to * to; }

// --- Widening

float of_tf32(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  const bool special = (bits & 0x7f800000u) == 0x7f800000u;
  return std::bit_cast<float>(special ? bits : (bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u);
}
// `count` neighbours of a matrix, from element `at` on.
struct Operand : native::Source {
  bool tf32 = false;
  void widen(float* to, std::uint64_t at, std::uint32_t count) const {
    native::Source::widen(to, at, count);
    if (!tf32) return;
    for (std::uint32_t i = 0; i < count; ++i) to[i] = of_tf32(to[i]);
  }
  // `scales`: that of the row's first group.
  void widen_i4(float* to, std::uint64_t row, std::uint32_t k0, std::uint32_t count,
                const float* scales) const {
    widen(to, row + k0, count);
    for (std::uint32_t i = 0; scales && i < count; ++i) to[i] *= scales[(k0 + i) / kGroup];
  }
};

// --- A block

struct Native {
  Product product;  // its types and flags; sizes and addresses come with a launch
  std::uint32_t rows, columns, depth;
  Micro micro;
  Dot dot;
};

class Block {
 public:
  Block(const Native& native, std::span<const gpu::Argument> arguments)
      : n_(native), p_(native.product), arguments_(arguments), rows_(up(native.rows, kMicroRows)) {}

  Status run(std::uint64_t first, std::uint64_t step) {
    const std::size_t sums = std::size_t{rows_} * n_.columns;
    const std::size_t a = std::max(std::size_t{rows_} * n_.depth, std::size_t{kFewRows} * kExact);
    const std::size_t b = std::size_t{n_.columns} * n_.depth, line = std::max(n_.depth, kExact);
    float* const memory = native::scratch().floats(2 * sums + a + b + line);
    if (!memory) return native::no_memory("the blocks of a product");
    sums_ = memory, totals_ = reinterpret_cast<std::int32_t*>(memory + sums);
    a_ = memory + 2 * sums, b_ = a_ + a, line_ = b_ + b;
    const std::uint64_t down = (m() + std::uint64_t{n_.rows} - 1) / n_.rows;
    std::array<std::uint64_t, kPartsMax> end{};
    std::uint64_t across = 0;
    for (std::uint32_t i = 0; i < p_.parts; ++i)
      end[i] = across += (of(kN + i) + n_.columns - 1) / n_.columns;
    for (std::uint64_t tile = first; tile < down * across * of(kBatch); tile += step) {
      const std::uint64_t product = tile / (down * across), rest = tile % (down * across);
      std::uint64_t column = rest / down;
      part_ = 0;
      while (column >= end[part_]) ++part_;
      if (part_ > 0) column -= end[part_ - 1];
      one(product, std::uint32_t(rest % down) * n_.rows, std::uint32_t(column) * n_.columns);
    }
    return {};
  }

 private:
  std::uint64_t of(std::uint32_t slot) const { return arguments_[slot].value; }
  std::uint32_t m() const { return std::uint32_t(of(kM)); }
  std::uint64_t of_part(std::uint32_t slot) const { return of(slot + part_); }
  template <class T>
  T* at(std::uint32_t slot) const {
    return reinterpret_cast<T*>(of(slot));
  }

  void one(std::uint64_t product, std::uint32_t row, std::uint32_t column) {
    const auto k = std::uint32_t(of(kK));
    const std::uint32_t rows = std::min(n_.rows, m() - row);
    const std::uint32_t columns = std::min(n_.columns, std::uint32_t(of_part(kN)) - column);
    std::uint32_t summed = 0;  // products since f32 began anew
    bool total = false;
    if (k == 0) std::memset(sums_, 0, std::size_t{rows_} * n_.columns * 4);
    const bool few = p_.b_transposed && rows <= kFewRows;
    const std::uint32_t step = few ? kExact : n_.depth;
    for (std::uint32_t k0 = 0; k0 < k; k0 += step) {
      const std::uint32_t depth = std::min(step, k - k0);
      const std::uint64_t from_a = product * of(kABatch) + row * of(kARow);
      if (few) dots(product, from_a, rows, column, columns, k0, depth, summed == 0);
      else blocks(product, from_a, rows, column, columns, k0, depth, summed == 0);
      summed += depth;
      if (p_.integers() && (summed + step > kExact || k0 + depth == k)) {
        add_up(rows, columns, !total);
        total = true, summed = 0;
      }
    }
    if (p_.integers() && k == 0) std::memset(totals_, 0, std::size_t{rows_} * n_.columns * 4);
    for (std::uint32_t i = 0; i < rows; ++i) store(product, row + i, column, i, columns);
  }

  // Few rows: each of b is read once, and not put in another order first.
  void dots(std::uint64_t product, std::uint64_t from_a, std::uint32_t rows, std::uint32_t column,
            std::uint32_t columns, std::uint32_t k0, std::uint32_t depth, bool first) {
    const Operand a{{p_.a, at<const std::byte>(kA)}, p_.tf32};
    for (std::uint32_t i = 0; i < rows; ++i)
      a.widen(a_ + std::size_t{i} * depth, from_a + i * of(kARow) + k0, depth);
    for (std::uint32_t j = 0; j < columns; ++j) {
      const float* const b = row_of_b(product, column + j, k0, depth);
      for (std::uint32_t i = 0; i < rows; ++i) {
        float& sum = sums_[std::size_t{i} * n_.columns + j];
        const float more = n_.dot(a_ + std::size_t{i} * depth, b, depth);
        sum = first ? more : sum + more;
      }
    }
  }
  void blocks(std::uint64_t product, std::uint64_t from_a, std::uint32_t rows, std::uint32_t column,
              std::uint32_t columns, std::uint32_t k0, std::uint32_t depth, bool first) {
    pack_a(from_a, rows, k0, depth);
    pack_b(product, column, columns, k0, depth);
    for (std::uint32_t j = 0; j < columns; j += kMicroColumns)
      for (std::uint32_t i = 0; i < rows; i += kMicroRows)
        n_.micro(a_ + std::size_t{i} * depth, 1, kMicroRows, b_ + std::size_t{j} * depth,
                 sums_ + std::size_t{i} * n_.columns + j, n_.columns, depth, std::min(kMicroRows, rows - i),
                 first);
  }
  // Of b transposed, from k0 on: where it lies, or widened to line_.
  const float* row_of_b(std::uint64_t product, std::uint64_t n, std::uint32_t k0, std::uint32_t depth) {
    const Operand source{{p_.b, at<const std::byte>(kB)}, p_.tf32};
    const std::uint64_t row = of_part(kBFrom) + product * of(kBBatch) + n * of_part(kBRow);
    if (p_.b == Dtype::f32 && !p_.tf32) return source.floats(line_, row + k0, depth);
    const std::uint64_t groups = (of(kK) + kGroup - 1) / kGroup;
    const auto* const scales = at<const float>(kScaleB) + of_part(kScaleFrom);
    if (p_.b == Dtype::i4)
      source.widen_i4(line_, row, k0, depth, p_.scaled_b ? scales + n * groups : nullptr);
    else source.widen(line_, row + k0, depth);
    return line_;
  }

  // Rows in sixes, each k of six side by side.
  void pack_a(std::uint64_t from, std::uint32_t rows, std::uint32_t k0, std::uint32_t depth) {
    const Operand source{{p_.a, at<const std::byte>(kA)}, p_.tf32};
    for (std::uint32_t i = 0; i < rows; ++i) {
      source.widen(line_, from + i * of(kARow) + k0, depth);
      float* const to = a_ + std::size_t{i / kMicroRows * kMicroRows} * depth + i % kMicroRows;
      for (std::uint32_t k = 0; k < depth; ++k) to[std::size_t{k} * kMicroRows] = line_[k];
    }
  }
  // Columns in sixteens, zeros beyond the last.
  void pack_b(std::uint64_t product, std::uint32_t column, std::uint32_t columns, std::uint32_t k0,
              std::uint32_t depth) {
    const Operand source{{p_.b, at<const std::byte>(kB)}, p_.tf32};
    const std::uint64_t from = of_part(kBFrom) + product * of(kBBatch), step = of_part(kBRow);
    for (std::uint32_t j = 0; j < columns; j += kMicroColumns) {
      const std::uint32_t wide = std::min(kMicroColumns, columns - j);
      float* const panel = b_ + std::size_t{j} * depth;
      if (wide < kMicroColumns) std::memset(panel, 0, std::size_t{depth} * kMicroColumns * 4);
      if (!p_.b_transposed) {
        for (std::uint32_t k = 0; k < depth; ++k)
          source.widen(panel + std::size_t{k} * kMicroColumns, from + (k0 + k) * step + column + j, wide);
        continue;
      }
      for (std::uint32_t i = 0; i < wide; ++i) {
        const float* const row = row_of_b(product, column + j + i, k0, depth);
        for (std::uint32_t k = 0; k < depth; ++k) panel[std::size_t{k} * kMicroColumns + i] = row[k];
      }
    }
  }

  void add_up(std::uint32_t rows, std::uint32_t columns, bool first) {
    for (std::uint32_t i = 0; i < rows; ++i) {
      const float* const from = sums_ + std::size_t{i} * n_.columns;
      std::int32_t* const to = totals_ + std::size_t{i} * n_.columns;
      // Unsigned: what leaves 32 bits wraps, as on other devices.
      for (std::uint32_t j = 0; j < columns; ++j)
        to[j] = std::int32_t((first ? 0u : std::uint32_t(to[j])) + std::uint32_t(std::int32_t(from[j])));
    }
  }

  void store(std::uint64_t product, std::uint32_t row, std::uint32_t column, std::uint32_t i,
             std::uint32_t columns) {
    float* const sum = sums_ + std::size_t{i} * n_.columns;
    const std::int32_t* const total = totals_ + std::size_t{i} * n_.columns;
    const std::uint64_t to = of_part(kCFrom) + product * of(kCBatch) + row * of_part(kCRow) + column;
    std::byte* const c = at<std::byte>(kC) + to * (bits_of(p_.c) / 8);
    if (p_.c == Dtype::i32) {
      std::memcpy(c, total, std::size_t{columns} * 4);
      return;
    }
    if (p_.integers())
      for (std::uint32_t j = 0; j < columns; ++j) sum[j] = float(total[j]);
    if (p_.scaled_a) {
      const float scale = at<const float>(kScaleA)[row];
      for (std::uint32_t j = 0; j < columns; ++j) sum[j] *= scale;
    }
    if (p_.scaled_b && p_.b != Dtype::i4) {
      const float* const scales = at<const float>(kScaleB) + of_part(kScaleFrom) + column;
      for (std::uint32_t j = 0; j < columns; ++j) sum[j] *= scales[j];
    }
    if (p_.biased) {
      const native::Source bias{p_.bias_type, at<const std::byte>(kBias)};
      for (std::uint32_t j = 0; j < columns; j += n_.depth) {
        const std::uint32_t count = std::min(n_.depth, columns - j);
        const float* const more = bias.floats(line_, column + j, count);
        for (std::uint32_t l = 0; l < count; ++l) sum[j + l] += more[l];
      }
    }
    if (p_.c == Dtype::f32) std::memcpy(c, sum, std::size_t{columns} * 4);
    else native::conversions().narrow(p_.c, c, 0, columns, sum);
  }

  const Native& n_;
  const Product& p_;
  std::span<const gpu::Argument> arguments_;
  const std::uint32_t rows_;
  std::uint32_t part_ = 0;
  float *sums_ = nullptr, *a_ = nullptr, *b_ = nullptr, *line_ = nullptr;
  std::int32_t* totals_ = nullptr;
};

}  // namespace

gpu::Native native_matmul(const Product& product, const Way& way) {
  auto data = std::make_shared<const Native>(product, way.rows, way.columns, way.depth, micro_of_this_cpu(),
                                             dot_of_this_cpu());
  return {.run =
              [](const gpu::Workgroup& group) {
                return Block(*static_cast<const Native*>(group.data), group.arguments)
                    .run(group.group[0], group.groups[0]);
              },
          .data = std::move(data)};
}

}  // namespace gpuio::ops
