// What the operating system refused, as a Status: the code our callers act on, and a message that names the
// operation, the system's words, the error's name and what can be done about it.
//
// Any thread; nothing here changes or reads the thread's error number, which is always passed in.
//
//   if (fd < 0) return fail(system_error(errno, fmt::format("opening {}", path)));
//   // "opening /a/b: Permission denied (EACCES); give this user access to it"
#pragma once

#include <string_view>

#include "base/status.hpp"

namespace gpuio {

// The class of a system error number: missing is not_found, refused is permission, and so on; io for the
// rest.
Code system_error_code(int number);

Status system_error(int number, std::string_view what);

}  // namespace gpuio
