// Making and ending contexts, their configuration, and the version.

#include <chrono>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "base/log.hpp"
#include "capi/context.hpp"

namespace gpuio::capi {
namespace {

// The contexts of the process. Leaked on purpose: threads that outlive main's statics may still ask.
struct Contexts {
  struct Entry {
    std::shared_ptr<Context> context;
    bool ending = false;  // a thread is finalizing it
    bool ended = false;   // one has begun to: no other call may begin
  };
  std::mutex mutex;
  std::map<gpuio_context_t, Entry> live;
};
Contexts& contexts() {
  static Contexts* const all = new Contexts;
  return *all;
}

Status no_such_context(gpuio_context_t ctx) {
  if (!ctx) return error(Code::invalid_arg, "the context is NULL; give one that gpuio_init made");
  return error(Code::not_initialized, "{} is no context: it was finalized, or gpuio_init did not make it",
               static_cast<const void*>(ctx));
}

// What differs from the default was said in code, and wins; the rest may come from the file or the
// environment.
Result<std::vector<ConfigSetting>> said_in_code(const gpuio_config_t& given) {
  const gpuio_config_t usual = GPUIO_CONFIG_DEFAULT;
  std::vector<ConfigSetting> said;
  const auto say = [&](const char* key, auto value) { said.emplace_back(key, fmt::format("{}", value)); };
  if (given.api_version > GPUIO_VERSION_MAJOR)
    return fail(Code::unsupported,
                "api_version = {}: this library has {}; build with its headers, or load a newer library",
                given.api_version, GPUIO_VERSION_MAJOR);
  if (given.log_level < GPUIO_LOG_NONE || given.log_level > GPUIO_LOG_TRACE)
    return fail(Code::invalid_arg, "log_level = {}: give one from {} to {}", int(given.log_level),
                int(GPUIO_LOG_NONE), int(GPUIO_LOG_TRACE));
  if (given.api_version != usual.api_version) say("api_version", given.api_version);
  if (given.flags != usual.flags) say("flags", given.flags);
  if (given.max_gpus != usual.max_gpus) say("max_gpus", given.max_gpus);
  if (given.memory_pool_size != usual.memory_pool_size) say("memory_pool_size", given.memory_pool_size);
  if (given.log_level != usual.log_level)
    say("log_level", log_level_name(static_cast<LogLevel>(given.log_level)));
  if (given.config_file) say("config_file", given.config_file);
  if (given.numa_node != usual.numa_node) say("numa_node", given.numa_node);
  if (given.numa_strict != usual.numa_strict) say("numa_strict", given.numa_strict);
  if (given.enable_security != usual.enable_security) say("enable_security", given.enable_security);
  if (given.credentials_path) say("credentials_path", given.credentials_path);
  return said;
}

// Memory and threads are not placed yet, so a strict wish is kept only where there is nothing to choose.
Status check_placement(const Config& config) {
  if (config.numa_node < 0) return {};
  std::string online;
  std::getline(std::ifstream("/sys/devices/system/node/online"), online);
  const bool no_nodes = online.empty() && config.numa_node == 0;  // to choose from
  if (no_nodes || online == std::to_string(config.numa_node)) return {};
  if (config.numa_strict)
    return error(
        Code::unsupported,
        "numa_strict with numa_node = {}: this version places nothing, and the machine's nodes are {}; set "
        "numa_strict = false, or start the process under numactl",
        config.numa_node, online);
  log(LogLevel::warn, "numa_node = {} is not acted on by this version; start the process under numactl",
      config.numa_node);
  return {};
}

Status init(gpuio_context_t* ctx, const gpuio_config_t* given) {
  auto said = said_in_code(given ? *given : gpuio_config_t(GPUIO_CONFIG_DEFAULT));
  if (!said) return std::move(said).error();
  auto config = load_config({.environment = process_environment(), .code = std::move(*said)});
  if (!config) return std::move(config).error();
  configure_log_level(config->log_level);
  if (Status s = check_placement(*config); !s) return s;
  auto context = Context::create(std::move(*config));
  if (!context) return std::move(context).error();
  const auto handle = reinterpret_cast<gpuio_context_t>(next_handle());
  std::scoped_lock hold(contexts().mutex);
  contexts().live.emplace(handle, Contexts::Entry{std::move(*context)});
  *ctx = handle;
  return {};
}

// Until the list and the caller are the only owners. Calls that were under way end soon, now that most of
// what they could wait for has ended.
Status wait_for_calls(const std::shared_ptr<Context>& context, const Limit& limit) {
  for (;;) {
    const long others = context.use_count() - 2;
    if (others <= 0) return {};
    if (limit.over())
      return limit.late(fmt::format("{} calls of other threads on the context have", others),
                        "let them return, then finalize again");
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

Status finalize(gpuio_context_t ctx) {
  std::shared_ptr<Context> context;
  {
    std::scoped_lock hold(contexts().mutex);
    const auto found = contexts().live.find(ctx);
    if (found == contexts().live.end()) return no_such_context(ctx);
    if (found->second.ending)
      return error(Code::already_initialized, "another thread is finalizing this context; let it");
    if (Status s = found->second.context->may_block(); !s) return s;
    found->second.ending = found->second.ended = true;
    context = found->second.context;
  }
  const Limit limit = context->limit();
  Status ended = context->shut_down(limit);
  if (ended) ended = wait_for_calls(context, limit);
  // Unless it failed this is the last owner, and what is left of the context goes after the lock.
  std::scoped_lock hold(contexts().mutex);
  if (ended) contexts().live.erase(ctx);
  else contexts().live.at(ctx).ending = false;
  return ended;
}

}  // namespace

Result<std::shared_ptr<Context>> find_context(gpuio_context_t ctx) {
  std::scoped_lock hold(contexts().mutex);
  const auto found = contexts().live.find(ctx);
  if (found == contexts().live.end()) return fail(no_such_context(ctx));
  if (found->second.ended) return fail(Code::not_initialized, "the context is being finalized");
  return found->second.context;
}

}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_init(gpuio_context_t* ctx, const gpuio_config_t* config) {
  return guard("gpuio_init", Outputs(ctx), [&] { return init(ctx, config); });
}

gpuio_error_t gpuio_finalize(gpuio_context_t ctx) {
  return guard("gpuio_finalize", [&] { return finalize(ctx); });
}

gpuio_error_t gpuio_get_config(gpuio_context_t ctx, gpuio_config_t* config) {
  return call("gpuio_get_config", ctx, Outputs(config), [&](Context& c) {
    const auto text = [](const std::string& s) { return s.empty() ? nullptr : s.c_str(); };
    *config = {.api_version = static_cast<uint32_t>(c.config.api_version),
               .flags = static_cast<uint32_t>(c.config.flags),
               .max_gpus = static_cast<int>(c.config.max_gpus),
               .memory_pool_size = c.config.memory_pool_size,
               .log_level = static_cast<gpuio_log_level_t>(c.config.log_level),
               .config_file = text(c.config.config_file),
               .numa_node = static_cast<int>(c.config.numa_node),
               .numa_strict = c.config.numa_strict,
               .enable_security = c.config.enable_security,
               .credentials_path = text(c.config.credentials_path)};
    return Status();
  });
}

void gpuio_get_version(int* major, int* minor, int* patch) {
  if (major) *major = GPUIO_VERSION_MAJOR;
  if (minor) *minor = GPUIO_VERSION_MINOR;
  if (patch) *patch = GPUIO_VERSION_PATCH;
}

#define GPUIO_TEXT_OF(x) #x
#define GPUIO_TEXT(x) GPUIO_TEXT_OF(x)
const char* gpuio_get_version_string(void) {
  return GPUIO_TEXT(GPUIO_VERSION_MAJOR) "." GPUIO_TEXT(GPUIO_VERSION_MINOR) "." GPUIO_TEXT(
      GPUIO_VERSION_PATCH);
}

}  // extern "C"
