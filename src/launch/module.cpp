#include "launch/module.hpp"

#include <gpuio/kernel/serialize.hpp>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/text.hpp"
#include "launch/compile.hpp"
#include "launch/constant.hpp"
#include "launch/embedded.hpp"
#include "launch/shipped.hpp"

namespace gpuio::launch {
namespace {

using kernel::Type;
using Kind = Parameter::Kind;

std::string_view backend_name(gpu::Backend b) {
  return b == gpu::Backend::cpu      ? "the CPU device"
         : b == gpu::Backend::vulkan ? "a Vulkan device"
                                     : "a CUDA device";
}

std::unexpected<Status> not_here(std::string_view what, std::string_view name, std::string_view where,
                                 const gpu::DeviceInfo& device) {
  return fail(
      Code::unsupported,
      "{} '{}' was not made by gpuio: {} can run it, and {} is {}. What gpuio makes runs on every device",
      what, name, where, device.name, backend_name(device.backend));
}

// Our own calling convention: one block of slots.
class Block final : public Loaded {
 public:
  Block(std::unique_ptr<gpu::Kernel> kernel, std::span<const Parameter> parameters)
      : kernel_(std::move(kernel)) {
    for (const Parameter& p : parameters) sizes_.push_back(std::max(kernel::size_of(p.type), 1u));
  }
  Status launch(gpu::Stream& stream, const gpu::Grid& grid, std::span<const Value> values) override {
    std::vector<gpu::Argument> arguments;
    for (std::size_t i = 0; i < values.size() && i < sizes_.size(); ++i) {
      const Value& v = values[i];
      arguments.push_back(v.bytes == 0 ? gpu::Argument{v.bits, 0}
                                       : gpu::Argument{v.address, v.bytes / sizes_[i]});
    }
    return stream.launch(*kernel_, grid, arguments);
  }

 private:
  std::unique_ptr<gpu::Kernel> kernel_;
  std::vector<std::uint32_t> sizes_;
};

// SPIR-V of others: buffers to bindings, scalars into the push constants.
class Bound final : public Loaded {
 public:
  Bound(std::unique_ptr<gpu::Kernel> kernel, const Shader& shader)
      : kernel_(std::move(kernel)), push_(shader.push), bytes_(shader.push_bytes) {}
  Status launch(gpu::Stream& stream, const gpu::Grid& grid, std::span<const Value> values) override {
    std::vector<gpu::BufferRange> ranges;
    std::vector<std::byte> push(bytes_);
    const std::size_t buffers = values.size() - push_.size();
    for (const Value& v : values.first(buffers)) ranges.push_back({v.buffer, v.offset, v.bytes});
    for (std::size_t i = 0; i < push_.size(); ++i) {
      const Value& v = values[buffers + i];
      const std::uint64_t bits =
          v.bytes == 0 ? v.bits : v.address;  // the low bytes first, as all hosts have them
      std::memcpy(push.data() + push_[i].offset, &bits, kernel::size_of(push_[i].type));
    }
    return dynamic_cast<gpu::ShaderStream&>(stream).launch_shader(*kernel_, grid,
                                                                  {.buffers = ranges, .push = push});
  }

 private:
  std::unique_ptr<gpu::Kernel> kernel_;
  std::vector<PushScalar> push_;
  std::uint32_t bytes_;
};

// PTX of others: a value a parameter.
class Separate final : public Loaded {
 public:
  explicit Separate(std::unique_ptr<gpu::Kernel> kernel) : kernel_(std::move(kernel)) {}
  Status launch(gpu::Stream& stream, const gpu::Grid& grid, std::span<const Value> values) override {
    std::vector<std::uint64_t> bits;
    for (const Value& v : values) bits.push_back(v.bytes == 0 ? v.bits : v.address);
    return dynamic_cast<gpu::ShaderStream&>(stream).launch_shader(*kernel_, grid, {.values = bits});
  }

 private:
  std::unique_ptr<gpu::Kernel> kernel_;
};

class Program final : public Loaded {
 public:
  explicit Program(Adead adead) : adead_(std::move(adead)) {}
  Status launch(gpu::Stream& stream, const gpu::Grid& grid, std::span<const Value> values) override {
    std::vector<gpu::Argument> arguments;
    for (const Value& v : values) arguments.push_back({v.address, v.bytes / 4});
    const std::scoped_lock hold(mutex_);
    return adead_.launch(stream, arguments, grid);
  }

 private:
  std::mutex mutex_;
  Adead adead_;
};

Format guess(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("GKIR")) return Format::ir;
  if (text.starts_with("\x03\x02\x23\x07") || text.starts_with("\x07\x23\x02\x03")) return Format::spirv;
  if (text.starts_with("AHYB") || text.starts_with("AGPU")) return Format::adead;
  if (text.find(".entry") != text.npos) return Format::ptx;
  return Format::automatic;
}

}  // namespace

std::unique_ptr<Loaded> loaded(std::unique_ptr<gpu::Kernel> kernel, std::span<const Parameter> parameters) {
  return std::make_unique<Block>(std::move(kernel), parameters);
}

bool Module::on_demand() const {
  return std::ranges::any_of(parameters_, [](const Parameter& p) { return p.kind == Kind::on_demand; });
}

Result<std::shared_ptr<const Module>> Module::read(std::span<const std::byte> bytes,
                                                   const ModuleOptions& options) {
  auto module = std::make_shared<Module>();
  module->format_ = options.format == Format::automatic ? guess(bytes) : options.format;
  const auto* const begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  Status s;
  switch (module->format_) {
    case Format::ir: s = module->take_ir({begin, begin + bytes.size()}, options); break;
    case Format::spirv: s = module->read_spirv(bytes, options); break;
    case Format::ptx: s = module->read_ptx(bytes, options); break;
    case Format::adead: s = module->read_adead(bytes, options); break;
    case Format::automatic:
      s = error(Code::invalid_arg,
                "{} bytes are no kernel by their beginning: IR begins with GKIR, SPIR-V with 0x07230203, "
                "ADead-BIB with AHYB or AGPU, PTX has an .entry; accumulator code has to be named as such",
                bytes.size());
  }
  if (!s) return fail(std::move(s));
  return module;
}

// --- Formats ----------------------------------------------------------------------------------------------

Status Module::take_ir(std::vector<std::uint8_t> ir, const ModuleOptions& options) {
  ir_ = std::move(ir);
  kernel::Deserialized read = kernel::deserialize(ir_);
  if (!read.ok()) return error(Code::invalid_arg, "the kernel's IR: {}", kernel::message(read));
  program_ = std::move(read.program);
  for (const ConstantValue& c : options.constants)
    if (Status s = set_constant(*program_, c); !s) return s;
  specialized_ = !options.constants.empty();
  name_ = program_->name;
  block_ = program_->block;
  for (const kernel::Param& p : program_->params) {
    const Kind kind = p.kind == kernel::ParamKind::scalar      ? Kind::scalar
                      : p.kind == kernel::ParamKind::on_demand ? Kind::on_demand
                                                               : Kind::buffer;
    parameters_.push_back({kind, {}, p.type, p.count, p.kind == kernel::ParamKind::in});
  }
  return {};
}

Status Module::read_spirv(std::span<const std::byte> bytes, const ModuleOptions& options) {
  auto words = spirv_words(bytes);
  if (!words) return std::move(words).error();
  words_ = std::move(*words);
  std::vector<std::uint8_t> ir = find_embedded(words_);
  ShaderOptions asked{.entry = options.entry};
  if (ir.empty()) asked.constants = options.constants;  // ours are set in the IR
  auto shader = reflect_spirv(words_, asked);
  if (!shader) return std::move(shader).error();
  shader_ = std::move(*shader);
  entry_ = name_ = printable(shader_.entry);
  block_ = shader_.block;
  if (!ir.empty()) {
    if (Status s = take_ir(std::move(ir), options); !s)
      return std::move(s).wrap("the IR embedded in a SPIR-V module");
    // What gpuio writes takes the address of the argument block and binds nothing.
    if (program_->block != shader_.block || !shader_.bindings.empty() || shader_.push_bytes != 8)
      return error(Code::invalid_arg, "the IR embedded in SPIR-V module '{}' is of another kernel", name_);
    return {};
  }
  for (std::size_t i = 0; i < shader_.bindings.size(); ++i)
    parameters_.push_back(
        {Kind::buffer,
         shader_.names[i].empty()
             ? fmt::format("set {}, binding {}", shader_.bindings[i].set, shader_.bindings[i].binding)
             : shader_.names[i],
         Type::none, 0, false});
  for (const PushScalar& p : shader_.push)
    parameters_.push_back({p.address ? Kind::either : Kind::scalar, p.name, p.type, 0, true});
  return {};
}

Status Module::read_ptx(std::span<const std::byte> bytes, const ModuleOptions& options) {
  ptx_.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (std::vector<std::uint8_t> ir = find_embedded(ptx_); !ir.empty()) {
    if (Status s = take_ir(std::move(ir), options); !s)
      return std::move(s).wrap("the IR embedded in a PTX text");
    return {};
  }
  if (!options.constants.empty())
    return error(Code::invalid_arg, "PTX of other makers has no specialization constants; {} were given",
                 options.constants.size());
  auto entry = reflect_ptx(ptx_, options.entry);
  if (!entry) return std::move(entry).error();
  entry_ = name_ = entry->entry;
  block_ = options.block[0] != 0 ? options.block : entry->block;
  if (block_[0] == 0)
    return error(Code::invalid_arg,
                 "PTX entry {} does not say how many lanes a workgroup has (.reqntid): give a block", name_);
  for (const PtxParameter& p : entry->parameters)
    parameters_.push_back({p.type == Type::u64 ? Kind::either : Kind::scalar, p.name, p.type, 0, false});
  return {};
}

Status Module::read_adead(std::span<const std::byte> bytes, const ModuleOptions& options) {
  if (!options.constants.empty())
    return error(Code::invalid_arg, "ADead-BIB programs have no specialization constants; {} were given",
                 options.constants.size());
  AdeadOptions block;
  if (options.block[0] != 0) block.block = options.block;
  auto adead = parse_adead(bytes, block);
  if (!adead) return std::move(adead).error();
  name_ = "ADead-BIB program";
  if (!adead->steps.empty()) block_ = adead->steps.front().program.block;
  for (const AdeadBuffer& b : adead->buffers)
    if (!b.scratch)
      parameters_.push_back({Kind::buffer, {}, Type::f32, b.bytes / 4, b.kind == kernel::ParamKind::in});
  adead_ = std::move(*adead);
  return {};
}

// --- Devices ----------------------------------------------------------------------------------------------

Result<std::unique_ptr<Loaded>> Module::load(gpu::Device& device) const {
  if (adead_) {
    auto made = Adead::make(device, *adead_);
    if (!made) return fail(std::move(made).error());
    return std::make_unique<Program>(std::move(*made));
  }
  return program_ ? load_program(device) : load_shader(device);
}

Result<std::unique_ptr<Loaded>> Module::load_program(gpu::Device& device) const {
  const kernel::View view = program_->view();
  const gpu::Backend backend = device.info().backend;
  gpu::KernelCode code{.name = view.name,
                       .block = view.block,
                       .shared_bytes = kernel::shared_bytes(view),
                       .parameters = kernel::u32(view.params.size())};
  code.tensors = launch::tensors_of(view);
  // A file's own code where the device takes that; what was shipped runs natively on the CPU. None of it has
  // the constants that were given.
  if (backend == gpu::Backend::vulkan && !specialized_) code.spirv = words_;
  if (backend == gpu::Backend::cuda && !specialized_) code.ptx = ptx_;
  if (backend == gpu::Backend::cpu && !specialized_) code.native = shipped_native(ir_);
  const bool ready = !code.spirv.empty() || !code.ptx.empty() || code.native.run != nullptr;
  auto made = ready ? device.load(code) : launch::load(device, view);
  if (!made) return fail(std::move(made).error());
  return loaded(std::move(*made), parameters_);
}

Result<std::unique_ptr<Loaded>> Module::load_shader(gpu::Device& device) const {
  const gpu::Backend backend = device.info().backend;
  auto* const shaders = dynamic_cast<gpu::ShaderDevice*>(&device);
  gpu::ShaderCode code{.name = name_, .entry = entry_, .block = block_};
  if (format_ == Format::spirv) {
    if (backend != gpu::Backend::vulkan || shaders == nullptr)
      return not_here("SPIR-V module", name_, "a Vulkan device", device.info());
    code.entry = shader_.entry;
    code.shared_bytes = shader_.shared_bytes;
    code.spirv = words_;
    code.capabilities = shader_.capabilities;
    code.bindings = shader_.bindings;
    code.push_bytes = shader_.push_bytes;
    code.constants = shader_.constants;
  } else {
    if (backend != gpu::Backend::cuda || shaders == nullptr)
      return not_here("PTX entry", name_, "a CUDA device", device.info());
    code.ptx = ptx_;
    code.parameters = std::uint32_t(parameters_.size());
  }
  auto made = shaders->load_shader(code);
  if (!made) return fail(std::move(made).error());
  if (format_ == Format::ptx) return std::make_unique<Separate>(std::move(*made));
  return std::make_unique<Bound>(std::move(*made), shader_);
}

}  // namespace gpuio::launch
