#include "base/platform/system_error.hpp"

#include <windows.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "base/platform/windows/error.hpp"

namespace gpuio {
namespace {

// The error number of C that means the same.
int number_of(unsigned long windows) {
  switch (windows) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND:
    case ERROR_INVALID_DRIVE:
    case ERROR_MOD_NOT_FOUND:
    case ERROR_PROC_NOT_FOUND: return ENOENT;
    case ERROR_ACCESS_DENIED:
    case ERROR_PRIVILEGE_NOT_HELD: return EACCES;
    case ERROR_WRITE_PROTECT: return EROFS;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_OUTOFMEMORY:
    case ERROR_COMMITMENT_LIMIT:
    case ERROR_WORKING_SET_QUOTA: return ENOMEM;
    case ERROR_SHARING_VIOLATION:
    case ERROR_LOCK_VIOLATION:
    case ERROR_BUSY: return EBUSY;
    case ERROR_FILE_EXISTS:
    case ERROR_ALREADY_EXISTS: return EEXIST;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: return ENOSPC;
    case ERROR_TOO_MANY_OPEN_FILES: return EMFILE;
    case ERROR_DIRECTORY: return ENOTDIR;
    case ERROR_INVALID_PARAMETER:
    case ERROR_INVALID_NAME:
    case ERROR_NEGATIVE_SEEK:
    case ERROR_INVALID_HANDLE: return EINVAL;
    case ERROR_NOT_SUPPORTED:
    case ERROR_CALL_NOT_IMPLEMENTED: return ENOSYS;
    default: return EIO;
  }
}

const char* remedy(Code code) {
  switch (code) {
    case Code::not_found: return "; check the path";
    case Code::permission: return "; give this user access, or run as one who has it";
    case Code::nomem: return "; ask for less or free memory";
    default: return "";
  }
}

}  // namespace

Status system_error(int number, std::string_view what) {
  const Code code = system_error_code(number);
  return error(code, "{}: {} ({}){}", what, std::strerror(number), number, remedy(code));
}

Code windows_error_code(unsigned long number) { return system_error_code(number_of(number)); }

Status windows_error(unsigned long number, std::string_view what) {
  char words[256] = "";
  const unsigned long length = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
                                              nullptr, number, 0, words, sizeof words, nullptr);
  std::string text(words, length);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == '.')) text.pop_back();
  const Code code = windows_error_code(number);
  return error(code, "{}: {} (Windows error {}){}", what, text.empty() ? "unknown error" : text, number,
               remedy(code));
}

}  // namespace gpuio
