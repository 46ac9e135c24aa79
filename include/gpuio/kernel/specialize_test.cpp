#include <gpuio/kernel/specialize.hpp>

#include <gtest/gtest.h>

#include <limits>

#include <gpuio/kernel.hpp>
#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/interpret.hpp>
#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>

namespace gpuio::kernel {
namespace {

constexpr auto offset = kernel<"offset", 4>([](Ctx k, InOut<i32> y) {
  const auto by = k.constant<i32>("BY", -7, -10, 10);
  y[k.tid()] += by * by + by;
});

std::vector<i32> run(const View& v) {
  std::vector<i32> y{0, 1, 2, 3};
  const Argument a = Argument::buffer(std::as_writable_bytes(std::span(y)));
  const Outcome o = interpret(v, {1, 1, 1}, std::span(&a, 1));
  EXPECT_TRUE(o.ok()) << o.error;
  return y;
}

TEST(Specialize, TheValueIsSetByName) {
  Program p = copy_of(offset.view());
  EXPECT_EQ(run(p.view()), (std::vector<i32>{42, 43, 44, 45}));
  EXPECT_EQ(specialize(p, "BY", u32(-2)), Specialized::ok);
  EXPECT_EQ(run(p.view()), (std::vector<i32>{2, 3, 4, 5}));
  EXPECT_TRUE(verify(p.view()).ok());
  EXPECT_EQ(specialize(p, "BYE", 1), Specialized::no_such_constant);
  EXPECT_EQ(specialize(p, "BY", 11), Specialized::out_of_range);
  EXPECT_EQ(specialize(p, "BY", u32(-11)), Specialized::out_of_range);
  EXPECT_EQ(specialize(p, "BY", u64{1} << 32), Specialized::out_of_range);
  EXPECT_EQ(run(p.view()), (std::vector<i32>{2, 3, 4, 5}));
}
TEST(Specialize, RangesOfEveryType) {
  const auto f = [](float v) { return u64{std::bit_cast<u32>(v)}; };
  const Constant real{"F", Type::f32, f(0), f(-1), f(1)};
  EXPECT_TRUE(within(real, f(-1)));
  EXPECT_TRUE(within(real, f(-0.0f)));
  EXPECT_FALSE(within(real, f(1.5f)));
  EXPECT_FALSE(within(real, f(std::numeric_limits<float>::quiet_NaN())));
  const Constant word{"U", Type::u64, 0, 0, ~u64{0}};
  EXPECT_TRUE(within(word, ~u64{0}));
  const Constant yes{"B", Type::boolean, 1, 1, 1};
  EXPECT_TRUE(within(yes, 1));
  EXPECT_FALSE(within(yes, 0));
  EXPECT_FALSE(within({"H", Type::f16, 0, 0, 0}, 0));
}
TEST(Specialize, ItIsPartOfWhatAKernelIs) {
  Program p = copy_of(offset.view());
  const u64 before = canonical_hash(p.view());
  const auto spirv = emit_spirv(p.view());
  std::string text, other;
  ASSERT_TRUE(ptx_to(text, p.view(), {.sm = 75}).ok());
  ASSERT_EQ(specialize(p, "BY", 5), Specialized::ok);
  EXPECT_NE(canonical_hash(p.view()), before);
  EXPECT_NE(emit_spirv(p.view()), spirv);
  ASSERT_TRUE(ptx_to(other, p.view(), {.sm = 75}).ok());
  EXPECT_NE(text, other);

  const auto bytes = serialize(p.view());
  const Deserialized read = deserialize(bytes);
  ASSERT_TRUE(read.ok()) << message(read);
  EXPECT_EQ(read.program.constants, p.constants);
  EXPECT_EQ(canonical_hash(read.program.view()), canonical_hash(p.view()));
  EXPECT_EQ(run(read.program.view()), (std::vector<i32>{30, 31, 32, 33}));
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(deserialize(std::span(bytes).first(n)).ok()) << n;
  auto wrong = bytes;
  wrong[wrong.size() - 8] = 4;  // the most: below the value
  EXPECT_EQ(deserialize(wrong).error, FormatError::wrong_kernel);
}
// Its decorations say which SpecId, so that other tools can set it.
TEST(Specialize, SpirvHasSpecializationConstants) {
  u32 found = 0;
  const auto words = emit_spirv(offset.view());
  for (std::size_t at = 5; at < words.size() && words[at] >> 16 != 0; at += words[at] >> 16)
    if ((words[at] & 0xffff) == 50) found += words[at + 3] == u32(-7);
  EXPECT_EQ(found, 1u);
}
TEST(Specialize, TheVerifierTakesEveryValueOfTheRange) {
  const auto shifted = [](u32 most) {
    return trace(
               [=](Ctx k) {
                 auto s = k.shared<u32, 64 + 8>();
                 s[k.tid() + k.constant<u32>("SHIFT", 0, 0, most)] = 1u;
               },
               "k", {64, 1, 1})
        .result;
  };
  EXPECT_TRUE(shifted(8).ok());
  // Past the end for some value only, which is no mistake that surely happens, as with an argument.
  EXPECT_TRUE(shifted(9).ok());
  const auto stride = trace(
                          [](Ctx k) {
                            auto s = k.shared<u32, 256>();
                            s[k.tid() * k.constant<u32>("STRIDE", 1, 0, 4)] = 1u;
                          },
                          "k", {64, 1, 1})
                          .result;
  EXPECT_EQ(stride.error, Err::write_after_write);
  const auto steps = trace(
      [](Ctx k, Out<u32> y) {
        for (auto i : k.range(k.tid(), 64u, k.constant<u32>("STEP", 8, 1, 64))) y[i] = i;
      },
      "k", {8, 1, 1});
  EXPECT_TRUE(steps.result.ok()) << message(steps.result);
}
TEST(Specialize, DeclarationsThatAreWrong) {
  const auto error = [](auto f) { return trace(f, "k", {1, 1, 1}).result; };
  const u32 line = __LINE__ + 1;
  const auto twice = [](Ctx k, Out<u32> y) { y[0] = k.constant<u32>("N", 1) + k.constant<u32>("N", 2); };
  EXPECT_EQ(error(twice).error, Err::constant_declaration);
  EXPECT_EQ(error(twice).line, line);
  EXPECT_EQ(error([](Ctx k, Out<u32> y) { y[0] = k.constant<u32>("N", 5, 1, 4); }).error,
            Err::constant_declaration);
  EXPECT_EQ(error([](Ctx k, Out<u32> y) { y[0] = k.constant<u32>("", 5); }).error, Err::constant_declaration);
}

}  // namespace
}  // namespace gpuio::kernel
