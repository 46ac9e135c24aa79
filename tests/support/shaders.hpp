// SPIR-V of another maker for tests: what glslangValidator made of tests/support/shaders while building.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace gpuio::test_shaders {

// "scale.comp", or "scale.comp.1.0" for the oldest version of SPIR-V.
inline std::vector<std::byte> bytes(const std::string& name) {
  std::ifstream file(GPUIO_TEST_SHADERS "/" + name + ".spv", std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

// Not in a build without glslangValidator, nor where the program was carried to another machine.
inline bool there() { return std::ifstream(GPUIO_TEST_SHADERS "/scale.comp.spv").good(); }

// Skips a test without them; with GPUIO_TEST_VULKAN_REQUIRED (the full run) fails it.
#define GPUIO_NEEDS_SHADERS()                                                                                \
  if (!::gpuio::test_shaders::there()) {                                                                     \
    if (std::getenv("GPUIO_TEST_VULKAN_REQUIRED")) FAIL() << "this build was made without glslangValidator"; \
    GTEST_SKIP() << "glslangValidator was not there when this was built (Debian: glslang-tools)";            \
  }

class WithShaders : public ::testing::Test {
 protected:
  void SetUp() override { GPUIO_NEEDS_SHADERS(); }
};

}  // namespace gpuio::test_shaders
