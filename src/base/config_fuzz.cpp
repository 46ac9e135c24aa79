#include "base/config.hpp"

#include "base/fuzz.hpp"

namespace gpuio {
namespace {

// A refusal names the file and a line; what is taken prints to a file that gives the same again.
std::string check_with(std::string (*print)(const Config&), std::span<const uint8_t> input) {
  Config config;
  const Status status = apply_toml(config, fuzz::as_text(input), "f.toml");
  if (!status)
    return status.message().starts_with("f.toml:") ? "" : "a refusal without its place: " + status.message();
  Config again;
  const std::string text = print(config);
  if (auto refused = apply_toml(again, text, "own"); !refused)
    return "its own text is refused: " + refused.message() + "\n" + text;
  return again == config ? "" : "its own text gives something else:\n" + text;
}

std::string check(std::span<const uint8_t> input) { return check_with(config_to_toml, input); }

// Forgets one key.
std::string planted(std::span<const uint8_t> input) {
  return check_with(
      [](const Config& config) {
        Config lossy = config;
        lossy.max_gpus = -1;
        return config_to_toml(lossy);
      },
      input);
}

}  // namespace

GPUIO_FUZZ(Config, check, planted,
           {"", "[\n", "\u00e9 = 1", "max_gpus = -1\nlog_level = 'info'\n",
            "[paging]\ncache_size = '64MiB'\npage_size = 65536\n",
            "[retry]\nmax_retries = 0x3\nbackoff_multiplier = 1.5e0\n",
            "credentials_path = \"/a\\u00e9\\\"b\"\nnuma_strict = true\n",
            "io = { direct = 'never', queue_depth = 128 } # comment\n"})

}  // namespace gpuio
