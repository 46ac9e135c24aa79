#include "launch/sanitize.hpp"

#include <gpuio/kernel/sanitize.hpp>

namespace gpuio::launch {
namespace {

constexpr std::uint32_t kGroupsMax = 65535;

Result<kernel::Argument> argument_of(const Parameter& parameter, Given& given) {
  const std::uint32_t size = kernel::size_of(parameter.type);
  if (parameter.kind == Parameter::Kind::scalar) {
    if (!given.number) return fail(Code::invalid_arg, "it is memory, and the kernel takes a number");
    const auto bits = convert(*given.number, parameter.type);
    if (!bits)
      return fail(Code::invalid_arg, "it is {}, which the kernel's scalar, {}, does not hold",
                  text_of(*given.number), type_name(parameter.type));
    return kernel::Argument::scalar(*bits);
  }
  if (given.number) return fail(Code::invalid_arg, "it is a number, and the kernel takes memory");
  if (given.element_size != 0 && given.element_size != size)
    return fail(Code::invalid_arg, "its elements have {} bytes, the kernel's {}", given.element_size, size);
  const std::uint64_t count = given.bytes.size() / size;
  if (count < parameter.count)
    return fail(Code::invalid_arg, "it has {} elements, and the kernel needs {}", count, parameter.count);
  return kernel::Argument::buffer(std::span(given.bytes).first(count * size));
}

}  // namespace

Result<std::vector<Finding>> sanitize(const Module& module, const gpu::Grid& grid, std::vector<Given> given,
                                      std::uint64_t steps_max) {
  if (!module.program())
    return fail(Code::unsupported, "kernel {}: its file holds no IR, which those that gpuio writes do",
                module.name());
  if (module.on_demand())
    return fail(Code::unsupported, "kernel {} has on-demand arrays, which are not watched", module.name());
  const auto parameters = module.parameters();
  if (given.size() != parameters.size())
    return fail(Code::invalid_arg, "kernel {} has {} parameters; {} arguments were given", module.name(),
                parameters.size(), given.size());
  for (std::size_t i = 0; i < 3; ++i)
    if (grid.groups[i] == 0 || grid.groups[i] > kGroupsMax)
      return fail(Code::invalid_arg, "groups[{}] = {}: 1 to {} are possible", i, grid.groups[i], kGroupsMax);
  std::vector<kernel::Argument> arguments;
  for (std::size_t i = 0; i < given.size(); ++i) {
    auto one = argument_of(parameters[i], given[i]);
    if (!one)
      return fail(std::move(one).error().wrap(fmt::format("argument {} of kernel {}", i, module.name())));
    arguments.push_back(*one);
  }
  const kernel::Sanitized s =
      kernel::sanitize(module.program()->view(), {grid.groups[0], grid.groups[1], grid.groups[2]}, arguments,
                       {.steps_max = steps_max});
  std::vector<Finding> found;
  for (const kernel::Race& r : s.races) found.push_back({kernel::message(r), r.line, r.earlier_line});
  if (!s.outcome.ok())
    found.push_back({fmt::format("lane {}: {} (line {})", s.outcome.lane, s.outcome.error, s.outcome.line),
                     s.outcome.line, 0});
  return found;
}

}  // namespace gpuio::launch
