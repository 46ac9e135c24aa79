#include "capi/error.hpp"

#include <string>

namespace gpuio::capi {
namespace {

thread_local std::string last_message;

#define GPUIO_SAME(c, cpp) static_assert(static_cast<int>(Code::cpp) == GPUIO_ERROR_##c)
GPUIO_SAME(GENERAL, general);
GPUIO_SAME(NOMEM, nomem);
GPUIO_SAME(INVALID_ARG, invalid_arg);
GPUIO_SAME(NOT_FOUND, not_found);
GPUIO_SAME(TIMEOUT, timeout);
GPUIO_SAME(IO, io);
GPUIO_SAME(NETWORK, network);
GPUIO_SAME(UNSUPPORTED, unsupported);
GPUIO_SAME(PERMISSION, permission);
GPUIO_SAME(BUSY, busy);
GPUIO_SAME(CANCELED, canceled);
GPUIO_SAME(DEVICE_LOST, device_lost);
GPUIO_SAME(ALREADY_INITIALIZED, already_initialized);
GPUIO_SAME(NOT_INITIALIZED, not_initialized);
GPUIO_SAME(INVALID_ADDRESS, invalid_address);
GPUIO_SAME(INVALID_BACKING, invalid_backing);
#undef GPUIO_SAME

}  // namespace

gpuio_error_t answer(const char* function, const Status& status) noexcept {
  if (status.ok()) return GPUIO_SUCCESS;
  try {
    last_message = fmt::format("{}: {}", function, status.message());
  } catch (...) {
    last_message.clear();  // no memory for the text: the code must do
  }
  return static_cast<gpuio_error_t>(status.code());
}

gpuio_error_t answer_exception(const char* function, const std::exception_ptr& thrown) noexcept {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    return answer(function, Status(Code::nomem, "out of memory"));  // short enough to need none
  } catch (const std::exception& e) {
    try {
      return answer(function, Status(Code::general, e.what()));
    } catch (...) {
    }
  } catch (...) {
  }
  last_message.clear();
  return GPUIO_ERROR_GENERAL;
}

}  // namespace gpuio::capi

extern "C" {

const char* gpuio_last_error_message(void) { return gpuio::capi::last_message.c_str(); }

const char* gpuio_error_string(gpuio_error_t error) {
  switch (error) {
    case GPUIO_SUCCESS: return "success";
    case GPUIO_ERROR_GENERAL: return "general error";
    case GPUIO_ERROR_NOMEM: return "out of memory";
    case GPUIO_ERROR_INVALID_ARG: return "invalid argument";
    case GPUIO_ERROR_NOT_FOUND: return "not found";
    case GPUIO_ERROR_TIMEOUT: return "timed out";
    case GPUIO_ERROR_IO: return "input or output failed";
    case GPUIO_ERROR_NETWORK: return "network error";
    case GPUIO_ERROR_UNSUPPORTED: return "unsupported";
    case GPUIO_ERROR_PERMISSION: return "permission denied";
    case GPUIO_ERROR_BUSY: return "busy";
    case GPUIO_ERROR_CANCELED: return "canceled";
    case GPUIO_ERROR_DEVICE_LOST: return "device lost";
    case GPUIO_ERROR_ALREADY_INITIALIZED: return "already initialized";
    case GPUIO_ERROR_NOT_INITIALIZED: return "not initialized";
    case GPUIO_ERROR_INVALID_ADDRESS: return "invalid address";
    case GPUIO_ERROR_INVALID_BACKING: return "invalid backing";
  }
  return "unknown error";
}

}  // extern "C"
