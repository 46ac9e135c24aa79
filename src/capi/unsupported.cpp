// What gpuio.h names and this version does not have yet: each call says so by name. Handles and outputs are
// treated as they will be then.

#include "capi/context.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace {

constexpr const char* kStreams = "streams";
constexpr const char* kEvents = "events";
constexpr const char* kMemory = "memory";
constexpr const char* kHandles = "opening of URIs";
constexpr const char* kRequests = "requests";
constexpr const char* kLists = "scattered requests";
constexpr const char* kAtomics = "atomic requests";
constexpr const char* kBatches = "batches";
constexpr const char* kScheduling = "choice of scheduling";
constexpr const char* kRetry = "retries";
constexpr const char* kStats = "statistics";

}  // namespace

extern "C" {

gpuio_error_t gpuio_stream_create(gpuio_context_t ctx, gpuio_stream_t* stream, gpuio_stream_priority_t) {
  return unsupported("gpuio_stream_create", kStreams, ctx, {}, Outputs(stream));
}
gpuio_error_t gpuio_stream_destroy(gpuio_context_t ctx, gpuio_stream_t stream) {
  return call("gpuio_stream_destroy", ctx, [&](Context&) { return stream ? not_built(kStreams) : Status(); });
}
gpuio_error_t gpuio_stream_synchronize(gpuio_context_t ctx, gpuio_stream_t) {
  return unsupported("gpuio_stream_synchronize", kStreams, ctx, {});
}
gpuio_error_t gpuio_stream_query(gpuio_context_t ctx, gpuio_stream_t, bool* idle) {
  return unsupported("gpuio_stream_query", kStreams, ctx, {}, Outputs(idle));
}
gpuio_error_t gpuio_event_create(gpuio_context_t ctx, gpuio_event_t* event) {
  return unsupported("gpuio_event_create", kEvents, ctx, {}, Outputs(event));
}
gpuio_error_t gpuio_event_destroy(gpuio_context_t ctx, gpuio_event_t event) {
  return call("gpuio_event_destroy", ctx, [&](Context&) { return event ? not_built(kEvents) : Status(); });
}
gpuio_error_t gpuio_event_record(gpuio_context_t ctx, gpuio_event_t event, gpuio_stream_t) {
  return unsupported("gpuio_event_record", kEvents, ctx, {event});
}
gpuio_error_t gpuio_event_synchronize(gpuio_context_t ctx, gpuio_event_t event) {
  return unsupported("gpuio_event_synchronize", kEvents, ctx, {event});
}
gpuio_error_t gpuio_event_elapsed_time(gpuio_context_t ctx, gpuio_event_t start, gpuio_event_t end,
                                       float* ms) {
  return unsupported("gpuio_event_elapsed_time", kEvents, ctx, {start, end}, Outputs(ms));
}
gpuio_error_t gpuio_malloc(gpuio_context_t ctx, size_t, void** memory) {
  return unsupported("gpuio_malloc", kMemory, ctx, {}, Outputs(memory));
}
gpuio_error_t gpuio_malloc_pinned(gpuio_context_t ctx, size_t, void** memory) {
  return unsupported("gpuio_malloc_pinned", kMemory, ctx, {}, Outputs(memory));
}
gpuio_error_t gpuio_malloc_device(gpuio_context_t ctx, size_t, void** memory) {
  return unsupported("gpuio_malloc_device", kMemory, ctx, {}, Outputs(memory));
}
gpuio_error_t gpuio_malloc_unified(gpuio_context_t ctx, size_t, void** memory) {
  return unsupported("gpuio_malloc_unified", kMemory, ctx, {}, Outputs(memory));
}
gpuio_error_t gpuio_free(gpuio_context_t ctx, void* memory) {
  return call("gpuio_free", ctx, [&](Context&) { return memory ? not_built(kMemory) : Status(); });
}
gpuio_error_t gpuio_register_memory(gpuio_context_t ctx, void* memory, size_t, gpuio_mem_access_t,
                                    gpuio_memory_region_t* region) {
  return unsupported("gpuio_register_memory", kMemory, ctx, {memory}, Outputs(region));
}
gpuio_error_t gpuio_unregister_memory(gpuio_context_t ctx, gpuio_memory_region_t* region) {
  return unsupported("gpuio_unregister_memory", kMemory, ctx, {region});
}
gpuio_error_t gpuio_memcpy(gpuio_context_t ctx, void* dst, const void* src, size_t, gpuio_stream_t) {
  return unsupported("gpuio_memcpy", kMemory, ctx, {dst, src});
}
gpuio_error_t gpuio_memcpy_async(gpuio_context_t ctx, void* dst, const void* src, size_t, gpuio_stream_t) {
  return unsupported("gpuio_memcpy_async", kMemory, ctx, {dst, src});
}
gpuio_error_t gpuio_open(gpuio_context_t ctx, const char* uri, uint32_t, gpuio_handle_t* handle) {
  return unsupported("gpuio_open", kHandles, ctx, {uri}, Outputs(handle));
}
gpuio_error_t gpuio_close(gpuio_context_t ctx, gpuio_handle_t handle) {
  return call("gpuio_close", ctx, [&](Context&) { return handle ? not_built(kHandles) : Status(); });
}
gpuio_error_t gpuio_handle_info(gpuio_context_t ctx, gpuio_handle_t handle, gpuio_handle_info_t* info) {
  return unsupported("gpuio_handle_info", kHandles, ctx, {handle}, Outputs(info));
}
gpuio_error_t gpuio_handle_region(gpuio_context_t ctx, gpuio_handle_t handle, uint64_t, size_t,
                                  gpuio_mem_access_t, gpuio_memory_region_t* region) {
  return unsupported("gpuio_handle_region", kHandles, ctx, {handle}, Outputs(region));
}
gpuio_error_t gpuio_request_create(gpuio_context_t ctx, const gpuio_request_params_t* params,
                                   gpuio_request_t* request) {
  const bool named = params && params->src && params->dst;
  return unsupported("gpuio_request_create", kRequests, ctx, {named ? params : nullptr}, Outputs(request));
}
gpuio_error_t gpuio_request_destroy(gpuio_context_t ctx, gpuio_request_t request) {
  return call("gpuio_request_destroy", ctx,
              [&](Context&) { return request ? not_built(kRequests) : Status(); });
}
gpuio_error_t gpuio_request_submit(gpuio_context_t ctx, gpuio_request_t request) {
  return unsupported("gpuio_request_submit", kRequests, ctx, {request});
}
gpuio_error_t gpuio_request_wait(gpuio_context_t ctx, gpuio_request_t request, uint64_t) {
  return unsupported("gpuio_request_wait", kRequests, ctx, {request});
}
gpuio_error_t gpuio_request_cancel(gpuio_context_t ctx, gpuio_request_t request) {
  return unsupported("gpuio_request_cancel", kRequests, ctx, {request});
}
gpuio_error_t gpuio_request_get_status(gpuio_context_t ctx, gpuio_request_t request,
                                       gpuio_request_status_t* status) {
  return unsupported("gpuio_request_get_status", kRequests, ctx, {request}, Outputs(status));
}
gpuio_error_t gpuio_request_get_result(gpuio_context_t ctx, gpuio_request_t request,
                                       gpuio_request_result_t* result) {
  return unsupported("gpuio_request_get_result", kRequests, ctx, {request}, Outputs(result));
}
gpuio_error_t gpuio_request_set_indices(gpuio_context_t ctx, gpuio_request_t request, const uint64_t*, size_t,
                                        size_t) {
  return unsupported("gpuio_request_set_indices", kLists, ctx, {request});
}
gpuio_error_t gpuio_request_set_atomic(gpuio_context_t ctx, gpuio_request_t request, uint64_t, uint64_t) {
  return unsupported("gpuio_request_set_atomic", kAtomics, ctx, {request});
}
gpuio_error_t gpuio_request_set_deadline(gpuio_context_t ctx, gpuio_request_t request, uint64_t) {
  return unsupported("gpuio_request_set_deadline", kScheduling, ctx, {request});
}
gpuio_error_t gpuio_request_modify(gpuio_context_t ctx, gpuio_request_t request, int, uint64_t) {
  return unsupported("gpuio_request_modify", kRequests, ctx, {request});
}
gpuio_error_t gpuio_request_set_progress_callback(gpuio_context_t ctx, gpuio_request_t request,
                                                  gpuio_progress_callback_t, void*) {
  return unsupported("gpuio_request_set_progress_callback", kRequests, ctx, {request});
}
gpuio_error_t gpuio_request_get_progress(gpuio_context_t ctx, gpuio_request_t request,
                                         gpuio_progress_t* progress) {
  return unsupported("gpuio_request_get_progress", kRequests, ctx, {request}, Outputs(progress));
}
gpuio_error_t gpuio_batch_submit(gpuio_context_t ctx, gpuio_batch_t* batch) {
  return unsupported("gpuio_batch_submit", kBatches, ctx, {batch});
}
gpuio_error_t gpuio_batch_wait(gpuio_context_t ctx, gpuio_batch_t* batch, uint64_t) {
  return unsupported("gpuio_batch_wait", kBatches, ctx, {batch});
}
gpuio_error_t gpuio_request_set_batch(gpuio_context_t ctx, gpuio_request_t request, const gpuio_batch_t*) {
  return unsupported("gpuio_request_set_batch", kBatches, ctx, {request});
}
gpuio_error_t gpuio_set_sched_policy(gpuio_context_t ctx, gpuio_sched_policy_t) {
  return unsupported("gpuio_set_sched_policy", kScheduling, ctx, {});
}
gpuio_error_t gpuio_set_retry_policy(gpuio_context_t ctx, const gpuio_retry_policy_t* policy) {
  return unsupported("gpuio_set_retry_policy", kRetry, ctx, {policy});
}
gpuio_error_t gpuio_retry_with_backoff(const gpuio_retry_policy_t* policy, gpuio_operation_fn_t operation,
                                       void*) {
  return unsupported("gpuio_retry_with_backoff", kRetry, {policy, operation ? policy : nullptr});
}
gpuio_error_t gpuio_get_stats(gpuio_context_t ctx, gpuio_stats_t* stats) {
  return unsupported("gpuio_get_stats", kStats, ctx, {}, Outputs(stats));
}
gpuio_error_t gpuio_reset_stats(gpuio_context_t ctx) {
  return unsupported("gpuio_reset_stats", kStats, ctx, {});
}

}  // extern "C"
