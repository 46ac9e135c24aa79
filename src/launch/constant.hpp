// Specialization constants as a caller gives them. Pure; any thread.
#pragma once

#include "base/status.hpp"
#include "launch/number.hpp"

namespace gpuio::launch {

struct ConstantValue {
  std::uint32_t id = 0;  // SpecId; of gpuio's own kernels which in their order
  Number value{};
  std::string name{};  // empty: the id says which
};

// Of gpuio's own kernel. NOT_FOUND names those there are; INVALID_ARG a value that is not of its type, or
// outside its range.
Status set_constant(kernel::Program& program, const ConstantValue& given);

// "NAME=VALUE": an integer, a fraction, true or false.
Result<ConstantValue> parse_constant(std::string_view text);

}  // namespace gpuio::launch
