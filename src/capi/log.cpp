// Logging, for the whole process.

#include "base/log.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <string>

#include "capi/error.hpp"

extern "C" {

void gpuio_set_log_level(gpuio_log_level_t level) {
  const int known = std::clamp<int>(level, GPUIO_LOG_NONE, GPUIO_LOG_TRACE);
  gpuio::set_log_level(static_cast<gpuio::LogLevel>(known));
}

void gpuio_log(gpuio_log_level_t level, const char* format, ...) {
  const auto shown = static_cast<gpuio::LogLevel>(level);
  if (!format || !gpuio::log_enabled(shown)) return;
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  char text[512];
  const int length = std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  gpuio::capi::guard("gpuio_log", [&] {
    if (length < 0) return gpuio::Status();
    const auto bytes = static_cast<std::size_t>(length);
    if (bytes < sizeof text) {
      gpuio::log_text(shown, {text, bytes});
      return gpuio::Status();
    }
    std::string longer(bytes + 1, '\0');
    std::vsnprintf(longer.data(), longer.size(), format, again);
    gpuio::log_text(shown, {longer.data(), bytes});
    return gpuio::Status();
  });
  va_end(again);
}

}  // extern "C"
