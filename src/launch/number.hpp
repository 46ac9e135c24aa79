// A number as a caller has it, made what a kernel's parameter or constant holds. Pure; any thread.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <bit>
#include <optional>
#include <string>

namespace gpuio::launch {

struct Number {
  bool real = false;  // `bits` are a double's, else an int64_t's
  std::uint64_t bits = 0;
  static Number of(std::int64_t v) { return {false, static_cast<std::uint64_t>(v)}; }
  static Number of(int v) { return of(std::int64_t{v}); }
  static Number of(double v) { return {true, std::bit_cast<std::uint64_t>(v)}; }
};

std::string text_of(const Number& n);
// The number that these bits are, of a type that computes.
std::string text_of(kernel::Type type, std::uint64_t bits);

// The bits of the number as one of `type`, zero-extended; nothing where it does not fit: an integer out of
// range or not held exactly by a float, a float for an integer. A float for a narrower one is rounded.
std::optional<std::uint64_t> convert(const Number& n, kernel::Type type);

// "a 32-bit float"
std::string type_name(kernel::Type type);

}  // namespace gpuio::launch
