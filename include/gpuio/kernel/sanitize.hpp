// The sanitizer: runs a kernel in the interpreter and watches what its lanes do to memory. It finds what the
// verifier cannot see while compiling, on the data at hand: two lanes that touch one element of a buffer or
// shared array, at least one writing, with nothing between that orders them.
//
//   std::array<float, 256> x{};
//   const auto bytes = std::as_writable_bytes(std::span(x));
//   const std::array arguments{Argument::buffer(bytes), Argument::scalar(256)};
//   const Sanitized s = sanitize(kernel.view(), {4, 1, 1}, arguments);
//   for (const Race& r : s.races) std::puts(message(r).c_str());
//   if (!s.outcome.ok()) …;    // an index out of range, shared memory read before it was written, a barrier
//                              // that not every lane reaches: where the interpreter stopped
//
// Ordered are accesses of one lane, those of one workgroup with a barrier between, and those between which
// the first lane's workgroup released and the second's acquired (an atomic or a fence of that order; which
// variable they meet in is not followed, so some races hide behind atomics). Atomics do not race with each
// other. Lanes of a subgroup run together, but nothing orders their memory. Every pair of lines is reported
// once. Elements are told apart by parameter:
// one array given twice is two. Costs about 100 bytes of memory an element.
//
// A run is one thread's. Nothing fails; `arguments` are changed as by the kernel.
#pragma once

#include <algorithm>
#include <string>

#include <gpuio/kernel/interpret.hpp>

namespace gpuio::kernel {

struct Race {
  u32 line = 0, earlier_line = 0;  // of the kernel's source
  bool write = false, earlier_write = false;
  u64 lane = 0, earlier_lane = 0;  // counted over the grid
  u32 object = 0;                  // parameter, or kShared | shared array
  u64 index = 0;                   // element
};

struct Sanitized {
  Outcome outcome;
  std::vector<Race> races;
  bool ok() const { return outcome.ok() && races.empty(); }
};

inline std::string message(const Race& r) {
  const auto verb = [](bool write) { return write ? " writes " : " reads "; };
  const bool shared = r.object & kShared;
  return "race: lane " + std::to_string(r.lane) + verb(r.write) + "element " + std::to_string(r.index) +
         " of " + (shared ? "shared array " : "parameter ") + std::to_string(r.object & ~kShared) +
         " (line " + std::to_string(r.line) + "), which lane " + std::to_string(r.earlier_lane) +
         (r.earlier_write ? " wrote" : " read") + " (line " + std::to_string(r.earlier_line) +
         ") with nothing between that orders them: " +
         (shared ? "put a barrier there"
                 : "give each lane its own element, use atomics, or a barrier within a workgroup");
}

namespace detail {

class RaceHooks : public Hooks {
 public:
  RaceHooks(const View& kernel, std::span<const Argument> arguments, u64 groups)
      : kernel_(kernel), released_(groups, 0), acquired_(groups, 0) {
    for (u32 p = 0; p < kernel.params.size(); ++p) {
      const u32 size = size_of(kernel.params[p].type);
      const bool buffer = kernel.params[p].kind != ParamKind::scalar;
      buffers_.emplace_back(buffer ? arguments[p].bytes.size() / size : 0);
    }
    for (const SharedArray& s : kernel.shared) shared_.emplace_back(s.count);
  }

  void group(u64) {
    ++epoch_;
    for (auto& array : shared_) std::fill(array.begin(), array.end(), Element{});
  }
  void barrier() { ++epoch_; }

  std::string_view access(const Touch& t) {
    const Inst& i = *t.inst;
    ++now_;
    const bool atomic = i.op >= Op::atomic_load && i.op <= Op::atomic_cas;
    if (atomic) fence(t.lane, i.order);
    auto& elements = t.object & kShared ? shared_[t.object & ~kShared] : buffers_[t.object];
    const Access now{t.lane, now_, epoch_, i.line, true, t.write, atomic};
    for (u32 e = 0; e < t.count; ++e) touch(elements[t.index + e], now, t.object, t.index + e);
    return {};
  }
  void fence(u64 lane, Order order) {
    const u64 group = lane / kernel_.lanes();
    ++now_;
    if (order == Order::release || order == Order::acq_rel) released_[group] = now_;
    if (order == Order::acquire || order == Order::acq_rel) acquired_[group] = now_;
  }
  std::vector<Race> races;

 private:
  struct Access {
    u64 lane = 0, time = 0, epoch = 0;
    u32 line = 0;
    bool made = false, write = false, atomic = false;
  };
  // The last write, and reads of two lanes: whoever writes is not one of them.
  struct Element {
    Access write, reads[2];
  };

  bool ordered(const Access& a, const Access& b) const {
    if (!a.made || a.lane == b.lane || (a.atomic && b.atomic)) return true;
    const u64 group_a = a.lane / kernel_.lanes(), group_b = b.lane / kernel_.lanes();
    if (group_a == group_b && a.epoch != b.epoch) return true;
    return released_[group_a] > a.time && acquired_[group_b] > a.time;
  }
  void check(const Access& a, const Access& b, u32 object, u64 index) {
    if (ordered(a, b)) return;
    for (const Race& r : races)
      if (r.object == object &&
          ((r.line == b.line && r.earlier_line == a.line) || (r.line == a.line && r.earlier_line == b.line)))
        return;
    races.push_back({b.line, a.line, b.write, a.write, b.lane, a.lane, object, index});
  }
  void touch(Element& e, const Access& now, u32 object, u64 index) {
    check(e.write, now, object, index);
    if (now.write) {
      for (const Access& r : e.reads) check(r, now, object, index);
      e.write = now;
    } else {
      e.reads[ordered(e.reads[0], now) ? 0 : 1] = now;
    }
  }

  View kernel_;
  std::vector<u64> released_, acquired_;  // when each workgroup last did
  std::vector<std::vector<Element>> buffers_, shared_;
  u64 now_ = 0, epoch_ = 0;
};

}  // namespace detail

inline Sanitized sanitize(View kernel, std::array<u32, 3> grid, std::span<const Argument> arguments,
                          const InterpretOptions& options = {}) {
  detail::RaceHooks hooks(kernel, arguments, u64{grid[0]} * grid[1] * grid[2]);
  Sanitized s{interpret(kernel, grid, arguments, options, hooks), {}};
  s.races = std::move(hooks.races);
  return s;
}

}  // namespace gpuio::kernel
