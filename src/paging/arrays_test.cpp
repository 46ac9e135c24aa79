// The whole path: kernels that index arrays over engines, on every device at hand, both ways of missing,
// against plain arrays.
#include "paging/arrays.hpp"

#include <gpuio/kernel.hpp>

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "base/uri.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cpu/native.hpp"
#include "gpu/cuda/cuda.hpp"
#include "gpu/vulkan/vulkan.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::paging {
namespace {

using gpuio::kernel::Ctx;
using gpuio::kernel::In;
using gpuio::kernel::InOut;
using gpuio::kernel::kernel;
using gpuio::kernel::OnDemand;
using gpuio::kernel::Out;
using gpuio::kernel::Val;

// out[i] = a[index[i]], status[i] with it; any grid.
template <class T>
constexpr auto fetch_body = [](Ctx k, OnDemand<T> a, In<std::uint64_t> index, Out<T> out,
                               Out<std::uint32_t> status, Val<std::uint32_t> n) {
  for (auto i : k.range(k.global_id(), n, k.nctas() * 32)) {
    auto [value, code] = a.load(index[i]);
    out[i] = value;
    status[i] = code;
  }
};
constexpr auto fetch8 = kernel<"fetch8", 32>(fetch_body<std::uint8_t>);
constexpr auto fetch32 = kernel<"fetch32", 32>(fetch_body<std::uint32_t>);
constexpr auto fetch64 = kernel<"fetch64", 32>(fetch_body<std::uint64_t>);

struct Way {
  const char* device;
  Miss miss;
  bool native = false;
  Place place = Place::automatic;
};
std::ostream& operator<<(std::ostream& to, const Way& w) {
  return to << w.device << (w.miss == Miss::wait ? "Wait" : "Yield") << (w.native ? "Native" : "")
            << (w.place == Place::device ? "Local"
                : w.place == Place::host ? "Host"
                                         : "");
}

std::byte byte_at(std::uint64_t i) { return std::byte(i * 167 + (i >> 8) * 13); }

class ArraysTest : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const std::string_view name = GetParam().device;
    if (name == "cpu") {
      device_ = std::move(*gpu::cpu::open({}));
    } else {
#ifdef __SANITIZE_THREAD__
      GTEST_SKIP() << "ThreadSanitizer does not see what an uninstrumented driver synchronises";
#endif
      auto opened = name == "cuda" ? gpu::cuda::open({}) : test_vulkan::open({});
      if (!opened) GTEST_SKIP() << opened.error().message();
      device_ = std::move(*opened);
      if (GetParam().miss == Miss::wait && !device_->info().kernel_io.available)
        GTEST_SKIP() << device_->info().kernel_io.reason;
    }
  }
  void TearDown() override {
    for (const std::string& text : test_vulkan::Messages::all().texts) ADD_FAILURE() << text;
    test_vulkan::Messages::all().texts.clear();
  }

  // An engine of `bytes` bytes of the pattern, as an array of elements of the size.
  Array open(std::uint64_t bytes, std::uint32_t element, CacheOptions cache,
             const io::FaultOptions& faults = {}) {
    cache.place = GetParam().place;
    arrays_.reset();  // before the engine that it asks
    arrays_ = std::move(*Arrays::create(*device_, {.cache = cache, .service = {.depth = 16}}));
    return open_in_same(bytes, element, faults);
  }
  Array open_in_same(std::uint64_t bytes, std::uint32_t element, const io::FaultOptions& faults = {}) {
    auto memory = io::make_memory_engine();
    io::Engine& inner = *memory;
    engine_ = std::make_unique<io::FaultEngine>(std::move(memory), faults);
    const Uri uri = *Uri::parse("mem://data?size=" + std::to_string(bytes));
    bytes_ = std::move(*inner.open(uri, io::kRead | io::kWrite));
    for (std::uint64_t i = 0; i < bytes; ++i) bytes_->address()[i] = byte_at(i);
    return *arrays_->open({engine_.get(), std::move(*engine_->open(uri, io::kRead))}, element);
  }
  gpu::Buffer& buffer(std::uint64_t bytes) {
    buffers_.push_back(std::move(*device_->allocate(gpu::MemoryKind::pinned, bytes)));
    std::memset(buffers_.back()->host(), 0xcc, bytes);
    return *buffers_.back();
  }

  struct Fetched {
    std::vector<std::uint64_t> value;
    std::vector<std::uint32_t> status;
    RunReport report;
  };
  Result<Fetched> fetch(const Array& array, std::uint32_t element, const std::vector<std::uint64_t>& index,
                        RunOptions options = {}) {
    const std::uint64_t n = index.size();
    gpu::Buffer& indices = buffer(n * 8);
    gpu::Buffer& out = buffer(n * element);
    gpu::Buffer& status = buffer(n * 4);
    std::memcpy(indices.host(), index.data(), n * 8);
    const gpu::Argument arguments[] = {array.argument(),
                                       gpu::Argument::buffer(indices, 8),
                                       gpu::Argument::buffer(out, element),
                                       gpu::Argument::buffer(status, 4),
                                       {n, 0}};
    const Kernel fetch = element == 1   ? Kernel(fetch8.view(), gpu::cpu::make_native(fetch8))
                         : element == 4 ? Kernel(fetch32.view(), gpu::cpu::make_native(fetch32))
                                        : Kernel(fetch64.view(), gpu::cpu::make_native(fetch64));
    options.miss = GetParam().miss;
    options.native = GetParam().native;
    auto report = arrays_->run(fetch, {.groups = {4, 1, 1}}, arguments, options);
    if (!report) return fail(std::move(report).error());
    EXPECT_EQ(report->native, GetParam().native) << report->choice;
    Fetched f;
    f.report = std::move(*report);
    for (std::uint64_t i = 0; i < n; ++i) {
      std::uint64_t v = 0;
      std::memcpy(&v, out.host() + i * element, element);
      f.value.push_back(v);
      std::uint32_t s = 0;
      std::memcpy(&s, status.host() + i * 4, 4);
      f.status.push_back(s);
    }
    return f;
  }
  // The element, zero past the bytes.
  static std::uint64_t expected(std::uint64_t index, std::uint32_t element, std::uint64_t bytes) {
    std::byte raw[8] = {};
    for (std::uint32_t b = 0; b < element; ++b)
      if (index * element + b < bytes) raw[b] = byte_at(index * element + b);
    std::uint64_t v = 0;
    std::memcpy(&v, raw, 8);
    return v;
  }

  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<io::Engine> engine_;
  std::unique_ptr<io::Target> bytes_;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers_;
  std::unique_ptr<Arrays> arrays_;
};

std::vector<std::uint64_t> random_indices(std::mt19937_64& random, std::uint64_t n, std::uint64_t count) {
  std::vector<std::uint64_t> index(n);
  for (auto& i : index) i = random() % count;
  return index;
}

TEST_P(ArraysTest, AnyElementAnyCacheAnyOrder) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (const CacheOptions cache :
       {CacheOptions{512, 512, 1}, CacheOptions{7 * 512, 512, 4}, CacheOptions{1 << 20, 4096, 64}})
    for (const std::uint32_t element : {1u, 4u, 8u}) {
      SCOPED_TRACE(testing::Message() << "cache " << cache.cache_bytes << " element " << element);
      const std::uint64_t bytes = 40'000 + random() % 64;
      const Array array = open(bytes, element, cache);
      const auto index = random_indices(random, 300, array.count);
      auto f = fetch(array, element, index);
      ASSERT_TRUE(f) << f.error().message();
      for (std::size_t i = 0; i < index.size(); ++i) {
        ASSERT_EQ(f->status[i], 0u) << i;
        ASSERT_EQ(f->value[i], expected(index[i], element, bytes)) << "index " << index[i];
      }
      EXPECT_GT(f->report.pages, 0u);
    }
}

TEST_P(ArraysTest, APageThatIsThereIsNotBroughtAgain) {
  const Array array = open(64 * 4096, 8, {1 << 20, 4096, 64});
  std::vector<std::uint64_t> index(512);
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = i * 64;
  auto first = fetch(array, 8, index);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->report.pages, 64u);
  auto second = fetch(array, 8, index);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->report.pages, 0u);
  EXPECT_EQ(second->value, first->value);
}

// One kernel, made ready once: each run reports on itself, and engines may end with their last array.
TEST_P(ArraysTest, RunsAfterOneAnotherOverOneEngineAndTheNext) {
  Array array = open(16 * 4096, 8, {1 << 20, 4096, 64});
  std::vector<std::uint64_t> index(128);
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = i * 64;
  for (const double errors : {0.0, 1.0, 0.0}) {
    arrays_->close(array);
    array = open_in_same(16 * 4096, 8, {.error_rate = errors});
    auto f = fetch(array, 8, index);
    ASSERT_TRUE(f) << f.error().message();
    EXPECT_EQ(f->report.pages, errors > 0 ? 0u : 16u);
    EXPECT_EQ(f->report.failures > 0, errors > 0);
    EXPECT_EQ(f->report.failure, errors > 0 ? Code::io : Code::ok);
    EXPECT_EQ(f->report.reason.empty(), errors == 0) << f->report.reason;
    EXPECT_EQ(f->report.latency_ns.count(), f->report.misses);
    for (std::size_t i = 0; i < index.size(); ++i)
      ASSERT_EQ(f->value[i], errors > 0 ? 0 : expected(index[i], 8, 16 * 4096)) << i;
  }
}

TEST_P(ArraysTest, WhatWasPrefetchedIsNotMissed) {
  const Array array = open(64 * 4096, 8, {1 << 20, 4096, 64});
  // To the end: a worker that reads in order asks for the pages behind, too.
  ASSERT_TRUE(arrays_->prefetch(array, 31 * 4096 + 5, 33 * 4096 - 5, {}).ok());
  EXPECT_EQ(arrays_->pages_resident(array), 33u);
  std::vector<std::uint64_t> index(512);
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = (31 + i / 16) * 512 + i % 512;
  auto f = fetch(array, 8, index);
  ASSERT_TRUE(f) << f.error().message();
  EXPECT_EQ(f->report.misses, 0u);
  for (std::size_t i = 0; i < index.size(); ++i)
    ASSERT_EQ(f->value[i], expected(index[i], 8, 64 * 4096)) << index[i];
  EXPECT_EQ(arrays_->counters(array).prefetched.value(), 33u);
}

TEST_P(ArraysTest, AnIndexPastTheEndReachesItsLaneOnly) {
  const Array array = open(10'000, 4, {1 << 20, 4096, 64});
  // The next array's pages follow this one's: it must not see them.
  std::vector<std::uint64_t> index = {0, array.count - 1, array.count, array.count + 4096, ~std::uint64_t{0},
                                      5};
  auto f = fetch(array, 4, index);
  ASSERT_TRUE(f) << f.error().message();
  const std::vector<std::uint32_t> status = {0, 0, 15, 15, 15, 0};
  EXPECT_EQ(f->status, status);
  for (std::size_t i : {2u, 3u, 4u}) EXPECT_EQ(f->value[i], 0u);
  EXPECT_EQ(f->value[5], expected(5, 4, 10'000));
}

TEST_P(ArraysTest, AFailedPageReachesItsLanesAndTheOthersGoOn) {
  const std::uint64_t bytes = 64 * 512;
  const Array array = open(bytes, 4, {16 * 512, 512, 16},
                           {.seed = 5, .error_rate = 0.3, .delay_polls_max = 3, .reorder = true});
  std::mt19937_64 random(9);
  const auto index = random_indices(random, 400, array.count);
  auto f = fetch(array, 4, index);
  ASSERT_TRUE(f) << f.error().message();
  std::size_t good = 0, bad = 0;
  for (std::size_t i = 0; i < index.size(); ++i) {
    if (f->status[i] == 0) {
      ++good;
      ASSERT_EQ(f->value[i], expected(index[i], 4, bytes));
    } else {
      ++bad;
      ASSERT_EQ(f->status[i], std::uint32_t(-int(Code::io)));
      ASSERT_EQ(f->value[i], 0u);
    }
  }
  EXPECT_GT(good, 0u);
  EXPECT_GT(bad, 0u) << "no fault reached a lane";
  EXPECT_NE(f->report.reason.find("EIO"), std::string::npos) << f->report.reason;
  EXPECT_GT(f->report.failures, 0u);
  EXPECT_EQ(f->report.failure, Code::io);
  EXPECT_EQ(arrays_->counters(array).failures.value(), f->report.failures);
  EXPECT_EQ(arrays_->counters(array).misses.value(), f->report.misses);
}

TEST_P(ArraysTest, CancelEndsARunWhoseTargetHangs) {
  static const ManualClock stopped;
  const Array array =
      open(8 * 4096, 4, {1 << 20, 4096, 16}, {.delay_ns_max = ~std::uint64_t{0} >> 1, .clock = &stopped});
  std::atomic<bool> cancel{false};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel = true;
  });
  auto f = fetch(array, 4, {1, 2000, 4000}, {.cancel = &cancel});
  later.join();
  ASSERT_FALSE(f);
  EXPECT_EQ(f.error().code(), Code::canceled) << f.error().message();
}

// The target hangs while the clock stands still. One frame, which nobody gets again if the run keeps it.
TEST_P(ArraysTest, TimeOutEndsARunWhoseTargetHangsAndTheNextFindsItsFrameFree) {
  static ManualClock clock;  // outlives the engine
  const std::uint64_t bytes = 8 * 4096;
  const Array array = open(bytes, 4, {4096, 4096, 16}, {.delay_ns_max = 1'000'000'000, .clock = &clock});
  const std::vector<std::uint64_t> index = {1, 2000, 4000};
  auto late = fetch(array, 4, index, {.timeout_ns = 50'000'000});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::timeout) << late.error().message();
  EXPECT_EQ(arrays_->pages_resident(array), 0u);
  EXPECT_EQ(arrays_->counters(array).brought.value(), 0u);
  // Lanes that wait are told, and run to their end; those that yielded are left where they are.
  const auto* status = reinterpret_cast<const std::uint32_t*>(buffers_.back()->host());
  const auto* value = reinterpret_cast<const std::uint32_t*>(buffers_[buffers_.size() - 2]->host());
  for (std::size_t i = 0; i < index.size(); ++i) {
    const bool waits = GetParam().miss == Miss::wait;
    EXPECT_EQ(status[i], waits ? std::uint32_t(-int(Code::timeout)) : 0xccccccccu);
    EXPECT_EQ(value[i], waits ? 0u : 0xccccccccu);
  }

  const std::jthread ticking([](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      clock.advance_ns(1'000'000'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  auto f = fetch(array, 4, index);
  ASSERT_TRUE(f) << f.error().message();
  for (std::size_t i = 0; i < index.size(); ++i) {
    EXPECT_EQ(f->status[i], 0u);
    EXPECT_EQ(f->value[i], expected(index[i], 4, bytes));
  }
  EXPECT_EQ(f->report.failures, 0u);
  EXPECT_EQ(arrays_->pages_resident(array), 1u);
}

// Trips for years, through a cache of one frame.
constexpr auto endless = kernel<"endless", 32>([](Ctx k, OnDemand<std::uint32_t> a, Out<std::uint32_t> out) {
  auto sum = k.var(0u);
  for (auto i : k.range(k.global_id().as<std::uint64_t>(), std::uint64_t{1} << 50)) {
    sum += a[i * 128 % a.length()];
    for (auto j : k.range(0u, 4u)) sum += j;
  }
  out[k.global_id()] = sum;
});

TEST_P(ArraysTest, CancelEndsARunWhoseLoopsDoNot) {
  const Array array = open(8 * 512, 4, {512, 512, 16});
  const gpu::Argument arguments[] = {array.argument(), gpu::Argument::buffer(buffer(64 * 4), 4)};
  std::atomic<bool> cancel{false};
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    cancel = true;
  });
  auto report = arrays_->run(endless.view(), {.groups = {2, 1, 1}}, arguments,
                             {.miss = GetParam().miss, .grace_ns = 30'000'000'000, .cancel = &cancel});
  later.join();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), Code::canceled) << report.error().message();
}

// Waits for something other than data; flag[1] tells that a lane has begun to.
constexpr auto stuck = kernel<"stuck", 32>(
    [](Ctx k, OnDemand<std::uint32_t> a, InOut<std::uint32_t> flag, Out<std::uint32_t> out) {
      out[k.global_id()] = a[k.global_id()];
      flag.atomic_add(1, 1u);
      auto tries = k.var<std::uint64_t>(0);
      GPU_WHILE(k, tries < std::uint64_t{1} << 60) {
        tries += 1;
        k.break_if(flag.atomic_load(0) != 0);
      }
    });

TEST_P(ArraysTest, AKernelThatDoesNotEndIsGivenUp) {
  const auto child = [this] {
    const Array array = open(4096, 4, {1 << 20, 4096, 16});
    gpu::Buffer& flag = buffer(8);
    std::memset(flag.host(), 0, 8);
    const gpu::Argument arguments[] = {array.argument(), gpu::Argument::buffer(flag, 4),
                                       gpu::Argument::buffer(buffer(64 * 4), 4)};
    // Not by a clock: a run that is late before its kernel runs has nothing to give up.
    std::atomic<bool> cancel{false};
    std::thread later([&cancel, begun = reinterpret_cast<const std::uint32_t*>(flag.host()) + 1] {
      const SteadyClock clock;
      for (const auto begin = clock.now_ns(); !__atomic_load_n(begun, __ATOMIC_RELAXED);) {
        if (clock.now_ns() - begin > 60'000'000'000) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      cancel = true;
    });
    const auto report = arrays_->run(stuck.view(), {.groups = {2, 1, 1}}, arguments,
                                     {.miss = GetParam().miss, .grace_ns = 100'000'000, .cancel = &cancel});
    later.join();
    const bool lost = !report && report.error().code() == Code::device_lost;
    const auto begin = SteadyClock().now_ns();
    const bool refused = device_->stream().error().code() == Code::device_lost;
    arrays_.reset();
    buffers_.clear();
    device_.reset();
    const bool at_once = SteadyClock().now_ns() - begin < 20'000'000'000;  // streams drain for a minute
    if (!report) std::fprintf(stderr, "%s\n", report.error().message().c_str());
    std::_Exit(lost && refused && at_once ? 0 : 1);
  };
  // In a process of its own, which must be able to end beside the kernel.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "given up");
}

TEST_P(ArraysTest, WrongArgumentCountIsRefused) {
  open(4096, 4, {1 << 20, 4096, 16});
  auto report = arrays_->run(fetch32.view(), {}, {}, {});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), Code::invalid_arg);
  EXPECT_NE(report.error().message().find("5 parameters"), std::string::npos) << report.error().message();
}

TEST(Arrays, RefusesEmptyTargetsAndOddElements) {
  auto device = std::move(*gpu::cpu::open({}));
  auto arrays = std::move(*Arrays::create(*device, {}));
  auto engine = io::make_memory_engine();
  const auto target = [&](const char* uri) {
    return io::Opened{engine.get(), std::move(*engine->open(*Uri::parse(uri), io::kRead | io::kWrite))};
  };
  EXPECT_EQ(arrays->open(target("mem://a?size=0&limit=4096"), 4).error().code(), Code::invalid_arg);
  EXPECT_EQ(arrays->open(target("mem://b?size=4096"), 3).error().code(), Code::invalid_arg);
}

INSTANTIATE_TEST_SUITE_P(All, ArraysTest,
                         ::testing::Values(Way{"cpu", Miss::wait, true}, Way{"cpu", Miss::wait},
                                           Way{"cpu", Miss::yield}, Way{"vulkan", Miss::wait},
                                           Way{"vulkan", Miss::yield}, Way{"cuda", Miss::wait},
                                           Way{"cuda", Miss::yield},
                                           Way{"cpu", Miss::wait, false, Place::device},
                                           Way{"cpu", Miss::yield, false, Place::device},
                                           Way{"vulkan", Miss::yield, false, Place::device},
                                           Way{"cuda", Miss::wait, false, Place::host},
                                           Way{"cuda", Miss::yield, false, Place::host}),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace gpuio::paging
