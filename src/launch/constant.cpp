#include "launch/constant.hpp"

#include <gpuio/kernel/specialize.hpp>

#include <charconv>

#include "base/text.hpp"

namespace gpuio::launch {

Status set_constant(kernel::Program& program, const ConstantValue& given) {
  std::string known;
  for (const kernel::Constant& c : program.constants)
    known += fmt::format("{}{}", known.empty() ? "" : ", ", printable(c.name));
  const bool by_id = given.name.empty();
  const kernel::u32 n = by_id ? given.id : kernel::find_constant(program.view(), given.name);
  if (n >= program.constants.size())
    return error(Code::not_found, "kernel {} has no specialization constant {}; it has {}",
                 printable(program.name), by_id ? fmt::format("{}", given.id) : printable(given.name),
                 known.empty() ? "none" : known);
  const kernel::Constant& c = program.constants[n];
  const auto bits = convert(given.value, c.type);
  if (!bits)
    return error(Code::invalid_arg, "specialization constant {} is {}, which {} is not", printable(c.name),
                 type_name(c.type), text_of(given.value));
  if (kernel::specialize(program, c.name, *bits) != kernel::Specialized::ok)
    return error(Code::invalid_arg, "specialization constant {} = {}: give {} to {}", printable(c.name),
                 text_of(given.value), text_of(c.type, c.least), text_of(c.type, c.most));
  return {};
}

Result<ConstantValue> parse_constant(std::string_view text) {
  const std::size_t equals = text.find('=');
  ConstantValue out;
  if (equals != text.npos) {
    out.name = text.substr(0, equals);
    const std::string_view value = text.substr(equals + 1);
    const char* const end = value.data() + value.size();
    std::int64_t integer = 0;
    double real = 0;
    const auto all = [&](const std::from_chars_result& r) {
      return !value.empty() && r.ec == std::errc() && r.ptr == end;
    };
    bool good = !out.name.empty();
    if (value == "true" || value == "false") out.value = Number::of(value == "true" ? 1 : 0);
    else if (all(std::from_chars(value.data(), end, integer))) out.value = Number::of(integer);
    else if (all(std::from_chars(value.data(), end, real))) out.value = Number::of(real);
    else good = false;
    if (good) return out;
  }
  return fail(Code::invalid_arg, "{}: give NAME=VALUE, the value a number, true or false", printable(text));
}

}  // namespace gpuio::launch
