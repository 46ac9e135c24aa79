#include "launch/number.hpp"

#include <gpuio/kernel/semantics.hpp>

#include <fmt/format.h>

namespace gpuio::launch {

using kernel::Type;

std::string text_of(const Number& n) {
  return n.real ? fmt::format("{}", std::bit_cast<double>(n.bits)) : fmt::format("{}", std::int64_t(n.bits));
}

std::string text_of(Type type, std::uint64_t bits) {
  if (type == Type::f64) return fmt::format("{}", std::bit_cast<double>(bits));
  if (type == Type::f32) return fmt::format("{}", std::bit_cast<float>(std::uint32_t(bits)));
  if (!kernel::is_signed(type)) return fmt::format("{}", bits);
  return fmt::format("{}", kernel::size_of(type) == 8 ? std::int64_t(bits) : std::int32_t(bits));
}

std::string type_name(Type type) {
  if (type == Type::none) return "of no type that numbers have";
  if (type == Type::boolean) return "a boolean (0 or 1)";
  const std::uint32_t bits = 8 * kernel::size_of(type);
  if (kernel::is_float(type)) return fmt::format("a {}-bit float", bits);
  return fmt::format("{} integer of {} bits", kernel::is_signed(type) ? "a signed" : "an unsigned", bits);
}

std::optional<std::uint64_t> convert(const Number& n, Type type) {
  const auto integer = std::int64_t(n.bits);
  if (kernel::is_float(type)) {
    constexpr std::int64_t kExact = std::int64_t{1} << 53;
    if (!n.real && (integer > kExact || integer < -kExact)) return std::nullopt;
    const double v = n.real ? std::bit_cast<double>(n.bits) : double(integer);
    if (type == Type::f64) return std::bit_cast<std::uint64_t>(v);
    if (!n.real && double(float(v)) != v) return std::nullopt;
    const std::uint32_t single = std::bit_cast<std::uint32_t>(float(v));
    if (type == Type::f32) return single;
    return kernel::eval_cast(type, Type::f32, single);
  }
  if (n.real || type == Type::none) return std::nullopt;
  if (type == Type::boolean) return integer == 0 || integer == 1 ? std::optional(n.bits) : std::nullopt;
  const std::uint32_t bits = 8 * kernel::size_of(type);
  if (bits == 64) return kernel::is_signed(type) || integer >= 0 ? std::optional(n.bits) : std::nullopt;
  const bool sign = kernel::is_signed(type);
  const std::int64_t low = sign ? -(std::int64_t{1} << (bits - 1)) : 0;
  const std::int64_t high = (std::int64_t{1} << (bits - (sign ? 1 : 0))) - 1;
  if (integer < low || integer > high) return std::nullopt;
  return n.bits & ((std::uint64_t{1} << bits) - 1);
}

}  // namespace gpuio::launch
