// How long a call that has no timeout of its own may block: wait.limit_ms of the configuration, from its
// begin. Past it the call answers TIMEOUT. What it waited for goes on, and stays alive with all that it uses.
//
// Threading: a value; one thread. Nothing here blocks or fails.
//
//   const Limit limit = context.limit();
//   if (!changed.wait_for(lock, limit.left(), done)) return limit.late("the request has", "wait again");
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/clock.hpp"
#include "base/status.hpp"

namespace gpuio::capi {

class Limit {
 public:
  explicit Limit(std::uint64_t ns) : ns_(ns), deadline_(Deadline::after(SteadyClock(), ns)) {}

  std::uint64_t left_ns() const { return deadline_.remaining_ns(SteadyClock()); }
  std::chrono::nanoseconds left() const {
    constexpr std::uint64_t kDayNs = 86'400'000'000'000;  // more than the configuration takes
    return std::chrono::nanoseconds(std::min(left_ns(), kDayNs));
  }
  bool over() const { return left_ns() == 0; }
  Status late(std::string_view what, std::string_view remedy) const {
    return error(Code::timeout, "{} not ended after {} ms (wait.limit_ms), and goes on: {}", what,
                 ns_ / 1'000'000, remedy);
  }

 private:
  std::uint64_t ns_;
  Deadline deadline_;
};

}  // namespace gpuio::capi
