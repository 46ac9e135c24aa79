// Errors, the log, making and ending contexts, their configuration, devices.
#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>

static void errors_have_names(void) {
  for (int code = -20; code <= 5; ++code) CHECK(gpuio_error_string((gpuio_error_t)code)[0] != '\0');
  CHECK(gpuio_last_error_message()[0] == '\0');  // nothing has failed yet
  int major = -1, minor = -1, patch = -1;
  gpuio_get_version(&major, &minor, &patch);
  CHECK(major == GPUIO_VERSION_MAJOR && minor == GPUIO_VERSION_MINOR && patch == GPUIO_VERSION_PATCH);
  const gpuio_error_t again[] = {GPUIO_ERROR_TIMEOUT, GPUIO_ERROR_IO, GPUIO_ERROR_NETWORK, GPUIO_ERROR_BUSY};
  for (int code = -16; code <= 0; ++code) {
    bool expected = false;
    for (int i = 0; i < 4; ++i) expected |= again[i] == (gpuio_error_t)code;
    CHECK(gpuio_error_is_retryable((gpuio_error_t)code) == expected);
  }
}

static void a_context_with_and_without_configuration(void) {
  gpuio_context_t ctx = NULL;
  gpuio_config_t got, usual = GPUIO_CONFIG_DEFAULT;
  OK(gpuio_init(&ctx, NULL));
  CHECK(ctx != NULL);
  OK(gpuio_get_config(ctx, &got));
  CHECK(got.api_version == 1 && got.flags == 0 && got.max_gpus == -1 && got.memory_pool_size == 0);
  CHECK(got.log_level == GPUIO_LOG_INFO && !got.config_file && got.numa_node == -1 && !got.numa_strict);
  CHECK(got.enable_security && !got.credentials_path);
  gpuio_stats_t stats, zero;
  memset(&stats, 0xff, sizeof stats);
  memset(&zero, 0, sizeof zero);
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(memcmp(&stats, &zero, sizeof zero) == 0);
  OK(gpuio_finalize(ctx));
  CHECK_CODE(GPUIO_ERROR_NOT_INITIALIZED, gpuio_finalize(ctx));
  CHECK_CODE(GPUIO_ERROR_NOT_INITIALIZED, gpuio_get_config(ctx, &got));
  CHECK_SAYS("gpuio_get_config");

  usual.max_gpus = 3;
  usual.memory_pool_size = 64 << 20;
  usual.log_level = GPUIO_LOG_ERROR;
  usual.enable_security = false;
  usual.credentials_path = "/nowhere/credentials";
  usual.api_version = 0;
  NEED(gpuio_init(&ctx, &usual));
  OK(gpuio_get_config(ctx, &got));
  CHECK(got.max_gpus == 3 && got.memory_pool_size == 64 << 20 && got.log_level == GPUIO_LOG_ERROR);
  CHECK(!got.enable_security && strcmp(got.credentials_path, "/nowhere/credentials") == 0);
  OK(gpuio_finalize(ctx));
}

static void what_is_wrong_is_refused(void) {
  gpuio_context_t ctx = (gpuio_context_t)&ctx;
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  config.api_version = 2;
  CHECK_CODE(GPUIO_ERROR_UNSUPPORTED, gpuio_init(&ctx, &config));
  CHECK(ctx == NULL);
  config.api_version = 1;
  config.log_level = (gpuio_log_level_t)99;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_init(&ctx, &config));
  config.log_level = GPUIO_LOG_INFO;
  config.flags = 1u << 20;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_init(&ctx, &config));
  config.flags = 0;
  config.config_file = "/nowhere/gpuio.toml";
  CHECK_CODE(GPUIO_ERROR_NOT_FOUND, gpuio_init(&ctx, &config));
  CHECK_SAYS("/nowhere/gpuio.toml");
  config.config_file = NULL;
  config.numa_strict = true;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_init(&ctx, &config));
  CHECK_SAYS("numa_node");
  config.numa_node = 900;  // no machine of ours
  CHECK_CODE(GPUIO_ERROR_UNSUPPORTED, gpuio_init(&ctx, &config));
  CHECK_SAYS("numactl");
}

static void file_then_environment_then_code(void) {
  char path[] = "/tmp/gpuio_basics_XXXXXX";
  const char text[] = "max_gpus = 5\nmemory_pool_size = \"8MiB\"\nnuma_node = 0\n";
  int fd = mkstemp(path);
  CHECK(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT, got;
  config.config_file = path;
  config.max_gpus = 7;
  setenv("GPUIO_MEMORY_POOL_SIZE", "4MiB", 1);
  gpuio_context_t ctx;
  OK(gpuio_init(&ctx, &config));
  unsetenv("GPUIO_MEMORY_POOL_SIZE");
  OK(gpuio_get_config(ctx, &got));
  CHECK(got.max_gpus == 7);
  CHECK(got.memory_pool_size == 4 << 20);
  CHECK(got.numa_node == 0);
  CHECK(got.config_file && strcmp(got.config_file, path) == 0);
  OK(gpuio_finalize(ctx));

  CHECK(write(fd, "max_gpu = 1\n", 12) == 12);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_init(&ctx, &config));
  CHECK_SAYS(":4:");
  CHECK_SAYS("max_gpus");
  close(fd);
  unlink(path);
  setenv("GPUIO_MAX_GPU", "1", 1);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_init(&ctx, NULL));
  CHECK_SAYS("GPUIO_MAX_GPU");
  unsetenv("GPUIO_MAX_GPU");
}

static void many_and_side_by_side(void) {
  for (int i = 0; i < 25; ++i) {
    gpuio_context_t ctx;
    NEED(gpuio_init(&ctx, NULL));
    OK(gpuio_finalize(ctx));
  }
  gpuio_context_t a, b;
  NEED(gpuio_init(&a, NULL));
  NEED(gpuio_init(&b, NULL));
  gpuio_event_t event;
  OK(gpuio_event_create(a, &event));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_event_destroy(b, event));  // the other's
  OK(gpuio_finalize(a));
  OK(gpuio_event_create(b, &event));
  OK(gpuio_finalize(b));  // with what was made from it
}

static void devices(void) {
  gpuio_context_t plain, all;
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  NEED(gpuio_init(&plain, &config));
  config.flags = GPUIO_CONFIG_SOFTWARE_GPUS;
  NEED(gpuio_init(&all, &config));
  int hardware = -1, count = -1;
  OK(gpuio_get_device_count(plain, &hardware));
  OK(gpuio_get_device_count(all, &count));
  CHECK(hardware >= 0 && count >= hardware);
  gpuio_device_info_t info;
  for (int id = 0; id < count; ++id) {
    OK(gpuio_get_device_info(all, id, &info));
    CHECK(info.device_id == id && info.name[0] != '\0' && info.total_memory > 0);
    CHECK(info.vendor != GPUIO_GPU_VENDOR_CPU);
    if (id >= hardware) CHECK(info.vendor == GPUIO_GPU_VENDOR_OTHER);
  }
  printf("%d hardware GPUs, %d emulated\n", hardware, count - hardware);
  OK(gpuio_get_device_info(plain, -1, &info));
  CHECK(info.device_id == -1 && info.vendor == GPUIO_GPU_VENDOR_CPU && info.name[0] != '\0');
  CHECK(info.total_memory > 0 && info.free_memory > 0 && info.free_memory <= info.total_memory);
  CHECK_CODE(GPUIO_ERROR_NOT_FOUND, gpuio_get_device_info(plain, hardware, &info));
  CHECK(info.total_memory == 0 && info.name[0] == '\0');
  CHECK_CODE(GPUIO_ERROR_NOT_FOUND, gpuio_get_device_info(plain, -2, &info));
  CHECK_CODE(GPUIO_ERROR_NOT_FOUND, gpuio_set_device(plain, hardware));
  OK(gpuio_set_device(plain, -1));
  config.max_gpus = 0;
  gpuio_context_t none;
  NEED(gpuio_init(&none, &config));
  OK(gpuio_get_device_count(none, &count));
  CHECK(count == 0);
  OK(gpuio_finalize(none));
  OK(gpuio_finalize(all));
  OK(gpuio_finalize(plain));
}

static int calls;
static gpuio_error_t third_time(void* wanted) {
  return ++calls < *(int*)wanted ? GPUIO_ERROR_BUSY : GPUIO_SUCCESS;
}
static gpuio_error_t for_good(void* user) {
  (void)user;
  ++calls;
  return GPUIO_ERROR_PERMISSION;
}

static void retries(void) {
  gpuio_retry_policy_t policy = {.max_retries = 4, .initial_backoff_us = 10, .max_backoff_us = 20};
  int wanted = 3;
  calls = 0;
  OK(gpuio_retry_with_backoff(&policy, third_time, &wanted));
  CHECK(calls == 3);
  wanted = 100;
  calls = 0;
  CHECK_CODE(GPUIO_ERROR_BUSY, gpuio_retry_with_backoff(&policy, third_time, &wanted));
  CHECK(calls == 5);
  calls = 0;
  CHECK_CODE(GPUIO_ERROR_PERMISSION, gpuio_retry_with_backoff(&policy, for_good, NULL));
  CHECK(calls == 1);
  policy.backoff_multiplier = 0.5;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_retry_with_backoff(&policy, for_good, NULL));
  policy.backoff_multiplier = 2;
  policy.initial_backoff_us = 30;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_retry_with_backoff(&policy, for_good, NULL));
  policy.max_retries = -1;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_retry_with_backoff(&policy, for_good, NULL));
  gpuio_context_t ctx;
  NEED(gpuio_init(&ctx, NULL));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_set_retry_policy(ctx, &policy));
  policy = (gpuio_retry_policy_t){.max_retries = 1};
  OK(gpuio_set_retry_policy(ctx, &policy));
  for (int p = 0; p < 4; ++p) OK(gpuio_set_sched_policy(ctx, (gpuio_sched_policy_t)p));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_set_sched_policy(ctx, (gpuio_sched_policy_t)4));
  OK(gpuio_finalize(ctx));
}

// Last: the level that is set here holds for the rest of the process.
static void the_chosen_log_level_wins(void) {
  char path[] = "/tmp/gpuio_log_XXXXXX", text[4096] = {0}, longer[900];
  int fd = mkstemp(path), before = dup(2);
  CHECK(fd >= 0 && before >= 0 && dup2(fd, 2) == 2);
  gpuio_set_log_level(GPUIO_LOG_WARN);
  gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
  config.log_level = GPUIO_LOG_TRACE;
  gpuio_context_t ctx;
  gpuio_error_t made = gpuio_init(&ctx, &config);
  gpuio_log(GPUIO_LOG_INFO, "hidden %d", 1);
  gpuio_log(GPUIO_LOG_ERROR, "shown %s %d", "line", 2);
  memset(longer, 'x', sizeof longer);
  longer[sizeof longer - 1] = '\0';
  gpuio_log(GPUIO_LOG_WARN, "%s", longer);
  dup2(before, 2);
  CHECK(made == GPUIO_SUCCESS && pread(fd, text, sizeof text - 1, 0) > 0);
  CHECK(strstr(text, "shown line 2") && !strstr(text, "hidden") && strstr(text, longer));
  OK(gpuio_finalize(ctx));
  close(fd);
  close(before);
  unlink(path);
}

int main(void) {
  RUN(errors_have_names);
  RUN(a_context_with_and_without_configuration);
  RUN(what_is_wrong_is_refused);
  RUN(file_then_environment_then_code);
  RUN(many_and_side_by_side);
  RUN(devices);
  RUN(retries);
  RUN(the_chosen_log_level_wins);
  return check_failed;
}
