// Runs the workgroups of launches on host threads.
//
// Whoever calls `run` works on its own launch until no group of it is left, so every launch advances even
// when all threads of the pool are held by groups that wait. Threads of the pool help where groups are left.
// Any thread may call `run`. The threads keep the pool's state alive by themselves: when a kernel never
// returns, `abandon` lets the owner go without them.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "gpu/device.hpp"

namespace gpuio::gpu::cpu {

// One launch under way. Groups are handed out in runs of `chunk`, in order.
struct Launch {
  std::string name;
  Native native;
  std::uint32_t shared_bytes = 0;
  std::vector<Argument> arguments;
  std::array<std::uint32_t, 3> groups{};
  std::uint64_t total = 0, chunk = 1;
  std::atomic<std::uint64_t> next{0};  // group to hand out; relaxed: the pool's lock orders start and end
  // Changed under the pool's lock; helpers is looked at without it by who waits for them.
  std::atomic<unsigned> helpers{0};
  Status error;
};

class Pool {
 public:
  // `threads` run groups at once, counting the caller of `run`.
  static Result<Pool> create(unsigned threads);
  Pool(Pool&&) = default;
  ~Pool();  // joins; call after every `run` has returned, or after `abandon`

  Status run(Launch& launch);
  void abandon();
  unsigned threads() const { return threads_; }

 private:
  struct State;
  explicit Pool(std::shared_ptr<State> state, unsigned threads)
      : state_(std::move(state)), threads_(threads) {}
  std::shared_ptr<State> state_;
  unsigned threads_;
};

}  // namespace gpuio::gpu::cpu
