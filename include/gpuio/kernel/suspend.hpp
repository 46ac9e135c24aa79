// The suspend pass: makes of a kernel with on-demand loads one that can stop at any of them and go on in a
// later launch, with nothing run twice. A pass from IR to IR: no back end knows of it.
//
// A lane whose element is not there writes what it needs into its record in the slab, saves what lives, and
// ends. The host answers all records (the element's own bytes, and a status), sets `resume` and launches the
// same grid again, until no lane is unfinished. A lane goes on behind its load with the answer, so any cache
// makes progress. Kernels with barriers or subgroup operations stop together: a gate, in front of whatever
// lanes do or decide together, lets all of them learn that one has yielded.
//
// The access itself is given: an object `access`, declared once and used until the call returns, with
//   void declare(Builder&)                                   adds parameters of its own, after the pass's two
//   SuspendTry load(Builder&, u32 object, u32 index)         code that tries: {ok, value, status}, or alike
//   void request(Builder&, Slab&, u32 object, u32 index)     code that writes the request into the lane's
//   record void prefetch(Builder&, u32 object, u32 index)           code for the hint, or none
//
//   Suspended s = suspend(kernel, {}, access);
//   if (!s.ok()) report(s.error, s.line);                    // a refusal, with the figures
//   slab.resize(s.layout.words(lanes, groups));              // zero before the first launch, its header's
//                                                            // `unfinished` before each
// A kernel without on-demand loads comes back as it is, with no points and no parameters added.
//
// The caller's: verify.hpp and verify_suspend.hpp take the kernel: barriers and the jumps around them are
// uniform over the workgroup, and no lane waits for another, which may be parked. Every launch has the same
// grid, block and subgroup size.
#pragma once

#include <gpuio/kernel/suspend/emit.hpp>

namespace gpuio::kernel {

using Slab = suspend_detail::SlabCode;

// What the code of an access yields: was the element there; its value; its status, kNone for always 0.
struct SuspendTry {
  u32 ok = kNone, value = kNone, status = kNone;
};

struct Suspended {
  Program program{};
  SuspendLayout layout{};
  std::string_view error{};  // empty: done
  u32 line = 0;              // where the kernel is refused,
  u64 value = 0, limit = 0;  // and for what
  constexpr bool ok() const { return error.empty(); }
};

namespace suspend_detail {

constexpr void describe(const Tree& tree, const Block& block, SuspendLayout& layout) {
  for (const Node& n : block) {
    if (n.point != 0) {
      SuspendPoint point{.line = tree.inst(n).line, .access = n.kind == Kind::access};
      for (const u32 thing : n.live) {
        const u32 vars = u32(tree.program.vars.size());
        point.words += words_of(thing < vars ? tree.program.vars[thing] : tree.insts[thing - vars].type);
      }
      layout.lane_words = point.words > layout.lane_words ? point.words : layout.lane_words;
      layout.points.push_back(point);
    }
    describe(tree, n.first, layout);
    describe(tree, n.second, layout);
  }
}

// The first limit that the layout breaks.
constexpr void check(const View& kernel, const SuspendPassOptions& options, Suspended& s) {
  for (const SuspendPoint& p : s.layout.points) {
    if (p.words <= options.lane_words_max) continue;
    s.error = "more 32-bit words live across an on-demand load than a lane may save";
    s.line = p.line;
    s.value = p.words;
    s.limit = options.lane_words_max;
    return;
  }
  if (s.layout.group_words > options.group_words_max) {
    s.error = "more 32-bit words of shared memory than a workgroup may save";
    s.value = s.layout.group_words;
    s.limit = options.group_words_max;
  } else if (kernel.lanes() == 0) {
    s.error = "a workgroup without lanes";
  }
}

}  // namespace suspend_detail

template <class Access>
constexpr Suspended suspend(View kernel, const SuspendPassOptions& options, Access& access) {
  namespace detail = suspend_detail;
  Suspended s;
  const Program lowered = detail::lower_suspended_loops(kernel);
  detail::Tree tree = detail::TreeBuilder(lowered.view(), options.faults).build();
  if (!detail::has_access(tree.root)) {
    s.program = copy_of(kernel);
    return s;
  }
  detail::Placer placer(tree, options.faults, options.recompute_max);
  placer.run();
  s.layout.collectives = tree.barriers || tree.subgroups;
  detail::describe(tree, tree.root, s.layout);
  if (tree.barriers && !tree.program.shared.empty()) {
    s.layout.group_words = 1;
    for (const SharedArray& a : tree.program.shared)
      s.layout.group_words += a.count * detail::words_of(a.type);
  }
  detail::check(kernel, options, s);
  if (!s.ok()) return s;
  detail::Emitter emitter(tree, placer.recomputable(), options, s.layout, access);
  s.layout.peeled = options.peel;
  s.program = emitter.run(options.peel);
  if (options.peel && s.program.insts.size() > options.insts_max) {
    s.layout.peeled = false;
    s.program = emitter.run(false);
  }
  return s;
}

}  // namespace gpuio::kernel
