// Counters and latency histograms that cost a relaxed atomic or two to feed and nothing to own.
//
// Threading: add and record are lock-free from any thread; reading beside writers sees a value of each cell
// that was true at some moment during the read, so totals of different cells may differ by what is in flight.
// Memory is fixed at construction (a histogram is 15 KiB); nothing fails, nothing allocates while recording.
//
//   Histogram latency_ns;
//   latency_ns.record(clock.now_ns() - started_ns);
//   auto seen = latency_ns.snapshot();
//   fmt::print("p99 {} ns\n", seen.percentile(99));
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace gpuio {

inline constexpr size_t kCacheLineBytes = 64;

// A count that only grows until it is reset. Alone on its cache line: neighbours do not slow each other down.
class alignas(kCacheLineBytes) Counter {
 public:
  // Relaxed: a count orders nothing else.
  void add(uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  // Returns what was counted up to now; concurrent adds land on one side or the other, none is lost.
  uint64_t reset() { return value_.exchange(0, std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Log-linear buckets over all of uint64_t: exact below 64, then 32 to each power of two. A bucket is at most
// 1/32 of its lower edge wide and answers with its middle, so a percentile is within 1.6% of the exact one.
struct HistogramBuckets {
  static constexpr unsigned kSubBits = 5;
  static constexpr size_t kCount = (65 - kSubBits) << kSubBits;

  static constexpr size_t index_of(uint64_t value) {
    const unsigned width = static_cast<unsigned>(std::bit_width(value));
    const unsigned shift = width > kSubBits + 1 ? width - (kSubBits + 1) : 0;
    return (size_t{shift} << kSubBits) + static_cast<size_t>(value >> shift);
  }
  static constexpr uint64_t lower_edge(size_t index) {
    if (index < (size_t{2} << kSubBits)) return index;
    const unsigned shift = static_cast<unsigned>((index >> kSubBits) - 1);
    return (uint64_t{index} - (uint64_t{shift} << kSubBits)) << shift;
  }
  static constexpr uint64_t middle(size_t index) {
    const uint64_t low = lower_edge(index);
    const uint64_t past = index + 1 < kCount ? lower_edge(index + 1) : std::numeric_limits<uint64_t>::max();
    return low + (past - low - 1) / 2;
  }
};
static_assert(HistogramBuckets::index_of(std::numeric_limits<uint64_t>::max()) ==
              HistogramBuckets::kCount - 1);

// What a histogram held at one time: a value, to be merged, compared and asked.
class HistogramSnapshot {
 public:
  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }  // wraps past 2^64
  uint64_t min() const { return count_ ? min_ : 0; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ ? static_cast<double>(sum_) / static_cast<double>(count_) : 0; }

  // The value that `percent` (0 to 100) of the samples do not exceed; 0 without samples.
  uint64_t percentile(double percent) const {
    if (count_ == 0) return 0;
    const double share = std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(count_);
    uint64_t rank = static_cast<uint64_t>(share);
    if (static_cast<double>(rank) < share) ++rank;
    rank = std::clamp<uint64_t>(rank, 1, count_);
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= rank) return std::clamp(HistogramBuckets::middle(i), min(), max_);
    }
    return max_;
  }

  // As if the samples of both had been recorded in one.
  void merge(const HistogramSnapshot& other) {
    if (buckets_.empty()) buckets_.resize(HistogramBuckets::kCount);
    for (size_t i = 0; i < other.buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
  }

 private:
  friend class Histogram;
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t min_ = std::numeric_limits<uint64_t>::max();
  uint64_t max_ = 0;
};

class Histogram {
 public:
  void record(uint64_t value, uint64_t times = 1) {
    buckets_[HistogramBuckets::index_of(value)].fetch_add(times, std::memory_order_relaxed);
    sum_.fetch_add(value * times, std::memory_order_relaxed);
    lower(min_, value);
    raise(max_, value);
  }

  HistogramSnapshot snapshot() const {
    HistogramSnapshot seen;
    seen.buckets_.resize(HistogramBuckets::kCount);
    for (size_t i = 0; i < HistogramBuckets::kCount; ++i) {
      seen.buckets_[i] = buckets_[i].load(std::memory_order_relaxed);
      seen.count_ += seen.buckets_[i];
    }
    seen.sum_ = sum_.load(std::memory_order_relaxed);
    seen.min_ = min_.load(std::memory_order_relaxed);
    seen.max_ = std::max(max_.load(std::memory_order_relaxed), seen.min_ == kNone ? 0 : seen.min_);
    return seen;
  }

  // A sample recorded meanwhile may keep its bucket and lose its share of sum, minimum or maximum.
  void reset() {
    for (auto& bucket : buckets_) bucket.store(0, std::memory_order_relaxed);
    sum_.store(0, std::memory_order_relaxed);
    min_.store(kNone, std::memory_order_relaxed);
    max_.store(0, std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();
  static void lower(std::atomic<uint64_t>& cell, uint64_t value) {
    uint64_t seen = cell.load(std::memory_order_relaxed);
    while (value < seen && !cell.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }
  static void raise(std::atomic<uint64_t>& cell, uint64_t value) {
    uint64_t seen = cell.load(std::memory_order_relaxed);
    while (value > seen && !cell.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
    }
  }

  std::array<std::atomic<uint64_t>, HistogramBuckets::kCount> buckets_{};
  std::atomic<uint64_t> sum_{0};
  std::atomic<uint64_t> min_{kNone};
  std::atomic<uint64_t> max_{0};
};

}  // namespace gpuio
