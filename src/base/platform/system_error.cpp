#include "base/platform/system_error.hpp"

#include <cerrno>

namespace gpuio {

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

}  // namespace gpuio
