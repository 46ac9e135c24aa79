// What the interpreter keeps of a subgroup that runs in lock step. Part of interpret.hpp.
#pragma once

#include <vector>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel::detail {

// The async copies, or bulk stores, of a subgroup that nobody has waited for.
class PendingCopies {
 public:
  struct Copy {
    u32 inst, lane;
    u64 to, from;  // elements
    u64 group;     // of the lane's, counted
  };
  constexpr void begin(u32 lanes) {
    copies_.clear();
    commits_.assign(lanes, 0);
  }
  constexpr void add(u32 inst, u32 lane, u64 to, u64 from) {
    copies_.push_back({inst, lane, to, from, commits_[lane]});
  }
  constexpr void commit(u32 lane) { ++commits_[lane]; }
  // The lane's next copy of a group before its newest `groups`, taken out; one of inst kNone: there is none.
  constexpr Copy take(u32 lane, u64 groups) {
    for (std::size_t c = 0; c < copies_.size(); ++c) {
      const Copy copy = copies_[c];
      if (copy.lane != lane || copy.group + groups >= commits_[lane]) continue;
      copies_.erase(copies_.begin() + std::ptrdiff_t(c));
      return copy;
    }
    return {kNone, lane, 0, 0, 0};
  }

 private:
  std::vector<Copy> copies_{};
  std::vector<u64> commits_{};
};

// A region that a subgroup is inside of.
struct Frame {
  u32 opener;
  u64 waiting = 0;    // if: lanes that take the else, or rejoin; loop: lanes that left by break
  u64 continued = 0;  // loop: lanes that wait for the continuing part; if: lanes that finished the then
};

// A product of a subgroup's part of a warpgroup, of a group counted.
struct Product {
  u32 inst;
  u64 a, b, group;  // where the operands begin
};

// A bulk load of a phase of an mbarrier; of a tensor_load `from` is row << 32 | column.
struct BulkLoad {
  u32 inst;
  u64 lane, to, from, phase;
};

enum class Phase : u8 { ready, waiting, barrier, done };

struct Subgroup {
  u32 first = 0;  // lane of the workgroup
  u32 index = 0;
  u64 all = 0;   // lanes that exist
  u64 mask = 0;  // lanes that execute
  u32 pc = 0;
  Phase phase = Phase::ready;
  bool vote = false;
  std::vector<Frame> frames{};
  std::vector<u64> values{};  // slot * size + lane
  std::vector<u64> vars{};
  std::vector<u32> status{};  // sticky, a lane
  PendingCopies copies{}, stores{};
  std::vector<Product> products{};  // that nobody has waited for
  u64 product_commits = 0;
};

// Of a lane of subgroup s, of `size` lanes, in a workgroup counted over the grid.
constexpr u64 builtin(const View& k, std::array<u32, 3> grid, u64 group, u32 size, const Subgroup& s,
                      Builtin what, u32 lane) {
  const u32 local = s.first + lane;
  const u32 x = k.block[0], y = k.block[1];
  switch (what) {
    case Builtin::local_x: return local % x;
    case Builtin::local_y: return local / x % y;
    case Builtin::local_z: return local / (x * y);
    case Builtin::group_x: return group % grid[0];
    case Builtin::group_y: return group / grid[0] % grid[1];
    case Builtin::group_z: return group / grid[0] / grid[1];
    case Builtin::groups_x: return grid[0];
    case Builtin::groups_y: return grid[1];
    case Builtin::groups_z: return grid[2];
    case Builtin::subgroup_size: return size;
    case Builtin::subgroup_lane: return lane;
    case Builtin::subgroup_index: return s.index;
    case Builtin::local_index: return local;
  }
  return 0;
}

}  // namespace gpuio::kernel::detail
