#include "base/platform/system_error.hpp"

#include <cerrno>
#include <cstring>

namespace gpuio {
namespace {

const char* remedy(int number) {
  switch (number) {
    case ENOENT: return "; check the path";
    case EACCES:
    case EPERM: return "; give this user access, or run as one who has it";
    case EROFS: return "; it is on a read-only file system";
    case EISDIR: return "; name a file, not a directory";
    case ENOTDIR: return "; a part of the path is not a directory";
    case EEXIST: return "; remove it or choose another name";
    case ENOSPC:
    case EDQUOT: return "; free some space";
    case EMFILE:
    case ENFILE: return "; raise the limit on open files (ulimit -n)";
    case ENOMEM: return "; ask for less or free memory";
    case ECONNREFUSED: return "; is the server running there?";
    case EHOSTUNREACH:
    case ENETUNREACH: return "; check the address and the network";
    default: return "";
  }
}

}  // namespace

Status system_error(int number, std::string_view what) {
  const char* words = strerrordesc_np(number);
  const char* name = strerrorname_np(number);
  return error(system_error_code(number), "{}: {} ({}){}", what, words ? words : "unknown error",
               name ? std::string(name) : std::to_string(number), remedy(number));
}

}  // namespace gpuio
