// The log: lines on standard error, filtered by one level for the whole process.
//
// Log an error where it is first detected; callers above only add context to the Status.
// Threading: every function may be called from any thread. A suppressed message costs one relaxed load and
// formats nothing. A line is written whole, under a lock: never log from a path that must not block.
// Errors: writing a log never fails the caller; what standard error refuses is lost.
//
//   log(LogLevel::warn, "{}: direct IO refused, using buffered reads", path);
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace gpuio {

// The values of gpuio_log_level_t; a level shows itself and all below it.
enum class LogLevel : int { none = 0, fatal = 1, error = 2, warn = 3, info = 4, debug = 5, trace = 6 };

// The level in force: the one set by set_log_level, else the one configured, else info.
LogLevel log_level();

// An explicit choice; from then on configure_log_level changes nothing.
void set_log_level(LogLevel level);

// What a configuration asks for: holds until somebody has called set_log_level.
void configure_log_level(LogLevel level);

bool log_enabled(LogLevel level);

// Writes text as it stands, if the level is enabled. LogLevel::none writes nothing.
void log_text(LogLevel level, std::string_view text);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_text(level, fmt::format(format, std::forward<Args>(args)...));
}

// "none" … "trace"; "unknown" for any other value.
std::string_view log_level_name(LogLevel level);

}  // namespace gpuio
