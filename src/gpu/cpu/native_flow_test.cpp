// Native execution where lanes part: kernels that go every way control flow can go, against the interpreter.
#include <gmock/gmock.h>

#include <gpuio/kernel.hpp>

#include "gpu/cpu/blocked.hpp"
#include "gpu/cpu/differential.hpp"
#include "gpu/cpu/native.hpp"

namespace gpuio::gpu::cpu {
namespace {

using namespace kernel;
using gpuio::kernel::kernel;

// Breaks, continues and returns of some lanes, in loops in loops; 20 lanes: the last chunk is not full.
constexpr auto jumps = kernel<"jumps", 20>([](Ctx k, In<u32, 40> x, Out<u32, 40> out) {
  auto i = k.global_id();
  auto acc = k.var(0u);
  auto n = k.var(0u);
  GPU_WHILE(k, n < 50u) {
    n += 1u;
    GPU_IF((x[i] + n) % 7u == 0u) k.continue_();
    for (auto j : k.range(0u, n)) {
      GPU_IF(j * j > x[i] % 64u) k.break_();
      acc += j ^ n;
    }
    GPU_IF(acc > 2000u + i * 10u) k.break_();
    GPU_IF(x[i] % 11u == 3u) {
      GPU_IF(n == 20u) {
        out[i] = acc;
        k.return_();
      }
    }
  }
  out[i] = acc + n;
});

// A loop that all lanes share, with barriers in it, and one that the workgroup leaves together.
constexpr auto rounds = kernel<"rounds", 24>([](Ctx k, In<u32, 48> x, Out<u32, 48> out, Val<u32> n) {
  auto t = k.tid();
  auto tile = k.shared<u32, 24>();
  auto v = k.var(x[k.global_id()]);
  for (auto round : k.range(0u, n)) {
    tile[t] = v + round;
    k.barrier();
    GPU_IF(t % 3u == 0u) {
      v += tile[(t + 5u) % 24u];
    } else {
      v = v ^ tile[23u - t];
    }
    k.barrier();
  }
  out[k.global_id()] = v;
});

template <class K>
void expect_like_interpreter(K, std::array<u32, 3> grid, RandomData data) {
  const View k = K::view();
  RandomData want = data, blocked = data;
  const Outcome o = interpret(k, grid, want.arguments(), {.subgroup_size = 8});
  ASSERT_TRUE(o.ok()) << k.name << ": " << o.error << " at line " << o.line;
  ASSERT_TRUE(run_grid(make_native(K{}), k, grid, data));
  ASSERT_TRUE(run_grid(*make_blocked(k), k, grid, blocked));
  EXPECT_EQ(data.bytes, want.bytes) << k.name;
  EXPECT_EQ(blocked.bytes, want.bytes) << k.name;
}

TEST(NativeFlow, JumpsOfSomeLanes) {
  for (u64 seed = 0; seed < 20; ++seed)
    expect_like_interpreter(jumps, {2, 1, 1}, random_contents(jumps.view(), seed));
}

TEST(NativeFlow, BarriersInLoops) {
  for (const u32 n : {0u, 1u, 9u}) {
    RandomData data = random_contents(rounds.view(), n);
    data.bits[2] = n;
    expect_like_interpreter(rounds, {2, 1, 1}, data);
  }
}

}  // namespace
}  // namespace gpuio::gpu::cpu
