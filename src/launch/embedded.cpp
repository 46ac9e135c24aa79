#include "launch/embedded.hpp"

#include <algorithm>

namespace gpuio::launch {
namespace {

constexpr std::string_view kMark = "gpuio.kernel 1 ";  // then hexadecimal digits
constexpr std::size_t kHeaderWords = 5, kModuleProcessed = 330;
constexpr std::size_t kPieceBytes = 32768;  // of IR an instruction; it may have 65535 words

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t b : bytes) (text += kDigits[b >> 4]) += kDigits[b & 15];
  return text;
}

// Appends until what is no digit.
void from_hex(std::string_view text, std::vector<std::uint8_t>& to) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return;
    to.push_back(std::uint8_t(high << 4 | low));
  }
}

// What may stand before OpModuleProcessed: capabilities, extensions, entry points, modes, names.
bool comes_before(std::uint32_t op) { return (op >= 2 && op <= 17) || op == 331; }

}  // namespace

std::vector<std::uint32_t> embed(std::span<const std::uint32_t> spirv, std::span<const std::uint8_t> ir) {
  std::size_t at = kHeaderWords;
  while (at < spirv.size() && comes_before(spirv[at] & 0xffff) && spirv[at] >> 16 != 0) at += spirv[at] >> 16;
  at = std::min(at, spirv.size());
  std::vector<std::uint32_t> out(spirv.begin(), spirv.begin() + std::ptrdiff_t(at));
  for (std::size_t from = 0; from < ir.size(); from += kPieceBytes) {
    const std::string text =
        std::string(kMark) + hex(ir.subspan(from, std::min(kPieceBytes, ir.size() - from)));
    const std::size_t words = text.size() / 4 + 1;  // with the zero that ends it
    out.push_back(std::uint32_t((1 + words) << 16 | kModuleProcessed));
    for (std::size_t w = 0; w < words; ++w) {
      std::uint32_t packed = 0;
      for (std::size_t k = 0; k < 4 && w * 4 + k < text.size(); ++k)
        packed |= std::uint32_t(static_cast<unsigned char>(text[w * 4 + k])) << (8 * k);
      out.push_back(packed);
    }
  }
  out.insert(out.end(), spirv.begin() + std::ptrdiff_t(at), spirv.end());
  return out;
}

std::string embed(std::string_view ptx, std::span<const std::uint8_t> ir) {
  return std::string(ptx) + "// " + std::string(kMark) + hex(ir) + "\n";
}

std::vector<std::uint8_t> find_embedded(std::span<const std::uint32_t> spirv) {
  std::vector<std::uint8_t> ir;
  for (std::size_t at = kHeaderWords; at < spirv.size();) {
    const std::size_t count = spirv[at] >> 16;
    if (count == 0 || count > spirv.size() - at) break;
    if ((spirv[at] & 0xffff) == kModuleProcessed) {
      std::string text;
      for (const std::uint32_t word : spirv.subspan(at + 1, count - 1))
        for (int k = 0; k < 4; ++k) text += char(word >> (8 * k));
      if (text.starts_with(kMark)) from_hex(std::string_view(text).substr(kMark.size()), ir);
    }
    at += count;
  }
  return ir;
}

std::vector<std::uint8_t> find_embedded(std::string_view ptx) {
  std::vector<std::uint8_t> ir;
  const std::string line = "// " + std::string(kMark);
  if (const auto at = ptx.rfind(line); at != ptx.npos) from_hex(ptx.substr(at + line.size()), ir);
  return ir;
}

}  // namespace gpuio::launch
