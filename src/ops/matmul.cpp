// Products of matrices: what may be multiplied, and which kernel does it.

#include "ops/matmul.hpp"

namespace gpuio::ops {
namespace {

Status check_types(const Tensor& a, const Tensor& b, const Tensor& c, const MatmulOptions& o) {
  if (Status s =
          needs_type(a, {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8e4m3, Dtype::f8e5m2, Dtype::i8});
      !s)
    return s;
  const bool i4 = b.type == Dtype::i4 && (a.type == Dtype::f16 || a.type == Dtype::bf16);
  if (b.type != a.type && !i4)
    return error(Code::unsupported, "{} and {}: built are two of one type, and f16 or bf16 with i4",
                 describe(a), describe(b));
  if (i4 && !o.b_transposed)
    return error(Code::unsupported, "{}: i4 is built as n x k: give it so, with b_transposed", describe(b));
  if (c.type == Dtype::i32) {
    if (a.type != Dtype::i8)
      return error(Code::unsupported, "{}: i32 is built for products of i8, and {}", describe(c),
                   describe(a));
    if (o.scale_a || o.scale_b || o.bias)
      return error(Code::unsupported, "{}: i32 is built without scales and bias; f32, f16, bf16 with them",
                   describe(c));
    return {};
  }
  return needs_type(c, {Dtype::f32, Dtype::f16, Dtype::bf16});
}

// Rows of pairs begin at whole bytes.
Status check_pairs(const Tensor& t) {
  if (t.type != Dtype::i4) return {};
  for (std::size_t i = 0; i + 1 < std::size_t(t.rank); ++i)
    if (t.stride[i] % 2 && t.shape[i] > 1)
      return error(Code::invalid_arg, "{}: stride[{}] = {}: a row of i4 is whole bytes, so give an even one",
                   describe(t), i, t.stride[i]);
  return {};
}

Status check_beside(const Tensor& t, std::span<const std::uint64_t> shape, std::string_view of_what) {
  if (Status s = needs_shape(t, shape, of_what); !s) return s;
  return needs_dense(t);
}

Status check_options(const Tensor& b, const MatmulOptions& o, std::uint64_t m, std::uint64_t n,
                     std::uint64_t k) {
  if (o.scale_a) {
    if (Status s = needs_type(*o.scale_a, {Dtype::f32}); !s) return s;
    if (Status s = check_beside(*o.scale_a, std::array{m}, "one for each row of a"); !s) return s;
  }
  if (o.scale_b) {
    if (Status s = needs_type(*o.scale_b, {Dtype::f32}); !s) return s;
    const std::array of_groups{n, (k + kGroup - 1) / kGroup};
    Status s =
        b.type == Dtype::i4
            ? check_beside(*o.scale_b, of_groups, "one for each 128 of k of each column of the product")
            : check_beside(*o.scale_b, std::array{n}, "one for each column of the product");
    if (!s) return s;
  }
  if (!o.bias) return {};
  if (Status s = needs_type(*o.bias, {Dtype::f32, Dtype::f16, Dtype::bf16}); !s) return s;
  return check_beside(*o.bias, std::array{n}, "one for each column of the product");
}

std::uint64_t row_step(const Tensor& t) { return t.stride[std::size_t(t.rank) - 2]; }

// How many bytes of an operand a lane may load at once: every row, of every product and part, begins at a
// multiple of so many and has whole ones; and there are enough of them for all lanes.
struct Alignment {
  Dtype type;
  std::uint64_t bytes = 16;
  explicit Alignment(Dtype t) : type(t) {}
  void at(std::uint64_t address) {
    while (bytes > 1 && address % bytes) bytes /= 2;
  }
  void elements(std::uint64_t count) {
    while (bytes > 1 && count * bits_of(type) % (8 * bytes)) bytes /= 2;
  }
  std::uint32_t of(const Way& way, std::uint32_t size, bool deep) const {
    for (std::uint64_t b = bytes; b >= 4; b /= 2) {
      const std::uint64_t each = b * 8 / bits_of(type);
      if ((deep ? way.depth : size) % each) continue;
      if (b > 4 && size * way.depth / each < way.lanes()) continue;
      return each == 1 ? 0 : std::uint32_t(b);
    }
    return 0;
  }
};

MatmulSpec spec_of(const Product& p, const Way& way) {
  MatmulSpec spec{.product = p, .way = way};
  Alignment a(p.a), b(p.b), c(p.c);
  a.at(p.a_at), a.elements(p.a_row), a.elements(p.a_batch);
  b.elements(p.b_batch), c.elements(p.c_batch);
  for (std::uint32_t i = 0; i < p.parts; ++i) {
    const Product::Part& part = p.part[i];
    b.at(part.b_at), b.elements(part.b_row);
    c.at(part.c_at), c.elements(part.c_row), c.elements(part.n);
    if (!p.b_transposed) b.elements(part.n);
  }
  const bool rows_begin = a.bytes == 16 && b.bytes == 16;  // what is left of k is loaded otherwise
  a.elements(p.k);
  if (p.b_transposed) b.elements(p.k);
  if (!way.units()) {
    spec.bytes_a = a.of(way, way.rows, true);
    spec.bytes_b = b.of(way, way.columns, p.b_transposed);
    return spec;
  }
  // Of these loads there are few, or alignment forbids better: up to four elements, words of i4.
  const auto few = [](const Alignment& of) {
    return std::uint32_t(std::min<std::uint64_t>(of.bytes, of.type == Dtype::i4 ? 4 : bits_of(of.type) / 2));
  };
  spec.bytes_a = few(a);
  spec.bytes_b = p.b == Dtype::i4 && b.bytes < 4 ? 0 : few(b);
  // Copies keep the order of elements; columns of b in rows of bytes have to change it.
  const bool in_order = p.b_transposed || bits_of(p.b) > 8;
  spec.copies = rows_begin && in_order && (p.b != Dtype::i4 || spec.bytes_b == 4);
  spec.pairs = c.bytes * 8 >= 2 * bits_of(p.c);
  // One matrix each; rows of 16 bytes' multiples they are then.
  const auto mapped = [&](std::uint64_t row) { return row >= p.k && row < std::uint64_t{1} << 38; };
  spec.boxes = way.warpgroups && spec.copies && p.parts == 1 && p.batch == 1 && p.k > 0 && way.depth == 128 &&
               mapped(p.a_row) && mapped(p.part[0].b_row);
  return spec;
}

constexpr std::uint64_t kRowsLeast = 16;  // tiles of so few there are of every kind

std::uint64_t tiles(const Product& p, const Way& way) {
  std::uint64_t across = 0;
  for (const Product::Part& part : p.part) across += (part.n + std::uint64_t{way.columns} - 1) / way.columns;
  return across * ((p.m + std::uint64_t{way.rows} - 1) / way.rows) * p.batch;
}

std::array<gpu::Argument, kSlots> arguments_of(const Product& p) {
  std::array<gpu::Argument, kSlots> out{};
  Product::Part low = p.part[0];  // the lowest addresses: parts begin behind them
  for (std::uint32_t i = 1; i < p.parts; ++i) {
    low.b_at = std::min(low.b_at, p.part[i].b_at);
    low.c_at = std::min(low.c_at, p.part[i].c_at);
    low.scale_at = std::min(low.scale_at, p.part[i].scale_at);
  }
  const auto buffer = [&](Slot slot, std::uint64_t address) {
    out[slot] = {address, ~std::uint64_t{0} >> 8};
  };
  buffer(kA, p.a_at), buffer(kB, low.b_at), buffer(kC, low.c_at);
  buffer(kScaleA, p.scale_a_at), buffer(kScaleB, low.scale_at), buffer(kBias, p.bias_at);
  out[kM].value = p.m, out[kK].value = p.k, out[kBatch].value = p.batch;
  out[kARow].value = p.a_row, out[kABatch].value = p.a_batch;
  out[kBBatch].value = p.b_batch, out[kCBatch].value = p.c_batch;
  for (std::uint32_t i = 0; i < p.parts; ++i) {
    const Product::Part& part = p.part[i];
    out[kN + i].value = part.n;
    out[kBRow + i].value = part.b_row, out[kCRow + i].value = part.c_row;
    out[kBFrom + i].value = (part.b_at - low.b_at) * 8 / bits_of(p.b);
    out[kCFrom + i].value = (part.c_at - low.c_at) * 8 / bits_of(p.c);
    out[kScaleFrom + i].value = (part.scale_at - low.scale_at) / 4;
  }
  return out;
}

}  // namespace

Result<Product> product_of(const Tensor& a, const Tensor& b, const Tensor& c, const MatmulOptions& o) {
  for (const Tensor* t : {&a, &b, &c})
    if (Status s = needs_rank(*t, 2, 3); !s) return fail(std::move(s));
  if (Status s = check_types(a, b, c, o); !s) return fail(std::move(s));
  if (Status s = check_pairs(b); !s) return fail(std::move(s));
  const bool batched = a.rank == 3;
  const std::uint64_t batch = batched ? a.shape[0] : 1, m = a.shape[std::size_t(a.rank) - 2], k = a.last();
  const std::uint64_t* const of_b = &b.shape[std::size_t(b.rank) - 2];
  const std::uint64_t n = of_b[o.b_transposed ? 0 : 1];
  if (b.rank > a.rank)
    return fail(Code::invalid_arg, "{}: {} has {} dimensions, so it has no more", describe(b), describe(a),
                a.rank);
  if (of_b[o.b_transposed ? 1 : 0] != k)
    return fail(Code::invalid_arg, "{}: its {} are to be the {} columns of {}{}", describe(b),
                o.b_transposed ? "columns" : "rows", k, describe(a),
                of_b[o.b_transposed ? 0 : 1] == k ? "; b_transposed says whether it is n x k" : "");
  const bool many = b.rank == 3 && b.shape[0] != 1;
  if (many && b.shape[0] != batch)
    return fail(Code::invalid_arg, "{}: {} products need as many of it, or one for all", describe(b), batch);
  const std::array<std::uint64_t, 3> of_c{batch, m, n};
  if (Status s = needs_shape(c, std::span(of_c).subspan(batched ? 0 : 1), "what a and b give"); !s)
    return fail(std::move(s));
  if (Status s = check_options(b, o, m, n, k); !s) return fail(std::move(s));
  Product p{.a = a.type,
            .b = b.type,
            .c = c.type,
            .bias_type = o.bias ? o.bias->type : Dtype::f32,
            .b_transposed = o.b_transposed,
            .tf32 = o.tf32 && a.type == Dtype::f32,
            .scaled_a = o.scale_a.has_value(),
            .scaled_b = o.scale_b.has_value(),
            .biased = o.bias.has_value(),
            .m = std::uint32_t(m),
            .k = std::uint32_t(k),
            .batch = std::uint32_t(batch),
            .a_at = a.address,
            .scale_a_at = o.scale_a ? o.scale_a->address : 0,
            .bias_at = o.bias ? o.bias->address : 0,
            .a_row = row_step(a),
            .a_batch = batched ? a.stride[0] : 0,
            .b_batch = many ? b.stride[0] : 0,
            .c_batch = batched ? c.stride[0] : 0};
  p.part[0] = {.n = std::uint32_t(n),
               .b_at = b.address,
               .c_at = c.address,
               .scale_at = o.scale_b ? o.scale_b->address : 0,
               .b_row = row_step(b),
               .c_row = row_step(c)};
  return p;
}

bool possible(const gpu::DeviceInfo& device, const Way& way, const Product& p) {
  if (way.native()) return device.native_code.available;
  if (way.lanes() > device.lanes_max || way.shared_bytes() > device.shared_bytes_max) return false;
  if (!way.units()) return true;
  const int capability = device.major * 10 + device.minor;
  const bool eighths = p.a == Dtype::f8e4m3 || p.a == Dtype::f8e5m2;
  if (device.backend != gpu::Backend::cuda || capability < (eighths ? 89 : 80)) return false;
  if (p.a == Dtype::f32 && (!p.tf32 || way.warpgroups)) return false;  // those would cut it off
  if (way.warpgroups) {
    const bool along_k = p.b_transposed && p.k % (way.depth * 8 / bits_of(p.a)) == 0;
    if (capability != 90 || p.b == Dtype::i4 || !along_k || !spec_of(p, way).copies) return false;
  }
  // A lane's sums are to fit its registers: twice those of products in groups, and what 8-bit floats become
  // on the way, since sm_90 multiplies them as f16.
  const std::uint32_t sums = way.rows * way.columns / way.lanes();
  return sums * (p.in_groups() ? 2 : 1) <= (eighths && !way.warpgroups ? 64 : 128);
}

std::size_t way_of_size(const gpu::DeviceInfo& device, const Product& product) {
  // Of the tiles whose rows are not mostly empty the largest of which there are some for each unit, else
  // those of which there are the most. Native on the CPU device, with matrix units where there are such.
  const auto kind = [&](const Way& way) { return way.native() ? 2 : way.units() ? 1 : 0; };
  int of_kind = 0;
  for (const Way& way : kWays)
    if (possible(device, way, product)) of_kind = std::max(of_kind, kind(way));
  std::size_t best = 0;
  std::uint64_t most = 0;
  for (std::size_t i = kWays.size(); i-- > 0;) {
    const Way& way = kWays[i];
    if (kind(way) != of_kind || !possible(device, way, product)) continue;
    // A driver for the CPU takes long to compile large tiles, and keeps their sums in memory.
    if (!way.native() && device.vendor == gpu::Vendor::cpu && way.lane_rows * way.lane_columns > 16) continue;
    if (!way.native() && way.rows > std::max<std::uint64_t>(2 * std::uint64_t{product.m}, kRowsLeast))
      continue;
    const std::uint64_t count = tiles(product, way), each = way.units() ? 1 : 2;
    if (count >= each * device.compute_units) return i;
    if (count > most) best = i, most = count;
  }
  return best;
}

std::size_t way_for(const Place& place, const Product& product) {
  if (const auto known = place.kernels.choices.find(product)) return *known;
  return way_of_size(place.device().info(), product);
}

Status launch(const Place& place, const Product& product, std::size_t way_index) {
  if (product.empty()) return {};
  const Way& way = kWays[way_index];
  const std::uint64_t count = tiles(product, way);
  if (count > ~std::uint32_t{0})
    return error(Code::unsupported, "a product of {} tiles of {} x {}: at most {}; give it in parts", count,
                 way.rows, way.columns, ~std::uint32_t{0});
  // The CPU device runs the native function; what is traced beside it is the smallest tile.
  const Way& traced = way.native() ? kWays[0] : way;
  MatmulSpec spec = spec_of(product, traced);
  if (way.native()) spec.bytes_a = spec.bytes_b = 0;
  const std::uint32_t flags = std::uint32_t(product.b_transposed) | std::uint32_t(product.tf32) << 1 |
                              std::uint32_t(product.scaled_a) << 2 | std::uint32_t(product.scaled_b) << 3 |
                              std::uint32_t(product.biased) << 4;
  const auto kernel = place.kernels.get(
      {Operation::matmul,
       {product.a, product.b, product.c, product.bias_type},
       {std::uint32_t(way_index), flags, product.parts, spec.bytes_a, spec.bytes_b,
        std::uint32_t(spec.copies) | std::uint32_t(spec.pairs) << 1 | std::uint32_t(spec.boxes) << 2}},
      "matmul", {spec.lanes(), 1, 1}, [&spec](kernel::Ctx k) { trace_matmul(k, spec); },
      way.native() ? native_matmul(product, way) : gpu::Native{});
  if (!kernel) return kernel.error();
  // Of these a unit has one workgroup at a time, which brings its next tile while it stores the last.
  const std::uint64_t groups =
      way.warpgroups ? std::min<std::uint64_t>(count, place.device().info().compute_units) : count;
  return place.plan.launch(*kernel, {.groups = {groups_for(groups), 1, 1}}, arguments_of(product));
}

Status matmul(const Place& place, const Tensor& a, const Tensor& b, const Tensor& c,
              const MatmulOptions& options) {
  const auto product = product_of(a, b, c, options);
  if (!product) return product.error();
  return launch(place, *product, way_for(place, *product));
}

}  // namespace gpuio::ops
