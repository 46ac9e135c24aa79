#include "launch/compile.hpp"

#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <string>
#include <vector>

#include "gpu/cpu/blocked.hpp"

namespace gpuio::launch {
namespace {

Result<Compiled> for_cpu(const kernel::View& kernel, Compiled out, const gpu::DeviceInfo& device) {
  auto native = gpu::cpu::make_blocked(kernel, {.subgroup_size = device.subgroup_size});
  if (!native) return fail(std::move(native).error());
  out.code.native = std::move(*native);
  return out;
}

Result<Compiled> for_vulkan(const kernel::View& kernel, Compiled out) {
  if (const kernel::SpirvRefusal r = kernel::spirv_refusal(kernel); !r.what.empty())
    return fail(Code::unsupported, "kernel {}, line {}: {}", kernel.name, r.line, r.what);
  auto words = std::make_shared<std::vector<kernel::u32>>(kernel::emit_spirv(kernel));
  out.code.spirv = *words;
  out.code.shared_bytes = kernel::spirv_shared_bytes(kernel);
  out.storage = std::move(words);
  return out;
}

Result<Compiled> for_cuda(const kernel::View& kernel, Compiled out, const gpu::DeviceInfo& device) {
  auto text = std::make_shared<std::string>();
  const kernel::PtxResult r =
      kernel::ptx_to(*text, kernel, {.sm = kernel::u32(device.major * 10 + device.minor)});
  if (r.error == kernel::PtxError::shared)
    return fail(Code::unsupported,
                "kernel {}: its shared arrays take {} bytes, and a workgroup of {} (sm_{}{}) has at most {}: "
                "use smaller tiles or fewer stages there",
                kernel.name, kernel::shared_bytes(kernel), device.name, device.major, device.minor,
                kernel::ptx_shared_max(kernel::u32(device.major * 10 + device.minor)));
  if (!r.ok())
    return fail(Code::unsupported, "kernel {}, line {}: {}", kernel.name, r.line, kernel::describe(r.error));
  out.code.ptx = *text;
  out.storage = std::move(text);
  return out;
}

}  // namespace

std::vector<gpu::TensorSlots> tensors_of(const kernel::View& kernel) {
  std::vector<gpu::TensorSlots> out;
  for (const kernel::TensorMap& t : kernel.tensors)
    out.push_back({.buffer = t.buffer,
                   .rows = t.rows,
                   .columns = t.columns,
                   .step = t.step,
                   .element_bytes = kernel::size_of(kernel.params[t.buffer].type),
                   .box_rows = t.box_rows,
                   .box_bytes = 16u << t.box_width});
  return out;
}

Result<Compiled> compile(const kernel::View& kernel, const gpu::DeviceInfo& device) {
  Compiled out;
  out.code.name = kernel.name;
  out.code.block = kernel.block;
  out.code.shared_bytes = kernel::shared_bytes(kernel);
  out.code.parameters = kernel::u32(kernel.params.size());
  out.code.tensors = tensors_of(kernel);
  switch (device.backend) {
    case gpu::Backend::cpu: return for_cpu(kernel, std::move(out), device);
    case gpu::Backend::vulkan: return for_vulkan(kernel, std::move(out));
    case gpu::Backend::cuda: return for_cuda(kernel, std::move(out), device);
  }
  return fail(Code::unsupported, "device {} has a back end that kernels cannot be made for", device.name);
}

Result<std::unique_ptr<gpu::Kernel>> load(gpu::Device& device, const kernel::View& kernel) {
  auto compiled = compile(kernel, device.info());
  if (!compiled) return fail(std::move(compiled).error());
  auto loaded = device.load(compiled->code);
  if (!loaded) return fail(std::move(loaded).error().wrap(fmt::format("kernel {}", kernel.name)));
  return loaded;
}

}  // namespace gpuio::launch
