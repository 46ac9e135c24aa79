// The device contract as tests, written once and run over every device.
//
// A back end instantiates the suite in a test of its own:
//
//   INSTANTIATE_TEST_SUITE_P(Cpu, DeviceConformance, ::testing::Values(DeviceUnderTest{
//       .name = "cpu", .open = [](gpu::Mask m) {...}, .compile = [](const kernel::View& v) {...}}));
//
// Where `open` answers an error the tests skip and print it. What a device cannot do is read from its
// capabilities, and the tests that need it skip with the capability's reason.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "gpu/device.hpp"

namespace gpuio::conformance {

// A kernel in the form that one back end takes, and what its spans and views point into.
struct CompiledKernel {
  gpu::KernelCode code;
  std::shared_ptr<const void> storage;
};

struct DeviceUnderTest {
  std::string name;
  std::function<Result<std::unique_ptr<gpu::Device>>(gpu::Mask)> open;
  std::function<Result<CompiledKernel>(const kernel::View&)> compile;
  // Makes a stream fail without losing the device; empty where a back end has no way to.
  std::function<Status(gpu::Device&, gpu::Stream&)> break_stream{};
};
inline std::ostream& operator<<(std::ostream& to, const DeviceUnderTest& device) { return to << device.name; }

// The name, block, shared memory and parameter count of a kernel: what `compile` fills in first.
gpu::KernelCode describe(const kernel::View& view);

class DeviceConformance : public ::testing::TestWithParam<DeviceUnderTest> {
 protected:
  void SetUp() override;

  std::unique_ptr<gpu::Device> open(gpu::Mask mask);
  std::unique_ptr<gpu::Kernel> load(const kernel::Program& program);
  std::unique_ptr<gpu::Buffer> make(gpu::MemoryKind kind, std::uint64_t size);
  void write(gpu::Buffer& to, std::span<const std::uint32_t> words);
  std::vector<std::uint32_t> read_words(const gpu::Buffer& from, std::uint64_t count);
  // Launches on the fixture's stream and waits.
  void launch(const gpu::Kernel& kernel, gpu::Grid grid, std::span<const gpu::Argument> arguments);
  void finish();

  // In order of destruction: the device last.
  std::unique_ptr<gpu::Device> device_;
  std::unique_ptr<gpu::Stream> stream_;
};

}  // namespace gpuio::conformance
