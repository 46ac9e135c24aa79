// Kernels that run natively on the CPU device over on-demand arrays, against the same kernels interpreted and
// against plain arrays: small caches, several workers, lanes under masks, several arrays at once, faults;
// with bytes at hand, which workers bring themselves, and without.
#include <gpuio/kernel.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "base/uri.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cpu/native.hpp"
#include "paging/arrays.hpp"

namespace gpuio::paging {
namespace {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

// In order, tile by tile, through shared memory and barriers; 20 lanes, so that the last chunk is not full.
constexpr auto tiles = kernel<"tiles", 20>([](Ctx k, OnDemand<u32> a, Out<u64> sums, Val<u32> tile) {
  auto t = k.tid();
  auto part = k.shared<u64, 20>();
  auto total = a.length().as<u32>();
  auto sum = k.var<u64>(0);
  for (auto begin : k.range(k.cta() * tile, total, k.nctas() * tile)) {
    for (auto i : k.range(begin + t, min(begin + tile, total), 20)) sum += a[i].as<u64>();
    part[t] = sum;
    k.barrier();
    GPU_IF(t == 0) {
      auto all = k.var<u64>(0);
      for (auto l : k.range(0u, 20u)) all += part[l];
      sums[k.cta()] = all;
    }
    k.barrier();
  }
});

// Under masks, with two arrays at once, hints, and what the lane's sticky status says in the end.
constexpr auto mixed = kernel<"mixed", 24>(
    [](Ctx k, OnDemand<u16> a, OnDemand<u64> b, In<u64> index, Out<u64> out, Out<u32> status, Val<u32> n) {
      auto stride = k.nctas() * 24;
      for (auto i : k.range(k.global_id(), n, stride)) {
        auto value = k.var<u64>(i.as<u64>());
        auto at = index[i];
        b.prefetch(at);
        GPU_IF(at % 3 != 0) {
          value += a[at].as<u64>();
          GPU_IF(at % 5 == 0) value += b[at % 7].as<u64>() * 3;
        } else {
          value ^= b[at];
        }
        GPU_WHILE(k, (value & 7) != 0) {
          value += b[value % 11 + i.as<u64>()] | 1;
          GPU_IF(value % 13 == 0) k.break_();
        }
        out[i] = value;
      }
      status[k.global_id()] = k.lane_status();
    });

// Places that nobody can foretell, in both arrays, by every lane: computed ahead of the loads. Some are past
// the end, where the next array's pages begin, or behind all pages.
constexpr auto gather = kernel<"gather", 40>(
    [](Ctx k, OnDemand<u16> a, OnDemand<u64> b, In<u64> index, Out<u64> out, Out<u32> status, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 40)) {
        auto at = index[i];
        auto first = a.load(at);
        out[i] = first.value.as<u64>() + b[at % 128 + at % 16 / 15 * 2400] * 5;
        status[i] = first.status;
      }
    });

// Rows of both arrays from places that nobody can foretell: the workgroup's lanes take neighbours, all chunks
// at each trip, so that one look at the windows serves them.
constexpr auto rows = kernel<"rows", 32>(
    [](Ctx k, OnDemand<u16> a, OnDemand<u64> b, In<u64> index, Out<u64> out, Out<u32> status, Val<u32> n) {
      auto t = k.tid();
      auto part = k.shared<u64, 32>();
      for (auto r : k.range(k.cta(), n, k.nctas())) {
        auto begin = index[r];
        auto sum = k.var<u64>(0);
        for (auto i : k.range(t, 160u, 32))
          sum += a[begin + i.as<u64>()].as<u64>() * 7 + b[begin / 4 + i.as<u64>()] * 5;
        part[t] = sum;
        k.barrier();
        GPU_IF(t == 0) {
          auto all = k.var<u64>(0);
          for (auto l : k.range(0u, 32u)) all += part[l] * (l * 2 + 1).as<u64>();
          out[r] = all;
        }
        k.barrier();
      }
      status[k.global_id()] = k.lane_status();
    });
static_assert(std::ranges::count(native::kFacts<decltype(rows)>.rows, true) == 1);

class NativeOnDemand : public ::testing::TestWithParam<std::tuple<unsigned, bool>> {
 protected:
  void open(std::uint64_t bytes, const CacheOptions& cache, const io::FaultOptions& faults = {}) {
    const auto [threads, at_hand] = GetParam();
    arrays_.reset();  // before the engine that its service asks
    device_ = std::move(*gpu::cpu::open({.threads = threads}));
    auto memory = io::make_memory_engine();
    const Uri uri = *Uri::parse("mem://data?size=" + std::to_string(bytes));
    bytes_ = std::move(*memory->open(uri, io::kRead | io::kWrite));
    for (std::uint64_t i = 0; i < bytes; ++i) bytes_->address()[i] = std::byte(i * 167 + (i >> 8) * 13);
    const bool faulty = faults.error_rate > 0 || faults.delay_ns_max > 0;
    if (at_hand && !faulty) engine_ = std::move(memory);
    else engine_ = std::make_unique<io::FaultEngine>(std::move(memory), faults);
    arrays_ = std::move(*Arrays::create(*device_, {.cache = cache, .service = {.depth = 16}}));
  }
  Array array(std::uint32_t element) {
    return *arrays_->open({engine_.get(), std::move(*engine_->open(*Uri::parse("mem://data"), io::kRead))},
                          element);
  }
  template <class T>
  T element(std::uint64_t i) const {
    T v;
    std::memcpy(&v, bytes_->address() + i * sizeof(T), sizeof(T));
    return v;
  }
  gpu::Buffer& buffer(std::uint64_t bytes) {
    buffers_.push_back(std::move(*device_->allocate(gpu::MemoryKind::pinned, bytes)));
    std::memset(buffers_.back()->host(), 0xcc, bytes);
    return *buffers_.back();
  }
  template <class T>
  static std::vector<T> contents(const gpu::Buffer& b) {
    std::vector<T> v(b.size() / sizeof(T));
    std::memcpy(v.data(), b.host(), v.size() * sizeof(T));
    return v;
  }

  struct Mixed {
    std::vector<std::uint64_t> out;
    std::vector<std::uint32_t> status;
    RunReport report;
  };
  Mixed run_mixed(const Array& a, const Array& b, const std::vector<std::uint64_t>& index, bool native) {
    return run_on(mixed, 6 * 24, a, b, index, native);
  }
  template <class K>
  Mixed run_on(K kernel, std::size_t statuses, const Array& a, const Array& b,
               const std::vector<std::uint64_t>& index, bool native) {
    gpu::Buffer& picks = buffer(index.size() * 8);
    std::memcpy(picks.host(), index.data(), index.size() * 8);
    gpu::Buffer &out = buffer(index.size() * 8), &status = buffer(statuses * 4);
    const gpu::Argument arguments[] = {a.argument(),
                                       b.argument(),
                                       gpu::Argument::buffer(picks, 8),
                                       gpu::Argument::buffer(out, 8),
                                       gpu::Argument::buffer(status, 4),
                                       {index.size(), 0}};
    auto report = arrays_->run({kernel.view(), gpu::cpu::make_native(kernel)}, {.groups = {6, 1, 1}},
                               arguments, {.miss = Miss::wait, .native = native});
    EXPECT_TRUE(report) << report.error().message();
    if (!report) return {};
    EXPECT_EQ(report->native, native);
    return {contents<std::uint64_t>(out), contents<std::uint32_t>(status), std::move(*report)};
  }
  Result<RunReport> run_tiles(const Array& a, std::uint32_t groups, std::uint32_t tile, RunOptions options,
                              std::vector<std::uint64_t>& sums) {
    gpu::Buffer& out = buffer(groups * 8);
    const gpu::Argument arguments[] = {a.argument(), gpu::Argument::buffer(out, 8), {tile, 0}};
    auto report = arrays_->run({tiles.view(), gpu::cpu::make_native(tiles)}, {.groups = {groups, 1, 1}},
                               arguments, options);
    sums = contents<std::uint64_t>(out);
    return report;
  }

  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<io::Engine> engine_;
  std::unique_ptr<io::Target> bytes_;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers_;
  std::unique_ptr<Arrays> arrays_;
};

TEST_P(NativeOnDemand, TilesInOrderThroughAnyCache) {
  for (const CacheOptions cache : {CacheOptions{512, 512, 1}, CacheOptions{5 * 512, 512, 8},
                                   CacheOptions{64 << 10, 512, 64}, CacheOptions{1 << 20, 4096, 64}}) {
    SCOPED_TRACE(testing::Message() << "cache " << cache.cache_bytes);
    constexpr std::uint64_t kBytes = 40'004;
    open(kBytes, cache);
    const Array a = array(4);
    std::vector<std::uint64_t> sums;
    auto report = run_tiles(a, 5, 300, {}, sums);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_TRUE(report->native) << report->choice;
    std::vector<std::uint64_t> want(5);
    for (std::uint64_t i = 0; i < kBytes / 4; ++i) want[i / 300 % 5] += element<std::uint32_t>(i);
    EXPECT_EQ(sums, want);
    if (cache.cache_bytes > 2 * kBytes) {
      EXPECT_EQ(report->pages, (kBytes - 1) / cache.page_bytes + 1);
    }
  }
}

TEST_P(NativeOnDemand, MaskedLanesAndTwoArraysAsInterpreted) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (const CacheOptions cache :
       {CacheOptions{512, 512, 1}, CacheOptions{7 * 512, 512, 4}, CacheOptions{1 << 20, 4096, 64}}) {
    SCOPED_TRACE(testing::Message() << "cache " << cache.cache_bytes);
    open(20'000, cache);
    const Array a = array(2), b = array(8);
    std::vector<std::uint64_t> index(200);
    // Some past b's end, none past a's; in runs, so that lanes share pages and part again.
    for (std::size_t i = 0; i < index.size(); ++i)
      index[i] = i % 16 ? std::min(index[i - 1] + random() % 2, a.count - 1) : random() % 2600;
    const Mixed native = run_mixed(a, b, index, true), interpreted = run_mixed(a, b, index, false);
    EXPECT_EQ(native.out, interpreted.out);
    EXPECT_EQ(native.status, interpreted.status);
  }
}

TEST_P(NativeOnDemand, FailedPagesReachTheirLanesAndTheOthersGoOn) {
  open(20'000, {16 * 512, 512, 16}, {.seed = 3, .error_rate = 0.2, .delay_polls_max = 3, .reorder = true});
  const Array a = array(2), b = array(8);
  std::vector<std::uint64_t> index(200);
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = i * 37 % 2400;
  const Mixed run = run_mixed(a, b, index, true);
  std::size_t good = 0, bad = 0;
  for (const std::uint32_t status : run.status) {
    ++(status == 0 ? good : bad);
    EXPECT_TRUE(status == 0 || status == std::uint32_t(-int(Code::io))) << status;
  }
  EXPECT_GT(bad, 0u) << "no fault reached a lane";
  EXPECT_NE(run.report.reason.find("EIO"), std::string::npos) << run.report.reason;
  // A lane without a failure has computed what it should; compared with a run without faults.
  open(20'000, {1 << 20, 512, 16});
  const Array plain_a = array(2), plain_b = array(8);
  const Mixed want = run_mixed(plain_a, plain_b, index, true);
  for (std::size_t i = 0; i < index.size(); ++i)
    if (run.status[i % 144] == 0) {
      EXPECT_EQ(run.out[i], want.out[i]) << i;
    }
}

// Far more loads than time for: once aborted, each must be answered without a wait.
TEST_P(NativeOnDemand, ATimeOutEndsALongRunWithinItsGrace) {
  static const ManualClock stopped;
  open(32 << 20, {64 << 10, 4096, 16}, {.delay_ns_max = ~std::uint64_t{0} >> 1, .clock = &stopped});
  const Array a = array(4);
  std::vector<std::uint64_t> sums;
  auto report = run_tiles(a, 4, 1024, {.timeout_ns = 30'000'000, .grace_ns = 20'000'000'000}, sums);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), Code::timeout) << report.error().message();
}

TEST_P(NativeOnDemand, PlacesComputedAhead) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (const CacheOptions cache :
       {CacheOptions{512, 512, 1}, CacheOptions{9 * 512, 512, 4}, CacheOptions{1 << 20, 512, 64}}) {
    SCOPED_TRACE(testing::Message() << "cache " << cache.cache_bytes);
    open(20'006, cache);
    // Neighbours in the page space, either way round; the last page of each is not whole.
    for (const bool a_first : {true, false}) {
      Array a, b;
      if (a_first) a = array(2);
      b = array(8);
      if (!a_first) a = array(2);
      std::vector<std::uint64_t> index(4000);
      for (auto& i : index) {
        i = random() % (a.count / 12);
        if (random() % 16 == 0) i = a.count - 1 - random() % 8;
        if (random() % 16 == 0) i = a.count + random() % 600;
        if (random() % 64 == 0) i = ~std::uint64_t{0} - random() % 600;
      }
      const Mixed native = run_on(gather, index.size(), a, b, index, true);
      const Mixed interpreted = run_on(gather, index.size(), a, b, index, false);
      EXPECT_EQ(native.out, interpreted.out);
      EXPECT_EQ(native.status, interpreted.status);
      arrays_->close(a);
      arrays_->close(b);
    }
  }
}

// Rows cross pages, begin with them, come back to pages that pins hold or held, and pass the end.
TEST_P(NativeOnDemand, RowsFromAnywhere) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (const CacheOptions cache : {CacheOptions{512, 512, 1}, CacheOptions{9 * 512, 512, 4},
                                   CacheOptions{60 * 512, 512, 16}, CacheOptions{1 << 20, 512, 64}}) {
    SCOPED_TRACE(testing::Message() << "cache " << cache.cache_bytes);
    open(80'000, cache);
    const Array a = array(2), b = array(8);
    std::vector<std::uint64_t> index(400);
    for (auto& i : index) {
      i = random() % (a.count - 160);
      if (random() % 4 == 0) i = i / 256 * 256;
      if (random() % 16 == 0) i = a.count - random() % 200;
    }
    std::vector<std::uint64_t> out(index.size());
    std::vector<std::uint32_t> status(6 * 32);
    for (std::size_t r = 0; r < index.size(); ++r)
      for (std::uint64_t i = 0; i < 160; ++i) {
        const std::uint64_t lane = i % 32, at = index[r] + i, by_four = index[r] / 4 + i;
        std::uint64_t sum = by_four < b.count ? element<std::uint64_t>(by_four) * 5 : 0;
        if (at < a.count) sum += element<std::uint16_t>(at) * std::uint64_t{7};
        else status[r % 6 * 32 + lane] = std::uint32_t(-int(Code::invalid_address));
        if (by_four >= b.count) status[r % 6 * 32 + lane] = std::uint32_t(-int(Code::invalid_address));
        out[r] += sum * (lane * 2 + 1);
      }
    const Mixed native = run_on(rows, status.size(), a, b, index, true);
    EXPECT_EQ(native.out, out);
    EXPECT_EQ(native.status, status);
  }
}

// Of two arrays one is at hand at most.
TEST_P(NativeOnDemand, WhatIsNotAtHandIsAskedFor) {
  open(20'000, {1 << 20, 512, 16});
  auto memory = io::make_memory_engine();
  auto far = std::move(*memory->open(*Uri::parse("mem://far?size=20000"), io::kRead | io::kWrite));
  std::memcpy(far->address(), bytes_->address(), 20'000);
  io::FaultEngine slow(std::move(memory), {.seed = 5, .delay_polls_max = 3, .reorder = true});
  const Array a = array(2);
  const Array b = *arrays_->open({&slow, std::move(*slow.open(*Uri::parse("mem://far"), io::kRead))}, 8);
  std::vector<std::uint64_t> index(200);
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = i * 37 % 2600;
  const Mixed native = run_mixed(a, b, index, true), interpreted = run_mixed(a, b, index, false);
  EXPECT_EQ(native.out, interpreted.out);
  EXPECT_EQ(native.status, interpreted.status);
  EXPECT_EQ(native.report.pages, arrays_->counters(a).brought.value() + arrays_->counters(b).brought.value() -
                                     interpreted.report.pages);
  arrays_->close(b);
}

// Two pins a table, so that neighbours but one take each other's place.
TEST(NativeWindow, EndsWithThePinThatKeepsIt) {
  const auto device = std::move(*gpu::cpu::open({.threads = 1}));
  const auto cache = std::move(*Cache::create(*device, {.cache_bytes = 64 * 512, .page_bytes = 512}));
  for (std::uint64_t page = 0; page < 8; ++page) {
    const std::uint32_t frame = *cache->claim(page);
    std::memset(cache->frame(frame), int(page + 1), 512);
    cache->publish(frame);
  }
  alignas(64) std::byte memory[1024];
  native::PinTables pins;
  ASSERT_LE(native::PinTables::bytes_for(1, 2), sizeof(memory));
  pins.initialize(memory, 1, 2);
  const native::PageTable table{.words = cache->words(), .page_shift = 9, .pins = &pins};
  native::OnDemandArray arrays[2] = {{.length = 8 * 512, .element_shift = 9},
                                     {.length = 8 * 512, .element_shift = 9, .salt = std::uint64_t{1} << 58}};
  native::Worker worker(table, arrays, 2, 0);
  const auto read = [&](native::OnDemandArray& a, std::uint64_t index) {
    native::Accesses<std::uint8_t> x{};
    x.index[0] = index;
    EXPECT_FALSE(worker.fetch(a, x, 1));
    return x.value[0];
  };
  EXPECT_EQ(read(arrays[0], 2 * 512 + 5), 3);
  EXPECT_EQ(arrays[0].first, 2u * 512);
  EXPECT_EQ(arrays[0].frame, native::PinTable::kNone) << "the table has its pin";
  EXPECT_TRUE(worker.window_pinned(arrays[0], 2 * 512 + 504, 1));
  EXPECT_FALSE(worker.window_pinned(arrays[0], 2 * 512 + 505, 1)) << "eight in a row leave the page";
  EXPECT_FALSE(worker.window_pinned(arrays[0], 3 * 512, 1)) << "nobody has read there";
  EXPECT_NE(arrays[0].count, 0u);
  EXPECT_EQ(read(arrays[1], 5 * 512 + 1), 6);  // the other pin
  EXPECT_NE(arrays[0].count, 0u);
  EXPECT_EQ(read(arrays[1], 6 * 512 + 1), 7);  // in place of page 2
  EXPECT_EQ(arrays[0].count, 0u);
  EXPECT_FALSE(worker.window_pinned(arrays[0], 2 * 512 + 5, 1));
  // Who begins with a page's first element has a pin of its own.
  EXPECT_EQ(read(arrays[0], 4 * 512), 5);
  EXPECT_NE(arrays[0].frame, native::PinTable::kNone);
  EXPECT_TRUE(worker.window_pinned(arrays[1], 6 * 512 + 9, 1));
}

INSTANTIATE_TEST_SUITE_P(Workers, NativeOnDemand,
                         ::testing::Combine(::testing::Values(1u, 4u), ::testing::Bool()), [](const auto& p) {
                           return std::to_string(std::get<0>(p.param)) +
                                  (std::get<1>(p.param) ? "_at_hand" : "_asked_for");
                         });

}  // namespace
}  // namespace gpuio::paging
