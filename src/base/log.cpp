#include "base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <iostream>
#include <memory>

namespace gpuio {
namespace {

constexpr int kUnset = -1;
std::atomic<int> chosen_level{kUnset};
std::atomic<int> configured_level{static_cast<int>(LogLevel::info)};

// Leaked on purpose: threads that outlive main's statics may still log.
spdlog::logger& sink() {
  static spdlog::logger* const logger = [] {
    // By std::cerr: on Windows spdlog's own sink keeps writing to what was the standard error at first.
    auto* made = new spdlog::logger("gpuio", std::make_shared<spdlog::sinks::ostream_sink_mt>(std::cerr));
    made->set_level(spdlog::level::trace);  // filtering is ours
    made->set_formatter(
        std::make_unique<spdlog::pattern_formatter>("%H:%M:%S.%f %n %l: %v", spdlog::pattern_time_type::local,
                                                    "\n"));  // std::cerr ends lines as it should
    made->flush_on(spdlog::level::trace);
    made->set_error_handler([](const std::string&) {});
    return made;
  }();
  return *logger;
}

spdlog::level::level_enum severity(LogLevel level) {
  switch (level) {
    case LogLevel::fatal: return spdlog::level::critical;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::debug: return spdlog::level::debug;
    default: return spdlog::level::trace;
  }
}

}  // namespace

LogLevel log_level() {
  const int chosen = chosen_level.load(std::memory_order_relaxed);
  return static_cast<LogLevel>(chosen != kUnset ? chosen : configured_level.load(std::memory_order_relaxed));
}

void set_log_level(LogLevel level) { chosen_level.store(static_cast<int>(level), std::memory_order_relaxed); }

void configure_log_level(LogLevel level) {
  configured_level.store(static_cast<int>(level), std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) { return level > LogLevel::none && level <= log_level(); }

void log_text(LogLevel level, std::string_view text) {
  if (log_enabled(level)) sink().log(severity(level), spdlog::string_view_t(text.data(), text.size()));
}

std::string_view log_level_name(LogLevel level) {
  constexpr std::string_view kNames[] = {"none", "fatal", "error", "warn", "info", "debug", "trace"};
  const int index = static_cast<int>(level);
  return index < 0 || index > static_cast<int>(LogLevel::trace) ? "unknown" : kNames[index];
}

}  // namespace gpuio
