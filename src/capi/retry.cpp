// Which errors are worth another try.

#include "capi/error.hpp"

extern "C" bool gpuio_error_is_retryable(gpuio_error_t error) {
  switch (error) {
    case GPUIO_ERROR_TIMEOUT:
    case GPUIO_ERROR_IO:
    case GPUIO_ERROR_NETWORK:
    case GPUIO_ERROR_BUSY: return true;
    default: return false;
  }
}
