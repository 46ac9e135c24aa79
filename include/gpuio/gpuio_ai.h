// gpuio for models: a KV cache in tiers, retrieval from graphs, a memory of engrams, and the steps that use
// them.
//
// From simple to advanced: the AI context, the KV cache, graphs, engrams, inference and training, codecs. The
// conventions are those of gpuio.h; three more hold here:
//  - Zeros in a struct mean "unspecified": the library chooses. Capacities are limits, not reservations, so a
//  pool
//    larger than the machine can be made. Without a CXL device the warm tier is host memory.
//  - Inputs are copied before a call returns. Calls that take a stream run in its order; a read sees this
//  context's
//    own earlier writes without a synchronize, and the *_get_data calls block until the bytes are there.
//  - Arrays that a call makes for the caller (marked "made") end with gpuio_ai_free.
// A part that the loaded library does not have answers GPUIO_ERROR_UNSUPPORTED, and the message says so.
//
//     gpuio_ai_context_t ai;
//     gpuio_ai_config_t config = {.num_layers = 61, .num_heads = 128, .head_dim = 128, .enable_dsa_kv =
//     true}; gpuio_ai_context_create(ctx, &config, &ai); gpuio_dsa_kv_pool_t pool; gpuio_dsa_kv_config_t
//     tiers = {.hbm_capacity = (size_t)10 << 30}; gpuio_dsa_kv_pool_create(ai, &tiers, &pool);
//     gpuio_dsa_kv_store(pool, position, layer, head, row, sizeof row, 0.9f, stream);
#ifndef GPUIO_GPUIO_AI_H
#define GPUIO_GPUIO_AI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpuio.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpuio_model* gpuio_model_handle_t;
typedef struct gpuio_ai_context* gpuio_ai_context_t;
typedef struct gpuio_inference_request* gpuio_inference_request_t;
typedef struct gpuio_training_batch* gpuio_training_batch_t;
typedef struct gpuio_dsa_kv_pool* gpuio_dsa_kv_pool_t;
typedef struct gpuio_dsa_kv_entry* gpuio_dsa_kv_entry_t;
typedef struct gpuio_dsa_router* gpuio_dsa_router_t;
typedef struct gpuio_graph_index* gpuio_graph_index_t;
typedef struct gpuio_graph_storage* gpuio_graph_storage_t;
typedef struct gpuio_graph_rag_request* gpuio_graph_rag_request_handle_t;
typedef struct gpuio_engram_pool* gpuio_engram_pool_t;
typedef struct gpuio_engram* gpuio_engram_handle_t;
typedef struct gpuio_codec* gpuio_codec_t;
typedef struct gpuio_scheduler* gpuio_scheduler_t;

// ---- The AI context: the shape of the model, and what it will use

// Most urgent first; how they compare with the priorities of requests and streams is in docs/architecture.md.
typedef enum {
  GPUIO_PRIO_INFERENCE_REALTIME = 0,
  GPUIO_PRIO_INFERENCE_BATCH = 1,
  GPUIO_PRIO_TRAINING_FW = 2,
  GPUIO_PRIO_TRAINING_BW = 3,
  GPUIO_PRIO_CHECKPOINT = 4,
  GPUIO_PRIO_ENGRAM_SYNC = 5,
  GPUIO_PRIO_BACKGROUND = 6
} gpuio_ai_priority_t;

typedef struct {
  uint64_t deadline_us, estimated_duration_us;
  float criticality;  // 0 to 1
  bool preemptible;
} gpuio_inference_qos_t;

typedef struct {
  int num_layers, num_heads, head_dim, max_sequence_length;
  bool enable_dsa_kv, enable_engram, enable_graph_rag;
  gpuio_ai_priority_t default_priority;
  size_t kv_cache_size, engram_pool_size;  // bytes
} gpuio_ai_config_t;

GPUIO_API gpuio_error_t gpuio_ai_context_create(gpuio_context_t ctx, const gpuio_ai_config_t* config,
                                                gpuio_ai_context_t* ai);
// Destroys what was made from it. Blocks until its work is done.
GPUIO_API gpuio_error_t gpuio_ai_context_destroy(gpuio_ai_context_t ai);
// Ends an array that a call here has made. NULL is SUCCESS.
GPUIO_API gpuio_error_t gpuio_ai_free(void* array);
// Before submit: how urgent a request is, under GPUIO_SCHED_DEADLINE and GPUIO_SCHED_ADAPTIVE.
GPUIO_API gpuio_error_t gpuio_request_set_qos(gpuio_context_t ctx, gpuio_request_t request,
                                              const gpuio_inference_qos_t* qos);
// The context's own scheduler, for the calls that name it; never destroyed by the caller.
GPUIO_API gpuio_error_t gpuio_get_scheduler(gpuio_context_t ctx, gpuio_scheduler_t* scheduler);

// ---- KV cache: a row for each (position, layer, head), of any size and any bytes

typedef enum {
  GPUIO_KV_COMPRESS_NONE = 0,
  GPUIO_KV_COMPRESS_FP16 = 1,
  GPUIO_KV_COMPRESS_INT8 = 2,
  GPUIO_KV_COMPRESS_4BIT = 3,
  GPUIO_KV_COMPRESS_SPARSE = 4
} gpuio_kv_compression_t;

typedef enum { GPUIO_KV_TIER_HBM = 0, GPUIO_KV_TIER_CXL = 1, GPUIO_KV_TIER_REMOTE = 2 } gpuio_kv_tier_t;

typedef struct {
  uint64_t position;
  uint32_t layer_id, head_id;
  float importance_score;
  uint32_t sparsity_pattern;
  uint8_t compression_level;  // a gpuio_kv_compression_t
  gpuio_kv_tier_t tier;
  uint64_t compressed_size, original_size;  // bytes
  uint64_t last_access_time;                // microseconds since the pool was made
  uint32_t access_count;
} gpuio_dsa_kv_metadata_t;

typedef struct {
  size_t hbm_capacity, cxl_capacity;  // bytes, at most
  const char* cxl_device_path;        // NULL: host memory
  const char* remote_uri;             // NULL: no cold tier; what does not fit is forgotten
  gpuio_kv_compression_t default_compression;
  float compression_threshold;  // of importance, below which rows are compressed
  float importance_decay;       // factor for each pass of gpuio_dsa_kv_compact
  size_t min_hot_cache_size;
} gpuio_dsa_kv_config_t;

GPUIO_API gpuio_error_t gpuio_dsa_kv_pool_create(gpuio_ai_context_t ai, const gpuio_dsa_kv_config_t* config,
                                                 gpuio_dsa_kv_pool_t* pool);
// Entries loaded from it are released with it. Blocks until its work is done.
GPUIO_API gpuio_error_t gpuio_dsa_kv_pool_destroy(gpuio_dsa_kv_pool_t pool);
// Forgets all rows; BUSY while an entry is held.
GPUIO_API gpuio_error_t gpuio_dsa_kv_pool_reset(gpuio_dsa_kv_pool_t pool);

// NOT_FOUND for a row that was never stored and for a head that the layer's sparsity pattern leaves out. The
// caller ends the entry with gpuio_dsa_kv_release.
GPUIO_API gpuio_error_t gpuio_dsa_kv_load(gpuio_dsa_kv_pool_t pool, uint64_t position, uint32_t layer_id,
                                          uint32_t head_id, gpuio_stream_t stream,
                                          gpuio_dsa_kv_entry_t* entry);
// Replaces the row if there is one.
GPUIO_API gpuio_error_t gpuio_dsa_kv_store(gpuio_dsa_kv_pool_t pool, uint64_t position, uint32_t layer_id,
                                           uint32_t head_id, const void* data, size_t size,
                                           float importance_score, gpuio_stream_t stream);
// The row as it was stored, of its original size; borrowed until the entry is released. Blocks until it is
// there.
GPUIO_API gpuio_error_t gpuio_dsa_kv_get_data(gpuio_dsa_kv_entry_t entry, void** data, size_t* size);
GPUIO_API gpuio_error_t gpuio_dsa_kv_get_metadata(gpuio_dsa_kv_entry_t entry,
                                                  gpuio_dsa_kv_metadata_t* metadata);
GPUIO_API gpuio_error_t gpuio_dsa_kv_release(gpuio_dsa_kv_entry_t entry);

// n loads at once into the caller's array of n. All or nothing: the first failure releases the others.
GPUIO_API gpuio_error_t gpuio_dsa_kv_load_batch(gpuio_dsa_kv_pool_t pool, uint64_t* positions,
                                                uint32_t* layer_ids, uint32_t* head_ids, int n,
                                                gpuio_stream_t stream, gpuio_dsa_kv_entry_t* entries);
// Bit h set: head h of the layer is active. Heads from 32 on always are.
GPUIO_API gpuio_error_t gpuio_dsa_kv_set_sparsity_pattern(gpuio_dsa_kv_pool_t pool, uint32_t layer_id,
                                                          uint32_t mask);
// Ages importance, compresses and moves rows down the tiers, in the order of the stream.
GPUIO_API gpuio_error_t gpuio_dsa_kv_compact(gpuio_dsa_kv_pool_t pool, gpuio_stream_t stream);
// Frees at least that many bytes of the hot tier from rows less important than the threshold; NOMEM when
// those are not enough. Rows go down a tier and are not lost.
GPUIO_API gpuio_error_t gpuio_evict_by_importance(gpuio_dsa_kv_pool_t pool, size_t required_space,
                                                  float importance_threshold);

typedef struct {
  uint64_t entries_in_hbm, entries_in_cxl, entries_in_remote, total_hits, total_misses;
  double hit_rate;  // 0 before any load
  size_t bytes_saved_by_compression;
} gpuio_dsa_kv_stats_t;

GPUIO_API gpuio_error_t gpuio_dsa_kv_get_stats(gpuio_dsa_kv_pool_t pool, gpuio_dsa_kv_stats_t* stats);

// One row outside any pool, by the same codecs. *output_size is the room on entry and the bytes written on
// return; INVALID_ARG with the size needed when there is too little. `entry` may be NULL; else its metadata
// is updated.
GPUIO_API gpuio_error_t gpuio_compress_kv(gpuio_dsa_kv_entry_t entry, const void* input, size_t input_size,
                                          void* output, size_t* output_size, gpuio_kv_compression_t method);
GPUIO_API gpuio_error_t gpuio_decompress_kv(gpuio_dsa_kv_entry_t entry, const void* input, size_t input_size,
                                            void* output, size_t* output_size);

// ---- Graphs: find nodes like a query (scatter), then what surrounds them (gather)

typedef struct {
  uint64_t node_id;
  float* embedding;  // embedding_dim values
  uint32_t embedding_dim;
  char* attributes;    // JSON; may be NULL
  uint64_t* edge_ids;  // ids of the neighbour nodes
  uint32_t num_edges;
} gpuio_graph_node_t;

typedef struct {
  const float* query_embedding;  // query_dim values
  uint32_t query_dim;
  int top_k;
  float similarity_threshold;      // cosine
  const char** edge_type_filters;  // none: any
  int num_edge_type_filters;
  const char** node_label_filters;  // none: any
  int num_node_label_filters;
} gpuio_scatter_params_t;

typedef struct {
  int hop_depth, max_subgraph_size;
  bool include_edges, include_neighbors;
} gpuio_gather_params_t;

typedef struct {
  gpuio_scatter_params_t scatter;
  gpuio_gather_params_t gather;
  gpuio_graph_node_t* subgraph;  // room for subgraph_size nodes
  int subgraph_size;
  float* subgraph_adj_matrix;  // subgraph_size x subgraph_size, row by row; may be NULL
  gpuio_stream_t stream;
  gpuio_callback_t callback;  // called with a NULL request; may be NULL
  void* user_data;
} gpuio_graph_rag_request_t;

// Opens the index at the path, or makes it. Blocks.
GPUIO_API gpuio_error_t gpuio_graph_index_create(gpuio_ai_context_t ai, const char* index_path,
                                                 gpuio_graph_index_t* index);
GPUIO_API gpuio_error_t gpuio_graph_index_destroy(gpuio_graph_index_t index);
GPUIO_API gpuio_error_t gpuio_graph_index_add_nodes(gpuio_graph_index_t index,
                                                    const gpuio_graph_node_t* nodes, int n,
                                                    gpuio_stream_t stream);
// The store of nodes and edges that gathers read. Blocks while it opens.
GPUIO_API gpuio_error_t gpuio_graph_storage_create(gpuio_ai_context_t ai, const char* uri,
                                                   gpuio_graph_storage_t* storage);
GPUIO_API gpuio_error_t gpuio_graph_storage_destroy(gpuio_graph_storage_t storage);

// The ids of the nearest nodes, best first (made). Blocks.
GPUIO_API gpuio_error_t gpuio_graph_rag_scatter(gpuio_graph_index_t index,
                                                const gpuio_scatter_params_t* params, gpuio_stream_t stream,
                                                uint64_t** ids, int* n);
// The nodes within hop_depth of the roots (made; one gpuio_ai_free ends them with all they point to). Blocks.
GPUIO_API gpuio_error_t gpuio_graph_rag_gather(gpuio_graph_storage_t storage, const uint64_t* roots, int n,
                                               const gpuio_gather_params_t* params, gpuio_stream_t stream,
                                               gpuio_graph_node_t** subgraph, int* size);
// Both steps without blocking, into the memory that the request names, which must stay until
// gpuio_graph_rag_wait.
GPUIO_API gpuio_error_t gpuio_graph_rag_query(gpuio_graph_index_t index, gpuio_graph_storage_t storage,
                                              const gpuio_graph_rag_request_t* request,
                                              gpuio_graph_rag_request_handle_t* handle);
// Blocks until it is complete, and then ends the handle; after TIMEOUT it lives on.
GPUIO_API gpuio_error_t gpuio_graph_rag_wait(gpuio_graph_rag_request_handle_t handle, uint64_t timeout_us);

// ---- Engrams: pieces of memory found by id or by likeness

typedef enum {
  GPUIO_ENGRAM_TIER_HBM = 0,
  GPUIO_ENGRAM_TIER_CXL = 1,
  GPUIO_ENGRAM_TIER_REMOTE = 2
} gpuio_engram_tier_t;

typedef enum {
  GPUIO_ENGRAM_COMPRESS_NONE = 0,
  GPUIO_ENGRAM_COMPRESS_ZSTD = 1,
  GPUIO_ENGRAM_COMPRESS_LZ4 = 2,
  GPUIO_ENGRAM_COMPRESS_EMBED = 3  // for embeddings: quantized
} gpuio_engram_compression_t;

typedef enum {
  GPUIO_WRITE_SYNC = 0,  // durable on return
  GPUIO_WRITE_ASYNC = 1  // durable after gpuio_engram_sync
} gpuio_write_mode_t;

typedef struct {
  uint64_t engram_id;  // the caller's; any value
  uint64_t version;
  const void* data;
  size_t size;
  const float* embedding;  // embedding_dim values; NULL: found by id only
  uint32_t embedding_dim;
  uint64_t creation_timestamp;
  float importance_score;
  uint32_t access_count;
  gpuio_engram_tier_t tier;
} gpuio_engram_t;

typedef struct {
  size_t hbm_capacity, cxl_capacity;  // bytes, at most
  const char* cxl_device_path;        // NULL: host memory
  const char* remote_archive_uri;     // NULL: none; what does not fit is forgotten
  uint32_t embedding_dim;
  const char* index_type;  // "hnsw", "ivf" or "flat"; NULL: chosen by size
  bool async_writes;       // how gpuio_engram_write writes
  uint64_t write_buffer_size, flush_interval_ms;
} gpuio_engram_config_t;

GPUIO_API gpuio_error_t gpuio_engram_pool_create(gpuio_ai_context_t ai, const gpuio_engram_config_t* config,
                                                 gpuio_engram_pool_t* pool);
// Writes what is buffered. Blocks until its work is done.
GPUIO_API gpuio_error_t gpuio_engram_pool_destroy(gpuio_engram_pool_t pool);

GPUIO_API gpuio_error_t gpuio_engram_write(gpuio_engram_pool_t pool, const gpuio_engram_t* engram,
                                           gpuio_stream_t stream);
GPUIO_API gpuio_error_t gpuio_engram_write_batch(gpuio_engram_pool_t pool, const gpuio_engram_t* engrams,
                                                 int n, gpuio_stream_t stream);
// As gpuio_engram_write, for this one in another way than the pool's.
GPUIO_API gpuio_error_t gpuio_engram_write_with(gpuio_engram_pool_t pool, const gpuio_engram_t* engram,
                                                gpuio_write_mode_t mode,
                                                gpuio_engram_compression_t compression,
                                                gpuio_stream_t stream);
// The newest version, or NOT_FOUND. The caller ends the handle with gpuio_engram_release.
GPUIO_API gpuio_error_t gpuio_engram_read(gpuio_engram_pool_t pool, uint64_t engram_id, gpuio_stream_t stream,
                                          gpuio_engram_handle_t* engram);
// At most top_k of the nearest, best first, into the caller's array of top_k; *n says how many. Each is
// released by the caller. A query of zeros finds nothing.
GPUIO_API gpuio_error_t gpuio_engram_query(gpuio_engram_pool_t pool, const float* query,
                                           float similarity_threshold, int top_k, gpuio_stream_t stream,
                                           gpuio_engram_handle_t* results, int* n);
// num_queries at once: *results (made) is num_queries x top_k handles, row by row, NULL past a row's count;
// *n_per_query (made) is num_queries counts. Each handle is released by the caller.
GPUIO_API gpuio_error_t gpuio_engram_query_batch(gpuio_engram_pool_t pool, const float** queries,
                                                 int num_queries, int top_k, gpuio_stream_t stream,
                                                 gpuio_engram_handle_t** results, int** n_per_query);
// Borrowed until the engram is released. Blocks until it is there.
GPUIO_API gpuio_error_t gpuio_engram_get_data(gpuio_engram_handle_t engram, void** data, size_t* size);
GPUIO_API gpuio_error_t gpuio_engram_release(gpuio_engram_handle_t engram);
// Forgets versions of the engram before min_version.
GPUIO_API gpuio_error_t gpuio_engram_invalidate(gpuio_engram_pool_t pool, uint64_t engram_id,
                                                uint64_t min_version);
// When the stream comes to it, what was written before is durable.
GPUIO_API gpuio_error_t gpuio_engram_sync(gpuio_engram_pool_t pool, gpuio_stream_t stream);

typedef struct {
  uint64_t engrams_in_hbm, engrams_in_cxl, engrams_in_remote, total_queries, cache_hits;
  double avg_query_latency_us;
} gpuio_engram_stats_t;

GPUIO_API gpuio_error_t gpuio_engram_get_stats(gpuio_engram_pool_t pool, gpuio_engram_stats_t* stats);

// How tokens lead to rows of the pool; the pool's own, never destroyed by the caller.
GPUIO_API gpuio_error_t gpuio_engram_get_router(gpuio_engram_pool_t pool, gpuio_dsa_router_t* router);
// Brings in what the coming tokens will read; their rows are known exactly, so nothing is guessed.
GPUIO_API gpuio_error_t gpuio_schedule_engram_prefetch(gpuio_scheduler_t scheduler, gpuio_dsa_router_t router,
                                                       const uint64_t* upcoming_tokens, int num_tokens);

// ---- Whole steps of a model

typedef struct {
  const void* input_data;
  size_t input_size;
  int input_tokens;
  gpuio_dsa_kv_pool_t kv_pool;      // may be NULL
  gpuio_engram_pool_t engram_pool;  // may be NULL
  void* output_buffer;              // the caller's; must stay until the step is complete
  size_t output_buffer_size;
  int max_output_tokens;
  gpuio_inference_qos_t qos;
  gpuio_stream_t stream;
  gpuio_callback_t callback;  // NULL: the call blocks
  void* user_data;
} gpuio_inference_params_t;

typedef struct {
  void* output_data;  // within output_buffer
  size_t output_size;
  int output_tokens;
  uint64_t latency_us;
  gpuio_error_t status;
} gpuio_inference_result_t;

GPUIO_API gpuio_error_t gpuio_ai_inference(gpuio_ai_context_t ai, const gpuio_inference_params_t* params,
                                           gpuio_inference_result_t* result);

typedef struct {
  const void** inputs;
  size_t* input_sizes;
  int num_inputs;
  const void* labels;
  size_t labels_size;
  gpuio_dsa_kv_pool_t kv_pool;      // may be NULL
  gpuio_engram_pool_t engram_pool;  // may be NULL
  bool checkpoint_after_step;
  const char* checkpoint_path;
  int checkpoint_interval_steps;
  gpuio_stream_t stream;
} gpuio_training_params_t;

typedef struct {
  float loss;
  uint64_t step_time_us;
  bool checkpoint_saved;
  char checkpoint_path[512];
  gpuio_error_t status;
} gpuio_training_result_t;

// Blocks until the step is complete.
GPUIO_API gpuio_error_t gpuio_ai_training_step(gpuio_ai_context_t ai, const gpuio_training_params_t* params,
                                               gpuio_training_result_t* result);
// async: returns once the state is copied; the file is whole, under its name, when the stream is
// synchronized. Otherwise blocks until then. A checkpoint that was there stays until the new one is whole.
GPUIO_API gpuio_error_t gpuio_ai_checkpoint_save(gpuio_ai_context_t ai, const char* path, bool async,
                                                 gpuio_stream_t stream);
// Blocks. On failure the state is what it was.
GPUIO_API gpuio_error_t gpuio_ai_checkpoint_load(gpuio_ai_context_t ai, const char* path,
                                                 gpuio_stream_t stream);

// ---- Codecs

typedef enum {
  GPUIO_CODEC_LZ4 = 0,
  GPUIO_CODEC_ZSTD = 1,
  GPUIO_CODEC_GZIP = 2,
  GPUIO_CODEC_FP16 = 3,
  GPUIO_CODEC_INT8 = 4,
  GPUIO_CODEC_CUSTOM = 5
} gpuio_codec_type_t;

// level is ignored where it means nothing. CUSTOM is made with gpuio_codec_create_custom.
GPUIO_API gpuio_error_t gpuio_codec_create(gpuio_context_t ctx, gpuio_codec_type_t type, int level,
                                           gpuio_codec_t* codec);
GPUIO_API gpuio_error_t gpuio_codec_destroy(gpuio_codec_t codec);

// What a custom codec does. The three may be called from several threads at once, with host memory.
typedef struct {
  gpuio_error_t (*compress)(const void* in, size_t in_size, void* out, size_t out_capacity, size_t* out_size,
                            void* user_data);
  gpuio_error_t (*decompress)(const void* in, size_t in_size, void* out, size_t out_capacity,
                              size_t* out_size, void* user_data);
  size_t (*bound)(size_t in_size, void* user_data);  // the largest that compress can make of in_size bytes
  void* user_data;                                   // must stay until the codec is destroyed
} gpuio_codec_callbacks_t;

GPUIO_API gpuio_error_t gpuio_codec_create_custom(gpuio_context_t ctx,
                                                  const gpuio_codec_callbacks_t* callbacks,
                                                  gpuio_codec_t* codec);
// The largest that in_size bytes can become.
GPUIO_API gpuio_error_t gpuio_compress_bound(gpuio_codec_t codec, size_t in_size, size_t* out_size);

// Both block. INVALID_ARG when out_capacity is too small; damaged input is IO, and nothing past out_capacity
// is written.
GPUIO_API gpuio_error_t gpuio_compress(gpuio_codec_t codec, const void* in, size_t in_size, void* out,
                                       size_t out_capacity, size_t* out_size, gpuio_stream_t stream);
GPUIO_API gpuio_error_t gpuio_decompress(gpuio_codec_t codec, const void* in, size_t in_size, void* out,
                                         size_t out_capacity, size_t* out_size, gpuio_stream_t stream);
// Before submit: the bytes of the request are compressed on the way. The codec must stay until it completes.
GPUIO_API gpuio_error_t gpuio_transfer_compressed(gpuio_request_t request, gpuio_codec_t codec);

#ifdef __cplusplus
}
#endif

#endif  // GPUIO_GPUIO_AI_H
