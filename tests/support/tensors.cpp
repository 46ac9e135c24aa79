#include "support/tensors.hpp"

namespace gpuio::test_kernels {
namespace {

template <class T, u32 Rows, u32 Bytes>
constexpr auto copied = [](Ctx k, In<T> x, Val<u32> rows, Val<u64> columns, Val<u32> step, Val<u32> top,
                           Val<u32> left, Out<T, Rows * Bytes / sizeof(T)> y) {
  constexpr u32 kEach = Bytes / sizeof(T), kFirst = 8 * kEach;  // not the array's beginning
  auto map = k.template tensor_map<Rows, Bytes>(x, rows, columns, step);
  auto tile = k.shared<T, kFirst + Rows * kEach>();
  auto full = k.mbarrier(1);
  GPU_IF(k.tid() == 0) {
    k.tensor_load(tile, kFirst, map, top, left, full);
    full.arrive();
  }
  full.wait();
  for (auto i : k.range(k.tid(), Rows * kEach, 64))
    y[i] = tile[panel_place<T, Bytes>(i / kEach, i % kEach, 0) + kFirst];
};

template <class T, u32 N, u32 Bytes>
constexpr auto product = [](Ctx k, In<T> a, In<T> b, Out<typename WarpgroupSum<T, N>::Number, 64 * N> c,
                            Val<u32> rows_a, Val<u32> rows_b, Val<u32> depth, Val<u32> step) {
  constexpr u32 kEach = Bytes / sizeof(T), kPanelA = 64 * kEach, kPanelB = N * kEach;
  auto of_a = k.template tensor_map<64, Bytes>(a, rows_a, depth, step);
  auto of_b = k.template tensor_map<N, Bytes>(b, rows_b, depth, step);
  auto tile_a = k.shared<T, 2 * kPanelA>();
  auto tile_b = k.shared<T, 2 * kPanelB>();
  auto full = k.mbarrier(1);
  GPU_IF(k.tid() == 0) {
    for (u32 panel = 0; panel < 2; ++panel) {
      k.tensor_load(tile_a, panel * kPanelA, of_a, 0, panel * kEach, full);
      k.tensor_load(tile_b, panel * kPanelB, of_b, 0, panel * kEach, full);
    }
    full.arrive();
  }
  auto sum = k.template warpgroup_sum<T, N>();
  full.wait();
  sum.template multiply_add<Bytes>(tile_a, 0, kPanelA, tile_b, 0, kPanelB, 2 * kEach);
  k.warpgroup_commit();
  k.warpgroup_wait();
  sum.for_elements([&](auto row, auto column, auto v) { c[row * N + column] = v; });
};

constexpr auto tiled = [](Ctx k, In<bf16> a, In<bf16> b, Out<f32> c, Val<u32> m, Val<u32> n, Val<u32> depth,
                          Val<u32> step_a, Val<u32> step_b) {
  constexpr u32 kEach = 64;  // elements in 128 bytes
  auto of_a = k.tensor_map<64, 128>(a, m, depth, step_a);
  auto of_b = k.tensor_map<128, 128>(b, n, depth, step_b);
  auto tile_a = k.shared<bf16, 64 * kEach>();
  auto tile_b = k.shared<bf16, 128 * kEach>();
  auto full = k.mbarrier(1);
  auto top = k.cta() * 64, left = k.cta_y() * 128;
  auto load = [&](const Val<u32>& k0) {
    GPU_IF((k.tid() == 0) & (k0 < depth)) {
      k.tensor_load(tile_a, 0, of_a, top, k0, full);
      k.tensor_load(tile_b, 0, of_b, left, k0, full);
      full.arrive();
    }
  };
  auto sum = k.warpgroup_sum<bf16, 128>();
  load(k.val(0u));
  for (auto k0 : k.range(0u, depth, kEach)) {
    full.wait();
    sum.multiply_add<128>(tile_a, 0, 0, tile_b, 0, 0, kEach);
    k.warpgroup_commit();
    k.warpgroup_wait();
    k.barrier();
    load(k0 + kEach);
  }
  sum.for_elements([&](auto row, auto column, auto v) {
    GPU_IF((top + row < m) & (left + column < n)) c[(top + row) * n + left + column] = v;
  });
};

template <class T, u32 Rows, u32 Bytes>
void copy(std::vector<BoxCopy>& to, std::string_view name) {
  to.push_back({trace_program(copied<T, Rows, Bytes>, name, {64, 1, 1}), kTypeOf<T>, Rows, Bytes});
}
template <class T, u32 N, u32 Bytes>
void multiply(std::vector<BoxProduct>& to, std::string_view name) {
  to.push_back({trace_program(product<T, N, Bytes>, name, {128, 1, 1}), kernel::detail::kMatrixOf<T>, N,
                2 * Bytes / u32(sizeof(T))});
}

}  // namespace

std::vector<BoxCopy> box_copies() {
  std::vector<BoxCopy> all;
  copy<i8, 9, 16>(all, "box_i8_16");
  copy<f16, 24, 32>(all, "box_f16_32");
  copy<u32, 13, 64>(all, "box_u32_64");
  copy<f64, 256, 128>(all, "box_f64_128");
  copy<f16, 64, 128>(all, "box_f16_128");
  copy<u8, 1, 128>(all, "box_u8_128");
  return all;
}
std::vector<BoxProduct> box_products() {
  std::vector<BoxProduct> all;
  multiply<f16, 64, 128>(all, "boxes_f16");
  multiply<bf16, 16, 64>(all, "boxes_bf16");
  multiply<f32, 8, 128>(all, "boxes_tf32");
  multiply<i8, 32, 32>(all, "boxes_i8");
  multiply<f8e4m3, 40, 128>(all, "boxes_e4m3");
  multiply<f8e5m2, 16, 16>(all, "boxes_e5m2");
  return all;
}
Program boxed_product() { return trace_program(tiled, "boxed_product", {128, 1, 1}); }

}  // namespace gpuio::test_kernels
