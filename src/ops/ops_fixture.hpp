// Operations on the devices at hand, tensors in memory that both sides see, and references in f64.
#pragma once

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <random>

#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "ops/ops.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::ops {

template <class T>
T must(Result<T> r) {
  EXPECT_TRUE(r.has_value()) << (r ? "" : r.error().message());
  if (!r) throw std::runtime_error(r.error().message());
  return std::move(*r);
}

// Elements of any type as f64, and back to the nearest.
inline double element(const std::byte* base, Dtype type, std::uint64_t i) {
  const auto at = [&]<class T>(T v) {
    std::memcpy(&v, base + i * sizeof(T), sizeof(T));
    return v;
  };
  switch (type) {
    case Dtype::f32: return double(at(float{}));
    case Dtype::f16: return double(widen(at(kernel::f16{})));
    case Dtype::bf16: return double(widen(at(kernel::bf16{})));
    case Dtype::f8e4m3: return double(widen(at(kernel::f8e4m3{})));
    case Dtype::f8e5m2: return double(widen(at(kernel::f8e5m2{})));
    case Dtype::i8: return double(at(std::int8_t{}));
    case Dtype::u8: return double(at(std::uint8_t{}));
    case Dtype::i4: {
      const int nibble = std::to_integer<int>(base[i / 2] >> int(4 * (i % 2))) & 15;
      return double(nibble < 8 ? nibble : nibble - 16);
    }
    case Dtype::i32: return double(at(std::int32_t{}));
    case Dtype::u32: return double(at(std::uint32_t{}));
    case Dtype::i64: return double(at(std::int64_t{}));
    case Dtype::u64: return double(at(std::uint64_t{}));
  }
  return 0;
}
inline void set_element(std::byte* base, Dtype type, std::uint64_t i, double value) {
  const auto put = [&]<class T>(T v) { std::memcpy(base + i * sizeof(T), &v, sizeof(T)); };
  // Of narrow integers the low bits, which a conversion from double alone leaves open.
  const auto whole = [&] {
    return value < 0x1p63 ? std::uint64_t(std::int64_t(value)) : std::uint64_t(value);
  };
  switch (type) {
    case Dtype::f32: return put(float(value));
    case Dtype::f16: return put(kernel::narrow<kernel::f16>(float(value)));
    case Dtype::bf16: return put(kernel::narrow<kernel::bf16>(float(value)));
    case Dtype::f8e4m3: return put(kernel::narrow<kernel::f8e4m3>(float(value)));
    case Dtype::f8e5m2: return put(kernel::narrow<kernel::f8e5m2>(float(value)));
    case Dtype::i8: return put(std::int8_t(whole()));
    case Dtype::u8: return put(std::uint8_t(whole()));
    case Dtype::i4: {
      const int shift = int(4 * (i % 2));
      base[i / 2] = (base[i / 2] & std::byte(0xF0 >> shift)) | std::byte((whole() & 15) << shift);
      return;
    }
    case Dtype::i32: return put(std::int32_t(whole()));
    case Dtype::u32: return put(std::uint32_t(whole()));
    case Dtype::i64: return put(std::int64_t(whole()));
    case Dtype::u64: return put(whole());
  }
}
// Unit roundoff of an output's type; of integers 0.
inline double roundoff(Dtype type) {
  switch (type) {
    case Dtype::f32: return std::ldexp(1.0, -24);
    case Dtype::f16: return std::ldexp(1.0, -11);
    case Dtype::bf16: return std::ldexp(1.0, -8);
    default: return 0;
  }
}
// The gap between the smallest numbers of a type, where rounding is no longer relative.
inline double smallest(Dtype type) {
  switch (type) {
    case Dtype::f32: return std::ldexp(1.0, -149);
    case Dtype::f16: return std::ldexp(1.0, -24);
    case Dtype::bf16: return std::ldexp(1.0, -133);
    default: return 0;
  }
}

// One device: GetParam() is "cpu", "interpreted" (the same without native code), "vulkan" or "cuda".
class OpsTest : public ::testing::TestWithParam<const char*> {
 protected:
  struct Array : Tensor {  // a tensor, and where the test sees it
    std::byte* host = nullptr;
    double at(std::uint64_t i) const { return element(host, type, i); }
    void set(std::uint64_t i, double v) const { set_element(host, type, i, v); }
    // In memory order, gaps included.
    std::vector<std::byte> bytes() const { return {host, host + (extent() * bits_of(type) + 7) / 8}; }
  };

  void SetUp() override {
    const std::string_view name = GetParam();
#ifdef __SANITIZE_THREAD__
    if (name == "vulkan")
      GTEST_SKIP() << "ThreadSanitizer does not see what an uninstrumented driver synchronises";
#endif
    auto opened = name == "vulkan" ? test_vulkan::open({})
                  : name == "cuda"
                      ? gpu::cuda::open({})
                      : gpu::cpu::open({.threads = 2, .mask = {.native_code = name == "interpreted"}});
    if (!opened) GTEST_SKIP() << opened.error().message();
    device_ = std::move(*opened);
    stream_ = must(device_->stream());
    kernels_ = std::make_unique<Kernels>(*device_);
    workspace_ = std::make_unique<Workspace>();
  }
  void TearDown() override {
    stream_.reset();
    workspace_.reset();
    kernels_.reset();
    buffers_.clear();
    device_.reset();
    for (const std::string& text : test_vulkan::Messages::all().texts) ADD_FAILURE() << text;
    test_vulkan::Messages::all().texts.clear();
  }

  // A software Vulkan driver takes half a second for a kernel with barriers: types are sampled there, and all
  // tried on the CPU.
  bool slow_to_compile() const { return device_->info().backend == gpu::Backend::vulkan; }

  // Every byte 0xA5 at first. `stride`: dense where empty.
  Array array(std::string_view name, Dtype type, std::vector<std::uint64_t> shape,
              std::vector<std::uint64_t> stride = {}) {
    Array t;
    t.name = name;
    t.type = type;
    t.rank = int(shape.size());
    std::uint64_t step = 1;
    for (std::size_t i = shape.size(); i-- > 0;) {
      t.shape[i] = shape[i];
      t.stride[i] = stride.empty() ? step : stride[i];
      step = dense_step(type, step * shape[i]);
    }
    const std::uint64_t bytes = std::max<std::uint64_t>((t.extent() * bits_of(type) + 7) / 8, 1);
    buffers_.push_back(must(device_->allocate(gpu::MemoryKind::pinned, bytes)));
    t.host = buffers_.back()->host();
    t.address = buffers_.back()->address();
    std::memset(t.host, 0xA5, bytes);
    return t;
  }
  // The element at these indices, as an offset.
  template <class... I>
  static std::uint64_t offset(const Tensor& t, I... indices) {
    std::uint64_t sum = 0;
    std::size_t d = 0;
    ((sum += std::uint64_t(indices) * t.stride[d++]), ...);
    return sum;
  }
  // Every element drawn from [low, high), rounded to the type; the same for the same seed.
  void fill(const Array& t, double low, double high, unsigned seed) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> draw(low, high);
    for (std::uint64_t i = 0; i < t.extent(); ++i) t.set(i, draw(random));
  }

  // f(place) planned, run and waited for.
  template <class F>
  Status run(const F& f) {
    Plan plan;
    if (Status s = f(Place{*kernels_, *workspace_, plan}); !s) return s;
    if (Status s = plan.run(*stream_); !s) return s;
    return stream_->wait(stream_->last(), 60'000'000'000);
  }

  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<gpu::Stream> stream_;
  std::unique_ptr<Kernels> kernels_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<std::unique_ptr<gpu::Buffer>> buffers_;
};

#define GPUIO_ON_DEVICES(Suite)                                                                       \
  INSTANTIATE_TEST_SUITE_P(Devices, Suite, ::testing::Values("cpu", "interpreted", "vulkan", "cuda"), \
                           [](const auto& p) { return std::string(p.param); })

}  // namespace gpuio::ops
