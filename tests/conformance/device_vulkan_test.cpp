// The device contract over Vulkan, with the validation layers watching.
#include "conformance/device_conformance.hpp"

#include <gpuio/kernel/spirv.hpp>

#include "support/vulkan_driver.hpp"

namespace gpuio::conformance {
namespace {

Result<CompiledKernel> compile(const kernel::View& view) {
  auto words = std::make_shared<std::vector<std::uint32_t>>(kernel::emit_spirv(view));
  CompiledKernel compiled{.code = describe(view), .storage = words};
  compiled.code.spirv = *words;
  return compiled;
}

INSTANTIATE_TEST_SUITE_P(Vulkan, DeviceConformance,
                         ::testing::Values(DeviceUnderTest{
                             .name = "vulkan", .open = test_vulkan::open, .compile = compile}));

class ValidationIsSilent : public ::testing::Environment {
  void TearDown() override {
    for (const std::string& text : test_vulkan::Messages::all().texts) ADD_FAILURE() << text;
  }
};
const auto* const kValidation = ::testing::AddGlobalTestEnvironment(new ValidationIsSilent);

}  // namespace
}  // namespace gpuio::conformance
