// A kernel as text, for people: parameters, memory, and one line an instruction, indented by region.
//
//   %7 = load u32 %3 of p0        ; line 12
//
// pN is a parameter, sN a shared array, vN a var, %N the value of instruction N. Not read back by anything.
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <string>
#include <vector>

namespace gpuio::cli {

std::string_view type_name(kernel::Type type);
std::string_view kind_name(kernel::ParamKind kind);
std::string ir_text(const kernel::View& kernel);
// What its author answers for, a line each: unchecked races with the reason, inline PTX.
std::vector<std::string> marks_of(const kernel::View& kernel);

}  // namespace gpuio::cli
