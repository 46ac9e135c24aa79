#include <cstring>

#include "base/fuzz.hpp"
#include "launch/adead.hpp"

namespace gpuio::launch {
namespace {

// Bytes either make kernels that verify (parsing checks it) and name buffers that exist, or are refused with
// a message; they never make a mistake of ours, which answers GENERAL.
std::string check_limit(std::span<const uint8_t> input, std::size_t buffers_max) {
  const auto module = parse_adead(std::as_bytes(input));
  if (!module) {
    const Status& s = module.error();
    if (s.code() != Code::invalid_arg && s.code() != Code::unsupported)
      return "an unexpected code: " + s.message();
    return s.message().find("offset") == std::string::npos && s.message().find("version") == std::string::npos
               ? "an error without an offset: " + s.message()
               : "";
  }
  if (module->buffers.size() > buffers_max) return "more buffers than the code can name";
  for (const AdeadStep& step : module->steps) {
    if (step.buffers.size() != step.program.params.size()) return "a kernel without all its buffers";
    for (const auto b : step.buffers)
      if (b >= module->buffers.size()) return "a kernel names a buffer that is not there";
  }
  return "";
}
std::string check(std::span<const uint8_t> input) { return check_limit(input, 4096); }
// Takes it that nobody uses the fourth buffer.
std::string planted(std::span<const uint8_t> input) { return check_limit(input, 3); }

using namespace std::string_view_literals;

}  // namespace

GPUIO_FUZZ(
    Adead, check, planted,
    {"\x10\x41\x22\x00"sv, "\x3b\xc0\xd0\x61\x72\x20\x00"sv, "\x10\xa1\x22\x00"sv, "\x10\xb1\x22\x00"sv,
     "AHYB\x01\x00\x05\x00\x40\x00\x00\x00\x40\x01\x01\x00\x20\x02\x00\x01\x41\x02\x02\x00\xff\x00\x00\x00"sv,
     "AHYB\x01\x00\x05\x00\x40\x00\x00\x00\x22\x01\x00\x00\x12\x02\x01\x00\x41\x01\x02\x00\xff\x00\x00\x00"sv,
     "AGPU\x01\x00\x04\x00\x10\x00\xda\xc0\x02\x40\x00\x00\x00\x00\x00\x00\x00\x12\x00\xda\xc0\x03\x00\x10"
     "\x00"
     "\x00\x00\x00\x00\x00\x40\x00\x00\x00\x33\x00\xda\xc0\x04\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00"
     "\x00"
     "\x04\x00\x00\x00\xff\xff\xda\xc0\x00"sv,
     "AHYB\x01\x00\x00\x00\x01\x00\x00\x00\x0d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xc3"
     "AGPU\x01\x00\x01\x00\xff\xff\xda\xc0\x00"sv})

}  // namespace gpuio::launch
