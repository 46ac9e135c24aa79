// gpuio: a GPU kernel reads and writes anything that has an address as if it were an array.
//
// This is the C interface, from simple to advanced: errors and logging, a context, devices, streams and
// events, memory, opening what a URI names, requests that move bytes, batches, arrays that fill on demand,
// statistics. gpuio_ai.h adds the memory systems of models. The smallest use:
//
//     gpuio_context_t ctx;
//     gpuio_config_t config = GPUIO_CONFIG_DEFAULT;
//     if (gpuio_init(&ctx, &config) != GPUIO_SUCCESS) { puts(gpuio_last_error_message()); return 1; }
//     gpuio_proxy_t proxy;
//     void* array;                                  // a pointer that kernels can use
//     gpuio_proxy_create(ctx, "localio:///data/table.bin", 1 << 30, &proxy);
//     gpuio_proxy_map(ctx, proxy, &array);
//     ...
//     gpuio_finalize(ctx);                          // ends and frees whatever is left
//
// Conventions, which hold wherever a comment does not say otherwise:
//  - Results. A call returns GPUIO_SUCCESS or one of the errors below; gpuio_last_error_message() then says
//    which thing, which value and what to do about it. UNSUPPORTED: not possible here, and the message says
//    what would make it so; also the answer of a part that this version lacks. BUSY: possible, but not now.
//  - Outputs come last or are marked "out". A failed call clears them: handles to NULL, the rest to zeros.
//  - NULL where a handle or an output is needed is INVALID_ARG. Destroying a NULL handle is SUCCESS.
//  - Ownership. Who creates a handle destroys it, with the call that has the matching name; finalizing its
//  context
//    destroys it too. What is passed in by pointer is the caller's and is copied before the call returns,
//    except memory to be read or written, which must stay until the request that uses it is complete.
//    Canceling a request does not release its memory; its completion does.
//  - Threads. Any call may be made from any thread, also several at once with the same context; but destroy a
//    handle only when no other thread is using it. Callbacks run on a thread of the library, one at a time
//    for each context: do not block in them and do not destroy the request that is calling.
//  - Blocking. A call returns without waiting for a device, disk or network unless its comment says "blocks".
//    One that blocks and is given no timeout ends with TIMEOUT after wait.limit_ms of the configuration,
//    which is ten minutes: the message says what did not end. That goes on, and the memory that it uses must
//    stay; a handle that was to be destroyed is as before. The same call may be made again.
//  - A NULL stream is the default stream of the current device. Times are in the unit that ends the name.
//  - Zero means "the default" in any field of a struct that its comment does not explain.
#ifndef GPUIO_GPUIO_H
#define GPUIO_GPUIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define GPUIO_API __attribute__((visibility("default")))
#else
#define GPUIO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define GPUIO_VERSION_MAJOR 1
#define GPUIO_VERSION_MINOR 0
#define GPUIO_VERSION_PATCH 0

// Version of the library that is loaded, which may be newer than this header. NULL outputs are skipped.
GPUIO_API void gpuio_get_version(int* major, int* minor, int* patch);
// "1.0.0"; lives for ever.
GPUIO_API const char* gpuio_get_version_string(void);

// ---- Errors and logging

typedef enum {
  GPUIO_SUCCESS = 0,
  GPUIO_ERROR_GENERAL = -1,
  GPUIO_ERROR_NOMEM = -2,
  GPUIO_ERROR_INVALID_ARG = -3,
  GPUIO_ERROR_NOT_FOUND = -4,
  GPUIO_ERROR_TIMEOUT = -5,
  GPUIO_ERROR_IO = -6,
  GPUIO_ERROR_NETWORK = -7,
  GPUIO_ERROR_UNSUPPORTED = -8,
  GPUIO_ERROR_PERMISSION = -9,
  GPUIO_ERROR_BUSY = -10,
  GPUIO_ERROR_CANCELED = -11,
  GPUIO_ERROR_DEVICE_LOST = -12,
  GPUIO_ERROR_ALREADY_INITIALIZED = -13,  // finalizing a context that another thread is finalizing
  GPUIO_ERROR_NOT_INITIALIZED = -14,      // a context that was finalized, or never made
  GPUIO_ERROR_INVALID_ADDRESS = -15,      // outside every array and region
  GPUIO_ERROR_INVALID_BACKING = -16       // what an array is backed by is gone or has changed beneath it
} gpuio_error_t;

// A short name for any value, known or not: never NULL, lives for ever.
GPUIO_API const char* gpuio_error_string(gpuio_error_t error);
// What went wrong in the latest call of this thread that failed; "" if none has. Lives until this thread's
// next call of the library: copy it to keep it.
GPUIO_API const char* gpuio_last_error_message(void);

// A level shows itself and all levels before it. Messages go to standard error.
typedef enum {
  GPUIO_LOG_NONE = 0,
  GPUIO_LOG_FATAL = 1,
  GPUIO_LOG_ERROR = 2,
  GPUIO_LOG_WARN = 3,
  GPUIO_LOG_INFO = 4,
  GPUIO_LOG_DEBUG = 5,
  GPUIO_LOG_TRACE = 6
} gpuio_log_level_t;

// For the whole process; wins over what any configuration says, before and after.
GPUIO_API void gpuio_set_log_level(gpuio_log_level_t level);
// Writes a line as printf would format it, if the level is shown.
GPUIO_API void gpuio_log(gpuio_log_level_t level, const char* format, ...);

// ---- A context: devices, threads and caches, and everything made from them

typedef struct gpuio_context* gpuio_context_t;
typedef struct gpuio_stream* gpuio_stream_t;    // work in order
typedef struct gpuio_event* gpuio_event_t;      // a point in a stream
typedef struct gpuio_request* gpuio_request_t;  // one transfer
typedef struct gpuio_handle* gpuio_handle_t;    // an opened file, drive, memory or remote resource
typedef struct gpuio_proxy* gpuio_proxy_t;      // an array that fills on demand

typedef enum {
  GPUIO_CONFIG_SOFTWARE_GPUS = 1  // also use GPUs that a driver emulates on the CPU (lavapipe), for tests
} gpuio_config_flags_t;

typedef struct {
  uint32_t api_version;          // GPUIO_VERSION_MAJOR; 0: that of the library; another major is refused
  uint32_t flags;                // of gpuio_config_flags_t
  int max_gpus;                  // use at most this many; -1: all
  size_t memory_pool_size;       // bytes of pinned memory to hold for transfers; 0: chosen by the machine
  gpuio_log_level_t log_level;   // until gpuio_set_log_level is called
  const char* config_file;       // TOML; NULL: the one that GPUIO_CONFIG_FILE names, if any
  int numa_node;                 // where memory and threads are placed; -1: anywhere. Not acted on so far
  bool numa_strict;              // fail rather than take memory of another node: with several, UNSUPPORTED
  bool enable_security;          // serve and fetch over a network only with credentials
  const char* credentials_path;  // NULL: none, so with security on nothing goes over a network
} gpuio_config_t;

// clang-format off
#define GPUIO_CONFIG_DEFAULT          \
  {                                   \
    .api_version = GPUIO_VERSION_MAJOR, \
    .flags = 0,                       \
    .max_gpus = -1,                   \
    .memory_pool_size = 0,            \
    .log_level = GPUIO_LOG_INFO,      \
    .config_file = NULL,              \
    .numa_node = -1,                  \
    .numa_strict = false,             \
    .enable_security = true,          \
    .credentials_path = NULL          \
  }
// clang-format on

// Makes a context; config NULL means GPUIO_CONFIG_DEFAULT. A machine without a GPU is no error: the CPU
// device is always there. What config leaves at its default may come from the configuration file and from the
// environment (GPUIO_LOG_LEVEL and the like), which wins over the file. Contexts coexist. Blocks while the
// file is read. The caller ends it with gpuio_finalize.
GPUIO_API gpuio_error_t gpuio_init(gpuio_context_t* ctx, const gpuio_config_t* config);
// Ends what is in flight with CANCELED, then frees all that was made from the context. Blocks until requests,
// callbacks and calls of other threads have ended: after TIMEOUT all is still there, but the context takes no
// call but this one again. A device that then does not end its work in a minute is given up, with its memory.
GPUIO_API gpuio_error_t gpuio_finalize(gpuio_context_t ctx);
// What was configured, not what was found. Strings in it live as long as the context.
GPUIO_API gpuio_error_t gpuio_get_config(gpuio_context_t ctx, gpuio_config_t* config);

// ---- Devices

typedef enum {
  GPUIO_GPU_VENDOR_NVIDIA = 0,
  GPUIO_GPU_VENDOR_AMD = 1,
  GPUIO_GPU_VENDOR_INTEL = 2,
  GPUIO_GPU_VENDOR_CPU = 3,
  GPUIO_GPU_VENDOR_OTHER = 4
} gpuio_gpu_vendor_t;

typedef struct {
  int device_id;
  gpuio_gpu_vendor_t vendor;
  char name[256];
  size_t total_memory, free_memory;                        // bytes
  int compute_capability_major, compute_capability_minor;  // 0.0 where the vendor has no such number
  bool supports_gds;                                       // storage straight into device memory
  bool supports_gdr;                                       // network straight into device memory
  bool supports_cxl;
  bool supports_p2p;  // another device's memory
  int numa_node;      // -1: unknown
  int numa_distance;  // from the calling thread's node, as the firmware gives it; 10 is local, -1 unknown
} gpuio_device_info_t;

// Hardware GPUs, ids 0 to count - 1, and after them, with GPUIO_CONFIG_SOFTWARE_GPUS, the emulated ones
// (vendor OTHER). A GPU that several drivers offer counts once. The CPU device is not counted and always has
// the id -1. The first call that needs devices looks for them, and blocks meanwhile.
GPUIO_API gpuio_error_t gpuio_get_device_count(gpuio_context_t ctx, int* count);
// NOT_FOUND for an id that is no device.
GPUIO_API gpuio_error_t gpuio_get_device_info(gpuio_context_t ctx, int device_id, gpuio_device_info_t* info);
// The device of what this context makes from now on, in any thread. At first it is 0, or -1 where there is no
// GPU.
GPUIO_API gpuio_error_t gpuio_set_device(gpuio_context_t ctx, int device_id);

// ---- Streams: work on one device in the order in which it was given

typedef enum {
  GPUIO_STREAM_DEFAULT = 0,
  GPUIO_STREAM_HIGH_PRIORITY = 1,
  GPUIO_STREAM_LOW_PRIORITY = 2
} gpuio_stream_priority_t;

// On the current device. The priority is a wish, which no device of this version can grant.
GPUIO_API gpuio_error_t gpuio_stream_create(gpuio_context_t ctx, gpuio_stream_t* stream,
                                            gpuio_stream_priority_t priority);
// Blocks until the work in it is done; after TIMEOUT the stream is as before.
GPUIO_API gpuio_error_t gpuio_stream_destroy(gpuio_context_t ctx, gpuio_stream_t stream);
// Blocks until all work given so far is done, and answers the first error among it.
GPUIO_API gpuio_error_t gpuio_stream_synchronize(gpuio_context_t ctx, gpuio_stream_t stream);
// Whether nothing is left to do; a fresh stream is idle.
GPUIO_API gpuio_error_t gpuio_stream_query(gpuio_context_t ctx, gpuio_stream_t stream, bool* idle);

// ---- Events: points in streams, to wait for and to measure between

GPUIO_API gpuio_error_t gpuio_event_create(gpuio_context_t ctx, gpuio_event_t* event);
GPUIO_API gpuio_error_t gpuio_event_destroy(gpuio_context_t ctx, gpuio_event_t event);
// The event completes when all work given to the stream so far has; recording again forgets the earlier
// point.
GPUIO_API gpuio_error_t gpuio_event_record(gpuio_context_t ctx, gpuio_event_t event, gpuio_stream_t stream);
// Blocks until it has completed; INVALID_ARG if it was never recorded.
GPUIO_API gpuio_error_t gpuio_event_synchronize(gpuio_context_t ctx, gpuio_event_t event);
// Whether it has completed; INVALID_ARG if it was never recorded.
GPUIO_API gpuio_error_t gpuio_event_query(gpuio_context_t ctx, gpuio_event_t event, bool* complete);
// Milliseconds from start to end, both recorded in one stream; BUSY while one of them is not complete.
GPUIO_API gpuio_error_t gpuio_event_elapsed_time(gpuio_context_t ctx, gpuio_event_t start, gpuio_event_t end,
                                                 float* ms);

// ---- Memory

typedef enum {
  GPUIO_MEM_DEFAULT = 0,
  GPUIO_MEM_PINNED = 1,
  GPUIO_MEM_DEVICE = 2,
  GPUIO_MEM_UNIFIED = 3,
  GPUIO_MEM_CXL = 4,
  GPUIO_MEM_REMOTE = 5
} gpuio_mem_type_t;

typedef enum {
  GPUIO_MEM_READ = 1,
  GPUIO_MEM_WRITE = 2,
  GPUIO_MEM_READ_WRITE = 3,
  GPUIO_MEM_ATOMIC = 4
} gpuio_mem_access_t;

// A range that requests can name: memory, or a part of what a handle has opened.
typedef struct {
  void* base_addr;    // for the CPU; NULL where it cannot reach it
  void* gpu_addr;     // for kernels; NULL where they cannot reach it or no device was used yet
  uint64_t bus_addr;  // for other devices on the bus; 0 where unknown
  size_t length;      // bytes, as asked for
  gpuio_mem_type_t type;
  gpuio_mem_access_t access;
  int gpu_id;       // of device memory; -1 otherwise
  bool registered;  // true while it may be used
  void* handle;     // the library's own
} gpuio_memory_region_t;

// The caller frees with gpuio_free. NOMEM at once when there is not enough; 0 bytes give NULL. What the
// memory holds at first is undefined.
GPUIO_API gpuio_error_t gpuio_malloc(gpuio_context_t ctx, size_t size, void** memory);  // host
GPUIO_API gpuio_error_t gpuio_malloc_pinned(gpuio_context_t ctx, size_t size,
                                            void** memory);  // host, and kernels reach it
GPUIO_API gpuio_error_t gpuio_malloc_device(gpuio_context_t ctx, size_t size, void** memory);
GPUIO_API gpuio_error_t gpuio_malloc_unified(gpuio_context_t ctx, size_t size,
                                             void** memory);  // both reach it by one address
// Memory of any of the four; NULL is SUCCESS, a pointer that came from none of them INVALID_ARG. While a
// kernel waits for data the memory is given back later: freeing never blocks on it.
GPUIO_API gpuio_error_t gpuio_free(gpuio_context_t ctx, void* memory);

// Makes the caller's own memory known, of any length and alignment, so that requests can name it. The memory
// must stay until it is unregistered.
GPUIO_API gpuio_error_t gpuio_register_memory(gpuio_context_t ctx, void* memory, size_t size,
                                              gpuio_mem_access_t access, gpuio_memory_region_t* region);
// Sets region->registered to false; a region that is not registered is INVALID_ARG. BUSY while a request uses
// it.
GPUIO_API gpuio_error_t gpuio_unregister_memory(gpuio_context_t ctx, gpuio_memory_region_t* region);

// Between any two memories that the library knows or the CPU can reach. Blocks until the bytes are there;
// after TIMEOUT both memories must stay until the stream has been synchronized.
GPUIO_API gpuio_error_t gpuio_memcpy(gpuio_context_t ctx, void* dst, const void* src, size_t size,
                                     gpuio_stream_t stream);
// As above, in the order of the stream: both memories must stay until it is synchronized. Does not block,
// except on a stream of a GPU with memory that the library does not know, which then waits for the work
// before it: after TIMEOUT some of the bytes may have been copied.
GPUIO_API gpuio_error_t gpuio_memcpy_async(gpuio_context_t ctx, void* dst, const void* src, size_t size,
                                           gpuio_stream_t stream);

// ---- Opening what a URI names
//
//     memio://cpu/dram?numa=0        mem://cpu/pinned   mem://gpu/0   mem://cxl/pool0
//     localio:///mnt/data/file.dat   local:///dev/nvme0n1   nvme://uuid/partition   file:///a.bin
//     /a/plain/path remoteio://10.0.0.1:5555/set?transport=rdma   rdma://host:port/resource
//     tcp://host:port/resource gpuio://localio/mnt/data/file.dat             the engine as the first part,
//     for any of the three
//
// %41 stands for the byte 41 (hexadecimal), except in a plain path. An unknown parameter is refused by name.

typedef enum {
  GPUIO_ENGINE_MEMIO = 0,
  GPUIO_ENGINE_LOCALIO = 1,
  GPUIO_ENGINE_REMOTEIO = 2
} gpuio_io_engine_t;

typedef enum {
  GPUIO_OPEN_READ = 1,
  GPUIO_OPEN_WRITE = 2,
  GPUIO_OPEN_CREATE = 4,    // make it if it is missing
  GPUIO_OPEN_TRUNCATE = 8,  // empty it
  GPUIO_OPEN_DIRECT = 16    // past the system's cache, or fail
} gpuio_open_flags_t;

typedef enum {
  GPUIO_CAP_READ = 1,
  GPUIO_CAP_WRITE = 2,
  GPUIO_CAP_DIRECT = 4,      // bypasses the system's cache, at `alignment`
  GPUIO_CAP_ZERO_COPY = 8,   // registered memory is used in place
  GPUIO_CAP_ONE_SIDED = 16,  // the other side's CPU takes no part
  GPUIO_CAP_ATOMICS = 32,
  GPUIO_CAP_DEVICE_MEMORY = 64,  // straight into and out of a GPU
  GPUIO_CAP_RESIZE = 128,        // writing past the end grows it
  GPUIO_CAP_DURABLE = 256        // what was flushed outlives a power failure
} gpuio_capability_t;

typedef struct {
  gpuio_io_engine_t engine;
  uint64_t size;          // bytes now
  uint32_t block_size;    // bytes: what it likes to move at once
  uint32_t alignment;     // bytes: of offset, length and memory, where GPUIO_CAP_DIRECT
  uint64_t capabilities;  // of gpuio_capability_t
  char route[128];        // the path really taken, as "io_uring, direct"
  char reason[256];       // why not a better one; "" when it is the best
} gpuio_handle_info_t;

// flags: of gpuio_open_flags_t. Blocks while it opens. The caller ends it with gpuio_close.
GPUIO_API gpuio_error_t gpuio_open(gpuio_context_t ctx, const char* uri, uint32_t flags,
                                   gpuio_handle_t* handle);
// BUSY while a request or an array uses it.
GPUIO_API gpuio_error_t gpuio_close(gpuio_context_t ctx, gpuio_handle_t handle);
GPUIO_API gpuio_error_t gpuio_handle_info(gpuio_context_t ctx, gpuio_handle_t handle,
                                          gpuio_handle_info_t* info);
// Names a range of it for requests. Ends with gpuio_unregister_memory, or with the handle.
GPUIO_API gpuio_error_t gpuio_handle_region(gpuio_context_t ctx, gpuio_handle_t handle, uint64_t offset,
                                            size_t length, gpuio_mem_access_t access,
                                            gpuio_memory_region_t* region);

// ---- Requests: one transfer each. create, submit, wait, destroy; after a wait, submit again if you like.

typedef enum {
  GPUIO_REQ_READ = 0,     // src is a handle's region, dst memory
  GPUIO_REQ_WRITE = 1,    // src is memory, dst a handle's region
  GPUIO_REQ_COPY = 2,     // any to any
  GPUIO_REQ_SCATTER = 3,  // consecutive elements of src to the listed places of dst
  GPUIO_REQ_GATHER = 4,   // the listed places of src to consecutive elements of dst
  GPUIO_REQ_ATOMIC_CMP_SWAP = 5,
  GPUIO_REQ_ATOMIC_FETCH_ADD = 6,
  GPUIO_REQ_BATCH = 7  // runs a batch as one request
} gpuio_request_type_t;

// PENDING until submitted. COMPLETED, ERROR and CANCELLED are final, until it is submitted again.
typedef enum {
  GPUIO_STATUS_PENDING = 0,
  GPUIO_STATUS_SUBMITTED = 1,
  GPUIO_STATUS_IN_PROGRESS = 2,
  GPUIO_STATUS_COMPLETED = 3,
  GPUIO_STATUS_ERROR = 4,
  GPUIO_STATUS_CANCELLED = 5
} gpuio_request_status_t;

// Called once for each submit, also when the request fails or is canceled.
typedef void (*gpuio_callback_t)(gpuio_request_t request, gpuio_error_t error, void* user_data);

typedef struct {
  gpuio_request_type_t type;
  gpuio_io_engine_t engine;  // for the reader: the regions decide
  gpuio_memory_region_t* src;
  uint64_t src_offset;  // bytes into src
  gpuio_memory_region_t* dst;
  uint64_t dst_offset;
  size_t length;  // bytes
  // It begins when the work before it in the stream is done, and the work after it waits for it. NULL: at
  // once and in no order, but the default stream is idle only when it has ended.
  gpuio_stream_t stream;
  bool async;                 // false: gpuio_request_submit blocks until it is complete
  gpuio_callback_t callback;  // may be NULL
  void* user_data;
  uint64_t timeout_us;  // from submit; then it ends with TIMEOUT. 0: no limit
  int priority;         // 0 is the highest
} gpuio_request_params_t;

// The two regions are copied; what they name must stay.
GPUIO_API gpuio_error_t gpuio_request_create(gpuio_context_t ctx, const gpuio_request_params_t* params,
                                             gpuio_request_t* request);
// Cancels it if it is in flight, and blocks until it has completed; after TIMEOUT it is still there, and uses
// its memory.
GPUIO_API gpuio_error_t gpuio_request_destroy(gpuio_context_t ctx, gpuio_request_t request);
// BUSY when it is in flight already or 4096 are. With async = false blocks, and answers how it ended; then,
// and wherever else a call would block, it is BUSY in a callback of the same context.
GPUIO_API gpuio_error_t gpuio_request_submit(gpuio_context_t ctx, gpuio_request_t request);
// Blocks until it is complete and answers how it ended; TIMEOUT when that takes longer: it goes on.
// timeout_us 0 only looks; UINT64_MAX waits for ever.
GPUIO_API gpuio_error_t gpuio_request_wait(gpuio_context_t ctx, gpuio_request_t request, uint64_t timeout_us);
// Asks it to end. It still completes, with CANCELED or with what it had reached; until then its memory is in
// use. One that waits for its stream ends when its turn comes; so it does with a timeout.
GPUIO_API gpuio_error_t gpuio_request_cancel(gpuio_context_t ctx, gpuio_request_t request);
GPUIO_API gpuio_error_t gpuio_request_get_status(gpuio_context_t ctx, gpuio_request_t request,
                                                 gpuio_request_status_t* status);

typedef struct {
  uint64_t bytes;       // moved for certain
  gpuio_error_t error;  // how it ended
  uint64_t old_value;   // of an atomic: what was there before
} gpuio_request_result_t;

// BUSY while it is in flight. A read past the end of a file succeeds with fewer bytes.
GPUIO_API gpuio_error_t gpuio_request_get_result(gpuio_context_t ctx, gpuio_request_t request,
                                                 gpuio_request_result_t* result);

// Before submit. The list of a SCATTER or GATHER: `count` element numbers, each element of `element_size`
// bytes.
GPUIO_API gpuio_error_t gpuio_request_set_indices(gpuio_context_t ctx, gpuio_request_t request,
                                                  const uint64_t* indices, size_t count, size_t element_size);
// Of an atomic on 4 or 8 bytes: what to add or to store, and what a compare-and-swap compares with.
GPUIO_API gpuio_error_t gpuio_request_set_atomic(gpuio_context_t ctx, gpuio_request_t request,
                                                 uint64_t operand, uint64_t compare);
// From submit; decides the order under GPUIO_SCHED_DEADLINE and ends nothing. 0: none.
GPUIO_API gpuio_error_t gpuio_request_set_deadline(gpuio_context_t ctx, gpuio_request_t request,
                                                   uint64_t deadline_us);
// At any time before completion; takes effect on what has not been started. rate 0: no limit.
GPUIO_API gpuio_error_t gpuio_request_modify(gpuio_context_t ctx, gpuio_request_t request, int priority,
                                             uint64_t rate_bytes_per_s);

// ---- Progress of a long request

typedef struct {
  uint64_t bytes_total, bytes_completed;
  uint64_t bytes_transferred;  // with what was moved again after an error
  float progress_percent;
  uint64_t eta_ms;  // 0: unknown
  gpuio_request_status_t status;
  gpuio_error_t error;
} gpuio_progress_t;

typedef void (*gpuio_progress_callback_t)(const gpuio_progress_t* progress, void* user_data);

// Called while it is in flight, at least ten times a second, and once at the end. NULL stops it.
GPUIO_API gpuio_error_t gpuio_request_set_progress_callback(gpuio_context_t ctx, gpuio_request_t request,
                                                            gpuio_progress_callback_t callback,
                                                            void* user_data);
GPUIO_API gpuio_error_t gpuio_request_get_progress(gpuio_context_t ctx, gpuio_request_t request,
                                                   gpuio_progress_t* progress);

// ---- Batches: many requests, submitted together

typedef struct {
  gpuio_request_t* requests;  // the array is read at submit; the requests stay the caller's
  int num_requests;
  bool ordered;  // each starts when the one before it is complete; an error cancels the rest
  gpuio_callback_t batch_callback;  // called once, with request NULL, when all are complete; may be NULL
  void* user_data;
} gpuio_batch_t;

GPUIO_API gpuio_error_t gpuio_batch_submit(gpuio_context_t ctx, gpuio_batch_t* batch);
// Blocks until all are complete and answers the first error among them; timeout_us as in gpuio_request_wait.
GPUIO_API gpuio_error_t gpuio_batch_wait(gpuio_context_t ctx, gpuio_batch_t* batch, uint64_t timeout_us);
// The batch that a GPUIO_REQ_BATCH request runs; may hold such requests itself, but no request twice.
GPUIO_API gpuio_error_t gpuio_request_set_batch(gpuio_context_t ctx, gpuio_request_t request,
                                                const gpuio_batch_t* batch);

// ---- Arrays that fill on demand

typedef enum {
  GPUIO_CACHE_DEFAULT = 0,
  GPUIO_CACHE_LRU = 1,
  GPUIO_CACHE_LFU = 2,
  GPUIO_CACHE_ADAPTIVE = 3
} gpuio_cache_policy_t;

typedef struct {
  uint64_t size, page_size;  // bytes
  uint64_t pages_resident, pages_dirty;
  uint64_t hits;    // pages that gpuio_proxy_read found; a hit in a kernel costs a load and is not counted
  uint64_t misses;  // accesses of kernels that were answered from the target, and pages that reads missed
  uint64_t evictions, prefetches, write_backs;      // pages
  double hit_rate;                                  // of what is counted; 0 before any access
  double miss_latency_p50_us, miss_latency_p99_us;  // of kernels' misses
} gpuio_proxy_stats_t;

// The first `size` bytes of what the URI names, 0 for all of it, as a read-only array of the current device.
// Nothing is read yet. INVALID_ARG when the target is empty or holds fewer. All arrays of a device share one
// cache (paging.cache_size and paging.page_size of the configuration), which the first one makes. Pages come
// past the system's cache where io.direct is "always" or the URI says direct=true, and the file system can.
// Blocks while the target is opened. Ends with gpuio_proxy_destroy.
GPUIO_API gpuio_error_t gpuio_proxy_create(gpuio_context_t ctx, const char* uri, size_t size,
                                           gpuio_proxy_t* proxy);
// Ends its window too. Blocks while a kernel uses the device's cache; BUSY while one uses this array.
GPUIO_API gpuio_error_t gpuio_proxy_destroy(gpuio_context_t ctx, gpuio_proxy_t proxy);
// A pointer that kernels can use as plain memory, valid until it was unmapped as often as mapped. An array
// that fits in the cache size, together with the others that are mapped, is read whole, and blocks meanwhile;
// a larger one needs a device that faults on plain pointers, else UNSUPPORTED with the size that would fit.
// INVALID_BACKING when the target has become shorter.
GPUIO_API gpuio_error_t gpuio_proxy_map(gpuio_context_t ctx, gpuio_proxy_t proxy, void** gpu_ptr);
GPUIO_API gpuio_error_t gpuio_proxy_unmap(gpuio_context_t ctx, gpuio_proxy_t proxy);
// Brings a range into the cache ahead of its use, at most as much as the cache holds, once the stream has
// done what it was given before. Blocks until it is there. INVALID_ADDRESS when the range leaves the array.
GPUIO_API gpuio_error_t gpuio_proxy_prefetch(gpuio_context_t ctx, gpuio_proxy_t proxy, uint64_t offset,
                                             size_t size, gpuio_stream_t stream);
// Reads bytes for the CPU through the same cache. Blocks; INVALID_ADDRESS and INVALID_BACKING as above.
GPUIO_API gpuio_error_t gpuio_proxy_read(gpuio_context_t ctx, gpuio_proxy_t proxy, uint64_t offset,
                                         void* memory, size_t size);
// DEFAULT is a clock over the eight places that may hold a page; the others are UNSUPPORTED so far.
GPUIO_API gpuio_error_t gpuio_proxy_set_cache_policy(gpuio_context_t ctx, gpuio_proxy_t proxy,
                                                     gpuio_cache_policy_t policy);
// Blocks until what was written so far is durable where it came from: at once, as arrays are read-only so
// far.
GPUIO_API gpuio_error_t gpuio_proxy_flush(gpuio_context_t ctx, gpuio_proxy_t proxy);
GPUIO_API gpuio_error_t gpuio_proxy_get_stats(gpuio_context_t ctx, gpuio_proxy_t proxy,
                                              gpuio_proxy_stats_t* stats);

// ---- Scheduling and retries

typedef enum {
  GPUIO_SCHED_FIFO = 0,
  GPUIO_SCHED_PRIORITY = 1,
  GPUIO_SCHED_DEADLINE = 2,  // earliest first; those without one after all that have
  GPUIO_SCHED_ADAPTIVE = 3   // by priority, ageing so that nothing starves
} gpuio_sched_policy_t;

// For requests submitted from now on.
GPUIO_API gpuio_error_t gpuio_set_sched_policy(gpuio_context_t ctx, gpuio_sched_policy_t policy);

typedef struct {
  int max_retries;  // after the first attempt; here 0 means none
  uint64_t initial_backoff_us, max_backoff_us;
  double backoff_multiplier;
} gpuio_retry_policy_t;

// How requests of this context are tried again; the error of the last attempt is the one that is answered.
GPUIO_API gpuio_error_t gpuio_set_retry_policy(gpuio_context_t ctx, const gpuio_retry_policy_t* policy);
// Whether the same call may succeed later: TIMEOUT, IO, NETWORK and BUSY.
GPUIO_API bool gpuio_error_is_retryable(gpuio_error_t error);
typedef gpuio_error_t (*gpuio_operation_fn_t)(void* user_data);
// Calls operation until it succeeds, fails for good, or the retries are used up, and answers its last result.
// Blocks: it sleeps between attempts.
GPUIO_API gpuio_error_t gpuio_retry_with_backoff(const gpuio_retry_policy_t* policy,
                                                 gpuio_operation_fn_t operation, void* user_data);

// ---- Statistics of a context, since it was made or reset

typedef struct {
  uint64_t requests_submitted, requests_completed, requests_failed, requests_cancelled;
  double bandwidth_gbps;  // 10^9 bytes a second
  uint64_t bytes_read, bytes_written;
  double latency_avg_us, latency_p50_us, latency_p99_us;
  uint64_t cache_hits, cache_misses;  // of all arrays, counted as in gpuio_proxy_stats_t
  double cache_hit_rate;              // 0 before any access
} gpuio_stats_t;

GPUIO_API gpuio_error_t gpuio_get_stats(gpuio_context_t ctx, gpuio_stats_t* stats);
GPUIO_API gpuio_error_t gpuio_reset_stats(gpuio_context_t ctx);

// ---- What servers and clients say to each other: this header, then payload_len bytes, all little-endian. A
// version may announce a checksum after them. For those who write the other side; programs use URIs.

#define GPUIO_MAGIC 0x47505549u
#define GPUIO_MSG_HELLO 0x01
#define GPUIO_MSG_HELLO_ACK 0x02
#define GPUIO_MSG_READ_REQ 0x10
#define GPUIO_MSG_WRITE_REQ 0x11
#define GPUIO_MSG_READ_RESP 0x12
#define GPUIO_MSG_WRITE_RESP 0x13
#define GPUIO_MSG_RDMA_INFO 0x20
#define GPUIO_MSG_ERROR 0xFF

#pragma pack(push, 1)
typedef struct {
  uint32_t magic;
  uint16_t version;
  uint16_t msg_type;
  uint32_t flags;
  uint64_t request_id;
  uint64_t payload_len;  // bytes
} gpuio_msg_header_t;

typedef struct {
  uint32_t qp_num;
  uint16_t lid;
  uint8_t gid[16];
  uint32_t rkey;
  uint64_t vaddr;
} gpuio_rdma_info_t;
#pragma pack(pop)

#ifdef __cplusplus
}
#endif

#endif  // GPUIO_GPUIO_H
