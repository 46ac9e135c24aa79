// Trying again, and in which order requests go.

#include "io/retry.hpp"

#include <chrono>
#include <thread>

#include "capi/context.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace {

constexpr std::uint64_t kInitialUs = 1000, kMostUs = 1'000'000, kDayUs = 86'400'000'000;

// Zeros are the defaults of the configuration.
Result<io::RetryPolicy> policy_of(const gpuio_retry_policy_t* given) {
  if (!given) return fail(null_argument("the policy"));
  const std::uint64_t initial = given->initial_backoff_us ? given->initial_backoff_us : kInitialUs;
  const std::uint64_t most = given->max_backoff_us ? given->max_backoff_us : std::max(initial, kMostUs);
  const double multiplier = given->backoff_multiplier != 0 ? given->backoff_multiplier : 2;
  if (given->max_retries < 0)
    return fail(Code::invalid_arg, "max_retries {}: 0 means none", given->max_retries);
  if (most > kDayUs) return fail(Code::invalid_arg, "max_backoff_us {}: a day at most", most);
  if (initial > most)
    return fail(Code::invalid_arg, "initial_backoff_us {} is more than max_backoff_us {}", initial, most);
  if (!(multiplier >= 1 && multiplier <= 1000))
    return fail(Code::invalid_arg, "backoff_multiplier {}: give 1 to 1000", multiplier);
  return io::RetryPolicy{.max_retries = static_cast<std::uint32_t>(given->max_retries),
                         .initial_ns = initial * 1000,
                         .max_ns = most * 1000,
                         .multiplier = multiplier};
}

}  // namespace

extern "C" {

bool gpuio_error_is_retryable(gpuio_error_t error) { return io::is_retryable(static_cast<Code>(error)); }

gpuio_error_t gpuio_set_retry_policy(gpuio_context_t ctx, const gpuio_retry_policy_t* policy) {
  return call("gpuio_set_retry_policy", ctx, [&](Context& c) {
    auto checked = policy_of(policy);
    if (!checked) return std::move(checked).error();
    c.set_retry(*checked);
    return Status();
  });
}

gpuio_error_t gpuio_set_sched_policy(gpuio_context_t ctx, gpuio_sched_policy_t policy) {
  return call("gpuio_set_sched_policy", ctx, [&](Context& c) {
    if (policy < GPUIO_SCHED_FIFO || policy > GPUIO_SCHED_ADAPTIVE)
      return error(Code::invalid_arg, "policy {}: give one of gpuio_sched_policy_t", int(policy));
    c.set_schedule(static_cast<io::Schedule>(policy));
    return Status();
  });
}

gpuio_error_t gpuio_retry_with_backoff(const gpuio_retry_policy_t* policy, gpuio_operation_fn_t operation,
                                       void* user_data) {
  gpuio_error_t last = GPUIO_SUCCESS;
  const gpuio_error_t refused = guard("gpuio_retry_with_backoff", [&] {
    auto checked = policy_of(policy);
    if (!checked) return std::move(checked).error();
    if (!operation) return null_argument("the operation");
    for (std::uint32_t retry = 0;;) {
      last = operation(user_data);
      if (!gpuio_error_is_retryable(last) || ++retry > checked->max_retries) return Status();
      std::this_thread::sleep_for(std::chrono::nanoseconds(checked->pause_ns(retry)));
    }
  });
  // The operation's own answer, and its own message if a call of the library gave it.
  return refused != GPUIO_SUCCESS ? refused : last;
}

}  // extern "C"
