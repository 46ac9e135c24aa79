// ADead-BIB programs: from the bytes of a file to kernels that every device runs (docs/adead.md).
//
// Three formats, told apart by their first bytes: accumulator code (.adb, no header), AHYB (register code, or
// a hybrid container whose GPU part is AGPU) and AGPU (a list of device operations). Accumulator and register
// code become one kernel, launched over as many elements as the caller has; AGPU becomes one kernel an
// operation, each with its grid, run in order. Elements are f32. x86 code inside a container is never run.
//
// Threading: parsing is pure, any thread. An Adead belongs to its device, which outlives it, and is used as a
// Stream is: by one thread at a time. It outlives what it launched. Errors: INVALID_ARG with the offset, what
// stands there and what would be right; UNSUPPORTED for what is well formed and cannot be run.
//
//   auto module = launch::parse_adead(bytes);            // 10 41 22 00: c = a + b
//   auto adead = launch::Adead::make(*device, *module);
//   adead->launch(*stream, arguments, module->groups_for(n));
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "gpu/device.hpp"

namespace gpuio::launch {

enum class AdeadFormat : std::uint8_t { accumulator, registers, container, operations };

struct AdeadOptions {
  std::array<std::uint32_t, 3> block{256, 1, 1};  // of accumulator and register code
};

// A buffer that the kernels of a module use: the caller's arguments first, in order, then scratch.
struct AdeadBuffer {
  kernel::ParamKind kind = kernel::ParamKind::in;  // in, out or inout; scratch is inout
  std::uint64_t bytes = 0;                         // it has at least; 0: any size
  std::uint64_t host_address = 0;  // AGPU: the address that the program named it by; never followed
  bool scratch = false;
};

struct AdeadStep {
  kernel::Program program;
  std::vector<std::uint32_t> buffers;            // of the module, one a parameter
  std::array<std::uint32_t, 3> groups{0, 0, 0};  // 0: the caller says
};

struct AdeadModule {
  AdeadFormat format = AdeadFormat::accumulator;
  std::vector<AdeadBuffer> buffers;
  std::vector<AdeadStep> steps;

  std::size_t arguments() const;  // how many buffers the caller gives
  // The grid that covers so many elements, for accumulator and register code.
  gpu::Grid groups_for(std::uint64_t elements) const;
};

Result<AdeadModule> parse_adead(std::span<const std::byte> bytes, const AdeadOptions& options = {});

// Accumulator code from operations and operands, each 0 to 15. Parsing checks what they mean.
Result<std::vector<std::byte>> encode_adead(
    std::span<const std::pair<std::uint8_t, std::uint8_t>> operations);

// A module on a device: its kernels loaded, its scratch memory allocated.
class Adead {
 public:
  static Result<Adead> make(gpu::Device& device, const AdeadModule& module);

  // Enqueues all steps. `arguments` are the caller's buffers, in order; `grid` is for accumulator and
  // register code, and ignored by AGPU, which knows its sizes.
  Status launch(gpu::Stream& stream, std::span<const gpu::Argument> arguments, const gpu::Grid& grid);

 private:
  struct Step {
    std::unique_ptr<gpu::Kernel> kernel;
    std::vector<std::uint32_t> buffers;
    std::array<std::uint32_t, 3> groups;
  };
  std::vector<AdeadBuffer> buffers_;
  std::vector<Step> steps_;
  std::vector<std::unique_ptr<gpu::Buffer>> scratch_;
  std::size_t arguments_ = 0;
};

}  // namespace gpuio::launch
