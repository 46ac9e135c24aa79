// launch/sanitize.hpp: what is found of a kernel that came as bytes, and what is refused.
#include "launch/sanitize.hpp"

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/serialize.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuio::launch {
namespace {

using namespace kernel;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::uint64_t kSteps = 1 << 20;

// Of 16 lanes a workgroup; what the verifier says of it is not asked.
template <class F>
std::shared_ptr<const Module> module_of(const F& body) {
  const Traced t = trace(body, "watched", {16, 1, 1});
  const std::vector<u8> bytes = serialize(t.program.view());
  auto read = Module::read(std::as_bytes(std::span(bytes)), {.format = Format::ir});
  EXPECT_TRUE(read.has_value()) << (read ? "" : read.error().message());
  return *read;
}
Given memory(std::size_t elements) {
  return {.bytes = std::vector<std::byte>(4 * elements), .element_size = 4};
}
Given number(int n) { return {.number = Number::of(n)}; }

const auto neighbours = [](Ctx k, InOut<u32> x, Val<u32> n) {
  GPU_IF(k.global_id() < n) x[k.global_id()] = x[k.global_id() + 1] + 1;
};

TEST(LaunchSanitize, NamesBothSidesOfARace) {
  const auto found =
      sanitize(*module_of(neighbours), {.groups = {2, 1, 1}}, {memory(33), number(32)}, kSteps);
  ASSERT_TRUE(found.has_value()) << found.error().message();
  ASSERT_THAT(*found, SizeIs(1));
  EXPECT_THAT(found->front().message, HasSubstr("race: lane "));
  EXPECT_THAT(found->front().message, HasSubstr("of parameter 0 (line "));
  EXPECT_GT(found->front().line, 0u);
  EXPECT_GT(found->front().earlier_line, 0u);
}

TEST(LaunchSanitize, NamesWhatEndedTheRun) {
  const auto module = module_of(neighbours);
  const auto found = sanitize(*module, {.groups = {1, 1, 1}}, {memory(16), number(16)}, kSteps);
  ASSERT_TRUE(found.has_value()) << found.error().message();
  EXPECT_THAT(found->back().message, HasSubstr("lane 15: "));
  EXPECT_THAT(found->back().message, HasSubstr("range"));
  EXPECT_EQ(found->back().earlier_line, 0u);
  const auto short_run = sanitize(*module, {.groups = {1, 1, 1}}, {memory(17), number(16)}, 5);
  ASSERT_TRUE(short_run.has_value());
  EXPECT_THAT(short_run->back().message, HasSubstr("step limit"));
}

TEST(LaunchSanitize, AGoodKernelIsGoodAndChangesNothing) {
  const auto module = module_of([](Ctx k, InOut<u32> x) { x[k.global_id()] += 1u; });
  const Given given = memory(32);
  const auto found = sanitize(*module, {.groups = {2, 1, 1}}, {given}, kSteps);
  ASSERT_TRUE(found.has_value()) << found.error().message();
  EXPECT_THAT(*found, IsEmpty());
  EXPECT_EQ(given.bytes, memory(32).bytes);
}

TEST(LaunchSanitize, RefusesWhatItCannotRun) {
  const auto module = module_of(neighbours);
  const auto refused = [](const auto& found, Code code, const char* words) {
    ASSERT_FALSE(found.has_value());
    EXPECT_EQ(found.error().code(), code);
    EXPECT_THAT(found.error().message(), HasSubstr(words));
  };
  refused(sanitize(*module, {}, {memory(1)}, kSteps), Code::invalid_arg, "has 2 parameters; 1 arguments");
  refused(sanitize(*module, {}, {memory(1), memory(1)}, kSteps), Code::invalid_arg,
          "argument 1 of kernel watched: it is memory, and the kernel takes a number");
  refused(sanitize(*module, {}, {number(1), number(1)}, kSteps), Code::invalid_arg, "takes memory");
  refused(sanitize(*module, {}, {memory(1), number(-1)}, kSteps), Code::invalid_arg, "it is -1");
  refused(sanitize(*module, {}, {{.bytes = std::vector<std::byte>(8), .element_size = 8}, number(1)}, kSteps),
          Code::invalid_arg, "its elements have 8 bytes, the kernel's 4");
  refused(sanitize(*module, {.groups = {0, 1, 1}}, {memory(1), number(1)}, kSteps), Code::invalid_arg,
          "groups[0] = 0");
  const auto on_demand = module_of([](Ctx k, OnDemand<u32> x, InOut<u32> y) { y[k.tid()] = x[k.tid()]; });
  refused(sanitize(*on_demand, {}, {memory(16), memory(16)}, kSteps), Code::unsupported, "on-demand arrays");
}

}  // namespace
}  // namespace gpuio::launch
