// Everything of gpuio_ai.h: not built yet, and each call says so by name. Handles and outputs are treated as
// they will be then.

#include <gpuio/gpuio_ai.h>

#include "capi/context.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace {

constexpr const char* kModels = "memory systems for models (gpuio_ai.h)";
constexpr const char* kKv = "KV cache";
constexpr const char* kGraph = "graphs";
constexpr const char* kEngram = "engrams";
constexpr const char* kSteps = "steps of models";
constexpr const char* kCodec = "codecs";
constexpr const char* kScheduling = "scheduling by deadline or urgency";

template <class Handle>
void clear_array(Handle* handles, int n) {
  for (int i = 0; handles && i < n; ++i) handles[i] = nullptr;
}

}  // namespace

extern "C" {

gpuio_error_t gpuio_ai_context_create(gpuio_context_t ctx, const gpuio_ai_config_t*, gpuio_ai_context_t* ai) {
  return unsupported("gpuio_ai_context_create", kModels, ctx, {}, Outputs(ai));
}
gpuio_error_t gpuio_ai_context_destroy(gpuio_ai_context_t ai) {
  return guard("gpuio_ai_context_destroy", [&] { return ai ? not_built(kModels) : Status(); });
}
gpuio_error_t gpuio_ai_free(void* array) {
  return guard("gpuio_ai_free", [&] { return array ? not_built(kModels) : Status(); });
}
gpuio_error_t gpuio_request_set_qos(gpuio_context_t ctx, gpuio_request_t request,
                                    const gpuio_inference_qos_t*) {
  return unsupported("gpuio_request_set_qos", kScheduling, ctx, {request});
}
gpuio_error_t gpuio_get_scheduler(gpuio_context_t ctx, gpuio_scheduler_t* scheduler) {
  return unsupported("gpuio_get_scheduler", kScheduling, ctx, {}, Outputs(scheduler));
}
gpuio_error_t gpuio_dsa_kv_pool_create(gpuio_ai_context_t ai, const gpuio_dsa_kv_config_t*,
                                       gpuio_dsa_kv_pool_t* pool) {
  return unsupported("gpuio_dsa_kv_pool_create", kKv, {ai}, Outputs(pool));
}
gpuio_error_t gpuio_dsa_kv_pool_destroy(gpuio_dsa_kv_pool_t pool) {
  return guard("gpuio_dsa_kv_pool_destroy", [&] { return pool ? not_built(kKv) : Status(); });
}
gpuio_error_t gpuio_dsa_kv_pool_reset(gpuio_dsa_kv_pool_t pool) {
  return unsupported("gpuio_dsa_kv_pool_reset", kKv, {pool});
}
gpuio_error_t gpuio_dsa_kv_load(gpuio_dsa_kv_pool_t pool, uint64_t, uint32_t, uint32_t, gpuio_stream_t,
                                gpuio_dsa_kv_entry_t* entry) {
  return unsupported("gpuio_dsa_kv_load", kKv, {pool}, Outputs(entry));
}
gpuio_error_t gpuio_dsa_kv_store(gpuio_dsa_kv_pool_t pool, uint64_t, uint32_t, uint32_t, const void*, size_t,
                                 float, gpuio_stream_t) {
  return unsupported("gpuio_dsa_kv_store", kKv, {pool});
}
gpuio_error_t gpuio_dsa_kv_get_data(gpuio_dsa_kv_entry_t entry, void** data, size_t* size) {
  return unsupported("gpuio_dsa_kv_get_data", kKv, {entry}, Outputs(data, size));
}
gpuio_error_t gpuio_dsa_kv_get_metadata(gpuio_dsa_kv_entry_t entry, gpuio_dsa_kv_metadata_t* metadata) {
  return unsupported("gpuio_dsa_kv_get_metadata", kKv, {entry}, Outputs(metadata));
}
gpuio_error_t gpuio_dsa_kv_release(gpuio_dsa_kv_entry_t entry) {
  return unsupported("gpuio_dsa_kv_release", kKv, {entry});
}
gpuio_error_t gpuio_dsa_kv_load_batch(gpuio_dsa_kv_pool_t pool, uint64_t*, uint32_t*, uint32_t*, int n,
                                      gpuio_stream_t, gpuio_dsa_kv_entry_t* entries) {
  clear_array(entries, n);
  return unsupported("gpuio_dsa_kv_load_batch", kKv, {pool, entries});
}
gpuio_error_t gpuio_dsa_kv_set_sparsity_pattern(gpuio_dsa_kv_pool_t pool, uint32_t, uint32_t) {
  return unsupported("gpuio_dsa_kv_set_sparsity_pattern", kKv, {pool});
}
gpuio_error_t gpuio_dsa_kv_compact(gpuio_dsa_kv_pool_t pool, gpuio_stream_t) {
  return unsupported("gpuio_dsa_kv_compact", kKv, {pool});
}
gpuio_error_t gpuio_evict_by_importance(gpuio_dsa_kv_pool_t pool, size_t, float) {
  return unsupported("gpuio_evict_by_importance", kKv, {pool});
}
gpuio_error_t gpuio_dsa_kv_get_stats(gpuio_dsa_kv_pool_t pool, gpuio_dsa_kv_stats_t* stats) {
  return unsupported("gpuio_dsa_kv_get_stats", kKv, {pool}, Outputs(stats));
}
gpuio_error_t gpuio_compress_kv(gpuio_dsa_kv_entry_t, const void* input, size_t, void* output,
                                size_t* output_size, gpuio_kv_compression_t) {
  return unsupported("gpuio_compress_kv", kKv, {input, output}, Outputs(output_size));
}
gpuio_error_t gpuio_decompress_kv(gpuio_dsa_kv_entry_t, const void* input, size_t, void* output,
                                  size_t* output_size) {
  return unsupported("gpuio_decompress_kv", kKv, {input, output}, Outputs(output_size));
}
gpuio_error_t gpuio_graph_index_create(gpuio_ai_context_t ai, const char*, gpuio_graph_index_t* index) {
  return unsupported("gpuio_graph_index_create", kGraph, {ai}, Outputs(index));
}
gpuio_error_t gpuio_graph_index_destroy(gpuio_graph_index_t index) {
  return guard("gpuio_graph_index_destroy", [&] { return index ? not_built(kGraph) : Status(); });
}
gpuio_error_t gpuio_graph_index_add_nodes(gpuio_graph_index_t index, const gpuio_graph_node_t*, int,
                                          gpuio_stream_t) {
  return unsupported("gpuio_graph_index_add_nodes", kGraph, {index});
}
gpuio_error_t gpuio_graph_storage_create(gpuio_ai_context_t ai, const char*, gpuio_graph_storage_t* storage) {
  return unsupported("gpuio_graph_storage_create", kGraph, {ai}, Outputs(storage));
}
gpuio_error_t gpuio_graph_storage_destroy(gpuio_graph_storage_t storage) {
  return guard("gpuio_graph_storage_destroy", [&] { return storage ? not_built(kGraph) : Status(); });
}
gpuio_error_t gpuio_graph_rag_scatter(gpuio_graph_index_t index, const gpuio_scatter_params_t*,
                                      gpuio_stream_t, uint64_t** ids, int* n) {
  return unsupported("gpuio_graph_rag_scatter", kGraph, {index}, Outputs(ids, n));
}
gpuio_error_t gpuio_graph_rag_gather(gpuio_graph_storage_t storage, const uint64_t*, int,
                                     const gpuio_gather_params_t*, gpuio_stream_t,
                                     gpuio_graph_node_t** subgraph, int* size) {
  return unsupported("gpuio_graph_rag_gather", kGraph, {storage}, Outputs(subgraph, size));
}
gpuio_error_t gpuio_graph_rag_query(gpuio_graph_index_t index, gpuio_graph_storage_t storage,
                                    const gpuio_graph_rag_request_t*,
                                    gpuio_graph_rag_request_handle_t* handle) {
  return unsupported("gpuio_graph_rag_query", kGraph, {index, storage}, Outputs(handle));
}
gpuio_error_t gpuio_graph_rag_wait(gpuio_graph_rag_request_handle_t handle, uint64_t) {
  return unsupported("gpuio_graph_rag_wait", kGraph, {handle});
}
gpuio_error_t gpuio_engram_pool_create(gpuio_ai_context_t ai, const gpuio_engram_config_t*,
                                       gpuio_engram_pool_t* pool) {
  return unsupported("gpuio_engram_pool_create", kEngram, {ai}, Outputs(pool));
}
gpuio_error_t gpuio_engram_pool_destroy(gpuio_engram_pool_t pool) {
  return guard("gpuio_engram_pool_destroy", [&] { return pool ? not_built(kEngram) : Status(); });
}
gpuio_error_t gpuio_engram_write(gpuio_engram_pool_t pool, const gpuio_engram_t*, gpuio_stream_t) {
  return unsupported("gpuio_engram_write", kEngram, {pool});
}
gpuio_error_t gpuio_engram_write_batch(gpuio_engram_pool_t pool, const gpuio_engram_t*, int, gpuio_stream_t) {
  return unsupported("gpuio_engram_write_batch", kEngram, {pool});
}
gpuio_error_t gpuio_engram_write_with(gpuio_engram_pool_t pool, const gpuio_engram_t*, gpuio_write_mode_t,
                                      gpuio_engram_compression_t, gpuio_stream_t) {
  return unsupported("gpuio_engram_write_with", kEngram, {pool});
}
gpuio_error_t gpuio_engram_read(gpuio_engram_pool_t pool, uint64_t, gpuio_stream_t,
                                gpuio_engram_handle_t* engram) {
  return unsupported("gpuio_engram_read", kEngram, {pool}, Outputs(engram));
}
gpuio_error_t gpuio_engram_query(gpuio_engram_pool_t pool, const float*, float, int top_k, gpuio_stream_t,
                                 gpuio_engram_handle_t* results, int* n) {
  clear_array(results, top_k);
  return unsupported("gpuio_engram_query", kEngram, {pool, results}, Outputs(n));
}
gpuio_error_t gpuio_engram_query_batch(gpuio_engram_pool_t pool, const float**, int, int, gpuio_stream_t,
                                       gpuio_engram_handle_t** results, int** n_per_query) {
  return unsupported("gpuio_engram_query_batch", kEngram, {pool}, Outputs(results, n_per_query));
}
gpuio_error_t gpuio_engram_get_data(gpuio_engram_handle_t engram, void** data, size_t* size) {
  return unsupported("gpuio_engram_get_data", kEngram, {engram}, Outputs(data, size));
}
gpuio_error_t gpuio_engram_release(gpuio_engram_handle_t engram) {
  return unsupported("gpuio_engram_release", kEngram, {engram});
}
gpuio_error_t gpuio_engram_invalidate(gpuio_engram_pool_t pool, uint64_t, uint64_t) {
  return unsupported("gpuio_engram_invalidate", kEngram, {pool});
}
gpuio_error_t gpuio_engram_sync(gpuio_engram_pool_t pool, gpuio_stream_t) {
  return unsupported("gpuio_engram_sync", kEngram, {pool});
}
gpuio_error_t gpuio_engram_get_stats(gpuio_engram_pool_t pool, gpuio_engram_stats_t* stats) {
  return unsupported("gpuio_engram_get_stats", kEngram, {pool}, Outputs(stats));
}
gpuio_error_t gpuio_engram_get_router(gpuio_engram_pool_t pool, gpuio_dsa_router_t* router) {
  return unsupported("gpuio_engram_get_router", kEngram, {pool}, Outputs(router));
}
gpuio_error_t gpuio_schedule_engram_prefetch(gpuio_scheduler_t scheduler, gpuio_dsa_router_t router,
                                             const uint64_t*, int) {
  return unsupported("gpuio_schedule_engram_prefetch", kEngram, {scheduler, router});
}
gpuio_error_t gpuio_ai_inference(gpuio_ai_context_t ai, const gpuio_inference_params_t*,
                                 gpuio_inference_result_t* result) {
  return unsupported("gpuio_ai_inference", kSteps, {ai}, Outputs(result));
}
gpuio_error_t gpuio_ai_training_step(gpuio_ai_context_t ai, const gpuio_training_params_t*,
                                     gpuio_training_result_t* result) {
  return unsupported("gpuio_ai_training_step", kSteps, {ai}, Outputs(result));
}
gpuio_error_t gpuio_ai_checkpoint_save(gpuio_ai_context_t ai, const char*, bool, gpuio_stream_t) {
  return unsupported("gpuio_ai_checkpoint_save", kSteps, {ai});
}
gpuio_error_t gpuio_ai_checkpoint_load(gpuio_ai_context_t ai, const char*, gpuio_stream_t) {
  return unsupported("gpuio_ai_checkpoint_load", kSteps, {ai});
}
gpuio_error_t gpuio_codec_create(gpuio_context_t ctx, gpuio_codec_type_t, int, gpuio_codec_t* codec) {
  return unsupported("gpuio_codec_create", kCodec, ctx, {}, Outputs(codec));
}
gpuio_error_t gpuio_codec_destroy(gpuio_codec_t codec) {
  return guard("gpuio_codec_destroy", [&] { return codec ? not_built(kCodec) : Status(); });
}
gpuio_error_t gpuio_codec_create_custom(gpuio_context_t ctx, const gpuio_codec_callbacks_t*,
                                        gpuio_codec_t* codec) {
  return unsupported("gpuio_codec_create_custom", kCodec, ctx, {}, Outputs(codec));
}
gpuio_error_t gpuio_compress_bound(gpuio_codec_t codec, size_t, size_t* out_size) {
  return unsupported("gpuio_compress_bound", kCodec, {codec}, Outputs(out_size));
}
gpuio_error_t gpuio_compress(gpuio_codec_t codec, const void*, size_t, void*, size_t, size_t* out_size,
                             gpuio_stream_t) {
  return unsupported("gpuio_compress", kCodec, {codec}, Outputs(out_size));
}
gpuio_error_t gpuio_decompress(gpuio_codec_t codec, const void*, size_t, void*, size_t, size_t* out_size,
                               gpuio_stream_t) {
  return unsupported("gpuio_decompress", kCodec, {codec}, Outputs(out_size));
}
gpuio_error_t gpuio_transfer_compressed(gpuio_request_t request, gpuio_codec_t codec) {
  return unsupported("gpuio_transfer_compressed", kCodec, {request, codec});
}

}  // extern "C"
