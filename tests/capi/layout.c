// The structs as clients know them: each field's place and, in C, its type. More may follow at a struct's
// end.
#include <assert.h>
#include <gpuio/gpuio.h>
#include <gpuio/gpuio_ai.h>

#define DECLARE(type, name, suffix) type name suffix;
#ifdef __cplusplus
#define SAME_TYPE(type, name, suffix) true
#else
#define SAME_TYPE(type, name, suffix) _Generic(&((KNOWN*)0)->name, type(*) suffix: 1, default: 0)
#endif
#define CHECK(type, name, suffix)                                                                        \
  static_assert(offsetof(KNOWN, name) == offsetof(struct EXPECTED, name), #name " is in another place"); \
  static_assert(SAME_TYPE(type, name, suffix), #name " has another type");

// clang-format off

#define KNOWN gpuio_config_t
#define EXPECTED expected_config
#define FIELDS(F) \
  F(uint32_t, api_version, ) F(uint32_t, flags, ) F(int, max_gpus, ) F(size_t, memory_pool_size, ) \
  F(gpuio_log_level_t, log_level, ) F(const char*, config_file, ) F(int, numa_node, ) \
  F(bool, numa_strict, ) F(bool, enable_security, ) F(const char*, credentials_path, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_device_info_t
#define EXPECTED expected_device_info
#define FIELDS(F) \
  F(int, device_id, ) F(gpuio_gpu_vendor_t, vendor, ) F(char, name, [256]) F(size_t, total_memory, ) \
  F(size_t, free_memory, ) F(int, compute_capability_major, ) F(int, compute_capability_minor, ) \
  F(bool, supports_gds, ) F(bool, supports_gdr, ) F(bool, supports_cxl, ) F(bool, supports_p2p, ) \
  F(int, numa_node, ) F(int, numa_distance, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_memory_region_t
#define EXPECTED expected_memory_region
#define FIELDS(F) \
  F(void*, base_addr, ) F(void*, gpu_addr, ) F(uint64_t, bus_addr, ) F(size_t, length, ) \
  F(gpuio_mem_type_t, type, ) F(gpuio_mem_access_t, access, ) F(int, gpu_id, ) F(bool, registered, ) \
  F(void*, handle, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_request_params_t
#define EXPECTED expected_request_params
#define FIELDS(F) \
  F(gpuio_request_type_t, type, ) F(gpuio_io_engine_t, engine, ) F(gpuio_memory_region_t*, src, ) \
  F(uint64_t, src_offset, ) F(gpuio_memory_region_t*, dst, ) F(uint64_t, dst_offset, ) \
  F(size_t, length, ) F(gpuio_stream_t, stream, ) F(bool, async, ) F(gpuio_callback_t, callback, ) \
  F(void*, user_data, ) F(uint64_t, timeout_us, ) F(int, priority, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_batch_t
#define EXPECTED expected_batch
#define FIELDS(F) \
  F(gpuio_request_t*, requests, ) F(int, num_requests, ) F(bool, ordered, ) \
  F(gpuio_callback_t, batch_callback, ) F(void*, user_data, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_progress_t
#define EXPECTED expected_progress
#define FIELDS(F) \
  F(uint64_t, bytes_total, ) F(uint64_t, bytes_completed, ) F(uint64_t, bytes_transferred, ) \
  F(float, progress_percent, ) F(uint64_t, eta_ms, ) F(gpuio_request_status_t, status, ) \
  F(gpuio_error_t, error, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_stats_t
#define EXPECTED expected_stats
#define FIELDS(F) \
  F(uint64_t, requests_submitted, ) F(uint64_t, requests_completed, ) F(uint64_t, requests_failed, ) \
  F(uint64_t, requests_cancelled, ) F(double, bandwidth_gbps, ) F(uint64_t, bytes_read, ) \
  F(uint64_t, bytes_written, ) F(double, latency_avg_us, ) F(double, latency_p50_us, ) \
  F(double, latency_p99_us, ) F(uint64_t, cache_hits, ) F(uint64_t, cache_misses, ) \
  F(double, cache_hit_rate, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_retry_policy_t
#define EXPECTED expected_retry_policy
#define FIELDS(F) \
  F(int, max_retries, ) F(uint64_t, initial_backoff_us, ) F(uint64_t, max_backoff_us, ) \
  F(double, backoff_multiplier, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_inference_qos_t
#define EXPECTED expected_inference_qos
#define FIELDS(F) \
  F(uint64_t, deadline_us, ) F(uint64_t, estimated_duration_us, ) F(float, criticality, ) \
  F(bool, preemptible, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_ai_config_t
#define EXPECTED expected_ai_config
#define FIELDS(F) \
  F(int, num_layers, ) F(int, num_heads, ) F(int, head_dim, ) F(int, max_sequence_length, ) \
  F(bool, enable_dsa_kv, ) F(bool, enable_engram, ) F(bool, enable_graph_rag, ) \
  F(gpuio_ai_priority_t, default_priority, ) F(size_t, kv_cache_size, ) F(size_t, engram_pool_size, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_dsa_kv_metadata_t
#define EXPECTED expected_dsa_kv_metadata
#define FIELDS(F) \
  F(uint64_t, position, ) F(uint32_t, layer_id, ) F(uint32_t, head_id, ) F(float, importance_score, ) \
  F(uint32_t, sparsity_pattern, ) F(uint8_t, compression_level, ) F(gpuio_kv_tier_t, tier, ) \
  F(uint64_t, compressed_size, ) F(uint64_t, original_size, ) F(uint64_t, last_access_time, ) \
  F(uint32_t, access_count, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_dsa_kv_config_t
#define EXPECTED expected_dsa_kv_config
#define FIELDS(F) \
  F(size_t, hbm_capacity, ) F(size_t, cxl_capacity, ) F(const char*, cxl_device_path, ) \
  F(const char*, remote_uri, ) F(gpuio_kv_compression_t, default_compression, ) \
  F(float, compression_threshold, ) F(float, importance_decay, ) F(size_t, min_hot_cache_size, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_dsa_kv_stats_t
#define EXPECTED expected_dsa_kv_stats
#define FIELDS(F) \
  F(uint64_t, entries_in_hbm, ) F(uint64_t, entries_in_cxl, ) F(uint64_t, entries_in_remote, ) \
  F(uint64_t, total_hits, ) F(uint64_t, total_misses, ) F(double, hit_rate, ) \
  F(size_t, bytes_saved_by_compression, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_graph_node_t
#define EXPECTED expected_graph_node
#define FIELDS(F) \
  F(uint64_t, node_id, ) F(float*, embedding, ) F(uint32_t, embedding_dim, ) F(char*, attributes, ) \
  F(uint64_t*, edge_ids, ) F(uint32_t, num_edges, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_scatter_params_t
#define EXPECTED expected_scatter_params
#define FIELDS(F) \
  F(const float*, query_embedding, ) F(uint32_t, query_dim, ) F(int, top_k, ) \
  F(float, similarity_threshold, ) F(const char**, edge_type_filters, ) F(int, num_edge_type_filters, ) \
  F(const char**, node_label_filters, ) F(int, num_node_label_filters, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_gather_params_t
#define EXPECTED expected_gather_params
#define FIELDS(F) \
  F(int, hop_depth, ) F(int, max_subgraph_size, ) F(bool, include_edges, ) F(bool, include_neighbors, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_graph_rag_request_t
#define EXPECTED expected_graph_rag_request
#define FIELDS(F) \
  F(gpuio_scatter_params_t, scatter, ) F(gpuio_gather_params_t, gather, ) \
  F(gpuio_graph_node_t*, subgraph, ) F(int, subgraph_size, ) F(float*, subgraph_adj_matrix, ) \
  F(gpuio_stream_t, stream, ) F(gpuio_callback_t, callback, ) F(void*, user_data, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_engram_t
#define EXPECTED expected_engram
#define FIELDS(F) \
  F(uint64_t, engram_id, ) F(uint64_t, version, ) F(const void*, data, ) F(size_t, size, ) \
  F(const float*, embedding, ) F(uint32_t, embedding_dim, ) F(uint64_t, creation_timestamp, ) \
  F(float, importance_score, ) F(uint32_t, access_count, ) F(gpuio_engram_tier_t, tier, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_engram_config_t
#define EXPECTED expected_engram_config
#define FIELDS(F) \
  F(size_t, hbm_capacity, ) F(size_t, cxl_capacity, ) F(const char*, cxl_device_path, ) \
  F(const char*, remote_archive_uri, ) F(uint32_t, embedding_dim, ) F(const char*, index_type, ) \
  F(bool, async_writes, ) F(uint64_t, write_buffer_size, ) F(uint64_t, flush_interval_ms, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_engram_stats_t
#define EXPECTED expected_engram_stats
#define FIELDS(F) \
  F(uint64_t, engrams_in_hbm, ) F(uint64_t, engrams_in_cxl, ) F(uint64_t, engrams_in_remote, ) \
  F(uint64_t, total_queries, ) F(uint64_t, cache_hits, ) F(double, avg_query_latency_us, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_inference_params_t
#define EXPECTED expected_inference_params
#define FIELDS(F) \
  F(const void*, input_data, ) F(size_t, input_size, ) F(int, input_tokens, ) \
  F(gpuio_dsa_kv_pool_t, kv_pool, ) F(gpuio_engram_pool_t, engram_pool, ) F(void*, output_buffer, ) \
  F(size_t, output_buffer_size, ) F(int, max_output_tokens, ) F(gpuio_inference_qos_t, qos, ) \
  F(gpuio_stream_t, stream, ) F(gpuio_callback_t, callback, ) F(void*, user_data, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_inference_result_t
#define EXPECTED expected_inference_result
#define FIELDS(F) \
  F(void*, output_data, ) F(size_t, output_size, ) F(int, output_tokens, ) F(uint64_t, latency_us, ) \
  F(gpuio_error_t, status, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_training_params_t
#define EXPECTED expected_training_params
#define FIELDS(F) \
  F(const void**, inputs, ) F(size_t*, input_sizes, ) F(int, num_inputs, ) F(const void*, labels, ) \
  F(size_t, labels_size, ) F(gpuio_dsa_kv_pool_t, kv_pool, ) F(gpuio_engram_pool_t, engram_pool, ) \
  F(bool, checkpoint_after_step, ) F(const char*, checkpoint_path, ) \
  F(int, checkpoint_interval_steps, ) F(gpuio_stream_t, stream, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN

#define KNOWN gpuio_training_result_t
#define EXPECTED expected_training_result
#define FIELDS(F) \
  F(float, loss, ) F(uint64_t, step_time_us, ) F(bool, checkpoint_saved, ) \
  F(char, checkpoint_path, [512]) F(gpuio_error_t, status, )
struct EXPECTED { FIELDS(DECLARE) };
FIELDS(CHECK)
#undef FIELDS
#undef EXPECTED
#undef KNOWN
