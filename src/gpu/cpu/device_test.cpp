// What the conformance suite cannot know: how the CPU device's threads share work, and how it gives up.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "gpu/cpu/cpu.hpp"

namespace gpuio::gpu::cpu {
namespace {

constexpr std::uint64_t kLong = 20'000'000'000;

std::unique_ptr<Device> device_of(Options options) {
  auto device = open(options);
  EXPECT_TRUE(device) << device.error().message();
  return std::move(*device);
}

KernelCode code(Status (*run)(const Workgroup&), std::uint32_t parameters) {
  return {.name = "test", .parameters = parameters, .native = {.run = run, .data = {}}};
}

// Two flags: the kernel raises the first and waits for the second.
struct Handshake {
  std::atomic<int> here{0};
  std::atomic<bool> go{false};
  Argument argument() { return {reinterpret_cast<std::uintptr_t>(this), 1}; }
};
Status wait_for_host(const Workgroup& w) {
  auto& flags = *reinterpret_cast<Handshake*>(w.arguments[0].value);
  flags.here.fetch_add(1);
  while (!flags.go.load()) std::this_thread::yield();
  return {};
}
Status count(const Workgroup& w) {
  reinterpret_cast<std::atomic<int>*>(w.arguments[0].value)->fetch_add(1);
  return {};
}
Status refuse(const Workgroup& w) {
  if (w.group[0] == 3) return error(Code::invalid_address, "line 7: index 9 of 8");
  return {};
}

TEST(CpuDevice, AWaitingLaunchHoldsNoOtherStream) {
  auto device = device_of({.threads = 2});
  auto waiting = *device->load(code(wait_for_host, 1));
  auto counting = *device->load(code(count, 1));
  auto slow = *device->stream(), fast = *device->stream();
  Handshake flags;
  const Argument handshake[] = {flags.argument()};
  ASSERT_TRUE(slow->launch(*waiting, {.groups = {8, 1, 1}}, handshake));
  while (flags.here.load() < 2) std::this_thread::yield();  // both threads of the pool are held

  std::atomic<int> counter{0};
  const Argument arguments[] = {{reinterpret_cast<std::uintptr_t>(&counter), 1}};
  auto buffer = *device->allocate(MemoryKind::device, 64);
  ASSERT_TRUE(fast->launch(*counting, {.groups = {100, 1, 1}}, arguments));
  ASSERT_TRUE(fast->fill(*buffer, 0, 64, 7));
  ASSERT_TRUE(fast->wait(fast->last(), kLong));
  EXPECT_EQ(counter.load(), 100);
  EXPECT_EQ(buffer->host()[63], std::byte{7});
  EXPECT_FALSE(*slow->reached(slow->last()));
  flags.go = true;
  ASSERT_TRUE(slow->wait(slow->last(), kLong));
  EXPECT_EQ(flags.here.load(), 8);
}

TEST(CpuDevice, AGroupsErrorFailsTheStreamByName) {
  auto device = device_of({.threads = 2});
  auto kernel = *device->load(code(refuse, 0));
  auto stream = *device->stream();
  ASSERT_TRUE(stream->launch(*kernel, {.groups = {64, 1, 1}}, {}));
  const Status s = stream->wait(stream->last(), kLong);
  EXPECT_EQ(s.code(), Code::invalid_address);
  EXPECT_EQ(s.message(), "kernel test: line 7: index 9 of 8");
  auto buffer = *device->allocate(MemoryKind::device, 8);
  EXPECT_EQ(stream->fill(*buffer, 0, 8, 1).code(), Code::invalid_address);
  auto other = *device->stream();  // the device itself is well
  ASSERT_TRUE(other->fill(*buffer, 0, 8, 1));
  EXPECT_TRUE(other->wait(other->last(), kLong));
}

TEST(CpuDevice, AFailureReachesStreamsThatWaitForIt) {
  auto device = device_of({.threads = 1});
  auto kernel = *device->load(code(refuse, 0));
  auto first = *device->stream(), second = *device->stream();
  ASSERT_TRUE(first->launch(*kernel, {.groups = {4, 1, 1}}, {}));
  ASSERT_TRUE(second->after(*first, first->last()));
  const Status s = second->wait(second->last(), kLong);
  EXPECT_EQ(s.code(), Code::invalid_address);
  EXPECT_TRUE(s.message().starts_with("after a stream that failed: ")) << s.message();
}

TEST(CpuDevice, AKernelThatNeverReturnsLosesTheDevice) {
  static Handshake flags;  // outlives the threads that are abandoned
  {
    auto device = device_of({.threads = 2, .mask = {}, .drain_timeout_ns = 50'000'000});
    auto kernel = *device->load(code(wait_for_host, 1));
    auto healthy = *device->stream();
    {
      auto stuck = *device->stream();
      const Argument arguments[] = {flags.argument()};
      ASSERT_TRUE(stuck->launch(*kernel, {.groups = {2, 1, 1}}, arguments));
      while (flags.here.load() < 2) std::this_thread::yield();
    }
    EXPECT_EQ(healthy->wait(0, 0).code(), Code::device_lost);
    EXPECT_EQ(device->allocate(MemoryKind::device, 8).error().code(), Code::device_lost);
    EXPECT_EQ(device->stream().error().code(), Code::device_lost);
  }
  flags.go = true;  // lets the abandoned threads end
}

TEST(CpuDevice, AFullQueueAnswersBusyAndRecovers) {
  auto device = device_of({.threads = 1});
  auto kernel = *device->load(code(wait_for_host, 1));
  auto stream = *device->stream();
  auto buffer = *device->allocate(MemoryKind::device, 8);
  Handshake flags;
  const Argument arguments[] = {flags.argument()};
  ASSERT_TRUE(stream->launch(*kernel, {}, arguments));
  Status s;
  int taken = 0;
  while ((s = stream->fill(*buffer, 0, 1, 0)).ok() && taken < 1'000'000) ++taken;
  EXPECT_EQ(s.code(), Code::busy);
  flags.go = true;
  ASSERT_TRUE(stream->wait(stream->last(), kLong));
  EXPECT_TRUE(stream->fill(*buffer, 0, 1, 0));
  EXPECT_TRUE(stream->wait(stream->last(), kLong));
}

TEST(CpuDevice, RefusesAKernelWithoutNativeForm) {
  auto device = device_of({.threads = 1});
  auto kernel = device->load({.name = "ptx_only", .ptx = ".version 7.0"});
  ASSERT_FALSE(kernel);
  EXPECT_EQ(kernel.error().code(), Code::unsupported);
  EXPECT_NE(kernel.error().message().find("ptx_only"), std::string::npos);
}

TEST(CpuDevice, ProbeFindsItAlways) {
  const Probe found = probe();
  ASSERT_EQ(found.devices.size(), 1u);
  EXPECT_EQ(found.devices[0].info.backend, Backend::cpu);
  EXPECT_TRUE(found.devices[0].info.kernel_wait.available);
  EXPECT_EQ(open({.threads = 100'000}).error().code(), Code::invalid_arg);
}

}  // namespace
}  // namespace gpuio::gpu::cpu
