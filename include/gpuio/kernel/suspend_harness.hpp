// For the tests of the suspend pass: an access whose hits and misses a hook decides, and a host that answers
// what lanes ask for and launches again. The reference is the same kernel, run by the interpreter in one go.
#pragma once

#include <algorithm>
#include <deque>
#include <string>

#include <gpuio/kernel/random_program.hpp>
#include <gpuio/kernel/suspend.hpp>

namespace gpuio::kernel {

inline constexpr u32 kMiss = 0xfffe;      // status by which the hook says: not there
inline constexpr u64 kFailingIndex = 13;  // this element cannot be read,
inline constexpr u32 kFailure = 5;        // for this reason

// The try is an ondemand_load that the hook answers or refuses.
struct HookAccess {
  void declare(Builder&) {}
  void prefetch(Builder&, u32, u32) {}
  SuspendTry load(Builder& b, u32 object, u32 index) {
    const u32 value = b.ondemand_load(object, index);
    const u32 status = b.ondemand_status(value);
    return {b.compare(Op::ne, status, b.constant(Type::u32, kMiss)), value, status};
  }
  void request(Builder& b, Slab& slab, u32 object, u32 index) {
    slab.write_wide(kRecordPage, b.type(index) == Type::u64 ? index : b.cast(Type::u64, index));
    slab.write(kRecordByte, b.constant(Type::u32, object));
  }
};

enum class Cache : u8 { hit, always_miss, frames, random };
struct Residency {
  Cache mode = Cache::hit;
  u32 frames = 1;        // of 4 elements
  u32 hit_percent = 70;  // random
};

// Memory effects, hashed a lane in order; and the residency of on-demand elements.
class TestHooks : public Hooks {
 public:
  TestHooks(u64 lanes, Residency residency, u64 seed)
      : hashes(lanes, 0), residency_(residency), random_{seed} {}

  OnDemandAnswer on_demand(u32 parameter, const Argument& array, Type type, u64 index) {
    if (!resident(parameter, index)) {
      ++misses;
      return {0, kMiss};
    }
    ++hits;
    return index == kFailingIndex ? OnDemandAnswer{0, kFailure}
                                  : Hooks::on_demand(parameter, array, type, index);
  }
  void effect(u64 lane, const Effect& e) {
    if (e.inst->line == 0) return;  // of the pass, not of the kernel
    u64& h = hashes[lane];
    for (const u64 part : {u64{e.inst->line} << 8 | u64(e.inst->op),
                           u64{suspend_detail::is_subgroup(e.inst->op) ? 0 : e.inst->a}, e.index, e.value}) {
      h = (h ^ part) * 0x9e3779b97f4a7c15ull;
      h ^= h >> 29;
    }
    ++effects;
  }
  // The host has fetched an element: its frame is there until others push it out.
  void bring(u32 parameter, u64 index) {
    const Frame f{parameter, index / 4};
    std::erase(cached_, f);
    cached_.push_back(f);
    while (cached_.size() > residency_.frames) {
      cached_.erase(cached_.begin() +
                    (random_.chance(70) ? 0 : std::ptrdiff_t(random_.below(cached_.size()))));
    }
  }

  std::vector<u64> hashes;
  u64 effects = 0, hits = 0, misses = 0;

 private:
  using Frame = std::pair<u32, u64>;
  bool resident(u32 parameter, u64 index) {
    switch (residency_.mode) {
      case Cache::hit: return true;
      case Cache::always_miss: return false;
      case Cache::random: return random_.chance(residency_.hit_percent);
      case Cache::frames:
        return std::find(cached_.begin(), cached_.end(), Frame{parameter, index / 4}) != cached_.end();
    }
    return true;
  }
  Residency residency_;
  Random random_;
  std::deque<Frame> cached_{};
};

struct SuspendRun {
  std::string error{};
  u64 steps = 0, launches = 0, misses = 0, effects = 0;
  std::vector<u64> hashes{};
  std::vector<std::vector<std::byte>> bytes{};
};

inline u64 lanes_of(View k, std::array<u32, 3> grid) { return u64{k.lanes()} * grid[0] * grid[1] * grid[2]; }

// The kernel with the access's try in place of each on-demand load, without the pass: what its cost is
// compared with.
inline Program with_lookup(View k) {
  const Program lowered = suspend_detail::lower_suspended_loops(k);
  Rewriter to(lowered.view());
  HookAccess access;
  for (u32 id = 0; id < lowered.insts.size(); ++id) {
    const Inst& i = lowered.insts[id];
    if (i.op == Op::ondemand_load) {
      to.replace(id, access.load(to.builder(), i.a, to.value(i.b)).value);
    } else {
      to.copy(id, i);
    }
  }
  return to.take();
}

inline SuspendRun run_reference(View k, std::array<u32, 3> grid, RandomData data, u32 subgroup) {
  TestHooks hooks(lanes_of(k, grid), {}, 1);
  const Outcome o = interpret(k, grid, data.arguments(), {.subgroup_size = subgroup}, hooks);
  return {std::string(o.error), o.steps, 1, 0, hooks.effects, std::move(hooks.hashes), std::move(data.bytes)};
}

// Answers every record that waits; returns how many lanes are unfinished.
inline u32 answer(const Suspended& s, u64 lanes, std::span<std::byte> slab, RandomData& data,
                  TestHooks& hooks) {
  const auto word = [&](u64 at) { return u32(read_element(slab, at * 4, 4)); };
  for (u64 lane = 0; lane < lanes; ++lane) {
    const u64 r = s.layout.record(lane);
    if (word(r + kRecordPoint) == device::kLaneDone || word(r + kRecordStatus) != device::kUnanswered)
      continue;
    const u64 index = read_element(slab, (r + kRecordPage) * 4, 8);
    const u32 object = word(r + kRecordByte);
    const u32 size = size_of(s.program.params[object].type);
    const u64 bits = index == kFailingIndex ? 0 : read_element(data.bytes[object], index * size, size);
    write_element(slab, (r + kRecordAnswer) * 4, 8, bits);
    write_element(slab, (r + kRecordStatus) * 4, 4, index == kFailingIndex ? kFailure : 0);
    hooks.bring(object, index);
  }
  const u32 unfinished = word(kHeaderUnfinished);
  write_element(slab, kHeaderUnfinished * 4, 4, 0);
  return unfinished;
}

inline SuspendRun run_suspended(const Suspended& s, std::array<u32, 3> grid, RandomData data, u32 subgroup,
                                Residency residency, u64 seed) {
  constexpr u64 kLaunchesMax = 5000;
  const View k = s.program.view();
  const u64 lanes = lanes_of(k, grid);
  SuspendRun run;
  TestHooks hooks(lanes, residency, seed);
  std::vector<std::byte> slab(s.layout.words(lanes, lanes / k.lanes()) * 4);
  std::vector<Argument> arguments = data.arguments();
  arguments.push_back(Argument::buffer(slab));
  arguments.push_back(Argument::scalar(0));
  Random random{seed};
  bool more = true;
  while (more && run.error.empty()) {
    const InterpretOptions options{.subgroup_size = subgroup,
                                   .shuffle_seed = random.next() | 1,
                                   .steps_max = 1u << 22,
                                   .check_shared = false};
    const Outcome o = interpret(k, grid, arguments, options, hooks);
    if (!o.ok()) run.error = std::string(o.error) + " at line " + std::to_string(o.line);
    run.steps += o.steps;
    arguments.back() = Argument::scalar(1);
    more = answer(s, lanes, slab, data, hooks) != 0;
    if (++run.launches > kLaunchesMax) run.error = "too many launches";
  }
  run.misses = hooks.misses;
  run.effects = hooks.effects;
  run.hashes = std::move(hooks.hashes);
  run.bytes = std::move(data.bytes);
  return run;
}

// What is wrong with a suspended run, or nothing.
inline std::string difference(const SuspendRun& want, const SuspendRun& got) {
  if (!got.error.empty()) return got.error;
  if (got.bytes != want.bytes) return "memory differs";
  if (got.hashes != want.hashes) return "effects differ";
  return {};
}

// One random kernel under every kind of residency.
struct SuspendTally {
  u64 programs = 0, without_access = 0, points = 0, effects = 0, misses = 0, launches = 0, runs = 0;
  std::vector<u32> words{};
  std::vector<double> growth{};
};

inline RandomOptions suspend_program_options(u64 seed) {
  RandomOptions o{.statements = seed % 2 == 0 ? 14u : 34u, .block = {8, 1, 1}, .on_demand = true};
  o.uniform_on_demand = true;
  o.barriers = seed % 7 != 0;
  o.subgroups = seed % 7 != 0;
  o.f64 = o.vectors = o.small = seed % 3 == 0;
  return o;
}

inline std::string check_random_program(u64 seed, const SuspendPassOptions& options, SuspendTally& tally) {
  constexpr u32 kSubgroup = 4;
  const RandomOptions shape = suspend_program_options(seed);
  const Program p = random_program(seed, shape);
  const RandomData data = random_contents(p.view(), seed);
  HookAccess access;
  const Suspended s = suspend(p.view(), options, access);
  if (!s.ok()) return "refused: " + std::string(s.error);
  if (s.layout.points.empty()) {
    ++tally.without_access;
    return {};
  }
  const SuspendRun want = run_reference(p.view(), shape.grid(), data, kSubgroup);
  if (!want.error.empty()) return "the reference: " + want.error;
  ++tally.programs;
  tally.points += s.layout.points.size();
  tally.effects += want.effects;
  tally.words.push_back(s.layout.lane_words);
  tally.growth.push_back(double(s.program.insts.size()) / double(p.insts.size()));
  const std::array<Residency, 4> modes{{{Cache::always_miss},
                                        {Cache::frames, u32(1 + seed % 3)},
                                        {Cache::random, 1, seed % 2 == 0 ? 60u : 90u},
                                        {Cache::hit}}};
  for (u32 m = 0; m < modes.size(); ++m) {
    const SuspendRun got = run_suspended(s, shape.grid(), data, kSubgroup, modes[m], seed * 7 + m);
    tally.misses += got.misses;
    tally.launches += got.launches;
    ++tally.runs;
    if (const std::string d = difference(want, got); !d.empty()) return d + " in mode " + std::to_string(m);
  }
  return {};
}

}  // namespace gpuio::kernel
