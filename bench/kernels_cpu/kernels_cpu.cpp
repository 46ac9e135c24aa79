// How kernels run on the CPU against loops written by hand, on one thread: native execution and the blocked
// interpreter, in the first cache and from DRAM. Contenders take turns in one run, all on verified data. Time
// is the thread's own processor time, so that a busy machine does not punish whoever runs longer at a time.
//
//   bench_kernels_cpu --pairs N [--smoke] [--only KERNEL]
//
// A workgroup for the thread, whose lanes stride over all elements; or an element a lane.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>

#include "bench/report.hpp"
#include "gpu/cpu/blocked.hpp"
#include "gpu/cpu/native.hpp"
#include "kernels.hpp"

namespace gpuio::bench {
namespace {

double thread_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

// What all kernels read and write. `bytes` is for the histogram.
struct Data {
  u32 n;
  std::vector<f32> x, start, y, sums;
  std::vector<u8> bytes;
  std::vector<u32> counts;
  explicit Data(u32 elements) : n(elements), x(n), start(n), y(n), sums(n / 256 + 2), bytes(n), counts(256) {
    for (u32 i = 0; i < n; ++i) {
      const u32 random = i * 2654435761u;
      x[i] = f32(random >> 8) / f32(1 << 24);
      start[i] = f32(i % 100);
      bytes[i] = u8(random >> 13);
    }
  }
  // Outputs as before a first run.
  void reset() {
    y = start;
    std::ranges::fill(sums, 0.0f);
    std::ranges::fill(counts, 0u);
  }
};

gpu::Argument scalar(u64 bits) { return {bits, 0}; }
template <class T>
gpu::Argument buffer(std::vector<T>& v) {
  return {reinterpret_cast<std::uintptr_t>(v.data()), v.size()};
}

struct KernelCase {
  View kernel;
  gpu::Native native;
  std::function<std::vector<gpu::Argument>(Data&)> arguments;
  std::function<void(Data&)> loop;
  std::function<std::vector<f64>(const Data&)> result;  // what must agree
  f64 target = 0;     // at most so many times the loop, from memory; 0: none
  f64 tolerance = 0;  // where sums are taken in another order
};

constexpr f32 kA = 0.66f;

std::vector<KernelCase> cases() {
  const auto y = [](const Data& d) { return std::vector<f64>(d.y.begin(), d.y.end()); };
  const auto counts = [](const Data& d) { return std::vector<f64>(d.counts.begin(), d.counts.end()); };
  const auto sum = [](const Data& d) {
    f64 total = 0;
    for (const f32 s : d.sums) total += f64(s);
    return std::vector<f64>{total};
  };
  const auto x_to_y = [](Data& d) {
    return std::vector{scalar(to_bits(kA)), buffer(d.x), buffer(d.y), scalar(d.n)};
  };
  using gpu::cpu::make_native;
  return {
      {saxpy.view(), make_native(saxpy), x_to_y, [](Data& d) { saxpy_loop(kA, d.x.data(), d.y.data(), d.n); },
       y, 1.2},
      {triad.view(), make_native(triad),
       [](Data& d) {
         return std::vector{scalar(to_bits(kA)), buffer(d.x), buffer(d.start), buffer(d.y), scalar(d.n)};
       },
       [](Data& d) { triad_loop(kA, d.x.data(), d.start.data(), d.y.data(), d.n); }, y, 1.2},
      {reduce.view(), make_native(reduce),
       [](Data& d) { return std::vector{buffer(d.x), buffer(d.sums), scalar(d.n)}; },
       [](Data& d) { d.sums[0] = reduce_loop(d.x.data(), d.n); }, sum, 1.2, 1e-3},
      {polynomial.view(), make_native(polynomial), x_to_y,
       [](Data& d) { polynomial_loop(kA, d.x.data(), d.y.data(), d.n); }, y},
      {histogram.view(), make_native(histogram),
       [](Data& d) { return std::vector{buffer(d.bytes), buffer(d.counts), scalar(d.n)}; },
       [](Data& d) { histogram_loop(d.bytes.data(), d.counts.data(), d.n); }, counts},
      {branches.view(), make_native(branches), x_to_y,
       [](Data& d) { branches_loop(kA, d.x.data(), d.y.data(), d.n); }, y},
  };
}

// A launch, workgroup after workgroup.
std::function<Status()> launch(const KernelCase& c, const gpu::Native& native, Data& d, u32 groups) {
  return [&native, groups, arguments = c.arguments(d),
          shared = std::vector<u64>(shared_bytes(c.kernel) / 8 + 1)]() mutable -> Status {
    for (u32 g = 0; g < groups; ++g)
      if (Status s = native.run({.arguments = arguments,
                                 .group = {g, 0, 0},
                                 .groups = {groups, 1, 1},
                                 .shared = std::as_writable_bytes(std::span(shared)),
                                 .data = native.data.get()});
          !s)
        return s;
    return {};
  };
}

bool agree(const std::vector<f64>& a, const std::vector<f64>& b, f64 tolerance) {
  return std::ranges::equal(a, b, [&](f64 p, f64 q) { return std::fabs(p - q) <= tolerance * std::fabs(q); });
}

void compare(Report& report, const KernelCase& c, Data& d, std::string_view where, bool one_group) {
  auto blocked = gpu::cpu::make_blocked(c.kernel);
  if (!blocked) die(blocked.error().message());
  const u32 groups = one_group ? 1 : (d.n + 255) / 256;
  d.reset();
  c.loop(d);
  const std::vector<f64> want = c.result(d);
  // In cache the work repeats within one measurement, so that the clock does not matter.
  const u32 repeats = report.smoke() ? 1 : std::max(1u, (1u << 17) / d.n);
  const auto timed = [&](std::string_view name, std::function<Status()> run) {
    return [&, name, run = std::move(run)] {
      d.reset();
      if (Status s = run(); !s) die(s.message());
      if (!agree(c.result(d), want, c.tolerance))
        die(fmt::format("{}, {}: {} differs from the loop", c.kernel.name, where, name));
      const double start = thread_ns();
      for (u32 r = 0; r < repeats; ++r) (void)run();
      return (thread_ns() - start) / repeats / d.n;
    };
  };
  Case& row = report.add(
      fmt::format("{}, {}, {}", c.kernel.name, where, one_group ? "one workgroup" : "a lane an element"),
      "ns/element", Better::less);
  if (c.target && d.n > 2048 && one_group) row.target("loop", c.target);
  row.note("one thread; the loop is written by hand, the compiler vectorises both");
  row.sample(report, {{"ours", timed("ours", launch(c, c.native, d, groups))},
                      {"loop", timed("loop", [&] { return c.loop(d), Status(); })},
                      {"interpreted", timed("interpreted", launch(c, *blocked, d, groups))}});
}

}  // namespace
}  // namespace gpuio::bench

int main(int argc, char** argv) {
  using namespace gpuio::bench;
  Report report(argc, argv);
  std::string_view only;
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  Data cache(2048), memory(report.smoke() ? 1u << 16 : 16u << 20);
  for (const KernelCase& c : cases()) {
    if (!only.empty() && only != c.kernel.name) continue;
    compare(report, c, cache, "in cache", true);
    compare(report, c, memory, "from memory", true);
    compare(report, c, memory, "from memory", false);
  }
  return report.print();
}
