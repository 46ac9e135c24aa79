// Masks, loops, barriers, subgroups, and what is computed once for all lanes.
#include "gpu/cpu/blocked_frame.hpp"

#include <array>
#include <cstring>
#include <thread>

namespace gpuio::gpu::cpu::blocked {
namespace {

Region& region_of(const Step* s, Frame& f) { return (*f.regions)[s->region]; }

void merge(u8* into, const u8* lanes, const Frame& f) {
  for (u32 i = 0; i < f.code->padded; ++i) into[i] |= lanes[i];
}
void clear(u8* lanes, const Frame& f) { std::memset(lanes, 0, f.code->padded); }

// No lane is left here: on to the bracket that ends the section.
const Step* leave(const Step* s, Frame& f) { return f.code->steps.data() + s->section; }
const Step* jump(const Step* s, Frame& f) { return f.code->steps.data() + s->target; }

void deactivate(Frame& f) {
  clear(f.active, f);
  f.begin = f.end = f.count = 0;
  f.dense = true;
}

const Step* if_step(const Step* s, Frame& f) {
  if (s->uniform_a) return f.scalar(s->a) != 0 ? s + 1 : jump(s, f);
  u8* const pending = region_of(s, f).pending;
  const u8* const taken = f.at<u8>(s->a);
  for (u32 i = 0; i < f.code->padded; ++i) {
    pending[i] = u8(f.active[i] & (taken[i] ^ 1));
    f.active[i] &= taken[i];
  }
  f.refresh();
  return f.count != 0 ? s + 1 : jump(s, f);
}

const Step* else_step(const Step* s, Frame& f) {
  if (s->uniform_a) return jump(s, f);
  u8* const pending = region_of(s, f).pending;
  for (u32 i = 0; i < f.code->padded; ++i) std::swap(f.active[i], pending[i]);
  f.refresh();
  return f.count != 0 ? s + 1 : jump(s, f);
}

const Step* end_if_step(const Step* s, Frame& f) {
  if (!s->uniform_a) {
    merge(f.active, region_of(s, f).pending, f);
    f.refresh();
  }
  return f.count != 0 ? s + 1 : leave(s, f);
}

void enter(Region& r, const Frame& f) {
  clear(r.pending, f);
  clear(r.continued, f);
  r.trip = 0;
}

const Step* loop_step(const Step* s, Frame& f) {
  enter(region_of(s, f), f);
  return s + 1;
}

// The lanes for which trips[i] <= trip leave the loop.
void end_lanes(Region& r, const u64* trips, Frame& f) {
  u64 fewest = ~u64{0};
  for (u32 i = f.begin; i < f.last(); ++i) {
    if (!f.active[i]) continue;
    if (trips[i] <= r.trip) {
      r.pending[i] = 1;
      f.active[i] = 0;
    } else if (trips[i] < fewest) {
      fewest = trips[i];
    }
  }
  r.trips = fewest;  // until then nobody leaves, and nobody needs to look
  f.refresh();
}

u64 element(const Frame& f, Type type, u32 offset, u32 lane) {
  return size_of(type) == 4 ? f.at<u32>(offset)[lane] : f.at<u64>(offset)[lane];
}

// Bounds and counter: arrays or scalars as the flags say; `d`: the trips of each lane when they differ.
const Step* for_step(const Step* s, Frame& f) {
  Region& r = region_of(s, f);
  enter(r, f);
  const bool uniform_counter = (s->mode & 1) != 0, uniform_trips = (s->mode & 2) != 0;
  if (uniform_counter) *f.at<u64>(s->to) = f.scalar(s->a);
  else
    for (u32 i = f.begin; i < f.end; ++i) {
      if (size_of(s->type) == 4)
        f.at<u32>(s->to)[i] = s->uniform_a ? u32(f.scalar(s->a)) : f.at<u32>(s->a)[i];
      else f.at<u64>(s->to)[i] = s->uniform_a ? f.scalar(s->a) : f.at<u64>(s->a)[i];
    }
  const bool uniform_c = (s->mode & 4) != 0;
  const auto trips_of = [&](u32 i) {
    return trip_count(s->type, s->uniform_a ? f.scalar(s->a) : element(f, s->type, s->a, i),
                      s->uniform_b ? f.scalar(s->b) : element(f, s->type, s->b, i),
                      uniform_c ? f.scalar(s->c) : element(f, s->type, s->c, i));
  };
  if (uniform_trips) {
    r.trips = trips_of(0);
    if (r.trips == 0) {
      std::memcpy(r.pending, f.active, f.code->padded);
      deactivate(f);
    }
  } else {
    u64* const trips = f.at<u64>(s->d);
    for (u32 i = f.begin; i < f.last(); ++i) trips[i] = trips_of(i);
    end_lanes(r, trips, f);
  }
  return f.count != 0 ? s + 1 : jump(s, f);
}

void take_continued(Region& r, Frame& f) {
  merge(f.active, r.continued, f);
  clear(r.continued, f);
  f.refresh();
}

const Step* continuing_step(const Step* s, Frame& f) {
  if (!s->uniform_a) take_continued(region_of(s, f), f);  // else the loop has no continue
  return f.count != 0 ? s + 1 : jump(s, f);
}

const Step* leave_loop(const Step* s, Frame& f, Region& r) {
  merge(f.active, r.pending, f);
  f.refresh();
  return f.count != 0 ? s + 1 : leave(s, f);
}

// A loop that polls must let the one it waits for run, who may need this very core.
void give_way(u64 trip) {
  if (trip < 16) return;
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
  if (trip >= 256 && trip % 32 == 0) std::this_thread::yield();
}

const Step* end_loop_step(const Step* s, Frame& f) {
  Region& r = region_of(s, f);
  if (!s->uniform_a) take_continued(r, f);
  if (f.count == 0) return leave_loop(s, f, r);
  ++r.trip;
  if (s->polls) give_way(r.trip);
  return jump(s, f);
}

const Step* end_for_step(const Step* s, Frame& f) {
  Region& r = region_of(s, f);
  if (!s->uniform_a) take_continued(r, f);
  if (f.count == 0) return leave_loop(s, f, r);
  ++r.trip;
  const bool uniform_counter = (s->mode & 1) != 0, uniform_trips = (s->mode & 2) != 0,
             uniform_c = (s->mode & 4) != 0;
  if (r.trip >= r.trips) {
    if (uniform_trips) return leave_loop(s, f, r);  // all at once; those that broke out join them
    end_lanes(r, f.at<u64>(s->d), f);
    if (f.count == 0) return leave_loop(s, f, r);
  }
  if (uniform_counter) {
    *f.at<u64>(s->to) = truncate_to(s->type, f.scalar(s->to) + f.scalar(s->c));
  } else if (size_of(s->type) == 4) {
    u32* const counter = f.at<u32>(s->to);
    const u32 step = uniform_c ? u32(f.scalar(s->c)) : 0;
    for (u32 i = f.begin; i < f.end; ++i) counter[i] += uniform_c ? step : f.at<u32>(s->c)[i];
  } else {
    u64* const counter = f.at<u64>(s->to);
    for (u32 i = f.begin; i < f.end; ++i) counter[i] += uniform_c ? f.scalar(s->c) : f.at<u64>(s->c)[i];
  }
  if (s->polls) give_way(r.trip);
  return jump(s, f);
}

const Step* break_step(const Step* s, Frame& f) {
  merge(region_of(s, f).pending, f.active, f);
  deactivate(f);
  return leave(s, f);
}
const Step* continue_step(const Step* s, Frame& f) {
  merge(region_of(s, f).continued, f.active, f);
  deactivate(f);
  return leave(s, f);
}
const Step* return_step(const Step* s, Frame& f) {
  deactivate(f);
  return leave(s, f);
}

const Step* barrier_step(const Step* s, Frame& f) {
  if (f.code->part_lanes) {
    f.paused = s;
    return nullptr;
  }
  if (f.count != f.code->lanes) {
    f.error = error(Code::invalid_address, "line {}: barrier that not every lane of the workgroup reaches",
                    s->line);
    return nullptr;
  }
  if (s->op == Op::barrier_any) {
    u64 any = 0;
    if (s->uniform_a) any = f.scalar(s->a);
    else f.for_active([&](u32 i) { any |= f.at<u8>(s->a)[i]; });
    *f.at<u64>(s->to) = any;
  }
  return s + 1;  // in lock step, everything before it has happened for all lanes
}

const Step* end_step(const Step*, Frame&) { return nullptr; }

// --- Subgroups --------------------------------------------------------------------------------------------

u64 get_bits(const Frame& f, u32 size, u32 offset, u32 lane) {
  switch (size) {
    case 1: return f.at<u8>(offset)[lane];
    case 2: return f.at<u16>(offset)[lane];
    case 4: return f.at<u32>(offset)[lane];
    default: return f.at<u64>(offset)[lane];
  }
}
void set_bits(Frame& f, u32 size, u32 offset, u32 lane, u64 bits) {
  switch (size) {
    case 1: f.at<u8>(offset)[lane] = u8(bits); break;
    case 2: f.at<u16>(offset)[lane] = u16(bits); break;
    case 4: f.at<u32>(offset)[lane] = u32(bits); break;
    default: f.at<u64>(offset)[lane] = bits; break;
  }
}

// The lane of the subgroup that a shuffle reads; itself where that one is inactive or absent.
u32 shuffle_source(const Step* s, u32 lane, u64 by, u64 mask, u32 size) {
  u64 source = by;
  switch (Shuffle(s->mode)) {
    case Shuffle::lane: break;
    case Shuffle::exclusive_or: source = lane ^ by; break;
    case Shuffle::up: source = lane - by; break;  // wraps to absent
    case Shuffle::down: source = lane + by; break;
  }
  return source < size && (mask >> source & 1) != 0 ? u32(source) : lane;
}

// One subgroup's lanes, first to first + size; `mask` says which are active.
void subgroup(const Step* s, Frame& f, u32 first, u64 mask) {
  const u32 size = f.code->subgroup_size;
  const u32 bytes = size_of(s->type);
  const auto each = [&](auto&& g) {
    for (u64 m = mask; m != 0; m &= m - 1) g(u32(std::countr_zero(m)));
  };
  u64 said = 0, total = 0;
  if (s->op == Op::subgroup_vote || s->op == Op::subgroup_ballot)
    each([&](u32 lane) { said |= u64{f.at<u8>(s->a)[first + lane]} << lane; });
  const u32 lowest = u32(std::countr_zero(mask));
  if (s->op == Op::subgroup_reduce)
    each([&](u32 lane) {
      const u64 v = get_bits(f, bytes, s->a, first + lane);
      total = lane == lowest ? v : eval_reduce(Rmw(s->mode), s->type, total, v);
    });
  each([&](u32 lane) {
    u64 r = total;
    switch (s->op) {
      case Op::subgroup_shuffle:
        r = get_bits(f, bytes, s->a,
                     first + shuffle_source(s, lane, f.at<u32>(s->b)[first + lane], mask, size));
        break;
      case Op::subgroup_vote: r = (Vote(s->mode) == Vote::any ? said != 0 : said == mask) ? 1 : 0; break;
      case Op::subgroup_ballot: r = said; break;
      case Op::subgroup_elect: r = lane == lowest ? 1 : 0; break;
      default: break;
    }
    set_bits(f, bytes, s->to, first + lane, r);
  });
}

const Step* subgroup_step(const Step* s, Frame& f) {
  const u32 size = f.code->subgroup_size;
  for (u32 first = f.begin / size * size; first < f.last(); first += size) {
    u64 mask = 0;
    for (u32 lane = 0; lane < size && first + lane < f.code->lanes; ++lane)
      mask |= u64{f.active[first + lane]} << lane;
    if (mask != 0) subgroup(s, f, first, mask);
  }
  return s + 1;
}

// --- Built-ins and uniform values -------------------------------------------------------------------------

u32 builtin_of(const Frame& f, Builtin what, u32 lane) {
  const Plan& c = *f.code;
  switch (what) {
    case Builtin::local_x: return lane % c.block[0];
    case Builtin::local_y: return lane / c.block[0] % c.block[1];
    case Builtin::local_z: return lane / (c.block[0] * c.block[1]);
    case Builtin::group_x: return f.group->group[0];
    case Builtin::group_y: return f.group->group[1];
    case Builtin::group_z: return f.group->group[2];
    case Builtin::groups_x: return f.group->groups[0];
    case Builtin::groups_y: return f.group->groups[1];
    case Builtin::groups_z: return f.group->groups[2];
    case Builtin::subgroup_size: return c.subgroup_size;
    case Builtin::subgroup_lane: return lane % c.subgroup_size;
    case Builtin::subgroup_index: return lane / c.subgroup_size;
    case Builtin::local_index: return lane;
  }
  return 0;
}

const Step* uniform_builtin_step(const Step* s, Frame& f) {
  *f.at<u64>(s->to) = builtin_of(f, Builtin(s->mode), 0);
  return s + 1;
}
const Step* builtin_step(const Step* s, Frame& f) {
  u32* const to = f.at<u32>(s->to);
  const Builtin what{s->mode};
  if (what == Builtin::local_index || (what == Builtin::local_x && f.code->block[0] == f.code->lanes))
    for (u32 i = f.begin; i < f.end; ++i) to[i] = i;
  else
    for (u32 i = f.begin; i < f.last(); ++i) to[i] = builtin_of(f, what, i);
  return s + 1;
}

const Step* constant_step(const Step* s, Frame& f) {
  *f.at<u64>(s->to) = s->imm;
  return s + 1;
}
const Step* argument_step(const Step* s, Frame& f) {
  *f.at<u64>(s->to) = truncate_to(s->type, f.group->arguments[s->imm].value);
  return s + 1;
}
const Step* length_step(const Step* s, Frame& f) {
  *f.at<u64>(s->to) = f.group->arguments[s->imm].count;
  return s + 1;
}

template <class F>
const Step* put(const Step* s, Frame& f, F&& value) {
  *f.at<u64>(s->to) = value();
  return s + 1;
}
const Step* uniform_unary(const Step* s, Frame& f) {
  return put(s, f, [&] { return eval_unary(s->op, s->type, f.scalar(s->a)); });
}
const Step* uniform_count(const Step* s, Frame& f) {
  return put(s, f, [&] { return eval_count(s->op, s->from, f.scalar(s->a)); });
}
const Step* uniform_binary(const Step* s, Frame& f) {
  return put(s, f, [&] { return eval_binary(s->op, s->type, f.scalar(s->a), f.scalar(s->b)); });
}
const Step* uniform_fma(const Step* s, Frame& f) {
  return put(s, f, [&] { return eval_fma(s->type, f.scalar(s->a), f.scalar(s->b), f.scalar(s->c)); });
}
const Step* uniform_pair(const Step* s, Frame& f) {
  return put(s, f, [&] {
    return u64{eval_pair(s->op, s->from, u32(f.scalar(s->a)), u32(f.scalar(s->b)), u32(f.scalar(s->c)))};
  });
}
const Step* uniform_compare(const Step* s, Frame& f) {
  return put(s, f, [&] { return u64{eval_compare(s->op, s->from, f.scalar(s->a), f.scalar(s->b))}; });
}
const Step* uniform_select(const Step* s, Frame& f) {
  return put(s, f, [&] { return f.scalar(s->a) != 0 ? f.scalar(s->b) : f.scalar(s->c); });
}
const Step* uniform_cast(const Step* s, Frame& f) {
  return put(s, f, [&] { return eval_cast(s->type, s->from, f.scalar(s->a)); });
}
const Step* uniform_copy(const Step* s, Frame& f) {
  return put(s, f, [&] { return f.scalar(s->a); });
}

}  // namespace

Handler uniform_handler(const Inst& i) {
  switch (i.op) {
    case Op::constant: return &constant_step;
    case Op::argument: return &argument_step;
    case Op::length: return i.a & kShared ? &constant_step : &length_step;
    case Op::builtin: return &uniform_builtin_step;
    case Op::popcount:
    case Op::count_leading_zeros: return &uniform_count;
    case Op::fma: return &uniform_fma;
    case Op::select: return &uniform_select;
    case Op::cast: return &uniform_cast;
    case Op::var_store:
    case Op::compose: return &uniform_copy;
    default: break;
  }
  if (is_pair(i.op)) return &uniform_pair;
  if (i.op >= Op::eq && i.op <= Op::ge) return &uniform_compare;
  return value_operands(i) == 0b0001 ? &uniform_unary : &uniform_binary;
}

Handler subgroup_handler(const Inst&) { return &subgroup_step; }
Handler builtin_handler() { return &builtin_step; }

Handler control_handler(Op op) {
  switch (op) {
    case Op::if_: return &if_step;
    case Op::else_: return &else_step;
    case Op::end_if: return &end_if_step;
    case Op::for_: return &for_step;
    case Op::end_for: return &end_for_step;
    case Op::loop: return &loop_step;
    case Op::continuing: return &continuing_step;
    case Op::end_loop: return &end_loop_step;
    case Op::break_: return &break_step;
    case Op::continue_: return &continue_step;
    case Op::return_: return &return_step;
    case Op::barrier:
    case Op::barrier_any: return &barrier_step;
    default: return &end_step;
  }
}

}  // namespace gpuio::gpu::cpu::blocked
