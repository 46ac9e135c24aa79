#include "capi/context.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include "engines/file/file.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::capi {

std::uintptr_t next_handle() {
  static std::atomic<std::uintptr_t> last{0};  // relaxed: only has to be unique
  // Multiples of 16, as an allocator would give: clients may keep a flag in the low bits.
  return (last.fetch_add(1, std::memory_order_relaxed) + 1) * 16;
}

namespace {

thread_local const Context* calling_back = nullptr;

}  // namespace

CallbackScope::CallbackScope(Context& context)
    : hold_(context.callbacks_), before_(std::exchange(calling_back, &context)) {}
CallbackScope::~CallbackScope() { calling_back = before_; }

bool Context::in_callback() const { return calling_back == this; }
Status Context::may_block() const {
  if (!in_callback()) return {};
  return error(Code::busy,
               "this would block in a callback, which what it waits for must wait for; do it elsewhere");
}

io::Schedule Context::schedule() const {
  std::scoped_lock hold(policies_mutex_);
  return schedule_;
}
void Context::set_schedule(io::Schedule schedule) {
  std::scoped_lock hold(policies_mutex_);
  schedule_ = schedule;
}
io::RetryPolicy Context::retry() const {
  std::scoped_lock hold(policies_mutex_);
  return retry_;
}
void Context::set_retry(const io::RetryPolicy& policy) {
  std::scoped_lock hold(policies_mutex_);
  retry_ = policy;
}

Context::Context(Config given) : config(std::move(given)), devices(config) {
  retry_ = {.max_retries = static_cast<std::uint32_t>(config.max_retries),
            .initial_ns = static_cast<std::uint64_t>(config.initial_backoff_us) * 1000,
            .max_ns = static_cast<std::uint64_t>(config.max_backoff_us) * 1000,
            .multiplier = config.backoff_multiplier};
}

Status Context::shut_down(const Limit& limit) {
  in_flight.end();
  if (!transfers->stop(limit.left_ns()))
    return limit.late("a request that was cancelled, or its callback, has",
                      "let the callback return, then finalize again");
  std::vector<std::shared_ptr<Stream>> all = streams.all();
  std::ranges::copy(default_streams(), std::back_inserter(all));
  for (const auto& stream : all)
    if (!stream->drain(limit))
      return limit.late("the work of a stream, a kernel or a callback, has",
                        "let it end, then finalize again");
  return {};
}

Result<std::shared_ptr<Context>> Context::create(Config config) {
  auto context = std::make_shared<Context>(std::move(config));
  auto file = io::make_file_engine({.direct = context->config.direct_io != DirectIo::never});
  if (!file) return fail(std::move(file).error());
  if (Status s = context->registry.add({"file", "local", "localio"}, std::move(*file)); !s)
    return fail(std::move(s));
  if (Status s = context->registry.add({"mem", "memio"}, io::make_memory_engine()); !s)
    return fail(std::move(s));
  io::TransferOptions options;
  options.queue_depth = static_cast<std::uint32_t>(context->config.queue_depth);
  if (context->config.memory_pool_size) options.staging_bytes = context->config.memory_pool_size;
  auto transfers = io::TransferService::start(options);
  if (!transfers) return fail(std::move(transfers).error());
  context->transfers = std::move(*transfers);
  return context;
}

}  // namespace gpuio::capi
