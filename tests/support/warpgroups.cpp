#include "support/warpgroups.hpp"

namespace gpuio::test_kernels {
namespace {

template <class T>
constexpr u32 kDepth = 4 * kMatrixDepth<T>;

// a by rows, b by columns. Tiles of 2K, the next one copied while the units have this one.
template <class T, u32 N>
constexpr auto product = [](Ctx k, In<T, kGroupRows * kDepth<T>> a, In<T, N * kDepth<T>> b,
                            Out<typename WarpgroupSum<T, N>::Number, kGroupRows * N> c) {
  constexpr u32 kEach = 16 / sizeof(T), kTile = 2 * kMatrixDepth<T>, kChunks = kTile / kEach;
  constexpr u32 kPanelA = (kGroupRows + 1) * kEach, kPanelB = (N + 1) * kEach;
  auto a0 = k.shared<T, kChunks * kPanelA>();
  auto a1 = k.shared<T, kChunks * kPanelA>();
  auto b0 = k.shared<T, kChunks * kPanelB>();
  auto b1 = k.shared<T, kChunks * kPanelB>();
  // Chunks of 16 bytes; consecutive lanes have rows.
  auto copy = [&](const auto& tile, const auto& from, u32 rows, u32 panel, u32 first) {
    for (u32 chunk = 0; chunk < kChunks; ++chunk) {
      GPU_IF(k.tid() < rows)
        k.template async_copy<16>(tile, k.tid() * kEach + chunk * panel, from,
                                  k.tid() * kDepth<T> + (first + chunk * kEach));
    }
  };
  auto sum = k.template warpgroup_sum<T, N>();
  auto top = k.warpgroup_index() * (64 * kEach);
  copy(a0, a, kGroupRows, kPanelA, 0);
  copy(b0, b, N, kPanelB, 0);
  k.async_commit();
  k.async_wait();
  k.barrier();
  sum.multiply_add(a0, top, kPanelA, b0, 0, kPanelB, kTile);
  k.warpgroup_commit();
  copy(a1, a, kGroupRows, kPanelA, kTile);
  copy(b1, b, N, kPanelB, kTile);
  k.async_commit();
  k.async_wait();
  k.barrier();
  sum.multiply_add(a1, top, kPanelA, b1, 0, kPanelB, kTile);
  k.warpgroup_commit();
  k.warpgroup_wait();
  sum.for_elements(
      [&](auto row, auto column, auto v) { c[(k.warpgroup_index() * 64 + row) * N + column] = v; });
};

constexpr auto streamed = [](Ctx k, In<bf16, kStreamTiles * 4096> a, In<bf16, kStreamTiles * 8192> b,
                             Out<f32, 8192> c) {
  constexpr u32 kPanelA = 64 * 8, kPanelB = 128 * 8;
  auto tile_a = k.shared<bf16, 4096>();
  auto tile_b = k.shared<bf16, 8192>();
  auto full = k.mbarrier(1);
  auto load = [&](const Val<u32>& t) {
    GPU_IF((k.tid() == 0) & (t < kStreamTiles)) {
      k.bulk_load<8192>(tile_a, 0, a, t * 4096, full);
      k.bulk_load<16384>(tile_b, 0, b, t * 8192, full);
      full.arrive();
    }
  };
  auto sum = k.warpgroup_sum<bf16, 128>();
  load(k.val(0u));
  for (auto t : k.range(0u, kStreamTiles)) {
    full.wait();
    sum.multiply_add(tile_a, 0, kPanelA, tile_b, 0, kPanelB, 64);
    k.warpgroup_commit();
    k.warpgroup_wait();
    k.barrier();
    load(t + 1);
  }
  sum.for_elements([&](auto row, auto column, auto v) { c[row * 128 + column] = v; });
};

template <class T, u32 N>
void add(std::vector<WarpgroupProduct>& to, std::string_view name) {
  to.push_back({trace_program(product<T, N>, name, {256, 1, 1}), kernel::detail::kMatrixOf<T>, N, kDepth<T>});
}

}  // namespace

std::vector<WarpgroupProduct> warpgroup_products() {
  std::vector<WarpgroupProduct> all;
  add<f16, 64>(all, "warpgroup_f16");
  add<bf16, 128>(all, "warpgroup_bf16");
  add<f32, 8>(all, "warpgroup_tf32");
  add<i8, 96>(all, "warpgroup_i8");
  add<f8e4m3, 40>(all, "warpgroup_e4m3");
  add<f8e5m2, 16>(all, "warpgroup_e5m2");
  return all;
}
Program streamed_product() { return trace_program(streamed, "streamed_product", {128, 1, 1}); }

}  // namespace gpuio::test_kernels
