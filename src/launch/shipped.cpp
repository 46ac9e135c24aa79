#include "launch/shipped.hpp"

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/serialize.hpp>

#include <algorithm>
#include <limits>
#include <vector>

#include "gpu/cpu/native.hpp"

namespace gpuio::launch {
namespace {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

constexpr auto vecadd = kernel<"vecadd", 256>([](Ctx k, In<f32> a, In<f32> b, Out<f32> out) {
  auto n = min(min(a.length(), b.length()), out.length());
  auto stride = k.nctas().as<u64>() * 256;
  for (auto i : k.range(k.global_id().as<u64>(), n, stride)) out[i] = a[i] + b[i];
});

constexpr auto reduce = kernel<"reduce", 256>([](Ctx k, In<f32> x, Out<f32> out) {
  auto t = k.tid();
  auto tile = k.shared<f32, 256>();
  auto sum = k.var(0.0f);
  auto stride = k.nctas().as<u64>() * 256;
  for (auto i : k.range(k.global_id().as<u64>(), x.length(), stride)) sum += x[i];
  tile[t] = sum;
  k.barrier();
  for (u32 s = 128; s; s >>= 1) {
    GPU_IF(t < s) tile[t] = tile[t] + tile[t + s];
    k.barrier();
  }
  GPU_IF((t == 0) & (k.cta().as<u64>() < out.length())) out[k.cta()] = tile[0];
});

// The root of a square: a float's, then Newton's steps on integers, from above at last.
constexpr auto root = [](const auto& x) {
  auto guess = max(sqrt(x.template as<f32>()).template as<u64>(), 1);
  auto once = (guess + x / guess) >> 1;
  auto better = max(once, 1);
  return (better + x / better) >> 1;
};

// Four sums a lane, at (ty, tx) of each quarter of the 32 x 32 tile.
constexpr auto matmul = kernel<"matmul", 16, 16>([](Ctx k, In<f32> a, In<f32> b, Out<f32> c) {
  // m k = |A|, k n = |B|, m n = |C|: so m m = |A| |C| / |B|. Dividing by zero is defined, and no number
  // passes.
  auto rows = root(a.length() * c.length() / b.length());
  auto inner = a.length() / rows;
  auto columns = b.length() / inner;
  auto fits = (rows * inner == a.length()) & (inner * columns == b.length()) &
              (rows * columns == c.length()) & (c.length() <= 0xffffffffu) & (a.length() <= 0xffffffffu) &
              (b.length() <= 0xffffffffu);
  auto m = select(fits, rows, k.val<u64>(0)).template as<u32>();
  auto n = select(fits, columns, k.val<u64>(0)).template as<u32>();
  auto l = select(fits, inner, k.val<u64>(0)).template as<u32>();

  auto tx = k.tid();
  auto ty = k.tid_y();
  auto row = k.cta_y() * 32 + ty;
  auto column = k.cta() * 32 + tx;
  auto ta = k.shared<f32, 512>();  // 32 rows of 16
  auto tb = k.shared<f32, 512>();  // 16 rows of 16, twice
  auto s00 = k.var(0.0f);
  auto s01 = k.var(0.0f);
  auto s10 = k.var(0.0f);
  auto s11 = k.var(0.0f);
  for (auto l0 : k.range(0, l, 16)) {
    for (u32 h = 0; h < 2; ++h) {
      auto x = k.var(0.0f);
      auto y = k.var(0.0f);
      GPU_IF((row + 16 * h < m) & (l0 + tx < l)) x = a[(row + 16 * h) * l + l0 + tx];
      GPU_IF((column + 16 * h < n) & (l0 + ty < l)) y = b[(l0 + ty) * n + column + 16 * h];
      ta[(ty + 16 * h) * 16 + tx] = x;
      tb[(ty + 16 * h) * 16 + tx] = y;
    }
    k.barrier();
    for (auto j : k.range(0u, 16u)) {
      auto a0 = ta[ty * 16 + j] + 0.0f;
      auto a1 = ta[(ty + 16) * 16 + j] + 0.0f;
      auto b0 = tb[j * 16 + tx] + 0.0f;
      auto b1 = tb[(j + 16) * 16 + tx] + 0.0f;
      s00 += a0 * b0;
      s01 += a0 * b1;
      s10 += a1 * b0;
      s11 += a1 * b1;
    }
    k.barrier();
  }
  GPU_IF((row < m) & (column < n)) c[row * n + column] = s00;
  GPU_IF((row < m) & (column + 16 < n)) c[row * n + column + 16] = s01;
  GPU_IF((row + 16 < m) & (column < n)) c[(row + 16) * n + column] = s10;
  GPU_IF((row + 16 < m) & (column + 16 < n)) c[(row + 16) * n + column + 16] = s11;
  auto group = k.cta_y() * k.nctas() + k.cta();
  auto stride = (k.nctas() * k.nctas_y() * 256).template as<u64>();
  GPU_IF(!fits) {
    for (auto i : k.range((group * 256 + k.local_index()).template as<u64>(), c.length(), stride))
      c[i] = std::numeric_limits<f32>::quiet_NaN();
  }
});

}  // namespace

std::span<const ShippedKernel> shipped_kernels() {
  static const ShippedKernel list[] = {{vecadd.view(), gpu::cpu::make_native(vecadd)},
                                       {reduce.view(), gpu::cpu::make_native(reduce)},
                                       {matmul.view(), gpu::cpu::make_native(matmul)}};
  return list;
}

gpu::Native shipped_native(std::span<const std::uint8_t> ir) {
  // Once: every kernel that is loaded for the CPU is looked for here.
  static const auto serialized = [] {
    std::vector<std::vector<std::uint8_t>> all;
    for (const ShippedKernel& s : shipped_kernels()) all.push_back(serialize(s.view));
    return all;
  }();
  for (std::size_t i = 0; i < serialized.size(); ++i)
    if (std::ranges::equal(serialized[i], ir)) return shipped_kernels()[i].native;
  return {};
}

}  // namespace gpuio::launch
