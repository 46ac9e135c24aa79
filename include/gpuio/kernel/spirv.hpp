// SPIR-V 1.5 for Vulkan from a kernel, as constant words in the program or as a vector at run time; the words
// are the same. For what the module asks of a device see its capabilities: 64-bit integers, buffer addresses
// and the Vulkan memory model always, the rest on demand. Its entry point is "main", its push constant one
// u64: the device address of the argument block (ir.hpp).
//
// The kernel must be verified (verify.hpp) and its on-demand arrays lowered; spirv_refusal says what else.
// Pure; any thread.
//
//   device.load({.name = v.name, .block = v.block, .spirv = words});   // words = emit_spirv(v)
//   constexpr std::span<const u32> words = kSpirv<my_kernel>;          // emitted while compiling
#pragma once

#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/spirv/emit.hpp>

namespace gpuio::kernel {

// What Vulkan has no instruction for, and the first line with it; empty: all is well.
struct SpirvRefusal {
  std::string_view what{};
  u32 line = 0;
};
constexpr SpirvRefusal spirv_refusal(const View& kernel) {
  for (const Inst& i : kernel.insts) {
    if (is_warpgroup(i.op))
      return {"matrix units of warpgroups are CUDA's (and the CPU device's): use a plain variant", i.line};
    if (is_mbarrier(i.op) || is_bulk(i.op))
      return {"mbarriers and bulk copies are CUDA's (and the CPU device's): use a plain variant", i.line};
    if (i.op == Op::inline_ptx) return {"inline PTX runs on CUDA only: use a plain variant", i.line};
  }
  const spirv::MatrixRefusal matrices = spirv::matrix_refusal(kernel);
  return {matrices.what, matrices.line};
}

// Shared memory of the module: the kernel's, and what sums of matrix units go through.
constexpr u32 spirv_shared_bytes(const View& kernel) {
  return shared_bytes(kernel) + spirv::matrix_scratch_bytes(kernel);
}

// Of a kernel that is refused: nothing.
constexpr std::vector<u32> emit_spirv(const View& kernel) {
  if (!spirv_refusal(kernel).what.empty()) return {};
  if (copies_async(kernel)) return spirv::Emitter(lower_async(kernel).view()).run();
  return spirv::Emitter(kernel).run();
}

namespace detail {
template <const auto& K>
constexpr auto freeze_spirv() {
  constexpr std::size_t size = emit_spirv(K.view()).size();
  std::array<u32, size> words{};
  const std::vector<u32> made = emit_spirv(K.view());
  for (std::size_t i = 0; i < size; ++i) words[i] = made[i];
  return words;
}
}  // namespace detail

// The words of a kernel in static storage (what kernel<...>() and Freeze give: anything with a constant
// view()).
template <const auto& K>
inline constexpr auto kSpirv = detail::freeze_spirv<K>();

}  // namespace gpuio::kernel
