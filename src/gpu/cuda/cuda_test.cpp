// The CUDA device over a double of the driver (fake_driver.cpp): whatever call fails, it says so, releases
// what it made and waits for nothing. That kernels run is for the conformance suite and a GPU to show.
#include "gpu/cuda/cuda.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/platform/shared_library.hpp"
#include "gpu/shader.hpp"

namespace gpuio::gpu::cuda {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StrEq;
constexpr std::uint64_t kLong = 10'000'000'000;
constexpr std::size_t kLarge = (2 << 20) + 4097;  // staged in two parts

struct Fake {
  SharedLibrary library = *SharedLibrary::open(FAKE_DRIVER);
  void (*reset)(int at, int with) = *library.function<void(int, int)>("fake_reset");
  int (*calls)() = *library.function<int()>("fake_calls");
  int (*launches)() = *library.function<int()>("fake_launches");
  void (*values)(int) = *library.function<void(int)>("fake_values");
  unsigned long long (*value)(int) = *library.function<unsigned long long(int)>("fake_value");
  unsigned long long (*encoded)(int) = *library.function<unsigned long long(int)>("fake_encoded");
  int (*allowed)() = *library.function<int()>("fake_allowed");
  unsigned (*given)() = *library.function<unsigned()>("fake_given");
  void (*old)(int) = *library.function<void(int)>("fake_old");
  void (*hold)(int) = *library.function<void(int)>("fake_hold");
  const char* (*failed)() = *library.function<const char*()>("fake_failed");
  int (*live)() = *library.function<int()>("fake_live");
  void (*forget)() = *library.function<void()>("fake_forget");
};

class CudaDevice : public testing::Test {
 protected:
  void SetUp() override { fake_.reset(0, 0); }
  void TearDown() override { EXPECT_EQ(fake_.live(), 0) << "left behind in the driver"; }
  Options options() const { return {.drain_timeout_ns = 20'000'000, .library = FAKE_DRIVER}; }

  Fake fake_;
};

std::span<const std::byte> pattern(std::size_t size) {
  static const std::vector<std::byte> bytes = [] {
    std::vector<std::byte> made(kLarge);
    for (std::size_t i = 0; i < made.size(); ++i) made[i] = std::byte(i * 31 >> 3);
    return made;
  }();
  return std::span(bytes).first(size);
}
// In one call, which a sanitizer checks as one.
bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}
KernelCode code() { return {.name = "k", .block = {64, 1, 1}, .parameters = 1, .ptx = ".version 6.0"}; }

// Every part of the device once; the first error ends it.
Status use(const Options& options) {
  auto device = open(options);
  if (!device) return device.error();
  auto a = (*device)->allocate(MemoryKind::device, kLarge);
  if (!a) return a.error();
  auto b = (*device)->allocate(MemoryKind::pinned, kLarge);
  if (!b) return b.error();
  alignas(4096) static std::byte page[4096];
  auto c = (*device)->import(page);
  if (!c) return c.error();
  auto kernel = (*device)->load(code());
  if (!kernel) return kernel.error();
  auto stream = (*device)->stream(), other = (*device)->stream();
  if (!stream) return stream.error();
  if (!other) return other.error();
  const Argument arguments[] = {Argument::buffer(**a, 4)};
  const auto large = pattern(kLarge);
  std::vector<std::byte> got(large.size());
  Stream& s = **stream;
  if (auto from = s.stamp(); !from) return from.error();
  if (Status r = s.upload(**a, 0, large); !r) return r;
  if (Status r = s.upload(**a, 0, large.first(1000)); !r) return r;
  if (Status r = s.launch(**kernel, {{4, 1, 1}}, arguments); !r) return r;
  if (Status r = s.copy(**b, 0, **a, 0, kLarge); !r) return r;
  if (Status r = s.fill(**a, 0, kLarge, 0); !r) return r;
  if (Status r = s.copy(**a, 0, **b, 0, kLarge); !r) return r;
  if (Status r = s.download(got, **a, 0); !r) return r;
  const auto to = s.stamp();
  if (!to) return to.error();
  if (Status r = (*other)->after(s, *to); !r) return r;
  if (Status r = (*other)->wait((*other)->last(), kLong); !r) return r;
  if (Status r = s.wait(*to, kLong); !r) return r;
  if (auto ms = s.elapsed_ms(1, *to); !ms) return ms.error();
  EXPECT_TRUE(same(got, large));
  return {};
}

TEST_F(CudaDevice, WorksWhereNothingFails) {
  const Status s = use(options());
  EXPECT_TRUE(s) << s.message();
  EXPECT_EQ(fake_.launches(), 1);
}

TEST_F(CudaDevice, AnyCallMayFail) {
  ASSERT_TRUE(use(options()));
  const int calls = fake_.calls();
  ASSERT_GT(calls, 50);
  for (const int with : {2, 700}) {  // out of memory; illegal address, which ends the context
    for (int at = 1; at <= calls; ++at) {
      fake_.reset(at, with);
      const Status s = use(options());
      ASSERT_NE(*fake_.failed(), 0) << "call " << at;
      // What fails while all is released has nobody left to tell; and two functions need not be there.
      if (s.ok()) {
        EXPECT_THAT(fake_.failed(),
                    AnyOf(StrEq("cuCtxPushCurrent"), StrEq("cuStreamQuery"),
                          StrEq(at == 44 || at == 45 ? "cuGetProcAddress" : "cuStreamQuery")));
      } else {
        EXPECT_FALSE(s.message().empty());
      }
      ASSERT_EQ(fake_.live(), 0) << "call " << at << ", " << fake_.failed() << ": " << s.message();
    }
  }
}

TEST_F(CudaDevice, SharedMemoryBeyondWhatATextDeclaresIsAllowedOnceAndGivenAtLaunch) {
  auto device = *open(options());
  EXPECT_EQ(device->info().shared_bytes_max, 227u * 1024);
  auto stream = *device->stream();
  const auto launch = [&](const Kernel& kernel) {
    const Argument arguments[] = {{}};
    return stream->launch(kernel, {{4, 1, 1}}, arguments);
  };
  KernelCode it = code();
  it.shared_bytes = 48 * 1024;
  const auto small = *device->load(it);
  EXPECT_EQ(fake_.allowed(), 0);
  it.shared_bytes = 48 * 1024 + 16;
  const auto large = *device->load(it);
  EXPECT_EQ(fake_.allowed(), 48 * 1024 + 16);
  it.shared_bytes = 227 * 1024;
  const auto largest = *device->load(it);
  EXPECT_EQ(fake_.allowed(), 227 * 1024);
  for (const auto& [kernel, bytes] :
       {std::pair{small.get(), 0u}, {large.get(), 48 * 1024 + 16u}, {largest.get(), 227 * 1024u}}) {
    ASSERT_TRUE(launch(*kernel));
    EXPECT_EQ(fake_.given(), bytes);
  }
  ASSERT_TRUE(stream->wait(stream->last(), kLong));
  it.shared_bytes = 227 * 1024 + 16;
  const auto refused = device->load(it);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::invalid_arg);
  for (const char* said : {"'k'", "232464", "232448", "driver double", "sm_90"})
    EXPECT_THAT(refused.error().message(), HasSubstr(said));
}

// In the middle of a load.
TEST_F(CudaDevice, WhatTheDriverDoesNotAllowIsSaid) {
  auto device = *open(options());
  KernelCode it = code();
  it.shared_bytes = 64 * 1024;
  fake_.reset(5, 1);  // context, module, function, cuFuncLoad; then the attribute
  const auto refused = device->load(it);
  ASSERT_FALSE(refused);
  EXPECT_STREQ(fake_.failed(), "cuFuncSetAttribute");
  EXPECT_THAT(refused.error().message(), HasSubstr("65536 bytes of shared memory"));
}

// A buffer and three numbers, in slots 0 to 3; two maps of it, and one of 64-bit numbers.
KernelCode mapped() {
  KernelCode it = code();
  it.parameters = 4;
  it.tensors = {
      {.buffer = 0, .rows = 1, .columns = 2, .step = 3, .element_bytes = 2, .box_rows = 64, .box_bytes = 128},
      {.buffer = 0,
       .rows = 2,
       .columns = 1,
       .step = 3,
       .element_bytes = 8,
       .box_rows = 256,
       .box_bytes = 16}};
  return it;
}

TEST_F(CudaDevice, TensorMapsAreEncodedAtLaunchAndGivenBehindTheBlock) {
  auto device = *open(options());
  auto stream = *device->stream();
  const auto kernel = *device->load(mapped());
  const auto buffer = *device->allocate(MemoryKind::device, 1 << 20);
  const Argument arguments[] = {Argument::buffer(*buffer, 2), {70, 0}, {60, 0}, {72, 0}};
  fake_.values(3);
  ASSERT_TRUE(stream->launch(*kernel, {{4, 1, 1}}, arguments));
  fake_.values(0);
  EXPECT_EQ(fake_.launches(), 1);
  EXPECT_EQ(fake_.value(0), buffer->address());
  EXPECT_EQ(fake_.value(1), 1000u);
  EXPECT_EQ(fake_.value(2), 1001u);
  const auto encoded = [&] {
    std::vector<unsigned long long> all;
    for (int i = 0; i < 14; ++i) all.push_back(fake_.encoded(i));
    return all;
  };
  // Type (UINT64), rank, address, columns, rows, bytes from row to row, the box's columns and rows, steps of
  // one element, no interleave, no swizzle, L2 fetches of 128 bytes, fill with zeros.
  EXPECT_THAT(encoded(),
              testing::ElementsAre(4, 2, buffer->address(), 70, 60, 72 * 8, 2, 256, 1, 1, 0, 0, 2, 0));
  KernelCode one = mapped();
  one.tensors.pop_back();
  const auto first = *device->load(one);
  ASSERT_TRUE(stream->launch(*first, {{4, 1, 1}}, arguments));
  EXPECT_THAT(encoded(),
              testing::ElementsAre(1, 2, buffer->address(), 60, 70, 72 * 2, 64, 64, 1, 1, 0, 3, 2, 0));
  fake_.reset(0, 0);
  ASSERT_TRUE(stream->launch(*first, {{0, 1, 1}}, {arguments}));  // no groups: nothing to map
  EXPECT_EQ(fake_.launches(), 0);
  ASSERT_TRUE(stream->wait(stream->last(), kLong));
}

TEST_F(CudaDevice, WhatCannotBeMappedIsSaidWithItsNumbers) {
  auto device = *open(options());
  auto stream = *device->stream();
  KernelCode it = mapped();
  it.tensors.pop_back();
  const auto kernel = *device->load(it);
  const std::uint64_t at = 0x7000;
  const auto refused = [&](const Argument& buffer, std::uint64_t rows, std::uint64_t columns,
                           std::uint64_t step) {
    const Argument arguments[] = {buffer, {rows, 0}, {columns, 0}, {step, 0}};
    const Status s = stream->launch(*kernel, {{4, 1, 1}}, arguments);
    EXPECT_EQ(s.code(), Code::invalid_arg);
    for (const char* said : {"launch of 'k'", "tensor map of parameter 0", "boxes of 64 rows of 128 bytes"})
      EXPECT_THAT(s.message(), HasSubstr(said));
    return s.message();
  };
  EXPECT_THAT(refused({at + 2, 10000}, 70, 60, 72), HasSubstr("0x7002 in a buffer of 10000"));
  EXPECT_THAT(refused({at, 10000}, 70, 60, 60), HasSubstr("70 x 60 elements of 2 bytes, 60 from row to row"));
  EXPECT_THAT(refused({at, 10000}, 70, 60, 56), HasSubstr("at least a row"));
  EXPECT_THAT(refused({at, 10000}, 0, 60, 64), HasSubstr("1 to 2^32 - 1 rows"));
  EXPECT_THAT(refused({at, 10000}, 70, 0, 64), HasSubstr("1 to 2^32 - 1 rows"));
  EXPECT_THAT(refused({at, 10000}, 70, 60, std::uint64_t{1} << 39), HasSubstr("below 2^40 bytes"));
  EXPECT_THAT(refused({at, 5027}, 70, 60, 72), HasSubstr("longer than the buffer"));
  const Argument fits[] = {{at, 5028}, {70, 0}, {60, 0}, {72, 0}};
  ASSERT_TRUE(stream->launch(*kernel, {{4, 1, 1}}, fits));  // and the stream goes on
  ASSERT_TRUE(stream->wait(stream->last(), kLong));
  fake_.reset(2, 1);  // context; then the map
  const Status s = stream->launch(*kernel, {{4, 1, 1}}, fits);
  EXPECT_STREQ(fake_.failed(), "cuTensorMapEncodeTiled");
  EXPECT_EQ(s.code(), Code::invalid_arg);
  for (const char* said : {"launch of 'k'", "tensor map of parameter 0", "70 x 60 elements", "FAKE_ERROR"})
    EXPECT_THAT(s.message(), HasSubstr(said));
  EXPECT_TRUE(stream->launch(*kernel, {{4, 1, 1}}, fits));
}

TEST_F(CudaDevice, TensorMapsThatAKernelCannotHaveAreRefused) {
  auto device = *open(options());
  const auto refused = [&](auto change) {
    KernelCode it = mapped();
    change(it);
    const auto r = device->load(it);
    return r ? "" : r.error().message();
  };
  EXPECT_EQ(refused([](KernelCode&) {}), "");
  EXPECT_THAT(refused([](KernelCode& it) { it.parameters = 3; }), HasSubstr("slots 0, 1, 2 and 3 of 3"));
  EXPECT_THAT(refused([](KernelCode& it) { it.tensors[1].element_bytes = 3; }),
              HasSubstr("elements of 3 bytes"));
  EXPECT_THAT(refused([](KernelCode& it) { it.tensors[1].box_bytes = 256; }), HasSubstr("rows of 256 bytes"));
  EXPECT_THAT(refused([](KernelCode& it) { it.tensors[1].box_rows = 257; }), HasSubstr("257"));
  // 4096 bytes of parameters: 30 maps and 16 slots, or 31 and 8.
  EXPECT_EQ(refused([](KernelCode& it) { it.tensors.resize(31, it.tensors[0]), it.parameters = 8; }), "");
  EXPECT_THAT(refused([](KernelCode& it) { it.tensors.resize(31, it.tensors[0]), it.parameters = 9; }),
              HasSubstr("9 parameters beside 31 tensor maps, at most 8"));
  EXPECT_THAT(refused([](KernelCode& it) { it.tensors.resize(32, it.tensors[0]); }), HasSubstr("at most 0"));
  EXPECT_THAT(refused([](KernelCode& it) { it.tensors.clear(), it.parameters = 257; }),
              HasSubstr("at most 256"));
  fake_.old(1);
  device = *open(options());
  EXPECT_THAT(refused([](KernelCode&) {}), HasSubstr("tensor maps"));
  EXPECT_EQ(device->load(mapped()).error().code(), Code::unsupported);
}

TEST_F(CudaDevice, AnOlderDriverWillDo) {
  fake_.old(1);
  const Status s = use(options());
  EXPECT_TRUE(s) << s.message();
}

TEST_F(CudaDevice, AFatalErrorLosesTheDeviceForEver) {
  auto device = *open(options());
  auto stream = *device->stream(), other = *device->stream();
  auto buffer = *device->allocate(MemoryKind::device, 64);
  fake_.reset(fake_.calls(), 0);
  ASSERT_TRUE(stream->fill(*buffer, 0, 64, 1));
  fake_.reset(2, 700);  // after the context: the query of the event
  const Status s = stream->wait(stream->last(), kLong);
  EXPECT_EQ(s.code(), Code::device_lost);
  EXPECT_THAT(s.message(), HasSubstr("FAKE_ERROR"));
  EXPECT_EQ(other->fill(*buffer, 0, 64, 1).code(), Code::device_lost);
  EXPECT_EQ(device->allocate(MemoryKind::pinned, 64).error().code(), Code::device_lost);
  EXPECT_EQ(device->stream().error().code(), Code::device_lost);
  EXPECT_EQ(other->wait(0, 0).code(), Code::device_lost);
}

TEST_F(CudaDevice, AnOperationEnqueuedInPartEndsItsStreamOnly) {
  auto device = *open(options());
  auto stream = *device->stream(), other = *device->stream();
  auto buffer = *device->allocate(MemoryKind::device, 64);
  fake_.reset(4, 999);  // context, event, fill; then the event's record
  const Status s = stream->fill(*buffer, 0, 64, 1);
  EXPECT_STREQ(fake_.failed(), "cuEventRecord");
  EXPECT_EQ(s.code(), Code::general);
  EXPECT_EQ(stream->fill(*buffer, 0, 64, 1).message(), s.message());
  EXPECT_EQ(stream->reached(0).error().message(), s.message());
  EXPECT_TRUE(other->fill(*buffer, 0, 64, 1));
}

TEST_F(CudaDevice, ARefusedOperationLeavesTheStreamWell) {
  auto device = *open(options());
  auto stream = *device->stream();
  auto buffer = *device->allocate(MemoryKind::device, 64);
  fake_.reset(3, 2);
  EXPECT_EQ(stream->fill(*buffer, 0, 64, 1).code(), Code::nomem);
  EXPECT_STREQ(fake_.failed(), "cuMemsetD8Async");
  EXPECT_EQ(stream->last(), 0u);
  EXPECT_TRUE(stream->fill(*buffer, 0, 64, 1));
  EXPECT_TRUE(stream->wait(1, kLong));
}

TEST_F(CudaDevice, WaitingIsBounded) {
  {
    auto device = *open(options());
    auto pinned = *device->allocate(MemoryKind::pinned, 64);
    {
      auto stream = *device->stream();
      fake_.hold(1);
      ASSERT_TRUE(stream->fill(*pinned, 0, 64, 1));
      EXPECT_EQ(stream->wait(1, 1'000'000).code(), Code::timeout);
      EXPECT_FALSE(*stream->reached(1));
      EXPECT_TRUE(*stream->reached(0));
      const int live = fake_.live();
      auto brief = *device->allocate(MemoryKind::pinned, 64);
      brief.reset();
      EXPECT_EQ(fake_.live(), live + 1) << "released while a kernel may run";
      fake_.hold(0);
      EXPECT_TRUE(stream->wait(1, kLong));
      EXPECT_EQ(fake_.live(), live);
      fake_.hold(1);
      ASSERT_TRUE(stream->fill(*pinned, 0, 64, 1));
    }  // ends although the work does not
    EXPECT_EQ(device->stream().error().code(), Code::device_lost);
  }
  EXPECT_GT(fake_.live(), 0) << "what the work may still use was released";
  fake_.forget();
}

TEST_F(CudaDevice, AFullStreamIsBusyAndRecovers) {
  auto device = *open(options());
  auto stream = *device->stream();
  auto buffer = *device->allocate(MemoryKind::device, 64);
  fake_.hold(1);
  Status s;
  int taken = 0;
  while ((s = stream->fill(*buffer, 0, 1, 0)).ok() && taken < 10'000) ++taken;
  EXPECT_EQ(s.code(), Code::busy);
  fake_.hold(0);
  EXPECT_TRUE(stream->wait(stream->last(), kLong));
  EXPECT_TRUE(stream->fill(*buffer, 0, 1, 0));
}

// Small uploads go round the stream's pinned memory; when it is full they find another way.
TEST_F(CudaDevice, UploadsKeepTheirBytesWhateverIsStaged) {
  auto device = *open(options());
  auto stream = *device->stream();
  auto buffer = *device->allocate(MemoryKind::device, 1 << 20);
  for (std::size_t round = 0; round < 200; ++round) {
    fake_.hold(round % 32 < 24);
    const auto bytes = pattern(1 + round * 7919 % (1 << 20));
    ASSERT_TRUE(stream->upload(*buffer, 0, bytes));
    std::vector<std::byte> got(bytes.size());
    ASSERT_TRUE(stream->download(got, *buffer, 0));
    ASSERT_TRUE(same(got, bytes)) << round;
  }
  fake_.hold(0);
}

TEST_F(CudaDevice, TheCompilersWordsAreInTheError) {
  auto device = *open(options());
  KernelCode bad = code();
  bad.ptx = "nonsense";
  const Status s = device->load(bad).error();
  EXPECT_EQ(s.code(), Code::unsupported);
  EXPECT_THAT(s.message(), HasSubstr("load of 'k'"));
  EXPECT_THAT(s.message(), HasSubstr("line 1: nonsense"));
  KernelCode wide = code();
  wide.block = {1024, 1, 1};
  EXPECT_THAT(device->load(wide).error().message(), HasSubstr("512 would fit"));
}

// PTX of other makers has its own parameters, where ours is one block; neither is launched as the other.
TEST_F(CudaDevice, ParametersOfOtherMakersGoOneByOne) {
  auto device = *open(options());
  auto kernel = *dynamic_cast<ShaderDevice&>(*device).load_shader(
      {.name = "text", .entry = "k", .block = {32, 1, 1}, .ptx = ".version 6.0", .parameters = 2});
  auto ours = *device->load(code());
  auto stream = *device->stream();
  auto& shaders = dynamic_cast<ShaderStream&>(*stream);
  const std::uint64_t values[] = {0x1234567890, 7};
  fake_.values(2);
  EXPECT_TRUE(shaders.launch_shader(*kernel, {}, {.values = values}));
  fake_.values(0);
  EXPECT_EQ(fake_.value(0), values[0]);
  EXPECT_EQ(fake_.value(1), 7u);
  const Argument block[2] = {};
  EXPECT_THAT(stream->launch(*kernel, {}, block).message(), HasSubstr("2 separate parameters"));
  EXPECT_EQ(shaders.launch_shader(*kernel, {}, {.values = std::span(values).first(1)}).code(),
            Code::invalid_arg);
  EXPECT_EQ(shaders.launch_shader(*ours, {}, {.values = std::span(values).first(1)}).code(),
            Code::invalid_arg);
}

TEST_F(CudaDevice, AbsenceIsSaidWithItsRemedy) {
  const Probe none = probe("libgpuio_no_such_driver.so");
  EXPECT_TRUE(none.devices.empty());
  EXPECT_THAT(none.reason, HasSubstr("libgpuio_no_such_driver.so not found: install the NVIDIA driver"));
  EXPECT_EQ(open({.library = "libgpuio_no_such_driver.so"}).error().code(), Code::not_found);
  const Probe old = probe("libm.so.6");
  EXPECT_THAT(old.reason, HasSubstr("update the NVIDIA driver"));
  fake_.reset(46, 100);  // after the functions, cuInit
  const Probe empty = probe(FAKE_DRIVER);
  EXPECT_STREQ(fake_.failed(), "cuInit");
  EXPECT_THAT(empty.reason, HasSubstr("no NVIDIA GPU"));
  fake_.reset(0, 0);
  const Probe found = probe(FAKE_DRIVER);
  ASSERT_EQ(found.devices.size(), 1u);
  EXPECT_EQ(found.devices[0].info.major, 9);
  Options third = options();
  third.ordinal = 2;
  EXPECT_EQ(open(third).error().code(), Code::not_found);
}

}  // namespace
}  // namespace gpuio::gpu::cuda
