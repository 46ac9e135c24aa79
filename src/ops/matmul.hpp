// Products of matrices: what a launch computes, the ways there are to do it, and their kernels.
//
// A Product is checked tensors as numbers: up to three products of the same a, whose columns lie side by side
// in the grid (the projections of attention; otherwise one). A Way is how: a tile of the traced kernel, which
// every device runs, one of the kernel for matrix units (CUDA), or a block of the native one, which the CPU
// device runs. All ways give results within
// the stated error; not the same bits, as they add in other orders. Pure but for launch; any thread.
//
//   auto product = product_of(a, b, c, options);
//   return launch(place, *product, way_for(place, *product));
#pragma once

#include "ops/ops.hpp"

namespace gpuio::ops {

inline constexpr std::uint32_t kGroup = 128;  // elements of k that share a scale of i4
inline constexpr std::size_t kPartsMax = 3;

struct Product {
  Dtype a = Dtype::f32, b = Dtype::f32, c = Dtype::f32, bias_type = Dtype::f32;
  bool b_transposed = false, tf32 = false, scaled_a = false, scaled_b = false, biased = false;
  std::uint32_t m = 0, k = 0, batch = 1;
  std::uint64_t a_at = 0, scale_a_at = 0, bias_at = 0;             // addresses
  std::uint64_t a_row = 0, a_batch = 0, b_batch = 0, c_batch = 0;  // elements
  struct Part {
    std::uint32_t n = 0;
    std::uint64_t b_at = 0, c_at = 0, scale_at = 0;  // addresses
    std::uint64_t b_row = 0, c_row = 0;              // elements
  };
  std::uint32_t parts = 1;
  std::array<Part, kPartsMax> part{};

  bool integers() const { return a == Dtype::i8; }  // sums in i32
  // Matrix units sum so many products at a time in parts of their own: those of i4 share a scale, and for
  // 8-bit floats the units of sm_89 and sm_90 keep 13 bits behind the point of their sums.
  bool in_groups() const { return b == Dtype::i4 || a == Dtype::f8e4m3 || a == Dtype::f8e5m2; }
  std::uint64_t columns() const { return std::uint64_t{part[0].n} + part[1].n + part[2].n; }
  bool empty() const { return m == 0 || batch == 0 || columns() == 0; }
};

// INVALID_ARG, UNSUPPORTED as gpuio_matmul.
Result<Product> product_of(const Tensor& a, const Tensor& b, const Tensor& c, const MatmulOptions& options);

// A tile of rows x columns, `depth` of k at a time. Each lane of the traced kernel sums lane_rows x
// lane_columns. A way of matrix units has none of these: its subgroups, warps_down x warps_across, sum a part
// of the tile each, `depth` counts bytes, and so many stages of it are on their way or being read. On
// Hopper's (`warpgroups`) each four subgroups sum 64 rows together. A native way has neither.
struct Way {
  std::string_view name;
  std::uint32_t rows, columns, depth, lane_rows, lane_columns;
  std::uint32_t stages = 0, warps_down = 0, warps_across = 0;
  bool warpgroups = false;
  constexpr bool units() const { return stages != 0; }
  constexpr bool native() const { return lane_rows == 0 && !units(); }
  std::uint32_t lanes() const {
    return units() ? warps_down * warps_across * 32 : rows / lane_rows * (columns / lane_columns);
  }
  std::uint32_t shared_bytes() const {
    if (warpgroups) return (rows + 1 + columns + 1) * depth * stages;
    return units() ? (rows + columns) * (depth + 16) * stages : (rows + columns + 8) * depth * 4;
  }
};
inline constexpr std::array<Way, 24> kWays{
    {{"16x64x16", 16, 64, 16, 4, 4},
     {"32x32x16", 32, 32, 16, 4, 4},
     {"64x64x16", 64, 64, 16, 4, 4},
     {"64x64x32", 64, 64, 32, 8, 4},
     {"128x64x16", 128, 64, 16, 8, 8},
     {"128x128x16", 128, 128, 16, 8, 8},
     {"128x128x8", 128, 128, 8, 8, 8},
     {"units 16x32, 8 of 64", 16, 32, 64, 0, 0, 8, 1, 4},
     {"units 16x128, 4 of 64", 16, 128, 64, 0, 0, 4, 1, 4},
     {"units 64x64, 4 of 64", 64, 64, 64, 0, 0, 4, 2, 2},
     {"units 128x64, 3 of 64, 8 warps", 128, 64, 64, 0, 0, 3, 4, 2},
     {"units 128x64, 3 of 64", 128, 64, 64, 0, 0, 3, 2, 2},
     {"units 128x128, 4 of 32, 8 warps", 128, 128, 32, 0, 0, 4, 2, 4},
     {"units 128x128, 2 of 64", 128, 128, 64, 0, 0, 2, 2, 2},
     {"units 128x128, 4 of 32", 128, 128, 32, 0, 0, 4, 2, 2},
     {"units 128x256, 2 of 32", 128, 256, 32, 0, 0, 2, 2, 4},
     {"units 128x256, 4 of 64", 128, 256, 64, 0, 0, 4, 2, 4},
     {"warpgroups 128x128, 4 of 128", 128, 128, 128, 0, 0, 4, 8, 1, true},
     {"warpgroups 128x256, 4 of 128", 128, 256, 128, 0, 0, 4, 8, 1, true},
     {"warpgroups 256x192, 4 of 128", 256, 192, 128, 0, 0, 4, 16, 1, true},
     {"native 48x64", 48, 64, 256, 0, 0},
     {"native 48x256", 48, 256, 256, 0, 0},
     {"native 192x256", 192, 256, 256, 0, 0},
     {"native 240x512", 240, 512, 256, 0, 0}}};
// Whether the device can: enough lanes and shared memory, native code on the CPU device only, matrix units
// that take the product's types (f32 only where it may be rounded to tf32); for Hopper's also rows of both
// operands that run along k (b_transposed), begin at multiples of 16 bytes and have whole steps of `depth`.
bool possible(const gpu::DeviceInfo& device, const Way& way, const Product& product);
// What was measured to be the fastest, or where nobody has measured, what should be.
std::size_t way_for(const Place& place, const Product& product);
std::size_t way_of_size(const gpu::DeviceInfo& device, const Product& product);
Status launch(const Place& place, const Product& product, std::size_t way);

// --- The kernels

// Their arguments, the same for all.
enum Slot : std::uint32_t {
  kA,
  kB,
  kC,
  kScaleA,
  kScaleB,
  kBias,
  kM,
  kK,
  kBatch,
  kARow,
  kABatch,
  kBBatch,
  kCBatch,
  kN,                      // of each part
  kBRow = kN + kPartsMax,  // of each part, as all that follow: in elements
  kCRow = kBRow + kPartsMax,
  kBFrom = kCRow + kPartsMax,  // where the part's b begins, behind kB's
  kCFrom = kBFrom + kPartsMax,
  kScaleFrom = kCFrom + kPartsMax,
  kSlots = kScaleFrom + kPartsMax
};
static_assert(kSlots <= Plan::kArgumentsMax);

// What the traced kernel is specialised for: the product's types and flags, the way, and how many bytes of a
// and of b a lane loads at once (4 to 16 of what is so aligned, 0: an element). For matrix units also whether
// rows of both begin where copies of 16 bytes can, those of c where pairs of elements can, and for warpgroups
// whether a and b are matrices that tensor maps can describe.
struct MatmulSpec {
  Product product;
  Way way;
  std::uint32_t bytes_a = 0, bytes_b = 0;
  bool copies = false, pairs = false, boxes = false;
  // Of warpgroups: do lanes of their own ask for boxes? Where registers are left for it.
  bool roles() const {
    const std::uint32_t sums = way.rows * way.columns / way.lanes() * (product.in_groups() ? 2 : 1);
    return boxes && sums + 40 <= 65536 / (way.lanes() + 128);
  }
  std::uint32_t lanes() const { return way.lanes() + (roles() ? 128 : 0); }
};
void trace_matmul(kernel::Ctx k, const MatmulSpec& spec);
void trace_matmul_units(kernel::Ctx k, const MatmulSpec& spec);
void trace_matmul_warpgroups(kernel::Ctx k, const MatmulSpec& spec);
gpu::Native native_matmul(const Product& product, const Way& way);

}  // namespace gpuio::ops
