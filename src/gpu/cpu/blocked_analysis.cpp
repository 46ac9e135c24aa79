#include "gpu/cpu/blocked_analysis.hpp"

#include <gpuio/kernel/uniformity.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace gpuio::gpu::cpu::blocked {
namespace {

std::array<u32, 4> operands(const Inst& i) { return {i.a, i.b, i.c, i.d}; }

template <class F>
void each_value(const Inst& i, F&& f) {
  const u32 mask = value_operands(i);
  const auto all = operands(i);
  for (u32 k = 0; k < 4; ++k)
    if (mask >> k & 1) f(all[k]);
}

void find_lifetimes(const View& k, Analysis& out) {
  const u32 n = u32(k.insts.size());
  out.last_use.resize(n);
  for (u32 i = 0; i < n; ++i) out.last_use[i] = i;
  std::vector<u32> loops;  // open ones
  const auto use = [&](u32 value, u32 at) {
    u32 until = at;
    for (const u32 loop : loops) {
      if (loop <= value) continue;
      until = out.structure.partner[loop];  // the outermost loop that the value enters from outside
      break;
    }
    out.last_use[value] = std::max(out.last_use[value], until);
  };
  for (u32 at = 0; at < n; ++at) {
    const Inst& i = k.insts[at];
    each_value(i, [&](u32 v) { use(v, at); });
    if (i.op == Op::for_) {
      out.last_use[at] = out.structure.partner[at];  // counter and trips
      loops.push_back(at);
      use(i.c, at);
    } else if (i.op == Op::loop) {
      loops.push_back(at);
    } else if (i.op == Op::end_for || i.op == Op::end_loop) {
      loops.pop_back();
    } else if (i.op == Op::continue_ && !loops.empty()) {
      out.has_continue[loops.back()] = 1;
    } else if (i.op == Op::atomic_load) {
      for (const u32 loop : loops) out.polls[loop] = 1;
    }
  }
  // These name their operand's storage instead of copying it.
  for (u32 at = n; at-- > 0;) {
    const Inst& i = k.insts[at];
    if (i.op == Op::extract || i.op == Op::bitcast)
      out.last_use[i.a] = std::max(out.last_use[i.a], out.last_use[at]);
  }
}

void find_aliases(const View& k, Analysis& out) {
  std::vector<std::vector<u32>> stores(k.vars.size());
  for (u32 at = 0; at < k.insts.size(); ++at)
    if (k.insts[at].op == Op::var_store) stores[k.insts[at].a].push_back(at);
  for (u32 at = 0; at < k.insts.size(); ++at) {
    if (k.insts[at].op != Op::var_load) continue;
    const auto& all = stores[k.insts[at].a];
    const auto next = std::ranges::upper_bound(all, at);
    out.aliases_var[at] = next == all.end() || *next > out.last_use[at];
  }
}

}  // namespace

Analysis::Analysis(const View& kernel) : structure(kernel.insts) {
  const auto n = kernel.insts.size();
  has_continue.assign(n, 0);
  polls.assign(n, 0);
  aliases_var.assign(n, 0);
  Uniformity known(kernel);
  uniform = std::move(known.value);
  uniform_var = std::move(known.var);
  find_lifetimes(kernel, *this);
  find_aliases(kernel, *this);
}

}  // namespace gpuio::gpu::cpu::blocked
