// Tests of the C++ face on a device each: the CPU, and the Vulkan driver that the tests are given.
#pragma once

#include <gpuio/gpu.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>
#include <string>

namespace test_face {

// GetParam() is "cpu" or "vulkan".
class OnDevice : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("vulkan")) {
#ifdef __SANITIZE_THREAD__
      GTEST_SKIP() << "ThreadSanitizer does not see what an uninstrumented driver synchronises";
#endif
      const char* const manifest = std::getenv("GPUIO_TEST_VULKAN_ICD");
      if (!manifest) {
        ASSERT_FALSE(std::getenv("GPUIO_TEST_VULKAN_REQUIRED"))
            << "GPUIO_TEST_VULKAN_ICD names no Vulkan driver";
        GTEST_SKIP() << "GPUIO_TEST_VULKAN_ICD names no Vulkan driver; ./dev sets it";
      }
      setenv("VK_DRIVER_FILES", manifest, 1);
      setenv("VK_ICD_FILENAMES", manifest, 1);
    }
    gpu_.emplace(GetParam());
  }
  gpuio::Gpu& gpu() { return *gpu_; }
  std::optional<gpuio::Gpu> gpu_;
};

// f throws this, and says so.
template <class F>
void refused(gpuio_error_t code, const char* words, F&& f) {
  try {
    f();
  } catch (const gpuio::Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    EXPECT_THAT(e.what(), ::testing::HasSubstr(words));
    return;
  }
  ADD_FAILURE() << "not refused: " << words;
}

}  // namespace test_face
