// How kernels run on the CPU against loops written by hand, on one thread: native execution and the blocked
// interpreter, in cache and from DRAM. Contenders take turns in one run; results are compared bit by bit.
// Time is the thread's own processor time, so that a busy machine does not punish whoever runs longer at a
// time.
//
//   kernels_cpu [--seconds S]     JSON on standard output: median ns an element, and the ratio to the loop
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
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

struct Contender {
  std::string name;
  std::function<Status(f32 a, const f32* x, f32* y, u32 n)> run;
  std::vector<double> ns{};
};

// Workgroups one after the other, 4096 elements each, as a launch with a grid of that size would.
std::function<Status(f32, const f32*, f32*, u32)> over_groups(gpu::Native native) {
  return [native](f32 a, const f32* x, f32* y, u32 n) -> Status {
    const gpu::Argument arguments[] = {{to_bits(a), 0},
                                       {reinterpret_cast<std::uintptr_t>(x), n},
                                       {reinterpret_cast<std::uintptr_t>(y), n},
                                       {n, 0}};
    const u32 groups = (n + 4095) / 4096;
    for (u32 g = 0; g < groups; ++g)
      if (Status s = native.run({.arguments = arguments,
                                 .group = {g, 0, 0},
                                 .groups = {groups, 1, 1},
                                 .shared = {},
                                 .data = native.data.get()});
          !s)
        return s;
    return {};
  };
}

double median(std::vector<double> v) {
  std::ranges::nth_element(v, v.begin() + std::ptrdiff_t(v.size() / 2));
  return v[v.size() / 2];
}

// One kernel on one size: an object of the output, or nothing when a result differs.
template <class K>
Result<std::string> compare(K kernel, Loop loop, u32 n, double seconds) {
  auto blocked = gpu::cpu::make_blocked(kernel.view());
  if (!blocked) return fail(std::move(blocked.error()));
  Contender contenders[] = {
      {"loop", [loop](f32 a, const f32* x, f32* y, u32 m) { return loop(a, x, y, m), Status(); }},
      {"native", over_groups(gpu::cpu::make_native(kernel))},
      {"blocked", over_groups(std::move(*blocked))}};
  std::vector<f32> x(n), start(n), want(n), y(n);
  for (u32 i = 0; i < n; ++i) x[i] = f32(i * 2654435761u >> 8) / f32(1 << 24), start[i] = f32(i % 100);
  want = start;
  loop(0.66f, x.data(), want.data(), n);
  // In cache the work repeats within one measurement, so that the clock does not matter.
  const u32 repeats = std::max(1u, (1u << 18) / n);
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  for (int round = 0; round < 3 || Clock::now() < end; ++round)
    for (Contender& c : contenders) {
      y = start;
      if (Status s = c.run(0.66f, x.data(), y.data(), n); !s) return fail(std::move(s));
      if (std::memcmp(y.data(), want.data(), n * sizeof(f32)) != 0)
        return fail(Code::general, "{} of {}: differs from the loop", c.name, kernel.view().name);
      const double t = thread_ns();
      for (u32 r = 0; r < repeats; ++r) (void)c.run(0.66f, x.data(), y.data(), n);
      c.ns.push_back((thread_ns() - t) / repeats / n);
    }
  const double base = median(contenders[0].ns);
  std::string out = fmt::format(R"({{"kernel": "{}", "elements": {}, "rounds": {})", kernel.view().name, n,
                                contenders[0].ns.size());
  for (const Contender& c : contenders)
    out += fmt::format(R"(, "{}_ns": {:.4f}, "{}_ratio": {:.2f})", c.name, median(c.ns), c.name,
                       median(c.ns) / base);
  return out + "}";
}

int run(double seconds) {
  constexpr u32 kCache = 4096, kMemory = 16 << 20;
  const std::function<Result<std::string>()> all[] = {
      [=] { return compare(saxpy, saxpy_loop, kCache, seconds); },
      [=] { return compare(saxpy, saxpy_loop, kMemory, seconds); },
      [=] { return compare(polynomial, polynomial_loop, kCache, seconds); },
      [=] { return compare(branches, branches_loop, kCache, seconds); },
  };
  std::string rows;
  for (const auto& one : all) {
    auto row = one();
    if (!row) return fmt::print(stderr, "{}\n", row.error().message()), 1;
    rows += (rows.empty() ? "\n  " : ",\n  ") + *row;
  }
  fmt::print("{{\"bench\": \"kernels_cpu\", \"threads\": 1, \"compiler\": \"{}\", \"results\": [{}\n]}}\n",
             __VERSION__, rows);
  return 0;
}

}  // namespace
}  // namespace gpuio::bench

int main(int argc, char** argv) {
  double seconds = 2;
  for (int i = 1; i + 1 < argc; i += 2)
    if (std::strcmp(argv[i], "--seconds") == 0) seconds = std::atof(argv[i + 1]);
  return gpuio::bench::run(seconds);
}
