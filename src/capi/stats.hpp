// What gpuio_get_stats counts. Threading: any. Lifetime: the context's.
#pragma once

#include <gpuio/gpuio.h>

#include <mutex>

#include "base/clock.hpp"
#include "base/metrics.hpp"

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
  void forget();  // one that was begun and could not be given to anybody
  void reset();
  void fill(gpuio_stats_t* stats);  // what requests have to do with; the rest is left alone

 private:
  SteadyClock clock_;
  Counter submitted_, completed_, failed_, cancelled_, read_, written_;
  Histogram latency_ns_;
  std::mutex mutex_;  // over what follows: the time with a request in flight, for the bandwidth
  std::uint64_t in_flight_ = 0, busy_since_ns_ = 0, busy_ns_ = 0;
};

}  // namespace gpuio::capi
