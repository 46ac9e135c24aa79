// For tests: ADead-BIB programs on the devices at hand, and their bytes.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <string_view>

#include "gpu/cpu/cpu.hpp"
#include "gpu/cuda/cuda.hpp"
#include "launch/adead.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::launch {

using Bytes = std::vector<std::byte>;
using Floats = std::vector<float>;

// "10 41 22 00"
inline Bytes hex(std::string_view text) {
  Bytes bytes;
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < text.size(); i += 3)
    bytes.push_back(std::byte(digit(text[i]) << 4 | digit(text[i + 1])));
  return bytes;
}
inline void append(Bytes& to, std::uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) to.push_back(std::byte(i < 8 ? value >> (8 * i) : 0));
}
inline void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }
inline void append(Bytes& to, std::string_view text) {
  for (const char c : text) to.push_back(std::byte(c));
}

// Register code from its instructions, with EXIT.
inline Bytes registers(std::string_view instructions) {
  Bytes code = hex(instructions), out;
  append(code, 0xff, 4);
  append(out, "AHYB");
  append(out, 1, 2);
  append(out, code.size() / 4, 2);
  append(out, code);
  return out;
}

struct Operation {
  std::uint32_t code;  // without C0DA
  std::vector<std::uint32_t> operands;
};
// An AGPU program, with END.
inline Bytes operations(const std::vector<Operation>& list) {
  Bytes out;
  append(out, "AGPU");
  append(out, 1, 2);
  append(out, list.size() + 1, 2);
  for (const Operation& o : list) {
    append(out, 0xC0DA0000 + o.code, 4);
    append(out, o.operands.size(), 1);
    for (const std::uint32_t v : o.operands) append(out, v, 4);
  }
  append(out, 0xC0DAFFFF, 4);
  append(out, 0, 1);
  return out;
}

class AdeadOnDevice : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const std::string_view name = GetParam();
    if (name == "cpu") {
      device_ = std::move(*gpu::cpu::open({.threads = 2}));
      return;
    }
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "ThreadSanitizer does not see what an uninstrumented driver synchronises";
#endif
    auto opened = name == "cuda" ? gpu::cuda::open({}) : test_vulkan::open({});
    if (!opened) GTEST_SKIP() << opened.error().message();
    device_ = std::move(*opened);
  }
  void TearDown() override {
    device_.reset();
    for (const std::string& text : test_vulkan::Messages::all().texts) ADD_FAILURE() << text;
    test_vulkan::Messages::all().texts.clear();
  }

  // The buffers after the program ran over so many elements.
  std::vector<Floats> run(const Bytes& program, std::vector<Floats> buffers, std::uint64_t elements,
                          const AdeadOptions& options = {}) {
    auto module = parse_adead(program, options);
    if (!module) return ADD_FAILURE() << module.error().message(), buffers;
    auto adead = Adead::make(*device_, *module);
    if (!adead) return ADD_FAILURE() << adead.error().message(), buffers;
    std::vector<std::unique_ptr<gpu::Buffer>> memory;
    std::vector<gpu::Argument> arguments;
    for (const Floats& b : buffers) {
      memory.push_back(std::move(*device_->allocate(gpu::MemoryKind::pinned, b.size() * 4)));
      std::memcpy(memory.back()->host(), b.data(), b.size() * 4);
      arguments.push_back({memory.back()->address(), b.size()});
    }
    auto stream = std::move(*device_->stream());
    Status s = adead->launch(*stream, arguments, module->groups_for(elements));
    if (s) s = stream->wait(stream->last(), 30'000'000'000);
    EXPECT_TRUE(s.ok()) << s.message();
    for (std::size_t i = 0; i < buffers.size(); ++i)
      std::memcpy(buffers[i].data(), memory[i]->host(), buffers[i].size() * 4);
    return buffers;
  }

  std::unique_ptr<gpu::Device> device_;
};

// One AGPU operation among memory: inputs copied in, the last register copied out.
struct Scenario {
  const char* name;
  std::vector<Operation> list;
  std::vector<Floats> buffers;  // as the program names them, in order
  std::size_t output;
  Floats expected;
};
std::vector<Scenario> scenarios();

// Accumulator and register programs whose last buffer is the output.
struct Sample {
  const char* name;
  Bytes code;
  std::vector<Floats> buffers;
  Floats expected;
};
std::vector<Sample> samples();

}  // namespace gpuio::launch
