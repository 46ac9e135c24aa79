#include "base/config.hpp"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <variant>

#include "base/platform/file.hpp"
#include "base/text.hpp"

namespace gpuio {
namespace {

constexpr int64_t kManyUs = int64_t{3600} * 1'000'000;
constexpr uint64_t kFileBytesMax = 1 << 20;

struct Flag {
  bool Config::* member;
};
struct Integer {
  int64_t Config::* member;
  int64_t min, max;
};
struct Size {
  uint64_t Config::* member;
  uint64_t min, max;
};
struct Real {
  double Config::* member;
  double min, max;
};
struct Text {
  std::string Config::* member;
};
// One of a few names; the enumerators count from zero in their order.
struct Choice {
  std::span<const std::string_view> names;
  int (*get)(const Config&);
  void (*set)(Config&, int);
};
template <auto Member>
constexpr Choice choice(std::span<const std::string_view> names) {
  return {names, [](const Config& c) { return static_cast<int>(c.*Member); },
          [](Config& c, int value) {
            c.*Member = static_cast<std::remove_reference_t<decltype(c.*Member)>>(value);
          }};
}
constexpr std::string_view kLevels[] = {"none", "fatal", "error", "warn", "info", "debug", "trace"};
constexpr std::string_view kPriorities[] = {"normal", "high", "realtime"};
constexpr std::string_view kDirect[] = {"automatic", "always", "never"};

struct Key {
  std::string_view name;
  std::variant<Flag, Integer, Size, Real, Text, Choice> type;
  std::string_view doc;
};
constexpr std::string_view kFileKey = "config_file";
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

const Key kKeys[] = {
    {"api_version", Integer{&Config::api_version, 0, 1},
     "The interface that the caller was built against; 0: this one."},
    {"flags", Integer{&Config::flags, 0, 0}, "Kept for later: 0."},
    {"max_gpus", Integer{&Config::max_gpus, -1, 1024},
     "How many GPUs to use at most; -1: all that are found."},
    {"memory_pool_size", Size{&Config::memory_pool_size, 0, kNoLimit},
     "Pinned memory to hold for transfers; 0: chosen by the machine."},
    {"log_level", choice<&Config::log_level>(kLevels),
     "What is written to standard error: this and what is graver."},
    {kFileKey, Text{&Config::config_file}, "The file to read this from; it cannot stand in the file itself."},
    {"numa_node", Integer{&Config::numa_node, -1, 1023},
     "Where memory and threads are placed; -1: near the device."},
    {"numa_strict", Flag{&Config::numa_strict}, "Fail rather than take memory of another node."},
    {"enable_security", Flag{&Config::enable_security},
     "Serve and fetch over a network only with credentials."},
    {"credentials_path", Text{&Config::credentials_path}, "The file with the credentials; empty: none."},
    {"paging.cache_size", Size{&Config::cache_size, 4096, kNoLimit},
     "Device memory that holds pages of on-demand arrays."},
    {"paging.page_size", Size{&Config::page_size, 4096, uint64_t{16} << 20},
     "What one miss brings in; a power of two."},
    {"paging.service_threads", Integer{&Config::service_threads, 1, 64},
     "Threads that answer the misses of kernels."},
    {"paging.service_priority", choice<&Config::service_priority>(kPriorities),
     "Their priority; the next lower one where it is refused."},
    {"paging.spin_us", Integer{&Config::spin_us, 0, 1'000'000},
     "How long they look for work before they sleep."},
    {"io.direct", choice<&Config::direct_io>(kDirect),
     "Whether files bypass the page cache; automatic: where it is aligned and faster."},
    {"io.queue_depth", Integer{&Config::queue_depth, 1, 32768}, "Operations in flight at once on one queue."},
    {"retry.max_retries", Integer{&Config::max_retries, 0, 1000},
     "How often an operation that may succeed later is tried again."},
    {"retry.initial_backoff_us", Integer{&Config::initial_backoff_us, 0, kManyUs},
     "The pause before the first of them."},
    {"retry.max_backoff_us", Integer{&Config::max_backoff_us, 0, kManyUs}, "The longest pause."},
    {"retry.backoff_multiplier", Real{&Config::backoff_multiplier, 1, 1000},
     "By how much each pause is longer than the one before."},
};

const Key* find_key(std::string_view name) {
  const auto found = std::ranges::find(kKeys, name, &Key::name);
  return found == std::end(kKeys) ? nullptr : &*found;
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// What a value must look like, for documentation and errors.
std::string expected(const Key& key) {
  return std::visit(
      Overloaded{[](const Flag&) -> std::string { return "true or false"; },
                 [](const Integer& t) { return fmt::format("a whole number from {} to {}", t.min, t.max); },
                 [](const Size& t) {
                   return t.max == kNoLimit
                              ? fmt::format("a size of at least {}", format_size(t.min))
                              : fmt::format("a size from {} to {}", format_size(t.min), format_size(t.max));
                 },
                 [](const Real& t) { return fmt::format("a number from {} to {}", t.min, t.max); },
                 [](const Text&) -> std::string { return "a text"; },
                 [](const Choice& t) { return fmt::format("one of {}", fmt::join(t.names, ", ")); }},
      key.type);
}

Status refuse(const Key& key, std::string_view value) {
  return error(Code::invalid_arg, "{} = {}: write {}", key.name, printable(value), expected(key));
}

Status put_integer(Config& config, const Key& key, const Integer& type, int64_t value) {
  if (value < type.min || value > type.max) return refuse(key, std::to_string(value));
  config.*type.member = value;
  return {};
}
Status put_size(Config& config, const Key& key, const Size& type, uint64_t value) {
  if (value < type.min || value > type.max) return refuse(key, format_size(value));
  config.*type.member = value;
  return {};
}
Status put_real(Config& config, const Key& key, const Real& type, double value) {
  if (!(value >= type.min && value <= type.max)) return refuse(key, fmt::format("{}", value));
  config.*type.member = value;
  return {};
}
Status put_text(Config& config, const Key& key, const Text& type, std::string_view value) {
  if (value.find('\0') != value.npos)
    return error(Code::invalid_arg, "{}: the text holds a zero byte; take it out", key.name);
  config.*type.member = value;
  return {};
}
Status put_choice(Config& config, const Key& key, const Choice& type, std::string_view value) {
  const auto found = std::ranges::find(type.names, value);
  if (found == type.names.end()) return refuse(key, value);
  type.set(config, static_cast<int>(found - type.names.begin()));
  return {};
}

// A value as text: from the environment or from code.
Status put(Config& config, const Key& key, std::string_view value) {
  return std::visit(Overloaded{[&](const Flag& t) {
                                 auto parsed = parse_bool(value);
                                 if (!parsed) return refuse(key, value);
                                 config.*t.member = *parsed;
                                 return Status();
                               },
                               [&](const Integer& t) {
                                 auto parsed = parse_integer(value, t.min, t.max);
                                 return parsed ? put_integer(config, key, t, *parsed) : refuse(key, value);
                               },
                               [&](const Size& t) {
                                 auto parsed = parse_size(value);
                                 return parsed ? put_size(config, key, t, *parsed) : refuse(key, value);
                               },
                               [&](const Real& t) {
                                 double parsed = 0;
                                 const char* end = value.data() + value.size();
                                 const auto [stop, problem] = std::from_chars(value.data(), end, parsed);
                                 if (problem != std::errc() || stop != end) return refuse(key, value);
                                 return put_real(config, key, t, parsed);
                               },
                               [&](const Text& t) { return put_text(config, key, t, value); },
                               [&](const Choice& t) { return put_choice(config, key, t, value); }},
                    key.type);
}

// A value of a file: it must also be of the right type there.
Status put(Config& config, const Key& key, const toml::node& node) {
  const auto wrong_type = [&] {
    std::string_view type = "a value of this type";
    if (node.is_table()) type = "a table";
    if (node.is_array()) type = "a list";
    if (node.is_string()) type = "a text";
    if (node.is_boolean()) type = "a boolean";
    if (node.is_integer()) type = "a whole number";
    if (node.is_floating_point()) type = "a fraction";
    return error(Code::invalid_arg, "{} is given {}: write {}", key.name, type, expected(key));
  };
  const auto* text = node.as_string();
  const auto* integer = node.as_integer();
  return std::visit(
      Overloaded{
          [&](const Flag& t) {
            const auto* value = node.as_boolean();
            if (!value) return wrong_type();
            config.*t.member = value->get();
            return Status();
          },
          [&](const Integer& t) {
            return integer ? put_integer(config, key, t, integer->get()) : wrong_type();
          },
          [&](const Size& t) {
            if (integer && integer->get() < 0) return refuse(key, std::to_string(integer->get()));
            if (integer) return put_size(config, key, t, static_cast<uint64_t>(integer->get()));
            return text ? put(config, key, std::string_view(text->get())) : wrong_type();
          },
          [&](const Real& t) {
            if (integer) return put_real(config, key, t, static_cast<double>(integer->get()));
            const auto* value = node.as_floating_point();
            return value ? put_real(config, key, t, value->get()) : wrong_type();
          },
          [&](const Text& t) { return text ? put_text(config, key, t, text->get()) : wrong_type(); },
          [&](const Choice& t) { return text ? put_choice(config, key, t, text->get()) : wrong_type(); }},
      key.type);
}

Status unknown_key(std::string_view name) {
  const auto names = config_keys();
  return error(Code::invalid_arg, "{} is no key of the configuration{}", printable(name),
               suggest(name, names));
}

Status put_table(Config& config, const toml::table& table, const std::string& prefix,
                 const std::string& file) {
  for (const auto& [name, node] : table) {
    const std::string full = prefix + std::string(name.str());
    const auto place = fmt::format("{}:{}", file, name.source().begin.line);
    if (const Key* key = find_key(full)) {
      if (full == kFileKey)
        return error(Code::invalid_arg,
                     "config_file cannot be set in a file; set GPUIO_CONFIG_FILE or pass it in code")
            .wrap(place);
      if (auto status = put(config, *key, node); !status) return std::move(status).wrap(place);
      continue;
    }
    const std::string section = full + ".";
    const bool known =
        std::ranges::any_of(kKeys, [&](const Key& key) { return key.name.starts_with(section); });
    if (!known) return unknown_key(full).wrap(place);
    // Sections hold keys only, so this goes one level deep.
    if (!node.is_table())
      return error(Code::invalid_arg, "{} is a section; write [{}] and its keys below", full, full)
          .wrap(place);
    if (auto status = put_table(config, *node.as_table(), section, file); !status) return status;
  }
  return {};
}

Result<std::string> read_file(const std::string& path) {
  auto file = File::open(path, OpenFlags::read);
  if (!file) return fail(std::move(file).error());
  auto info = file->info();
  if (!info) return fail(std::move(info).error());
  if (info->size_bytes > kFileBytesMax)
    return fail(Code::invalid_arg, "{} has {} bytes; a configuration has at most {}", path, info->size_bytes,
                kFileBytesMax);
  std::string text(info->size_bytes, '\0');
  auto got = file->read_at(std::as_writable_bytes(std::span(text)), 0);
  if (!got) return fail(std::move(got).error());
  text.resize(*got);
  return text;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (byte < 0x20 || byte == 0x7f) out += fmt::format("\\u{:04X}", byte);
    else out += c;
  }
  return out + '"';
}

std::string value_text(const Config& config, const Key& key) {
  return std::visit(
      Overloaded{[&](const Flag& t) { return std::string(config.*t.member ? "true" : "false"); },
                 [&](const Integer& t) { return std::to_string(config.*t.member); },
                 [&](const Size& t) { return quoted(format_size(config.*t.member)); },
                 [&](const Real& t) { return fmt::format("{:#}", config.*t.member); },
                 [&](const Text& t) { return quoted(config.*t.member); },
                 [&](const Choice& t) { return quoted(t.names[static_cast<size_t>(t.get(config))]); }},
      key.type);
}

}  // namespace

Status apply_toml(Config& config, std::string_view text, const std::string& name) {
  const toml::parse_result parsed = toml::parse(text, std::string_view(name));
  if (!parsed) {
    const auto& problem = parsed.error();
    return error(Code::invalid_arg, "{}:{}: {}", name, problem.source().begin.line,
                 printable(problem.description()));
  }
  return put_table(config, parsed.table(), "", name);
}

Status apply_environment(Config& config, const std::vector<ConfigSetting>& environment) {
  constexpr std::string_view kPrefix = "GPUIO_";
  // Of the build, its tests and its benchmarks: not for the library.
  constexpr std::string_view kForeign[] = {"GPUIO_TEST", "GPUIO_FUZZ", "GPUIO_BENCH", "GPUIO_DEV",
                                           "GPUIO_PACKAGES"};
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with(kPrefix)) continue;
    if (std::ranges::any_of(kForeign, [&](std::string_view prefix) { return variable.starts_with(prefix); }))
      continue;
    const auto key =
        std::ranges::find_if(kKeys, [&](const Key& k) { return config_variable(k.name) == variable; });
    if (key == std::end(kKeys)) {
      std::vector<std::string> names;
      for (const Key& known : kKeys) names.push_back(config_variable(known.name));
      const std::vector<std::string_view> views(names.begin(), names.end());
      return error(Code::invalid_arg,
                   "environment variable {} sets no key of the configuration{}; unset or correct it",
                   printable(variable), suggest(variable, views));
    }
    if (auto status = put(config, *key, std::string_view(value)); !status)
      return std::move(status).wrap("environment variable " + variable);
  }
  return {};
}

Status apply_setting(Config& config, std::string_view name, std::string_view value) {
  const Key* key = find_key(name);
  return key ? put(config, *key, value) : unknown_key(name);
}

Status check_config(const Config& config) {
  Config scratch;
  for (const Key& key : kKeys) {
    const Status status = std::visit(
        Overloaded{[&](const Flag&) { return Status(); },
                   [&](const Integer& t) { return put_integer(scratch, key, t, config.*t.member); },
                   [&](const Size& t) { return put_size(scratch, key, t, config.*t.member); },
                   [&](const Real& t) { return put_real(scratch, key, t, config.*t.member); },
                   [&](const Text& t) { return put_text(scratch, key, t, config.*t.member); },
                   [&](const Choice& t) {
                     const int value = t.get(config);
                     const bool known = value >= 0 && static_cast<size_t>(value) < t.names.size();
                     return known ? Status() : refuse(key, std::to_string(value));
                   }},
        key.type);
    if (!status) return status;
  }
  if (!std::has_single_bit(config.page_size))
    return error(Code::invalid_arg, "paging.page_size = {}: write a power of two, such as {}",
                 format_size(config.page_size), format_size(std::bit_floor(config.page_size)));
  if (config.cache_size < config.page_size)
    return error(Code::invalid_arg,
                 "paging.cache_size = {} holds no page of paging.page_size = {}; write at least that",
                 format_size(config.cache_size), format_size(config.page_size));
  if (config.max_backoff_us < config.initial_backoff_us)
    return error(Code::invalid_arg,
                 "retry.max_backoff_us = {} is less than retry.initial_backoff_us = {}; raise it",
                 config.max_backoff_us, config.initial_backoff_us);
  if (config.numa_strict && config.numa_node < 0)
    return error(Code::invalid_arg, "numa_strict needs a numa_node; name one, or set numa_strict = false");
  return {};
}

Result<Config> load_config(const ConfigSources& sources) {
  Config config;
  std::string file = sources.file;
  const std::string variable = config_variable(kFileKey);
  for (const auto& [name, value] : sources.environment)
    if (file.empty() && name == variable) file = value;
  for (const auto& [key, value] : sources.code)
    if (key == kFileKey && !value.empty()) file = value;
  if (!file.empty()) {
    auto text = read_file(file);
    if (!text) return fail(std::move(text).error().wrap("reading the configuration"));
    if (auto status = apply_toml(config, *text, file); !status) return fail(std::move(status));
  }
  if (auto status = apply_environment(config, sources.environment); !status) return fail(std::move(status));
  for (const auto& [key, value] : sources.code)
    if (auto status = apply_setting(config, key, value); !status)
      return fail(std::move(status).wrap("configuration given in code"));
  config.config_file = file;
  if (auto status = check_config(config); !status) return fail(std::move(status));
  return config;
}

std::vector<ConfigSetting> process_environment() {
  std::vector<ConfigSetting> settings;
  for (char** entry = ::environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != text.npos) settings.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return settings;
}

std::string config_to_toml(const Config& config) {
  std::string text, section;
  for (const Key& key : kKeys) {
    const size_t dot = key.name.find('.');
    if (dot != key.name.npos && key.name.substr(0, dot) != section) {
      section = key.name.substr(0, dot);
      text += fmt::format("[{}]\n", section);
    }
    const std::string_view name = dot == key.name.npos ? key.name : key.name.substr(dot + 1);
    text += fmt::format("# {}\n# {}; {} in the environment\n{}{} = {}\n\n", key.doc, expected(key),
                        config_variable(key.name), key.name == kFileKey ? "# " : "", name,
                        value_text(config, key));
  }
  return text;
}

std::vector<std::string_view> config_keys() {
  std::vector<std::string_view> names;
  for (const Key& key : kKeys) names.push_back(key.name);
  return names;
}

std::string config_variable(std::string_view key) {
  std::string name = "GPUIO_";
  for (char c : key) name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

}  // namespace gpuio
