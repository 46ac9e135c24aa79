// What gpuio_get_stats counts. Threading: any. Lifetime: the context's.
#pragma once

#include <gpuio/gpuio.h>

#include <memory>
#include <mutex>
#include <vector>

#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "paging/space.hpp"

namespace gpuio::capi {

class Stats {
 public:
  void begin();
  struct Ended {
    gpuio_error_t error = GPUIO_SUCCESS;
    std::uint64_t read = 0, written = 0;  // bytes
    std::uint64_t latency_ns = 0;
  };
  void end(const Ended& request);
  // From now on what is counted of this array belongs to the statistics.
  void watch(std::shared_ptr<const paging::ArrayCounters> array);
  void forget();  // one that was begun and could not be given to anybody
  void reset();
  void fill(gpuio_stats_t* stats);

 private:
  struct Pages {
    std::uint64_t hits = 0, misses = 0;
  };
  Pages pages();  // of all arrays since the beginning; under the lock

  SteadyClock clock_;
  Counter submitted_, completed_, failed_, cancelled_, read_, written_;
  Histogram latency_ns_;
  std::mutex mutex_;  // over what follows
  // The time with a request in flight, for the bandwidth.
  std::uint64_t in_flight_ = 0, busy_since_ns_ = 0, busy_ns_ = 0;
  std::vector<std::shared_ptr<const paging::ArrayCounters>> arrays_;
  Pages ended_;  // of arrays that are gone
  Pages reset_;  // the sum when it was reset
};

}  // namespace gpuio::capi
