// Random operations on a target, compared with a plain array of bytes; and what the tests of engines share.
//
// One thread. Failures are GoogleTest failures of the calling test; the caller prints the seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <random>
#include <set>
#include <vector>

#include "io/engine.hpp"

namespace gpuio::io::conformance {

using Bytes = std::vector<std::byte>;
inline constexpr std::uint64_t kSecond = 1'000'000'000;
inline constexpr int kStepsMax = 200'000;  // polls before a test calls an operation lost

inline Bytes pattern(std::size_t size, std::uint64_t seed) {
  Bytes bytes(size);
  std::uint64_t x = seed * 0x9E3779B97F4A7C15ull + 1;
  for (auto& b : bytes) b = std::byte((x = x * 6364136223846793005ull + 1442695040888963407ull) >> 56);
  return bytes;
}

// Aligned for direct IO; an offset within makes it unaligned.
struct Buffer {
  explicit Buffer(std::size_t bytes)
      : size(bytes), data(static_cast<std::byte*>(std::aligned_alloc(4096, (bytes + 8191) / 4096 * 4096))) {
    std::memset(data, 0xEE, (bytes + 8191) / 4096 * 4096);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { std::free(data); }
  std::size_t size;
  std::byte* data;
};

// Random batches against a plain array of bytes: scattered, unaligned, of all lengths, across and past the
// end.
class Oracle {
 public:
  Oracle(std::uint64_t seed, Queue& q, Target& t, bool failing, Bytes content)
      : random_(seed),
        q_(q),
        t_(t),
        failing_(failing),
        content_(std::move(content)),
        memory_(kSlots * kSpan) {}

  void run(int operations) {
    region_ = q_.enroll({memory_.data, memory_.size}).value_or(kUnregistered);
    while (issued_ < operations || !busy_.empty()) {
      std::vector<Op*> batch;
      const auto want = static_cast<std::size_t>(below(q_.depth() + 2));
      while (batch.size() < want && issued_ < operations)
        if (Op* op = make()) batch.push_back(op);
        else break;
      submit(batch);
      if (below(8) == 0 && !busy_.empty()) {
        Job& victim = jobs_[*busy_.begin()];
        q_.cancel(victim.op);
      }
      drain();
      ASSERT_LT(++steps_, kStepsMax) << "operations never completed";
      if (testing::Test::HasFailure()) return;
    }
    if (region_ != kUnregistered) {
      EXPECT_TRUE(q_.withdraw(region_).ok());
    }
  }
  const Bytes& content() const { return content_; }

 private:
  static constexpr std::size_t kSlots = 24, kSpan = 40'960;
  struct Job {
    Op op;
    std::vector<Segment> segments;
    Bytes expected;        // what the file will hold (write)
    bool reissue = false;  // a write whose outcome is uncertain is written again
  };

  std::uint64_t below(std::uint64_t n) {
    return std::uniform_int_distribution<std::uint64_t>(0, n - 1)(random_);
  }

  bool overlaps(std::uint64_t from, std::uint64_t to, OpKind kind) const {
    for (std::size_t b : busy_) {
      const Op& o = jobs_[b].op;
      if (o.kind == OpKind::read && kind == OpKind::read) continue;
      if (o.kind == OpKind::flush) continue;
      // Growing changes what a read near the end sees: those wait for each other too.
      if (from < o.offset + o.length() && o.offset < to) return true;
      const bool either_grows = (o.kind == OpKind::write && o.offset + o.length() > content_.size()) ||
                                (kind == OpKind::write && to > content_.size());
      if (either_grows) return true;
    }
    return false;
  }

  Op* make() {
    std::size_t slot = 0;
    while (slot < kSlots && busy_.contains(slot)) ++slot;
    if (slot == kSlots) return nullptr;
    const auto kind = below(20) == 0 ? OpKind::flush : below(2) ? OpKind::read : OpKind::write;
    static constexpr std::uint64_t kGrain[] = {1, 1, 512, 4'096, 4'096};
    const std::uint64_t grain = kGrain[below(5)];
    std::uint64_t length = below(3) ? below(8) * grain : below(kSpan / 2 / grain) * grain;
    const std::uint64_t offset = below((content_.size() + 8'192) / grain) * grain;
    if (offset > content_.size() && kind == OpKind::write && below(4)) return nullptr;
    if (kind == OpKind::flush) length = 0;
    if (overlaps(offset, offset + length, kind)) return nullptr;

    Job& job = jobs_[slot];
    job = {};
    job.op = {.kind = kind, .target = &t_, .offset = offset, .user = &job};
    std::byte* at = memory_.data + slot * kSpan + (below(2) ? 0 : below(4'096));
    for (std::uint64_t left = length; left;) {
      const std::uint64_t n = below(2) ? left : std::max<std::uint64_t>(1, below(left / grain + 1) * grain);
      const std::uint64_t take = std::min(n, left);
      job.segments.push_back({at, take, below(2) ? region_ : kUnregistered});
      at += take + (below(2) ? 0 : below(64));  // gaps; twenty of them fit into the span
      left -= take;
      if (below(4) == 0) job.segments.push_back({at, 0});
      if (left && job.segments.size() > 20) {
        job.segments.push_back({at, left});
        left = 0;
      }
    }
    job.op.segments = job.segments;
    if (kind == OpKind::write) {
      job.expected = pattern(length, random_());
      std::uint64_t done = 0;
      for (const Segment& s : job.segments) {
        std::memcpy(s.memory, job.expected.data() + done, s.length);
        done += s.length;
      }
    }
    busy_.insert(slot);
    ++issued_;
    return &job.op;
  }

  void submit(std::span<Op* const> batch) {
    for (std::size_t taken = 0; taken < batch.size();) {
      const std::uint32_t n = q_.submit(batch.subspan(taken));
      ASSERT_LE(n, batch.size() - taken);
      for (std::uint32_t i = 0; i < n; ++i) flying_.insert(batch[taken + i]);
      taken += n;
      ASSERT_LE(flying_.size(), q_.depth());
      if (n == 0) drain();
      ASSERT_LT(++steps_, kStepsMax) << "submit never took an operation";
    }
  }

  void drain() {
    std::vector<Op*> done(1 + below(20));
    const std::uint32_t n = q_.poll(done);
    for (Op* op : std::span(done).first(n)) {
      ASSERT_EQ(flying_.erase(op), 1u) << "completed twice, or never submitted";
      settle(*static_cast<Job*>(op->user));
    }
    if (n == 0 && !flying_.empty()) (void)q_.wait(1'000'000);
  }

  void settle(Job& job) {
    const Op& op = job.op;
    const std::uint64_t length = op.length();
    ASSERT_LE(op.bytes, length);
    ASSERT_TRUE(op.code == Code::ok || op.code == Code::canceled || (op.code == Code::io && failing_))
        << describe(op);
    if (op.kind == OpKind::read) {
      const std::uint64_t there =
          op.offset < content_.size() ? std::min<std::uint64_t>(length, content_.size() - op.offset) : 0;
      if (op.code == Code::ok) {
        ASSERT_EQ(op.bytes, there) << describe(op);
      }
      std::uint64_t at = 0;
      for (const Segment& s : op.segments) {
        const std::uint64_t n = std::min(s.length, op.bytes - at);
        if (n) {
          ASSERT_EQ(std::memcmp(s.memory, content_.data() + op.offset + at, n), 0)
              << describe(op) << ": wrong bytes from " << at;
        }
        at += n;
      }
    } else if (op.kind == OpKind::write) {
      if (op.code != Code::ok) return again(job);
      ASSERT_EQ(op.bytes, length);
      if (length > 0) {
        if (content_.size() < op.offset + length) content_.resize(op.offset + length);
        std::copy(job.expected.begin(), job.expected.end(),
                  content_.begin() + static_cast<std::ptrdiff_t>(op.offset));
      }
    }
    busy_.erase(static_cast<std::size_t>(&job - jobs_.data()));
  }

  void again(Job& job) {
    Op* op = &job.op;
    submit({&op, 1});
  }

  std::mt19937_64 random_;
  Queue& q_;
  Target& t_;
  const bool failing_;
  Bytes content_;
  Buffer memory_;
  std::uint32_t region_ = kUnregistered;
  std::array<Job, kSlots> jobs_;
  std::set<std::size_t> busy_;
  std::set<Op*> flying_;
  int issued_ = 0, steps_ = 0;
};

}  // namespace gpuio::io::conformance
