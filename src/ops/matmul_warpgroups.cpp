// The product on Hopper's matrix units (wgmma): each warpgroup sums 64 rows of a tile of c in its registers,
// from stages of a and b in shared memory that boxes of tensor maps fill, asked for by one lane, or all
// lanes' async copies where there is more than one matrix of either (`boxes` of the spec).
//
// What binds, counted for bf16 on an H100: 132 units of 1.83 GHz, each of 2048 products a clock (989 TFLOP/s
// in all); shared memory moves 128 bytes a clock and unit (31 TB/s), L2 some 23 (5.5 TB/s). A step, 64 of k,
// takes rows * columns / 32 clocks and (rows + columns) * 128 bytes of L2. They are written to shared memory
// once; of a wgmma reads them once, of b once for each warpgroup.
//
//   tile      lanes  clocks  L2, bytes a clock            shared memory, written + read    stages of it
//   128x128   384     512    64 (binds, at 350 TFLOP/s)    64 + 96 (busy for 125%: 790)     4: 129 KiB
//   128x256   384    1024    48 (binds, at 470)            48 + 80 (100%)                   4: 193 KiB
//   256x192   512    1536    37 (binds, at 600)            37 + 85 (96%)                    4: 225 KiB
//
// So L2 binds, and what is predicted for large products is 600 TFLOP/s, 60% of the peak. Not measured. Beyond
// it two units would share what they fetch (clusters, multicast), which halves the bytes of L2. Elements of 8
// bits are twice as many in the same bytes, and so are products in a clock: the same clocks and bytes. Of
// 8-bit floats the units keep 13 bits behind the point; sums of 128 go to totals in other registers, for
// which only the smallest tile has room. While one warpgroup adds there, the units work for the other.
//
// Boxes come by stages, which lanes hand to each other (kernel/mbarrier.hpp). All wait for a stage, hand its
// products to the units, wait for those of the step before and release that step's stage, each subgroup for
// itself: warpgroups drift apart, so that one's sums are stored while the units work for the other. One lane
// asks for boxes: of a further warpgroup where registers are left for one (`roles`), as soon as a stage is
// released, over the ends of tiles too, so that the next tile comes while sums are stored; else the first
// lane of all, when it has released the stage itself. Steps are whole rounds of all stages; boxes behind the
// matrix are zero.
//
// Copies: a step waits for its stage, meets all lanes, hands its products to the units, starts the copies of
// a later stage and then waits for the products of the step before, so that the units always have a step to
// do. That stage is one that was read two steps before: all lanes have met since they waited for those
// products.
//
// No branch waits for products, and none names sums that the units have: ptxas would let them work one
// product at a time (its remarks C75.., which a test looks for). All steps are whole, so k is a multiple of
// them, and rows of both operands run along k (`possible` says so); rows that are not there are copied from
// the last, or are zero in boxes. Those have panels as wide as a step, whose pattern keeps banks apart
// without a gap.

#include <deque>

#include "ops/matmul_body.hpp"

namespace gpuio::ops {
namespace {

using namespace gpuio::kernel;

// One operand: rows along k of a matrix in memory, and of a stage in panels (kernel/warpgroup.hpp).
struct Operand {
  u32 object;  // the parameter
  u32 size;    // rows in a tile
  const std::vector<u32>& stages;
  Val<u64> from, step;    // the element where it begins, and from one row to the next
  Val<u32> first, limit;  // the row with which the tile begins, and how many there are
};

class Warpgroups : MatmulBody {
 public:
  Warpgroups(Ctx k, const MatmulSpec& spec)
      : MatmulBody(k, spec, storage_of(spec.product.a), storage_of(spec.product.b)),
        type_(storage_of(p_.a)),
        each_(16 / size_of(type_)),
        depth_(w_.depth / size_of(type_)),
        under_way_(p_.in_groups() ? 0 : 1) {
    for (u32 s = 0; s < w_.stages; ++s) {
      stages_a_.push_back(b_.shared(type_, chunks() * panel(w_.rows)));
      stages_b_.push_back(b_.shared(type_, chunks() * panel(w_.columns)));
    }
    if (spec_.boxes) {
      for (u32 s = 0; s < w_.stages; ++s) handed_.emplace_back(t_, w_.lanes() / kMatrixLanes, 1);
      box_a_ = b_.tensor({kA, kM, kK, kARow, w_.rows, kBoxWidth});
      box_b_ = b_.tensor({kB, kN, kK, kBRow, w_.columns, kBoxWidth});
    }
    sums_ = vars();
    if (p_.in_groups()) totals_ = vars();
  }

  void trace() {
    if (!spec_.roles()) return all_tiles();
    GPU_IF(k_.warpgroup_index() == w_.lanes() / kWarpgroupLanes) {
      GPU_IF(k_.local_index() == w_.lanes()) each_tile([this](const Tile& tile) { bring_all(tile); });
    } else {
      all_tiles();
    }
  }

 private:
  static constexpr u32 kBoxWidth = 3;  // rows of 128 bytes

  // 16 bytes of each row, a panel after the other; 16 bytes more put the chunks of a row into other banks.
  u32 chunks() const { return w_.depth / 16; }
  u32 panel(u32 rows) const { return (rows + (spec_.boxes ? 0 : 1)) * each_; }
  u32 count() const { return w_.columns / 2; }  // of a lane's sums

  u32 vars() {
    const u32 first = b_.var(sum_);
    for (u32 i = 1; i < count(); ++i) b_.var(sum_);
    return first;
  }

  void all_tiles() {
    each_tile([this](const Tile& tile) {
      b_.warpgroup_clear({sums_, count()});
      for (u32 i = 0; i < count() && p_.in_groups(); ++i) b_.var_store(totals_ + i, b_.constant(sum_, 0));
      if (spec_.boxes) boxed_steps(tile);
      else copied_steps(tile);
      store(tile);
    });
  }
  u32 block() const { return w_.stages * depth_; }  // of k in a round

  // --- Boxes ---
  void bring(const Tile& tile, u32 stage, const Val<u32>& k) {
    const u32 first = b_.constant(Type::u32, 0);
    const auto mine = handed_[stage].acquire();
    const u32 full = static_cast<const Mbarrier&>(mine).object();
    b_.tensor_load(stages_a_[stage], first, box_a_, tile.row.id(), k.id(), full);
    b_.tensor_load(stages_b_[stage], first, box_b_, tile.column.id(), k.id(), full);
    mine.commit();
  }
  void bring_all(const Tile& tile) {
    for (auto k0 : k_.range(0u, tile.depth, block()))
      for (u32 s = 0; s < w_.stages; ++s) bring(tile, s, k0 + s * depth_);
  }
  void boxed_steps(const Tile& tile) {
    if (!spec_.roles()) {
      GPU_IF(k_.local_index() == 0u) {
        for (u32 s = 0; s < w_.stages; ++s) bring(tile, s, k_.val(s * depth_));
      }
    }
    round(tile, k_.val(0u), true);
    for (auto k0 : k_.range(k_.val(block()), tile.depth, block())) round(tile, k0, false);
    b_.warpgroup_wait(0);
    if (under_way_) release(w_.stages - 1);
  }
  // The stages one after the other; in the first round no products are under way yet.
  void round(const Tile& tile, const Val<u32>& k0, bool first) {
    for (u32 s = 0; s < w_.stages; ++s) {
      (void)handed_[s].wait();
      multiply(s);
      b_.warpgroup_wait(under_way_);
      if (!first || s >= under_way_) {
        const u32 before = s + w_.stages - under_way_;
        const bool same_round = before < w_.stages;
        release(before % w_.stages);
        if (!spec_.roles()) {
          const Val<bool> there = tile.depth - k0 > (same_round ? 0 : block());
          GPU_IF((k_.local_index() == 0u) & there) bring(tile, before % w_.stages, k0 + before * depth_);
        }
      }
      if (p_.in_groups()) fold();
    }
  }
  void release(u32 stage) {
    GPU_IF(k_.lane() == 0u) handed_[stage].reading().release();
  }

  // --- Copies ---
  void copied_steps(const Tile& tile) {
    const Operand a{.object = kA,
                    .size = w_.rows,
                    .stages = stages_a_,
                    .from = tile.nth * scalar<u64>(kABatch),
                    .step = scalar<u64>(kARow),
                    .first = tile.row,
                    .limit = tile.m};
    const Operand b{.object = kB,
                    .size = w_.columns,
                    .stages = stages_b_,
                    .from = of_part<u64>(kBFrom) + tile.nth * scalar<u64>(kBBatch),
                    .step = of_part<u64>(kBRow),
                    .first = tile.column,
                    .limit = tile.n};
    const std::vector<Val<u64>> of_a = places(a), of_b = places(b);
    const auto start = [&](const Val<bool>& there, u32 stage, const Val<u32>& k) {
      GPU_IF(there) {
        copy(a, of_a, stage, k);
        copy(b, of_b, stage, k);
      }
      b_.async_commit();
    };
    const u32 ahead = w_.stages - 1 - under_way_;
    const Val<u32> whole = tile.depth / block() * block();
    for (u32 s = 0; s < ahead; ++s) start(tile.depth > s * depth_, s, k_.val(s * depth_));
    for (auto k0 : k_.range(0u, whole, block())) {
      const Val<u32> left = tile.depth - k0;
      for (u32 s = 0; s < w_.stages; ++s) {
        b_.async_wait(ahead - 1);
        k_.barrier();
        multiply(s);
        start(left > (s + ahead) * depth_, (s + ahead) % w_.stages, k0 + (s + ahead) * depth_);
        b_.warpgroup_wait(under_way_);
        if (p_.in_groups()) fold();
      }
    }
    // Fewer than all stages are left, of which `ahead` are on their way.
    for (u32 s = 0; s + 1 < w_.stages; ++s) {
      const Val<u32> left = tile.depth - whole;
      b_.async_wait(ahead - 1);
      k_.barrier();
      GPU_IF(left > s * depth_) multiply(s);
      if (s + ahead + 1 < w_.stages)
        start(left > (s + ahead) * depth_, s + ahead, whole + (s + ahead) * depth_);
      else b_.async_commit();
      b_.warpgroup_wait(under_way_);
      if (p_.in_groups()) fold();
    }
    b_.async_wait(0);
    b_.warpgroup_wait(0);
    k_.barrier();
  }

  // A lane copies chunk lane % chunks() of every (lanes / chunks())th row.
  Val<u32> lane_chunk() { return k_.local_index() & (chunks() - 1); }
  Val<u32> lane_row() { return k_.local_index() >> log2_of(chunks()); }
  std::vector<Val<u64>> places(const Operand& o) {
    std::vector<Val<u64>> out;
    for (u32 row = 0; row < o.size; row += w_.lanes() / chunks()) {
      const Val<u32> line = min(o.first + lane_row() + row, o.limit - 1u);
      out.push_back(o.from + line.as<u64>() * o.step + (lane_chunk() * each_).as<u64>());
    }
    return out;
  }
  void copy(const Operand& o, const std::vector<Val<u64>>& from, u32 stage, const Val<u32>& k) {
    const Val<u32> to = lane_chunk() * panel(o.size) + lane_row() * each_;
    const Val<u64> further = k.as<u64>();
    for (u32 i = 0; i < from.size(); ++i)
      b_.async_copy(o.stages[stage], (to + i * (w_.lanes() / chunks()) * each_).id(), o.object,
                    (from[i] + further).id(), 16);
  }

  void multiply(u32 stage) {
    WarpgroupShape shape{.first = sums_,
                         .columns = w_.columns,
                         .panel_a = panel(w_.rows) / each_,
                         .panel_b = panel(w_.columns) / each_};
    if (spec_.boxes) shape = {sums_, w_.columns, 0, 0, kBoxWidth, 0};
    const u32 row = spec_.boxes ? w_.depth / size_of(type_) : each_;
    const Val<u32> top = k_.warpgroup_index() * (kWarpgroupRows * row), left = k_.val(0u);
    for (u32 chunk = 0; chunk < chunks(); chunk += 2) {  // a product is 32 bytes deep
      if (spec_.boxes) shape.step = chunk / 2;
      const u32 past_a = spec_.boxes ? 0 : chunk * panel(w_.rows);
      const u32 past_b = spec_.boxes ? 0 : chunk * panel(w_.columns);
      b_.warpgroup_multiply(matrix_of(p_.a), shape, stages_a_[stage], (top + past_a).id(), stages_b_[stage],
                            (left + past_b).id());
    }
    b_.warpgroup_commit();
  }
  // The sums of 128 go to the totals.
  void fold() {
    for (u32 i = 0; i < count(); ++i)
      b_.var_store(totals_ + i, b_.binary(Op::add, b_.var_load(totals_ + i), b_.warpgroup_read(sums_ + i)));
    b_.warpgroup_clear({sums_, count()});
  }

  // Of each eight columns a lane has two side by side, of its subgroup's 16 rows the first and the ninth
  // after it.
  void store(const Tile& tile) {
    const Val<u32> top = tile.row + k_.subgroup_index() * 16 + k_.lane() / 4u,
                   left = tile.column + k_.lane() % 4u * 2u;
    for (u32 i = 0; i < 2; ++i) {
      const Val<u32> r = top + 8 * i;
      GPU_IF(r < tile.m) {
        const Row row = row_at(tile, r);
        for (u32 j = 0; j < w_.columns / 8; ++j) store_pair(tile, row, left + 8 * j, 4 * j + 2 * i);
      }
    }
  }
  u32 sum_of(u32 i) { return p_.in_groups() ? b_.var_load(totals_ + i) : b_.warpgroup_read(sums_ + i); }
  void store_pair(const Tile& tile, const Row& row, const Val<u32>& at, u32 sum) {
    const Column left = column_at(tile, at), right = column_at(tile, at + 1);
    const u32 x = finished(sum_of(sum), row, left), y = finished(sum_of(sum + 1), row, right);
    const Val<u64> to = row.to + at.as<u64>();
    GPU_IF(at < tile.n) b_.store(kC, to.id(), spec_.pairs ? b_.compose(x, y) : x);
    if (spec_.pairs) return;
    GPU_IF(right.at < tile.n) b_.store(kC, (to + 1).id(), y);
  }

  const Type type_;
  const u32 each_, depth_;  // elements in 16 bytes; of k in a stage
  const u32 under_way_;     // steps whose products the units may still have when the next begins
  std::vector<u32> stages_a_, stages_b_;
  std::deque<Stage> handed_;           // where boxes bring them
  u32 box_a_ = kNone, box_b_ = kNone;  // tensor maps
  u32 sums_ = kNone, totals_ = kNone;  // the first of count() vars
};

}  // namespace

void trace_matmul_warpgroups(Ctx k, const MatmulSpec& spec) { Warpgroups(k, spec).trace(); }

}  // namespace gpuio::ops
