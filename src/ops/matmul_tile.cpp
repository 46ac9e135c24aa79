// The traced product: a workgroup sums a tile of c, reading tiles of a and b into shared memory, widened to
// what sums are made of. Types, sizes of tiles and flags are known while tracing.
//
// In shared memory both tiles have k outside: a lane's operands of one k lie side by side.

#include "ops/matmul_body.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

constexpr u32 kPad = 4;  // a row of a tile begins in another bank than the one before, and stays aligned

// One operand of a tile, as its loads see it.
struct Operand {
  Dtype type;
  u32 bytes;       // a load's; 0: one element
  u32 object;      // the parameter
  u32 tile;        // the shared array
  u32 size;        // rows of a, or columns of b, in a tile
  bool deep;       // k is the dimension whose elements are side by side
  bool scaled;     // i4 with scales
  Val<u64> from;   // the element where the operand begins
  Val<u64> step;   // from one row in memory to the next
  Val<u32> first;  // row of a, column of b, with which the tile begins
  Val<u32> limit;  // and how many there are
  u32 elements() const { return bytes == 0 ? 1 : bytes * 8 / bits_of(type); }  // of a load
};

class Lanes : MatmulBody {
 public:
  Lanes(Ctx k, const MatmulSpec& spec)
      : MatmulBody(k, spec, parameter(spec.product.a, spec.bytes_a), parameter(spec.product.b, spec.bytes_b)),
        tile_a_(b_.shared(sum_, w_.depth * (w_.rows + kPad))),
        tile_b_(b_.shared(sum_, w_.depth * (w_.columns + kPad))) {}

  void trace() {
    each_tile([this](const Tile& tile) { one_tile(tile); });
  }

 private:
  static Type parameter(Dtype type, u32 bytes) { return bytes == 0 ? storage_of(type) : Type::u32; }

  void one_tile(const Tile& tile) {
    const Operand a{.type = p_.a,
                    .bytes = spec_.bytes_a,
                    .object = kA,
                    .tile = tile_a_,
                    .size = w_.rows,
                    .deep = true,
                    .scaled = false,
                    .from = tile.nth * scalar<u64>(kABatch),
                    .step = scalar<u64>(kARow),
                    .first = tile.row,
                    .limit = tile.m};
    const Operand b{.type = p_.b,
                    .bytes = spec_.bytes_b,
                    .object = kB,
                    .tile = tile_b_,
                    .size = w_.columns,
                    .deep = p_.b_transposed,
                    .scaled = p_.scaled_b && p_.b == Dtype::i4,
                    .from = of_part<u64>(kBFrom) + tile.nth * scalar<u64>(kBBatch),
                    .step = of_part<u64>(kBRow),
                    .first = tile.column,
                    .limit = tile.n};
    sums_.clear();
    const u32 zero = b_.constant(sum_, 0);
    for (u32 i = 0; i < w_.lane_rows * w_.lane_columns; ++i) {
      sums_.push_back(b_.var(sum_));
      b_.var_store(sums_.back(), zero);
    }
    for (auto k0 : k_.range(0u, tile.depth, w_.depth)) {
      load(a, k0, tile.depth);
      load(b, k0, tile.depth);
      k_.barrier();
      for (auto k : k_.range(0u, w_.depth)) step(k);
      k_.barrier();
    }
    store(tile);
  }

  // --- From memory to a tile

  void load(const Operand& o, const Val<u32>& k0, const Val<u32>& depth) {
    const u32 count = o.size * w_.depth / o.elements(), lanes = w_.lanes();
    if (count < lanes) {
      GPU_IF(k_.local_index() < count) load_one(o, k_.local_index(), k0, depth);
      return;
    }
    // Four loads under way at once; more would only be more code. All are powers of two.
    const u32 together = std::min(count / lanes, 4u);
    for (auto from : k_.range(0u, count, lanes * together))
      for (u32 i = 0; i < together; ++i) load_one(o, k_.local_index() + from + i * lanes, k0, depth);
  }
  void load_one(const Operand& o, const Val<u32>& at, const Val<u32>& k0, const Val<u32>& depth) {
    const u32 inner = (o.deep ? w_.depth : o.size) / o.elements(), shift = log2_of(inner);
    const Val<u32> outer = at >> shift, side = (at & (inner - 1)) * o.elements();
    const Val<u32> k = o.deep ? side : outer, across = o.deep ? outer : side;
    const Val<u32> row = o.deep ? o.first + across : k0 + k, place = o.deep ? k0 + k : o.first + across;
    const Val<bool> there = (o.first + across < o.limit) & (k0 + k < depth);
    // What is not there is element 0, times nothing: loads without a branch, all under way at once.
    const Val<u64> inside = o.from + row.as<u64>() * o.step + place.as<u64>();
    const Val<u64> index = select(there, inside, k_.val<u64>(0));
    std::vector<u32> values = elements(o, index);
    if (o.scaled) {
      const u32 scale = scale_of(row, place, depth, there);
      for (u32& v : values) v = b_.binary(Op::mul, v, scale);
    }
    const u32 zero = b_.constant(sum_, 0);
    for (u32& v : values) v = b_.select(there.id(), v, zero);
    const u32 width = o.size + kPad;
    if (o.deep || values.size() < 4) {
      for (u32 i = 0; i < values.size(); ++i)
        b_.store(o.tile, ((o.deep ? k + i : k) * width + (o.deep ? across : across + i)).id(), values[i]);
    } else {
      for (u32 i = 0; i < values.size(); i += 4)
        b_.store(o.tile, (k * width + across + i).id(),
                 b_.compose(values[i], values[i + 1], values[i + 2], values[i + 3]));
    }
  }
  // The elements from there on that one load has, widened.
  std::vector<u32> elements(const Operand& o, const Val<u64>& index) {
    if (o.bytes == 0) return {element(o, index)};
    const u32 words = o.bytes / 4, in_word = 32 / bits_of(o.type);
    const u32 loaded = b_.load(o.object, (index >> log2_of(in_word)).id(), u8(words));
    std::vector<u32> out;
    for (u32 i = 0; i < words; ++i) {
      const Val<u32> word = value<u32>(words == 1 ? loaded : b_.extract(loaded, i));
      for (u32 j = 0; j < in_word; ++j) out.push_back(part_of_word(o.type, word, j));
    }
    return out;
  }
  u32 element(const Operand& o, const Val<u64>& index) {
    if (o.type == Dtype::i4) {
      const Val<u32> byte = value<u32>(b_.cast(Type::u32, b_.load(o.object, (index >> 1).id())));
      return number((byte >> ((index & 1).as<u32>() * 4u)) << 28, 28);
    }
    const u32 v = b_.load(o.object, index.id());
    switch (o.type) {
      case Dtype::f8e4m3: return widen_f8(b_, kE4m3, v);
      case Dtype::f8e5m2: return widen_f8(b_, kE5m2, v);
      case Dtype::f32: return rounded_to_tf32(v);
      default: return b_.cast(sum_, v);
    }
  }
  u32 part_of_word(Dtype type, const Val<u32>& word, u32 i) {
    switch (type) {
      case Dtype::f32: return rounded_to_tf32(bitcast<f32>(word).id());
      case Dtype::bf16: return bitcast<f32>(i == 0 ? word << 16 : word & 0xffff0000u).id();
      case Dtype::f16: return b_.cast(Type::f32, bitcast<f16>((word >> 16 * i).as<u16>()).id());
      case Dtype::f8e4m3: return widen_f8(b_, kE4m3, (word >> 8 * i).as<u8>().id());
      case Dtype::f8e5m2: return widen_f8(b_, kE5m2, (word >> 8 * i).as<u8>().id());
      case Dtype::i8: return number(word << (24 - 8 * i), 24);
      default: return number(word << (28 - 4 * i), 28);
    }
  }
  // The signed integer in the upper bits.
  u32 number(const Val<u32>& high, u32 shift) {
    const Val<i32> n = bitcast<i32>(high) >> shift;
    return sum_ == Type::i32 ? n.id() : n.as<f32>().id();
  }
  // To 10 bits of fraction, to nearest even; infinities and NaNs stay.
  u32 rounded_to_tf32(u32 v) {
    if (!p_.tf32) return v;
    const Val<u32> bits = bitcast<u32>(value<f32>(v));
    const Val<u32> rounded = (bits + 0xfffu + ((bits >> 13) & 1u)) & 0xffffe000u;
    return bitcast<f32>(select((bits & 0x7f800000u) == 0x7f800000u, bits, rounded)).id();
  }

  // --- Sums

  // The j-th of a lane's rows or columns in the tile: by fours, which neighbouring lanes have side by side.
  static u32 spread(u32 j, u32 own, u32 size) { return own <= 4 ? j : j / 4 * (4 * size / own) + j % 4; }
  Val<u32> first_row() const {
    return k_.local_index() / (w_.columns / w_.lane_columns) * std::min(w_.lane_rows, 4u);
  }
  Val<u32> first_column() const {
    return k_.local_index() % (w_.columns / w_.lane_columns) * std::min(w_.lane_columns, 4u);
  }
  std::vector<u32> operands(u32 tile, const Val<u32>& k, const Val<u32>& first, u32 own, u32 size) {
    std::vector<u32> out;
    for (u32 j = 0; j < own; j += 4) {
      const u32 four = b_.load(tile, (k * (size + kPad) + first + spread(j, own, size)).id(), 4);
      for (u32 i = 0; i < 4; ++i) out.push_back(b_.extract(four, i));
    }
    return out;
  }
  // What a matrix unit would do instead: the products of one k.
  void step(const Val<u32>& k) {
    const auto a = operands(tile_a_, k, first_row(), w_.lane_rows, w_.rows);
    const auto b = operands(tile_b_, k, first_column(), w_.lane_columns, w_.columns);
    for (u32 i = 0; i < a.size(); ++i)
      for (u32 j = 0; j < b.size(); ++j) {
        const u32 sum = sums_[i * w_.lane_columns + j], before = b_.var_load(sum);
        b_.var_store(sum, sum_ == Type::f32 ? b_.fma(a[i], b[j], before)
                                            : b_.binary(Op::add, before, b_.binary(Op::mul, a[i], b[j])));
      }
  }

  // --- From sums to c

  void store(const Tile& tile) {
    const Val<u32> r0 = tile.row + first_row(), c0 = tile.column + first_column();
    std::vector<Column> columns;
    for (u32 j = 0; j < w_.lane_columns; ++j)
      columns.push_back(column_at(tile, c0 + spread(j, w_.lane_columns, w_.columns)));
    for (u32 i = 0; i < w_.lane_rows; ++i) {
      const Val<u32> r = r0 + spread(i, w_.lane_rows, w_.rows);
      GPU_IF(r < tile.m) {
        const Row row = row_at(tile, r);
        for (u32 j = 0; j < w_.lane_columns; ++j) {
          const u32 v = finished(b_.var_load(sums_[i * w_.lane_columns + j]), row, columns[j]);
          GPU_IF(columns[j].at < tile.n) b_.store(kC, (row.to + columns[j].at.as<u64>()).id(), v);
        }
      }
    }
  }

  u32 tile_a_, tile_b_;
  std::vector<u32> sums_;  // vars, by rows
};

}  // namespace

MatmulBody::MatmulBody(Ctx k, const MatmulSpec& spec, Type of_a, Type of_b)
    : k_(k),
      t_(k.tracer()),
      b_(t_.build),
      p_(spec.product),
      w_(spec.way),
      spec_(spec),
      sum_(p_.integers() ? Type::i32 : Type::f32) {
  b_.param(ParamKind::in, of_a);
  b_.param(ParamKind::in, of_b);
  b_.param(ParamKind::out, storage_of(p_.c));
  for (const Type type : {Type::f32, Type::f32, storage_of(p_.bias_type)}) b_.param(ParamKind::in, type);
  for (u32 slot = kM; slot < kSlots; ++slot)
    b_.param(ParamKind::scalar, slot <= kBatch || (slot >= kN && slot < kBRow) ? Type::u32 : Type::u64);
}

u32 MatmulBody::scale_of(const Val<u32>& row, const Val<u32>& k, const Val<u32>& depth,
                         const Val<bool>& there) const {
  const Val<u64> groups = ((depth + (kGroup - 1)) / kGroup).as<u64>();
  const Val<u64> group = of_part<u64>(kScaleFrom) + row.as<u64>() * groups + (k / kGroup).as<u64>();
  return b_.load(kScaleB, select(there, group, k_.val<u64>(0)).id());
}

MatmulBody::Column MatmulBody::column_at(const Tile& tile, const Val<u32>& at) const {
  const Val<u64> there = select(at < tile.n, at.as<u64>(), k_.val<u64>(0));
  return {at, scales_columns() ? b_.load(kScaleB, (of_part<u64>(kScaleFrom) + there).id()) : kNone,
          p_.biased ? b_.cast(Type::f32, b_.load(kBias, there.id())) : kNone};
}

MatmulBody::Row MatmulBody::row_at(const Tile& tile, const Val<u32>& at) const {
  return {of_part<u64>(kCFrom) + tile.nth * scalar<u64>(kCBatch) + at.as<u64>() * of_part<u64>(kCRow),
          p_.scaled_a ? b_.load(kScaleA, at.id()) : kNone};
}

u32 MatmulBody::finished(u32 sum, const Row& row, const Column& column) const {
  if (p_.c == Dtype::i32) return sum;
  u32 v = sum_ == Type::i32 ? b_.cast(Type::f32, sum) : sum;
  if (row.scale != kNone) v = b_.binary(Op::mul, v, row.scale);
  if (column.scale != kNone) v = b_.binary(Op::mul, v, column.scale);
  if (column.bias != kNone) v = b_.binary(Op::add, v, column.bias);
  return p_.c == Dtype::f32 ? v : b_.cast(storage_of(p_.c), v);
}

void trace_matmul(Ctx k, const MatmulSpec& spec) {
  if (spec.way.warpgroups) trace_matmul_warpgroups(k, spec);
  else if (spec.way.units()) trace_matmul_units(k, spec);
  else Lanes(k, spec).trace();
}

}  // namespace gpuio::ops
