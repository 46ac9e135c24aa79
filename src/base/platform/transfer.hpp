// The loop around every read and write: the system may move fewer bytes than asked, or none because a signal
// came.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace gpuio {

struct Transferred {
  size_t bytes = 0;
  int error = 0;  // the error number that ended it; 0: all was moved, or the end of the file was met
};

// Interruptions in a row without a byte moved before the loop gives up with EINTR: every wait has a bound.
inline constexpr int kInterruptionsMax = 1000;

// Calls step(done, left), which returns bytes moved or -1 with errno as pread and pwrite do, until `size`
// bytes are moved, nothing more comes, or an error other than an interruption.
template <class Step>
Transferred transfer_fully(size_t size, Step&& step) {
  Transferred result;
  int interruptions = 0;
  while (result.bytes < size) {
    const auto moved = step(result.bytes, size - result.bytes);
    if (moved > 0) {
      result.bytes += static_cast<size_t>(moved);
      interruptions = 0;
    } else if (moved == 0) {
      break;
    } else if (errno != EINTR || ++interruptions > kInterruptionsMax) {
      result.error = errno;
      break;
    }
  }
  return result;
}

}  // namespace gpuio
