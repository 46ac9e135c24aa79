#include "base/text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <vector>

namespace gpuio {
namespace {

constexpr size_t kShownMax = 200;  // of a wrong value in a message

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), lower);
  return result;
}

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr uint64_t kKi = 1024, kK = 1000;
constexpr Unit kUnits[] = {
    {"", 1},
    {"b", 1},
    {"k", kKi},
    {"kib", kKi},
    {"kb", kK},
    {"m", kKi* kKi},
    {"mib", kKi* kKi},
    {"mb", kK* kK},
    {"g", kKi* kKi* kKi},
    {"gib", kKi* kKi* kKi},
    {"gb", kK* kK* kK},
    {"t", kKi* kKi* kKi* kKi},
    {"tib", kKi* kKi* kKi* kKi},
    {"tb", kK* kK* kK* kK},
    {"p", kKi* kKi* kKi* kKi* kKi},
    {"pib", kKi* kKi* kKi* kKi* kKi},
    {"pb", kK* kK* kK* kK* kK},
};

// Levenshtein's distance with swaps of neighbours as one step.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = previous[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

}  // namespace

Result<int64_t> parse_integer(std::string_view text, int64_t min, int64_t max) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    base = 16;
    digits.remove_prefix(2);
  }
  uint64_t magnitude = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, problem] = std::from_chars(digits.data(), end, magnitude, base);
  if (digits.empty() || stop != end || problem == std::errc::invalid_argument)
    return fail(Code::invalid_arg, "'{}' is not a whole number; write one from {} to {}", printable(text),
                min, max);
  constexpr uint64_t kTop = uint64_t{1} << 63;
  const bool fits = problem == std::errc() && magnitude <= (negative ? kTop : kTop - 1);
  const auto value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
  if (!fits || value < min || value > max)
    return fail(Code::invalid_arg, "{} is out of range; write a number from {} to {}", printable(text), min,
                max);
  return value;
}

Result<uint64_t> parse_size(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  uint64_t count = 0;
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + digits, count);
  const std::string name = lowered(text.substr(digits));
  const auto unit = std::ranges::find(kUnits, name, &Unit::name);
  if (digits == 0 || unit == std::end(kUnits))
    return fail(Code::invalid_arg, "'{}' is not a size; write bytes, or a number with a unit such as 64MiB",
                printable(text));
  if (problem != std::errc() || count > std::numeric_limits<uint64_t>::max() / unit->bytes)
    return fail(Code::invalid_arg, "size {} does not fit 64 bits; write less than 16384PiB", printable(text));
  return count * unit->bytes;
}

std::string format_size(uint64_t bytes) {
  constexpr std::string_view kNames[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t unit = 0;
  while (bytes != 0 && bytes % kKi == 0 && unit + 1 < std::size(kNames)) {
    bytes /= kKi;
    ++unit;
  }
  return fmt::format("{}{}", bytes, kNames[unit]);
}

Result<bool> parse_bool(std::string_view text) {
  const std::string word = lowered(text);
  for (std::string_view yes : {"1", "true", "yes", "on"})
    if (word == yes) return true;
  for (std::string_view no : {"0", "false", "no", "off"})
    if (word == no) return false;
  return fail(Code::invalid_arg, "'{}' is neither yes nor no; write true or false", printable(text));
}

std::string_view closest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr size_t kWordMax = 64;  // bounds the work: nobody misspells at such length
  std::string_view best;
  if (word.empty() || word.size() > kWordMax) return best;
  size_t best_distance = std::max<size_t>(word.size() / 3, 1) + 1;
  for (std::string_view candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string suggest(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view near = closest(word, candidates);
  if (!near.empty()) return fmt::format("; did you mean {}?", near);
  return candidates.empty() ? "; none is known here"
                            : fmt::format("; known are {}", fmt::join(candidates, ", "));
}

std::string printable(std::string_view text) {
  std::string shown;
  for (char c : text.substr(0, kShownMax)) {
    if (c >= 0x20 && c < 0x7f) shown += c;
    else shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  if (text.size() > kShownMax) shown += "...";
  return shown;
}

}  // namespace gpuio
