// gpuio/gpu.hpp as its users meet it: files of kernels on the CPU and on Vulkan.
#include <gpuio/gpu.hpp>
#include <gpuio/kernel.hpp>
#include <gpuio/kernel/serialize.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "face/on_device.hpp"
#include "support/shaders.hpp"

namespace {

using std::chrono::seconds;
namespace test_shaders = gpuio::test_shaders;
using ::testing::HasSubstr;

const std::string kKernels = GPUIO_SHIPPED_KERNELS "/";

class GpuOn : public test_face::OnDevice {};
using test_face::refused;

TEST_P(GpuOn, MatmulAsTheHeaderShowsIt) {
  const std::size_t n = 64;
  std::vector<float> a(n * n), b(n * n);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = float(i % 7), b[i] = float(i % 5) - 2;
  const auto kernel = gpu().load_spirv(kKernels + "matmul.spv");
  EXPECT_EQ(kernel.info().name, std::string("matmul"));
  EXPECT_TRUE(kernel.info().portable);
  const auto A = gpu().buffer(a), B = gpu().buffer(b);
  auto C = gpu().buffer<float>(n * n);
  gpu().dispatch(kernel, {2, 2}, A, B, C);
  const auto c = C.read<float>();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < n; ++k) sum += a[i * n + k] * b[k * n + j];
      ASSERT_EQ(c[i * n + j], sum);
    }
}

TEST_P(GpuOn, BuffersAreWrittenReadAndFilled) {
  auto x = gpu().buffer(std::vector<int>{1, 2, 3, 4});
  x.write(std::vector<int>{9}, 8);
  EXPECT_EQ(x.read<int>(), (std::vector<int>{1, 2, 9, 4}));
  x.fill(0xff);
  EXPECT_EQ(x.read<int>(), (std::vector<int>{-1, -1, -1, -1}));
  refused(GPUIO_ERROR_INVALID_ARG, "8 bytes at 12 of a buffer of 16",
          [&] { x.write(std::vector<int>{1, 2}, 12); });
  refused(GPUIO_ERROR_INVALID_ARG, "at least one byte", [&] { gpu().buffer(std::vector<int>{}); });
}

TEST_P(GpuOn, StreamsFencesAndEvents) {
  const auto kernel = gpu().load_ptx(kKernels + "vecadd.ptx");
  const auto stream = gpu().stream();
  std::vector<float> ones(100'000, 1);
  const auto a = gpu().buffer(ones);
  auto b = gpu().buffer(ones), c = gpu().buffer<float>(ones.size());
  const auto start = gpu().event(), end = gpu().event();
  start.record(*stream);
  for (int i = 0; i < 10; ++i) {
    gpu().dispatch(*stream, kernel, 100, a, b, c);
    gpu().dispatch(*stream, kernel, 100, a, c, b);
  }
  end.record(*stream);
  const gpuio::Fence fence = gpu().fence(*stream);
  fence.wait(seconds(60));
  EXPECT_TRUE(fence.done());
  EXPECT_TRUE(end.complete());
  EXPECT_GE(end.elapsed_ms_since(start), 0.0f);
  gpu().wait(seconds(60));
  EXPECT_EQ(b.read<float>()[99'999], 21.0f);
}

TEST_P(GpuOn, AdeadProgramsAndNumbersOfAnyType) {
  const std::byte code[] = {std::byte{0x10}, std::byte{0x41}, std::byte{0x22}, std::byte{0}};
  const auto kernel = gpu().load_adead(code, {.block = {64, 1, 1}});
  EXPECT_EQ(kernel.info().block[0], 64u);
  const auto a = gpu().buffer(std::vector<float>{1, 2, 3});
  auto c = gpu().buffer<float>(3);
  gpu().dispatch(kernel, 1, a, a, c);
  EXPECT_EQ(c.read<float>(), (std::vector<float>{2, 4, 6}));
}

TEST_P(GpuOn, KernelsOfOthers) {
  GPUIO_NEEDS_SHADERS();
  const std::string path = GPUIO_TEST_SHADERS "/scale.comp.spv";
  if (GetParam() == std::string("cpu"))
    return refused(GPUIO_ERROR_UNSUPPORTED, "a Vulkan device can run it", [&] { gpu().load_spirv(path); });
  const auto kernel = gpu().load_spirv(path, {.constants = {{0, 64}, {1, 0.25}}});
  EXPECT_FALSE(kernel.info().portable);
  EXPECT_EQ(kernel.info().num_parameters, 4);
  EXPECT_EQ(kernel.parameter(1).name, std::string("Output"));
  EXPECT_EQ(kernel.parameter(2).kind, GPUIO_ARG_SCALAR);
  std::vector<float> x(1000);
  std::iota(x.begin(), x.end(), 0.0f);
  const auto in = gpu().buffer(x);
  auto out = gpu().buffer<float>(1000);
  gpu().dispatch(kernel, 3, in, out, 2, x.size());
  EXPECT_EQ(out.read<float>()[999], 2 * 999 + 0.25f);
  const auto negated = gpu().create_pipeline(kernel, {{0, 32}, {2, true}});
  EXPECT_EQ(negated.info().block[0], 32u);
  gpu().dispatch(negated, 3, in, out, 2.0, 1000);
  EXPECT_EQ(out.read<float>()[999], -2 * 999 + 0.5f);

  refused(GPUIO_ERROR_INVALID_ARG, "argument 3 (count) of kernel main: it is -1",
          [&] { gpu().dispatch(kernel, 1, in, out, 2, -1); });
  refused(GPUIO_ERROR_INVALID_ARG, "it is 1.5", [&] { gpu().dispatch(kernel, 1, in, out, 2, 1.5); });
  refused(GPUIO_ERROR_INVALID_ARG, "4 parameters; 2 arguments were given",
          [&] { gpu().dispatch(kernel, 1, in, out); });
  refused(GPUIO_ERROR_INVALID_ARG, "the kernel takes GPUIO_ARG_MEMORY",
          [&] { gpu().dispatch(kernel, 1, in, 5, 2, 1); });
  refused(GPUIO_ERROR_INVALID_ARG, "groups[0] = 0", [&] { gpu().dispatch(kernel, 0, in, out, 2, 1); });
}

constexpr auto scaled =
    gpuio::kernel::kernel<"scaled", 4>([](gpuio::kernel::Ctx k, gpuio::kernel::InOut<float> y) {
      y[k.tid()] = y[k.tid()] * k.constant<float>("BY", 2.0f, 0.0f, 100.0f) +
                   k.constant<std::int32_t>("MORE", 0).as<float>();
    });

TEST_P(GpuOn, SpecializationConstantsByName) {
  const auto ir = gpuio::kernel::serialize(scaled.view());
  const auto kernel = gpu().load_ir(std::as_bytes(std::span(ir)), {.constants = {{"BY", 3}}});
  const auto y = gpu().buffer(std::vector<float>{1, 2, 3, 4});
  gpu().dispatch(kernel, 1, y);
  EXPECT_EQ(y.read<float>(), (std::vector<float>{3, 6, 9, 12}));
  gpu().dispatch(gpu().create_pipeline(kernel, {{"MORE", -1}, {"BY", 0.5}}), 1, y);
  EXPECT_EQ(y.read<float>(), (std::vector<float>{0.5, 2, 3.5, 5}));
  refused(GPUIO_ERROR_NOT_FOUND, "kernel scaled has no specialization constant LESS; it has BY, MORE",
          [&] { gpu().create_pipeline(kernel, {{"LESS", 1}}); });
  refused(GPUIO_ERROR_INVALID_ARG, "MORE is a signed integer of 32 bits, which 0.5 is not",
          [&] { gpu().create_pipeline(kernel, {{"MORE", 0.5}}); });
  refused(GPUIO_ERROR_INVALID_ARG, "BY = 101: give 0 to 100",
          [&] { gpu().create_pipeline(kernel, {{"BY", 101}}); });
}

TEST_P(GpuOn, FilesThatAreNoKernels) {
  refused(GPUIO_ERROR_NOT_FOUND, "/no/such/file.spv: no such file",
          [&] { gpu().load_spirv("/no/such/file.spv"); });
  refused(GPUIO_ERROR_INVALID_ARG, "no SPIR-V module",
          [&] { gpu().load_spirv(std::as_bytes(std::span("abc"))); });
  refused(GPUIO_ERROR_INVALID_ARG, "have no .entry",
          [&] { gpu().load_ptx(std::as_bytes(std::span("abc"))); });
}

INSTANTIATE_TEST_SUITE_P(Devices, GpuOn, ::testing::Values("cpu", "vulkan"),
                         [](const auto& p) { return std::string(p.param); });

TEST(Gpu, DevicesAreNamed) {
  EXPECT_FALSE(gpuio::Gpu("auto").name().empty());
  refused(GPUIO_ERROR_INVALID_ARG, "did you mean vulkan?", [] { gpuio::Gpu("vulcan"); });
  refused(GPUIO_ERROR_NOT_FOUND, "there is one, 'cpu'", [] { gpuio::Gpu("cpu:1"); });
  refused(GPUIO_ERROR_INVALID_ARG, "device 'vulkan:x'", [] { gpuio::Gpu("vulkan:x"); });
}

}  // namespace
