// Warm array[i]: all pages are in the cache. One thread runs kernels, over data beyond L2 and beyond L3. Time
// is the thread's own processor time, so that a busy machine does not punish whoever runs longer at a time.
#include <bit>
#include <cstring>
#include <ctime>
#include <random>

#include "gpu/cpu/cpu.hpp"
#include "gpu/cpu/native.hpp"
#include "kernels.hpp"
#include "ondemand.hpp"
#include "paging/cache.hpp"

namespace gpuio::bench {
namespace {

double thread_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

// The same words as a plain array and as an on-demand one, all of whose pages are in a cache.
class Warm {
 public:
  explicit Warm(u64 bytes) : count_(bytes / 4) {
    device_ = take(gpu::cpu::open({.threads = 1}));
    // A page may be in eight ways only: with twice the frames every page has its own.
    cache_ = take(paging::Cache::create(*device_, {.cache_bytes = 2 * bytes}));
    data_ = &buffer(bytes);
    std::mt19937_64 random(1);
    for (u64 i = 0; i < bytes; i += 8) {
      const u64 word = random();
      std::memcpy(data_->host() + i, &word, 8);
    }
    const u64 page_bytes = cache_->page_bytes();
    for (u64 page = 0; page < bytes / page_bytes; ++page) {
      const u32 frame = take(cache_->claim(page));
      std::memcpy(cache_->frame(frame), data_->host() + page * page_bytes, page_bytes);
      cache_->publish(frame);
    }
    // Nobody answers requests here, so there may be none.
    for (u64 page = 0; page < bytes / page_bytes; ++page)
      if (!cache_->find(page)) die(fmt::format("page {} is not in the cache", page));
    gpu::Buffer& pins = buffer(kernel::native::PinTables::bytes_for(1, cache_->frames()));
    pins_.initialize(pins.host(), 1, cache_->frames());
    table_ = {.words = cache_->words(), .page_shift = u32(std::countr_zero(page_bytes)), .pins = &pins_};
  }

  const u32* words() const { return reinterpret_cast<const u32*>(data_->host()); }
  u64 count() const { return count_; }
  gpu::Buffer& buffer(u64 bytes) {
    return *buffers_.emplace_back(take(device_->allocate(gpu::MemoryKind::pinned, bytes)));
  }
  gpu::Argument plain() const { return gpu::Argument::buffer(*data_, 4); }
  gpu::Argument on_demand() const { return {0, count_}; }  // from page 0 on

  // ns of a kernel, after the sum of all its lanes' sums was checked.
  template <class K>
  double run(K kernel, u32 groups, gpu::Argument words, const gpu::Buffer* picks, u32 want) {
    const gpu::Native native = gpu::cpu::make_native(kernel);
    std::vector<u32> sums(groups * kernel.view().lanes(), 0xcccccccc);
    std::vector<gpu::Argument> arguments{words};
    if (picks) arguments.push_back(gpu::Argument::buffer(*picks, 4));
    arguments.push_back({reinterpret_cast<std::uintptr_t>(sums.data()), sums.size()});
    arguments.push_back({reinterpret_cast<std::uintptr_t>(&table_), 0});
    const double start = thread_ns();
    for (u32 g = 0; g < groups; ++g)
      check(native.run({.arguments = arguments, .group = {g, 0, 0}, .groups = {groups, 1, 1}, .shared = {}}));
    const double ns = thread_ns() - start;
    u32 sum = 0;
    for (const u32 s : sums) sum += s;
    if (sum != want) die(fmt::format("{}: the sum differs from the loop's", kernel.view().name));
    return ns;
  }

 private:
  u64 count_;
  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<paging::Cache> cache_;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers_;
  gpu::Buffer* data_ = nullptr;
  kernel::native::PinTables pins_;
  kernel::native::PageTable table_;
};

using Loop = u32 (*)(const u32* words, const u32* picks, u64 n);

// One kernel on demand and plain, and the loop, over n picks of `words_a_pick` words.
template <class OnDemandKernel, class PlainKernel>
void compare(Report& report, Warm& warm, std::string name, double target, OnDemandKernel on_demand,
             PlainKernel plain, Loop loop, u32 groups, const gpu::Buffer* picks, u64 n, u32 words_a_pick) {
  const u32* const pick = picks ? reinterpret_cast<const u32*>(picks->host()) : nullptr;
  const u32 want = loop(warm.words(), pick, n);
  const double read = double(n) * words_a_pick;
  const auto by_hand = [&] {
    const double start = thread_ns();
    if (loop(warm.words(), pick, n) != want) die("the loop's sum differs");
    return (thread_ns() - start) / read;
  };
  Case& c = report.add(std::move(name), "ns/word", Better::less);
  c.target("loop", target);
  c.note("64 KiB pages, 4-byte words, one thread; the loop is written by hand over a plain array");
  // Twice each, the second one counts: the loop and the plain kernel read the same array, so whoever came
  // second found it in the processor's cache.
  const auto again = [](auto one) { return [one] { return one(), one(); }; };
  c.sample(
      report,
      {{"ours", again([&] { return warm.run(on_demand, groups, warm.on_demand(), picks, want) / read; })},
       {"plain kernel", again([&] { return warm.run(plain, groups, warm.plain(), picks, want) / read; })},
       {"loop", again(by_hand)}});
}

const gpu::Buffer* random_picks(Warm& warm, u64 n, u64 below) {
  gpu::Buffer& picks = warm.buffer(n * 4);
  std::mt19937_64 random(2);
  for (u64 i = 0; i < n; ++i) reinterpret_cast<u32*>(picks.host())[i] = u32(random() % below);
  return &picks;
}

}  // namespace

void warm_cases(Report& report) {
  for (const u64 mebibytes : report.smoke() ? std::vector<u64>{4} : std::vector<u64>{16, 128}) {
    Warm warm(mebibytes << 20);
    const std::string size = fmt::format(", {} MiB", mebibytes);
    const u32 groups = report.smoke() ? 4 : 128;
    compare(
        report, warm, "in order" + size, 1.5, tile_on_demand, tile_plain,
        [](const u32* words, const u32*, u64 n) { return sum_loop(words, n); },
        u32(warm.count() / kTileWords), nullptr, warm.count(), 1);
    const u64 picks = u64(groups) * kPicksAGroup, rows = u64(groups) * kRowsAGroup;
    compare(report, warm, "random words" + size, 2.5, pick_on_demand, pick_plain, pick_loop, groups,
            random_picks(warm, picks, warm.count()), picks, 1);
    compare(report, warm, "random 512-byte rows" + size, 2.5, rows_on_demand, rows_plain, rows_loop, groups,
            random_picks(warm, rows, warm.count() / kRowWords), rows, kRowWords);
  }
}

}  // namespace gpuio::bench
