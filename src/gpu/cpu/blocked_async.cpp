// mbarriers and bulk copies. A workgroup that has mbarriers runs in parts that wait for each other
// (run_parts in blocked.cpp); a part that must wait stops at the step. Copies are made at once.
#include <gpuio/kernel/boxes.hpp>
#include <gpuio/kernel/matrix_lanes.hpp>
#include <gpuio/kernel/phases.hpp>

#include "gpu/cpu/blocked_frame.hpp"

#include <cstring>
#include <utility>

namespace gpuio::gpu::cpu::blocked {
namespace {

std::byte* shared_data(const Frame& f, u32 id) {
  return f.group->shared.data() + f.code->shared_at[id & ~kShared];
}
u64& word_of(const Step* s, const Frame& f) { return *reinterpret_cast<u64*>(shared_data(f, s->a)); }

// Each part makes it, and nobody arrives at it before all have: at the barrier that follows.
const Step* make_step(const Step* s, Frame& f) {
  word_of(s, f) = phases::made_for(u32(s->imm));
  return control_handler(Op::barrier)(s, f);
}

const Step* arrive_step(const Step* s, Frame& f) {
  u64& word = word_of(s, f);
  f.for_active([&](u32 lane) { f.at<u64>(s->to)[lane] = phases::arrive(word); });
  return s + 1;
}

const Step* wait_step(const Step* s, Frame& f) {
  const u64 word = word_of(s, f);
  const PhaseOf what{s->mode};
  bool ended = true;
  f.for_active([&](u32 lane) {
    const u64 phase = what == PhaseOf::token ? f.at<u64>(s->c)[lane] : f.at<u32>(s->c)[lane];
    ended = ended && phases::ended(word, what, phase);
  });
  if (ended) return s + 1;
  f.paused = s;
  return nullptr;
}

const Step* bulk_step(const Step* s, Frame& f) {
  const Argument& buffer = f.group->arguments[s->c];
  std::byte* const there = reinterpret_cast<std::byte*>(buffer.value);
  const u32 size = size_of(s->type);
  const u64 count = s->imm / size, multiple = 16 / size, elements = f.code->shared[s->a & ~kShared].count;
  const auto index = [&](u32 place, bool wide, u32 lane) {
    return wide ? f.at<u64>(place)[lane] : u64{f.at<u32>(place)[lane]};
  };
  for (u32 lane = f.begin; lane < f.last(); ++lane) {
    if (!f.active[lane]) continue;
    const u64 i = index(s->b, s->uniform_a, lane), j = index(s->d, s->uniform_b, lane);
    for (const auto& [at, all] : {std::pair{i, elements}, std::pair{j, buffer.count}}) {
      if (at < all && all - at >= count && at % multiple == 0) continue;
      f.error =
          error(Code::invalid_address, "line {}: a bulk copy of {} elements at index {} of {}; it is {}",
                s->line, count, at, all, at % multiple ? "not at a multiple of 16 bytes" : "out of range");
      return nullptr;
    }
    std::byte* const here = shared_data(f, s->a) + i * size;
    if (s->op == Op::bulk_load) std::memcpy(here, there + j * size, s->imm);
    else std::memcpy(there + j * size, here, s->imm);
  }
  return s + 1;
}

// At once too: nobody may look before the phase has ended.
const Step* tensor_step(const Step* s, Frame& f) {
  const Inst i{.op = s->op, .type = s->type, .mode = s->mode, .imm = s->imm};
  const TensorMap& map = f.code->tensors[TensorLoad::of(i).map];
  const auto argument = [&](u32 p) { return f.group->arguments[p].value; };
  const Argument& buffer = f.group->arguments[map.buffer];
  const MappedMatrix matrix{argument(map.rows), argument(map.columns), argument(map.step)};
  const u32 size = size_of(i.type);
  const u64 count = span_of(i), elements = f.code->shared[s->a & ~kShared].count;
  std::string_view wrong = matrix.wrong(size, buffer.count);
  if (wrong.empty() && buffer.value % 16 != 0) wrong = "tensor map of a buffer that is not 16-byte aligned";
  for (u32 lane = f.begin; lane < f.last(); ++lane) {
    if (!f.active[lane]) continue;
    const u64 to = s->uniform_a ? f.at<u64>(s->b)[lane] : u64{f.at<u32>(s->b)[lane]};
    if (!wrong.empty()) {
      f.error =
          error(Code::invalid_arg, "line {}: {}: {} x {} elements of {} bytes, {} from row to row, of {}",
                s->line, wrong, matrix.rows, matrix.columns, size, matrix.step, buffer.count);
      return nullptr;
    }
    if (to >= elements || elements - to < count || to % alignment_of(i) != 0) {
      f.error = error(Code::invalid_address,
                      "line {}: a box of {} elements at index {} of {}; it begins at a multiple of {}",
                      s->line, count, to, elements, alignment_of(i));
      return nullptr;
    }
    const MatrixBox box{map, size, i32(f.at<u32>(s->c)[lane]), i32(f.at<u32>(s->d)[lane])};
    std::byte* const panel = shared_data(f, s->a) + to * size;
    std::memset(panel, 0, bulk_bytes(i));
    for (u32 r = 0; r < map.box_rows; ++r) {
      const MatrixBox::Part part = box.part(matrix, r);
      const std::byte* const from = reinterpret_cast<const std::byte*>(buffer.value) + part.from * size;
      for (u32 e = 0; e < part.count; ++e)
        std::memcpy(panel + byte_in_panel(map.box_width, r, (part.to + e) * size), from + e * size, size);
    }
  }
  return s + 1;
}

}  // namespace

Handler async_handler(Op op) {
  switch (op) {
    case Op::mbarrier_init: return &make_step;
    case Op::mbarrier_arrive: return &arrive_step;
    case Op::mbarrier_wait: return &wait_step;
    case Op::tensor_load: return &tensor_step;
    default: return &bulk_step;
  }
}

}  // namespace gpuio::gpu::cpu::blocked
