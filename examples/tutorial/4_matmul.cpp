// Step 4: reuse. C = A B through tiles in shared memory, four by four sums a lane.
#include "tutorial.hpp"

using namespace gpuio::kernel;

constexpr u32 kTile = 32;  // of C, rows and columns, and of k
constexpr u32 kSide = 4;   // sums a lane, each way
constexpr u32 kLanes = kTile / kSide * (kTile / kSide);

constexpr auto matmul = kernel<"matmul", kLanes>(
    [](Ctx k, In<f32> a, In<f32> b, Out<f32> c, Val<u32> m, Val<u32> n, Val<u32> inner) {
      auto t = k.tid();
      auto tile_a = k.shared<f32, kTile * kTile>();
      auto tile_b = k.shared<f32, kTile * kTile>();
      auto row = k.cta_y() * kTile, column = k.cta() * kTile;
      auto my_row = t / (kTile / kSide) * kSide, my_column = t % (kTile / kSide) * kSide;
      auto sums = k.array<f32, kSide * kSide>();

      for (auto first : k.range(0, inner, kTile)) {
        for (auto i : k.range(t, kTile * kTile, kLanes)) {  // zeros where the matrices end
          auto r = i / kTile, s = i % kTile;
          auto from_a = k.var(0.0f), from_b = k.var(0.0f);
          GPU_IF((row + r < m) & (first + s < inner)) from_a = a[(row + r) * inner + first + s];
          GPU_IF((first + r < inner) & (column + s < n)) from_b = b[(first + r) * n + column + s];
          tile_a[i] = from_a;
          tile_b[i] = from_b;
        }
        k.barrier();
        for (auto l : k.range(0u, kTile)) {
          auto from_b = tile_b.vec<4>(l * kTile + my_column);
          for (u32 y = 0; y < kSide; ++y) {
            auto from_a = tile_a[(my_row + y) * kTile + l] + 0.0f;
            for (u32 x = 0; x < kSide; ++x) sums[y * kSide + x] += from_a * from_b[x];
          }
        }
        k.barrier();
      }
      for (u32 y = 0; y < kSide; ++y)
        for (u32 x = 0; x < kSide; ++x)
          GPU_IF((row + my_row + y < m) & (column + my_column + x < n))
            c[(row + my_row + y) * n + column + my_column + x] = sums[y * kSide + x];
    });

int main(int count, char** words) {
  return tutorial::run([&] {
    const gpuio::Context& context = tutorial::context(count, words);
    const u32 m = 70, n = 53, inner = 91;
    gpuio::Memory<f32> a(context, m * inner), b(context, inner * n), c(context, m * n);
    tutorial::fill(a, 5);
    tutorial::fill(b, 6);
    std::vector<double> want(m * n);
    for (u32 i = 0; i < m; ++i)
      for (u32 j = 0; j < n; ++j)
        for (u32 l = 0; l < inner; ++l) want[i * n + j] += double(a[i * inner + l]) * b[l * n + j];

    gpuio::run(context, matmul, {(n + kTile - 1) / kTile, (m + kTile - 1) / kTile}, a, b, c, m, n, inner);
    return tutorial::check("matmul", c, want, 1e-4);
  });
}
