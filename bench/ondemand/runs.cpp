// What a small run costs when its pages are there and its kernel has run before: by way of missing, beside a
// launch of the same kernel over a plain array.
#include <cstring>

#include "base/clock.hpp"
#include "base/uri.hpp"
#include "engines/memory/memory.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cpu/native.hpp"
#include "kernels.hpp"
#include "launch/compile.hpp"
#include "ondemand.hpp"
#include "paging/arrays.hpp"

namespace gpuio::bench {
namespace {

template <class Array>
inline constexpr auto few_body =
    [](Ctx k, Array words, Out<u32> out) { out[k.global_id()] = words[k.global_id() * 16]; };
inline constexpr auto few_plain = kernel<"few_plain", 64>(few_body<In<u32>>);
inline constexpr auto few_on_demand = kernel<"few_on_demand", 64>(few_body<OnDemand<u32>>);

class Runs {
 public:
  Runs() {
    device_ = take(gpu::cpu::open({}));
    engine_ = io::make_memory_engine();
    const Uri uri = take(Uri::parse("mem://words?size=65536"));
    auto target = take(engine_->open(uri, io::kRead | io::kWrite));
    plain_ = take(device_->allocate(gpu::MemoryKind::pinned, kBytes));
    out_ = take(device_->allocate(gpu::MemoryKind::pinned, kLanes * 4));
    for (u32 w = 0; w < kBytes / 4; ++w) {
      const u32 word = w * 2654435761u;
      std::memcpy(target->address() + w * 4, &word, 4);
      std::memcpy(plain_->host() + w * 4, &word, 4);
    }
    arrays_ = take(paging::Arrays::create(*device_, {.cache = {.cache_bytes = 1 << 20}, .service = {}}));
    array_ = take(arrays_->open({engine_.get(), std::move(target)}, 4));
    const gpu::Native native = gpu::cpu::make_native(few_plain);
    loaded_ =
        take(device_->load({.name = "few_plain", .block = {64, 1, 1}, .parameters = 2, .native = native}));
    stream_ = take(device_->stream());
  }
  // Microseconds of one, in a row of some.
  template <class One>
  double row(const One& one) {
    constexpr int kRow = 50;
    std::memset(out_->host(), 0, out_->size());
    const u64 start = SteadyClock().now_ns();
    for (int i = 0; i < kRow; ++i) one();
    const double us = double(SteadyClock().now_ns() - start) / 1e3 / kRow;
    for (u32 l = 0; l < kLanes; ++l) {
      u32 got;
      std::memcpy(&got, out_->host() + l * 4, 4);
      if (got != l * 16 * 2654435761u) die(fmt::format("lane {} has another word", l));
    }
    return us;
  }
  double run(paging::Miss miss, bool native) {
    const gpu::Argument arguments[] = {array_.argument(), gpu::Argument::buffer(*out_, 4)};
    return row([&] {
      take(arrays_->run({few_on_demand.view(), gpu::cpu::make_native(few_on_demand)},
                        {.groups = {kGroups, 1, 1}}, arguments, {.miss = miss, .native = native}));
    });
  }
  double launch() {
    const gpu::Argument arguments[] = {gpu::Argument::buffer(*plain_, 4), gpu::Argument::buffer(*out_, 4)};
    return row([&] {
      check(stream_->launch(*loaded_, {.groups = {kGroups, 1, 1}}, arguments));
      check(stream_->wait(stream_->last(), 10'000'000'000));
    });
  }

 private:
  static constexpr u32 kGroups = 4, kLanes = kGroups * 64, kBytes = 65536;
  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<io::Engine> engine_;
  std::unique_ptr<gpu::Buffer> plain_, out_;
  std::unique_ptr<paging::Arrays> arrays_;
  paging::Array array_;
  std::unique_ptr<gpu::Kernel> loaded_;
  std::unique_ptr<gpu::Stream> stream_;
};

}  // namespace

void run_cases(Report& report) {
  Runs runs;
  Case& c = report.add("a small run, all pages there", "us", Better::less);
  c.sample(report, {{"ours", [&] { return runs.run(paging::Miss::wait, true); }},
                    {"wait, interpreted", [&] { return runs.run(paging::Miss::wait, false); }},
                    {"yield, interpreted", [&] { return runs.run(paging::Miss::yield, false); }},
                    {"launch of a plain kernel", [&] { return runs.launch(); }}});
  c.note("4 workgroups of 64 lanes; a run starts and ends the answering of misses, a launch does not");
}

}  // namespace gpuio::bench
