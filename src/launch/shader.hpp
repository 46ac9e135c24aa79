// What a SPIR-V module or a PTX text of any maker asks of whoever launches it: its entry point, the lanes of
// a workgroup, the buffers by set and binding, push constants, specialization constants, capabilities.
//
// Pure; any thread. The words and the text are taken apart with every length and number checked, so any bytes
// may come in; what a function body does is the driver's to judge (spirv-val, ptxas). Errors: INVALID_ARG
// names the word or line, what stands there and what would be right; UNSUPPORTED what is well formed and
// cannot be launched here: another stage than compute, images, arrays of buffers.
//
//   auto words = spirv_words(bytes);
//   auto shader = reflect_spirv(*words, {.constants = {{0, Number::of(128)}}});
//   for (const auto& b : shader->bindings) …   // ascending by set, then binding
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <string>
#include <vector>

#include "gpu/shader.hpp"
#include "launch/constant.hpp"

namespace gpuio::launch {

struct ShaderOptions {
  std::string entry{};  // empty: the only one for compute
  std::vector<ConstantValue> constants{};
};

// One scalar of the push constants; a vector is as many, and a structure or array all of its own.
struct PushScalar {
  std::string name;  // of the member; may be empty
  kernel::Type type = kernel::Type::none;
  std::uint32_t offset = 0;  // bytes
  bool address = false;      // of a buffer (buffer_reference)
};

struct Shader {
  std::string entry;
  std::array<std::uint32_t, 3> block{1, 1, 1};  // with the constants given
  std::uint64_t shared_bytes = 0;               // as far as constants tell
  std::vector<std::uint32_t> capabilities;
  std::vector<gpu::ShaderBinding> bindings;
  std::vector<std::string> names;  // of the bindings; may be empty
  std::uint32_t push_bytes = 0;
  std::vector<PushScalar> push;  // ascending by offset
  std::vector<gpu::ShaderConstant> constants;
};

// The words of a file: INVALID_ARG unless they begin as a module of this byte order does.
Result<std::vector<std::uint32_t>> spirv_words(std::span<const std::byte> bytes);
Result<Shader> reflect_spirv(std::span<const std::uint32_t> words, const ShaderOptions& options = {});

// A parameter of a PTX entry: a number, or an address where it has 64 bits.
struct PtxParameter {
  std::string name;
  kernel::Type type = kernel::Type::none;  // .b64 is u64
};
struct PtxEntry {
  std::string entry;
  std::array<std::uint32_t, 3> block{0, 0, 0};  // of .reqntid, or of .maxntid; zeros: the text says neither
  std::vector<PtxParameter> parameters;
};
// `entry` empty: the only one.
Result<PtxEntry> reflect_ptx(std::string_view text, std::string_view entry = {});

}  // namespace gpuio::launch
