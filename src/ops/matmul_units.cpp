// The product on matrix units (mma.sync, from sm_80 on): subgroups sum fragments of a tile of c from stages
// of a and b in shared memory, which async copies fill while earlier ones are multiplied.
//
// What binds, counted for bf16 on an H100: 132 units of 1.7 GHz, of whose 989 TFLOP/s mma.sync reaches some
// 610, 1360 products a clock and unit; shared memory moves 128 bytes a clock and unit, L2 some 25, so
// that 10.6 products are needed for each byte of the one and 54 for each of the other.
//
//   tile      a warp's     products a byte of shared memory     products a byte of L2
//                          read, with what is written
//   128x256   64x64        16, 11.6 (busy for 92% of the time)  42.7 (binds, at 480 TFLOP/s)
//   128x128   64x64        16, 10.7 (100%)                      32   (binds, at 360)
//   128x128   64x32        10.7, 8  (133%: binds, at 460)       32
//   64x64     32x32        8, 5.3   (199%)                      16
//
// So large tiles of large warps come first; of bytes twice as many products come from each. Hopper's own
// units read operands once a warpgroup and not once a warp (matmul_warpgroups.cpp). In decoding (m up to 16)
// each weight is read once and the device's memory binds: small tiles, many stages.
//
// In shared memory a row of a and a column of b has `depth` bytes of k and 16 more, which puts the eight rows
// that ldmatrix reads into different banks; b of 16 and 32 bits that is not transposed lies as it is in
// memory. Stages are arrays of their own, and the loop over k is unrolled over them, so that the verifier can
// show which copies are over when a stage is read. What no copy of 16 bytes can bring, the end of k and rows
// that begin elsewhere, is loaded by lanes and stored with zeros where there is nothing.

#include "ops/matmul_body.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

// One operand, as it lies in memory and in a stage.
struct Operand {
  Dtype type;
  u32 object, bytes;  // the parameter, and how many of its bytes a lane's load takes
  u32 size;           // rows of a or columns of b in a tile
  bool deep;          // in memory k is the dimension whose elements are side by side
  u32 stride;         // in a stage, from one row to the next
  bool rows_of_k;     // a stage has a row for each k, else for each row of a or column of b
  Val<u64> from;      // the element where it begins
  Val<u64> step;      // from one row in memory to the next
  Val<u32> first;     // row or column with which the tile begins
  Val<u32> limit;     // and how many there are
};

// What a lane copies of an operand for each stage: to where in it, and from where for the first.
struct Copy {
  Val<u32> to;
  Val<u64> from;
};

class Units : MatmulBody {
 public:
  Units(Ctx k, const MatmulSpec& spec)
      : MatmulBody(k, spec, storage_of(spec.product.a),
                   packed(spec) && spec.bytes_b == 4 ? Type::u32 : storage_of(spec.product.b)),
        what_(matrix_of(p_.a)),
        type_(storage_of(p_.a)),
        bytes_(size_of(type_)),
        depth_(w_.depth / bytes_),
        packed_(packed(spec)),
        b_rows_of_k_(!p_.b_transposed && bytes_ > 1),
        stride_a_(depth_ + 16 / bytes_),
        // Rows of 32 bits are read by lanes, eight from each of four rows.
        stride_b_(b_rows_of_k_ ? w_.columns + (bytes_ == 4 ? 8 : 16 / bytes_) : stride_a_),
        rows_(w_.rows / w_.warps_down),
        columns_(w_.columns / w_.warps_across) {
    const u32 of_b = b_rows_of_k_ ? depth_ * stride_b_ : w_.columns * stride_b_;
    const u32 stages = spec.copies ? w_.stages : 1;
    for (u32 s = 0; s < stages; ++s) {
      stages_a_.push_back(b_.shared(type_, w_.rows * stride_a_));
      if (!packed_ || s == 0) stages_b_.push_back(b_.shared(type_, of_b));
      if (packed_ && spec.copies) words_.push_back(b_.shared(Type::u32, w_.columns * depth_ / 8));
    }
  }

  void trace() {
    each_tile([this](const Tile& tile) { one_tile(tile); });
  }

 private:
  static bool packed(const MatmulSpec& spec) { return spec.product.b == Dtype::i4; }

  void one_tile(const Tile& tile) {
    const Operand a{.type = p_.a,
                    .object = kA,
                    .bytes = spec_.bytes_a,
                    .size = w_.rows,
                    .deep = true,
                    .stride = stride_a_,
                    .rows_of_k = false,
                    .from = tile.nth * scalar<u64>(kABatch),
                    .step = scalar<u64>(kARow),
                    .first = tile.row,
                    .limit = tile.m};
    const Operand b{.type = p_.b,
                    .object = kB,
                    .bytes = spec_.bytes_b,
                    .size = w_.columns,
                    .deep = p_.b_transposed,
                    .stride = stride_b_,
                    .rows_of_k = b_rows_of_k_,
                    .from = of_part<u64>(kBFrom) + tile.nth * scalar<u64>(kBBatch),
                    .step = of_part<u64>(kBRow),
                    .first = tile.column,
                    .limit = tile.n};
    sums_ = zeros();
    if (p_.in_groups()) totals_ = zeros();
    const Val<u32> warp = k_.subgroup_index();
    warp_row_ = (warp / w_.warps_across * rows_).id();
    warp_column_ = (warp % w_.warps_across * columns_).id();
    const Val<u32> whole = spec_.copies ? tile.depth / depth_ * depth_ : k_.val(0u);
    if (spec_.copies) pipeline(tile, a, b, whole);
    for (auto k0 : k_.range(whole, tile.depth, depth_)) {
      fill(a, stages_a_[0], k0, tile.depth);
      fill(b, stages_b_[0], k0, tile.depth);
      k_.barrier();
      multiply(stages_a_[0], stages_b_[0]);
      if (p_.in_groups())
        GPU_IF((k0 + depth_) % kGroup == 0u) fold(tile, k0);
      k_.barrier();
    }
    if (p_.in_groups())
      GPU_IF(tile.depth % kGroup != 0u) fold(tile, tile.depth - 1u);
    store(tile);
  }
  std::vector<u32> zeros() {
    std::vector<u32> vars;
    for (u32 i = 0; i < rows_ * columns_ / 32; ++i) {
      vars.push_back(b_.var(sum_));
      b_.var_store(vars.back(), b_.constant(sum_, 0));
    }
    return vars;
  }

  // --- Whole stages

  // A step waits for its stage, meets all lanes, which are then done with the stage before, and starts to
  // copy there what comes stages - 1 steps later.
  void pipeline(const Tile& tile, const Operand& a, const Operand& b, const Val<u32>& whole) {
    const std::vector<Copy> of_a = copies(a), of_b = copies(b);
    const auto start = [&](u32 stage, const Val<u32>& k) {
      for (const Copy& c : of_a) copy(a, c, stages_a_[stage], k);
      for (const Copy& c : of_b) copy(b, c, packed_ ? words_[stage] : stages_b_[stage], k);
    };
    const u32 ahead = w_.stages - 1;
    for (u32 s = 0; s < ahead; ++s) {
      GPU_IF(whole > s * depth_) start(s, k_.val(s * depth_));
      b_.async_commit();
    }
    for (auto k0 : k_.range(0u, whole, w_.stages * depth_)) {
      const Val<u32> left = whole - k0;
      for (u32 s = 0; s < w_.stages; ++s) {
        b_.async_wait(ahead - 1);
        if (packed_) k_.barrier();  // the widened tile was read
        if (packed_)
          GPU_IF(left > s * depth_) widen(b, of_b, words_[s]);
        k_.barrier();
        GPU_IF(left > (s + ahead) * depth_) start((s + ahead) % w_.stages, k0 + (s + ahead) * depth_);
        b_.async_commit();
        GPU_IF(left > s * depth_) {
          multiply(stages_a_[s], packed_ ? stages_b_[0] : stages_b_[s]);
          if (p_.in_groups())
            GPU_IF((k0 + (s + 1) * depth_) % kGroup == 0u) fold(tile, k0 + s * depth_);
        }
      }
    }
    b_.async_wait(0);
    k_.barrier();
  }

  // Bytes of a copy: 16, or what a row of a stage has.
  u32 copied(const Operand& o) const {
    return std::min((o.deep ? depth_ : o.size) * bits_of(o.type) / 8, 16u);
  }
  u32 chunk(const Operand& o) const { return copied(o) * 8 / bits_of(o.type); }  // its elements
  // Rows and columns that are not there are copied from the last ones: their sums are not stored.
  std::vector<Copy> copies(const Operand& o) {
    const u32 each = chunk(o), in_row = (o.rows_of_k ? o.size : depth_) / each;
    const u32 count = o.size * depth_ / each, lanes = w_.lanes();
    const u32 in_element = o.type == Dtype::i4 && o.bytes == 4 ? 8 : 1;  // of the buffer and of the stage
    const u32 stride = o.type == Dtype::i4 ? depth_ / 8 : o.stride;
    std::vector<Copy> out;
    for (u32 i = 0; i < std::max(count / lanes, 1u); ++i) {
      const Val<u32> at = k_.local_index() + i * lanes, row = at >> log2_of(in_row),
                     side = (at & (in_row - 1)) * each;
      const Val<u32> line = o.rows_of_k ? row : min(o.first + row, o.limit - 1u),
                     place = o.rows_of_k ? min(o.first + side, o.limit - each) : side;
      const Val<u64> from = o.from + line.as<u64>() * o.step + place.as<u64>();
      out.push_back({row * stride + side / in_element, from / in_element});
    }
    return out;
  }
  void copy(const Operand& o, const Copy& c, u32 stage, const Val<u32>& k) {
    const u32 in_element = o.type == Dtype::i4 ? 8 : 1;
    const Val<u64> further = o.rows_of_k ? k.as<u64>() * o.step : (k / in_element).as<u64>();
    const auto one = [&] { b_.async_copy(stage, c.to.id(), o.object, (c.from + further).id(), copied(o)); };
    if (const u32 count = o.size * depth_ / chunk(o); count < w_.lanes()) {
      GPU_IF(k_.local_index() < count) one();
    } else {
      one();
    }
  }
  // What the lane has copied itself.
  void widen(const Operand& b, const std::vector<Copy>& copied_words, u32 words) {
    const u32 count = copied(b) / 4, lanes = w_.columns * depth_ / 8 / count;
    const auto one = [&](const Copy& c) {
      const u32 all = b_.load(words, c.to.id(), u8(count));
      const Val<u32> column = c.to / (depth_ / 8), side = c.to % (depth_ / 8) * 8u;
      for (u32 i = 0; i < count; ++i)
        put_eight(stages_b_[0], column * stride_b_ + side + i * 8, value<u32>(b_.extract(all, i)));
    };
    for (const Copy& c : copied_words) {
      if (lanes < w_.lanes()) {
        GPU_IF(k_.local_index() < lanes) one(c);
      } else {
        one(c);
      }
    }
  }
  // Eight of i4, as numbers of a's type. 2^23 + 8 + n has n + 8 in its last bits.
  void put_eight(u32 tile, const Val<u32>& at, const Val<u32>& word) {
    const Val<u32> above = word ^ 0x88888888u;
    std::vector<u32> v;
    for (u32 i = 0; i < 8; ++i)
      v.push_back(b_.cast(type_, (bitcast<f32>(((above >> 4 * i) & 15u) | 0x4b000000u) - 8388616.0f).id()));
    b_.store(tile, at.id(), b_.compose(v[0], v[1], v[2], v[3]));
    b_.store(tile, (at + 4).id(), b_.compose(v[4], v[5], v[6], v[7]));
  }

  // --- Stages that lanes load, with zeros where there is nothing

  // A lane takes what a copy would bring, so that the verifier has one division of lanes to follow.
  void fill(const Operand& o, u32 tile, const Val<u32>& k0, const Val<u32>& depth) {
    const u32 count = o.size * depth_ / chunk(o), lanes = w_.lanes();
    if (count < lanes) {
      GPU_IF(k_.local_index() < count) fill_chunk(o, tile, k_.local_index(), k0, depth);
    } else if (count == lanes || chunk(o) > at_once(o)) {  // no loop around a loop: it could not be followed
      for (u32 from = 0; from < count; from += lanes) fill_chunk(o, tile, k_.local_index() + from, k0, depth);
    } else {
      for (auto from : k_.range(0u, count, lanes)) fill_chunk(o, tile, k_.local_index() + from, k0, depth);
    }
  }
  // Elements of a lane's load, and of all that it has under way: more would want too many registers.
  static u32 loaded(const Operand& o) {
    return std::max(o.bytes * 8 / bits_of(o.type), o.type == Dtype::i4 ? 2u : 1u);
  }
  static u32 at_once(const Operand& o) { return loaded(o) == 1 ? 4 : 8 * loaded(o); }
  void fill_chunk(const Operand& o, u32 tile, const Val<u32>& at, const Val<u32>& k0, const Val<u32>& depth) {
    const u32 each = loaded(o), in_row = (o.deep ? depth_ : o.size) / chunk(o);
    const Val<u32> outer = at >> log2_of(in_row), begin = (at & (in_row - 1)) * chunk(o);
    const Val<u32> row = o.deep ? o.first + outer : k0 + outer;
    const Val<bool> row_there = o.deep ? row < o.limit : row < depth;
    const Val<u64> from = o.from + row.as<u64>() * o.step;
    const auto one = [&](const Val<u32>& side) {
      const Val<u32> place = (o.deep ? k0 : o.first) + side;
      const Val<bool> there = row_there & (place < (o.deep ? depth : o.limit));
      const Val<u64> index = select(there, from + place.as<u64>(), k_.val<u64>(0));
      const Val<u32> k = o.deep ? side : outer, across = o.deep ? outer : side;
      put(o, tile, o.rows_of_k ? k * o.stride + across : across * o.stride + k, each, index, there,
          place + 1 < depth);
    };
    const u32 together = std::min(chunk(o), at_once(o));
    if (together == chunk(o)) {
      for (u32 i = 0; i < together; i += each) one(begin + i);
    } else {
      for (auto further : k_.range(0u, chunk(o), together))
        for (u32 i = 0; i < together; i += each) one(begin + further + i);
    }
  }
  void put(const Operand& o, u32 tile, const Val<u32>& to, u32 each, const Val<u64>& index,
           const Val<bool>& there, const Val<bool>& more) {
    if (o.type == Dtype::i4 && each == 8) {
      const Val<u32> word = value<u32>(b_.load(o.object, (index >> 3).id()));
      return put_eight(tile, to, select(there, word, 0u));
    }
    const u32 zero = b_.constant(type_, 0);
    if (o.type == Dtype::i4) {  // two, of which the second may be behind the row's end
      const Val<u32> byte = value<u32>(b_.cast(Type::u32, b_.load(o.object, (index >> 1).id())));
      const auto number = [&](const Val<u32>& high) {
        return b_.cast(type_, (bitcast<i32>(high) >> 28).as<f32>().id());
      };
      return b_.store(tile, to.id(),
                      b_.compose(b_.select(there.id(), number(byte << 28), zero),
                                 b_.select((there & more).id(), number((byte >> 4) << 28), zero)));
    }
    const u32 loaded = b_.load(o.object, index.id(), u8(each));
    std::vector<u32> v;
    for (u32 i = 0; i < each; ++i)
      v.push_back(b_.select(there.id(), each == 1 ? loaded : b_.extract(loaded, i), zero));
    if (o.deep != o.rows_of_k) {  // side by side in the tile too
      b_.store(tile, to.id(),
               each == 1   ? v[0]
               : each == 2 ? b_.compose(v[0], v[1])
                           : b_.compose(v[0], v[1], v[2], v[3]));
    } else {
      for (u32 i = 0; i < each; ++i) b_.store(tile, (to + i * o.stride).id(), v[i]);
    }
  }

  // --- Sums

  void multiply(u32 a, u32 b) {
    const u32 each = 32 / bytes_;
    const Val<u32> top = value<u32>(warp_row_) * stride_a_,
                   left = b_rows_of_k_ ? value<u32>(warp_column_) : value<u32>(warp_column_) * stride_b_;
    for (u32 k = 0; k < depth_; k += each) {
      std::vector<u32> of_b;
      for (u32 j = 0; j < columns_; j += 8)
        of_b.push_back(
            b_rows_of_k_
                ? b_.matrix_load(MatrixPart::b_rows, b, (left + (k * stride_b_ + j)).id(), stride_b_)
                : b_.matrix_load(MatrixPart::b_columns, b, (left + (j * stride_b_ + k)).id(), stride_b_));
      for (u32 i = 0; i < rows_; i += 16) {
        const u32 of_a = b_.matrix_load(MatrixPart::a, a, (top + (i * stride_a_ + k)).id(), stride_a_);
        for (u32 j = 0; j < of_b.size(); ++j) {
          const u32* const v = &sums_[(i / 16 * of_b.size() + j) * 4];
          const u32 before =
              b_.compose(b_.var_load(v[0]), b_.var_load(v[1]), b_.var_load(v[2]), b_.var_load(v[3]));
          const u32 after = b_.matrix_multiply(what_, of_a, of_b[j], before);
          for (u32 r = 0; r < 4; ++r) b_.var_store(v[r], b_.extract(after, r));
        }
      }
    }
  }
  // Of the lane's sums: the columns j and j + 1 of each eight, and of each sixteen rows i and i + 8.
  Val<u32> lane_row() const { return k_.lane() / 4u; }
  Val<u32> lane_column() const { return k_.lane() % 4u * 2u; }

  // A group's sums, which end at k, go to the totals by their scale.
  void fold(const Tile& tile, const Val<u32>& k) {
    const bool scaled = packed_ && p_.scaled_b;
    const Val<u32> first = tile.column + value<u32>(warp_column_) + lane_column();
    for (u32 j = 0; j < columns_ / 8; ++j)
      for (u32 e = 0; e < 2; ++e) {
        const Val<u32> column = first + (8 * j + e);
        const u32 scale = scaled ? scale_of(column, k, tile.depth, column < tile.n) : kNone;
        for (u32 i = 0; i < rows_ / 8; ++i) {
          const u32 at = (i / 2 * (columns_ / 8) + j) * 4 + i % 2 * 2 + e;
          const u32 sum = b_.var_load(sums_[at]), total = b_.var_load(totals_[at]);
          b_.var_store(totals_[at], scaled ? b_.fma(sum, scale, total) : b_.binary(Op::add, total, sum));
          b_.var_store(sums_[at], b_.constant(sum_, 0));
        }
      }
  }

  // --- From sums to c

  void store(const Tile& tile) {
    const std::vector<u32>& sums = p_.in_groups() ? totals_ : sums_;
    const Val<u32> c0 = tile.column + value<u32>(warp_column_) + lane_column(),
                   r0 = tile.row + value<u32>(warp_row_) + lane_row();
    std::vector<Column> columns;
    for (u32 j = 0; j < columns_ / 8; ++j)
      for (u32 e = 0; e < 2; ++e) columns.push_back(column_at(tile, c0 + (8 * j + e)));
    for (u32 i = 0; i < rows_ / 8; ++i) {
      const Val<u32> r = r0 + 8 * i;
      GPU_IF(r < tile.m) {
        const Row row = row_at(tile, r);
        for (u32 j = 0; j < columns.size(); j += 2) {
          const u32* const v = &sums[(i / 2 * (columns_ / 8) + j / 2) * 4 + i % 2 * 2];
          store_pair(tile, row, columns[j], columns[j + 1], v);
        }
      }
    }
  }
  void store_pair(const Tile& tile, const Row& row, const Column& left, const Column& right,
                  const u32* sums) {
    const Val<u64> to = row.to + left.at.as<u64>();
    const u32 x = finished(b_.var_load(sums[0]), row, left), y = finished(b_.var_load(sums[1]), row, right);
    GPU_IF(left.at < tile.n) b_.store(kC, to.id(), spec_.pairs ? b_.compose(x, y) : x);
    if (spec_.pairs) return;
    GPU_IF(right.at < tile.n) b_.store(kC, (to + 1).id(), y);
  }

  const Matrix what_;
  const Type type_;          // of what the units multiply
  const u32 bytes_, depth_;  // of such an element; elements of k in a stage
  const bool packed_;        // b is i4, which lanes widen
  const bool b_rows_of_k_;
  const u32 stride_a_, stride_b_;
  const u32 rows_, columns_;  // of a subgroup's sums
  std::vector<u32> stages_a_, stages_b_, words_;
  std::vector<u32> sums_, totals_;  // vars: by 16 rows, by 8 columns, the lane's four
  u32 warp_row_ = kNone, warp_column_ = kNone;
};

}  // namespace

void trace_matmul_units(Ctx k, const MatmulSpec& spec) { Units(k, spec).trace(); }

}  // namespace gpuio::ops
