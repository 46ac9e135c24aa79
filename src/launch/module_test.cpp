// Kernels of every format on the devices at hand: our own everywhere, SPIR-V of glslang on Vulkan with the
// validation layers watching.
#include "launch/module.hpp"

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "launch/compile.hpp"
#include "launch/embedded.hpp"
#include "launch/shipped.hpp"
#include "support/adead.hpp"
#include "support/shaders.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::launch {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
constexpr std::uint64_t kLong = 60'000'000'000;

template <class T>
T must(Result<T> r) {
  EXPECT_TRUE(r.has_value()) << (r ? "" : r.error().message());
  if (!r) throw std::runtime_error(r.error().message());
  return std::move(*r);
}

kernel::View shipped(std::string_view name) {
  for (const ShippedKernel& s : shipped_kernels())
    if (s.view.name == name) return s.view;
  throw std::runtime_error("not shipped");
}
std::vector<std::byte> file_of(std::string_view name, Format format) {
  const auto ir = kernel::serialize(shipped(name));
  const auto copy = [](const auto& from) {
    const auto bytes = std::as_bytes(std::span(from));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  if (format == Format::ir) return copy(ir);
  if (format == Format::spirv) return copy(embed(kernel::emit_spirv(shipped(name)), ir));
  std::string ptx;
  EXPECT_TRUE(kernel::ptx_to(ptx, shipped(name), {.sm = 75}).ok());
  return copy(embed(ptx, ir));
}

class OnDevice : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const bool vulkan = std::string_view(GetParam()) == "vulkan";
#ifdef __SANITIZE_THREAD__
    if (vulkan) GTEST_SKIP() << "ThreadSanitizer does not see what an uninstrumented driver synchronises";
#endif
    auto opened = vulkan                                   ? test_vulkan::open({})
                  : std::string_view(GetParam()) == "cuda" ? gpu::cuda::open({})
                                                           : gpu::cpu::open({.threads = 2});
    if (!opened) GTEST_SKIP() << opened.error().message();
    device_ = std::move(*opened);
    stream_ = must(device_->stream());
  }
  void TearDown() override {
    loaded_.clear();
    stream_.reset();
    buffers_.clear();
    device_.reset();
    for (const std::string& text : test_vulkan::Messages::all().texts) ADD_FAILURE() << text;
    test_vulkan::Messages::all().texts.clear();
  }

  template <class T>
  Value buffer(const std::vector<T>& from) {
    buffers_.push_back(must(device_->allocate(gpu::MemoryKind::pinned, from.size() * sizeof(T))));
    std::memcpy(buffers_.back()->host(), from.data(), from.size() * sizeof(T));
    return Value::range(*buffers_.back());
  }
  template <class T>
  std::vector<T> read(const Value& v) {
    std::vector<T> out(v.bytes / sizeof(T));
    std::memcpy(out.data(), v.buffer->host() + v.offset, v.bytes);
    return out;
  }
  Status run(std::span<const std::byte> bytes, gpu::Grid grid, const std::vector<Value>& values,
             const ModuleOptions& options = {}) {
    auto module = Module::read(bytes, options);
    if (!module) return module.error();
    auto made = (*module)->load(*device_);
    if (!made) return made.error();
    EXPECT_EQ((*module)->parameters().size(), values.size());
    if (Status s = (*made)->launch(*stream_, grid, values); !s) return s;
    loaded_.push_back(std::move(*made));
    return stream_->wait(stream_->last(), kLong);
  }

  std::unique_ptr<gpu::Device> device_;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers_;
  std::unique_ptr<gpu::Stream> stream_;
  std::vector<std::unique_ptr<Loaded>> loaded_;
};

std::vector<float> numbers(std::size_t n, unsigned seed) {
  std::vector<float> v(n);
  for (float& x : v) x = float(int((seed = seed * 1664525u + 1013904223u) >> 20) - 2048) / 64;
  return v;
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, std::size_t m,
                           std::size_t n, std::size_t l) {
  std::vector<float> c(m * n);
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::size_t p = 0; p < l; ++p) sum += a[i * l + p] * b[p * n + j];
      c[i * n + j] = sum;
    }
  return c;
}

// In order of k and two roundings a step: the same bits on every device, from files of every format.
TEST_P(OnDevice, MatmulOfAnySize) {
  const std::array<std::size_t, 3> sizes[] = {{1, 1, 1}, {5, 3, 7}, {33, 65, 17}, {64, 32, 96}, {2, 70, 1}};
  for (const auto& [m, n, l] : sizes) {
    const auto a = numbers(m * l, 1), b = numbers(l * n, 2);
    for (const Format f : {Format::ir, Format::spirv, Format::ptx}) {
      const Value c = buffer(std::vector<float>(m * n, -1));
      const gpu::Grid grid{{std::uint32_t(n + 31) / 32, std::uint32_t(m + 31) / 32, 1}};
      ASSERT_TRUE(run(file_of("matmul", f), grid, {buffer(a), buffer(b), c}).ok());
      EXPECT_EQ(read<float>(c), product(a, b, m, n, l)) << m << "x" << n << "x" << l;
    }
  }
}

TEST_P(OnDevice, MatmulOfSizesThatMakeNoProductIsNaN) {
  const Value c = buffer(std::vector<float>(12, 1));
  ASSERT_TRUE(run(file_of("matmul", Format::ir), {}, {buffer(numbers(5, 1)), buffer(numbers(7, 2)), c}).ok());
  for (const float x : read<float>(c)) EXPECT_TRUE(std::isnan(x));
}

TEST_P(OnDevice, VecaddAndReduceOverAnyGrid) {
  const auto a = numbers(10'007, 3), b = numbers(10'007, 4);
  const Value sum = buffer(std::vector<float>(a.size()));
  ASSERT_TRUE(run(file_of("vecadd", Format::spirv), {{7, 1, 1}}, {buffer(a), buffer(b), sum}).ok());
  std::vector<float> expected(a.size());
  std::ranges::transform(a, b, expected.begin(), std::plus());
  EXPECT_EQ(read<float>(sum), expected);

  const Value parts = buffer(std::vector<float>(7)), all = buffer(std::vector<float>(1));
  ASSERT_TRUE(run(file_of("reduce", Format::spirv), {{7, 1, 1}}, {sum, parts}).ok());
  ASSERT_TRUE(run(file_of("reduce", Format::ptx), {{1, 1, 1}}, {parts, all}).ok());
  // Sums of multiples of 1/64 far below 2^24 of them are exact in any order.
  EXPECT_EQ(read<float>(all)[0], std::accumulate(expected.begin(), expected.end(), 0.0f));
}

TEST_P(OnDevice, SpecializationConstantsOfOurs) {
  static constexpr auto scaled = kernel::kernel<"scaled", 4>([](kernel::Ctx k, kernel::InOut<float, 4> y) {
    const auto by = k.constant<float>("BY", 2.0f, 0.0f, 100.0f);
    const auto more = k.constant<std::int32_t>("MORE", 0);
    y[k.tid()] = y[k.tid()] * by + more.as<float>();
  });
  const auto ir = kernel::serialize(scaled.view());
  const auto words = embed(kernel::emit_spirv(scaled.view()), ir);
  const auto file = std::as_bytes(std::span(words));
  for (const auto& bytes : {std::as_bytes(std::span(ir)), file}) {
    const Value y = buffer(std::vector<float>{1, 2, 3, 4});
    const std::vector<std::byte> kept(bytes.begin(), bytes.end());
    ASSERT_TRUE(run(kept, {{1, 1, 1}}, {y}).ok());
    EXPECT_EQ(read<float>(y), (std::vector<float>{2, 4, 6, 8}));
    const Status s = run(kept, {{1, 1, 1}}, {y},
                         {.constants = {{.value = Number::of(0.5), .name = "BY"}, {1, Number::of(-3)}}});
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_EQ(read<float>(y), (std::vector<float>{-2, -1, 0, 1}));
    const auto refused = [&](ConstantValue constant, Code code, const char* said) {
      const Status r = run(kept, {{1, 1, 1}}, {y}, {.constants = {std::move(constant)}});
      EXPECT_EQ(r.code(), code);
      EXPECT_THAT(r.message(), HasSubstr(said));
    };
    refused({.value = Number::of(1), .name = "BYE"}, Code::not_found,
            "kernel scaled has no specialization constant BYE; it has BY, MORE");
    refused({2, Number::of(1)}, Code::not_found, "no specialization constant 2");
    refused({1, Number::of(0.5)}, Code::invalid_arg,
            "constant MORE is a signed integer of 32 bits, which 0.5 is not");
    refused({.value = Number::of(101), .name = "BY"}, Code::invalid_arg, "BY = 101: give 0 to 100");
  }
}
TEST_P(OnDevice, AdeadPrograms) {
  const Value c = buffer(std::vector<float>(3));
  ASSERT_TRUE(run(hex("10 41 22 00"), {{1, 1, 1}},
                  {buffer(std::vector<float>{1, 2, 3}), buffer(std::vector<float>{10, 20, 30}), c},
                  {.format = Format::adead})
                  .ok());
  EXPECT_EQ(read<float>(c), (std::vector<float>{11, 22, 33}));
}

TEST_P(OnDevice, WhatOthersMadeRunsOrSaysWhere) {
  GPUIO_NEEDS_SHADERS();
  const bool vulkan = std::string_view(GetParam()) == "vulkan";
  const auto x = numbers(1000, 5);
  const Value y = buffer(std::vector<float>(1000));
  const Status s = run(test_shaders::bytes("scale.comp"), {{3, 1, 1}},
                       {buffer(x), y, Value::scalar(std::bit_cast<std::uint32_t>(2.0f)), Value::scalar(999)},
                       {.constants = {{0, Number::of(32)}, {1, Number::of(0.25)}, {2, Number::of(1)}}});
  if (!vulkan) {
    EXPECT_EQ(s.code(), Code::unsupported);
    EXPECT_THAT(s.message(),
                HasSubstr("SPIR-V module 'main' was not made by gpuio: a Vulkan device can run it"));
    return;
  }
  ASSERT_TRUE(s.ok()) << s.message();
  const auto got = read<float>(y);
  for (std::size_t i = 0; i < 999; ++i) ASSERT_EQ(got[i], -2.0f * x[i] + 0.25f) << i;
  EXPECT_EQ(got[999], 0.0f);
}

// y[i] = x[i] + amount, i the lane.
constexpr std::string_view kAddPtx = R"(.version 6.4
.target sm_70
.address_size 64
.visible .entry k(.param .u64 x, .param .u64 y, .param .f32 amount)
.reqntid 32, 1, 1
{
  .reg .b64 %a, %b, %i;
  .reg .b32 %t;
  .reg .f32 %v, %w;
  mov.u32 %t, %tid.x;
  mul.wide.u32 %i, %t, 4;
  ld.param.u64 %a, [x];
  ld.param.u64 %b, [y];
  ld.param.f32 %w, [amount];
  add.u64 %a, %a, %i;
  add.u64 %b, %b, %i;
  ld.global.f32 %v, [%a];
  add.f32 %v, %v, %w;
  st.global.f32 [%b], %v;
  ret;
}
)";

TEST_P(OnDevice, PtxOfOthersRunsOrSaysThatItNeedsCuda) {
  const auto x = numbers(32, 8);
  const Value y = buffer(std::vector<float>(32));
  const Status s = run(std::as_bytes(std::span(kAddPtx)), {},
                       {buffer(x), y, Value::scalar(std::bit_cast<std::uint32_t>(2.0f))});
  if (std::string_view(GetParam()) == "cuda") {
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_EQ(read<float>(y)[31], x[31] + 2.0f);
    return;
  }
  EXPECT_EQ(s.code(), Code::unsupported);
  EXPECT_THAT(s.message(), HasSubstr("PTX entry 'k' was not made by gpuio: a CUDA device can run it"));
}

TEST_P(OnDevice, IrOfAnotherKernelIsRefused) {
  GPUIO_NEEDS_SHADERS();
  const auto words =
      embed(must(spirv_words(test_shaders::bytes("scale.comp"))), kernel::serialize(shipped("vecadd")));
  const Status s = run(std::as_bytes(std::span(words)), {}, {});
  EXPECT_EQ(s.code(), Code::invalid_arg);
  EXPECT_THAT(s.message(), HasSubstr("the IR embedded in SPIR-V module 'vecadd' is of another kernel"));
}

TEST_P(OnDevice, BytesThatAreNoKernelAreRefused) {
  const Status s = run(hex("de ad be ef"), {}, {});
  EXPECT_EQ(s.code(), Code::invalid_arg);
  EXPECT_THAT(s.message(), HasSubstr("4 bytes are no kernel by their beginning"));
}

// 96 KiB, in arrays whose far ends are used. A device that has less says how much.
kernel::Program far_ends() {
  using namespace kernel;
  return trace_program(
      [](Ctx k, In<u32> x, Out<u32> y) {
        auto a = k.shared<u32, 12288>(), b = k.shared<u32, 12288>();
        a[k.tid() + 12224] = x[k.tid()];
        b[k.tid()] = x[k.tid()] * 1000;
        k.barrier();
        y[k.tid()] = a[12287 - k.tid()] + b[63 - k.tid()];
      },
      "far_ends", {64, 1, 1});
}

TEST_P(OnDevice, SharedArraysBeyond48KiB) {
  const kernel::Program program = far_ends();
  ASSERT_EQ(kernel::shared_bytes(program.view()), 96u * 1024);
  auto made = load(*device_, program.view());
  if (device_->info().shared_bytes_max < 96 * 1024) {
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message(), AllOf(HasSubstr("far_ends"), HasSubstr("98304")));
    return;
  }
  ASSERT_TRUE(made) << made.error().message();
  std::vector<std::uint32_t> numbers(64);
  std::iota(numbers.begin(), numbers.end(), 1);
  const Value x = buffer(numbers), y = buffer(std::vector<std::uint32_t>(64));
  const gpu::Argument arguments[] = {{x.address, 64}, {y.address, 64}};
  ASSERT_TRUE(stream_->launch(**made, {}, arguments).ok());
  ASSERT_TRUE(stream_->wait(stream_->last(), kLong).ok());
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(read<std::uint32_t>(y)[i], (64 - i) * 1001);
}

TEST(Compile, NamesTheSharedMemoryThatAGpuHas) {
  const kernel::Program program = far_ends();
  gpu::DeviceInfo gpu;
  gpu.backend = gpu::Backend::cuda, gpu.name = "some GPU", gpu.major = 7, gpu.minor = 5;
  const auto made = compile(program.view(), gpu);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code(), Code::unsupported);
  EXPECT_EQ(made.error().message(),
            "kernel far_ends: its shared arrays take 98304 bytes, and a workgroup of some GPU (sm_75) has at "
            "most 65536: use smaller tiles or fewer stages there");
  gpu.major = 8, gpu.minor = 6;
  EXPECT_THAT(must(compile(program.view(), gpu)).code.ptx, HasSubstr("$shared"));
}

INSTANTIATE_TEST_SUITE_P(Devices, OnDevice, ::testing::Values("cpu", "vulkan", "cuda"),
                         [](const auto& p) { return std::string(p.param); });

class OnVulkan : public OnDevice {
 protected:
  void SetUp() override {
    GPUIO_NEEDS_SHADERS();
    OnDevice::SetUp();
  }
};

TEST_P(OnVulkan, SharedMemoryAtomicsAndUniformBuffers) {
  std::vector<std::uint32_t> words(5000), expected(64);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = std::uint32_t(i * i);
  for (std::size_t i = 0; i < 4999; ++i) ++expected[words[i] % 64];
  const Value counts = buffer(std::vector<std::uint32_t>(64));
  const Value sizes = buffer(std::vector<std::uint32_t>{0, 4999, 0, 0});
  ASSERT_TRUE(run(test_shaders::bytes("histogram.comp"), {{5, 1, 1}}, {buffer(words), counts, sizes}).ok());
  EXPECT_EQ(read<std::uint32_t>(counts), expected);
}

TEST_P(OnVulkan, PushConstantsOfEveryShape) {
  const Value out = buffer(std::vector<float>(12));
  std::vector<Value> values{out};
  std::vector<float> expected;
  for (int i = 0; i < 12; ++i) {
    const bool integer = i == 8 || i == 10;
    expected.push_back(float(integer ? -i : i * 1.5f));
    values.push_back(Value::scalar(integer ? std::uint32_t(-i) : std::bit_cast<std::uint32_t>(i * 1.5f)));
  }
  ASSERT_TRUE(run(test_shaders::bytes("push.comp"), {}, values).ok());
  EXPECT_EQ(read<float>(out), expected);
}

TEST_P(OnVulkan, NarrowTypesAndAddresses) {
  const Value b = buffer(std::vector<std::int16_t>(4));
  const Status narrow =
      run(test_shaders::bytes("narrow.comp"), {}, {buffer(std::vector<std::uint8_t>{1, 2, 3, 255}), b});
  ASSERT_TRUE(narrow.ok() || narrow.code() == Code::unsupported) << narrow.message();
  if (narrow.ok()) {
    EXPECT_EQ(read<std::int16_t>(b), (std::vector<std::int16_t>{-2, -4, -6, -510}));
  }

  const Value words = buffer(std::vector<std::uint32_t>(3));
  ASSERT_TRUE(run(test_shaders::bytes("reference.comp"), {{3, 1, 1}}, {words, Value::scalar(40)}).ok());
  EXPECT_EQ(read<std::uint32_t>(words), (std::vector<std::uint32_t>{40, 41, 42}));
}

TEST_P(OnVulkan, RangesOfOneBuffer) {
  const std::uint64_t piece = 4096;
  const auto x = numbers(2048, 6);
  const Value all = buffer(x);
  const Value in = Value::range(*all.buffer, piece, 1024), out = Value::range(*all.buffer, 0, 1024);
  const auto two = Value::scalar(std::bit_cast<std::uint32_t>(2.0f));
  ASSERT_TRUE(run(test_shaders::bytes("scale.comp"), {{8, 1, 1}}, {in, out, two, Value::scalar(256)}).ok());
  EXPECT_EQ(read<float>(out)[255], 2 * x[1024 + 255] + 0.5f);
  const Status s = run(test_shaders::bytes("scale.comp"), {},
                       {in, Value::range(*all.buffer, 2, 64), two, Value::scalar(16)});
  EXPECT_EQ(s.code(), Code::invalid_arg);
  EXPECT_THAT(s.message(), HasSubstr("the buffer of set 2, binding 0 begins at byte 2"));
}

// Past the end of a bound buffer the driver reads zeros and drops writes: a mistake of the shader costs
// nobody else's memory.
TEST_P(OnVulkan, AccessesPastTheEndAreContained) {
  const Value y = buffer(std::vector<float>(16, 7));
  ASSERT_TRUE(
      run(test_shaders::bytes("scale.comp"), {{1, 1, 1}},
          {buffer(numbers(16, 7)), Value::range(*y.buffer, 0, 32), Value::scalar(0), Value::scalar(16)})
          .ok());
  const auto got = read<float>(Value::range(*y.buffer));
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(got[i], i < 8 ? 0.5f : 7.0f) << i;
}

// More launches than a pool has sets, while earlier ones are open.
TEST_P(OnVulkan, ManyLaunchesAtOnce) {
  const auto module = must(Module::read(test_shaders::bytes("scale.comp")));
  const auto made = must(module->load(*device_));
  const Value x = buffer(std::vector<float>(64, 1)), y = buffer(std::vector<float>(64));
  for (int i = 1; i <= 300; ++i) {
    const std::vector<Value> values{i % 2 ? x : y, i % 2 ? y : x,
                                    Value::scalar(std::bit_cast<std::uint32_t>(1.0f)), Value::scalar(64)};
    ASSERT_TRUE(made->launch(*stream_, {}, values).ok());
  }
  ASSERT_TRUE(stream_->wait(stream_->last(), kLong).ok());
  EXPECT_EQ(read<float>(x)[63], 151.0f);
}

TEST_P(OnVulkan, RefusesWhatTheDeviceCannot) {
  auto words = must(spirv_words(test_shaders::bytes("scale.comp")));
  ASSERT_EQ(words[5], 2u << 16 | 17u);
  words[6] = 4472;  // RayQueryKHR
  Status s = run(std::as_bytes(std::span(words)), {}, {});
  EXPECT_EQ(s.code(), Code::unsupported);
  EXPECT_THAT(s.message(), HasSubstr("SPIR-V capability 4472"));
  s = run(test_shaders::bytes("scale.comp"), {}, {}, {.constants = {{0, Number::of(100'000)}}});
  EXPECT_EQ(s.code(), Code::invalid_arg);
  EXPECT_THAT(s.message(), HasSubstr("a workgroup of 100000x1x1 lanes"));
  const Value x = buffer(std::vector<float>(4));
  const auto module = must(Module::read(test_shaders::bytes("scale.comp")));
  const auto made = must(module->load(*device_));
  s = made->launch(*stream_, {{70'000, 1, 1}}, std::vector<Value>{x, x, Value::scalar(0), Value::scalar(0)});
  EXPECT_THAT(s.message(), HasSubstr("a grid of 70000x1x1 groups"));
}

INSTANTIATE_TEST_SUITE_P(Vulkan, OnVulkan, ::testing::Values("vulkan"));

}  // namespace
}  // namespace gpuio::launch
