#include "capi/stats.hpp"

#include "capi/context.hpp"

namespace gpuio::capi {

void Stats::begin() {
  submitted_.add();
  std::scoped_lock hold(mutex_);
  if (in_flight_++ == 0) busy_since_ns_ = clock_.now_ns();
}

void Stats::end(const Ended& request) {
  (request.error == GPUIO_SUCCESS          ? completed_
   : request.error == GPUIO_ERROR_CANCELED ? cancelled_
                                           : failed_)
      .add();
  read_.add(request.read);
  written_.add(request.written);
  if (request.error == GPUIO_SUCCESS) latency_ns_.record(request.latency_ns);
  std::scoped_lock hold(mutex_);
  if (--in_flight_ == 0) busy_ns_ += clock_.now_ns() - busy_since_ns_;
}

void Stats::forget() {
  submitted_.add(~std::uint64_t{0});  // that is, one less
  std::scoped_lock hold(mutex_);
  if (--in_flight_ == 0) busy_ns_ += clock_.now_ns() - busy_since_ns_;
}

void Stats::watch(std::shared_ptr<const paging::ArrayCounters> array) {
  std::scoped_lock hold(mutex_);
  (void)pages();  // lets go of arrays that are gone
  arrays_.push_back(std::move(array));
}

Stats::Pages Stats::pages() {
  std::erase_if(arrays_, [&](const auto& array) {
    if (array.use_count() > 1) return false;
    ended_.hits += array->hits.value();
    ended_.misses += array->misses.value();
    return true;
  });
  Pages all = ended_;
  for (const auto& array : arrays_) {
    all.hits += array->hits.value();
    all.misses += array->misses.value();
  }
  return all;
}

void Stats::reset() {
  for (Counter* c : {&submitted_, &completed_, &failed_, &cancelled_, &read_, &written_}) c->reset();
  latency_ns_.reset();
  std::scoped_lock hold(mutex_);
  busy_ns_ = 0;
  busy_since_ns_ = clock_.now_ns();
  reset_ = pages();
}

void Stats::fill(gpuio_stats_t* stats) {
  stats->requests_submitted = submitted_.value();
  stats->requests_completed = completed_.value();
  stats->requests_failed = failed_.value();
  stats->requests_cancelled = cancelled_.value();
  stats->bytes_read = read_.value();
  stats->bytes_written = written_.value();
  const HistogramSnapshot latency = latency_ns_.snapshot();
  stats->latency_avg_us = latency.mean() / 1e3;
  stats->latency_p50_us = static_cast<double>(latency.percentile(50)) / 1e3;
  stats->latency_p99_us = static_cast<double>(latency.percentile(99)) / 1e3;
  std::scoped_lock hold(mutex_);
  const std::uint64_t busy = busy_ns_ + (in_flight_ ? clock_.now_ns() - busy_since_ns_ : 0);
  if (busy)
    stats->bandwidth_gbps = static_cast<double>(stats->bytes_read + stats->bytes_written) / double(busy);
  const Pages all = pages();
  stats->cache_hits = all.hits - reset_.hits;
  stats->cache_misses = all.misses - reset_.misses;
  if (const std::uint64_t counted = stats->cache_hits + stats->cache_misses)
    stats->cache_hit_rate = double(stats->cache_hits) / double(counted);
}

}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_get_stats(gpuio_context_t ctx, gpuio_stats_t* stats) {
  return call("gpuio_get_stats", ctx, Outputs(stats), [&](Context& c) {
    c.stats.fill(stats);
    return Status();
  });
}

gpuio_error_t gpuio_reset_stats(gpuio_context_t ctx) {
  return call("gpuio_reset_stats", ctx, [&](Context& c) {
    c.stats.reset();
    return Status();
  });
}

}  // extern "C"
