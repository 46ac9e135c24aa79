#include "base/metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <thread>

namespace gpuio {
namespace {

constexpr double kErrorAllowed = 0.03;

uint64_t exact_percentile(std::vector<uint64_t> samples, double percent) {
  std::sort(samples.begin(), samples.end());
  const auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(samples.size())));
  return samples[std::clamp<size_t>(rank, 1, samples.size()) - 1];
}

void expect_close(const HistogramSnapshot& seen, const std::vector<uint64_t>& samples,
                  const std::string& what) {
  for (double percent : {0.0, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
    const double exact = static_cast<double>(exact_percentile(samples, percent));
    EXPECT_NEAR(static_cast<double>(seen.percentile(percent)), exact, exact * kErrorAllowed)
        << what << " p" << percent;
  }
}

TEST(Counter, CountsFromManyThreads) {
  Counter counter;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) counter.add(2);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 80000u);
  EXPECT_EQ(counter.reset(), 80000u);
  EXPECT_EQ(counter.value(), 0u);
}

TEST(Histogram, BucketsTileAllValuesInOrder) {
  EXPECT_EQ(HistogramBuckets::lower_edge(0), 0u);
  for (size_t i = 0; i < HistogramBuckets::kCount; ++i) {
    ASSERT_EQ(HistogramBuckets::index_of(HistogramBuckets::lower_edge(i)), i);
    ASSERT_EQ(HistogramBuckets::index_of(HistogramBuckets::middle(i)), i);
    if (i > 0) {
      ASSERT_EQ(HistogramBuckets::index_of(HistogramBuckets::lower_edge(i) - 1), i - 1);
    }
  }
}

TEST(Histogram, PercentilesAreCloseToExactOnRandomData) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<uint64_t> uniform(0, 1'000'000);
  std::lognormal_distribution<double> latency(10, 2);
  for (const char* shape : {"uniform", "lognormal", "any bits", "small"}) {
    Histogram histogram;
    std::vector<uint64_t> samples;
    for (int i = 0; i < 20000; ++i) {
      uint64_t value = uniform(random);
      if (shape[0] == 'l') value = static_cast<uint64_t>(latency(random));
      if (shape[0] == 'a') value = random() >> (random() % 64);
      if (shape[0] == 's') value %= 70;
      samples.push_back(value);
      histogram.record(value);
    }
    const auto seen = histogram.snapshot();
    EXPECT_EQ(seen.count(), samples.size());
    EXPECT_EQ(seen.max(), *std::max_element(samples.begin(), samples.end())) << shape;
    EXPECT_EQ(seen.min(), *std::min_element(samples.begin(), samples.end())) << shape;
    expect_close(seen, samples, shape);
  }
}

TEST(Histogram, EmptyAnswersZero) {
  const auto seen = Histogram().snapshot();
  EXPECT_EQ(seen.count(), 0u);
  EXPECT_EQ(seen.percentile(99), 0u);
  EXPECT_EQ(seen.min(), 0u);
  EXPECT_EQ(seen.max(), 0u);
  EXPECT_EQ(seen.mean(), 0.0);
}

TEST(Histogram, OneSampleIsEveryPercentile) {
  Histogram histogram;
  histogram.record(123'457);
  const auto seen = histogram.snapshot();
  for (double percent : {-5.0, 0.0, 50.0, 100.0, 500.0}) EXPECT_EQ(seen.percentile(percent), 123'457u);
  EXPECT_EQ(seen.mean(), 123'457.0);
}

TEST(Histogram, TakesTheWholeRange) {
  Histogram histogram;
  histogram.record(0);
  histogram.record(std::numeric_limits<uint64_t>::max());
  const auto seen = histogram.snapshot();
  EXPECT_EQ(seen.percentile(50), 0u);
  EXPECT_EQ(seen.max(), std::numeric_limits<uint64_t>::max());
  EXPECT_GE(seen.percentile(100), std::numeric_limits<uint64_t>::max() / 100 * 97);
}

TEST(Histogram, MergeEqualsRecordingInOne) {
  Histogram a, b, both;
  for (uint64_t i = 1; i < 3000; ++i) {
    (i % 3 ? a : b).record(i * i);
    both.record(i * i);
  }
  auto merged = a.snapshot();
  merged.merge(b.snapshot());
  merged.merge(HistogramSnapshot());
  const auto expected = both.snapshot();
  EXPECT_EQ(merged.count(), expected.count());
  EXPECT_EQ(merged.sum(), expected.sum());
  EXPECT_EQ(merged.min(), expected.min());
  EXPECT_EQ(merged.max(), expected.max());
  for (int percent = 0; percent <= 100; ++percent)
    EXPECT_EQ(merged.percentile(percent), expected.percentile(percent));
  HistogramSnapshot from_nothing;
  from_nothing.merge(expected);
  EXPECT_EQ(from_nothing.percentile(50), expected.percentile(50));
}

TEST(Histogram, ResetForgetsEverything) {
  Histogram histogram;
  histogram.record(5);
  histogram.record(50000);
  histogram.reset();
  EXPECT_EQ(histogram.snapshot().count(), 0u);
  histogram.record(9);
  EXPECT_EQ(histogram.snapshot().min(), 9u);
  EXPECT_EQ(histogram.snapshot().max(), 9u);
}

TEST(Histogram, LosesNoSampleOfManyThreads) {
  Histogram histogram;
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&histogram, t] {
      for (uint64_t i = 0; i < 10000; ++i) histogram.record(i * 4 + t);
    });
  }
  for (auto& thread : threads) thread.join();
  const auto seen = histogram.snapshot();
  EXPECT_EQ(seen.count(), 40000u);
  EXPECT_EQ(seen.sum(), 40000u * 39999u / 2);
  EXPECT_EQ(seen.max(), 39999u);
  EXPECT_EQ(seen.min(), 0u);
}

}  // namespace
}  // namespace gpuio
