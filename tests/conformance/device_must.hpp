// `must`: the value of a Result, or an exception that GoogleTest reports as the test's failure.
#pragma once

#include <stdexcept>

#include "base/status.hpp"

namespace gpuio::conformance {

inline constexpr std::uint64_t kLong = 60'000'000'000;  // bounds every wait of the suite

inline void must(Status s) {
  if (!s) throw std::runtime_error(s.message());
}
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

}  // namespace gpuio::conformance
