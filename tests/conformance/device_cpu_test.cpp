// The device conformance suite over the CPU device; kernels run through the blocked interpreter.
#include <gpuio/kernel/builder.hpp>

#include "conformance/device_conformance.hpp"
#include "gpu/cpu/blocked.hpp"
#include "gpu/cpu/cpu.hpp"

namespace gpuio::conformance {
namespace {

Result<CompiledKernel> compile(const kernel::View& view) {
  auto native = gpu::cpu::make_blocked(view);
  if (!native) return fail(std::move(native.error()));
  CompiledKernel compiled{.code = describe(view), .storage = nullptr};
  compiled.code.native = std::move(*native);
  return compiled;
}

// A store past the end.
Status break_stream(gpu::Device& device, gpu::Stream& stream) {
  kernel::Program p{.name = "past_the_end", .block = {8, 1, 1}};
  kernel::Builder b(p);
  const kernel::u32 out = b.param(kernel::ParamKind::out, kernel::Type::u32);
  b.line = 7;
  b.store(out, b.builtin(kernel::Builtin::local_x), b.constant(kernel::Type::u32, 1));
  auto compiled = compile(p.view());
  if (!compiled) return compiled.error();
  auto kernel = device.load(compiled->code);
  if (!kernel) return kernel.error();
  std::uint32_t words[7];
  const gpu::Argument arguments[] = {{reinterpret_cast<std::uintptr_t>(words), 7}};
  if (Status s = stream.launch(**kernel, {}, arguments); !s) return s;
  (void)stream.wait(stream.last(), 60'000'000'000);
  return {};
}

INSTANTIATE_TEST_SUITE_P(
    Cpu, DeviceConformance,
    ::testing::Values(
        DeviceUnderTest{.name = "cpu_1_thread",
                        .open = [](gpu::Mask m) { return gpu::cpu::open({.threads = 1, .mask = m}); },
                        .compile = compile,
                        .break_stream = break_stream},
        DeviceUnderTest{.name = "cpu_3_threads",
                        .open = [](gpu::Mask m) { return gpu::cpu::open({.threads = 3, .mask = m}); },
                        .compile = compile,
                        .break_stream = break_stream}),
    [](const auto& device) { return device.param.name; });

}  // namespace
}  // namespace gpuio::conformance
