// The device contract on the GPU that is here, if one is.
#include <gpuio/kernel/ptx.hpp>

#include "conformance/device_conformance.hpp"
#include "gpu/cuda/cuda.hpp"

namespace gpuio::conformance {
namespace {

Result<CompiledKernel> compile(const kernel::View& view) {
  auto text = std::make_shared<std::string>();
  const kernel::PtxResult r = kernel::ptx_to(*text, view, {.sm = 70});
  if (!r.ok()) {
    return fail(Code::invalid_arg, "{}: {} (instruction {})", view.name, kernel::describe(r.error), r.inst);
  }
  CompiledKernel compiled{describe(view), text};
  compiled.code.ptx = *text;
  return compiled;
}

INSTANTIATE_TEST_SUITE_P(Cuda, DeviceConformance,
                         ::testing::Values(DeviceUnderTest{
                             .name = "cuda",
                             .open = [](gpu::Mask m) { return gpu::cuda::open({.mask = m}); },
                             .compile = compile}));

}  // namespace
}  // namespace gpuio::conformance
