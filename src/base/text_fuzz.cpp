#include "base/text.hpp"

#include "base/fuzz.hpp"

namespace gpuio {
namespace {

// A size that parses is the same size when it is written again, and what does not parse says why.
std::string check_with(std::string (*print)(uint64_t), std::span<const uint8_t> input) {
  const auto text = fuzz::as_text(input);
  const auto size = parse_size(text);
  if (!size) return size.error().message().empty() ? "an error without a message" : "";
  const auto again = parse_size(print(*size));
  if (!again || *again != *size) return "another size when written again: " + print(*size);
  if (printable(text) != text) return "a size with a character that cannot be shown";
  return "";
}

std::string check(std::span<const uint8_t> input) { return check_with(format_size, input); }

// Forgets the bytes below a kibibyte.
std::string planted(std::span<const uint8_t> input) {
  return check_with([](uint64_t bytes) { return std::to_string(bytes / 1024) + "KiB"; }, input);
}

}  // namespace

GPUIO_FUZZ(Size, check, planted,
           {"0", "64MiB", "1000B", "12KB", "7 GiB", "16777216T", "1P", "99999999999999999999", "-1"})

}  // namespace gpuio
