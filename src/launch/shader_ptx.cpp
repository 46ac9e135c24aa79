// The entries of a PTX text: enough of its grammar to find them, their parameters and their block.
#include <algorithm>
#include <charconv>

#include "base/text.hpp"
#include "launch/shader.hpp"

namespace gpuio::launch {
namespace {

using kernel::Type;

struct Token {
  std::string_view text;
  int line = 0;
};

// Words and single characters, comments left out; the last is empty.
class Tokens {
 public:
  explicit Tokens(std::string_view text) : rest_(text) { next(); }
  const Token& now() const { return now_; }
  Token next() {
    const Token before = now_;
    skip();
    std::size_t n = 0;
    while (n < rest_.size() && word(rest_[n])) ++n;
    if (n == 0 && !rest_.empty()) n = 1;
    now_ = {rest_.substr(0, n), line_};
    rest_.remove_prefix(n);
    return before;
  }
  bool take(std::string_view text) {
    if (now_.text != text) return false;
    next();
    return true;
  }

 private:
  static bool word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || c == '.' || c == '%';
  }
  void skip() {
    for (;;) {
      std::size_t n = 0;
      if (rest_.starts_with("//")) n = std::min(rest_.find('\n'), rest_.size());
      else if (rest_.starts_with("/*")) n = std::min(rest_.find("*/", 2), rest_.size() - 2) + 2;
      else
        while (n < rest_.size() && static_cast<unsigned char>(rest_[n]) <= ' ') ++n;
      if (n == 0) return;
      line_ += int(std::ranges::count(rest_.substr(0, n), '\n'));
      rest_.remove_prefix(n);
    }
  }
  std::string_view rest_;
  int line_ = 1;
  Token now_;
};

std::unexpected<Status> wrong(const Token& t, std::string_view wanted) {
  return fail(Code::invalid_arg, "PTX, line {}: {} where {} was expected", t.line,
              t.text.empty() ? std::string("the end") : "'" + printable(t.text) + "'", wanted);
}

Type type_of(std::string_view text) {
  constexpr std::pair<std::string_view, Type> kTypes[] = {
      {".b8", Type::u8},   {".u8", Type::u8},   {".s8", Type::i8},   {".b16", Type::u16},
      {".u16", Type::u16}, {".s16", Type::i16}, {".f16", Type::f16}, {".b32", Type::u32},
      {".u32", Type::u32}, {".s32", Type::i32}, {".f32", Type::f32}, {".b64", Type::u64},
      {".u64", Type::u64}, {".s64", Type::i64}, {".f64", Type::f64}};
  const auto* const found = std::ranges::find(kTypes, text, &std::pair<std::string_view, Type>::first);
  return found == std::end(kTypes) ? Type::none : found->second;
}

Result<std::uint32_t> number(Tokens& in) {
  std::uint32_t n = 0;
  const std::string_view text = in.now().text;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (code != std::errc() || end != text.data() + text.size()) return wrong(in.now(), "a number");
  in.next();
  return n;
}

// .param [.align N] .type [.ptr [.space] [.align N]] name [ '[' N ']' ]
Result<PtxParameter> parameter(Tokens& in) {
  if (!in.take(".param")) return wrong(in.now(), "'.param'");
  PtxParameter out;
  while (in.now().text.starts_with('.')) {
    const Token t = in.next();
    if (t.text == ".align") {
      if (auto n = number(in); !n) return fail(std::move(n).error());
    } else if (const Type type = type_of(t.text); type != Type::none) {
      out.type = type;
    } else if (t.text != ".ptr" && t.text != ".global" && t.text != ".const" && t.text != ".shared" &&
               t.text != ".local") {
      return wrong(t, "the type of a parameter");
    }
  }
  const Token name = in.next();
  if (name.text.empty() || out.type == Type::none) return wrong(name, "a parameter's type and name");
  out.name = printable(name.text);
  if (in.now().text == "[")
    return fail(Code::unsupported,
                "PTX, line {}: parameter {} is an array of bytes (a structure by value); pass numbers and "
                "addresses one by one",
                name.line, out.name);
  return out;
}

Status read_entry(Tokens& in, PtxEntry& out) {
  if (in.take("(") && !in.take(")")) {
    do {
      auto p = parameter(in);
      if (!p) return std::move(p).error();
      out.parameters.push_back(std::move(*p));
    } while (in.take(","));
    if (!in.take(")")) return wrong(in.now(), "',' or ')'").error();
  }
  bool required = false;
  while (!in.now().text.empty() && in.now().text != "{" && in.now().text != ";") {
    const Token t = in.next();
    const bool exact = t.text == ".reqntid";
    if ((!exact && t.text != ".maxntid") || required) continue;
    required = exact;
    out.block = {1, 1, 1};
    for (std::size_t i = 0; i < 3; ++i) {
      auto n = number(in);
      if (!n) return std::move(n).error();
      out.block[i] = *n;
      if (!in.take(",")) break;
    }
  }
  return {};
}

}  // namespace

Result<PtxEntry> reflect_ptx(std::string_view text, std::string_view entry) {
  Tokens in(text);
  std::vector<PtxEntry> found;
  std::string all;
  Status broken;  // of an entry that may not be the one
  while (!in.now().text.empty()) {
    if (in.next().text != ".entry") continue;
    PtxEntry e{.entry = printable(in.next().text), .block = {0, 0, 0}, .parameters = {}};
    Status s = read_entry(in, e);
    all += (all.empty() ? "" : ", ") + e.entry;
    if (!entry.empty() && e.entry != entry) continue;
    if (!s && broken) broken = std::move(s);
    found.push_back(std::move(e));
  }
  if (all.empty())
    return fail(Code::invalid_arg, "{} bytes of text have no .entry: they are no PTX, or hold no kernel",
                text.size());
  if (found.empty())
    return fail(Code::not_found, "the PTX has no entry '{}'; it has {}", printable(entry), all);
  if (found.size() > 1) return fail(Code::invalid_arg, "the PTX has several entries: name one of {}", all);
  if (!broken) return fail(std::move(broken));
  return std::move(found.front());
}

}  // namespace gpuio::launch
