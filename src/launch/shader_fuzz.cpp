#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>

#include "base/fuzz.hpp"
#include "launch/module.hpp"

namespace gpuio::launch {
namespace {

// Any bytes are a kernel, or refused with a message; what they ask for stays within the limits that devices
// then check.
std::string check_limit(std::span<const uint8_t> input, std::size_t parameters_max) {
  for (const Format format : {Format::automatic, Format::spirv, Format::ptx}) {
    const auto module = Module::read(std::as_bytes(input), {.format = format});
    if (!module) {
      const Status& s = module.error();
      if (s.message().empty()) return "an error without a message";
      if (s.code() != Code::invalid_arg && s.code() != Code::unsupported)
        return "an unexpected code: " + s.message();
      continue;
    }
    if ((*module)->parameters().size() > parameters_max) return "more parameters than the bytes can name";
  }
  return "";
}
std::string check(std::span<const uint8_t> input) { return check_limit(input, 4096); }
// Takes it that nobody has three parameters.
std::string planted(std::span<const uint8_t> input) { return check_limit(input, 2); }

kernel::Program program() {
  kernel::Program p{.name = "k", .block = {4, 1, 1}};
  kernel::Builder b(p);
  const auto out = b.param(kernel::ParamKind::out, kernel::Type::u32);
  b.store(out, b.constant(kernel::Type::u32, 0), b.builtin(kernel::Builtin::local_x));
  return p;
}
const std::vector<std::uint32_t>& words() {
  static const std::vector<std::uint32_t> made = kernel::emit_spirv(program().view());
  return made;
}
// A compute module by hand: two buffers, a push constant, shared memory and a specialized workgroup.
const std::vector<std::uint32_t>& bound() {
  static const std::vector<std::uint32_t> made = [] {
    std::vector<std::uint32_t> m{0x07230203, 0x00010300, 0, 40, 0};
    const auto put = [&](std::uint32_t op, std::initializer_list<std::uint32_t> w) {
      m.push_back(std::uint32_t(1 + w.size()) << 16 | op);
      m.insert(m.end(), w);
    };
    put(17, {1});
    put(14, {0, 1});
    put(15, {5, 1, 0x6e69616d, 0});
    put(16, {1, 17, 8, 1, 1});
    put(71, {10, 34, 0}), put(71, {10, 33, 1}), put(71, {11, 34, 0}), put(71, {11, 33, 0});
    put(71, {7, 2}), put(72, {7, 0, 35, 0}), put(72, {8, 0, 35, 0}), put(72, {8, 1, 35, 16});
    put(71, {20, 1, 3}), put(71, {21, 11, 25}), put(71, {6, 6, 4}), put(71, {9, 6, 8});
    put(19, {2}), put(33, {3, 2}), put(21, {4, 32, 0}), put(22, {5, 32}), put(29, {6, 5}), put(30, {7, 6});
    put(50, {4, 20, 8}), put(43, {4, 22, 3}), put(23, {19, 4, 3}), put(51, {19, 21, 20, 22, 22});
    put(28, {9, 5, 22}), put(30, {8, 4, 9});
    put(32, {12, 12, 7}), put(32, {13, 9, 8}), put(32, {14, 4, 9});
    put(59, {12, 10, 12}), put(59, {12, 11, 12}), put(59, {13, 15, 9}), put(59, {14, 16, 4});
    put(54, {2, 1, 0, 3}), put(248, {30}), put(253, {}), put(56, {});
    return m;
  }();
  return made;
}
std::string_view text(const std::vector<std::uint32_t>& w) {
  return {reinterpret_cast<const char*>(w.data()), w.size() * 4};
}

TEST(ShaderFuzzCorpus, IsWhatItShouldBe) {
  const auto shader = reflect_spirv(bound());
  ASSERT_TRUE(shader.has_value()) << shader.error().message();
  EXPECT_EQ(shader->bindings.size(), 2u);
  EXPECT_EQ(shader->push.size(), 4u);
  EXPECT_EQ(shader->push_bytes, 36u);
  EXPECT_EQ(shader->shared_bytes, 12u);
  EXPECT_EQ(shader->block, (std::array<std::uint32_t, 3>{8, 3, 3}));
}

}  // namespace

GPUIO_FUZZ(Shader, check, planted,
           {text(words()), text(bound()),
            ".version 7.0\n.entry k(.param .u64 a, .param .f32 b, .param .u32 c) .reqntid 32, 1, 1 { ret; }"})

}  // namespace gpuio::launch
