#include "capi/kernel.hpp"

#include <algorithm>

#include "capi/context.hpp"

namespace gpuio::capi {
namespace {

static_assert(sizeof(gpuio_slot_t) == sizeof(gpu::Argument) &&
              offsetof(gpuio_slot_t, count) == offsetof(gpu::Argument, count));

Status run_native(const gpu::Workgroup& w) {
  const auto native = *static_cast<const gpuio_native_fn_t*>(w.data);
  const gpuio_workgroup_t group = {.arguments = reinterpret_cast<const gpuio_slot_t*>(w.arguments.data()),
                                   .num_arguments = static_cast<std::uint32_t>(w.arguments.size()),
                                   .group = {w.group[0], w.group[1], w.group[2]},
                                   .groups = {w.groups[0], w.groups[1], w.groups[2]},
                                   .shared = w.shared.data(),
                                   .shared_size = w.shared.size()};
  const gpuio_error_t code = native(&group);
  if (code == GPUIO_SUCCESS) return {};
  return error(static_cast<Code>(code), "the native code of the kernel answered {} in group {}, {}, {}",
               gpuio_error_string(code), w.group[0], w.group[1], w.group[2]);
}

Result<std::unique_ptr<launch::Loaded>> load_native(gpu::Device& device, const launch::Module& module,
                                                    gpu::Native native) {
  const kernel::View view = module.program()->view();
  auto made = device.load({.name = view.name,
                           .block = view.block,
                           .shared_bytes = kernel::shared_bytes(view),
                           .parameters = kernel::u32(view.params.size()),
                           .native = std::move(native)});
  if (!made) return fail(std::move(made).error());
  return launch::loaded(std::move(*made), module.parameters());
}

}  // namespace

Result<std::shared_ptr<Kernel>> Kernel::read(std::span<const std::byte> bytes,
                                             const launch::ModuleOptions& options) {
  auto module = launch::Module::read(bytes, options);
  if (!module) return fail(std::move(module).error());
  auto kernel = std::shared_ptr<Kernel>(new Kernel);
  kernel->module_ = std::move(*module);
  return kernel;
}

Result<std::shared_ptr<launch::Loaded>> Kernel::on(gpu::Device& device) {
  std::scoped_lock hold(mutex_);
  std::shared_ptr<launch::Loaded>& entry = loaded_[&device];
  if (!entry) {
    const bool cpu = device.info().backend == gpu::Backend::cpu;
    auto made = cpu && native_.run ? load_native(device, *module_, native_) : module_->load(device);
    if (!made) return fail(std::move(made).error());
    entry = std::move(*made);
  }
  return entry;
}

Status Kernel::set_native(gpuio_native_fn_t function) {
  if (module_->program() == nullptr)
    return error(Code::unsupported, "kernel {} was not made by gpuio, and native code is held to its IR",
                 module_->name());
  if (function && module_->specialized())
    return error(Code::unsupported,
                 "kernel {} was given specialization constants, which its native code does not have",
                 module_->name());
  std::scoped_lock hold(mutex_);
  native_ = {};
  if (function) native_ = {.run = run_native, .data = std::make_shared<gpuio_native_fn_t>(function)};
  for (auto& [device, kernel] : loaded_)
    if (kernel) replaced_.push_back(std::move(kernel));
  loaded_.clear();
  return {};
}

gpu::Native Kernel::native() {
  std::scoped_lock hold(mutex_);
  return native_;
}

void Kernel::given_to(const std::shared_ptr<Stream>& stream) {
  std::scoped_lock hold(mutex_);
  std::erase_if(streams_, [&](const auto& known) {
    const auto s = known.lock();
    return !s || s == stream;
  });
  streams_.push_back(stream);
}

bool Kernel::in_use() {
  std::scoped_lock hold(mutex_);
  return std::ranges::any_of(streams_, [](const auto& known) {
    const auto stream = known.lock();
    if (!stream) return false;  // it ended, and with it what was in it
    const auto idle = stream->idle();
    return idle && !*idle;
  });
}

void Kernels::retire(std::shared_ptr<Kernel> kernel) {
  std::scoped_lock hold(mutex_);
  retired_.push_back(std::move(kernel));
  std::erase_if(retired_, [](const auto& k) { return !k->in_use(); });
}

}  // namespace gpuio::capi
