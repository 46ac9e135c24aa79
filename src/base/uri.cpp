#include "base/uri.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace gpuio {
namespace {

// How the part between // and the path is read.
enum class Authority {
  none,  // a local path: empty or localhost
  name,  // one name: a place in memory, a drive
  host   // host[:port], and never empty
};
struct Scheme {
  std::string_view name;
  EngineFamily family;
  Authority authority;
  std::string_view example;
};
constexpr Scheme kSchemes[] = {
    {"memio", EngineFamily::memio, Authority::name, "memio://cpu/dram"},
    {"localio", EngineFamily::localio, Authority::none, "localio:///mnt/data/file.dat"},
    {"remoteio", EngineFamily::remoteio, Authority::host, "remoteio://host:5555/dataset"},
    {"mem", EngineFamily::memio, Authority::name, "mem://gpu/0"},
    {"local", EngineFamily::localio, Authority::none, "local:///mnt/data/file.dat"},
    {"file", EngineFamily::localio, Authority::none, "file:///mnt/data/file.dat"},
    {"nvme", EngineFamily::localio, Authority::name, "nvme://uuid/partition"},
    {"rdma", EngineFamily::remoteio, Authority::host, "rdma://host:5555/resource"},
    {"tcp", EngineFamily::remoteio, Authority::host, "tcp://host:5555/resource"},
};
constexpr std::string_view kEngineForm = "gpuio";
constexpr std::string_view kLayers[] = {"stripe", "mirror", "failover"};

const Scheme* find_scheme(std::string_view name) {
  const auto found = std::ranges::find(kSchemes, name, &Scheme::name);
  return found == std::end(kSchemes) ? nullptr : &*found;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_unreserved(char c) {
  return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The decoded text, or where it is wrong.
struct Decoded {
  std::string text;
  std::optional<size_t> bad_at;
};
Decoded decode(std::string_view in) {
  Decoded out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (in[i] != '%') {
      out.text += in[i];
      continue;
    }
    const int high = i + 1 < in.size() ? hex_value(in[i + 1]) : -1,
              low = i + 2 < in.size() ? hex_value(in[i + 2]) : -1;
    if (high < 0 || low < 0) {
      out.bad_at = i;
      return out;
    }
    out.text += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

bool is_ipv4(std::string_view text) {
  int parts = 0;
  for (;; ++parts) {
    const size_t end = std::min(text.find('.'), text.size());
    if (end == 0 || end > 3 || !parse_integer(text.substr(0, end), 0, 255) || !is_digit(text[0]))
      return false;
    if (end == text.size()) return parts == 3;
    text.remove_prefix(end + 1);
  }
}

// Eight groups of one to four hexadecimal digits, the last two perhaps as IPv4, one run of zeros perhaps as
// "::".
bool is_ipv6(std::string_view text) {
  int groups = 0;
  bool shortened = false;
  if (text.starts_with("::")) {
    shortened = true;
    text.remove_prefix(2);
  }
  while (!text.empty()) {
    const size_t end = std::min(text.find(':'), text.size());
    const std::string_view group = text.substr(0, end);
    if (end == text.size() && group.find('.') != group.npos) {
      if (!is_ipv4(group)) return false;
      groups += 2;
      break;
    }
    if (group.empty() || group.size() > 4 ||
        !std::ranges::all_of(group, [](char c) { return hex_value(c) >= 0; }))
      return false;
    ++groups;
    if (end == text.size()) break;
    text.remove_prefix(end + 1);
    if (text.starts_with(':')) {
      if (shortened) return false;
      shortened = true;
      text.remove_prefix(1);
    } else if (text.empty()) {
      return false;
    }
  }
  return shortened ? groups < 8 : groups == 8;
}

// One text on its way to a Uri; `at` is always the offset in the whole of it.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}
  Result<Uri> parse();

 private:
  template <class... Args>
  Status wrong(size_t at, fmt::format_string<Args...> format, Args&&... args) const {
    return error(Code::invalid_arg, "URI '{}', byte {}: {}", printable(text_), at,
                 fmt::format(format, std::forward<Args>(args)...));
  }
  Status decode_part(size_t from, size_t to, std::string& into) const;
  Status parse_after_scheme(size_t from, const Scheme& scheme);
  Status parse_engine_form(size_t from);
  Status parse_authority(size_t from, size_t to, const Scheme& scheme);
  Status parse_host(size_t from, size_t to, const Scheme& scheme);
  Status parse_path(size_t from, size_t to, const Scheme& scheme);
  Status parse_parameters(size_t from);
  Result<Uri> bare_path(size_t colon) const;
  size_t path_end() const { return std::min(text_.find('?'), text_.size()); }

  std::string_view text_;
  Uri uri_;
};

Status Parser::decode_part(size_t from, size_t to, std::string& into) const {
  auto decoded = decode(text_.substr(from, to - from));
  if (decoded.bad_at)
    return wrong(from + *decoded.bad_at,
                 "'%' is not followed by two hexadecimal digits; write a percent sign as %25");
  if (decoded.text.find('\0') != decoded.text.npos)
    return wrong(from, "a zero byte (%00) is in this part; no name can hold one");
  into = std::move(decoded.text);
  return {};
}

Status Parser::parse_host(size_t from, size_t to, const Scheme& scheme) {
  std::string_view authority = text_.substr(from, to - from);
  if (const size_t at = authority.find('@'); at != authority.npos)
    return wrong(from + at, "credentials do not belong in a URI; set credentials_path in the configuration");
  size_t after;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == authority.npos) return wrong(from, "'[' has no ']'; write an IPv6 address as [::1]");
    const std::string_view address = authority.substr(1, close - 1);
    const size_t zone = std::min(address.find("%25"), address.size());  // of a link-local address: %25eth0
    if (!is_ipv6(address.substr(0, zone)))
      return wrong(from + 1, "'{}' is no IPv6 address", printable(address));
    if (auto status = decode_part(from + 1, from + close, uri_.host); !status) return status;
    const auto name = std::string_view(uri_.host).substr(zone);
    if (!name.empty() && (name.size() == 1 || !std::ranges::all_of(name.substr(1), is_unreserved)))
      return wrong(from + 1 + zone,
                   "a zone is a name of letters and digits after %25, as in [fe80::1%25eth0]");
    after = close + 1;
  } else {
    after = std::min(authority.find(':'), authority.size());
    if (after == 0) return wrong(from, "no host is named; write {}", scheme.example);
    if (auto status = decode_part(from, from + after, uri_.host); !status) return status;
    if (!std::ranges::all_of(uri_.host, is_unreserved))
      return wrong(from, "'{}' is no host name; write {}", printable(uri_.host), scheme.example);
  }
  if (after == authority.size()) return {};
  auto port = authority[after] == ':' ? authority.substr(after + 1) : std::string_view();
  const auto number = !port.empty() && std::ranges::all_of(port, is_digit)
                          ? parse_integer(port, 1, 65535)
                          : fail(Code::invalid_arg, "'{}' is no port", printable(authority.substr(after)));
  if (!number)
    return wrong(from + after, "{}; write a colon and a number from 1 to 65535", number.error().message());
  uri_.port = static_cast<uint16_t>(*number);
  return {};
}

Status Parser::parse_authority(size_t from, size_t to, const Scheme& scheme) {
  if (scheme.authority == Authority::host) return parse_host(from, to, scheme);
  if (auto status = decode_part(from, to, uri_.host); !status) return status;
  if (!std::ranges::all_of(uri_.host, is_unreserved))
    return wrong(from, "'{}' is not a name of letters, digits, '-', '.', '_' and '~'; write {}",
                 printable(uri_.host), scheme.example);
  if (scheme.authority == Authority::name || uri_.host.empty()) return {};
  if (uri_.host != "localhost")
    return wrong(from, "'{}' stands where a host does; a local path has three slashes: {}", uri_.host,
                 scheme.example);
  uri_.host.clear();
  return {};
}

Status Parser::parse_path(size_t from, size_t to, const Scheme& scheme) {
  if (auto status = decode_part(from, to, uri_.path); !status) return status;
  if (scheme.authority == Authority::none && uri_.path.size() <= 1)
    return wrong(from, "no file is named; write {}", scheme.example);
  if (scheme.authority == Authority::name && uri_.host.empty() && uri_.path.size() <= 1)
    return wrong(from, "nothing is named; write {}", scheme.example);
  return {};
}

Status Parser::parse_after_scheme(size_t from, const Scheme& scheme) {
  uri_.family = scheme.family;
  const size_t end = path_end();
  const size_t slash = std::min(text_.find('/', from), end);
  if (auto status = parse_authority(from, slash, scheme); !status) return status;
  return parse_path(slash, end, scheme);
}

// gpuio://<engine>/<resource>: for localio the resource is a path, whose own leading slash may be written or
// not.
Status Parser::parse_engine_form(size_t from) {
  const size_t end = path_end();
  const size_t slash = std::min(text_.find('/', from), end);
  const std::string_view engine = text_.substr(from, slash - from);
  const Scheme* scheme = nullptr;
  for (const Scheme& known : kSchemes)
    if (known.name == engine && known.name == family_name(known.family)) scheme = &known;
  if (!scheme)
    return wrong(from,
                 "'{}' is no engine; write gpuio://memio/..., gpuio://localio/... or gpuio://remoteio/...",
                 printable(engine));
  if (scheme->authority != Authority::none) return parse_after_scheme(std::min(slash + 1, end), *scheme);
  uri_.family = scheme->family;
  const bool twice = text_.substr(slash, end - slash).starts_with("//");
  return parse_path(slash + (twice ? 1 : 0), end, *scheme);
}

Status Parser::parse_parameters(size_t from) {
  while (true) {
    const size_t end = std::min(text_.find('&', from), text_.size());
    const size_t equals = text_.substr(from, end - from).find('=');
    if (from == end) return wrong(from, "a parameter is missing; write name=value, separated by '&'");
    if (equals == text_.npos)
      return wrong(from, "parameter '{}' has no value; write {}=1, or another value",
                   printable(text_.substr(from, end - from)), printable(text_.substr(from, end - from)));
    UriParameter parameter;
    if (auto status = decode_part(from, from + equals, parameter.name); !status) return status;
    if (auto status = decode_part(from + equals + 1, end, parameter.value); !status) return status;
    if (parameter.name.empty() || !std::ranges::all_of(parameter.name, is_unreserved))
      return wrong(from, "'{}' is no parameter name; use letters, digits and '_'", printable(parameter.name));
    if (uri_.find(parameter.name))
      return wrong(from, "parameter '{}' is given twice; keep one", parameter.name);
    uri_.parameters.push_back(std::move(parameter));
    if (end == text_.size()) return {};
    from = end + 1;
  }
}

// No "scheme://": a local file, unless it looks like a mistyped URI.
Result<Uri> Parser::bare_path(size_t colon) const {
  if (colon != text_.npos) {
    const std::string_view name = text_.substr(0, colon);
    if (std::ranges::find(kLayers, name) != std::end(kLayers))
      return fail(Code::unsupported,
                  "URI '{}': the {}: layer is not in this version; open its parts one by one",
                  printable(text_), name);
    if (find_scheme(name) || name == kEngineForm)
      return fail(
          wrong(colon, "'{}:' is not followed by '//'; write {}", name,
                find_scheme(name) ? find_scheme(name)->example : "gpuio://localio/mnt/data/file.dat"));
  }
  Uri uri;
  uri.path = text_;
  return uri;
}

Result<Uri> Parser::parse() {
  if (text_.empty())
    return fail(Code::invalid_arg, "an empty URI names nothing; write a path or {}", kSchemes[1].example);
  if (text_.size() > Uri::kBytesMax)
    return fail(Code::invalid_arg, "a URI of {} bytes; {} are allowed", text_.size(), Uri::kBytesMax);
  if (const size_t zero = text_.find('\0'); zero != text_.npos)
    return fail(wrong(zero, "a zero byte; no name can hold one"));

  size_t letters = 0;
  while (letters < text_.size() &&
         (is_letter(text_[letters]) || (letters && (is_digit(text_[letters]) || text_[letters] == '+' ||
                                                    text_[letters] == '-' || text_[letters] == '.'))))
    ++letters;
  const bool scheme_like = letters > 0 && letters < text_.size() && text_[letters] == ':';
  if (!scheme_like) return bare_path(text_.npos);
  if (!text_.substr(letters).starts_with("://")) return bare_path(letters);

  for (char c : text_.substr(0, letters))
    uri_.scheme += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (size_t i = letters; i < text_.size(); ++i) {
    const auto c = static_cast<unsigned char>(text_[i]);
    if (c < 0x20 || c == 0x7f) return fail(wrong(i, "a control character; write it as %{:02X}", c));
    if (c == '#') return fail(wrong(i, "'#' has no meaning here; write it as %23"));
  }
  const size_t from = letters + 3;
  const Scheme* scheme = find_scheme(uri_.scheme);
  Status status;
  if (scheme) {
    status = parse_after_scheme(from, *scheme);
  } else if (uri_.scheme == kEngineForm) {
    status = parse_engine_form(from);
  } else {
    std::array<std::string_view, std::size(kSchemes) + 1> names;
    std::ranges::transform(kSchemes, names.begin(), &Scheme::name);
    names.back() = kEngineForm;
    status = wrong(0, "'{}' is no scheme that gpuio knows{}", uri_.scheme, suggest(uri_.scheme, names));
  }
  if (status && path_end() < text_.size()) status = parse_parameters(path_end() + 1);
  if (!status) return fail(std::move(status));
  return std::move(uri_);
}

}  // namespace

std::string_view family_name(EngineFamily family) {
  switch (family) {
    case EngineFamily::memio: return "memio";
    case EngineFamily::localio: return "localio";
    case EngineFamily::remoteio: return "remoteio";
  }
  return "unknown";
}

Result<Uri> Uri::parse(std::string_view text) { return Parser(text).parse(); }

std::string Uri::to_string() const {
  if (scheme.empty()) return path;
  std::string text = scheme + "://";
  const bool engine_form = scheme == kEngineForm;
  if (engine_form) text += family_name(family);
  // Before a path that is all of the resource, a slash is already there; before a host it is not.
  if (engine_form && family != EngineFamily::localio) text += '/';
  if (host.find(':') != host.npos) {
    text += '[' + percent_encode(host, ":") + ']';
  } else {
    text += percent_encode(host);
  }
  if (port) text += fmt::format(":{}", *port);
  // The engine form drops one of two leading slashes, so a path that has two needs a third.
  if (engine_form && family == EngineFamily::localio && path.starts_with("//")) text += '/';
  text += percent_encode(path, "/:@!$&'()*+,;=");
  char separator = '?';
  for (const auto& parameter : parameters) {
    text += separator + percent_encode(parameter.name) + '=' + percent_encode(parameter.value, "/:@!$'()*,;");
    separator = '&';
  }
  return text;
}

const std::string* Uri::find(std::string_view name) const {
  const auto found = std::ranges::find(parameters, name, &UriParameter::name);
  return found == parameters.end() ? nullptr : &found->value;
}

std::string Uri::string_parameter(std::string_view name, std::string_view absent) const {
  const std::string* value = find(name);
  return value ? *value : std::string(absent);
}

Result<bool> Uri::bool_parameter(std::string_view name, bool absent) const {
  const std::string* value = find(name);
  if (!value) return absent;
  auto parsed = parse_bool(*value);
  return parsed ? parsed : fail(std::move(parsed).error().wrap(fmt::format("URI parameter {}", name)));
}

Result<int64_t> Uri::integer_parameter(std::string_view name, int64_t absent, int64_t min,
                                       int64_t max) const {
  const std::string* value = find(name);
  if (!value) return absent;
  auto parsed = parse_integer(*value, min, max);
  return parsed ? parsed : fail(std::move(parsed).error().wrap(fmt::format("URI parameter {}", name)));
}

Result<uint64_t> Uri::size_parameter(std::string_view name, uint64_t absent) const {
  const std::string* value = find(name);
  if (!value) return absent;
  auto parsed = parse_size(*value);
  return parsed ? parsed : fail(std::move(parsed).error().wrap(fmt::format("URI parameter {}", name)));
}

Status Uri::check_parameters(std::initializer_list<std::string_view> known) const {
  for (const auto& parameter : parameters)
    if (std::ranges::find(known, parameter.name) == known.end())
      return error(Code::invalid_arg, "URI '{}': parameter '{}' means nothing here{}", printable(to_string()),
                   parameter.name, suggest(parameter.name, std::span(known.begin(), known.size())));
  return {};
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  std::string out;
  for (char c : text) {
    if (is_unreserved(c) || keep.find(c) != keep.npos) out += c;
    else out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

Result<std::string> percent_decode(std::string_view text) {
  auto decoded = decode(text);
  if (!decoded.bad_at) return std::move(decoded.text);
  return fail(Code::invalid_arg,
              "'{}', byte {}: '%' is not followed by two hexadecimal digits; write a percent sign as %25",
              printable(text), *decoded.bad_at);
}

}  // namespace gpuio
