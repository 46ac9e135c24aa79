// Trying again: which errors are worth it, and how long to pause before each try.
//
// Plain values and pure functions, any thread; time is the caller's.
//
//   if (is_retryable(code) && tries <= policy.max_retries) wait_until(now + policy.pause_ns(tries));
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/status.hpp"

namespace gpuio::io {

struct RetryPolicy {
  std::uint32_t max_retries = 0;  // after the first attempt
  std::uint64_t initial_ns = 1'000'000;
  std::uint64_t max_ns = 1'000'000'000;
  double multiplier = 2;

  // Before the retry-th retry, counted from 1.
  std::uint64_t pause_ns(std::uint32_t retry) const {
    auto pause = static_cast<double>(initial_ns);
    const auto most = static_cast<double>(max_ns);
    for (std::uint32_t i = 1; i < retry && pause < most && multiplier > 1; ++i) pause *= multiplier;
    return pause >= most ? max_ns : static_cast<std::uint64_t>(pause);
  }
};

// Whether the same operation may succeed later.
constexpr bool is_retryable(Code code) {
  return code == Code::timeout || code == Code::io || code == Code::network || code == Code::busy;
}

}  // namespace gpuio::io
