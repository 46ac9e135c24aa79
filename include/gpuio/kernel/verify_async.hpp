// What the verifier remembers of an access to shared memory, and how far asynchronous ones have come. Part of
// verify_memory.hpp.
//
// An asynchronous access is under way until its lane has committed it and waited; what a bulk load writes
// has landed when all lanes have waited for the mbarrier at which the lane arrived after it. A barrier ends
// none of this; it ends what has landed.
#pragma once

#include <vector>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel::detail {

// By whom: the lane, or a unit that works while the lane goes on.
enum class Via : u8 { lane, copy, bulk_load, bulk_store };

struct Access {
  enum class Kind : u8 { read, write, atomic_read, atomic_write };
  u32 inst = 0;
  u32 object = 0;
  Kind kind{};
  Via via = Via::lane;
  i64 span = 1;                    // elements
  u32 fact = kNone;                // the conditions it stands in
  u32 old_begin = 0, old_end = 0;  // made in an earlier iteration of the loop there
  u32 commits = 0;                 // since; of a bulk load: has the lane arrived?
  bool landed = true;
  u32 serial = 0;  // in the order of the walk
};
using Accesses = std::vector<Access>;

constexpr bool follows_waits(const View& v) {
  for (const Inst& i : v.insts)
    if (is_async(i.op) || is_mbarrier(i.op) || is_bulk(i.op)) return true;
  return false;
}

constexpr Via via_of(Op op) {
  switch (op) {
    case Op::async_copy:
    case Op::async_commit:
    case Op::async_wait: return Via::copy;
    case Op::bulk_load: return Via::bulk_load;
    case Op::bulk_store:
    case Op::bulk_commit:
    case Op::bulk_wait: return Via::bulk_store;
    default: return Via::lane;
  }
}
constexpr void commit(Accesses& live, Via via) {
  for (Access& a : live) a.commits += a.via == via;
}
constexpr void wait(Accesses& live, Via via, u64 groups) {
  for (Access& a : live) a.landed = a.landed || (a.via == via && a.commits > groups);
}
constexpr bool is_load_by(const View& v, const Access& a, u32 mbarrier) {
  return a.via == Via::bulk_load && bulk_mbarrier(v.insts[a.inst]) == mbarrier;
}

}  // namespace gpuio::kernel::detail
