// What Windows refused, as a Status: its number becomes the error number that Linux would give, and its words
// the message.
#pragma once

#include "base/platform/system_error.hpp"

namespace gpuio {

// Of GetLastError().
Status windows_error(unsigned long number, std::string_view what);
Code windows_error_code(unsigned long number);

}  // namespace gpuio
