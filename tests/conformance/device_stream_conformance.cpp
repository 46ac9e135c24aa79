// Order, points, time stamps, several streams and threads, capabilities.
#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "conformance/device_conformance.hpp"
#include "conformance/device_kernels.hpp"
#include "conformance/device_must.hpp"

namespace gpuio::conformance {
namespace {

using gpu::Argument;
using gpu::MemoryKind;
using gpu::Point;
using ::testing::HasSubstr;

// The host's end of the kernel `handshake`.
class Held {
 public:
  Held(gpu::Buffer& flags) : words_(reinterpret_cast<std::uint32_t*>(flags.host())) {
    words_[0] = words_[1] = 0;
  }
  ~Held() { let_go(); }  // so that a failing test ends
  bool arrived() const { return std::atomic_ref(words_[0]).load(std::memory_order_acquire) != 0; }
  void wait_arrived() const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(kLong);
    while (!arrived()) {
      if (std::chrono::steady_clock::now() > end) throw std::runtime_error("the kernel did not start");
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  void let_go() { std::atomic_ref(words_[1]).store(1, std::memory_order_release); }

 private:
  std::uint32_t* words_;
};

TEST_P(DeviceConformance, OperationsOfAStreamRunInOrder) {
  constexpr std::uint32_t kWords = 1000;
  auto a = make(MemoryKind::device, kWords * 4), b = make(MemoryKind::device, kWords * 4);
  auto scale = load(scale_then_add());
  auto add = load(add_to_each());
  write(*a, std::vector<std::uint32_t>(kWords, 1));
  std::vector<std::uint32_t> expected(kWords, 1);
  for (std::uint32_t round = 0; round < 30; ++round) {
    const Argument on_a[] = {Argument::buffer(*a, 4)};
    const Argument on_b[] = {Argument::buffer(*b, 4), {round, 0}};
    must(stream_->launch(*scale, {{(kWords + 63) / 64, 1, 1}}, on_a));
    must(stream_->copy(*b, 0, *a, 0, kWords * 4));
    must(stream_->launch(*add, {{(kWords + 63) / 64, 1, 1}}, on_b));
    must(stream_->fill(*b, 4 * (round % kWords), 4, 0));
    must(stream_->copy(*a, 0, *b, 0, kWords * 4));
    for (std::uint32_t& x : expected) x = x * 3 + 1 + round;
    expected[round % kWords] = 0;
  }
  EXPECT_EQ(read_words(*a, kWords), expected);
}

TEST_P(DeviceConformance, PointsMoveForwardAndAreReached) {
  auto fresh = must(device_->stream());
  EXPECT_EQ(fresh->last(), 0u);
  EXPECT_TRUE(must(fresh->reached(0)));
  EXPECT_TRUE(fresh->wait(0, 0));
  auto buffer = make(MemoryKind::device, 64);
  Point before = 0;
  for (int i = 0; i < 10; ++i) {
    must(fresh->fill(*buffer, 0, 64, std::uint8_t(i)));
    EXPECT_GT(fresh->last(), before);
    before = fresh->last();
  }
  must(fresh->wait(before, kLong));
  for (Point p = 0; p <= before; ++p) EXPECT_TRUE(must(fresh->reached(p)));
}

TEST_P(DeviceConformance, PointsNobodyEnqueuedAreRefused) {
  auto other = must(device_->stream());
  auto buffer = make(MemoryKind::device, 64);
  must(stream_->fill(*buffer, 0, 64, 1));
  const Point beyond = stream_->last() + 1;
  EXPECT_EQ(stream_->wait(beyond, 0).code(), Code::invalid_arg);
  EXPECT_EQ(stream_->reached(beyond).error().code(), Code::invalid_arg);
  EXPECT_EQ(other->after(*stream_, beyond).code(), Code::invalid_arg);
  finish();
}

TEST_P(DeviceConformance, WaitingForAKernelThatWaits) {
  if (!device_->info().kernel_wait.available) GTEST_SKIP() << device_->info().kernel_wait.reason;
  auto flags = make(MemoryKind::pinned, 8);
  Held held(*flags);
  auto kernel = load(handshake());
  const Argument arguments[] = {Argument::buffer(*flags, 4)};
  must(stream_->fill(*flags, 4, 4, 0));
  const Point before = stream_->last();
  must(stream_->launch(*kernel, {}, arguments));
  const Point during = stream_->last();
  held.wait_arrived();
  EXPECT_TRUE(must(stream_->reached(before)));
  EXPECT_FALSE(must(stream_->reached(during)));
  for (const std::uint64_t ns : {0ull, 2'000'000ull}) {
    const Status s = stream_->wait(during, ns);
    EXPECT_EQ(s.code(), Code::timeout) << s.message();
  }
  EXPECT_TRUE(stream_->wait(before, 0));
  held.let_go();
  must(stream_->wait(during, kLong));
  EXPECT_TRUE(must(stream_->reached(during)));
}

TEST_P(DeviceConformance, OtherStreamsGoOnWhileAKernelWaits) {
  const gpu::DeviceInfo& info = device_->info();
  if (!info.kernel_wait.available) GTEST_SKIP() << info.kernel_wait.reason;
  if (!info.overlap.available) GTEST_SKIP() << info.overlap.reason;
  auto flags = make(MemoryKind::pinned, 8);
  Held held(*flags);
  auto waits = load(handshake());
  auto add = load(add_to_each());
  const Argument on_flags[] = {Argument::buffer(*flags, 4)};
  auto data = make(MemoryKind::device, 256);
  const Argument on_data[] = {Argument::buffer(*data, 4), {3, 0}};
  auto other = must(device_->stream());
  must(stream_->launch(*waits, {}, on_flags));
  held.wait_arrived();
  must(other->fill(*data, 0, 256, 0));
  must(other->launch(*add, {}, on_data));
  std::uint32_t word = 0;
  must(other->download(std::as_writable_bytes(std::span(&word, 1)), *data, 252));
  must(other->wait(other->last(), kLong));
  EXPECT_EQ(word, 3u);
  EXPECT_FALSE(must(stream_->reached(stream_->last())));
  held.let_go();
  finish();
}

TEST_P(DeviceConformance, AfterOrdersStreams) {
  auto first = must(device_->stream()), second = must(device_->stream());
  auto data = make(MemoryKind::device, 64 * 4);
  auto scale = load(scale_then_add());
  const Argument arguments[] = {Argument::buffer(*data, 4)};
  must(first->fill(*data, 0, 256, 0));
  std::uint32_t expected = 0;
  for (int round = 0; round < 30; ++round) {
    must(first->launch(*scale, {}, arguments));
    must(second->after(*first, first->last()));
    must(second->launch(*scale, {}, arguments));
    must(first->after(*second, second->last()));
    expected = (expected * 3 + 1) * 3 + 1;
  }
  std::uint32_t words[64];
  must(first->download(std::as_writable_bytes(std::span(words)), *data, 0));
  must(first->wait(first->last(), kLong));
  for (const std::uint32_t w : words) ASSERT_EQ(w, expected);
  must(first->after(*first, first->last()));  // no more than its own order
  must(first->wait(first->last(), kLong));
}

TEST_P(DeviceConformance, StampsMeasureTime) {
  if (!device_->info().timestamps.available) GTEST_SKIP() << device_->info().timestamps.reason;
  auto out = make(MemoryKind::device, 64 * 4);
  auto kernel = load(busy(64));
  const Argument small[] = {Argument::buffer(*out, 4), {10, 0}};
  const Argument large[] = {Argument::buffer(*out, 4), {10'000, 0}};
  must(stream_->fill(*out, 0, 4, 0));
  const Point no_stamp = stream_->last();
  const Point a = must(stream_->stamp());
  EXPECT_EQ(a, stream_->last());
  must(stream_->launch(*kernel, {}, small));
  const Point b = must(stream_->stamp());
  must(stream_->launch(*kernel, {}, large));
  const Point c = must(stream_->stamp());
  finish();
  const double ab = must(stream_->elapsed_ms(a, b)), bc = must(stream_->elapsed_ms(b, c));
  EXPECT_GE(ab, 0.0);
  EXPECT_GT(bc, 0.0);
  EXPECT_NEAR(must(stream_->elapsed_ms(a, c)), ab + bc, 1e-3 + (ab + bc) * 1e-6);
  EXPECT_EQ(must(stream_->elapsed_ms(b, b)), 0.0);
  EXPECT_NEAR(must(stream_->elapsed_ms(c, b)), -bc, 1e-3);
  EXPECT_EQ(stream_->elapsed_ms(no_stamp, c).error().code(), Code::invalid_arg);
  EXPECT_EQ(stream_->elapsed_ms(a, c + 1).error().code(), Code::invalid_arg);
}

TEST_P(DeviceConformance, AStampNotReachedIsBusy) {
  const gpu::DeviceInfo& info = device_->info();
  if (!info.timestamps.available) GTEST_SKIP() << info.timestamps.reason;
  if (!info.kernel_wait.available) GTEST_SKIP() << info.kernel_wait.reason;
  auto flags = make(MemoryKind::pinned, 8);
  Held held(*flags);
  auto kernel = load(handshake());
  const Argument arguments[] = {Argument::buffer(*flags, 4)};
  const Point a = must(stream_->stamp());
  must(stream_->launch(*kernel, {}, arguments));
  const Point b = must(stream_->stamp());
  held.wait_arrived();
  EXPECT_EQ(stream_->elapsed_ms(a, b).error().code(), Code::busy);
  held.let_go();
  finish();
  EXPECT_GT(must(stream_->elapsed_ms(a, b)), 0.0);
}

TEST_P(DeviceConformance, TheEndOfAStreamWaitsForItsWork) {
  auto data = make(MemoryKind::pinned, 4096 * 4);
  auto kernel = load(busy(64));
  const Argument arguments[] = {Argument::buffer(*data, 4), {2000, 0}};
  {
    auto brief = must(device_->stream());
    for (int i = 0; i < 8; ++i) must(brief->launch(*kernel, {{64, 1, 1}}, arguments));
  }
  const auto* const words = reinterpret_cast<const std::uint32_t*>(data->host());
  for (std::uint32_t i = 0; i < 4096; i += 97) ASSERT_EQ(words[i], busy_result(i, 2000)) << i;
}

TEST_P(DeviceConformance, AStreamAThread) {
  constexpr std::uint32_t kThreads = 4, kWords = 640, kRounds = 15;
  auto scale = load(scale_then_add());
  std::vector<std::string> errors(kThreads);
  const auto work = [&](std::uint32_t t) {
    auto stream = must(device_->stream());
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      auto data = must(device_->allocate(round % 2 ? MemoryKind::pinned : MemoryKind::device, kWords * 4));
      std::vector<std::uint32_t> words(kWords, t * 1000 + round);
      const Argument arguments[] = {Argument::buffer(*data, 4)};
      must(stream->upload(*data, 0, std::as_bytes(std::span(words))));
      must(stream->launch(*scale, {{kWords / 64, 1, 1}}, arguments));
      must(stream->download(std::as_writable_bytes(std::span(words)), *data, 0));
      must(stream->wait(stream->last(), kLong));
      for (const std::uint32_t w : words)
        if (w != (t * 1000 + round) * 3 + 1) throw std::runtime_error("wrong word " + std::to_string(w));
    }
  };
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      try {
        work(t);
      } catch (const std::exception& e) {
        errors[t] = e.what();
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_THAT(errors, ::testing::Each(""));
}

TEST_P(DeviceConformance, AGivenUpDeviceIsNotWaitedFor) {
  if (!device_->info().kernel_wait.available) GTEST_SKIP() << device_->info().kernel_wait.reason;
  const auto child = [this] {
    auto flags = make(MemoryKind::pinned, 8);
    std::memset(flags->host(), 0, 8);
    auto kernel = load(handshake());
    const Argument arguments[] = {Argument::buffer(*flags, 4)};
    must(stream_->launch(*kernel, {}, arguments));
    const auto begin = std::chrono::steady_clock::now();
    device_->give_up();
    const bool lost = stream_->wait(stream_->last(), kLong).code() == Code::device_lost &&
                      stream_->fill(*flags, 0, 8, 0).code() == Code::device_lost &&
                      device_->stream().error().code() == Code::device_lost &&
                      device_->allocate(MemoryKind::pinned, 8).error().code() == Code::device_lost;
    kernel.reset();
    flags.reset();
    stream_.reset();
    device_.reset();
    const bool at_once = std::chrono::steady_clock::now() - begin < std::chrono::seconds(20);
    std::_Exit(lost && at_once ? 0 : 1);
  };
  // In a process of its own: the kernel never ends.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}

TEST_P(DeviceConformance, ErrorsStickToTheirStream) {
  if (!GetParam().break_stream)
    GTEST_SKIP() << GetParam().name << " has no way to fail without losing the device";
  auto data = make(MemoryKind::device, 64);
  auto other = must(device_->stream());
  must(GetParam().break_stream(*device_, *stream_));
  const Status first = stream_->wait(stream_->last(), kLong);
  ASSERT_FALSE(first);
  EXPECT_NE(first.code(), Code::timeout);
  EXPECT_EQ(stream_->fill(*data, 0, 64, 1).code(), first.code());
  EXPECT_EQ(stream_->reached(0).error().code(), first.code());
  EXPECT_EQ(stream_->wait(0, 0).message(), first.message());
  must(other->fill(*data, 0, 64, 1));
  must(other->wait(other->last(), kLong));
}

TEST_P(DeviceConformance, EachCapabilityCanBeMasked) {
  struct Case {
    gpu::Mask mask;
    gpu::Capability gpu::DeviceInfo::* capability;
  };
  const Case cases[] = {
      {{.kernel_io = true}, &gpu::DeviceInfo::kernel_io},
      {{.kernel_io = true}, &gpu::DeviceInfo::kernel_wait},
      {{.kernel_wait = true}, &gpu::DeviceInfo::kernel_wait},
      {{.import_host = true}, &gpu::DeviceInfo::import_host},
      {{.timestamps = true}, &gpu::DeviceInfo::timestamps},
      {{.native_code = true}, &gpu::DeviceInfo::native_code},
  };
  for (const Case& c : cases) {
    stream_.reset();
    device_ = open(c.mask);
    stream_ = must(device_->stream());
    const gpu::Capability& capability = device_->info().*c.capability;
    EXPECT_FALSE(capability.available);
    EXPECT_FALSE(capability.reason.empty());
    if (c.mask.import_host) {
      alignas(4096) static std::byte page[4096];
      const Status s = device_->import(page).error();
      EXPECT_EQ(s.code(), Code::unsupported);
      EXPECT_THAT(s.message(), HasSubstr(capability.reason));
    }
    if (c.mask.timestamps) {
      EXPECT_EQ(stream_->stamp().error().code(), Code::unsupported);
    }
    auto data = make(MemoryKind::device, 256);
    auto add = load(add_to_each());
    const Argument arguments[] = {Argument::buffer(*data, 4), {9, 0}};
    must(stream_->fill(*data, 0, 256, 0));
    launch(*add, {}, arguments);
    EXPECT_EQ(read_words(*data, 64), std::vector<std::uint32_t>(64, 9));
  }
}

}  // namespace
}  // namespace gpuio::conformance
