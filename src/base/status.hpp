// Status and Result<T>: how every function inside gpuio reports failure.
//
// A Status is a code of the C interface plus a message that names the thing, the value and the remedy.
// Whoever first detects an error writes (and may log) the message; callers add context with `wrap`, so that
// a message reads from the outside in: "opening /a/b: open: Permission denied (EACCES)".
// No exception crosses an interface in src/; Result<T> is std::expected<T, Status>.
// Plain values: copyable, no thread affinity, no allocation for success.
//
//   Result<File> open(std::string_view path) {
//     if (fd < 0) return fail(Code::not_found, "{}: no such file", path);
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <utility>

namespace gpuio {

// The values of gpuio_error_t; src/capi asserts that they agree.
enum class Code : int {
  ok = 0,
  general = -1,
  nomem = -2,
  invalid_arg = -3,
  not_found = -4,
  timeout = -5,
  io = -6,
  network = -7,
  unsupported = -8,  // not possible here, ever: the message says what would make it possible
  permission = -9,
  busy = -10,  // unavailable now: trying again later may work
  canceled = -11,
  device_lost = -12,
  already_initialized = -13,
  not_initialized = -14,
  invalid_address = -15,
  invalid_backing = -16,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::ok; }
  explicit operator bool() const { return ok(); }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same error seen from one level up: "<what>: <message>".
  Status wrap(std::string_view what) && {
    if (!ok()) message_ = fmt::format("{}: {}", what, message_);
    return std::move(*this);
  }

 private:
  Code code_ = Code::ok;
  std::string message_;
};

template <class T>
using Result = std::expected<T, Status>;

template <class... Args>
Status error(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return Status(code, fmt::format(format, std::forward<Args>(args)...));
}

// `return fail(...)` from a function that returns any Result<T>.
template <class... Args>
std::unexpected<Status> fail(Code code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Status(code, fmt::format(format, std::forward<Args>(args)...)));
}
inline std::unexpected<Status> fail(Status status) { return std::unexpected(std::move(status)); }

}  // namespace gpuio
