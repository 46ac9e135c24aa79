// The C++ face as its users meet it: objects over the C interface, arrays, and kernels run with checked
// arguments.
#include <gpuio/gpuio.hpp>
#include <gpuio/kernel.hpp>
#include <gpuio/native.hpp>

#include <gtest/gtest.h>

#include <unistd.h>

#include <bit>
#include <cstdio>
#include <fstream>
#include <vector>

struct Body {
  float x, v;
  std::uint16_t id;
};
GPUIO_STRUCT(Body, x, v, id)

namespace {

using namespace gpuio::kernel;

constexpr auto fall = kernel<"fall", 64>([](Ctx k, InOut<Body> bodies, Val<f32> dt) {
  auto i = k.global_id();
  GPU_IF(i.as<u64>() < bodies.length()) {
    auto b = bodies[i];
    b.set(&Body::v, b[&Body::v] - 9.81f * dt);
    b.set(&Body::id, (b[&Body::id] + 1).as<u16>());
  }
});

constexpr auto scale = kernel<"scale", 64>([](Ctx k, In<f32> x, Out<f32> y, Val<f32> a, Val<u32> n) {
  for (auto i : k.range(k.global_id(), n, k.nctas() * 64)) y[i] = a * x[i];
});
constexpr auto sum_words = kernel<"sum_words", 64>([](Ctx k, OnDemand<u32> words, InOut<u64, 1> sum) {
  auto acc = k.var<u64>(0);
  auto stride = k.nctas().as<u64>() * 64;
  for (auto i : k.range(k.global_id().as<u64>(), words.length(), stride)) acc += words[i].as<u64>();
  sum.atomic_add(0, acc);
});
constexpr auto echo = kernel<"echo", 1>([](Ctx, Out<i64, 2> out, Val<i32> a, Val<f64> b) {
  out[0] = a.as<i64>();
  out[1] = bitcast<i64>(b);
});

gpuio::Context cpu_context() {
  gpuio::Context ctx;
  ctx.set_device(-1);
  return ctx;
}

template <class F>
gpuio_error_t code_of(F&& f) {
  try {
    f();
  } catch (const gpuio::Error& e) {
    EXPECT_NE(std::string(e.what()), "");
    return e.code();
  }
  return GPUIO_SUCCESS;
}

class FaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    words_.resize(100'003);
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] = std::uint32_t(i * 2654435761u);
    const std::string name = testing::TempDir() + "gpuio_face_" + std::to_string(::getpid());
    path_ = name;
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(words_.data()), std::streamsize(words_.size() * 4));
  }
  void TearDown() override { std::remove(path_.c_str()); }
  std::uint64_t sum() const {
    std::uint64_t sum = 0;
    for (std::uint32_t w : words_) sum += w;
    return sum;
  }

  std::vector<std::uint32_t> words_;
  std::string path_;
};

TEST_F(FaceTest, ErrorsAreThrownWithCodeAndMessage) {
  const gpuio::Context ctx = cpu_context();
  EXPECT_EQ(code_of([&] { gpuio::Array<float>(ctx, "/nowhere/at/all"); }), GPUIO_ERROR_NOT_FOUND);
  EXPECT_EQ(code_of([&] { gpuio::Array<float>(ctx, path_, words_.size() + 1); }), GPUIO_ERROR_INVALID_ARG);
  EXPECT_EQ(code_of([&] { ctx.device_info(12345); }), GPUIO_ERROR_NOT_FOUND);
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  config.api_version = 99;
  EXPECT_EQ(code_of([&] { gpuio::Context bad(config); }), GPUIO_ERROR_UNSUPPORTED);
}

TEST_F(FaceTest, AnArrayIsReadElementByElement) {
  const gpuio::Context ctx = cpu_context();
  const gpuio::GPUIOArray<std::uint32_t> array(ctx, path_, words_.size());
  ASSERT_EQ(array.size(), words_.size());
  for (std::size_t i = 0; i < words_.size(); i += 9973) ASSERT_EQ(array[i], words_[i]) << i;
  std::vector<std::uint32_t> some(5000);
  array.read(90'000, some);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), words_.begin() + 90'000));
  array.prefetch(0, 100);
  array.synchronize();
  EXPECT_EQ(code_of([&] { array[words_.size()]; }), GPUIO_ERROR_INVALID_ADDRESS);
  EXPECT_EQ(code_of([&] { array[UINT64_MAX]; }), GPUIO_ERROR_INVALID_ADDRESS);
  const auto whole = array.map();
  EXPECT_EQ(whole.size(), words_.size());
  array.unmap();
  EXPECT_EQ(code_of([&] { array.unmap(); }), GPUIO_ERROR_INVALID_ARG);
  EXPECT_GT(array.stats().hits, 0u);
}

TEST_F(FaceTest, TheLastElementIsPadded) {
  const gpuio::Context ctx = cpu_context();
  const gpuio::Array<std::uint64_t> pairs(ctx, path_);  // an odd number of words
  ASSERT_EQ(pairs.size(), words_.size() / 2 + 1);
  EXPECT_EQ(pairs[pairs.size() - 1], words_.back());
  pairs.prefetch(0, pairs.size());
}

TEST_F(FaceTest, KernelsRunOverMemory) {
  const gpuio::Context ctx = cpu_context();
  gpuio::Memory<float> x(ctx, 1000), y(ctx, 1000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(i);
  EXPECT_EQ(y[999], 0.0f);
  const gpuio::Report report = gpuio::run(ctx, scale, {2, 2}, x, y, 0.5f, 1000);
  EXPECT_EQ(report.way(), "launched");
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], float(i) * 0.5f);

  gpuio::use_native(ctx, scale);
  gpuio::run(ctx, scale, 4, x, y.span(), 2.0f, x.size());
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], float(i) * 2);

  const gpuio::Stream stream(ctx);
  const gpuio::Event before(ctx), after(ctx);
  before.record(stream);
  gpuio::launch(stream, scale, 1, std::span<const float>(y.data(), y.size()), x, 1.0f, 1000u);
  after.record(stream);
  after.synchronize();
  EXPECT_GE(after.elapsed_ms_since(before), 0.0f);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(x[i], y[i]);
}

TEST_F(FaceTest, DeviceMemoryIsCopied) {
  const gpuio::Context ctx = cpu_context();
  gpuio::Memory<std::uint32_t> there(ctx, words_.size(), gpuio::Place::device);
  there.upload(words_);
  std::vector<std::uint32_t> back(words_.size());
  there.download(back);
  EXPECT_EQ(back, words_);
  EXPECT_EQ(code_of([&] { there.upload(std::vector<std::uint32_t>(words_.size() + 1)); }),
            GPUIO_ERROR_INVALID_ARG);
}

TEST_F(FaceTest, KernelsRunOverArrays) {
  const gpuio::Context ctx = cpu_context();
  const gpuio::Array<std::uint32_t> array(ctx, path_);
  gpuio::Memory<std::uint64_t> total(ctx, 1);
  for (const gpuio_miss_t miss : {GPUIO_MISS_AUTO, GPUIO_MISS_WAIT, GPUIO_MISS_YIELD}) {
    total[0] = 0;
    const gpuio::Report report =
        gpuio::run(ctx, {.miss = miss, .timeout = std::chrono::seconds(60)}, sum_words, 8, array, total);
    EXPECT_EQ(total[0], sum());
    EXPECT_EQ(report.failures, 0u);
    EXPECT_EQ(report.way(), miss == GPUIO_MISS_WAIT ? "waited" : "yielded");
  }
  gpuio::use_native(ctx, sum_words);
  for (const gpuio_miss_t miss : {GPUIO_MISS_AUTO, GPUIO_MISS_YIELD}) {
    total[0] = 0;
    const gpuio::Report report = gpuio::run(ctx, {.miss = miss}, sum_words, 8, array, total);
    EXPECT_EQ(total[0], sum());
    EXPECT_EQ(report.failures, 0u);
    EXPECT_EQ(report.way(), miss == GPUIO_MISS_AUTO ? "waited" : "yielded");  // native code waits
  }
}

TEST_F(FaceTest, ScalarsAreConvertedOrRefused) {
  const gpuio::Context ctx = cpu_context();
  gpuio::Memory<std::int64_t> out(ctx, 2);
  gpuio::run(ctx, echo, 1, out, -7LL, 0.5f);
  EXPECT_EQ(out[0], -7);
  EXPECT_EQ(std::bit_cast<double>(out[1]), 0.5);
  EXPECT_EQ(code_of([&] { gpuio::run(ctx, echo, 1, out, 1LL << 31, 0.5); }), GPUIO_ERROR_INVALID_ARG);
  EXPECT_EQ(code_of([&] { gpuio::run(ctx, echo, 1, out, UINT64_MAX, 0.5); }), GPUIO_ERROR_INVALID_ARG);
  gpuio::Memory<std::int64_t> small(ctx, 1);
  EXPECT_EQ(code_of([&] { gpuio::run(ctx, echo, 1, small, 1, 0.5); }), GPUIO_ERROR_INVALID_ARG);
  EXPECT_EQ(code_of([&] { gpuio::run(ctx, echo, 0, out, 1, 0.5); }), GPUIO_ERROR_INVALID_ARG);
}

TEST_F(FaceTest, ObjectsMayOutliveTheirContext) {
  auto array = std::make_unique<gpuio::Array<std::uint32_t>>([&] {
    const gpuio::Context ctx = cpu_context();
    return gpuio::Array<std::uint32_t>(ctx, path_);
  }());
  EXPECT_EQ((*array)[5], words_[5]);
  array->context().finalize();
  EXPECT_EQ(code_of([&] { (*array)[5]; }), GPUIO_ERROR_NOT_INITIALIZED);
}

TEST_F(FaceTest, TheStandardContextServes) {
  const gpuio::Array<std::uint32_t> array(path_);
  EXPECT_EQ(array[7], words_[7]);
  gpuio::Memory<std::uint64_t> total(1);
  gpuio::run(sum_words, 4, array, total);
  EXPECT_EQ(total[0], sum());
}

TEST_F(FaceTest, FilesAreOpenedAndMoved) {
  const gpuio::Context ctx = cpu_context();
  const gpuio::Handle file(ctx, path_);
  EXPECT_EQ(file.info().size, words_.size() * 4);
  gpuio_memory_region_t from = file.region(4000, 400);
  std::vector<std::uint32_t> to(100);
  gpuio_memory_region_t region;
  ASSERT_EQ(gpuio_register_memory(ctx.get(), to.data(), 400, GPUIO_MEM_READ_WRITE, &region), GPUIO_SUCCESS);
  gpuio_request_params_t params{};
  params.type = GPUIO_REQ_READ;
  params.engine = GPUIO_ENGINE_LOCALIO;
  params.src = &from;
  params.dst = &region;
  params.length = 400;
  params.async = true;
  const gpuio::Request request(ctx, params);
  request.submit();
  request.wait();
  EXPECT_EQ(request.result().bytes, 400u);
  EXPECT_TRUE(std::equal(to.begin(), to.end(), words_.begin() + 1000));
  gpuio_unregister_memory(ctx.get(), &region);
}

TEST(Face, BuffersOfStructures) {
  const gpuio::Context ctx = cpu_context();
  gpuio::Memory<Body> bodies(ctx, 100);
  for (std::uint16_t i = 0; i < 100; ++i) bodies[i] = {1.5f * i, 2.0f, i};
  gpuio::run(ctx, fall, 2, bodies, 0.5f);
  for (std::uint16_t i = 0; i < 100; ++i) {
    EXPECT_EQ(bodies[i].x, 1.5f * i);
    EXPECT_EQ(bodies[i].v, 2.0f - 9.81f * 0.5f);
    EXPECT_EQ(bodies[i].id, i + 1);
  }
}

}  // namespace
