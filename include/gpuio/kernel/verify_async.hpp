// What the verifier remembers of an access to shared memory, and how far asynchronous ones have come. Part of
// verify_memory.hpp.
//
// An asynchronous access is under way until its lane has committed it and waited; what a bulk load writes
// has landed when all lanes have waited for the mbarrier at which the lane arrived after it. A barrier ends
// none of this; it ends what has landed.
#pragma once

#include <gpuio/kernel/list.hpp>

namespace gpuio::kernel::detail {

// By whom: the lane, or a unit that works while the lane goes on.
enum class Via : u8 { lane, copy, bulk_load, bulk_store, product };

struct Access {
  enum class Kind : u8 { read, write, atomic_read, atomic_write };
  u32 inst = 0;
  u32 object = 0;
  u32 at = kNone;  // index: a value
  Kind kind{};
  Via via = Via::lane;
  i64 span = 1;                    // elements
  u32 fact = kNone;                // the conditions it stands in
  u32 old_begin = 0, old_end = 0;  // made in an earlier iteration of the loop there
  u32 commits = 0;                 // since; of a bulk load: has the lane arrived?
  bool landed = true;
  u32 serial = 0;  // in the order of the walk
  u32 fill = 0;    // of a stage's array: which
};
using Accesses = List<Access>;

constexpr Via via_of(Op op) {
  switch (op) {
    case Op::async_copy:
    case Op::async_commit:
    case Op::async_wait: return Via::copy;
    case Op::bulk_load:
    case Op::tensor_load: return Via::bulk_load;
    case Op::bulk_store:
    case Op::bulk_commit:
    case Op::bulk_wait: return Via::bulk_store;
    case Op::warpgroup_multiply:
    case Op::warpgroup_commit:
    case Op::warpgroup_wait: return Via::product;
    default: return Via::lane;
  }
}
constexpr void commit(Accesses& live, Via via) {
  for (u32 a = 0; a < live.count; ++a) live.data[a].commits += live.data[a].via == via;
}
constexpr void wait(Accesses& live, Via via, u64 groups) {
  for (u32 n = 0; n < live.count; ++n) {
    Access& a = live.data[n];
    a.landed = a.landed || (a.via == via && a.commits > groups);
  }
}
// The first accesses are again as far waited for as they were.
constexpr void wait_less(Accesses& live, const Accesses& before) {
  for (u32 a = 0; a < before.count; ++a) {
    live.data[a].commits = before.data[a].commits;
    live.data[a].landed = before.data[a].landed;
  }
}
constexpr bool is_load_by(const View& v, const Access& a, u32 mbarrier) {
  return a.via == Via::bulk_load && bulk_mbarrier(v.insts[a.inst]) == mbarrier;
}

// The mbarriers of a kernel, as far as the walk has come.
class Phases {
 public:
  constexpr void make(const Inst& init) { made_.push({init.a, u32(init.imm)}); }
  // Lanes a phase; 0: it is not made.
  constexpr u32 made_for(u32 mbarrier) const {
    for (u32 m = 0; m < made_.count; ++m)
      if (made_.data[m].mbarrier == mbarrier) return made_.data[m].lanes;
    return 0;
  }
  // Instruction n; serial: of the newest access, where all lanes arrive together, else 0.
  constexpr void arrive(const View& v, Accesses& live, u32 n, u32 serial) {
    for (u32 a = 0; a < live.count; ++a)
      if (is_load_by(v, live.data[a], v.insts[n].a)) live.data[a].commits = 1;
    arrived_.push({n, serial});
  }
  // All lanes have waited: what the phase brought is there, and so is what they did before they arrived.
  constexpr void wait(const View& v, Accesses& live, const Inst& i) const {
    u32 until = 0;
    for (u32 a = 0; a < arrived_.count; ++a)
      if (PhaseOf(i.mode) == PhaseOf::token && arrived_.data[a].inst == i.c) until = arrived_.data[a].until;
    live.erase_if([&](const Access& a) {
      return (is_load_by(v, a, i.a) && a.commits) || (a.landed && a.serial <= until);
    });
  }

 private:
  struct Made {
    u32 mbarrier, lanes;
  };
  struct Arrival {
    u32 inst, until;  // the newest access made by then
  };
  List<Made> made_{};
  List<Arrival> arrived_{};
};

// A product that may still add to sums that the instruction names, other than the next product; or kNone.
constexpr u32 adding_to(const View& v, const Accesses& live, const Inst& i) {
  for (u32 n = 0; n < live.count; ++n) {
    const Access& a = live.data[n];
    if (a.via == Via::product && !a.landed && sums_of(v.insts[a.inst]).meets(sums_of(i))) return a.inst;
  }
  return kNone;
}

}  // namespace gpuio::kernel::detail
