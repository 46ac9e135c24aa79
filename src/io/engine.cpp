#include "io/engine.hpp"

#include <cstring>

namespace gpuio::io {
namespace {

std::string_view verb(OpKind kind) {
  switch (kind) {
    case OpKind::read: return "reading";
    case OpKind::write: return "writing";
    case OpKind::flush: return "flushing";
  }
  return "doing something unknown";
}

std::string_view meaning(const Op& op) {
  switch (op.code) {
    case Code::ok: return "done";
    case Code::canceled: return "canceled";
    case Code::permission:
      return op.kind == OpKind::read ? "not opened for reading" : "not opened for writing";
    case Code::invalid_arg:
      return "not a valid operation: null memory, a segment outside its region, or an offset beyond 2^63";
    case Code::timeout: return "timed out";
    case Code::busy: return "busy; try again";
    case Code::nomem: return "out of memory";
    default: return "failed";
  }
}

// "Input/output error (EIO)"
std::string errno_text(int number) {
  const char* name = strerrorname_np(number);
  const char* text = strerrordesc_np(number);
  return fmt::format("{} ({})", text ? text : "unknown error", name ? name : fmt::format("errno {}", number));
}

}  // namespace

std::string describe(const Op& op) {
  std::string text(verb(op.kind));
  if (op.kind != OpKind::flush) text += fmt::format(" {} bytes at {} of", op.length(), op.offset);
  std::string path = "nothing";
  if (op.target) {
    const auto info = op.target->info();
    path = info ? info->path : "a target that cannot be asked";
  }
  text += " " + path + ": ";
  text += op.system_error ? errno_text(op.system_error) : std::string(meaning(op));
  if (op.bytes && op.bytes != op.length()) text += fmt::format("; {} bytes are certain", op.bytes);
  return text;
}

}  // namespace gpuio::io
