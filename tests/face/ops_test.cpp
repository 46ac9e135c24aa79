// gpuio/ops.hpp as its users meet it, on the CPU and on Vulkan.
#include <gpuio/ops.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "face/on_device.hpp"

namespace {

namespace ops = gpuio::ops;
using gpuio::Tensor;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OpsOn : public test_face::OnDevice {};

template <class F>
void refused(const char* words, F&& f) {
  test_face::refused(GPUIO_ERROR_INVALID_ARG, words, f);
}

TEST_P(OpsOn, SoftmaxAsTheHeaderShowsIt) {
  const std::uint64_t rows = 3, columns = 5;
  const std::vector<float> values(rows * columns, 2.0f);
  auto x = gpu().buffer(values), y = gpu().buffer<float>(rows * columns);
  const Tensor from(x, GPUIO_DTYPE_F32, {rows, columns}), to(y, GPUIO_DTYPE_F32, {rows, columns});
  ops::softmax(gpu(), from, to);
  gpu().wait();
  const auto stream = gpu().stream();
  ops::softmax({gpu(), *stream}, to, to);
  stream->synchronize();
  for (const float v : y.read<float>()) EXPECT_NEAR(v, 0.2f, 1e-6);
}

TEST_P(OpsOn, RowsAreSelectedMovedAndCounted) {
  const gpuio::Context& ctx = gpu().context();
  gpuio::Memory<float> x(ctx, 8), values(ctx, 4), moved(ctx, 8);
  gpuio::Memory<std::uint32_t> indices(ctx, 4), counts(ctx, 4);
  gpuio::Memory<std::int64_t> sums(ctx, 1), whole(ctx, 3);
  const float given[] = {1, 7, 3, 5, 8, 2, 6, 4};
  std::copy(given, given + 8, x.begin());
  const Tensor table(x, {2, 4}), places(indices, {2, 2});
  ops::top_k(gpu(), table, Tensor(values, {2, 2}), places);
  ops::histogram(gpu(), places, Tensor(counts, {4}));
  gpu().wait();
  EXPECT_THAT(std::vector(values.begin(), values.end()), ElementsAre(7, 5, 8, 6));
  EXPECT_THAT(std::vector(indices.begin(), indices.end()), ElementsAre(1, 3, 0, 2));
  EXPECT_THAT(std::vector(counts.begin(), counts.end()), ElementsAre(1, 1, 1, 1));
  indices[0] = 1, indices[1] = 0;
  ops::gather_rows(gpu(), table, Tensor(indices, {2}), Tensor(moved, {2, 4}));
  whole[0] = 1, whole[1] = std::int64_t{1} << 40, whole[2] = -3;
  ops::reduce(gpu(), Tensor(whole, {3}), GPUIO_REDUCE_ADD, Tensor(sums, {1}));
  ops::scan(gpu(), Tensor(whole, {3}), GPUIO_REDUCE_MAX, false, Tensor(whole, {3}));
  gpu().wait();
  EXPECT_THAT(std::vector(moved.begin(), moved.end()), ElementsAre(8, 2, 6, 4, 1, 7, 3, 5));
  EXPECT_EQ(sums[0], (std::int64_t{1} << 40) - 2);
  EXPECT_EQ(whole[2], std::int64_t{1} << 40);
}

TEST_P(OpsOn, NumbersOfFewerBits) {
  const std::vector<float> values{7, -3, 1, 14, 0, -14};
  auto x = gpu().buffer(values), q = gpu().buffer<std::uint8_t>(4), scales = gpu().buffer<float>(2),
       back = gpu().buffer<float>(6);
  const Tensor from(x, GPUIO_DTYPE_F32, {2, 3}), small(q, GPUIO_DTYPE_I4, {2, 3}),
      by(scales, GPUIO_DTYPE_F32, {2});
  ops::quantize(gpu(), from, GPUIO_SCALE_ROW, small, by);
  ops::dequantize(gpu(), small, by, GPUIO_SCALE_ROW, Tensor(back, GPUIO_DTYPE_F32, {2, 3}));
  EXPECT_THAT(q.read<std::uint8_t>(), ElementsAre(0xd7, 0x01, 0x07, 0x09));
  EXPECT_EQ(back.read<float>(), values);
  ops::random(gpu(), GPUIO_RANDOM_UNIFORM, 1, 0, Tensor(back, GPUIO_DTYPE_F32, {6}));
  for (const float v : back.read<float>()) EXPECT_TRUE(v >= 0 && v < 1);
  ops::layer_norm(gpu(), from, {}, {}, 1e-5f, Tensor(back, GPUIO_DTYPE_F32, {2, 3}));
  ops::rms_norm(gpu(), from, {}, 1e-5f, from);
  EXPECT_NEAR(back.read<float>()[3], std::sqrt(1.5f), 1e-5);
  EXPECT_NEAR(x.read<float>()[3], std::sqrt(1.5f), 1e-5);
}

TEST_P(OpsOn, RefusesWhatDoesNotFit) {
  auto x = gpu().buffer<float>(6);
  refused("a tensor of 2 x 4 f32 does not fit into 24 bytes", [&] { Tensor(x, GPUIO_DTYPE_F32, {2, 4}); });
  refused("a tensor of 0 dimensions", [&] { Tensor(x, GPUIO_DTYPE_F32, {}); });
  refused("does not fit", [&] { Tensor(x, GPUIO_DTYPE_F32, {1ull << 40, 1ull << 40}); });
  const Tensor all(x, GPUIO_DTYPE_F32, {2, 3});
  refused("does not fit into 24 bytes", [&] { all.with_strides({4, 1}, x.bytes()); });
  refused("y: f32 3: it needs 2 x 3, as x",
          [&] { ops::softmax(gpu(), all, Tensor(x, GPUIO_DTYPE_F32, {3})); });
}

INSTANTIATE_TEST_SUITE_P(Devices, OpsOn, ::testing::Values("cpu", "vulkan"),
                         [](const auto& p) { return std::string(p.param); });

}  // namespace
