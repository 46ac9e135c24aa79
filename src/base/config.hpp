// Configuration: what a context may be told, from four places, each overriding the one before it:
// defaults, a TOML file, the environment (GPUIO_<KEY>), and code.
//
// One table names every key with its type, range and meaning; parsing, the names in the environment and the
// documentation all come from it. What is not in it is refused, with the file and line, or the variable, that
// said so: a misspelt key must not pass for a default. Plain values, any thread; load_config reads the file
// and blocks on it. Errors: invalid_arg, or what reading gave.
//
//   auto config = load_config({.file = "gpuio.toml", .environment = process_environment()});
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "base/platform/thread.hpp"
#include "base/status.hpp"

namespace gpuio {

enum class DirectIo { automatic, always, never };

struct Config {
  // As in gpuio_config_t, whose zero and -1 mean the same here.
  int64_t api_version = 1;
  int64_t flags = 0;
  int64_t max_gpus = -1;
  uint64_t memory_pool_size = 0;
  LogLevel log_level = LogLevel::info;
  std::string config_file;
  int64_t numa_node = -1;
  bool numa_strict = false;
  bool enable_security = true;
  std::string credentials_path;

  // Arrays that fill on demand.
  uint64_t cache_size = uint64_t{256} << 20;
  uint64_t page_size = uint64_t{64} << 10;
  int64_t service_threads = 1;
  ThreadPriority service_priority = ThreadPriority::realtime;
  int64_t spin_us = 50;

  // Kernels as devices compiled them, kept from one process to the next.
  std::string kernel_cache_folder;
  uint64_t kernel_cache_size = uint64_t{256} << 20;

  // Calls that block and have no timeout of their own.
  int64_t wait_limit_ms = 600'000;

  // Reading and writing.
  DirectIo direct_io = DirectIo::automatic;
  int64_t queue_depth = 128;
  int64_t max_retries = 3;
  int64_t initial_backoff_us = 1000;
  int64_t max_backoff_us = 1'000'000;
  double backoff_multiplier = 2;

  bool operator==(const Config&) const = default;
};

using ConfigSetting = std::pair<std::string, std::string>;  // a key or variable, and its value as text

struct ConfigSources {
  std::string file = {};  // empty: the one that GPUIO_CONFIG_FILE names, if any
  std::vector<ConfigSetting> environment = {};
  std::vector<ConfigSetting> code = {};  // keys as in the file: {"paging.cache_size", "1GiB"}
};
Result<Config> load_config(const ConfigSources& sources);

// One source at a time, onto what is there. `name` stands for the text in errors.
Status apply_toml(Config& config, std::string_view text, const std::string& name);
// Looks at variables that begin with GPUIO_; those of the build and its tests are passed over.
Status apply_environment(Config& config, const std::vector<ConfigSetting>& environment);
Status apply_setting(Config& config, std::string_view key, std::string_view value);

// Ranges, and what must hold between keys; load_config has done it.
Status check_config(const Config& config);

// What the process was started with.
std::vector<ConfigSetting> process_environment();

// A TOML file that gives this configuration, with what each key means in comments. Of Config(): the
// reference.
std::string config_to_toml(const Config& config);
// The keys in the order of the table, and the variable that sets one.
std::vector<std::string_view> config_keys();
std::string config_variable(std::string_view key);

}  // namespace gpuio
