// Kernels with mbarriers and bulk copies, for every back end that has them.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

// A barrier in two halves, once a round: out[lane] = the sum of what the lane opposite wrote.
inline constexpr auto two_halves = kernel<"two_halves", 64>([](Ctx k, In<u32, 256> x, Out<u32, 64> out) {
  auto tile = k.shared<u32, 64>();
  auto written = k.mbarrier(64);
  auto sum = k.var(0u);
  for (auto round : k.range(0u, 4u)) {
    tile[k.tid()] = x[round * 64 + k.tid()];
    auto token = written.arrive();
    sum += round;  // something else meanwhile
    written.wait(token);
    sum += tile[63 - k.tid()];
    k.barrier();
  }
  out[k.tid()] = sum;
});

// While one tile of 256 is read the next is on its way; what was read goes back in bulk, doubled.
// out: tiles times 256.
inline constexpr u32 kBulkTiles = 6;
inline constexpr auto bulk_ring =
    kernel<"bulk_ring", 64>([](Ctx k, In<f32, kBulkTiles * 256> x, Out<f32, kBulkTiles * 256> out) {
      auto even = k.shared<f32, 256>();
      auto odd = k.shared<f32, 256>();
      auto twice = k.shared<f32, 256>();
      auto even_full = k.mbarrier(1);
      auto odd_full = k.mbarrier(1);
      auto load = [&](const auto& tile, const Mbarrier& full, const Val<u32>& t) {
        GPU_IF((k.tid() == 0) & (t < kBulkTiles)) {
          k.bulk_load<512>(tile, 0, x, t * 256, full);
          k.bulk_load<512>(tile, 128, x, t * 256 + 128, full);
          full.arrive();
        }
      };
      auto stage = [&](const auto& tile, const Mbarrier& full, const Val<u32>& t) {
        full.wait();
        for (u32 j = 0; j < 4; ++j) twice[k.tid() + 64 * j] = tile[255 - k.tid() - 64 * j] * 2.0f;
        k.barrier();
        load(tile, full, t + 2);
        GPU_IF(k.tid() == 0) {
          k.bulk_store<1024>(out, t * 256, twice, 0);
          k.bulk_commit();
          k.bulk_wait();
        }
        k.barrier();
      };
      load(even, even_full, k.val(0u));
      load(odd, odd_full, k.val(1u));
      for (auto t : k.range(0u, kBulkTiles, 2)) {
        stage(even, even_full, t);
        stage(odd, odd_full, t + 1);
      }
    });

// Lane 0 brings tiles, lanes 32 to 63 add them up: roles, between which a stage goes back and forth.
inline constexpr auto roles = kernel<"roles", 64>([](Ctx k, In<u32> x, Out<u32, 32> out, Val<u32> tiles) {
  auto tile = k.shared<u32, 64>();
  auto stage = k.stage(32);
  GPU_IF(k.tid() < 32) {
    GPU_IF(k.tid() == 0) {
      for (auto t : k.range(0u, tiles)) {
        auto mine = stage.acquire();
        k.bulk_load<256>(tile, 0, x, t * 64, mine);
        mine.commit();
      }
    }
  } else {
    auto sum = k.var(0u);
    for (auto t : k.range(0u, tiles)) {
      auto mine = stage.wait();
      sum += tile[k.tid()] * (t + 1) + tile[k.tid() - 32];
      mine.release();
    }
    out[k.tid() - 32] = sum;
  }
});

}  // namespace gpuio::test_kernels
