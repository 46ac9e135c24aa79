// What the parts of this scenario share.
#pragma once

#include <utility>

#include "base/status.hpp"
#include "bench/report.hpp"

namespace gpuio::bench {

void warm_cases(Report& report);
void cold_cases(Report& report);
void run_cases(Report& report);

template <class T>
T take(Result<T> result) {
  if (!result) die(result.error().message());
  return std::move(*result);
}
inline void check(const Status& status) {
  if (!status) die(status.message());
}

}  // namespace gpuio::bench
