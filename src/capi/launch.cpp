// Launching kernels: arguments held to the parameters, then the stream, or the arrays where they are on
// demand.

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "capi/context.hpp"

namespace gpuio::capi {
namespace {

static_assert(static_cast<int>(launch::Format::automatic) == GPUIO_FORMAT_AUTO &&
              static_cast<int>(launch::Format::ir) == GPUIO_FORMAT_IR &&
              static_cast<int>(launch::Format::spirv) == GPUIO_FORMAT_SPIRV &&
              static_cast<int>(launch::Format::ptx) == GPUIO_FORMAT_PTX &&
              static_cast<int>(launch::Format::adead) == GPUIO_FORMAT_ADEAD);

constexpr std::uint32_t kGroupsMax = 65535;
static_assert(static_cast<int>(paging::Miss::automatic) == GPUIO_MISS_AUTO &&
              static_cast<int>(paging::Miss::wait) == GPUIO_MISS_WAIT &&
              static_cast<int>(paging::Miss::yield) == GPUIO_MISS_YIELD);

const char* kind_name(gpuio_argument_kind_t kind) {
  switch (kind) {
    case GPUIO_ARG_MEMORY: return "GPUIO_ARG_MEMORY";
    case GPUIO_ARG_SCALAR: return "GPUIO_ARG_SCALAR";
    case GPUIO_ARG_PROXY: return "GPUIO_ARG_PROXY";
    case GPUIO_ARG_INTEGER: return "GPUIO_ARG_INTEGER";
    case GPUIO_ARG_REAL: return "GPUIO_ARG_REAL";
    case GPUIO_ARG_BYTES: return "GPUIO_ARG_BYTES";
  }
  return "of no known kind";
}
gpuio_argument_kind_t kind_of(launch::Parameter::Kind kind) {
  switch (kind) {
    case launch::Parameter::Kind::scalar: return GPUIO_ARG_SCALAR;
    case launch::Parameter::Kind::on_demand: return GPUIO_ARG_PROXY;
    default: return GPUIO_ARG_MEMORY;
  }
}
bool is_number(gpuio_argument_kind_t kind) {
  return kind == GPUIO_ARG_SCALAR || kind == GPUIO_ARG_INTEGER || kind == GPUIO_ARG_REAL;
}
launch::Number number_of(gpuio_argument_kind_t kind, std::uint64_t bits) {
  return {kind == GPUIO_ARG_REAL, bits};
}

// A launch whose arguments were found good; keeps what they name.
struct Launch {
  std::shared_ptr<Kernel> kernel;
  std::shared_ptr<Stream> stream;
  gpu::Grid grid;
  std::vector<launch::Value> values;
  std::vector<std::shared_ptr<Allocation>> memory;
  std::vector<std::shared_ptr<Proxy>> proxies;

  Launch() = default;
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  ~Launch() {
    for (const auto& proxy : proxies) proxy->release();
  }
};

// Where kernels of the stream's device find the memory.
Result<launch::Value> value_of(Context& c, Launch& launch, const gpuio_argument_t& argument,
                               std::uint64_t bytes) {
  const gpu::Device& device = launch.stream->device();
  // Modules of other makers get buffers bound, not addresses.
  const bool bound = !launch.kernel->module().program() && device.info().backend == gpu::Backend::vulkan &&
                     launch.kernel->module().format() == launch::Format::spirv;
  auto reached = c.reach(device, argument.memory, bytes, !bound);
  if (!reached) return fail(std::move(reached).error());
  launch::Value value{nullptr, reached->offset, reached->address, bytes, 0};
  if (reached->block) {
    value.buffer = reached->block->buffer.get();
    launch.memory.push_back(std::move(reached->block));
  }
  return value;
}

Result<launch::Value> check_scalar(const launch::Parameter& parameter, const gpuio_argument_t& given) {
  if (given.kind != GPUIO_ARG_SCALAR) {
    const launch::Number number = number_of(given.kind, given.bits);
    const auto bits = launch::convert(number, parameter.type);
    if (!bits)
      return fail(Code::invalid_arg, "it is {}, which the kernel's scalar, {}, does not hold",
                  launch::text_of(number), launch::type_name(parameter.type));
    return launch::Value::scalar(*bits);
  }
  const std::uint32_t size = kernel::size_of(parameter.type);
  if (given.element_size != 0 && given.element_size != size)
    return fail(Code::invalid_arg, "its elements have {} bytes, the kernel's {}", given.element_size, size);
  if (size < 8 && given.bits >> (8 * size))
    return fail(Code::invalid_arg, "its bits {:#x} do not fit the kernel's scalar of {} bytes", given.bits,
                size);
  return launch::Value::scalar(given.bits);
}

Result<launch::Value> check_proxy(Context& c, Launch& launch, const launch::Parameter& parameter,
                                  const gpuio_argument_t& given) {
  const std::uint32_t size = kernel::size_of(parameter.type);
  if (given.element_size != 0 && given.element_size != size)
    return fail(Code::invalid_arg, "its elements have {} bytes, the kernel's {}", given.element_size, size);
  auto proxy = c.proxies.find(given.proxy);
  if (!proxy) return fail(std::move(proxy).error());
  if (&(*proxy)->arrays().device() != &launch.stream->device())
    return fail(Code::invalid_arg, "its array was made for device {}, which is not the stream's",
                (*proxy)->arrays().device_id());
  if (!(*proxy)->hold()) return fail(Code::invalid_arg, "its array is being destroyed");
  launch.proxies.push_back(*proxy);
  launch::Value value;
  value.address = (*proxy)->array().range.first;
  value.bytes = ((*proxy)->size() - 1) / size * size + size;
  return value;
}

Result<launch::Value> check_memory(Context& c, Launch& launch, const launch::Parameter& parameter,
                                   const gpuio_argument_t& given) {
  // Where the kernel does not say what the elements are, the caller's word is taken.
  std::uint32_t size =
      parameter.kind == launch::Parameter::Kind::either ? 0 : kernel::size_of(parameter.type);
  if (size == 0) size = given.element_size != 0 ? given.element_size : 1;
  if (given.element_size != 0 && given.element_size != size)
    return fail(Code::invalid_arg, "its elements have {} bytes, the kernel's {}", given.element_size, size);
  if (given.count < parameter.count)
    return fail(Code::invalid_arg, "it has {} elements, and the kernel needs {}", given.count,
                parameter.count);
  if (given.count > ~std::uint64_t{0} / size)
    return fail(Code::invalid_arg, "{} elements of {} bytes are more than there can be", given.count, size);
  if (given.count == 0) return launch::Value{};
  if (!given.memory) return fail(Code::invalid_arg, "its memory is NULL");
  auto value = value_of(c, launch, given, given.count * size);
  if (value && value->address % size)
    return fail(Code::invalid_arg, "its memory {} is not aligned to its elements of {} bytes", given.memory,
                size);
  return value;
}

Result<launch::Value> check_argument(Context& c, Launch& launch, const launch::Parameter& parameter,
                                     gpuio_argument_t given) {
  if (given.kind == GPUIO_ARG_BYTES) {
    const bool typed = parameter.kind == launch::Parameter::Kind::buffer;
    given.kind = GPUIO_ARG_MEMORY;
    given.element_size = typed ? std::max(kernel::size_of(parameter.type), 1u) : 1;
    given.count /= given.element_size;
  }
  const gpuio_argument_kind_t kind = kind_of(parameter.kind);
  const bool either = parameter.kind == launch::Parameter::Kind::either;
  if (is_number(given.kind) && (kind == GPUIO_ARG_SCALAR || either)) return check_scalar(parameter, given);
  if (given.kind != kind)
    return fail(Code::invalid_arg, "it is {}, and the kernel takes {}", kind_name(given.kind),
                kind_name(kind));
  return kind == GPUIO_ARG_PROXY ? check_proxy(c, launch, parameter, given)
                                 : check_memory(c, launch, parameter, given);
}

Status prepare(Context& c, Launch& launch, gpuio_kernel_t handle, const std::uint32_t* groups,
               const gpuio_argument_t* arguments, int num_arguments, gpuio_stream_t stream) {
  auto kernel = c.kernels.table.find(handle);
  if (!kernel) return std::move(kernel).error();
  launch.kernel = std::move(*kernel);
  const launch::Module& module = launch.kernel->module();
  const auto parameters = module.parameters();
  if (!groups) return null_argument("groups");
  for (std::size_t i = 0; i < 3; ++i) {
    if (groups[i] == 0 || groups[i] > kGroupsMax)
      return error(Code::invalid_arg, "groups[{}] = {}: 1 to {} are possible", i, groups[i], kGroupsMax);
    launch.grid.groups[i] = groups[i];
  }
  if (num_arguments < 0 || static_cast<std::size_t>(num_arguments) != parameters.size())
    return error(Code::invalid_arg, "kernel {} has {} parameters; {} arguments were given", module.name(),
                 parameters.size(), num_arguments);
  if (!arguments && num_arguments) return null_argument("the arguments");
  auto found = c.stream_of(stream);
  if (!found) return std::move(found).error();
  launch.stream = std::move(*found);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto value = check_argument(c, launch, parameters[i], arguments[i]);
    if (!value) {
      const std::string& name = parameters[i].name;
      return std::move(value).error().wrap(
          fmt::format("argument {}{} of kernel {}", i, name.empty() ? "" : " (" + name + ")", module.name()));
    }
    launch.values.push_back(*value);
  }
  return {};
}

Result<Stream::Operation> launching(Launch& launch) {
  auto loaded = launch.kernel->on(launch.stream->device());
  if (!loaded) return fail(std::move(loaded).error());
  launch.kernel->given_to(launch.stream);
  return [kernel = launch.kernel, loaded = std::move(*loaded), grid = launch.grid, memory = launch.memory,
          values = launch.values](gpu::Stream& queue) { return loaded->launch(queue, grid, values); };
}

std::uint64_t nanoseconds(std::uint64_t timeout_us) {
  return timeout_us == 0 || timeout_us > gpu::kForever / 1000 ? gpu::kForever : timeout_us * 1000;
}

Status run_plain(Launch& launch, const paging::Patience& patience, gpuio_launch_report_t* report) {
  const std::uint64_t start_ns = SteadyClock().now_ns();
  auto operation = launching(launch);
  if (!operation) return std::move(operation).error();
  if (Status s = launch.stream->through(std::move(*operation), patience); !s) return s;
  if (report) {
    report->launches = 1;
    report->seconds = static_cast<double>(SteadyClock().now_ns() - start_ns) / 1e9;
  }
  return {};
}

Status run_on_demand(Launch& launch, const gpuio_launch_options_t& options, const paging::Patience& patience,
                     gpuio_launch_report_t* out) {
  const std::uint64_t start_ns = SteadyClock().now_ns();
  const auto left = [&] {
    const std::uint64_t spent = SteadyClock().now_ns() - start_ns;
    return patience.timeout_ns - std::min(patience.timeout_ns, spent);
  };
  // The arrays' kernels run on a stream of their own: what the client's stream has to do comes first.
  if (Status s = launch.stream->through([](gpu::Stream&) { return Status(); }, patience); !s) return s;
  auto use = launch.proxies.front()->arrays().use({.timeout_ns = left(), .cancel = patience.cancel});
  if (!use) return std::move(use).error();
  const kernel::View view = launch.kernel->module().program()->view();
  std::vector<gpu::Argument> arguments;
  for (std::size_t i = 0; i < launch.values.size(); ++i) {
    const launch::Value& v = launch.values[i];
    const bool range = v.bytes != 0;
    arguments.push_back(
        {range ? v.address : v.bits, range ? v.bytes / kernel::size_of(view.params[i].type) : 0});
  }
  auto report = (*use)->run(
      {view, launch.kernel->native()}, launch.grid, arguments,
      {.miss = static_cast<paging::Miss>(options.miss), .timeout_ns = left(), .cancel = patience.cancel});
  if (!report) return std::move(report).error();
  if (report->failures && !options.allow_failures)
    return error(report->failure, "every lane ran to its end, but {} of {} accesses that missed failed: {}",
                 report->failures, report->misses, report->reason);
  if (!out) return {};
  out->miss = report->miss == paging::Miss::wait ? GPUIO_MISS_WAIT : GPUIO_MISS_YIELD;
  out->launches = report->launches;
  out->misses = report->misses;
  out->failures = report->failures;
  out->pages = report->pages;
  out->seconds = report->seconds;
  out->miss_latency_p50_us = static_cast<double>(report->latency_ns.percentile(50)) / 1e3;
  out->miss_latency_p99_us = static_cast<double>(report->latency_ns.percentile(99)) / 1e3;
  const std::size_t length = std::min(report->reason.size(), sizeof out->reason - 1);
  std::memcpy(out->reason, report->reason.data(), length);
  return {};
}

Status run(Context& c, Launch& launch, const gpuio_launch_options_t* given, gpuio_launch_report_t* report) {
  if (Status s = c.may_block(); !s) return s;
  const gpuio_launch_options_t options = given ? *given : gpuio_launch_options_t{};
  if (options.miss < GPUIO_MISS_AUTO || options.miss > GPUIO_MISS_YIELD)
    return error(Code::invalid_arg, "options.miss = {}: give one from 0 to 2",
                 static_cast<int>(options.miss));
  std::atomic<bool> stop{false};
  const InFlight::Entry of_context(c.in_flight, stop), of_kernel(launch.kernel->runs, stop);
  const paging::Patience patience{.timeout_ns = nanoseconds(options.timeout_us), .cancel = &stop};
  return launch.proxies.empty() ? run_plain(launch, patience, report)
                                : run_on_demand(launch, options, patience, report);
}

Result<launch::ModuleOptions> options_of(const gpuio_kernel_options_t& given) {
  launch::ModuleOptions options;
  if (given.format < GPUIO_FORMAT_AUTO || given.format > GPUIO_FORMAT_ADEAD)
    return fail(Code::invalid_arg, "options.format = {}: give one from 0 to {}",
                static_cast<int>(given.format), static_cast<int>(GPUIO_FORMAT_ADEAD));
  options.format = static_cast<launch::Format>(given.format);
  if (given.entry) options.entry = given.entry;
  std::ranges::copy(given.block, options.block.begin());
  if (options.block[0] || options.block[1] || options.block[2])
    for (const std::uint32_t n : options.block)
      if (n == 0)
        return fail(Code::invalid_arg, "options.block = {}x{}x{}: give three numbers from 1, or none",
                    given.block[0], given.block[1], given.block[2]);
  if (given.num_constants < 0 || (given.num_constants > 0 && !given.constants))
    return fail(Code::invalid_arg, "options.num_constants = {}, and the constants are {}",
                given.num_constants, static_cast<const void*>(given.constants));
  for (int i = 0; i < given.num_constants; ++i) {
    const gpuio_constant_t& constant = given.constants[i];
    const std::string which = constant.name ? printable(constant.name) : fmt::format("{}", constant.id);
    if (constant.kind != GPUIO_ARG_INTEGER && constant.kind != GPUIO_ARG_REAL)
      return fail(Code::invalid_arg, "constant {} is {}: give GPUIO_ARG_INTEGER or GPUIO_ARG_REAL", which,
                  kind_name(constant.kind));
    options.constants.push_back(
        {constant.id, number_of(constant.kind, constant.bits), constant.name ? constant.name : ""});
  }
  return options;
}

Status load(Context& c, const void* bytes, std::size_t size, const launch::ModuleOptions& options,
            gpuio_kernel_t* handle) {
  if (!bytes) return null_argument("the kernel's bytes");
  auto kernel = Kernel::read({static_cast<const std::byte*>(bytes), size}, options);
  if (!kernel) return std::move(kernel).error();
  // What the device cannot express is better heard now; what is on demand is lowered for each run.
  if (!(*kernel)->module().on_demand()) {
    auto device = c.devices.open(c.devices.current());
    if (!device) return std::move(device).error();
    auto loaded = (*kernel)->on(**device);
    if (!loaded) return std::move(loaded).error();
  }
  *handle = c.kernels.table.add(std::move(*kernel));
  return {};
}

template <std::size_t N>
void copy_name(char (&to)[N], const std::string& from) {
  const std::size_t length = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), length);
  to[length] = 0;
}

}  // namespace

bool Context::in_window(const gpu::Device& device, std::uint64_t address, std::uint64_t bytes) const {
  return std::ranges::any_of(proxies.all(), [&](const auto& proxy) {
    if (&proxy->arrays().device() != &device) return false;
    const auto [begin, size] = proxy->window_range();
    return address >= begin && address - begin <= size && bytes <= size - (address - begin);
  });
}

Result<Context::Reached> Context::reach(const gpu::Device& device, const void* pointer, std::uint64_t bytes,
                                        bool windows) const {
  auto found = memory.find(pointer, bytes);
  if (!found) return fail(std::move(found).error());
  const bool cpu = device.info().backend == gpu::Backend::cpu;
  if (found->block) {
    const gpu::Buffer& buffer = *found->block->buffer;
    if (found->block->device != &device && !(cpu && buffer.host()))
      return fail(Code::invalid_arg, "its memory belongs to device {}, not to the stream's {}",
                  found->block->device_id, device.info().name);
    const auto base = cpu ? reinterpret_cast<std::uintptr_t>(buffer.host()) : buffer.address();
    return Reached{base + found->offset, found->offset, std::move(found->block)};
  }
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (cpu || (windows && in_window(device, address, bytes))) return Reached{address, 0, nullptr};
  return fail(Code::invalid_arg, "kernels of {} cannot reach {}: give memory of gpuio_malloc_*{}",
              device.info().name, pointer, windows ? ", or a mapped array" : "");
}

}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_kernel_load(gpuio_context_t ctx, const void* ir, size_t size, gpuio_kernel_t* kernel) {
  return call("gpuio_kernel_load", ctx, Outputs(kernel),
              [&](Context& c) { return load(c, ir, size, {.format = launch::Format::ir}, kernel); });
}

gpuio_error_t gpuio_kernel_load_format(gpuio_context_t ctx, const void* bytes, size_t size,
                                       const gpuio_kernel_options_t* options, gpuio_kernel_t* kernel) {
  return call("gpuio_kernel_load_format", ctx, Outputs(kernel), [&](Context& c) {
    auto given = options_of(options ? *options : gpuio_kernel_options_t{});
    return given ? load(c, bytes, size, *given, kernel) : std::move(given).error();
  });
}

gpuio_error_t gpuio_kernel_get_info(gpuio_context_t ctx, gpuio_kernel_t kernel, gpuio_kernel_info_t* info) {
  return call("gpuio_kernel_get_info", ctx, Outputs(info), [&](Context& c) {
    auto found = c.kernels.table.find(kernel);
    if (!found) return std::move(found).error();
    const launch::Module& module = (*found)->module();
    copy_name(info->name, module.name());
    info->format = static_cast<gpuio_kernel_format_t>(module.format());
    std::ranges::copy(module.block(), info->block);
    info->num_parameters = static_cast<int>(module.parameters().size());
    info->portable = module.program() || module.format() == launch::Format::adead;
    return Status();
  });
}

gpuio_error_t gpuio_kernel_get_parameter(gpuio_context_t ctx, gpuio_kernel_t kernel, int index,
                                         gpuio_kernel_parameter_t* parameter) {
  return call("gpuio_kernel_get_parameter", ctx, Outputs(parameter), [&](Context& c) {
    auto found = c.kernels.table.find(kernel);
    if (!found) return std::move(found).error();
    const auto all = (*found)->module().parameters();
    if (index < 0 || static_cast<std::size_t>(index) >= all.size())
      return error(Code::invalid_arg, "parameter {} of kernel {}: it has {}", index,
                   (*found)->module().name(), all.size());
    const launch::Parameter& p = all[static_cast<std::size_t>(index)];
    copy_name(parameter->name, p.name);
    parameter->kind = kind_of(p.kind);
    parameter->either = p.kind == launch::Parameter::Kind::either;
    parameter->element_size = parameter->either ? 0 : kernel::size_of(p.type);
    parameter->count = p.count;
    return Status();
  });
}

gpuio_error_t gpuio_kernel_destroy(gpuio_context_t ctx, gpuio_kernel_t kernel) {
  return call("gpuio_kernel_destroy", ctx, [&](Context& c) {
    if (!kernel) return Status();
    auto taken = c.kernels.table.remove(kernel);
    if (!taken) return std::move(taken).error();
    c.kernels.retire(std::move(*taken));
    return Status();
  });
}

gpuio_error_t gpuio_kernel_set_native(gpuio_context_t ctx, gpuio_kernel_t kernel, gpuio_native_fn_t native) {
  return call("gpuio_kernel_set_native", ctx, [&](Context& c) {
    auto found = c.kernels.table.find(kernel);
    if (!found) return std::move(found).error();
    return (*found)->set_native(native);
  });
}

gpuio_error_t gpuio_kernel_launch(gpuio_context_t ctx, gpuio_kernel_t kernel, const uint32_t groups[3],
                                  const gpuio_argument_t* arguments, int num_arguments,
                                  gpuio_stream_t stream) {
  return call("gpuio_kernel_launch", ctx, [&](Context& c) {
    Launch launch;
    Status s = prepare(c, launch, kernel, groups, arguments, num_arguments, stream);
    if (!s) return s;
    if (!launch.proxies.empty()) return run(c, launch, nullptr, nullptr);
    auto operation = launching(launch);
    return operation ? launch.stream->enqueue(std::move(*operation)) : std::move(operation).error();
  });
}

gpuio_error_t gpuio_kernel_run(gpuio_context_t ctx, gpuio_kernel_t kernel, const uint32_t groups[3],
                               const gpuio_argument_t* arguments, int num_arguments, gpuio_stream_t stream,
                               const gpuio_launch_options_t* options, gpuio_launch_report_t* report) {
  gpuio_launch_report_t unwanted;
  gpuio_launch_report_t* const out = report ? report : &unwanted;
  return call("gpuio_kernel_run", ctx, Outputs(out), [&](Context& c) {
    Launch launch;
    Status s = prepare(c, launch, kernel, groups, arguments, num_arguments, stream);
    return s ? run(c, launch, options, out) : s;
  });
}

gpuio_error_t gpuio_kernel_cancel(gpuio_context_t ctx, gpuio_kernel_t kernel) {
  return call("gpuio_kernel_cancel", ctx, [&](Context& c) {
    auto found = c.kernels.table.find(kernel);
    if (!found) return std::move(found).error();
    (*found)->runs.cancel();
    return Status();
  });
}

}  // extern "C"
