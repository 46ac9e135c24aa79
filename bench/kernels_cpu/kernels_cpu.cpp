// How kernels run on the CPU against loops written by hand, on one thread: native execution and the blocked
// interpreter, in the first cache and from DRAM. Contenders take turns in one run, all on verified data. Time
// is the thread's own processor time, so that a busy machine does not punish whoever runs longer at a time.
//
//   kernels_cpu [--seconds S] [--memory ELEMENTS] [--only KERNEL]
//
// JSON on standard output, for bench/compare.py: a case is a kernel, where its data is and how it is
// launched; figures are million elements a second, `ours` being native execution. "times_loop": how many
// times the loop's time native execution takes, the median of the rounds.
//
// Launches: `one`, a workgroup for the thread, whose lanes stride over all elements; `lane`, an element a
// lane.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>

#include "gpu/cpu/blocked.hpp"
#include "gpu/cpu/native.hpp"
#include "kernels.hpp"

namespace gpuio::bench {
namespace {

using Clock = std::chrono::steady_clock;

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

struct Case {
  View kernel;
  gpu::Native native;
  std::function<std::vector<gpu::Argument>(Data&)> arguments;
  std::function<void(Data&)> loop;
  std::function<std::vector<f64>(const Data&)> result;  // what must agree
  f64 tolerance = 0;                                    // where sums are taken in another order
};

constexpr f32 kA = 0.66f;

std::vector<Case> cases() {
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
       y},
      {triad.view(), make_native(triad),
       [](Data& d) {
         return std::vector{scalar(to_bits(kA)), buffer(d.x), buffer(d.start), buffer(d.y), scalar(d.n)};
       },
       [](Data& d) { triad_loop(kA, d.x.data(), d.start.data(), d.y.data(), d.n); }, y},
      {reduce.view(), make_native(reduce),
       [](Data& d) { return std::vector{buffer(d.x), buffer(d.sums), scalar(d.n)}; },
       [](Data& d) { d.sums[0] = reduce_loop(d.x.data(), d.n); }, sum, 1e-3},
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
std::function<Status()> launch(const Case& c, const gpu::Native& native, Data& d, u32 groups) {
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

f64 median(std::vector<f64> v) {
  std::ranges::nth_element(v, v.begin() + std::ptrdiff_t(v.size() / 2));
  return v[v.size() / 2];
}

struct Contender {
  std::string_view name;
  std::function<Status()> run;
  std::vector<f64> ns{};
};

// One case: a member of "cases", or why not.
Result<std::string> compare(const Case& c, Data& d, std::string_view where, bool one_group, double seconds) {
  auto blocked = gpu::cpu::make_blocked(c.kernel);
  if (!blocked) return fail(std::move(blocked.error()));
  const u32 groups = one_group ? 1 : (d.n + 255) / 256;
  Contender contenders[] = {{"loop", [&] { return c.loop(d), Status(); }},
                            {"ours", launch(c, c.native, d, groups)},
                            {"blocked", launch(c, *blocked, d, groups)}};
  d.reset();
  c.loop(d);
  const std::vector<f64> want = c.result(d);
  // In cache the work repeats within one measurement, so that the clock does not matter.
  const u32 repeats = std::max(1u, (1u << 17) / d.n);
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (int round = 0; round < 3 || Clock::now() < end; ++round)
    for (Contender& one : contenders) {
      d.reset();
      if (Status s = one.run(); !s) return fail(std::move(s));
      if (!agree(c.result(d), want, c.tolerance))
        return fail(Code::general, "{}, {}: {} differs from the loop", c.kernel.name, where, one.name);
      const double t = thread_ns();
      for (u32 r = 0; r < repeats; ++r) (void)one.run();
      one.ns.push_back((thread_ns() - t) / repeats / d.n);
    }
  std::string out = fmt::format(R"("{} {} {}": {{)", c.kernel.name, where, one_group ? "one" : "lane");
  for (const Contender& one : contenders) {
    out += fmt::format(R"("{}": [)", one.name);
    for (const f64& ns : one.ns) out += fmt::format("{}{:.1f}", &ns == one.ns.data() ? "" : ", ", 1e3 / ns);
    out += "], ";
  }
  std::vector<f64> times;
  for (std::size_t r = 0; r < contenders[0].ns.size(); ++r)
    times.push_back(contenders[1].ns[r] / contenders[0].ns[r]);
  return out + fmt::format(R"("elements": {}, "loop_ns": {:.3f}, "times_loop": {:.2f}}})", d.n,
                           median(contenders[0].ns), median(times));
}

int run(double seconds, u32 memory, std::string_view only) {
  Data cache(2048), dram(memory);
  std::string rows;
  for (const Case& c : cases()) {
    if (!only.empty() && only != c.kernel.name) continue;
    struct Where {
      Data& data;
      std::string_view name;
      bool one_group;
    };
    for (const Where& w : {Where{cache, "l1", true}, Where{dram, "dram", true}, Where{dram, "dram", false}}) {
      auto row = compare(c, w.data, w.name, w.one_group, seconds);
      if (!row) return fmt::print(stderr, "{}\n", row.error().message()), 1;
      rows += (rows.empty() ? "\n  " : ",\n  ") + *row;
    }
  }
  fmt::print("{{\"bench\": \"kernels_cpu\", \"threads\": 1, \"compiler\": \"{}\", \"cases\": {{{}\n}}}}\n",
             __VERSION__, rows);
  return 0;
}

}  // namespace
}  // namespace gpuio::bench

int main(int argc, char** argv) {
  double seconds = 1;
  unsigned memory = 16u << 20;
  const char* only = "";
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--seconds") == 0) seconds = std::atof(argv[i + 1]);
    if (std::strcmp(argv[i], "--memory") == 0) memory = unsigned(std::max(256, std::atoi(argv[i + 1])));
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
  }
  return gpuio::bench::run(seconds, memory, only);
}
