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

Code system_error_code(int number) {
  switch (number) {
    case 0: return Code::ok;
    case ENOENT:
    case ENODEV:
    case ENXIO:
    case ENOTDIR: return Code::not_found;
    case EACCES:
    case EPERM:
    case EROFS: return Code::permission;
    case ENOMEM: return Code::nomem;
    case EINVAL:
    case EISDIR:
    case EEXIST:
    case ENAMETOOLONG:
    case ELOOP:
    case EBADF:
    case EFAULT: return Code::invalid_arg;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
    case EMFILE:
    case ENFILE: return Code::busy;
    case ENOSYS:
    case EOPNOTSUPP: return Code::unsupported;
    case ETIMEDOUT: return Code::timeout;
    case ECANCELED: return Code::canceled;
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOTCONN:
    case EPIPE:
    case EADDRINUSE:
    case EADDRNOTAVAIL: return Code::network;
    default: return Code::io;
  }
}

Status system_error(int number, std::string_view what) {
  const char* words = strerrordesc_np(number);
  const char* name = strerrorname_np(number);
  return error(system_error_code(number), "{}: {} ({}){}", what, words ? words : "unknown error",
               name ? std::string(name) : std::to_string(number), remedy(number));
}

}  // namespace gpuio
