#include "paging/space.hpp"

#include <gtest/gtest.h>

namespace gpuio::paging {
namespace {

// Ranges only remember their engine and target; nothing here reads.
struct Nowhere : io::Engine, io::Target {
  std::string_view name() const override { return "nowhere"; }
  Result<std::unique_ptr<io::Target>> open(const Uri&, std::uint32_t) override {
    return fail(Code::unsupported, "-");
  }
  Result<std::unique_ptr<io::Queue>> queue(std::uint32_t) override { return fail(Code::unsupported, "-"); }
  Result<io::TargetInfo> info() const override { return io::TargetInfo{}; }
};

TEST(Space, RefusesPageSizesByNameAndValue) {
  for (std::uint64_t bad : {0ull, 256ull, 1000ull, 65537ull, 1ull << 31}) {
    auto space = Space::create(bad);
    ASSERT_FALSE(space);
    EXPECT_EQ(space.error().code(), Code::invalid_arg);
    EXPECT_NE(space.error().message().find(std::to_string(bad)), std::string::npos);
  }
}

TEST(Space, FindsEveryPageOfARangeAndNoOther) {
  auto space = *Space::create(4096);
  Nowhere nowhere;
  const Range a = *space->map(nowhere, nowhere, 0, 1);
  const Range b = *space->map(nowhere, nowhere, 100, 3 * 4096 + 1);
  EXPECT_EQ(a.pages, 1u);
  EXPECT_EQ(b.pages, 4u);
  EXPECT_EQ(space->find(a.first)->bytes, 1u);
  for (std::uint64_t p = 0; p < 4; ++p) EXPECT_EQ(space->find(b.first + p)->first, b.first);
  EXPECT_FALSE(space->find(b.first + 4));
  space->unmap(b);
  EXPECT_FALSE(space->find(b.first));
  EXPECT_TRUE(space->find(a.first));
}

TEST(Space, NeverHandsOutANumberTwice) {
  auto space = *Space::create(512);
  Nowhere nowhere;
  const Range a = *space->map(nowhere, nowhere, 0, 5000);
  space->unmap(a);
  const Range b = *space->map(nowhere, nowhere, 0, 5000);
  EXPECT_GE(b.first, a.first + a.pages);
}

TEST(Space, EndsWhereFortyBitsEnd) {
  auto space = *Space::create(512);
  Nowhere nowhere;
  ASSERT_TRUE(space->map(nowhere, nowhere, 0, 512ull << 39));
  auto too_much = space->map(nowhere, nowhere, 0, 512ull << 39);
  ASSERT_FALSE(too_much);
  EXPECT_EQ(too_much.error().code(), Code::invalid_arg);
  EXPECT_FALSE(space->map(nowhere, nowhere, 0, 0));
  EXPECT_FALSE(space->map(nowhere, nowhere, ~0ull, 2));
}

}  // namespace
}  // namespace gpuio::paging
