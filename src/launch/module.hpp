// A kernel from the bytes of a file, whatever its format: gpuio's IR, SPIR-V or PTX of any maker, ADead-BIB
// programs. What it takes is a list of parameters; arguments come in that order.
//
// A Module is read once and loaded on as many devices as there are. What gpuio made (IR, or SPIR-V and PTX
// with the IR embedded) runs on every device; other SPIR-V on Vulkan and other PTX on CUDA, and loading
// elsewhere is UNSUPPORTED and says so. Threading: a Module never changes, any thread; a Loaded is launched
// from any thread, but an ADead-BIB program with memory of its own in one stream at a time. Lifetime: the
// device outlives what is loaded on it, which outlives its launches. Errors: as launch/shader.hpp and
// launch/adead.hpp say; a launch names the argument that is wrong.
//
//   auto module = Module::read(bytes, {.format = Format::spirv});
//   auto loaded = module->load(*device);
//   (*loaded)->launch(*stream, {.groups = {64, 1, 1}}, values);
#pragma once

#include <memory>

#include "launch/adead.hpp"
#include "launch/shader.hpp"

namespace gpuio::launch {

enum class Format : std::uint8_t { automatic, ir, spirv, ptx, adead };

struct ModuleOptions {
  Format format = Format::automatic;  // told apart by the first bytes; accumulator code has to be named
  std::string entry{};
  std::vector<ConstantValue> constants{};       // specialization constants
  std::array<std::uint32_t, 3> block{0, 0, 0};  // of PTX that does not say, and of ADead-BIB code; 0: it does
};

struct Parameter {
  enum class Kind : std::uint8_t {
    buffer,
    scalar,
    either,    // 64 bits of PTX: a buffer's address, or a number
    on_demand  // an array of paging; such kernels are not loaded here
  };
  Kind kind = Kind::buffer;
  std::string name;                        // may be empty
  kernel::Type type = kernel::Type::none;  // of the scalar, or of an element; none: bytes
  std::uint64_t count = 0;                 // elements that the buffer has at least
  bool read_only = false;
};

// An argument: a range of a buffer, memory at an address (of the CPU device), or the bits of a scalar.
struct Value {
  const gpu::Buffer* buffer = nullptr;
  std::uint64_t offset = 0;   // bytes, into the buffer
  std::uint64_t address = 0;  // where kernels find the first byte; of a buffer, with the offset
  std::uint64_t bytes = 0;    // of the range; 0: a scalar
  std::uint64_t bits = 0;
  static Value range(const gpu::Buffer& b, std::uint64_t at = 0, std::uint64_t size = ~std::uint64_t{0}) {
    return {&b, at, b.address() + at, std::min(size, b.size() - at), 0};
  }
  static Value scalar(std::uint64_t v) { return {nullptr, 0, 0, 0, v}; }
};

// On a device.
class Loaded {
 public:
  virtual ~Loaded() = default;
  // As many values as parameters, which were found to suit them.
  virtual Status launch(gpu::Stream& stream, const gpu::Grid& grid, std::span<const Value> values) = 0;
};

class Module {
 public:
  static Result<std::shared_ptr<const Module>> read(std::span<const std::byte> bytes,
                                                    const ModuleOptions& options = {});

  const std::string& name() const { return name_; }
  std::span<const Parameter> parameters() const { return parameters_; }
  std::array<std::uint32_t, 3> block() const { return block_; }
  Format format() const { return format_; }
  // gpuio's own kernel; null for those of others, and ADead-BIB programs.
  const kernel::Program* program() const { return program_ ? &*program_ : nullptr; }
  bool on_demand() const;
  // Were specialization constants given? Native code that was made before has others.
  bool specialized() const { return specialized_; }

  Result<std::unique_ptr<Loaded>> load(gpu::Device& device) const;

 private:
  Status take_ir(std::vector<std::uint8_t> ir, const ModuleOptions& options);
  Status read_spirv(std::span<const std::byte> bytes, const ModuleOptions& options);
  Status read_ptx(std::span<const std::byte> bytes, const ModuleOptions& options);
  Status read_adead(std::span<const std::byte> bytes, const ModuleOptions& options);
  Result<std::unique_ptr<Loaded>> load_program(gpu::Device& device) const;
  Result<std::unique_ptr<Loaded>> load_shader(gpu::Device& device) const;

  Format format_ = Format::ir;
  std::string name_;
  std::array<std::uint32_t, 3> block_{1, 1, 1};
  std::vector<Parameter> parameters_;
  // Of IR, given or embedded; the program's name lies in the bytes.
  std::vector<std::uint8_t> ir_;
  std::optional<kernel::Program> program_;
  bool specialized_ = false;
  // Of files.
  std::vector<std::uint32_t> words_;
  Shader shader_;
  std::string ptx_, entry_;
  std::optional<AdeadModule> adead_;
};

// What a device made, launched with a block of arguments.
std::unique_ptr<Loaded> loaded(std::unique_ptr<gpu::Kernel> kernel, std::span<const Parameter> parameters);

}  // namespace gpuio::launch
