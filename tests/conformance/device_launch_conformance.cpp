// Kernels: grids, arguments, shared memory, what is refused.
#include <gmock/gmock.h>

#include <numeric>

#include "conformance/device_conformance.hpp"
#include "conformance/device_kernels.hpp"
#include "conformance/device_must.hpp"

namespace gpuio::conformance {
namespace {

using gpu::Argument;
using gpu::Grid;
using gpu::MemoryKind;
using ::testing::HasSubstr;

TEST_P(DeviceConformance, EveryLaneOfEveryGroupRunsOnce) {
  struct Case {
    std::array<std::uint32_t, 3> block;
    Grid grid;
  };
  const Case cases[] = {
      {{1, 1, 1}, {{1, 1, 1}}},     {{64, 1, 1}, {{1031, 1, 1}}}, {{33, 1, 1}, {{7, 1, 1}}},
      {{8, 4, 2}, {{5, 3, 2}}},     {{1, 1, 64}, {{3, 1, 9}}},    {{5, 3, 7}, {{2, 11, 1}}},
      {{1, 1, 1}, {{65535, 1, 1}}}, {{2, 1, 1}, {{1, 65535, 1}}}, {{2, 1, 1}, {{1, 1, 65535}}}};
  for (const Case& c : cases) {
    const std::uint32_t lanes = c.block[0] * c.block[1] * c.block[2];
    const std::uint32_t total = lanes * c.grid.groups[0] * c.grid.groups[1] * c.grid.groups[2];
    SCOPED_TRACE(total);
    auto out = make(MemoryKind::device, total * 4);
    must(stream_->fill(*out, 0, total * 4, 0xff));
    auto kernel = load(write_global_index(c.block));
    const Argument arguments[] = {Argument::buffer(*out, 4)};
    launch(*kernel, c.grid, arguments);
    std::vector<std::uint32_t> expected(total);
    std::iota(expected.begin(), expected.end(), 0u);
    EXPECT_EQ(read_words(*out, total), expected);
  }
}

TEST_P(DeviceConformance, TheLargestWorkgroup) {
  const std::uint32_t most = device_->info().lanes_max;
  auto counter = make(MemoryKind::device, most * 4);
  auto kernel = load(write_global_index({most, 1, 1}));
  const Argument arguments[] = {Argument::buffer(*counter, 4)};
  launch(*kernel, {}, arguments);
  EXPECT_EQ(read_words(*counter, most).back(), most - 1);

  auto compiled = GetParam().compile(write_global_index({most + 1, 1, 1}).view());
  if (!compiled) return;  // refused even earlier
  auto refused = device_->load(compiled->code);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::invalid_arg);
  EXPECT_THAT(refused.error().message(), HasSubstr(std::to_string(most)));
}

TEST_P(DeviceConformance, ArgumentsOfEveryCount) {
  auto nothing_to_pass = load(nothing());
  launch(*nothing_to_pass, {{3, 1, 1}}, {});
  for (std::uint32_t scalars : {0u, 1u, 2u, 3u, 7u, 8u, 15u, 16u, 31u, 39u}) {
    SCOPED_TRACE(scalars);
    auto out = make(MemoryKind::device, 40 * 8);
    must(stream_->fill(*out, 0, 40 * 8, 0));
    auto kernel = load(copy_arguments(scalars));
    std::vector<Argument> arguments{Argument::buffer(*out, 8)};
    for (std::uint32_t k = 0; k < scalars; ++k) arguments.push_back({argument_bits(k), 0});
    launch(*kernel, {}, arguments);
    std::vector<std::uint64_t> got(40), expected(40);
    must(stream_->download(std::as_writable_bytes(std::span(got)), *out, 0));
    finish();
    for (std::uint32_t k = 0; k < scalars; ++k) expected[k] = argument_bits(k);
    EXPECT_EQ(got, expected);
  }
}

TEST_P(DeviceConformance, ArgumentsAreReadAtTheLaunch) {
  auto data = make(MemoryKind::device, 256);
  auto add = load(add_to_each());
  must(stream_->fill(*data, 0, 256, 0));
  Argument arguments[] = {Argument::buffer(*data, 4), {0, 0}};
  for (std::uint32_t i = 1; i <= 100; ++i) {
    arguments[1].value = i;
    must(stream_->launch(*add, {}, arguments));
    arguments[1].value = 1'000'000;
  }
  EXPECT_EQ(read_words(*data, 64), std::vector<std::uint32_t>(64, 5050));
}

TEST_P(DeviceConformance, WrongArgumentsAndGridsAreRefusedByName) {
  auto data = make(MemoryKind::device, 256);
  auto add = load(add_to_each());
  const Argument one[] = {Argument::buffer(*data, 4)};
  const Argument three[] = {one[0], {1, 0}, {2, 0}};
  for (const std::span<const Argument> arguments :
       {std::span<const Argument>(one), std::span<const Argument>(three)}) {
    const Status s = stream_->launch(*add, {}, arguments);
    EXPECT_EQ(s.code(), Code::invalid_arg);
    EXPECT_THAT(s.message(), HasSubstr("add_to_each"));
  }
  const Argument two[] = {one[0], {1, 0}};
  for (std::uint32_t d = 0; d < 3; ++d) {
    Grid grid;
    grid.groups[d] = 65536;
    const Status s = stream_->launch(*add, grid, two);
    EXPECT_EQ(s.code(), Code::invalid_arg);
    EXPECT_THAT(s.message(), HasSubstr("65536"));
  }
  EXPECT_EQ(stream_->last(), 0u);
}

TEST_P(DeviceConformance, CodeOfAnotherBackEndIsRefused) {
  auto kernel = device_->load({.name = "formless"});
  ASSERT_FALSE(kernel);
  EXPECT_EQ(kernel.error().code(), Code::unsupported);
  EXPECT_THAT(kernel.error().message(), HasSubstr("formless"));
}

TEST_P(DeviceConformance, SharedMemoryIsTheGroups) {
  constexpr std::uint32_t kLanes = 96, kGroups = 17;
  for (const std::uint32_t words : {kLanes, device_->info().shared_bytes_max / 4}) {
    SCOPED_TRACE(words);
    auto in = make(MemoryKind::device, kLanes * kGroups * 4),
         out = make(MemoryKind::device, kLanes * kGroups * 4);
    std::vector<std::uint32_t> input(kLanes * kGroups), expected;
    std::iota(input.begin(), input.end(), 5u);
    write(*in, input);
    auto kernel = load(reverse_in_shared(kLanes, words));
    const Argument arguments[] = {Argument::buffer(*in, 4), Argument::buffer(*out, 4)};
    launch(*kernel, {{kGroups, 1, 1}}, arguments);
    for (std::uint32_t g = 0; g < kGroups; ++g)
      for (std::uint32_t i = 0; i < kLanes; ++i) expected.push_back(input[g * kLanes + kLanes - 1 - i]);
    EXPECT_EQ(read_words(*out, kLanes * kGroups), expected);
  }
  auto compiled =
      GetParam().compile(reverse_in_shared(kLanes, device_->info().shared_bytes_max / 4 + 1).view());
  if (!compiled) return;  // refused even earlier
  auto refused = device_->load(compiled->code);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::invalid_arg);
  EXPECT_THAT(refused.error().message(), HasSubstr(std::to_string(device_->info().shared_bytes_max)));
}

TEST_P(DeviceConformance, BarriersOrderSharedMemory) {
  constexpr std::uint32_t kGroups = 50;
  for (const std::uint32_t lanes : {2u, 32u, 128u}) {
    SCOPED_TRACE(lanes);
    auto in = make(MemoryKind::device, lanes * kGroups * 4), out = make(MemoryKind::device, kGroups * 4);
    std::vector<std::uint32_t> input(lanes * kGroups), expected;
    for (std::uint32_t i = 0; i < input.size(); ++i) input[i] = i * i + 1;
    write(*in, input);
    auto kernel = load(block_sum(lanes));
    const Argument arguments[] = {Argument::buffer(*in, 4), Argument::buffer(*out, 4)};
    launch(*kernel, {{kGroups, 1, 1}}, arguments);
    for (std::uint32_t g = 0; g < kGroups; ++g)
      expected.push_back(std::accumulate(input.begin() + g * lanes, input.begin() + (g + 1) * lanes, 0u));
    EXPECT_EQ(read_words(*out, kGroups), expected);
  }
}

TEST_P(DeviceConformance, AtomicsCountEveryLane) {
  auto counter = make(MemoryKind::device, 4);
  must(stream_->fill(*counter, 0, 4, 0));
  auto kernel = load(count_lanes());
  const Argument arguments[] = {Argument::buffer(*counter, 4)};
  launch(*kernel, {{500, 2, 3}}, arguments);
  EXPECT_EQ(read_words(*counter, 1)[0], 500u * 2 * 3 * 64);
}

TEST_P(DeviceConformance, TheSubgroupsSizeIsAsTold) {
  auto out = make(MemoryKind::device, 4);
  auto kernel = load(write_subgroup_size());
  const Argument arguments[] = {Argument::buffer(*out, 4)};
  launch(*kernel, {}, arguments);
  EXPECT_EQ(read_words(*out, 1)[0], device_->info().subgroup_size);
}

TEST_P(DeviceConformance, AKernelMayBeLoadedTwiceAndOutlivesItsCode) {
  auto data = make(MemoryKind::device, 256);
  must(stream_->fill(*data, 0, 256, 0));
  auto first = load(add_to_each());
  auto second = load(add_to_each());
  const Argument arguments[] = {Argument::buffer(*data, 4), {1, 0}};
  launch(*first, {}, arguments);
  first.reset();
  launch(*second, {}, arguments);
  EXPECT_EQ(read_words(*data, 64), std::vector<std::uint32_t>(64, 2));
}

}  // namespace
}  // namespace gpuio::conformance
