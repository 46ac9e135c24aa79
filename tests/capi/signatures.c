// The functions as clients call them: every argument in its order, with its type. C only: it needs _Generic.
#include <assert.h>
#include <gpuio/gpuio.h>
#include <gpuio/gpuio_ai.h>
#include <gpuio/gpuio_kernel.h>
#include <gpuio/gpuio_ops.h>

#define RETURNS(type, name, ...) \
  static_assert(_Generic(&gpuio_##name, type(*)(__VA_ARGS__): 1, default: 0), "gpuio_" #name)
#define CALL(name, ...) RETURNS(gpuio_error_t, name, __VA_ARGS__)

// clang-format off
typedef gpuio_context_t ctx;
typedef gpuio_stream_t stream;
typedef gpuio_ai_context_t ai;

RETURNS(const char*, error_string, gpuio_error_t);
RETURNS(const char*, last_error_message, void);
RETURNS(void, set_log_level, gpuio_log_level_t);
RETURNS(void, log, gpuio_log_level_t, const char*, ...);
RETURNS(void, get_version, int*, int*, int*);
RETURNS(const char*, get_version_string, void);
CALL(init, ctx*, const gpuio_config_t*);
CALL(finalize, ctx);
CALL(get_config, ctx, gpuio_config_t*);
CALL(get_device_count, ctx, int*);
CALL(get_device_info, ctx, int, gpuio_device_info_t*);
CALL(set_device, ctx, int);
CALL(find_device, ctx, const char*, int*);
CALL(stream_create, ctx, stream*, gpuio_stream_priority_t);
CALL(stream_destroy, ctx, stream);
CALL(stream_synchronize, ctx, stream);
CALL(stream_query, ctx, stream, bool*);
CALL(event_create, ctx, gpuio_event_t*);
CALL(event_destroy, ctx, gpuio_event_t);
CALL(event_record, ctx, gpuio_event_t, stream);
CALL(event_synchronize, ctx, gpuio_event_t);
CALL(event_query, ctx, gpuio_event_t, bool*);
CALL(event_elapsed_time, ctx, gpuio_event_t, gpuio_event_t, float*);
CALL(malloc, ctx, size_t, void**);
CALL(malloc_pinned, ctx, size_t, void**);
CALL(malloc_device, ctx, size_t, void**);
CALL(malloc_unified, ctx, size_t, void**);
CALL(free, ctx, void*);
CALL(register_memory, ctx, void*, size_t, gpuio_mem_access_t, gpuio_memory_region_t*);
CALL(unregister_memory, ctx, gpuio_memory_region_t*);
CALL(memcpy, ctx, void*, const void*, size_t, stream);
CALL(memcpy_async, ctx, void*, const void*, size_t, stream);
CALL(open, ctx, const char*, uint32_t, gpuio_handle_t*);
CALL(close, ctx, gpuio_handle_t);
CALL(handle_info, ctx, gpuio_handle_t, gpuio_handle_info_t*);
CALL(handle_region, ctx, gpuio_handle_t, uint64_t, size_t, gpuio_mem_access_t, gpuio_memory_region_t*);
CALL(request_create, ctx, const gpuio_request_params_t*, gpuio_request_t*);
CALL(request_destroy, ctx, gpuio_request_t);
CALL(request_submit, ctx, gpuio_request_t);
CALL(request_wait, ctx, gpuio_request_t, uint64_t);
CALL(request_cancel, ctx, gpuio_request_t);
CALL(request_get_status, ctx, gpuio_request_t, gpuio_request_status_t*);
CALL(request_get_result, ctx, gpuio_request_t, gpuio_request_result_t*);
CALL(request_modify, ctx, gpuio_request_t, int, uint64_t);
CALL(batch_submit, ctx, gpuio_batch_t*);
CALL(batch_wait, ctx, gpuio_batch_t*, uint64_t);
CALL(request_set_progress_callback, ctx, gpuio_request_t, gpuio_progress_callback_t, void*);
CALL(request_get_progress, ctx, gpuio_request_t, gpuio_progress_t*);
CALL(proxy_create, ctx, const char*, size_t, gpuio_proxy_t*);
CALL(proxy_destroy, ctx, gpuio_proxy_t);
CALL(proxy_map, ctx, gpuio_proxy_t, void**);
CALL(proxy_unmap, ctx, gpuio_proxy_t);
CALL(proxy_prefetch, ctx, gpuio_proxy_t, uint64_t, size_t, stream);
CALL(proxy_read, ctx, gpuio_proxy_t, uint64_t, void*, size_t);
CALL(proxy_set_cache_policy, ctx, gpuio_proxy_t, gpuio_cache_policy_t);
CALL(kernel_load, ctx, const void*, size_t, gpuio_kernel_t*);
CALL(kernel_destroy, ctx, gpuio_kernel_t);
CALL(kernel_set_native, ctx, gpuio_kernel_t, gpuio_native_fn_t);
CALL(kernel_launch, ctx, gpuio_kernel_t, const uint32_t*, const gpuio_argument_t*, int, stream);
CALL(kernel_run, ctx, gpuio_kernel_t, const uint32_t*, const gpuio_argument_t*, int, stream,
     const gpuio_launch_options_t*, gpuio_launch_report_t*);
CALL(kernel_cancel, ctx, gpuio_kernel_t);
CALL(kernel_load_format, ctx, const void*, size_t, const gpuio_kernel_options_t*, gpuio_kernel_t*);
CALL(kernel_get_info, ctx, gpuio_kernel_t, gpuio_kernel_info_t*);
CALL(kernel_get_parameter, ctx, gpuio_kernel_t, int, gpuio_kernel_parameter_t*);
CALL(adopt_device_memory, ctx, void*, size_t);
CALL(memset_async, ctx, void*, uint8_t, size_t, stream);
CALL(get_stats, ctx, gpuio_stats_t*);
CALL(reset_stats, ctx);
RETURNS(bool, error_is_retryable, gpuio_error_t);
CALL(retry_with_backoff, const gpuio_retry_policy_t*, gpuio_operation_fn_t, void*);
static_assert(_Generic((gpuio_callback_t)0, void (*)(gpuio_request_t, gpuio_error_t, void*): 1, default: 0), "callback");
static_assert(_Generic((gpuio_progress_callback_t)0, void (*)(const gpuio_progress_t*, void*): 1, default: 0), "progress");

CALL(ai_context_create, ctx, const gpuio_ai_config_t*, ai*);
CALL(ai_context_destroy, ai);
CALL(dsa_kv_pool_create, ai, const gpuio_dsa_kv_config_t*, gpuio_dsa_kv_pool_t*);
CALL(dsa_kv_pool_destroy, gpuio_dsa_kv_pool_t);
CALL(dsa_kv_pool_reset, gpuio_dsa_kv_pool_t);
CALL(dsa_kv_load, gpuio_dsa_kv_pool_t, uint64_t, uint32_t, uint32_t, stream, gpuio_dsa_kv_entry_t*);
CALL(dsa_kv_store, gpuio_dsa_kv_pool_t, uint64_t, uint32_t, uint32_t, const void*, size_t, float, stream);
CALL(dsa_kv_get_data, gpuio_dsa_kv_entry_t, void**, size_t*);
CALL(dsa_kv_release, gpuio_dsa_kv_entry_t);
CALL(dsa_kv_load_batch, gpuio_dsa_kv_pool_t, uint64_t*, uint32_t*, uint32_t*, int, stream, gpuio_dsa_kv_entry_t*);
CALL(dsa_kv_set_sparsity_pattern, gpuio_dsa_kv_pool_t, uint32_t, uint32_t);
CALL(dsa_kv_compact, gpuio_dsa_kv_pool_t, stream);
CALL(dsa_kv_get_stats, gpuio_dsa_kv_pool_t, gpuio_dsa_kv_stats_t*);
CALL(evict_by_importance, gpuio_dsa_kv_pool_t, size_t, float);
CALL(graph_index_create, ai, const char*, gpuio_graph_index_t*);
CALL(graph_index_destroy, gpuio_graph_index_t);
CALL(graph_index_add_nodes, gpuio_graph_index_t, const gpuio_graph_node_t*, int, stream);
CALL(graph_rag_scatter, gpuio_graph_index_t, const gpuio_scatter_params_t*, stream, uint64_t**, int*);
CALL(graph_rag_gather, gpuio_graph_storage_t, const uint64_t*, int, const gpuio_gather_params_t*, stream,
     gpuio_graph_node_t**, int*);
CALL(graph_rag_query, gpuio_graph_index_t, gpuio_graph_storage_t, const gpuio_graph_rag_request_t*,
     gpuio_graph_rag_request_handle_t*);
CALL(graph_rag_wait, gpuio_graph_rag_request_handle_t, uint64_t);
CALL(graph_storage_create, ai, const char*, gpuio_graph_storage_t*);
CALL(graph_storage_destroy, gpuio_graph_storage_t);
CALL(engram_pool_create, ai, const gpuio_engram_config_t*, gpuio_engram_pool_t*);
CALL(engram_pool_destroy, gpuio_engram_pool_t);
CALL(engram_write, gpuio_engram_pool_t, const gpuio_engram_t*, stream);
CALL(engram_read, gpuio_engram_pool_t, uint64_t, stream, gpuio_engram_handle_t*);
CALL(engram_query, gpuio_engram_pool_t, const float*, float, int, stream, gpuio_engram_handle_t*, int*);
CALL(engram_get_data, gpuio_engram_handle_t, void**, size_t*);
CALL(engram_release, gpuio_engram_handle_t);
CALL(engram_write_batch, gpuio_engram_pool_t, const gpuio_engram_t*, int, stream);
CALL(engram_query_batch, gpuio_engram_pool_t, const float**, int, int, stream, gpuio_engram_handle_t**, int**);
CALL(engram_invalidate, gpuio_engram_pool_t, uint64_t, uint64_t);
CALL(engram_sync, gpuio_engram_pool_t, stream);
CALL(engram_get_stats, gpuio_engram_pool_t, gpuio_engram_stats_t*);
CALL(ai_inference, ai, const gpuio_inference_params_t*, gpuio_inference_result_t*);
CALL(ai_training_step, ai, const gpuio_training_params_t*, gpuio_training_result_t*);
CALL(ai_checkpoint_save, ai, const char*, bool, stream);
CALL(ai_checkpoint_load, ai, const char*, stream);
CALL(codec_create, ctx, gpuio_codec_type_t, int, gpuio_codec_t*);
CALL(codec_destroy, gpuio_codec_t);
CALL(compress, gpuio_codec_t, const void*, size_t, void*, size_t, size_t*, stream);
CALL(decompress, gpuio_codec_t, const void*, size_t, void*, size_t, size_t*, stream);
CALL(transfer_compressed, gpuio_request_t, gpuio_codec_t);
