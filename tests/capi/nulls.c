// NULL where a handle or an output is needed is INVALID_ARG, destroying a NULL handle is SUCCESS, and a
// failed call clears its outputs: for every function of the headers (symbols.py holds the list to that).
#include "check.h"

#include <gpuio/gpuio_ai.h>
#include <gpuio/gpuio_kernel.h>
#include <gpuio/gpuio_ops.h>

#define BAD(call) CHECK_CODE(GPUIO_ERROR_INVALID_ARG, call)

static gpuio_context_t ctx;
static char junk[4096];  // a value that no output has after a failed call
#define JUNK(variable) memset(&(variable), 0x5a, sizeof(variable))

// The call fails with INVALID_ARG, and what it would have given is zero.
#define CLEARS(variable, call)                                                   \
  do {                                                                           \
    static const char zeros[sizeof(variable)];                                   \
    JUNK(variable);                                                              \
    BAD(call);                                                                   \
    if (memcmp(&(variable), zeros, sizeof(variable)) != 0) {                     \
      fprintf(stderr, "%s:%d: %s left its output\n", __FILE__, __LINE__, #call); \
      check_failed = 1;                                                          \
    }                                                                            \
  } while (0)

static gpuio_error_t never(void* user) {
  (void)user;
  return GPUIO_SUCCESS;
}

static void version_and_errors(void) {
  gpuio_get_version(NULL, NULL, NULL);
  CHECK(strcmp(gpuio_get_version_string(), "1.0.0") == 0);
  CHECK(gpuio_error_string((gpuio_error_t)12345) != NULL);
  CHECK(gpuio_last_error_message() != NULL);
  gpuio_log(GPUIO_LOG_INFO, NULL);
  gpuio_set_log_level((gpuio_log_level_t)-5);
  gpuio_set_log_level(GPUIO_LOG_WARN);
  CHECK(!gpuio_error_is_retryable((gpuio_error_t)12345));
}

static void contexts(void) {
  gpuio_config_t config;
  BAD(gpuio_init(NULL, NULL));
  BAD(gpuio_finalize(NULL));
  CLEARS(config, gpuio_get_config(NULL, &config));
  BAD(gpuio_get_config(ctx, NULL));
}

static void devices(void) {
  int count;
  gpuio_device_info_t info;
  CLEARS(count, gpuio_get_device_count(NULL, &count));
  BAD(gpuio_get_device_count(ctx, NULL));
  CLEARS(info, gpuio_get_device_info(NULL, 0, &info));
  BAD(gpuio_get_device_info(ctx, 0, NULL));
  int id;
  CLEARS(id, gpuio_find_device(NULL, "cpu", &id));
  CLEARS(id, gpuio_find_device(ctx, NULL, &id));
  BAD(gpuio_find_device(ctx, "cpu", NULL));
  BAD(gpuio_set_device(NULL, 0));
}

static void streams_and_events(void) {
  gpuio_stream_t stream;
  gpuio_event_t event;
  bool idle;
  float ms;
  CLEARS(stream, gpuio_stream_create(NULL, &stream, GPUIO_STREAM_DEFAULT));
  BAD(gpuio_stream_create(ctx, NULL, GPUIO_STREAM_DEFAULT));
  BAD(gpuio_stream_destroy(NULL, NULL));
  OK(gpuio_stream_destroy(ctx, NULL));
  BAD(gpuio_stream_synchronize(NULL, NULL));
  CLEARS(idle, gpuio_stream_query(NULL, NULL, &idle));
  BAD(gpuio_stream_query(ctx, NULL, NULL));
  CLEARS(event, gpuio_event_create(NULL, &event));
  BAD(gpuio_event_create(ctx, NULL));
  BAD(gpuio_event_destroy(NULL, NULL));
  OK(gpuio_event_destroy(ctx, NULL));
  BAD(gpuio_event_record(NULL, NULL, NULL));
  BAD(gpuio_event_record(ctx, NULL, NULL));
  BAD(gpuio_event_synchronize(NULL, NULL));
  BAD(gpuio_event_synchronize(ctx, NULL));
  CLEARS(ms, gpuio_event_elapsed_time(NULL, NULL, NULL, &ms));
  CLEARS(ms, gpuio_event_elapsed_time(ctx, NULL, NULL, &ms));
  BAD(gpuio_event_elapsed_time(ctx, NULL, NULL, NULL));
  bool complete;
  CLEARS(complete, gpuio_event_query(NULL, NULL, &complete));
  CLEARS(complete, gpuio_event_query(ctx, NULL, &complete));
  BAD(gpuio_event_query(ctx, NULL, NULL));
}

static void memory(void) {
  void* p;
  gpuio_memory_region_t region;
  CLEARS(p, gpuio_malloc(NULL, 1, &p));
  BAD(gpuio_malloc(ctx, 1, NULL));
  CLEARS(p, gpuio_malloc_pinned(NULL, 1, &p));
  BAD(gpuio_malloc_pinned(ctx, 1, NULL));
  CLEARS(p, gpuio_malloc_device(NULL, 1, &p));
  BAD(gpuio_malloc_device(ctx, 1, NULL));
  CLEARS(p, gpuio_malloc_unified(NULL, 1, &p));
  BAD(gpuio_malloc_unified(ctx, 1, NULL));
  BAD(gpuio_free(NULL, NULL));
  OK(gpuio_free(ctx, NULL));
  CLEARS(region, gpuio_register_memory(NULL, junk, 1, GPUIO_MEM_READ, &region));
  CLEARS(region, gpuio_register_memory(ctx, NULL, 1, GPUIO_MEM_READ, &region));
  BAD(gpuio_register_memory(ctx, junk, 1, GPUIO_MEM_READ, NULL));
  BAD(gpuio_unregister_memory(NULL, NULL));
  BAD(gpuio_unregister_memory(ctx, NULL));
  BAD(gpuio_memcpy(NULL, junk, junk + 1, 1, NULL));
  BAD(gpuio_memcpy(ctx, NULL, junk, 1, NULL));
  BAD(gpuio_memcpy(ctx, junk, NULL, 1, NULL));
  BAD(gpuio_memcpy_async(NULL, junk, junk + 1, 1, NULL));
  BAD(gpuio_memcpy_async(ctx, NULL, junk, 1, NULL));
  BAD(gpuio_memcpy_async(ctx, junk, NULL, 1, NULL));
  BAD(gpuio_adopt_device_memory(NULL, junk, 1));
  BAD(gpuio_adopt_device_memory(ctx, NULL, 1));
  BAD(gpuio_memset_async(NULL, junk, 0, 1, NULL));
  BAD(gpuio_memset_async(ctx, NULL, 0, 1, NULL));
}

static void handles(void) {
  gpuio_handle_t handle;
  gpuio_handle_info_t info;
  gpuio_memory_region_t region;
  CLEARS(handle, gpuio_open(NULL, "mem://a?size=1", GPUIO_OPEN_READ, &handle));
  CLEARS(handle, gpuio_open(ctx, NULL, GPUIO_OPEN_READ, &handle));
  BAD(gpuio_open(ctx, "mem://a?size=1", GPUIO_OPEN_READ, NULL));
  BAD(gpuio_close(NULL, NULL));
  OK(gpuio_close(ctx, NULL));
  CLEARS(info, gpuio_handle_info(NULL, NULL, &info));
  CLEARS(info, gpuio_handle_info(ctx, NULL, &info));
  BAD(gpuio_handle_info(ctx, NULL, NULL));
  CLEARS(region, gpuio_handle_region(NULL, NULL, 0, 1, GPUIO_MEM_READ, &region));
  CLEARS(region, gpuio_handle_region(ctx, NULL, 0, 1, GPUIO_MEM_READ, &region));
  BAD(gpuio_handle_region(ctx, NULL, 0, 1, GPUIO_MEM_READ, NULL));
}

static void requests(void) {
  gpuio_request_params_t params = {.length = 1};
  gpuio_request_t request;
  gpuio_request_status_t status;
  gpuio_request_result_t result;
  gpuio_progress_t progress;
  uint64_t index = 0;
  CLEARS(request, gpuio_request_create(NULL, &params, &request));
  CLEARS(request, gpuio_request_create(ctx, NULL, &request));
  CLEARS(request, gpuio_request_create(ctx, &params, &request));  // no regions
  BAD(gpuio_request_create(ctx, &params, NULL));
  BAD(gpuio_request_destroy(NULL, NULL));
  OK(gpuio_request_destroy(ctx, NULL));
  BAD(gpuio_request_submit(NULL, NULL));
  BAD(gpuio_request_submit(ctx, NULL));
  BAD(gpuio_request_wait(NULL, NULL, 0));
  BAD(gpuio_request_wait(ctx, NULL, 0));
  BAD(gpuio_request_cancel(NULL, NULL));
  BAD(gpuio_request_cancel(ctx, NULL));
  CLEARS(status, gpuio_request_get_status(NULL, NULL, &status));
  CLEARS(status, gpuio_request_get_status(ctx, NULL, &status));
  BAD(gpuio_request_get_status(ctx, NULL, NULL));
  CLEARS(result, gpuio_request_get_result(NULL, NULL, &result));
  CLEARS(result, gpuio_request_get_result(ctx, NULL, &result));
  BAD(gpuio_request_get_result(ctx, NULL, NULL));
  BAD(gpuio_request_set_indices(NULL, NULL, &index, 1, 4));
  BAD(gpuio_request_set_indices(ctx, NULL, &index, 1, 4));
  BAD(gpuio_request_set_atomic(NULL, NULL, 1, 1));
  BAD(gpuio_request_set_atomic(ctx, NULL, 1, 1));
  BAD(gpuio_request_set_deadline(NULL, NULL, 1));
  BAD(gpuio_request_set_deadline(ctx, NULL, 1));
  BAD(gpuio_request_modify(NULL, NULL, 0, 0));
  BAD(gpuio_request_modify(ctx, NULL, 0, 0));
  BAD(gpuio_request_set_progress_callback(NULL, NULL, NULL, NULL));
  BAD(gpuio_request_set_progress_callback(ctx, NULL, NULL, NULL));
  CLEARS(progress, gpuio_request_get_progress(NULL, NULL, &progress));
  CLEARS(progress, gpuio_request_get_progress(ctx, NULL, &progress));
  BAD(gpuio_request_get_progress(ctx, NULL, NULL));
}

static void batches(void) {
  gpuio_batch_t batch = {.num_requests = 0};
  BAD(gpuio_batch_submit(NULL, &batch));
  BAD(gpuio_batch_submit(ctx, NULL));
  BAD(gpuio_batch_wait(NULL, &batch, 0));
  BAD(gpuio_batch_wait(ctx, NULL, 0));
  BAD(gpuio_request_set_batch(NULL, NULL, &batch));
  BAD(gpuio_request_set_batch(ctx, NULL, &batch));
}

static void proxies(void) {
  gpuio_proxy_t proxy;
  gpuio_proxy_stats_t stats;
  void* p;
  CLEARS(proxy, gpuio_proxy_create(NULL, "mem://a?size=1", 1, &proxy));
  CLEARS(proxy, gpuio_proxy_create(ctx, NULL, 1, &proxy));
  BAD(gpuio_proxy_create(ctx, "mem://a?size=1", 1, NULL));
  BAD(gpuio_proxy_destroy(NULL, NULL));
  OK(gpuio_proxy_destroy(ctx, NULL));
  CLEARS(p, gpuio_proxy_map(NULL, NULL, &p));
  CLEARS(p, gpuio_proxy_map(ctx, NULL, &p));
  BAD(gpuio_proxy_map(ctx, NULL, NULL));
  BAD(gpuio_proxy_unmap(NULL, NULL));
  BAD(gpuio_proxy_unmap(ctx, NULL));
  BAD(gpuio_proxy_prefetch(NULL, NULL, 0, 1, NULL));
  BAD(gpuio_proxy_prefetch(ctx, NULL, 0, 1, NULL));
  BAD(gpuio_proxy_set_cache_policy(NULL, NULL, GPUIO_CACHE_LRU));
  BAD(gpuio_proxy_set_cache_policy(ctx, NULL, GPUIO_CACHE_LRU));
  BAD(gpuio_proxy_flush(NULL, NULL));
  BAD(gpuio_proxy_flush(ctx, NULL));
  BAD(gpuio_proxy_read(NULL, NULL, 0, junk, 1));
  BAD(gpuio_proxy_read(ctx, NULL, 0, junk, 1));
  CLEARS(stats, gpuio_proxy_get_stats(NULL, NULL, &stats));
  CLEARS(stats, gpuio_proxy_get_stats(ctx, NULL, &stats));
  BAD(gpuio_proxy_get_stats(ctx, NULL, NULL));
}

static void kernels(void) {
  gpuio_kernel_t kernel;
  gpuio_launch_report_t report;
  const uint32_t groups[3] = {1, 1, 1};
  CLEARS(kernel, gpuio_kernel_load(NULL, junk, 1, &kernel));
  CLEARS(kernel, gpuio_kernel_load(ctx, NULL, 1, &kernel));
  BAD(gpuio_kernel_load(ctx, junk, 1, NULL));
  BAD(gpuio_kernel_destroy(NULL, NULL));
  OK(gpuio_kernel_destroy(ctx, NULL));
  BAD(gpuio_kernel_set_native(NULL, NULL, NULL));
  BAD(gpuio_kernel_set_native(ctx, NULL, NULL));
  BAD(gpuio_kernel_launch(NULL, NULL, groups, NULL, 0, NULL));
  BAD(gpuio_kernel_launch(ctx, NULL, groups, NULL, 0, NULL));
  CLEARS(report, gpuio_kernel_run(NULL, NULL, groups, NULL, 0, NULL, NULL, &report));
  CLEARS(report, gpuio_kernel_run(ctx, NULL, groups, NULL, 0, NULL, NULL, &report));
  gpuio_kernel_options_t options = {.format = GPUIO_FORMAT_SPIRV};
  gpuio_kernel_info_t info;
  gpuio_kernel_parameter_t parameter;
  CLEARS(kernel, gpuio_kernel_load_format(NULL, junk, 1, &options, &kernel));
  CLEARS(kernel, gpuio_kernel_load_format(ctx, NULL, 1, &options, &kernel));
  CLEARS(kernel, gpuio_kernel_load_format(ctx, junk, 1, NULL, &kernel));
  options.num_constants = 1;
  CLEARS(kernel, gpuio_kernel_load_format(ctx, junk, 1, &options, &kernel));
  BAD(gpuio_kernel_load_format(ctx, junk, 1, NULL, NULL));
  CLEARS(info, gpuio_kernel_get_info(NULL, NULL, &info));
  CLEARS(info, gpuio_kernel_get_info(ctx, NULL, &info));
  BAD(gpuio_kernel_get_info(ctx, NULL, NULL));
  CLEARS(parameter, gpuio_kernel_get_parameter(NULL, NULL, 0, &parameter));
  CLEARS(parameter, gpuio_kernel_get_parameter(ctx, NULL, 0, &parameter));
  BAD(gpuio_kernel_get_parameter(ctx, NULL, 0, NULL));
  BAD(gpuio_kernel_cancel(NULL, NULL));
  BAD(gpuio_kernel_cancel(ctx, NULL));
}

static void operations(void) {
  float data[4] = {0};
  const gpuio_tensor_t good = {.data = data, .rank = 2, .shape = {2, 2}}, *t = &good;
  char chosen[64];
  CHECK(strcmp(gpuio_dtype_name((gpuio_dtype_t)-1), "?") == 0 &&
        strcmp(gpuio_dtype_name((gpuio_dtype_t)12), "?") == 0);
  BAD(gpuio_matmul(NULL, t, t, t, NULL, NULL));
  BAD(gpuio_matmul(ctx, NULL, t, t, NULL, NULL));
  BAD(gpuio_matmul(ctx, t, NULL, t, NULL, NULL));
  BAD(gpuio_matmul(ctx, t, t, NULL, NULL, NULL));
  BAD(gpuio_qkv(NULL, t, t, t, t, t, t, t, NULL, NULL));
  BAD(gpuio_qkv(ctx, NULL, t, t, t, t, t, t, NULL, NULL));
  BAD(gpuio_qkv(ctx, t, t, t, t, t, t, NULL, NULL, NULL));
  BAD(gpuio_attention(NULL, t, t, t, t, NULL, NULL));
  BAD(gpuio_attention(ctx, NULL, t, t, t, NULL, NULL));
  BAD(gpuio_attention(ctx, t, t, t, NULL, NULL, NULL));
  BAD(gpuio_softmax(NULL, t, t, NULL));
  BAD(gpuio_softmax(ctx, NULL, t, NULL));
  BAD(gpuio_softmax(ctx, t, NULL, NULL));
  BAD(gpuio_layer_norm(NULL, t, NULL, NULL, 0, t, NULL));
  BAD(gpuio_layer_norm(ctx, NULL, NULL, NULL, 0, t, NULL));
  BAD(gpuio_layer_norm(ctx, t, NULL, NULL, 0, NULL, NULL));
  BAD(gpuio_rms_norm(NULL, t, NULL, 0, t, NULL));
  BAD(gpuio_rms_norm(ctx, NULL, NULL, 0, t, NULL));
  BAD(gpuio_rms_norm(ctx, t, NULL, 0, NULL, NULL));
  BAD(gpuio_reduce(NULL, t, GPUIO_REDUCE_ADD, t, NULL));
  BAD(gpuio_reduce(ctx, NULL, GPUIO_REDUCE_ADD, t, NULL));
  BAD(gpuio_reduce(ctx, t, GPUIO_REDUCE_ADD, NULL, NULL));
  BAD(gpuio_scan(NULL, t, GPUIO_REDUCE_ADD, false, t, NULL));
  BAD(gpuio_scan(ctx, NULL, GPUIO_REDUCE_ADD, false, t, NULL));
  BAD(gpuio_scan(ctx, t, GPUIO_REDUCE_ADD, false, NULL, NULL));
  BAD(gpuio_top_k(NULL, t, NULL, t, NULL));
  BAD(gpuio_top_k(ctx, NULL, NULL, t, NULL));
  BAD(gpuio_top_k(ctx, t, NULL, NULL, NULL));
  BAD(gpuio_gather_rows(NULL, t, t, t, NULL));
  BAD(gpuio_gather_rows(ctx, NULL, t, t, NULL));
  BAD(gpuio_gather_rows(ctx, t, NULL, t, NULL));
  BAD(gpuio_gather_rows(ctx, t, t, NULL, NULL));
  BAD(gpuio_scatter_rows(NULL, t, t, t, NULL));
  BAD(gpuio_scatter_rows(ctx, NULL, t, t, NULL));
  BAD(gpuio_scatter_rows(ctx, t, NULL, t, NULL));
  BAD(gpuio_scatter_rows(ctx, t, t, NULL, NULL));
  BAD(gpuio_quantize(NULL, t, GPUIO_SCALE_ROW, t, t, NULL));
  BAD(gpuio_quantize(ctx, NULL, GPUIO_SCALE_ROW, t, t, NULL));
  BAD(gpuio_quantize(ctx, t, GPUIO_SCALE_ROW, NULL, t, NULL));
  BAD(gpuio_quantize(ctx, t, GPUIO_SCALE_ROW, t, NULL, NULL));
  BAD(gpuio_dequantize(NULL, t, t, GPUIO_SCALE_ROW, t, NULL));
  BAD(gpuio_dequantize(ctx, NULL, t, GPUIO_SCALE_ROW, t, NULL));
  BAD(gpuio_dequantize(ctx, t, NULL, GPUIO_SCALE_ROW, t, NULL));
  BAD(gpuio_dequantize(ctx, t, t, GPUIO_SCALE_ROW, NULL, NULL));
  BAD(gpuio_histogram(NULL, t, t, NULL));
  BAD(gpuio_histogram(ctx, NULL, t, NULL));
  BAD(gpuio_histogram(ctx, t, NULL, NULL));
  BAD(gpuio_random(NULL, GPUIO_RANDOM_BITS, 0, 0, t, NULL));
  BAD(gpuio_random(ctx, GPUIO_RANDOM_BITS, 0, 0, NULL, NULL));
  BAD(gpuio_tune_matmul(NULL, t, t, t, NULL, 0, chosen, NULL));
  BAD(gpuio_tune_matmul(ctx, NULL, t, t, NULL, 0, chosen, NULL));
  BAD(gpuio_tune_matmul(ctx, t, t, NULL, NULL, 0, NULL, NULL));
}

static void policies_and_statistics(void) {
  gpuio_retry_policy_t policy = {.max_retries = 0};
  gpuio_stats_t stats;
  BAD(gpuio_set_sched_policy(NULL, GPUIO_SCHED_FIFO));
  BAD(gpuio_set_retry_policy(NULL, &policy));
  BAD(gpuio_set_retry_policy(ctx, NULL));
  BAD(gpuio_retry_with_backoff(NULL, never, NULL));
  BAD(gpuio_retry_with_backoff(&policy, NULL, NULL));
  CLEARS(stats, gpuio_get_stats(NULL, &stats));
  BAD(gpuio_get_stats(ctx, NULL));
  BAD(gpuio_reset_stats(NULL));
}

static void kv_cache(void) {
  gpuio_ai_config_t config = {.num_layers = 1};
  gpuio_ai_context_t ai;
  gpuio_inference_qos_t qos = {.deadline_us = 1};
  gpuio_scheduler_t scheduler;
  CLEARS(ai, gpuio_ai_context_create(NULL, &config, &ai));
  BAD(gpuio_ai_context_create(ctx, &config, NULL));
  OK(gpuio_ai_context_destroy(NULL));
  OK(gpuio_ai_free(NULL));
  BAD(gpuio_request_set_qos(NULL, NULL, &qos));
  BAD(gpuio_request_set_qos(ctx, NULL, &qos));
  CLEARS(scheduler, gpuio_get_scheduler(NULL, &scheduler));
  BAD(gpuio_get_scheduler(ctx, NULL));

  gpuio_dsa_kv_config_t tiers = {.hbm_capacity = 1};
  gpuio_dsa_kv_pool_t pool;
  gpuio_dsa_kv_entry_t entry, entries[3];
  gpuio_dsa_kv_metadata_t metadata;
  gpuio_dsa_kv_stats_t stats;
  uint64_t positions[3] = {0};
  uint32_t ids[3] = {0};
  void* data;
  size_t size;
  CLEARS(pool, gpuio_dsa_kv_pool_create(NULL, &tiers, &pool));
  BAD(gpuio_dsa_kv_pool_create(NULL, &tiers, NULL));
  OK(gpuio_dsa_kv_pool_destroy(NULL));
  BAD(gpuio_dsa_kv_pool_reset(NULL));
  CLEARS(entry, gpuio_dsa_kv_load(NULL, 0, 0, 0, NULL, &entry));
  BAD(gpuio_dsa_kv_store(NULL, 0, 0, 0, junk, 1, 0.f, NULL));
  CLEARS(data, gpuio_dsa_kv_get_data(NULL, &data, &size));
  CLEARS(size, gpuio_dsa_kv_get_data(NULL, &data, &size));
  CLEARS(metadata, gpuio_dsa_kv_get_metadata(NULL, &metadata));
  BAD(gpuio_dsa_kv_release(NULL));
  CLEARS(entries, gpuio_dsa_kv_load_batch(NULL, positions, ids, ids, 3, NULL, entries));
  BAD(gpuio_dsa_kv_set_sparsity_pattern(NULL, 0, 1));
  BAD(gpuio_dsa_kv_compact(NULL, NULL));
  BAD(gpuio_evict_by_importance(NULL, 1, 0.f));
  CLEARS(stats, gpuio_dsa_kv_get_stats(NULL, &stats));
  CLEARS(size, gpuio_compress_kv(NULL, NULL, 1, junk, &size, GPUIO_KV_COMPRESS_NONE));
  BAD(gpuio_compress_kv(NULL, junk, 1, junk, NULL, GPUIO_KV_COMPRESS_NONE));
  CLEARS(size, gpuio_decompress_kv(NULL, NULL, 1, junk, &size));
  BAD(gpuio_decompress_kv(NULL, junk, 1, junk, NULL));
}

static void graphs(void) {
  gpuio_graph_index_t index;
  gpuio_graph_storage_t storage;
  gpuio_graph_node_t node = {.node_id = 1}, *nodes;
  gpuio_scatter_params_t scatter = {.top_k = 1};
  gpuio_gather_params_t gather = {.hop_depth = 1};
  gpuio_graph_rag_request_t request = {.subgraph_size = 1};
  gpuio_graph_rag_request_handle_t handle;
  uint64_t root = 1, *ids;
  int n;
  CLEARS(index, gpuio_graph_index_create(NULL, "/nowhere", &index));
  OK(gpuio_graph_index_destroy(NULL));
  BAD(gpuio_graph_index_add_nodes(NULL, &node, 1, NULL));
  CLEARS(storage, gpuio_graph_storage_create(NULL, "mem://a?size=1", &storage));
  OK(gpuio_graph_storage_destroy(NULL));
  CLEARS(ids, gpuio_graph_rag_scatter(NULL, &scatter, NULL, &ids, &n));
  CLEARS(n, gpuio_graph_rag_scatter(NULL, &scatter, NULL, &ids, &n));
  CLEARS(nodes, gpuio_graph_rag_gather(NULL, &root, 1, &gather, NULL, &nodes, &n));
  CLEARS(n, gpuio_graph_rag_gather(NULL, &root, 1, &gather, NULL, &nodes, &n));
  CLEARS(handle, gpuio_graph_rag_query(NULL, NULL, &request, &handle));
  BAD(gpuio_graph_rag_wait(NULL, 0));
}

static void engrams(void) {
  gpuio_engram_config_t config = {.hbm_capacity = 1};
  gpuio_engram_pool_t pool;
  gpuio_engram_t engram = {.engram_id = 1};
  gpuio_engram_handle_t handle, handles[3], *flat;
  gpuio_engram_stats_t stats;
  gpuio_dsa_router_t router;
  float query[2] = {0};
  const float* queries[1] = {query};
  uint64_t token = 1;
  int n, *counts;
  void* data;
  size_t size;
  CLEARS(pool, gpuio_engram_pool_create(NULL, &config, &pool));
  OK(gpuio_engram_pool_destroy(NULL));
  BAD(gpuio_engram_write(NULL, &engram, NULL));
  BAD(gpuio_engram_write_batch(NULL, &engram, 1, NULL));
  BAD(gpuio_engram_write_with(NULL, &engram, GPUIO_WRITE_SYNC, GPUIO_ENGRAM_COMPRESS_NONE, NULL));
  CLEARS(handle, gpuio_engram_read(NULL, 1, NULL, &handle));
  CLEARS(handles, gpuio_engram_query(NULL, query, 0.f, 3, NULL, handles, &n));
  CLEARS(n, gpuio_engram_query(NULL, query, 0.f, 3, NULL, handles, &n));
  CLEARS(flat, gpuio_engram_query_batch(NULL, queries, 1, 3, NULL, &flat, &counts));
  CLEARS(counts, gpuio_engram_query_batch(NULL, queries, 1, 3, NULL, &flat, &counts));
  CLEARS(data, gpuio_engram_get_data(NULL, &data, &size));
  CLEARS(size, gpuio_engram_get_data(NULL, &data, &size));
  BAD(gpuio_engram_release(NULL));
  BAD(gpuio_engram_invalidate(NULL, 1, 1));
  BAD(gpuio_engram_sync(NULL, NULL));
  CLEARS(stats, gpuio_engram_get_stats(NULL, &stats));
  CLEARS(router, gpuio_engram_get_router(NULL, &router));
  BAD(gpuio_schedule_engram_prefetch(NULL, NULL, &token, 1));
}

static void steps_and_codecs(void) {
  gpuio_inference_params_t inference = {.input_size = 1};
  gpuio_inference_result_t inferred;
  gpuio_training_params_t training = {.num_inputs = 1};
  gpuio_training_result_t trained;
  CLEARS(inferred, gpuio_ai_inference(NULL, &inference, &inferred));
  CLEARS(trained, gpuio_ai_training_step(NULL, &training, &trained));
  BAD(gpuio_ai_checkpoint_save(NULL, "/nowhere", false, NULL));
  BAD(gpuio_ai_checkpoint_load(NULL, "/nowhere", NULL));

  gpuio_codec_t codec;
  gpuio_codec_callbacks_t callbacks = {.user_data = NULL};
  size_t size;
  CLEARS(codec, gpuio_codec_create(NULL, GPUIO_CODEC_LZ4, 1, &codec));
  BAD(gpuio_codec_create(ctx, GPUIO_CODEC_LZ4, 1, NULL));
  CLEARS(codec, gpuio_codec_create_custom(NULL, &callbacks, &codec));
  BAD(gpuio_codec_create_custom(ctx, &callbacks, NULL));
  OK(gpuio_codec_destroy(NULL));
  CLEARS(size, gpuio_compress_bound(NULL, 1, &size));
  CLEARS(size, gpuio_compress(NULL, junk, 1, junk, 1, &size, NULL));
  CLEARS(size, gpuio_decompress(NULL, junk, 1, junk, 1, &size, NULL));
  BAD(gpuio_transfer_compressed(NULL, NULL));
}

int main(void) {
  NEED(gpuio_init(&ctx, NULL));
  RUN(version_and_errors);
  RUN(contexts);
  RUN(devices);
  RUN(streams_and_events);
  RUN(memory);
  RUN(handles);
  RUN(requests);
  RUN(batches);
  RUN(proxies);
  RUN(kernels);
  RUN(operations);
  RUN(policies_and_statistics);
  RUN(kv_cache);
  RUN(graphs);
  RUN(engrams);
  RUN(steps_and_codecs);
  OK(gpuio_finalize(ctx));
  return check_failed;
}
