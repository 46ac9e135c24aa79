#include "gpu/cpu/blocked.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <new>

#include "base/platform/per_thread.hpp"
#include "gpu/cpu/blocked_analysis.hpp"
#include "gpu/cpu/blocked_frame.hpp"

namespace gpuio::gpu::cpu {
namespace blocked {
namespace {

constexpr u32 kAlign = 64;
constexpr u32 kNowhere = kNone;

// Where values live, as the walk over the instructions goes on.
class Arena {
 public:
  u32 take(u32 size) {
    size = (size + kAlign - 1) / kAlign * kAlign;
    auto& free = free_[size];
    if (free.empty()) {
      end_ += size;
      return end_ - size;
    }
    const u32 offset = free.back();
    free.pop_back();
    return offset;
  }
  void give(u32 offset, u32 size) { free_[(size + kAlign - 1) / kAlign * kAlign].push_back(offset); }
  u32 end() const { return end_; }

 private:
  std::map<u32, std::vector<u32>> free_;
  u32 end_ = 0;
};

class Maker {
 public:
  Maker(const View& kernel, Plan& code) : k_(kernel), code_(code), known_(kernel) {
    const auto n = kernel.insts.size();
    place_.assign(n, kNowhere);
    step_of_.assign(n + 1, 0);
    ends_.resize(n + 1);
    region_of_.assign(n, 0);
  }

  void make() {
    place_fixed();
    for (at_ = 0; at_ < k_.insts.size(); ++at_)  // before everything: what never changes while a group runs
      if (entry_value(k_.insts[at_])) emit_value(k_.insts[at_]);
    for (at_ = 0; at_ < k_.insts.size(); ++at_) {
      step_of_[at_] = u32(code_.steps.size());
      instruction(k_.insts[at_]);
      for (const auto& [offset, size] : ends_[at_]) arena_.give(offset, size);
    }
    step_of_[at_] = u32(code_.steps.size());
    code_.steps.push_back({.run = control_handler(Op::constant)});
    for (auto& [step, target, section] : jumps_) {
      code_.steps[step].target = step_of_[target];
      code_.steps[step].section = step_of_[section];
      if (to_else_.contains(step)) ++code_.steps[step].target;  // past the else_, into its section
    }
    code_.arena_bytes = arena_.end();
  }

 private:
  u32 array_bytes(Type t, u32 width = 1) const { return code_.padded * size_of(t) * width; }

  // Vars first, in one piece, so that they are zeroed at once; then masks.
  void place_fixed() {
    code_.vars_begin = arena_.end();
    for (u32 v = 0; v < k_.vars.size(); ++v)
      var_place_.push_back(arena_.take(known_.uniform_var[v] ? 8 : array_bytes(k_.vars[v])));
    code_.vars_end = arena_.end();
    code_.regions = u32(std::ranges::count_if(k_.insts, [](const Inst& i) { return opens_region(i.op); }));
    code_.masks_begin = arena_.take(code_.padded * (1 + 2 * code_.regions));
  }

  static bool entry_value(const Inst& i) {
    if (i.op == Op::constant || i.op == Op::argument || i.op == Op::length) return true;
    return i.op == Op::builtin && Builtin(i.mode) >= Builtin::group_x &&
           Builtin(i.mode) <= Builtin::subgroup_size;
  }

  Step& emit(const Inst& i, Handler run) {
    code_.steps.push_back({.run = run,
                           .line = i.line,
                           .op = i.op,
                           .type = i.type,
                           .from = i.from,
                           .width = i.width,
                           .mode = i.mode});
    return code_.steps.back();
  }

  u32 place(u32 bytes) {
    const u32 offset = arena_.take(bytes);
    ends_[known_.last_use[at_]].push_back({offset, bytes});
    return offset;
  }
  // Of the value that the current instruction makes. Uniform values are few bytes and keep their place.
  u32 place_result(const Inst& i) {
    return place_[at_] = known_.uniform[at_] ? arena_.take(8 * i.width) : place(array_bytes(i.type, i.width));
  }

  // The operand as an array: broadcast for this instruction when it is uniform.
  u32 array(u32 value) {
    if (!known_.uniform[value]) return place_[value];
    const Type t = k_.insts[value].type;
    const u32 offset = arena_.take(array_bytes(t));
    ends_[at_].push_back({offset, array_bytes(t)});
    emit(k_.insts[at_], broadcast_handler(size_of(t))).a = place_[value];
    code_.steps.back().to = offset;
    return offset;
  }

  void emit_value(const Inst& i) {
    const u32 to = place_result(i);
    Step& s = emit(i, uniform_handler(i));
    s.to = to;
    s.imm = i.op == Op::constant ? i.imm : i.a;
    if (i.op == Op::length && (i.a & kShared)) s.imm = k_.shared[i.a & ~kShared].count;
  }

  void instruction(const Inst& i) {
    if (entry_value(i)) return;
    switch (i.op) {
      case Op::builtin: return builtin(i);
      case Op::var_load: return var_load(i);
      case Op::var_store: return var_store(i);
      case Op::bitcast: place_[at_] = place_[i.a]; return;
      case Op::extract: return extract(i);
      case Op::compose: return compose(i);
      case Op::select:
      case Op::fma:
      case Op::pair_fma: return three_operands(i);
      case Op::load:
      case Op::store:
      case Op::atomic_load:
      case Op::atomic_store:
      case Op::atomic_rmw:
      case Op::atomic_cas:
      case Op::fence: return memory(i);
      case Op::barrier:
      case Op::barrier_any: return barrier(i);
      case Op::subgroup_shuffle:
      case Op::subgroup_vote:
      case Op::subgroup_ballot:
      case Op::subgroup_reduce:
      case Op::subgroup_elect: return subgroup(i);
      case Op::matrix_load:
      case Op::matrix_multiply: return matrix(i);
      case Op::async_copy: return async_copy(i);
      case Op::async_commit:
      case Op::async_wait:
      case Op::bulk_commit:
      case Op::bulk_wait: return;  // it has been copied
      case Op::warpgroup_commit:
      case Op::warpgroup_wait: return;  // it has been multiplied
      case Op::warpgroup_clear:
      case Op::warpgroup_read:
      case Op::warpgroup_multiply: return warpgroup(i);
      case Op::mbarrier_init:
      case Op::mbarrier_arrive:
      case Op::mbarrier_wait: return mbarrier(i);
      case Op::bulk_load:
      case Op::bulk_store: return bulk_copy(i);
      case Op::tensor_load: return tensor_load(i);
      case Op::if_:
      case Op::else_:
      case Op::end_if:
      case Op::for_:
      case Op::end_for:
      case Op::loop:
      case Op::continuing:
      case Op::end_loop:
      case Op::break_:
      case Op::continue_:
      case Op::return_: return control(i);
      default: return arithmetic(i);
    }
  }

  void builtin(const Inst& i) {
    const u32 to = place_result(i);
    emit(i, known_.uniform[at_] ? uniform_handler(i) : builtin_handler()).to = to;
  }

  void var_load(const Inst& i) {
    if (known_.aliases_var[at_]) {
      place_[at_] = var_place_[i.a];
      return;
    }
    const u32 to = place_result(i);
    Step& s = emit(i, copy_handler(known_.uniform[at_] ? 8 : size_of(i.type), false));
    if (known_.uniform[at_]) s.run = uniform_handler({.op = Op::var_store});
    s.a = var_place_[i.a];
    s.to = to;
  }

  void var_store(const Inst& i) {
    const bool uniform = known_.uniform_var[i.a];
    const u32 from = uniform ? place_[i.b] : array(i.b);
    Step& s = emit(i, uniform ? uniform_handler(i) : copy_handler(size_of(i.type), true));
    s.a = from;
    s.to = var_place_[i.a];
  }

  void extract(const Inst& i) {
    const u32 stride = known_.uniform[i.a] ? 8 : array_bytes(i.type);
    place_[at_] = place_[i.a] + u32(i.imm) * stride;
  }

  void compose(const Inst& i) {
    const std::array<u32, 4> parts{i.a, i.b, i.c, i.d};
    const u32 to = place_result(i);
    for (u32 e = 0; e < i.width; ++e) {
      const bool uniform = known_.uniform[at_];
      const bool spread = !uniform && known_.uniform[parts[e]];
      Step& s = emit(i, uniform  ? uniform_handler(i)
                        : spread ? broadcast_handler(size_of(i.type))
                                 : copy_handler(size_of(i.type), false));
      s.a = place_[parts[e]];
      s.to = to + e * (uniform ? 8 : array_bytes(i.type));
    }
  }

  void three_operands(const Inst& i) {
    const bool uniform = known_.uniform[at_];
    const u32 a = uniform ? place_[i.a] : array(i.a), b = uniform ? place_[i.b] : array(i.b),
              c = uniform ? place_[i.c] : array(i.c);
    const u32 to = place_result(i);
    Step& s = emit(i, uniform              ? uniform_handler(i)
                      : i.op == Op::select ? select_handler(size_of(i.type))
                                           : arithmetic_handler(i, false, false));
    s.a = a, s.b = b, s.c = c, s.to = to;
  }

  void arithmetic(const Inst& i) {
    const bool uniform = known_.uniform[at_], two = value_operands(i) == 0b0011;
    const bool ua = known_.uniform[i.a], ub = two && known_.uniform[i.b];
    const u32 to = place_result(i);
    Step& s = emit(i, uniform            ? uniform_handler(i)
                      : i.op == Op::cast ? cast_handler(i.type, i.from)
                                         : arithmetic_handler(i, ua, ub));
    s.a = place_[i.a], s.b = two ? place_[i.b] : 0, s.to = to;
  }

  void memory(const Inst& i) {
    if (i.op == Op::fence) {
      emit(i, memory_handler(i, false, false)).imm = u64(i.order);
      return;
    }
    const bool uniform = has_result(i.op) && known_.uniform[at_];
    const u32 mask = value_operands(i);
    const u32 b = uniform ? place_[i.b] : array(i.b);
    const u32 c = mask & 0b0100 ? stored(i.c) : 0, d = mask & 0b1000 ? array(i.d) : 0;
    const u32 to = has_result(i.op) ? place_result(i) : 0;
    Step& s = emit(i, memory_handler(i, uniform, size_of(k_.insts[i.b].type) == 8));
    s.a = i.a, s.b = b, s.c = c, s.d = d, s.to = to;
    s.imm = u64(i.order);
  }

  // A value to store; vectors too.
  u32 stored(u32 value) {
    const Inst& v = k_.insts[value];
    if (v.width == 1 || !known_.uniform[value]) return array(value);
    const u32 offset = arena_.take(array_bytes(v.type, v.width));
    ends_[at_].push_back({offset, array_bytes(v.type, v.width)});
    for (u32 e = 0; e < v.width; ++e) {
      Step& s = emit(k_.insts[at_], broadcast_handler(size_of(v.type)));
      s.a = place_[value] + 8 * e;
      s.to = offset + e * array_bytes(v.type);
    }
    return offset;
  }

  void barrier(const Inst& i) {
    const bool any = i.op == Op::barrier_any;
    const u32 to = any ? place_result(i) : 0;
    Step& s = emit(i, control_handler(i.op));
    if (!any) return;
    s.uniform_a = known_.uniform[i.a];
    s.a = place_[i.a], s.to = to;
  }

  void subgroup(const Inst& i) {
    const u32 mask = value_operands(i);
    const u32 a = mask & 1 ? array(i.a) : 0, b = mask & 2 ? array(i.b) : 0;
    const u32 to = place_result(i);
    Step& s = emit(i, subgroup_handler(i));
    s.a = a, s.b = b, s.to = to;
  }

  void async_copy(const Inst& i) {
    const u32 to = array(i.b), from = array(i.d);
    Step& s = emit(i, memory_handler(i, false, false));
    s.a = i.a, s.b = to, s.c = i.c, s.d = from;
    s.uniform_a = size_of(k_.insts[i.b].type) == 8, s.uniform_b = size_of(k_.insts[i.d].type) == 8;
    s.imm = i.imm;
  }

  void bulk_copy(const Inst& i) {
    async_copy(i);
    code_.steps.back().run = async_handler(i.op);
    code_.steps.back().imm = bulk_bytes(i);
  }

  void tensor_load(const Inst& i) {
    const u32 to = array(i.b), row = array(i.c), column = array(i.d);
    Step& s = emit(i, async_handler(i.op));
    s.a = i.a, s.b = to, s.c = row, s.d = column;
    s.uniform_a = size_of(k_.insts[i.b].type) == 8;
    s.imm = u32(i.imm);
  }

  void mbarrier(const Inst& i) {
    const u32 phase = i.op == Op::mbarrier_wait ? array(i.c) : 0;
    const u32 to = i.op == Op::mbarrier_arrive ? place_result(i) : 0;
    Step& s = emit(i, async_handler(i.op));
    s.a = i.a, s.c = phase, s.to = to;
    s.imm = i.imm;
  }

  // Sums lie one after the other.
  void warpgroup(const Inst& i) {
    if (i.op == Op::warpgroup_read) {
      const u32 to = place_result(i);
      Step& s = emit(i, copy_handler(size_of(i.type), false));
      s.a = var_place_[i.a], s.to = to;
      return;
    }
    const bool multiply = i.op == Op::warpgroup_multiply;
    const u32 b = multiply ? array(i.b) : 0, d = multiply ? array(i.d) : 0;
    Step& s = emit(i, warpgroup_handler(i.op));
    s.a = i.a, s.b = b, s.c = i.c, s.d = d, s.to = var_place_[sums_of(i).first];
    s.uniform_a = multiply && size_of(k_.insts[i.b].type) == 8;
    s.uniform_b = multiply && size_of(k_.insts[i.d].type) == 8;
    s.imm = i.imm;
  }

  void matrix(const Inst& i) {
    const bool load = i.op == Op::matrix_load;
    const u32 a = load ? i.a : stored(i.a), b = load ? array(i.b) : stored(i.b), c = load ? 0 : stored(i.c);
    const u32 to = place_result(i);
    Step& s = emit(i, matrix_handler(i, size_of(k_.insts[i.b].type) == 8));
    s.a = a, s.b = b, s.c = c, s.to = to;
    s.imm = i.imm;
  }

  void control(const Inst& i) {
    const Structure& structure = known_.structure;
    const auto closing = [&](u32 opener) {
      region_of_[at_] = region_of_[opener];
      return opener;
    };
    u32 target = at_, to = 0;
    if (opens_region(i.op)) region_of_[at_] = next_region_++;
    if (i.op == Op::for_) to = place_result(i);
    const u32 index = u32(code_.steps.size());
    Step s = {.run = control_handler(i.op), .to = to, .line = i.line, .op = i.op, .type = i.type};
    switch (i.op) {
      case Op::if_:
        s.a = place_[i.a];
        s.uniform_a = known_.uniform[i.a];
        target = structure.own_end[at_];
        if (s.uniform_a && k_.insts[target].op == Op::else_) to_else_.insert({index, true});
        open_.push_back(at_);
        break;
      case Op::else_:
      case Op::end_if:
        s.uniform_a = known_.uniform[k_.insts[closing(open_.back())].a];
        if (i.op == Op::else_) target = structure.own_end[at_];
        else open_.pop_back();
        break;
      case Op::for_: open_for(i, s); [[fallthrough]];
      case Op::loop:
        target = structure.own_end[at_];
        open_.push_back(at_);
        break;
      case Op::continuing:
        s.uniform_a = !known_.has_continue[closing(open_.back())];
        target = structure.own_end[at_];
        break;
      case Op::end_for:
      case Op::end_loop: {
        const u32 opener = closing(open_.back());
        open_.pop_back();
        if (i.op == Op::end_for) s = for_steps_[opener];
        s.run = control_handler(i.op);
        s.op = i.op;
        s.uniform_a = !known_.has_continue[opener];
        s.polls = known_.polls[opener];
        target = opener;
        loop_back_.push_back(index);
        break;
      }
      case Op::break_:
      case Op::continue_: {
        auto loop = open_.rbegin();
        while (k_.insts[*loop].op == Op::if_) ++loop;
        region_of_[at_] = region_of_[*loop];
        break;
      }
      default: break;
    }
    s.region = region_of_[at_];
    code_.steps.push_back(s);
    jumps_.push_back({index, target, structure.section_end[at_]});
    if (!loop_back_.empty() && loop_back_.back() == index) to_else_.insert({index, true});  // past the opener
    if (i.op == Op::for_) for_steps_[at_] = s;
  }

  void open_for(const Inst& i, Step& s) {
    s.a = place_[i.a], s.b = place_[i.b], s.c = place_[i.c];
    s.uniform_a = known_.uniform[i.a], s.uniform_b = known_.uniform[i.b];
    const bool uniform_c = known_.uniform[i.c];
    const bool trips = s.uniform_a && s.uniform_b && uniform_c;
    s.mode = u8((known_.uniform[at_] ? 1 : 0) | (trips ? 2 : 0) | (uniform_c ? 4 : 0));
    if (!trips) s.d = place(array_bytes(Type::u64));
  }

  struct Jump {
    u32 step, target, section;
  };
  struct Piece {
    u32 offset, size;
  };

  const View& k_;
  Plan& code_;
  Analysis known_;
  Arena arena_;
  u32 at_ = 0, next_region_ = 0;
  std::vector<u32> place_, var_place_, step_of_, region_of_, open_, loop_back_;
  std::vector<std::vector<Piece>> ends_;  // by instruction: what is free after it
  std::vector<Jump> jumps_;
  std::map<u32, bool> to_else_;  // steps that go one past their target
  std::map<u32, Step> for_steps_;
};

// What a thread works in; grows to the largest kernel it has met.
struct Workplace {
  static constexpr std::align_val_t kAlignment{kAlign};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<std::byte[], Free> memory;
  u32 capacity = 0;
  std::vector<Region> regions;

  std::byte* arena(u32 size) {
    if (size > capacity) {
      memory.reset(static_cast<std::byte*>(::operator new(size, kAlignment)));
      // Inactive lanes compute on whatever lies here: it must at least be something.
      std::memset(memory.get(), 0, size);
      capacity = size;
    }
    return memory.get();
  }
};

// Lanes [first, last) of a workgroup at its entry.
void begin(Frame& f, const Workgroup& group, const Plan& code, std::byte* arena, std::vector<Region>& regions,
           u32 first, u32 last) {
  regions.resize(code.regions);
  f.code = &code;
  f.group = &group;
  f.arena = arena;
  f.regions = &regions;
  std::memset(f.arena + code.vars_begin, 0, code.vars_end - code.vars_begin);
  f.active = f.at<u8>(code.masks_begin);
  for (u32 r = 0; r < code.regions; ++r) {
    regions[r].pending = f.active + code.padded * (1 + 2 * r);
    regions[r].continued = f.active + code.padded * (2 + 2 * r);
  }
  std::memset(f.active, 0, code.padded);
  std::memset(f.active + first, 1, last - first);
  f.refresh();
}

Status stuck(const Step* s) {
  return s->op == Op::mbarrier_wait
             ? error(Code::invalid_address, "line {}: an mbarrier whose phase nobody ends", s->line)
             : error(Code::invalid_address, "line {}: barrier that not every lane of the workgroup reaches",
                     s->line);
}

// All parts have come to one barrier, with all of their lanes: tells them what barrier_any answers.
bool meet(std::vector<Frame>& parts) {
  const Step* const s = parts[0].paused;
  if (s == nullptr || s->op == Op::mbarrier_wait) return false;
  u64 any = 0;
  u32 lanes = 0;
  for (Frame& f : parts) {
    if (f.paused != s) return false;
    lanes += f.count;
    if (s->op == Op::barrier_any && s->uniform_a) any |= f.scalar(s->a);
    else if (s->op == Op::barrier_any) f.for_active([&](u32 i) { any |= f.at<u8>(s->a)[i]; });
  }
  for (Frame& f : parts)
    if (s->op == Op::barrier_any) *f.at<u64>(s->to) = any;
  return lanes == parts[0].code->lanes;
}

// Parts take turns: each runs until it has come to a barrier, or to a phase that has not ended.
Status run_parts(const Workgroup& group, const Plan& code, Workplace& place) {
  const u32 n = (code.lanes + code.part_lanes - 1) / code.part_lanes;
  std::vector<Frame> parts(n);
  std::vector<std::vector<Region>> regions(n);
  std::vector<const Step*> next(n, code.steps.data());
  std::byte* const arenas = place.arena(code.arena_bytes * n);
  for (u32 p = 0; p < n; ++p)
    begin(parts[p], group, code, arenas + std::size_t{code.arena_bytes} * p, regions[p], p * code.part_lanes,
          std::min(code.lanes, (p + 1) * code.part_lanes));
  while (true) {
    bool moved = false;
    const Step* waiting = nullptr;
    for (u32 p = 0; p < n; ++p) {
      Frame& f = parts[p];
      const bool at_barrier = f.paused && f.paused->op != Op::mbarrier_wait;
      if (next[p] && !at_barrier) {
        f.paused = nullptr;
        const Step* s = next[p]->run(next[p], f);
        moved = moved || s != nullptr || f.paused == nullptr;
        while (s != nullptr) s = s->run(s, f);
        if (!f.error) return std::move(f.error);
        next[p] = f.paused;
      }
      if (next[p]) waiting = next[p];
    }
    if (waiting == nullptr) return {};
    if (meet(parts)) {
      for (u32 p = 0; p < n; ++p) {
        next[p] = parts[p].paused + 1;
        parts[p].paused = nullptr;
      }
    } else if (!moved) {
      return stuck(waiting);
    }
  }
}

Status run(const Workgroup& group) {
  const Plan& code = *static_cast<const Plan*>(group.data);
  auto& place = per_thread<Workplace>();
  if (code.part_lanes) return run_parts(group, code, place);
  Frame f;
  begin(f, group, code, place.arena(code.arena_bytes), place.regions, 0, code.lanes);
  for (const Step* s = code.steps.data(); s != nullptr;) s = s->run(s, f);
  return std::move(f.error);
}

}  // namespace
}  // namespace blocked

Result<Native> make_blocked(const kernel::View& kernel, const BlockedOptions& options) {
  using kernel::Op;
  if (options.subgroup_size == 0 || options.subgroup_size > 64 || !std::has_single_bit(options.subgroup_size))
    return fail(Code::invalid_arg, "subgroups of {} lanes: a power of two up to 64 is possible",
                options.subgroup_size);
  for (const kernel::Inst& i : kernel.insts)
    if (i.op == Op::ondemand_load || i.op == Op::ondemand_status || i.op == Op::ondemand_prefetch ||
        i.op == Op::lane_status)
      return fail(Code::unsupported,
                  "kernel '{}', line {}: on-demand accesses must be lowered before a device runs them",
                  kernel.name, i.line);
  for (const kernel::Inst& i : kernel.insts)
    if (i.op == Op::inline_ptx)
      return fail(Code::unsupported,
                  "kernel '{}', line {}: inline PTX runs on CUDA only: use a plain variant", kernel.name,
                  i.line);
  auto code = std::make_shared<blocked::Plan>();
  code->name = kernel.name;
  code->block = kernel.block;
  code->lanes = kernel.lanes();
  code->padded = (code->lanes + blocked::kChunk - 1) / blocked::kChunk * blocked::kChunk;
  code->subgroup_size =
      uses_matrix_units(kernel) || uses_warpgroups(kernel) ? kernel::kMatrixLanes : options.subgroup_size;
  code->part_lanes = uses_warpgroups(kernel)  ? kernel::kWarpgroupLanes
                     : uses_mbarriers(kernel) ? std::max(code->subgroup_size, kernel::kMatrixLanes)
                                              : 0;
  code->params.assign(kernel.params.begin(), kernel.params.end());
  code->shared.assign(kernel.shared.begin(), kernel.shared.end());
  code->tensors.assign(kernel.tensors.begin(), kernel.tensors.end());
  for (kernel::u32 i = 0; i < code->shared.size(); ++i) code->shared_at.push_back(shared_offset(kernel, i));
  blocked::Maker(kernel, *code).make();
  return Native{.run = &blocked::run, .data = std::move(code)};
}

}  // namespace gpuio::gpu::cpu
