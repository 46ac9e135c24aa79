// Matrix operations: a subgroup of 32 lanes after the other, as kernel/matrix_lanes.hpp defines them.
#include <gpuio/kernel/matrix_lanes.hpp>

#include "gpu/cpu/blocked_frame.hpp"

namespace gpuio::gpu::cpu::blocked {
namespace {

// Calls each(first lane) for the subgroups that are here; false when one is not here as a whole.
template <class F>
bool each_subgroup(const Step* s, Frame& f, F&& each) {
  for (u32 first = f.begin / kMatrixLanes * kMatrixLanes; first < f.last(); first += kMatrixLanes) {
    u32 active = 0;
    for (u32 lane = first; lane < first + kMatrixLanes && lane < f.code->lanes; ++lane)
      active += f.active[lane];
    if (active == 0) continue;
    if (active != kMatrixLanes) {
      f.error = error(Code::invalid_arg,
                      "line {}: a matrix operation that {} of the subgroup's {} lanes reach: all have to",
                      s->line, active, kMatrixLanes);
      return false;
    }
    if (!each(first)) return false;
  }
  return true;
}

// Register r of each lane.
u32* lanes_of(const Frame& f, u32 place, u32 r) { return f.at<u32>(place) + r * f.code->padded; }

bool load_part(const Step* s, Frame& f, const Inst& load, u64 index, u32 first) {
  const u32 array = s->a & ~kShared, size = size_of(load.from), count = f.code->shared[array].count;
  const u64 span = span_of(load);
  if (index >= count || count - index < span || index % alignment_of(load) != 0) {
    f.error = error(Code::invalid_address,
                    "line {}: a matrix from index {} on, {} elements from first to last, in {} elements; it "
                    "begins at a multiple of {}",
                    s->line, index, span, count, alignment_of(load));
    return false;
  }
  const std::byte* const from = f.group->shared.data() + f.code->shared_at[array] + index * size;
  for (u32 r = 0; r < load.width; ++r) {
    u32* const to = lanes_of(f, s->to, r) + first;
    for (u32 lane = 0; lane < kMatrixLanes; ++lane) {
      u32 bits = 0;
      for (u32 e = 0; e < 4 / size; ++e) {
        u32 element = 0;
        __builtin_memcpy(&element, from + place_in_part(load, lane, r, e) * size, size);
        bits |= element << 8 * size * e;
      }
      to[lane] = load.from == Type::f32 ? round_to_tf32(bits) : bits;
    }
  }
  return true;
}

template <class I>
const Step* matrix_load_step(const Step* s, Frame& f) {
  const Inst load{
      .op = s->op, .type = s->type, .from = s->from, .width = s->width, .mode = s->mode, .imm = s->imm};
  const I* const index = f.at<I>(s->b);
  return each_subgroup(s, f, [&](u32 first) { return load_part(s, f, load, index[first], first); }) ? s + 1
                                                                                                    : nullptr;
}

const Step* matrix_multiply_step(const Step* s, Frame& f) {
  const auto multiply = [&](u32 first) {
    const auto of = [&](u32 place) {
      return [&f, place, first](u32 lane, u32 r) { return lanes_of(f, place, r)[first + lane]; };
    };
    multiply_matrices(Matrix(s->mode), of(s->a), of(s->b), of(s->c),
                      [&](u32 lane, u32 r, u32 bits) { lanes_of(f, s->to, r)[first + lane] = bits; });
    return true;
  };
  return each_subgroup(s, f, multiply) ? s + 1 : nullptr;
}

const Step* clear_step(const Step* s, Frame& f) {
  for (u32 v = 0; v < s->imm; ++v) f.for_active([&](u32 lane) { lanes_of(f, s->to, v)[lane] = 0; });
  return s + 1;
}

// At once: nobody sees the sums before they are waited for.
const Step* warpgroup_step(const Step* s, Frame& f) {
  const Inst i{.op = s->op, .type = s->type, .from = s->from, .mode = s->mode, .imm = s->imm};
  const u32 size = size_of(i.from);
  const auto index = [&](u32 place, bool wide, u32 lane) {
    return wide ? f.at<u64>(place)[lane] : u64{f.at<u32>(place)[lane]};
  };
  const auto multiply = [&](u32 first) {
    const u64 a = index(s->b, s->uniform_a, first), b = index(s->d, s->uniform_b, first);
    for (const bool is_a : {true, false}) {
      const u64 at = is_a ? a : b, span = panels_span(i, is_a);
      const u64 count = f.code->shared[(is_a ? s->a : s->c) & ~kShared].count;
      if (at < count && count - at >= span && at % alignment_of(i) == 0) continue;
      f.error = error(Code::invalid_address,
                      "line {}: a matrix in panels from index {} on, {} elements from first to last, in {} "
                      "elements; it begins at a multiple of {}",
                      s->line, at, span, count, alignment_of(i));
      return false;
    }
    const auto of = [&](u32 array, u64 begin, bool is_a, u32 top) {
      const std::byte* const from = f.group->shared.data() + f.code->shared_at[array & ~kShared];
      return [=](u32 row, u32 k) {
        u32 bits = 0;
        const u64 at = begin + place_in_operand(i, is_a, top + row, k);
        __builtin_memcpy(&bits, from + at * size, size);
        return bits;
      };
    };
    multiply_panels(i, of(s->a, a, true, first / kMatrixLanes % 4 * 16), of(s->c, b, false, 0),
                    [&](u32 lane, u32 r) -> u32& { return lanes_of(f, s->to, r)[first + lane]; });
    return true;
  };
  return each_subgroup(s, f, multiply) ? s + 1 : nullptr;
}

}  // namespace

Handler warpgroup_handler(Op op) { return op == Op::warpgroup_clear ? &clear_step : &warpgroup_step; }

Handler matrix_handler(const Inst& i, bool wide_index) {
  if (i.op == Op::matrix_multiply) return &matrix_multiply_step;
  return wide_index ? &matrix_load_step<u64> : &matrix_load_step<u32>;
}

}  // namespace gpuio::gpu::cpu::blocked
