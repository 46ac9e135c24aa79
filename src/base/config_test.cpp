#include "base/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "base/platform/file.hpp"

namespace gpuio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string toml_refusal(std::string_view text) {
  Config config;
  const Status status = apply_toml(config, text, "a.toml");
  EXPECT_EQ(status.code(), Code::invalid_arg) << text;
  return status.message();
}

class ConfigFile : public testing::Test {
 protected:
  std::string write(std::string_view text) {
    const std::string path = directory_.file("gpuio.toml");
    auto file = File::open(path, OpenFlags::write | OpenFlags::create | OpenFlags::truncate);
    EXPECT_TRUE(file && file->write_at(std::as_bytes(std::span(text)), 0));
    return path;
  }
  TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create());
};

TEST_F(ConfigFile, EachSourceOverridesTheOneBefore) {
  const std::string path =
      write("log_level = 'warn'\nmax_gpus = 2\n[io]\nqueue_depth = 7\n[paging]\ncache_size = '1GiB'\n");
  auto config =
      load_config({.file = path,
                   .environment = {{"GPUIO_MAX_GPUS", "3"}, {"GPUIO_IO_QUEUE_DEPTH", "8"}, {"HOME", "/"}},
                   .code = {{"io.queue_depth", "9"}}});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->service_threads, Config().service_threads);  // a default
  EXPECT_EQ(config->log_level, LogLevel::warn);                  // the file
  EXPECT_EQ(config->cache_size, uint64_t{1} << 30);
  EXPECT_EQ(config->max_gpus, 3);     // the environment over the file
  EXPECT_EQ(config->queue_depth, 9);  // code over both
  EXPECT_EQ(config->config_file, path);
}

TEST_F(ConfigFile, EnvironmentMayNameTheFile) {
  const std::string path = write("max_gpus = 2");
  auto config = load_config({.environment = {{"GPUIO_CONFIG_FILE", path}}});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->max_gpus, 2);
  EXPECT_EQ(config->config_file, path);
}

TEST_F(ConfigFile, ProblemsNameFileAndLine) {
  const std::string path = write("max_gpus = 1\n\n[io]\nqueue_dept = 7\n");
  auto config = load_config({.file = path});
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code(), Code::invalid_arg);
  EXPECT_THAT(config.error().message(),
              AllOf(HasSubstr(path + ":4:"), HasSubstr("did you mean io.queue_depth?")));
  auto missing = load_config({.file = directory_.file("none.toml")});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::not_found);
  EXPECT_THAT(missing.error().message(), HasSubstr("none.toml"));
}

TEST(Config, NothingGivenIsTheDefaults) {
  auto config = load_config({});
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(*config, Config());
}

TEST(Config, TomlRefusals) {
  EXPECT_THAT(toml_refusal("max_gpu = 1"),
              AllOf(HasSubstr("a.toml:1:"), HasSubstr("max_gpu "), HasSubstr("max_gpus?")));
  EXPECT_THAT(toml_refusal("\n\nzzzzzz = 1"), AllOf(HasSubstr("a.toml:3:"), HasSubstr("known are")));
  EXPECT_THAT(toml_refusal("[pagin]\ncache_size = 1"), AllOf(HasSubstr("a.toml:1:"), HasSubstr("pagin")));
  EXPECT_THAT(toml_refusal("paging = 3"), HasSubstr("is a section; write [paging]"));
  EXPECT_THAT(
      toml_refusal("max_gpus = '1'"),
      AllOf(HasSubstr("a.toml:1:"), HasSubstr("max_gpus is given a text"), HasSubstr("whole number")));
  EXPECT_THAT(toml_refusal("max_gpus = 1.0"), HasSubstr("a fraction"));
  EXPECT_THAT(toml_refusal("max_gpus = [1]"), HasSubstr("a list"));
  EXPECT_THAT(toml_refusal("numa_strict = 1"), HasSubstr("true or false"));
  EXPECT_THAT(toml_refusal("max_gpus = -2"), AllOf(HasSubstr("max_gpus = -2"), HasSubstr("from -1 to 1024")));
  EXPECT_THAT(toml_refusal("log_level = 'loud'"), AllOf(HasSubstr("loud"), HasSubstr("one of none, fatal")));
  EXPECT_THAT(toml_refusal("[paging]\ncache_size = '1 GiB'"),
              AllOf(HasSubstr("a.toml:2:"), HasSubstr("1 GiB")));
  EXPECT_THAT(toml_refusal("[paging]\ncache_size = -1"), HasSubstr("-1"));
  EXPECT_THAT(toml_refusal("retry.backoff_multiplier = nan"), HasSubstr("from 1 to 1000"));
  EXPECT_THAT(toml_refusal("api_version = 2"), HasSubstr("api_version = 2"));
  EXPECT_THAT(toml_refusal("config_file = 'b.toml'"), HasSubstr("cannot be set in a file"));
  EXPECT_THAT(toml_refusal("credentials_path = \"a\\u0000b\""), HasSubstr("zero byte"));
  EXPECT_THAT(toml_refusal("max_gpus = 1\nmax_gpus = 2"), HasSubstr("a.toml:2:"));
  EXPECT_THAT(toml_refusal("max_gpus = 1\nio = [\n"), HasSubstr("a.toml:"));
  EXPECT_THAT(toml_refusal("\xff\xfe"), HasSubstr("a.toml:1:"));
  for (const char* letter : {"\u00e9 = 1", "max_gpus = \u00e9", "max_gpus = 1 \u0491", "[\u3001]", "\ufb00"})
    EXPECT_THAT(toml_refusal(letter), HasSubstr("a.toml:1:")) << letter;
}

TEST(Config, TomlTakesEveryType) {
  Config config;
  ASSERT_TRUE(apply_toml(config,
                         "numa_strict = true\nnuma_node = 1\ncredentials_path = '/k'\n"
                         "paging = { page_size = 4096, service_priority = 'high' }\n"
                         "retry.backoff_multiplier = 3\nretry.max_retries = 0x10\nio.direct = 'never'\n",
                         "a.toml"));
  EXPECT_TRUE(config.numa_strict);
  EXPECT_EQ(config.numa_node, 1);
  EXPECT_EQ(config.credentials_path, "/k");
  EXPECT_EQ(config.page_size, 4096u);
  EXPECT_EQ(config.service_priority, ThreadPriority::high);
  EXPECT_EQ(config.backoff_multiplier, 3);
  EXPECT_EQ(config.max_retries, 16);
  EXPECT_EQ(config.direct_io, DirectIo::never);
  EXPECT_TRUE(apply_toml(config, "retry.backoff_multiplier = 1.5", "a"));
  EXPECT_EQ(config.backoff_multiplier, 1.5);
}

TEST(Config, EnvironmentRefusalsNameTheVariable) {
  const auto refusal = [](const char* name, const char* value) {
    Config config;
    const Status status = apply_environment(config, {{name, value}});
    EXPECT_EQ(status.code(), Code::invalid_arg) << name;
    return status.message();
  };
  EXPECT_THAT(refusal("GPUIO_MAX_GPU", "1"),
              AllOf(HasSubstr("GPUIO_MAX_GPU "), HasSubstr("did you mean GPUIO_MAX_GPUS?")));
  EXPECT_THAT(refusal("GPUIO_MAX_GPUS", "many"),
              AllOf(HasSubstr("variable GPUIO_MAX_GPUS"), HasSubstr("many")));
  EXPECT_THAT(refusal("GPUIO_PAGING_CACHE_SIZE", "1XB"), HasSubstr("a size"));
  EXPECT_THAT(refusal("GPUIO_NUMA_STRICT", ""), HasSubstr("true or false"));
  EXPECT_THAT(refusal("GPUIO_LOG_LEVEL", "INFO!"), HasSubstr("one of"));
  EXPECT_THAT(refusal("GPUIO_RETRY_BACKOFF_MULTIPLIER", "2x"), HasSubstr("2x"));
  Config config;
  EXPECT_TRUE(apply_environment(
      config, {{"GPUIO_FUZZ_SEED", "1"}, {"GPUIO_TEST_ALL", "1"}, {"gpuio_x", "1"}, {"PATH", "/bin"}}));
  EXPECT_EQ(config, Config());
  EXPECT_TRUE(apply_environment(
      config, {{"GPUIO_RETRY_BACKOFF_MULTIPLIER", "2.5"}, {"GPUIO_ENABLE_SECURITY", "off"}}));
  EXPECT_EQ(config.backoff_multiplier, 2.5);
  EXPECT_FALSE(config.enable_security);
}

TEST(Config, CodeIsHeldToTheTable) {
  Config config;
  EXPECT_TRUE(apply_setting(config, "log_level", "trace"));
  EXPECT_EQ(config.log_level, LogLevel::trace);
  EXPECT_THAT(apply_setting(config, "log_levle", "trace").message(), HasSubstr("did you mean log_level?"));
  auto loaded = load_config({.code = {{"io.queue_depth", "0"}}});
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error().message(), AllOf(HasSubstr("in code"), HasSubstr("io.queue_depth = 0")));
}

TEST(Config, ChecksRangesAndRelations) {
  const auto refusal = [](auto change) {
    Config config;
    change(config);
    return check_config(config).message();
  };
  EXPECT_TRUE(check_config(Config()));
  EXPECT_THAT(refusal([](Config& c) { c.queue_depth = 0; }), HasSubstr("io.queue_depth = 0"));
  EXPECT_THAT(refusal([](Config& c) { c.page_size = 5000; }), AllOf(HasSubstr("5000B"), HasSubstr("4KiB")));
  EXPECT_THAT(refusal([](Config& c) { c.cache_size = 4096; }), HasSubstr("holds no page"));
  EXPECT_THAT(refusal([](Config& c) { c.max_backoff_us = 1; }), HasSubstr("retry.initial_backoff_us = 1000"));
  EXPECT_THAT(refusal([](Config& c) { c.numa_strict = true; }), HasSubstr("numa_node"));
  EXPECT_THAT(refusal([](Config& c) { c.log_level = static_cast<LogLevel>(7); }), HasSubstr("log_level = 7"));
  EXPECT_THAT(refusal([](Config& c) { c.backoff_multiplier = std::numeric_limits<double>::infinity(); }),
              HasSubstr("inf"));
}

TEST(Config, ReferenceTextNamesEveryKeyAndGivesTheDefaults) {
  const std::string text = config_to_toml(Config());
  Config parsed;
  parsed.queue_depth = 1;
  ASSERT_TRUE(apply_toml(parsed, text, "reference")) << apply_toml(parsed, text, "reference").message();
  EXPECT_EQ(parsed, Config());
  std::set<std::string> variables;
  for (std::string_view key : config_keys()) {
    EXPECT_THAT(text, HasSubstr(config_variable(key)));
    EXPECT_TRUE(variables.insert(config_variable(key)).second) << key;
  }
  EXPECT_EQ(config_variable("paging.cache_size"), "GPUIO_PAGING_CACHE_SIZE");
}

TEST(Config, ProcessEnvironmentIsRead) {
  ::setenv("GPUIO_TEST_MARK", "a=b", 1);
  const auto all = process_environment();
  EXPECT_NE(std::find(all.begin(), all.end(), ConfigSetting("GPUIO_TEST_MARK", "a=b")), all.end());
}

}  // namespace
}  // namespace gpuio
