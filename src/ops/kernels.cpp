#include "ops/kernels.hpp"

#include "launch/compile.hpp"

namespace gpuio::ops {

std::size_t Kernels::Hash::operator()(const Variant& v) const {
  std::uint64_t h = std::uint64_t(v.operation);
  const auto mix = [&](std::uint64_t x) { h = (h ^ x) * 0x9E3779B97F4A7C15u, h ^= h >> 29; };
  for (const Dtype type : v.types) mix(std::uint64_t(type));
  for (const std::uint32_t size : v.sizes) mix(size);
  return h;
}

Result<std::unique_ptr<gpu::Kernel>> Kernels::load(const kernel::Traced& traced, const gpu::Native& native) {
  const kernel::View view = traced.program.view();
  if (!traced.result.ok())
    return fail(Code::general, "operation {} does not verify, a mistake of gpuio: {}", view.name,
                kernel::message(traced.result));
  if (!native.run || !device_.info().native_code.available) return launch::load(device_, view);
  return device_.load({.name = view.name,
                       .block = view.block,
                       .parameters = kernel::u32(view.params.size()),
                       .native = native});
}

gpu::Grid Place::grid(std::uint64_t items, std::uint64_t bytes) const {
  if (!kernels.native()) return {.groups = {groups_for(items), 1, 1}};
  constexpr std::uint64_t kBytes = 32 * 1024, kEach = 16;
  const std::uint64_t most = std::min<std::uint64_t>(kEach * device().info().compute_units, kGroupsMax);
  return {
      .groups = {std::uint32_t(std::clamp<std::uint64_t>(std::min(bytes / kBytes, items), 1, most)), 1, 1}};
}

}  // namespace gpuio::ops
