// Kernels from C: loading, arguments held to the parameters, launches with and without on-demand arrays,
// native code, time limits, and ends from another thread. On the CPU device, which is everywhere.
#define _POSIX_C_SOURCE 200809L
#include <gpuio/gpuio_kernel.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "kernel_ir.h"

#define PAGE 4096
#define BYTES (64 * PAGE)

static gpuio_context_t ctx;
static char path[] = "/tmp/gpuio_kernel_XXXXXX";
static const uint32_t kOne[3] = {1, 1, 1}, kFour[3] = {4, 1, 1};

static gpuio_argument_t memory(void* at, uint64_t count, uint32_t size) {
  return (gpuio_argument_t){.kind = GPUIO_ARG_MEMORY, .element_size = size, .memory = at, .count = count};
}
static gpuio_argument_t scalar(uint64_t bits) {
  return (gpuio_argument_t){.kind = GPUIO_ARG_SCALAR, .bits = bits};
}
static gpuio_argument_t array(gpuio_proxy_t proxy) {
  return (gpuio_argument_t){.kind = GPUIO_ARG_PROXY, .proxy = proxy};
}
static gpuio_kernel_t load(gpuio_context_t in, const char* name) {
  size_t size;
  const void* ir = kernel_ir(name, &size);
  gpuio_kernel_t kernel;
  NEED(gpuio_kernel_load(in, ir, size, &kernel));
  return kernel;
}
static void write_file(size_t bytes) {
  FILE* f = fopen(path, "wb");
  for (size_t i = 0; i < bytes; ++i) fputc((int)(i % 251), f);
  fclose(f);
}
static void nap_ms(long ms) {
  const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

static void what_is_no_kernel(void) {
  size_t size;
  const unsigned char* ir = kernel_ir("saxpy", &size);
  unsigned char* broken = malloc(size);
  gpuio_kernel_t kernel;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_load(ctx, "no kernel", 9, &kernel));
  CHECK_SAYS("offset 9");
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_load(ctx, ir, size - 1, &kernel));
  memcpy(broken, ir, size);
  broken[4] = 99;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_load(ctx, broken, size, &kernel));
  CHECK_SAYS("version 99");
  CHECK(kernel == NULL);
  free(broken);
}

static float x[1000], y[1000];
static void fill_xy(void) {
  for (int i = 0; i < 1000; ++i) x[i] = (float)i, y[i] = 1;
}
static int wrong_xy(void) {
  int wrong = 0;
  for (int i = 0; i < 1000; ++i) wrong += y[i] != 2 * (float)i + 1;
  return wrong;
}
static void saxpy_arguments(gpuio_argument_t a[4]) {
  a[0] = scalar(0x40000000);  // 2.0f
  a[1] = memory(x, 1000, 4);
  a[2] = memory(y, 1000, 4);
  a[3] = scalar(1000);
}

static void launches_and_runs(void) {
  gpuio_argument_t a[4];
  gpuio_stream_t stream;
  gpuio_launch_report_t report;
  gpuio_kernel_t kernel = load(ctx, "saxpy");
  saxpy_arguments(a);
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  fill_xy();
  OK(gpuio_kernel_launch(ctx, kernel, kFour, a, 4, stream));
  OK(gpuio_stream_synchronize(ctx, stream));
  CHECK(wrong_xy() == 0);
  fill_xy();
  OK(gpuio_kernel_run(ctx, kernel, kOne, a, 4, NULL, NULL, &report));
  CHECK(wrong_xy() == 0);
  CHECK(report.launches == 1 && report.miss == GPUIO_MISS_AUTO && report.misses == 0 && report.seconds > 0);
  fill_xy();
  OK(gpuio_kernel_launch(ctx, kernel, kFour, a, 4, stream));
  OK(gpuio_kernel_destroy(ctx, kernel));  // what was launched goes on
  OK(gpuio_stream_synchronize(ctx, stream));
  CHECK(wrong_xy() == 0);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, kFour, a, 4, stream));
  OK(gpuio_stream_destroy(ctx, stream));
}

static void memory_of_the_library(void) {
  gpuio_argument_t a[4];
  void *in, *out;
  gpuio_kernel_t kernel = load(ctx, "saxpy");
  NEED(gpuio_malloc_device(ctx, sizeof x, &in));
  NEED(gpuio_malloc_pinned(ctx, sizeof y, &out));
  fill_xy();
  saxpy_arguments(a);
  a[1].memory = in;
  a[2].memory = out;
  OK(gpuio_memcpy(ctx, in, x, sizeof x, NULL));
  OK(gpuio_memcpy(ctx, out, y, sizeof y, NULL));
  OK(gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, NULL, NULL));
  OK(gpuio_memcpy(ctx, y, out, sizeof y, NULL));
  CHECK(wrong_xy() == 0);
  a[1].count = 1001;  // past the end of what was given out
  CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, NULL, NULL));
  CHECK_SAYS("argument 1 of kernel saxpy");
  OK(gpuio_free(ctx, in));
  OK(gpuio_free(ctx, out));
  OK(gpuio_kernel_destroy(ctx, kernel));
}

static void wrong_arguments_are_named(void) {
  gpuio_argument_t a[4];
  gpuio_launch_options_t options = {.miss = (gpuio_miss_t)7};
  const uint32_t none[3] = {1, 0, 1}, many[3] = {1, 1, 65536};
  gpuio_kernel_t kernel = load(ctx, "saxpy");
  saxpy_arguments(a);
#define REFUSED(says)                                                                                \
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, kFour, a, 4, NULL));          \
  CHECK_SAYS(says);                                                                                  \
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, NULL, NULL)); \
  saxpy_arguments(a)
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, none, a, 4, NULL));
  CHECK_SAYS("groups[1] = 0");
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, many, a, 4, NULL));
  CHECK_SAYS("groups[2] = 65536");
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, NULL, a, 4, NULL));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, kFour, a, 3, NULL));
  CHECK_SAYS("4 parameters; 3 arguments");
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_launch(ctx, kernel, kFour, NULL, 4, NULL));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, &options, NULL));
  a[1] = scalar(0);
  REFUSED("argument 1 of kernel saxpy: it is GPUIO_ARG_SCALAR");
  a[0] = array(NULL);
  REFUSED("GPUIO_ARG_PROXY");
  a[2].kind = (gpuio_argument_kind_t)9;
  REFUSED("of no known kind");
  a[1].element_size = 8;
  REFUSED("8 bytes, the kernel's 4");
  a[3].bits = UINT64_C(1) << 32;
  REFUSED("argument 3 of kernel saxpy: its bits 0x100000000");
  a[2].memory = NULL;
  REFUSED("NULL");
  a[2].memory = (char*)y + 1;
  REFUSED("not aligned");
  a[2].count = UINT64_MAX;
  REFUSED("more than there can be");
  OK(gpuio_kernel_destroy(ctx, kernel));
  OK(gpuio_kernel_destroy(ctx, NULL));
}

// y = a * x + y as C would have it; remembers that it ran.
static int native_groups;
static gpuio_error_t native_saxpy(const gpuio_workgroup_t* group) {
  const gpuio_slot_t* slot = group->arguments;
  const uint32_t bits = (uint32_t)slot[0].value, n = (uint32_t)slot[3].value;
  const float* from = (const float*)(uintptr_t)slot[1].value;
  float* to = (float*)(uintptr_t)slot[2].value;
  float a;
  memcpy(&a, &bits, sizeof a);
  if (group->group[0] != 0) return GPUIO_SUCCESS;
  __atomic_add_fetch(&native_groups, 1, __ATOMIC_RELAXED);
  for (uint32_t i = 0; i < n; ++i) to[i] = a * from[i] + to[i];
  return GPUIO_SUCCESS;
}
static gpuio_error_t native_failure(const gpuio_workgroup_t* group) {
  (void)group;
  return GPUIO_ERROR_IO;
}
static void native_code(void) {
  gpuio_argument_t a[4];
  gpuio_stream_t stream;
  gpuio_kernel_t kernel = load(ctx, "saxpy");
  saxpy_arguments(a);
  OK(gpuio_kernel_set_native(ctx, kernel, native_saxpy));
  fill_xy();
  OK(gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, NULL, NULL));
  CHECK(wrong_xy() == 0 && native_groups == 1);
  OK(gpuio_kernel_set_native(ctx, kernel, NULL));
  fill_xy();
  OK(gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, NULL, NULL));
  CHECK(wrong_xy() == 0 && native_groups == 1);
  OK(gpuio_kernel_set_native(ctx, kernel, native_failure));
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  CHECK_CODE(GPUIO_ERROR_IO, gpuio_kernel_run(ctx, kernel, kFour, a, 4, stream, NULL, NULL));
  OK(gpuio_stream_destroy(ctx, stream));
  OK(gpuio_kernel_destroy(ctx, kernel));
}

static uint32_t counts[256], failed[1];
static gpuio_error_t scan(gpuio_kernel_t kernel, gpuio_proxy_t proxy, uint64_t n,
                          const gpuio_launch_options_t* options, gpuio_launch_report_t* report) {
  const gpuio_argument_t a[4] = {array(proxy), memory(counts, 256, 4), memory(failed, 1, 4), scalar(n)};
  memset(counts, 0, sizeof counts);
  failed[0] = 0;
  return gpuio_kernel_run(ctx, kernel, kFour, a, 4, NULL, options, report);
}
static void arrays_on_demand(void) {
  gpuio_proxy_t proxy;
  gpuio_launch_report_t report;
  gpuio_kernel_t kernel = load(ctx, "scan_histogram");
  write_file(BYTES);
  NEED(gpuio_proxy_create(ctx, path, 0, &proxy));
  for (int miss = GPUIO_MISS_AUTO; miss <= GPUIO_MISS_YIELD; ++miss) {
    const gpuio_launch_options_t options = {.miss = (gpuio_miss_t)miss, .timeout_us = 100000000};
    gpuio_proxy_stats_t stats;
    OK(scan(kernel, proxy, BYTES, &options, &report));
    int wrong = failed[0] != 0;
    for (int v = 0; v < 256; ++v) wrong += counts[v] != (v < 251 ? (BYTES - (unsigned)v + 250) / 251 : 0);
    CHECK(wrong == 0);
    CHECK(report.miss != GPUIO_MISS_AUTO && (miss == 0 || (int)report.miss == miss));
    CHECK(report.pages >= 48 && report.misses > 0 && report.failures == 0 && report.launches >= 1);
    CHECK(report.miss_latency_p99_us >= report.miss_latency_p50_us && report.miss_latency_p50_us > 0);
    OK(gpuio_proxy_get_stats(ctx, proxy, &stats));
    CHECK(stats.misses > 0 && stats.pages_resident > 0 && stats.evictions > 0);
  }
  OK(gpuio_kernel_set_native(ctx, kernel, native_failure));
  CHECK_CODE(GPUIO_ERROR_IO, scan(kernel, proxy, BYTES, NULL, NULL));
  OK(gpuio_kernel_set_native(ctx, kernel, NULL));
  OK(scan(kernel, proxy, BYTES, NULL, NULL));
  OK(gpuio_proxy_destroy(ctx, proxy));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, scan(kernel, proxy, BYTES, NULL, NULL));
  OK(gpuio_kernel_destroy(ctx, kernel));
}

static void failed_accesses(void) {
  gpuio_proxy_t proxy;
  gpuio_launch_report_t report;
  const gpuio_launch_options_t allow = {.allow_failures = true};
  gpuio_kernel_t kernel = load(ctx, "scan_histogram");
  write_file(BYTES);
  NEED(gpuio_proxy_create(ctx, path, 0, &proxy));
  CHECK(truncate(path, BYTES / 2) == 0);
  CHECK_CODE(GPUIO_ERROR_INVALID_BACKING, scan(kernel, proxy, BYTES, NULL, &report));
  CHECK_SAYS("truncated");
  CHECK(report.launches == 0);
  OK(scan(kernel, proxy, BYTES, &allow, &report));
  CHECK(report.failures > 0 && failed[0] > 0 && strstr(report.reason, "truncated"));
  uint32_t seen = 0;
  for (int v = 0; v < 256; ++v) seen += counts[v];
  CHECK(seen == BYTES / 2);
  OK(gpuio_proxy_destroy(ctx, proxy));
  OK(gpuio_kernel_destroy(ctx, kernel));
}

#define LONG 3000000  // a good part of a second, interpreted
typedef struct {
  gpuio_context_t ctx;
  gpuio_kernel_t kernel;
  uint32_t out;
  gpuio_error_t code;
} Running;
static void* spin(void* p) {
  Running* r = p;
  const gpuio_argument_t a[2] = {memory(&r->out, 1, 4), scalar(LONG)};
  r->code = gpuio_kernel_run(r->ctx, r->kernel, kOne, a, 2, NULL, NULL, NULL);
  return NULL;
}
static void limits_and_cancels(void) {
  pthread_t thread;
  uint32_t out = 0;
  const gpuio_argument_t a[2] = {memory(&out, 1, 4), scalar(LONG)};
  const gpuio_launch_options_t hasty = {.timeout_us = 1000};
  Running r = {ctx, load(ctx, "spin"), 0, GPUIO_SUCCESS};
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, gpuio_kernel_run(ctx, r.kernel, kOne, a, 2, NULL, &hasty, NULL));
  OK(gpuio_stream_synchronize(ctx, NULL));
  CHECK(out == LONG);  // it could not be taken back
  CHECK(pthread_create(&thread, NULL, spin, &r) == 0);
  nap_ms(20);
  OK(gpuio_kernel_cancel(ctx, r.kernel));
  pthread_join(thread, NULL);
  CHECK(r.code == GPUIO_ERROR_CANCELED);
  OK(gpuio_stream_synchronize(ctx, NULL));
  OK(gpuio_kernel_destroy(ctx, r.kernel));
}
static void finalize_ends_it(void) {
  pthread_t thread;
  Running r = {NULL, NULL, 0, GPUIO_SUCCESS};
  NEED(gpuio_init(&r.ctx, NULL));
  NEED(gpuio_set_device(r.ctx, -1));
  r.kernel = load(r.ctx, "spin");
  CHECK(pthread_create(&thread, NULL, spin, &r) == 0);
  nap_ms(20);
  OK(gpuio_finalize(r.ctx));
  pthread_join(thread, NULL);
  CHECK(r.code == GPUIO_ERROR_CANCELED);
}

int main(void) {
  const int fd = mkstemp(path);
  if (fd < 0) return 1;
  close(fd);
  setenv("GPUIO_PAGING_CACHE_SIZE", "64KiB", 1);
  setenv("GPUIO_PAGING_PAGE_SIZE", "4KiB", 1);
  NEED(gpuio_init(&ctx, NULL));
  NEED(gpuio_set_device(ctx, -1));
  RUN(what_is_no_kernel);
  RUN(launches_and_runs);
  RUN(memory_of_the_library);
  RUN(wrong_arguments_are_named);
  RUN(native_code);
  RUN(arrays_on_demand);
  RUN(failed_accesses);
  RUN(limits_and_cancels);
  RUN(finalize_ends_it);
  OK(gpuio_finalize(ctx));
  unlink(path);
  return check_failed;
}
