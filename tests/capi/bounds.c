// Calls that have no timeout of their own: what they wait for does not end, and they say so after
// wait.limit_ms. Then it ends, and the same calls succeed. On the CPU device, which is everywhere, and once
// on a Vulkan device.
#define _POSIX_C_SOURCE 200809L
#include <gpuio/gpuio_kernel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "check.h"
#include "kernel_ir.h"

#define MIB (1 << 20)
#define PAGE 4096

static gpuio_context_t ctx;
static char path[] = "/tmp/gpuio_bounds_XXXXXX";
static unsigned char memory[4 * MIB];
static const uint32_t kOne[3] = {1, 1, 1};

static atomic_bool entered, released;
static void hold(void) {
  atomic_store(&entered, true);
  const struct timespec t = {0, 1000000};
  while (!atomic_load(&released)) nanosleep(&t, NULL);
}
static void await_entry(void) {
  const struct timespec t = {0, 1000000};
  while (!atomic_load(&entered)) nanosleep(&t, NULL);
}
static void make_context(void) {
  entered = released = false;
  NEED(gpuio_init(&ctx, NULL));
  NEED(gpuio_set_device(ctx, -1));
}
#define LATE(call, says)                 \
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, call); \
  CHECK_SAYS("wait.limit_ms");           \
  CHECK_SAYS(says)

// On a busy machine what was let go may take longer than the limit.
#define ENDS(call)                                                                      \
  do {                                                                                  \
    gpuio_error_t ends_code;                                                            \
    int ends_tries = 0;                                                                 \
    while ((ends_code = (call)) == GPUIO_ERROR_TIMEOUT && ++ends_tries < 300) continue; \
    CHECK_CODE(GPUIO_SUCCESS, ends_code);                                               \
  } while (0)

static void callback_that_holds(gpuio_request_t request, gpuio_error_t error, void* user_data) {
  (void)request, (void)error, (void)user_data;
  hold();
}
static gpuio_error_t kernel_that_holds(const gpuio_workgroup_t* group) {
  (void)group;
  hold();
  return GPUIO_SUCCESS;
}

// A read from memory into `memory`, in a stream or not.
static gpuio_request_t reading(gpuio_stream_t stream, gpuio_callback_t callback, uint64_t rate) {
  static gpuio_memory_region_t src, dst;
  gpuio_handle_t handle;
  gpuio_request_t request;
  NEED(gpuio_open(ctx, "mem://bounds?size=4MiB", GPUIO_OPEN_READ, &handle));
  NEED(gpuio_handle_region(ctx, handle, 0, sizeof memory, GPUIO_MEM_READ, &src));
  NEED(gpuio_register_memory(ctx, memory, sizeof memory, GPUIO_MEM_WRITE, &dst));
  gpuio_request_params_t params = {.type = GPUIO_REQ_READ,
                                   .src = &src,
                                   .dst = &dst,
                                   .length = sizeof memory,
                                   .stream = stream,
                                   .async = true,
                                   .callback = callback};
  NEED(gpuio_request_create(ctx, &params, &request));
  NEED(gpuio_request_modify(ctx, request, 0, rate));
  NEED(gpuio_request_submit(ctx, request));
  return request;
}

static void a_callback_that_does_not_return(void) {
  gpuio_request_status_t status;
  gpuio_config_t config;
  make_context();
  gpuio_request_t request = reading(NULL, callback_that_holds, 0);
  await_entry();
  LATE(gpuio_stream_synchronize(ctx, NULL), "a request without a stream, or its callback");
  LATE(gpuio_request_destroy(ctx, request), "destroy it again");
  OK(gpuio_request_get_status(ctx, request, &status));
  CHECK(status == GPUIO_STATUS_COMPLETED);
  LATE(gpuio_finalize(ctx), "let the callback return");
  CHECK_CODE(GPUIO_ERROR_NOT_INITIALIZED, gpuio_get_config(ctx, &config));
  CHECK_CODE(GPUIO_ERROR_NOT_INITIALIZED, gpuio_request_destroy(ctx, request));
  atomic_store(&released, true);
  ENDS(gpuio_finalize(ctx));
  CHECK_CODE(GPUIO_ERROR_NOT_INITIALIZED, gpuio_finalize(ctx));
}

static void a_request_is_destroyed_later(void) {
  make_context();
  gpuio_request_t request = reading(NULL, callback_that_holds, 0);
  await_entry();
  LATE(gpuio_request_destroy(ctx, request), "keep its memory");
  atomic_store(&released, true);
  OK(gpuio_request_wait(ctx, request, UINT64_MAX));
  OK(gpuio_request_submit(ctx, request));  // it is as before
  ENDS(gpuio_request_destroy(ctx, request));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_request_destroy(ctx, request));
  ENDS(gpuio_finalize(ctx));
}

static void a_slow_request_in_a_stream(void) {
  gpuio_stream_t stream;
  gpuio_event_t event;
  gpuio_proxy_t proxy;
  char from[100], to[100] = {0};
  bool idle = true;
  make_context();
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  NEED(gpuio_event_create(ctx, &event));
  NEED(gpuio_proxy_create(ctx, path, 0, &proxy));
  memset(from, 7, sizeof from);
  gpuio_request_t request = reading(stream, NULL, 65536);  // a minute
  OK(gpuio_event_record(ctx, event, stream));
  LATE(gpuio_stream_synchronize(ctx, stream), "2 operations of the stream");
  LATE(gpuio_event_synchronize(ctx, event), "before the event");
  LATE(gpuio_memcpy(ctx, to, from, sizeof to, stream), "3 operations of the stream");
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, gpuio_proxy_prefetch(ctx, proxy, 0, 1, stream));
  CHECK_SAYS("what the stream was given before");
  LATE(gpuio_stream_destroy(ctx, stream), "4 operations of the stream");
  OK(gpuio_stream_query(ctx, stream, &idle));  // it is still there
  CHECK(!idle && to[0] == 0);
  OK(gpuio_request_cancel(ctx, request));
  ENDS(gpuio_stream_synchronize(ctx, stream));
  CHECK(to[99] == 7);  // what came after it was done in its turn
  ENDS(gpuio_event_synchronize(ctx, event));
  ENDS(gpuio_proxy_prefetch(ctx, proxy, 0, 1, stream));
  ENDS(gpuio_stream_destroy(ctx, stream));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_stream_query(ctx, stream, &idle));
  ENDS(gpuio_finalize(ctx));
}

static gpuio_kernel_t load_holding(const char* name) {
  size_t size;
  const void* ir = kernel_ir(name, &size);
  gpuio_kernel_t kernel;
  NEED(gpuio_kernel_load(ctx, ir, size, &kernel));
  NEED(gpuio_kernel_set_native(ctx, kernel, kernel_that_holds));
  return kernel;
}

static void a_kernel_that_does_not_end(void) {
  gpuio_stream_t stream;
  gpuio_event_t event;
  char from[100] = {1}, to[100] = {0};
  uint32_t out = 0;
  make_context();
  gpuio_kernel_t kernel = load_holding("spin");
  const gpuio_argument_t a[2] = {{.kind = GPUIO_ARG_MEMORY, .memory = &out, .count = 1},
                                 {.kind = GPUIO_ARG_SCALAR, .bits = 1}};
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  NEED(gpuio_event_create(ctx, &event));
  OK(gpuio_kernel_launch(ctx, kernel, kOne, a, 2, stream));
  OK(gpuio_event_record(ctx, event, stream));
  await_entry();
  LATE(gpuio_stream_synchronize(ctx, stream), "a kernel or a copy");
  LATE(gpuio_event_synchronize(ctx, event), "a kernel or a copy");
  LATE(gpuio_memcpy(ctx, to, from, sizeof to, stream), "a kernel or a copy");
  LATE(gpuio_stream_destroy(ctx, stream), "a kernel or a copy");
  CHECK(to[0] == 0);
  // The same on the stream's own thread, behind a request: then finalizing waits for it too.
  (void)reading(stream, NULL, 0);
  LATE(gpuio_finalize(ctx), "the work of a stream");
  atomic_store(&released, true);
  ENDS(gpuio_finalize(ctx));
  CHECK(to[0] == 1);
}

// A GPU copies what the library does not know by waiting for what was before.
static void a_gpu_that_is_busy(void) {
  const char* const manifest = getenv("GPUIO_TEST_VULKAN_ICD");
  if (!manifest) {
#ifndef __SANITIZE_THREAD__  // which gets no driver
    CHECK(!getenv("GPUIO_TEST_VULKAN_REQUIRED"));
#endif
    printf("skipped: GPUIO_TEST_VULKAN_ICD names no Vulkan driver; ./dev sets it\n");
    return;
  }
  setenv("VK_DRIVER_FILES", manifest, 1);
  setenv("VK_ICD_FILENAMES", manifest, 1);
  const uint32_t number = 12345;
  uint32_t got = 0;
  int device;
  size_t size;
  void *memory_of_gpu, *out;
  gpuio_stream_t stream;
  gpuio_kernel_t kernel;
  make_context();
  NEED(gpuio_find_device(ctx, "vulkan", &device));
  NEED(gpuio_set_device(ctx, device));
  NEED(gpuio_malloc_device(ctx, 4, &memory_of_gpu));
  NEED(gpuio_malloc_device(ctx, 4, &out));
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  const void* ir = kernel_ir("spin", &size);
  NEED(gpuio_kernel_load(ctx, ir, size, &kernel));
  const gpuio_argument_t a[2] = {{.kind = GPUIO_ARG_MEMORY, .memory = out, .count = 1},
                                 {.kind = GPUIO_ARG_SCALAR, .bits = 1000000000}};
  OK(gpuio_kernel_launch(ctx, kernel, kOne, a, 2, stream));
  LATE(gpuio_memcpy_async(ctx, memory_of_gpu, &number, 4, stream), "copy again");
  LATE(gpuio_memset_async(ctx, &got, 1, 4, stream), "which was given up");
  LATE(gpuio_stream_synchronize(ctx, stream), "a kernel or a copy");
  CHECK(got == 0);
  ENDS(gpuio_stream_synchronize(ctx, stream));
  OK(gpuio_memcpy_async(ctx, memory_of_gpu, &number, 4, stream));
  OK(gpuio_memcpy(ctx, &got, memory_of_gpu, 4, stream));
  CHECK(got == number);
  ENDS(gpuio_stream_destroy(ctx, stream));
  ENDS(gpuio_finalize(ctx));
}

typedef struct {
  gpuio_kernel_t kernel;
  gpuio_proxy_t proxy;
  gpuio_error_t code;
} Running;
static void* run(void* p) {
  static uint32_t counts[256], failed[1];
  Running* r = p;
  const gpuio_argument_t a[4] = {{.kind = GPUIO_ARG_PROXY, .proxy = r->proxy},
                                 {.kind = GPUIO_ARG_MEMORY, .memory = counts, .count = 256},
                                 {.kind = GPUIO_ARG_MEMORY, .memory = failed, .count = 1},
                                 {.kind = GPUIO_ARG_SCALAR, .bits = PAGE}};
  r->code = gpuio_kernel_run(ctx, r->kernel, kOne, a, 4, NULL, NULL, NULL);
  return NULL;
}
static void a_kernel_that_has_the_cache(void) {
  pthread_t thread;
  gpuio_proxy_t other;
  gpuio_proxy_stats_t stats;
  void* window;
  char byte;
  Running r = {NULL, NULL, GPUIO_SUCCESS};
  make_context();
  NEED(gpuio_proxy_create(ctx, path, 0, &r.proxy));
  r.kernel = load_holding("scan_histogram");
  CHECK(pthread_create(&thread, NULL, run, &r) == 0);
  await_entry();
#define IN_USE(call)                     \
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, call); \
  CHECK_SAYS("another kernel or access used the device's page cache for")
  IN_USE(gpuio_proxy_read(ctx, r.proxy, 0, &byte, 1));
  IN_USE(gpuio_proxy_prefetch(ctx, r.proxy, 0, 1, NULL));
  IN_USE(gpuio_proxy_map(ctx, r.proxy, &window));
  IN_USE(gpuio_proxy_get_stats(ctx, r.proxy, &stats));
  IN_USE(gpuio_proxy_destroy(ctx, r.proxy));
  IN_USE(gpuio_proxy_create(ctx, path, 0, &other));
  CHECK(other == NULL && window == NULL && stats.size == 0);
  LATE(gpuio_finalize(ctx), "1 calls of other threads");
  atomic_store(&released, true);
  pthread_join(thread, NULL);
  CHECK(r.code == GPUIO_ERROR_CANCELED);
  ENDS(gpuio_finalize(ctx));
}

int main(void) {
  const int fd = mkstemp(path);
  if (fd < 0 || write(fd, memory, PAGE) != PAGE) return 1;
  close(fd);
  setenv("GPUIO_PAGING_CACHE_SIZE", "64KiB", 1);
  setenv("GPUIO_PAGING_PAGE_SIZE", "4KiB", 1);
  setenv("GPUIO_WAIT_LIMIT_MS", "100", 1);
  RUN(a_callback_that_does_not_return);
  RUN(a_request_is_destroyed_later);
  RUN(a_slow_request_in_a_stream);
  RUN(a_kernel_that_does_not_end);
  RUN(a_gpu_that_is_busy);
  RUN(a_kernel_that_has_the_cache);
  unlink(path);
  return check_failed;
}
