// Kernels that tests of every back end share: small, of known answers, and between them most of the language.
// All count in u32 and take any grid of their block; a comment says what comes out.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;  // inside gpuio the namespace would hide it

// y[i] = a * x[i] + y[i] for i < n, over any grid. Two roundings.
inline constexpr auto saxpy =
    kernel<"saxpy", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y, Val<u32> n) {
      for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) y[i] = a * x[i] + y[i];
    });

// out[group] = the sum of the group's strided share of x, in the order of a tree over its 256 lanes.
inline constexpr auto block_sum = kernel<"block_sum", 256>([](Ctx k, In<f32> x, Out<f32> out, Val<u32> n) {
  auto t = k.tid();
  auto tile = k.shared<f32, 256>();
  auto acc = k.var(0.0f);
  for (auto i : k.range(k.global_id(), n, k.nctas() * 256)) acc += x[i];
  tile[t] = acc;
  k.barrier();
  for (u32 s = 128; s; s >>= 1) {
    GPU_IF(t < s) tile[t] = tile[t] + tile[t + s];
    k.barrier();
  }
  GPU_IF(t == 0) out[k.cta()] = tile[0];
});

// C (m x n) = A (m x l) * B (l x n), row-major, any sizes; grid (ceil(n / 16), ceil(m / 16)). Sums in
// order of l, two roundings a step.
inline constexpr auto matmul =
    kernel<"matmul", 16, 16>([](Ctx k, In<f32> a, In<f32> b, Out<f32> c, Val<u32> m, Val<u32> n, Val<u32> l) {
      auto tx = k.tid();
      auto ty = k.tid_y();
      auto row = k.global_id_y();
      auto column = k.global_id();
      auto ta = k.shared<f32, 256>();
      auto tb = k.shared<f32, 256>();
      auto sum = k.var(0.0f);
      for (auto l0 : k.range(0, l, 16)) {
        auto x = k.var(0.0f);
        auto y = k.var(0.0f);
        GPU_IF((row < m) & (l0 + tx < l)) x = a[row * l + l0 + tx];
        GPU_IF((column < n) & (l0 + ty < l)) y = b[(l0 + ty) * n + column];
        ta[ty * 16 + tx] = x;
        tb[ty * 16 + tx] = y;
        k.barrier();
        for (u32 j = 0; j < 16; ++j) sum += ta[ty * 16 + j] * tb[j * 16 + tx];
        k.barrier();
      }
      GPU_IF((row < m) & (column < n)) c[row * n + column] = sum;
    });

// counts[v] += how often byte v occurs in x[0, n): shared counters first, then one atomic a counter and
// group.
inline constexpr auto histogram =
    kernel<"histogram", 128>([](Ctx k, In<u8> x, InOut<u32> counts, Val<u32> n) {
      auto t = k.tid();
      auto local = k.shared<u32, 256>();
      for (auto i : k.range(t, 256, 128)) local[i] = 0u;
      k.barrier();
      for (auto i : k.range(k.global_id(), n, k.nctas() * 128)) local.atomic_add(x[i], 1u);
      k.barrier();
      for (auto i : k.range(t, 256, 128)) counts.atomic_add(i, local[i]);
    });

// out[0] += the sum of x[0, n): a reduction in each subgroup, one atomic for each. Any subgroup size.
inline constexpr auto subgroup_sum =
    kernel<"subgroup_sum", 64>([](Ctx k, In<u32> x, InOut<u32> out, Val<u32> n) {
      auto acc = k.var(0u);
      for (auto i : k.range(k.global_id(), n, k.nctas() * 64)) acc += x[i];
      auto sum = subgroup_add(acc);
      GPU_IF(k.elect()) out.atomic_add(0, sum);
    });

// out[i] = sum over the subgroup's values of x at lane ^ 1, where the lane is even, else the lane's own x;
// votes and ballots on the way: flags[i] = bit 0 any(x odd), bit 1 all(x odd), then popcount of the ballot
// << 2.
inline constexpr auto subgroup_mix =
    kernel<"subgroup_mix", 64>([](Ctx k, In<u32, 64> x, Out<u32, 64> out, Out<u32, 64> flags) {
      auto i = k.local_index();
      auto v = x[i];
      auto odd = (v & 1) == 1;
      auto neighbour = shuffle_xor(v, 1);
      out[i] = select((k.lane() & 1) == 0, v + neighbour, v);
      flags[i] = any(odd).as<u32>() | (all(odd).as<u32>() << 1) | (popcount(ballot(odd)) << 2);
    });

// out[i] = the element reached from start[i] by following next `steps` times; -1 (all ones) where an access
// failed.
inline constexpr auto pointer_chase = kernel<"pointer_chase", 64>(
    [](Ctx k, OnDemand<u32> next, In<u32> start, Out<u32> out, Val<u32> steps, Val<u32> n) {
      auto i = k.global_id();
      GPU_IF(i < n) {
        auto at = k.var(start[i]);
        auto s = k.var(0u);
        GPU_WHILE(k, s < steps) {
          auto [value, status] = next.load(at);
          GPU_IF(status != 0) {
            at = 0xffffffffu;
            k.break_();
          }
          at = value;
          s += 1;
        }
        out[i] = at;
      }
    });

// counts[v] += how often byte v occurs in the array's first n bytes, wherever they live. failed[0] += lanes
// that could not read something.
inline constexpr auto scan_histogram = kernel<"scan_histogram", 128>(
    [](Ctx k, OnDemand<u8> x, InOut<u32> counts, InOut<u32> failed, Val<u64> n) {
      auto t = k.tid();
      auto local = k.shared<u32, 256>();
      for (auto i : k.range(t, 256, 128)) local[i] = 0u;
      k.barrier();
      auto stride = k.nctas().as<u64>() * 128;
      for (auto i : k.range(k.cta().as<u64>() * 128 + t.as<u64>(), n, stride)) {
        auto [value, status] = x.load(i);
        GPU_IF(status == 0) local.atomic_add(value, 1u);
      }
      k.barrier();
      for (auto i : k.range(t, 256, 128)) counts.atomic_add(i, local[i]);
      GPU_IF(k.lane_status() != 0) failed.atomic_add(0, 1u);
    });

// Storage types and conversions: h[i] = f16(f32(h[i]) * 0.5 + b[i]), s[i] = i16(s[i] - c[i]), four at a time
// through a vector load: q[4i..4i+3] reversed. One lane an element; n is a multiple of the block, 64.
inline constexpr auto storage =
    kernel<"storage", 64>([](Ctx k, InOut<f16> h, In<bf16> b, InOut<i16> s, In<i8> c, InOut<u32> q) {
      auto i = k.global_id();
      h[i] = (h[i] * 0.5f + b[i]).as<f16>();
      s[i] = (s[i] - c[i]).as<i16>();
      auto v = q.vec<4>(i * 4);
      q.store(i * 4, vec(v[3], v[2], v[1], v[0]));
    });

}  // namespace gpuio::test_kernels
