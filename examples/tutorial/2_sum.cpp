// Step 2: lanes that work together. The sum of an array, by hand and by a block operation.
#include "tutorial.hpp"

using namespace gpuio::kernel;

// Each lane adds up every 256th element of its workgroup's share; then half of the lanes add what the others
// have, and half of those, until one is left.
constexpr auto sum_by_hand = kernel<"sum_by_hand", 256>([](Ctx k, In<f32> x, Out<f32> sums, Val<u32> n) {
  auto t = k.tid();
  auto tile = k.shared<f32, 256>();
  auto mine = k.var(0.0f);
  for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) mine += x[i];
  tile[t] = mine;
  k.barrier();
  for (u32 half = 128; half; half /= 2) {
    GPU_IF(t < half) tile[t] = tile[t] + tile[t + half];
    k.barrier();
  }
  GPU_IF(t == 0) sums[k.cta()] = tile[0];
});

constexpr auto sum = kernel<"sum", 256>([](Ctx k, In<f32> x, Out<f32> sums, Val<u32> n) {
  auto mine = k.var(0.0f);
  for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) mine += x[i];
  auto total = k.block_reduce_add(mine);
  GPU_IF(k.tid() == 0) sums[k.cta()] = total;
});

int main(int count, char** words) {
  return tutorial::run([&] {
    const gpuio::Context& context = tutorial::context(count, words);
    const u32 n = 300'007, groups = 16;
    gpuio::Memory<f32> x(context, n), sums(context, groups), total(context, 1);
    tutorial::fill(x, 3);
    double want = 0;
    for (u32 i = 0; i < n; ++i) want += x[i];

    const auto twice = [&](const char* name, auto kernel) {
      gpuio::run(context, kernel, groups, x, sums, n);  // a sum a workgroup
      gpuio::run(context, kernel, 1, sums, total, groups);
      return tutorial::check(name, total, {want}, 1e-2);
    };
    return twice("sum by hand", sum_by_hand) + twice("sum", sum);
  });
}
