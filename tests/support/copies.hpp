// Kernels that copy asynchronously, for every back end.
#pragma once

#include <gpuio/kernel.hpp>

namespace gpuio::test_kernels {

using namespace gpuio::kernel;
using gpuio::kernel::kernel;

// out[lane] = the sum over an even number of tiles of 256 of element 255 - 4 * lane: while a tile is read the
// next is on its way.
inline constexpr u32 kPipelineTiles = 6;
inline constexpr auto pipeline =
    kernel<"pipeline", 64>([](Ctx k, In<f32, kPipelineTiles * 256> x, Out<f32, 64> out, Val<u32> tiles) {
      auto even = k.shared<f32, 256>();
      auto odd = k.shared<f32, 256>();
      auto sum = k.var(0.0f);
      auto i = k.tid() * 4;
      auto stage = [&](const auto& now, const auto& next, const Val<u32>& following) {
        GPU_IF(following < tiles) k.async_copy<16>(next, i, x, following * 256 + i);
        k.async_commit();
        k.async_wait<1>();
        k.barrier();
        sum += now[255 - i];
        k.barrier();
      };
      k.async_copy<16>(even, i, x, i);
      k.async_commit();
      for (auto t : k.range(0u, tiles, 2)) {
        stage(even, odd, t + 1);
        stage(odd, even, t + 2);
      }
      out[k.tid()] = sum;
    });

// Every size, between types of every size; and a lane that reads what it copied itself.
template <class T>
inline constexpr auto copies = [](Ctx k, In<T, 1024> x, Out<T, 512> y, Val<u64> from) {
  auto tile = k.shared<T, 512>();
  auto copy = [&](auto bytes, u32 begin) {
    constexpr u32 kCount = u32(bytes) / sizeof(T);
    if constexpr (kCount > 0)
      k.async_copy<u32(bytes)>(tile, k.tid() * kCount + begin, x,
                               from * kCount + k.tid().template as<u64>() * kCount);
    k.async_commit();
    k.async_wait();
    if constexpr (kCount > 0) y[k.tid() * kCount] = tile[k.tid() * kCount + begin];
    k.barrier();
  };
  copy(std::integral_constant<u32, 4>(), 0);
  copy(std::integral_constant<u32, 8>(), 0);
  copy(std::integral_constant<u32, 16>(), sizeof(T) == 8 ? 256 : 0);
};
inline constexpr auto copies_of_bytes = kernel<"copies_of_bytes", 32>(copies<u8>);
inline constexpr auto copies_of_longs = kernel<"copies_of_longs", 32>(copies<u64>);

}  // namespace gpuio::test_kernels
