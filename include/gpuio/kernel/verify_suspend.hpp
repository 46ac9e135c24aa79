// verify_suspend(View): may lanes of this kernel be suspended at an on-demand access and go on in a later
// launch? Asked, after verify(), before a kernel with on-demand arrays is run by yielding; a device that
// waits inside the kernel needs none of it.
//
// Refused, because the partner may be parked: a loop that only an atomic load can end (lanes, or the grid,
// waiting for each other); a lock that is held across an access. Refused, because suspended lanes are
// missing from it: matrix operations; subgroup operations that not all lanes of the workgroup run together;
// with structured reconvergence in the back end those that do not show who is active are taken. Pure;
// constexpr.
#pragma once

#include <gpuio/kernel/verify_flow.hpp>

namespace gpuio::kernel {

struct SuspendOptions {
  bool structured_reconvergence = false;  // the back end brings divergent lanes together where regions end
};

namespace detail {

class SuspendCheck {
 public:
  constexpr explicit SuspendCheck(const View& v) : v_(v) {}

  constexpr VerifyResult run(const Flow& flow, SuspendOptions options) {
    bool on_demand = false;
    for (const Inst& i : v_.insts) on_demand = on_demand || i.op == Op::ondemand_load;
    if (!on_demand) return {};
    for (u32 n = 0; n < v_.insts.size(); ++n) {
      const Inst& i = v_.insts[n];
      const u32 apart = flow.apart(n);
      if (is_matrix(i.op) || is_warpgroup(i.op)) return {Err::suspend_matrix, i.line};
      if (is_async(i.op) || is_mbarrier(i.op) || is_bulk(i.op)) return {Err::suspend_async, i.line};
      const bool shows = i.op == Op::subgroup_elect || i.op == Op::subgroup_ballot;
      if (apart && shows) return {Err::suspend_active_mask, i.line, v_.insts[apart - 1].line};
      if (apart && i.op >= Op::subgroup_shuffle && i.op <= Op::subgroup_elect &&
          !options.structured_reconvergence)
        return {Err::suspend_divergent_subgroup, i.line, v_.insts[apart - 1].line};
      if (i.op == Op::loop) {
        const VerifyResult r = loop(n);
        if (!r.ok()) return r;
      }
    }
    return {};
  }

 private:
  enum : u8 { kLoaded = 1, kAcquired = 2 };

  // How the loop ends. Bits follow values and vars from atomics inside it to the conditions of its breaks.
  constexpr VerifyResult loop(u32 begin) {
    std::vector<u8> value(v_.insts.size(), 0), var(v_.vars.size(), 0);
    u32 end = begin, lock = kNone;
    u8 every = kLoaded | kAcquired;
    bool breaks = false;
    for (u32 pass = 0; pass < 3; ++pass) {  // vars carry bits over the back edge
      std::vector<u8> conditions;           // of the open brackets: what an if asked, 0 for a loop
      std::vector<u8> loops;
      every = kLoaded | kAcquired;
      breaks = false;
      for (u32 n = begin + 1;; ++n) {
        const Inst& i = v_.insts[n];
        if (opens_region(i.op)) {
          conditions.push_back(i.op == Op::if_ ? value[i.a] : 0);
          loops.push_back(i.op != Op::if_);
        } else if (closes_region(i.op)) {
          if (conditions.empty()) {
            end = n;
            break;
          }
          conditions.pop_back();
          loops.pop_back();
        } else if (i.op == Op::break_ || i.op == Op::return_) {
          bool inner = false;
          u8 asked = 0;
          for (u32 c = 0; c < conditions.size(); ++c) {
            inner = inner || loops[c];
            asked |= conditions[c];
          }
          if (inner && i.op == Op::break_) continue;
          breaks = true;
          every &= asked;
        } else if (i.op == Op::var_store) {
          var[i.a] |= value[i.b];
        } else {
          value[n] = bits(i, value, var);
          if (value[n] & kAcquired && i.op != Op::var_load && lock == kNone) lock = n;
        }
      }
    }
    if (!breaks || every == 0) return {};
    if (every & kLoaded) return {Err::suspend_spin, v_.insts[begin].line};
    return held(end, lock);
  }
  constexpr u8 bits(const Inst& i, const std::vector<u8>& value, const std::vector<u8>& var) const {
    if (i.op == Op::atomic_load) return kLoaded;
    // Taking a lock: the flag becomes a constant. A retry that swaps in what it computed is no lock.
    if (i.op == Op::atomic_rmw && Rmw(i.mode) == Rmw::exchange && is_literal(v_.insts[i.c])) return kAcquired;
    if (i.op == Op::atomic_cas && is_literal(v_.insts[i.c]) && is_literal(v_.insts[i.d])) return kAcquired;
    if (i.op == Op::var_load) return var[i.a];
    const u32 mask = value_operands(i);
    return u8((mask & 1 ? value[i.a] : 0) | (mask & 2 ? value[i.b] : 0) | (mask & 4 ? value[i.c] : 0) |
              (mask & 8 ? value[i.d] : 0));
  }
  // From the end of the loop that took it to the next atomic write of the same array.
  constexpr VerifyResult held(u32 end, u32 lock) const {
    for (u32 n = end + 1; n < v_.insts.size(); ++n) {
      const Inst& i = v_.insts[n];
      if (i.op == Op::ondemand_load) return {Err::suspend_lock, i.line, v_.insts[lock].line};
      if (i.op >= Op::atomic_store && i.op <= Op::atomic_cas && i.a == v_.insts[lock].a) break;
    }
    return {};
  }

  const View& v_;
};

}  // namespace detail

constexpr VerifyResult verify_suspend(const View& v, SuspendOptions options = {}) {
  const detail::Flow flow(v);
  return detail::SuspendCheck(v).run(flow, options);
}

}  // namespace gpuio::kernel
