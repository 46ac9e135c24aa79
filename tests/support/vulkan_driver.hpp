// The Vulkan driver that tests run on: GPUIO_TEST_VULKAN_ICD names its manifest (`./dev test` sets it).
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu/vulkan/vulkan.hpp"

namespace gpuio::test_vulkan {

using namespace gpu;
using gpu::vulkan::Options;

// What the validation layers said, from any thread.
struct Messages {
  std::mutex lock;
  std::vector<std::string> texts;
  static Messages& all() {
    static Messages messages;
    return messages;
  }
};

// Opens the test's driver with validation on where its layer is installed. Without the variable: why not.
// With GPUIO_TEST_VULKAN_REQUIRED (the full run) a driver that does not open fails the test, which else
// skips.
inline Result<std::unique_ptr<Device>> open_with(Options options) {
  const char* const manifest = std::getenv("GPUIO_TEST_VULKAN_ICD");
  if (manifest == nullptr)
    return fail(Code::not_found,
                "GPUIO_TEST_VULKAN_ICD is not set: run ./dev test, or name a driver's manifest");
  for (const char* const name :
       {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"})  // the second to loaders before 1.3.207
#ifdef _WIN32
    _putenv_s(name, manifest);
#else
    setenv(name, manifest, 1);
#endif
  options.validation = [](std::string_view text) {
    Messages& m = Messages::all();
    std::scoped_lock hold(m.lock);
    m.texts.emplace_back(text);
  };
  auto device = gpu::vulkan::open(options);
  if (!device && device.error().code() == Code::unsupported) {  // no layer
    options.validation = nullptr;
    device = gpu::vulkan::open(options);
  }
  if (!device && std::getenv("GPUIO_TEST_VULKAN_REQUIRED"))
    ADD_FAILURE() << manifest << ": " << device.error().message();
  return device;
}
inline Result<std::unique_ptr<Device>> open(Mask mask) { return open_with({.mask = mask}); }

}  // namespace gpuio::test_vulkan
