// What reflection finds in modules that glslang made, and what it says of those that are broken. The modules
// are compiled when glslangValidator is at hand; without it these tests skip.
#include "launch/shader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/shaders.hpp"

namespace gpuio::launch {
namespace {

using kernel::Type;
using ::testing::HasSubstr;
using Words = std::vector<std::uint32_t>;

class Reflected : public test_shaders::WithShaders {
 protected:
  static Shader reflect(const char* name, const ShaderOptions& options = {}) {
    auto shader = reflect_spirv(words(name), options);
    EXPECT_TRUE(shader.has_value()) << shader.error().message();
    return shader ? std::move(*shader) : Shader{};
  }
  static Words words(const char* name) {
    auto read = spirv_words(test_shaders::bytes(name));
    EXPECT_TRUE(read.has_value());
    return read ? std::move(*read) : Words{};
  }
  static void refused(const Words& module, Code code, const char* text, const ShaderOptions& options = {}) {
    const auto shader = reflect_spirv(module, options);
    ASSERT_FALSE(shader.has_value()) << text;
    EXPECT_EQ(shader.error().code(), code) << shader.error().message();
    EXPECT_THAT(shader.error().message(), HasSubstr(text));
  }
};

TEST_F(Reflected, FindsBuffersInOrderAndPushConstants) {
  const Shader s = reflect("scale.comp");
  EXPECT_EQ(s.entry, "main");
  ASSERT_EQ(s.bindings.size(), 2u);
  EXPECT_EQ(s.bindings[0].set, 0u);
  EXPECT_EQ(s.bindings[0].binding, 2u);
  EXPECT_EQ(s.bindings[1].set, 2u);
  EXPECT_EQ(s.names, (std::vector<std::string>{"Input", "Output"}));
  EXPECT_EQ(s.push_bytes, 8u);
  ASSERT_EQ(s.push.size(), 2u);
  EXPECT_EQ(s.push[0].name, "factor");
  EXPECT_EQ(s.push[0].type, Type::f32);
  EXPECT_EQ(s.push[1].type, Type::u32);
  EXPECT_EQ(s.push[1].offset, 4u);
}

// SPIR-V 1.0 has no storage class for them and lists no buffers at the entry point.
TEST_F(Reflected, FindsTheSameInTheOldestVersion) {
  const Shader old = reflect("scale.comp.1.0"), s = reflect("scale.comp");
  ASSERT_EQ(old.bindings.size(), s.bindings.size());
  for (std::size_t i = 0; i < s.bindings.size(); ++i) {
    EXPECT_EQ(old.bindings[i].set, s.bindings[i].set);
    EXPECT_EQ(old.bindings[i].binding, s.bindings[i].binding);
    EXPECT_FALSE(old.bindings[i].uniform);
  }
  EXPECT_EQ(old.push_bytes, s.push_bytes);
}

TEST_F(Reflected, TakesSpecializationIntoAccount) {
  EXPECT_EQ(reflect("scale.comp").block[0], 1u);
  const Shader s =
      reflect("scale.comp", {.constants = {{0, Number::of(96)}, {1, Number::of(0.25)}, {2, Number::of(1)}}});
  EXPECT_EQ(s.block, (std::array<std::uint32_t, 3>{96, 1, 1}));
  ASSERT_EQ(s.constants.size(), 3u);
  EXPECT_EQ(s.constants[1].bits, std::bit_cast<std::uint32_t>(0.25f));
}

TEST_F(Reflected, SaysWhichConstantIsWrong) {
  const Words m = words("scale.comp");
  refused(m, Code::not_found, "no specialization constant 9; it has", {.constants = {{9, Number::of(1)}}});
  refused(m, Code::invalid_arg, "constant 2 is a boolean", {.constants = {{2, Number::of(2)}}});
  refused(m, Code::invalid_arg, "constant 0 is an unsigned integer of 32 bits, which -1 is not",
          {.constants = {{0, Number::of(-1)}}});
  refused(m, Code::invalid_arg, "which 1.5 is not", {.constants = {{0, Number::of(1.5)}}});
  refused(m, Code::invalid_arg, "number 0 of the workgroup size is 0", {.constants = {{0, Number::of(0)}}});
}

TEST_F(Reflected, TellsUniformBuffersAndSharedMemory) {
  const Shader s = reflect("histogram.comp");
  ASSERT_EQ(s.bindings.size(), 3u);
  EXPECT_TRUE(s.bindings[2].uniform);
  EXPECT_EQ(s.bindings[2].binding, 7u);
  EXPECT_EQ(s.shared_bytes, 256u);
  EXPECT_EQ(s.block[0], 64u);
}

TEST_F(Reflected, FlattensPushConstants) {
  const Shader s = reflect("push.comp");
  std::vector<std::uint32_t> offsets;
  for (const PushScalar& p : s.push) offsets.push_back(p.offset);
  EXPECT_EQ(offsets, (std::vector<std::uint32_t>{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44}));
  EXPECT_EQ(s.push[8].type, Type::i32);
  EXPECT_EQ(s.push_bytes, 48u);
  EXPECT_TRUE(reflect("reference.comp").push.at(0).address);
}

TEST_F(Reflected, NamesWhatIsNotForItsKind) {
  refused(words("vertex.vert"), Code::unsupported, "no entry point is for compute: there is 'main' (vertex)");
  refused(words("image.comp"), Code::unsupported, "is an image or sampler");
  refused(words("many.comp"), Code::unsupported, "set 0, binding 0 ('many') is an array of resources");
  refused(words("scale.comp"), Code::not_found, "no compute entry point 'other': there is 'main' (compute)",
          {.entry = "other"});
}

TEST_F(Reflected, NamesWhatIsBroken) {
  const Words good = words("scale.comp");
  Words m = good;
  m.resize(6);
  refused(m, Code::invalid_arg, "it was cut off");
  m = good;
  for (std::uint32_t& w : m) w = __builtin_bswap32(w);
  refused(m, Code::invalid_arg, "the other byte order");
  m = good;
  m[0] = 0x464c457f;
  refused(m, Code::invalid_arg, "it begins with 0x464c457f");
  m = good;
  m[1] = 0x00010600;
  refused(m, Code::unsupported, "SPIR-V 1.6; 1.0 to 1.5 run here");
  refused(Words(good.begin(), good.begin() + 3), Code::invalid_arg, "3 words are no SPIR-V module");
  // A buffer whose binding's decoration is gone: OpDecorate %id Binding n becomes a decoration nobody reads.
  m = good;
  for (std::size_t at = 5; at < m.size(); at += m[at] >> 16)
    if ((m[at] & 0xffff) == 71 && m[at + 2] == 33) m[at + 2] = 5634;
  refused(m, Code::invalid_arg, "has no binding: say layout(set");
  const auto odd = spirv_words(std::as_bytes(std::span(good)).first(23));
  ASSERT_FALSE(odd.has_value());
  EXPECT_THAT(odd.error().message(), HasSubstr("23 bytes are no SPIR-V module"));
}

constexpr std::string_view kPtx = R"(
.version 7.0  // a comment with .entry in it
.target sm_75
.address_size 64
/* .entry nothing( */
.visible .entry scale(
  .param .u64 .ptr .global .align 4 x,
  .param .f32 factor,
  .param .u32 n
)
.reqntid 128, 2
{ ret; }
)";

TEST(ReflectedPtx, FindsParametersAndBlock) {
  const auto e = reflect_ptx(kPtx);
  ASSERT_TRUE(e.has_value()) << e.error().message();
  EXPECT_EQ(e->entry, "scale");
  EXPECT_EQ(e->block, (std::array<std::uint32_t, 3>{128, 2, 1}));
  ASSERT_EQ(e->parameters.size(), 3u);
  EXPECT_EQ(e->parameters[0].type, Type::u64);
  EXPECT_EQ(e->parameters[1].name, "factor");
  EXPECT_EQ(e->parameters[2].type, Type::u32);
}

TEST(ReflectedPtx, SaysWhatIsWrong) {
  const auto says = [](std::string_view text, std::string_view entry, const char* words) {
    const auto e = reflect_ptx(text, entry);
    ASSERT_FALSE(e.has_value()) << text;
    EXPECT_THAT(e.error().message(), HasSubstr(words));
  };
  says("hello", "", "5 bytes of text have no .entry");
  says(kPtx, "other", "no entry 'other'; it has scale");
  says(".entry a() {} .entry b() {}", "", "name one of a, b");
  says("\n.entry a(.param .align 8 .b8 s[32]) {}", "", "line 2: parameter s is an array of bytes");
  says(".entry a(.param .f99 s) {}", "", "'.f99' where the type of a parameter was expected");
  says(".entry a(.param .u32 s", "", "the end where ',' or ')' was expected");
}

TEST(Numbers, AreConvertedOnlyWhereNothingIsLost) {
  EXPECT_EQ(convert(Number::of(-1), Type::i8), 0xffu);
  EXPECT_EQ(convert(Number::of(255), Type::u8), 255u);
  EXPECT_EQ(convert(Number::of(256), Type::u8), std::nullopt);
  EXPECT_EQ(convert(Number::of(-129), Type::i8), std::nullopt);
  EXPECT_EQ(convert(Number::of(-1), Type::u64), std::nullopt);
  EXPECT_EQ(convert(Number::of(3), Type::f32), std::bit_cast<std::uint32_t>(3.0f));
  EXPECT_EQ(convert(Number::of((1 << 24) + 1), Type::f32), std::nullopt);
  EXPECT_EQ(convert(Number::of(1.0), Type::f16), 0x3c00u);
  EXPECT_EQ(convert(Number::of(1.0), Type::i32), std::nullopt);
  EXPECT_EQ(convert(Number::of(1), Type::boolean), 1u);
}

}  // namespace
}  // namespace gpuio::launch
