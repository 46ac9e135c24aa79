// Time as a parameter: everything above the engines takes a Clock, so that a test runs in virtual time.
//
// Threading: now_ns may be called from any thread; it never goes back. Lifetime: whoever keeps a `const
// Clock&` is outlived by the clock. Nothing here fails or allocates.
//
//   ManualClock clock;
//   Retry retry(policy, clock);
//   clock.advance_ns(5'000'000);  // five milliseconds pass at once
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace gpuio {

class Clock {
 public:
  virtual ~Clock() = default;
  // Nanoseconds since a moment that stays the same for the life of the clock.
  virtual uint64_t now_ns() const = 0;

 protected:
  Clock() = default;
  Clock(const Clock&) = default;
  Clock& operator=(const Clock&) = default;
};

// The machine's monotonic clock.
class SteadyClock final : public Clock {
 public:
  uint64_t now_ns() const override {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
  }
};

// Virtual time: stands still until it is told to move.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(uint64_t start_ns = 0) : now_ns_(start_ns) {}
  // Acquire pairs with the release in advance_ns: who sees the new time sees what was written before it.
  uint64_t now_ns() const override { return now_ns_.load(std::memory_order_acquire); }
  void advance_ns(uint64_t by) { now_ns_.fetch_add(by, std::memory_order_acq_rel); }

 private:
  std::atomic<uint64_t> now_ns_;
};

// A moment after which to give up; "for ever" is the largest time there is.
class Deadline {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  // timeout_ns from now; kNever, or a sum past the end of time, never comes.
  static Deadline after(const Clock& clock, uint64_t timeout_ns) {
    const uint64_t now = clock.now_ns();
    return Deadline(timeout_ns >= kNever - now ? kNever : now + timeout_ns);
  }
  static Deadline never() { return Deadline(kNever); }

  bool passed(const Clock& clock) const { return at_ns_ != kNever && clock.now_ns() >= at_ns_; }
  // 0 once it has passed.
  uint64_t remaining_ns(const Clock& clock) const {
    if (at_ns_ == kNever) return kNever;
    const uint64_t now = clock.now_ns();
    return now >= at_ns_ ? 0 : at_ns_ - now;
  }
  uint64_t at_ns() const { return at_ns_; }

 private:
  explicit Deadline(uint64_t at_ns) : at_ns_(at_ns) {}
  uint64_t at_ns_;
};

}  // namespace gpuio
