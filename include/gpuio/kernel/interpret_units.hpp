// What the interpreter does for units that work for several lanes, or while lanes go on: matrix units,
// copies, mbarriers. Part of interpret.hpp.
//
// What is asynchronous happens when it is waited for and no sooner, so that a missing wait is seen.
#pragma once

#include <utility>

#include <gpuio/kernel/boxes.hpp>
#include <gpuio/kernel/elements.hpp>
#include <gpuio/kernel/hooks.hpp>
#include <gpuio/kernel/lock_step.hpp>
#include <gpuio/kernel/matrix_lanes.hpp>
#include <gpuio/kernel/phases.hpp>

namespace gpuio::kernel::detail {

template <class Machine>
class Units {
 public:
  constexpr explicit Units(Machine& m) : m_(m) {}

  // One instruction of a subgroup; false: it failed, and has said so.
  constexpr bool step(Subgroup& s, const Inst& i) {
    switch (i.op) {
      case Op::matrix_load: return whole(s) && matrix_load(s, i);
      case Op::matrix_multiply:
        if (!whole(s)) return false;
        multiply_matrices(
            Matrix(i.mode), [&](u32 lane, u32 r) { return u32(m_.get(s, i.a, lane, r)); },
            [&](u32 lane, u32 r) { return u32(m_.get(s, i.b, lane, r)); },
            [&](u32 lane, u32 r) { return m_.get(s, i.c, lane, r); },
            [&](u32 lane, u32 r, u32 bits) { m_.set(s, s.pc, lane, bits, r); });
        return true;
      case Op::mbarrier_wait: return wait(s, i);
      case Op::warpgroup_clear:
      case Op::warpgroup_read: return name_sums(s, i);
      case Op::warpgroup_multiply:
      case Op::warpgroup_commit:
      case Op::warpgroup_wait: return whole(s) && products(s, i);
      default: break;
    }
    for (u64 m = s.mask; m != 0; m &= m - 1) {
      if (!lane_step(s, i, u32(std::countr_zero(m)))) return false;
    }
    return true;
  }

  // --- mbarriers ---
  constexpr void make(const Inst& i) { put(i.a, phases::made_for(u32(i.imm))); }
  // May all lanes of the subgroup go on?
  constexpr bool ended(const Subgroup& s, const Inst& i) const {
    bool all = true;
    m_.for_lanes(
        s, [&](u32 lane) { all = all && phases::ended(word(i.a), PhaseOf(i.mode), m_.get(s, i.c, lane)); });
    return all;
  }

 private:
  constexpr u64 at(u32 shared) const { return m_.shared_at_[shared & ~kShared]; }
  constexpr u64 word(u32 mbarrier) const { return read_element(m_.shared_, at(mbarrier), 8); }
  constexpr void put(u32 mbarrier, u64 word) {
    write_element(m_.shared_, at(mbarrier), 8, word);
    for (u32 b = 0; b < 8; ++b) m_.written_[at(mbarrier) + b] = 1;
  }

  constexpr bool wait(Subgroup& s, const Inst& i) {
    if (!ended(s, i)) {
      s.phase = Phase::waiting;
      return true;
    }
    for (u32 n = 0; n < m_.loads_.size();) {
      const BulkLoad load = m_.loads_[n];
      const Inst& its = m_.k_.insts[load.inst];
      if (bulk_mbarrier(its) != i.a || load.phase == phases::number(word(i.a))) {
        ++n;
        continue;
      }
      m_.loads_.erase(m_.loads_.begin() + n);
      if (!(its.op == Op::tensor_load ? box_into_shared(s, its, load)
                                      : into_shared(s, its, load.lane, load.to, load.from)))
        return false;
      m_.hooks_.fence(load.lane, Order::release);
    }
    m_.for_lanes(s, [&](u32 lane) { m_.hooks_.fence(m_.lane_of(s, lane), Order::acquire); });
    return true;
  }

  // --- Copies ---
  constexpr bool lane_step(Subgroup& s, const Inst& i, u32 lane) {
    switch (i.op) {
      case Op::async_commit: s.copies.commit(lane); return true;
      case Op::bulk_commit: s.stores.commit(lane); return true;
      case Op::async_wait:
      case Op::bulk_wait: return land(s, i.op == Op::async_wait ? s.copies : s.stores, lane, i.imm);
      case Op::mbarrier_arrive: {
        u64 now = word(i.a);
        m_.hooks_.fence(m_.lane_of(s, lane), Order::release);
        m_.set(s, s.pc, lane, phases::arrive(now));
        put(i.a, now);
        return true;
      }
      default: break;
    }
    if (i.op == Op::tensor_load) return tensor_load(s, i, lane);
    const u64 here = m_.get(s, i.b, lane), there = m_.get(s, i.d, lane);
    const u64 count = span_of(i), multiple = alignment_of(i);
    for (const auto& [index, all] : {std::pair{here, m_.length(i.a)}, std::pair{there, m_.length(i.c)}}) {
      if (index >= all || all - index < count) return m_.fail("index out of range", s, lane);
      if (index % multiple != 0)
        return m_.fail(moves_bulk(i.op) ? "bulk copy that is not aligned" : "async copy that is not aligned",
                       s, lane);
    }
    const u64 me = m_.lane_of(s, lane);
    if (i.op == Op::bulk_store) {
      s.stores.add(s.pc, lane, there, here);
      return true;
    }
    const Touch touch{&i, me, i.c, there, u32(count), false};
    if (const std::string_view bad = m_.hooks_.access(touch); !bad.empty()) return m_.fail(bad, s, lane);
    if (i.op == Op::async_copy) s.copies.add(s.pc, lane, here, there);
    else m_.loads_.push_back({s.pc, me, here, there, phases::number(word(bulk_mbarrier(i)))});
    return true;
  }
  constexpr bool land(Subgroup& s, PendingCopies& pending, u32 lane, u64 groups) {
    while (true) {
      const PendingCopies::Copy c = pending.take(lane, groups);
      if (c.inst == kNone) return true;
      const Inst& i = m_.k_.insts[c.inst];
      const u64 me = m_.lane_of(s, lane);
      if (!(i.op == Op::bulk_store ? from_shared(s, i, me, c.to, c.from)
                                   : into_shared(s, i, me, c.to, c.from)))
        return false;
    }
  }
  constexpr bool into_shared(Subgroup& s, const Inst& i, u64 lane, u64 to, u64 from) {
    const u32 size = size_of(i.type), bytes = u32(i.imm);
    const Touch touch{&i, lane, i.a, to, bytes / size, true};
    if (const std::string_view bad = m_.hooks_.access(touch); !bad.empty()) return m_.fail(bad, s, 0);
    for (u64 e = 0; e < bytes; ++e) {
      m_.shared_[at(i.a) + to * size + e] = m_.arguments_[i.c].bytes[from * size + e];
      m_.written_[at(i.a) + to * size + e] = 1;
    }
    return true;
  }
  // --- Boxes of matrices ---
  constexpr MappedMatrix matrix_of(const TensorMap& t) const {
    return {m_.arguments_[t.rows].bits, m_.arguments_[t.columns].bits, m_.arguments_[t.step].bits};
  }
  constexpr bool tensor_load(Subgroup& s, const Inst& i, u32 lane) {
    const TensorMap& t = m_.k_.tensors[TensorLoad::of(i).map];
    const u64 to = m_.get(s, i.b, lane), all = m_.length(i.a), me = m_.lane_of(s, lane);
    if (to >= all || all - to < span_of(i)) return m_.fail("index out of range", s, lane);
    if (to % alignment_of(i) != 0)
      return m_.fail("box that does not begin at a multiple of eight of its rows", s, lane);
    const MappedMatrix matrix = matrix_of(t);
    if (const std::string_view bad = matrix.wrong(size_of(i.type), m_.length(t.buffer)); !bad.empty())
      return m_.fail(bad, s, lane);
    const MatrixBox box{t, size_of(i.type), i32(u32(m_.get(s, i.c, lane))), i32(u32(m_.get(s, i.d, lane)))};
    for (u32 r = 0; r < t.box_rows; ++r) {
      const MatrixBox::Part part = box.part(matrix, r);
      if (part.count == 0) continue;
      const Touch touch{&i, me, t.buffer, part.from, part.count, false};
      if (const std::string_view bad = m_.hooks_.access(touch); !bad.empty()) return m_.fail(bad, s, lane);
    }
    const u64 from = u64(u32(box.row)) << 32 | u32(box.column);
    m_.loads_.push_back({s.pc, me, to, from, phases::number(word(bulk_mbarrier(i)))});
    return true;
  }
  constexpr bool box_into_shared(Subgroup& s, const Inst& i, const BulkLoad& load) {
    const u32 size = size_of(i.type);
    const Touch touch{&i, load.lane, i.a, load.to, u32(span_of(i)), true};
    if (const std::string_view bad = m_.hooks_.access(touch); !bad.empty()) return m_.fail(bad, s, 0);
    const TensorMap& t = m_.k_.tensors[TensorLoad::of(i).map];
    const MatrixBox box{t, size, i32(load.from >> 32), i32(u32(load.from))};
    const u64 first = at(i.a) + load.to * size;
    for (u64 b = 0; b < bulk_bytes(i); ++b) {
      m_.shared_[first + b] = std::byte{0};
      m_.written_[first + b] = 1;
    }
    for (u32 r = 0; r < t.box_rows; ++r) {
      const MatrixBox::Part part = box.part(matrix_of(t), r);
      for (u32 b = 0; b < part.count * size; ++b)
        m_.shared_[first + byte_in_panel(t.box_width, r, part.to * size + b)] =
            m_.arguments_[t.buffer].bytes[part.from * size + b];
    }
    return true;
  }
  constexpr bool from_shared(Subgroup& s, const Inst& i, u64 lane, u64 to, u64 from) {
    const u32 size = size_of(i.type), bytes = u32(i.imm);
    for (const Touch& touch :
         {Touch{&i, lane, i.a, from, bytes / size, false}, Touch{&i, lane, i.c, to, bytes / size, true}}) {
      if (const std::string_view bad = m_.hooks_.access(touch); !bad.empty()) return m_.fail(bad, s, 0);
    }
    for (u64 e = 0; e < bytes; ++e) {
      const u64 b = at(i.a) + from * size + e;
      if (m_.options_.check_shared && m_.written_[b] == 0)
        return m_.fail("shared memory read before it was written", s, 0);
      m_.arguments_[i.c].bytes[to * size + e] = m_.shared_[b];
    }
    return true;
  }

  // --- Matrix operations ---
  constexpr bool whole(const Subgroup& s) {
    if (m_.size_ != kMatrixLanes) return m_.fail("matrix operation: run it with subgroups of 32 lanes", s, 0);
    return s.mask == (u64{1} << kMatrixLanes) - 1 ||
           m_.fail("matrix operation that not every lane of the subgroup reaches", s,
                   u32(std::countr_zero(s.mask)));
  }
  constexpr bool matrix_load(Subgroup& s, const Inst& i) {
    const u32 size = size_of(i.from);
    const u64 first = m_.get(s, i.b, 0), count = m_.length(i.a), span = span_of(i);
    if (first >= count || count - first < span) return m_.fail("index out of range", s, 0);
    if (first % alignment_of(i) != 0)
      return m_.fail("matrix that does not begin at a multiple of 16 bytes", s, 0);
    for (u32 lane = 0; lane < kMatrixLanes; ++lane) {
      if (m_.get(s, i.b, lane) != first) return m_.fail("matrix whose place differs between lanes", s, lane);
      for (u32 r = 0; r < i.width; ++r) {
        u32 bits = 0;
        for (u32 e = 0; e < 4 / size; ++e) {
          u32 element = 0;
          if (!shared_element(s, i, i.a, first + place_in_part(i, lane, r, e), lane, element)) return false;
          bits |= element << 8 * size * e;
        }
        m_.set(s, s.pc, lane, i.from == Type::f32 ? round_to_tf32(bits) : bits, r);
      }
    }
    return true;
  }
  // Reads element `index`, of i.from, of a shared array.
  constexpr bool shared_element(Subgroup& s, const Inst& i, u32 array, u64 index, u32 lane, u32& bits) {
    const Touch touch{&i, m_.lane_of(s, lane), array, index, 1, false};
    if (const std::string_view bad = m_.hooks_.access(touch); !bad.empty()) return m_.fail(bad, s, lane);
    const u64 byte = at(array) + index * size_of(i.from);
    if (m_.options_.check_shared && m_.written_[byte] == 0)
      return m_.fail("shared memory read before it was written", s, lane);
    bits = u32(read_element(m_.shared_, byte, size_of(i.from)));
    return true;
  }

  // --- Products of warpgroups ---
  constexpr u64& var(Subgroup& s, u32 v, u32 lane) { return s.vars[u64{v} * m_.size_ + lane]; }
  constexpr bool name_sums(Subgroup& s, const Inst& i) {
    for (const Product& p : s.products)
      if (sums_of(m_.k_.insts[p.inst]).meets(sums_of(i)))
        return m_.fail("sums of a product that nobody has waited for", s, u32(std::countr_zero(s.mask)));
    m_.for_lanes(s, [&](u32 lane) {
      if (i.op == Op::warpgroup_read) return m_.set(s, s.pc, lane, var(s, i.a, lane));
      for (u32 v = 0; v < i.imm; ++v) var(s, i.a + v, lane) = 0;
    });
    return true;
  }
  constexpr bool products(Subgroup& s, const Inst& i) {
    if (i.op == Op::warpgroup_commit) ++s.product_commits;
    if (i.op == Op::warpgroup_wait) return wait_for_products(s, i.imm);
    if (i.op != Op::warpgroup_multiply) return true;
    const u64 a = m_.get(s, i.b, 0), b = m_.get(s, i.d, 0);
    for (u32 lane = 0; lane < kMatrixLanes; ++lane)
      if (m_.get(s, i.b, lane) != a || m_.get(s, i.d, lane) != b)
        return m_.fail("matrix whose place differs between lanes", s, lane);
    for (const bool is_a : {true, false}) {
      const u64 index = is_a ? a : b, all = m_.length(is_a ? i.a : i.c), span = panels_span(i, is_a);
      if (index >= all || all - index < span) return m_.fail("index out of range", s, 0);
      if (index % alignment_of(i) != 0)
        return m_.fail(
            "matrix that does not begin at a multiple of 16 bytes, or of eight rows of a wide panel", s, 0);
    }
    s.products.push_back({s.pc, a, b, s.product_commits});
    return true;
  }
  constexpr bool wait_for_products(Subgroup& s, u64 groups) {
    std::size_t done = 0;
    for (; done < s.products.size() && s.products[done].group + groups < s.product_commits; ++done)
      if (!multiply(s, s.products[done])) return false;
    s.products.erase(s.products.begin(), s.products.begin() + std::ptrdiff_t(done));
    return true;
  }
  constexpr bool multiply(Subgroup& s, const Product& p) {
    const Inst& i = m_.k_.insts[p.inst];
    const u32 top = s.index % 4 * 16, sums = WarpgroupShape::of(i).first;
    bool fine = true;
    const auto element = [&](bool a, u32 row, u32 k) {
      u32 bits = 0;
      const u64 at = (a ? p.a : p.b) + place_in_operand(i, a, row, k);
      fine = fine && shared_element(s, i, a ? i.a : i.c, at, 0, bits);
      return bits;
    };
    multiply_panels(
        i, [&](u32 row, u32 k) { return element(true, top + row, k); },
        [&](u32 column, u32 k) { return element(false, column, k); },
        [&](u32 lane, u32 r) -> u64& { return var(s, sums + r, lane); });
    return fine;
  }

  Machine& m_;
};

}  // namespace gpuio::kernel::detail
