// Values that people write: numbers, sizes, yes and no, and the word they probably meant.
//
// Pure functions, any thread. Errors are invalid_arg and say what was written and what to write instead; the
// caller adds the name of the setting (Status::wrap).
//
//   auto bytes = parse_size("64MiB");  // 67108864
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.hpp"

namespace gpuio {

// Decimal digits, or 0x and hexadecimal ones, with an optional sign; nothing around them.
Result<int64_t> parse_integer(std::string_view text, int64_t min, int64_t max);

// A count of bytes: digits and an optional unit, in any case. B; KiB MiB GiB TiB PiB and the short K M G T P
// are powers of 1024; KB MB GB TB PB powers of 1000.
Result<uint64_t> parse_size(std::string_view text);
// The shortest exact form in powers of 1024: "64MiB", "1000B".
std::string format_size(uint64_t bytes);

// 1 true yes on, 0 false no off; in any case.
Result<bool> parse_bool(std::string_view text);

// The candidate that `word` is a likely misspelling of; empty when none is close.
std::string_view closest(std::string_view word, std::span<const std::string_view> candidates);

// "; did you mean X?" with the closest candidate, else "; known are A, B, C".
std::string suggest(std::string_view word, std::span<const std::string_view> candidates);

// Control characters and what is not ASCII as \xNN, so that a message shows what a file or a user really
// held.
std::string printable(std::string_view text);

}  // namespace gpuio
