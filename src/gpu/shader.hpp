// Kernels that were not made by gpuio: SPIR-V whose buffers are bound by set and binding, and PTX with
// parameters of its own. A Device that runs them is a ShaderDevice too, and its Streams are ShaderStreams;
// ask with dynamic_cast.
//
// A kernel that load_shader made is launched with launch_shader only, and holds to what device.hpp says of
// kernels: threading, lifetime, errors. Accesses past the end of a bound buffer are the driver's to contain
// (robustBufferAccess); addresses, as in PTX, are not checked by anybody.
//
//   auto kernel = *dynamic_cast<ShaderDevice&>(*device).load_shader({.name = "add", .spirv = words, …});
//   dynamic_cast<ShaderStream&>(*stream).launch_shader(*kernel, grid, {.buffers = ranges, .push = bytes});
#pragma once

#include "gpu/device.hpp"

namespace gpuio::gpu {

struct ShaderBinding {
  std::uint32_t set = 0, binding = 0;
  bool uniform = false;  // a uniform buffer; else a storage buffer
};

// The value of a specialization constant: its low `size` bytes. A boolean has 4.
struct ShaderConstant {
  std::uint32_t id = 0, size = 4;
  std::uint64_t bits = 0;
};

// What launch/shader.hpp finds out about a module, so that a device can check it. `load_shader` copies it.
struct ShaderCode {
  std::string_view name;  // for messages
  std::string_view entry = "main";
  std::array<std::uint32_t, 3> block{1, 1, 1};
  std::uint64_t shared_bytes = 0;
  // Vulkan
  std::span<const std::uint32_t> spirv{};
  std::span<const std::uint32_t> capabilities{};  // numbers of the SPIR-V specification
  std::span<const ShaderBinding> bindings{};      // ascending by set, then binding
  std::uint32_t push_bytes = 0;
  std::span<const ShaderConstant> constants{};
  // CUDA
  std::string_view ptx{};
  std::uint32_t parameters = 0;  // of the entry, each of at most 8 bytes
};

struct BufferRange {
  const Buffer* buffer = nullptr;
  std::uint64_t offset = 0, size = 0;  // bytes
};

struct ShaderArguments {
  std::span<const BufferRange> buffers{};   // SPIR-V: one a binding, in the order of the code's
  std::span<const std::byte> push{};        // SPIR-V: the push constants
  std::span<const std::uint64_t> values{};  // PTX: each parameter's bytes
};

class ShaderDevice {
 public:
  virtual ~ShaderDevice() = default;
  virtual Result<std::unique_ptr<Kernel>> load_shader(const ShaderCode& code) = 0;
};

class ShaderStream {
 public:
  virtual ~ShaderStream() = default;
  virtual Status launch_shader(const Kernel& kernel, const Grid& grid, const ShaderArguments& arguments) = 0;
};

}  // namespace gpuio::gpu
