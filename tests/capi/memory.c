// Memory, registration, copies, streams and events.
#include "check.h"

#include <stdint.h>

static gpuio_context_t ctx;
typedef gpuio_error_t (*malloc_fn)(gpuio_context_t, size_t, void**);
static const malloc_fn kMallocs[] = {gpuio_malloc, gpuio_malloc_pinned, gpuio_malloc_device,
                                     gpuio_malloc_unified};

static void every_kind_of_memory(void) {
  const size_t far_too_much =
      (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) * 2 + ((size_t)100 << 30);
  for (int i = 0; i < 4; ++i) {
    void *p = NULL, *none = &p;
    OK(kMallocs[i](ctx, 0, &none));
    OK(gpuio_free(ctx, none));
    OK(kMallocs[i](ctx, 1000, &p));
    CHECK(p != NULL);
    OK(gpuio_free(ctx, p));
    CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_free(ctx, p));
    p = &p;
    CHECK_CODE(GPUIO_ERROR_NOMEM, kMallocs[i](ctx, far_too_much, &p));
    CHECK(p == NULL);
  }
  int local = 0;
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_free(ctx, &local));
}

static void a_gibibyte(void) {
  char* p = NULL;
  const size_t size = (size_t)1 << 30;
  OK(gpuio_malloc(ctx, size, (void**)&p));
  if (!p) return;
  p[0] = p[size - 1] = 1;
  OK(gpuio_free(ctx, p));
}

static void registration(void) {
  char stack[1100];
  gpuio_memory_region_t region, copy;
  OK(gpuio_register_memory(ctx, stack + 3, 1024, GPUIO_MEM_READ_WRITE, &region));
  CHECK(region.registered && region.base_addr == stack + 3 && region.length == 1024);
  CHECK(region.access == GPUIO_MEM_READ_WRITE && region.type == GPUIO_MEM_DEFAULT && region.gpu_id == -1);
  copy = region;
  OK(gpuio_unregister_memory(ctx, &region));
  CHECK(!region.registered);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_unregister_memory(ctx, &region));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_unregister_memory(ctx, &copy));
  memset(&region, 0xff, sizeof region);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_register_memory(ctx, stack, 0, GPUIO_MEM_READ, &region));
  CHECK(!region.registered && region.base_addr == NULL && region.length == 0);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_register_memory(ctx, stack, 8, (gpuio_mem_access_t)0, &region));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_register_memory(ctx, stack, 8, (gpuio_mem_access_t)64, &region));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_register_memory(ctx, stack, SIZE_MAX, GPUIO_MEM_READ, &region));
  char* p;
  NEED(gpuio_malloc_pinned(ctx, 5000, (void**)&p));
  OK(gpuio_register_memory(ctx, p + 1, 100, GPUIO_MEM_READ, &region));
  CHECK(region.type == GPUIO_MEM_PINNED && region.base_addr == p + 1 && region.gpu_addr != NULL);
  OK(gpuio_unregister_memory(ctx, &region));
  CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_register_memory(ctx, p + 1, 5000, GPUIO_MEM_READ, &region));
  OK(gpuio_free(ctx, p));
}

static void copies(void) {
  enum { kSize = 100003 };
  static unsigned char from[kSize], to[kSize];
  for (int i = 0; i < kSize; ++i) from[i] = (unsigned char)(i * 7 + i / 256);
  for (int i = 0; i < 4; ++i) {
    unsigned char* p;
    NEED(kMallocs[i](ctx, kSize, (void**)&p));
    memset(to, 0, sizeof to);
    OK(gpuio_memcpy(ctx, p, from, kSize, NULL));
    OK(gpuio_memcpy_async(ctx, to + 1, p + 1, kSize - 2, NULL));
    OK(gpuio_stream_synchronize(ctx, NULL));
    CHECK(memcmp(to + 1, from + 1, kSize - 2) == 0 && to[0] == 0 && to[kSize - 1] == 0);
    CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_memcpy(ctx, p + 1, from, kSize, NULL));
    OK(gpuio_free(ctx, p));
  }
  OK(gpuio_memcpy(ctx, to, from, kSize, NULL));
  CHECK(memcmp(to, from, kSize) == 0);
  OK(gpuio_memcpy(ctx, to, from, 0, NULL));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_memcpy(ctx, to, to + 1, 2, NULL));
}

static void streams_keep_their_order(void) {
  enum { kSize = 1 << 20 };
  static char a[kSize], b[kSize], c[kSize];
  gpuio_stream_t stream;
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_HIGH_PRIORITY));
  bool idle = false;
  OK(gpuio_stream_query(ctx, stream, &idle));
  CHECK(idle);
  memset(a, 1, sizeof a);
  for (int i = 0; i < 20; ++i) {
    OK(gpuio_memcpy_async(ctx, b, a, kSize, stream));
    OK(gpuio_memcpy_async(ctx, c, b, kSize, stream));
  }
  OK(gpuio_stream_synchronize(ctx, stream));
  CHECK(memcmp(a, c, kSize) == 0);
  OK(gpuio_stream_query(ctx, stream, &idle));
  CHECK(idle);
  OK(gpuio_stream_destroy(ctx, stream));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_stream_synchronize(ctx, stream));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_stream_destroy(ctx, stream));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_stream_create(ctx, &stream, (gpuio_stream_priority_t)3));
  CHECK(stream == NULL);
  OK(gpuio_stream_query(ctx, NULL, &idle));
  CHECK(idle);
}

static void events(void) {
  gpuio_event_t start, end;
  gpuio_stream_t stream, other;
  float ms = -1;
  NEED(gpuio_event_create(ctx, &start));
  NEED(gpuio_event_create(ctx, &end));
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  NEED(gpuio_stream_create(ctx, &other, GPUIO_STREAM_LOW_PRIORITY));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_event_synchronize(ctx, start));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_event_elapsed_time(ctx, start, end, &ms));
  OK(gpuio_event_record(ctx, start, NULL));  // of an empty stream
  OK(gpuio_event_synchronize(ctx, start));
  OK(gpuio_event_record(ctx, start, stream));
  static char a[1 << 20], b[1 << 20];
  OK(gpuio_memcpy_async(ctx, a, b, sizeof a, stream));
  OK(gpuio_event_record(ctx, end, stream));
  OK(gpuio_event_synchronize(ctx, end));
  OK(gpuio_event_elapsed_time(ctx, start, end, &ms));
  CHECK(ms > 0 && ms < 60000);
  OK(gpuio_event_record(ctx, end, other));
  OK(gpuio_event_synchronize(ctx, end));
  ms = 7;
  CHECK_CODE(GPUIO_ERROR_UNSUPPORTED, gpuio_event_elapsed_time(ctx, start, end, &ms));
  CHECK(ms == 0);
  OK(gpuio_stream_destroy(ctx, stream));
  OK(gpuio_event_synchronize(ctx, start));  // it outlives its stream
  OK(gpuio_event_destroy(ctx, start));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_event_record(ctx, start, NULL));
  OK(gpuio_event_destroy(ctx, end));
  OK(gpuio_stream_destroy(ctx, other));
}

int main(void) {
  NEED(gpuio_init(&ctx, NULL));
  RUN(every_kind_of_memory);
  RUN(a_gibibyte);
  RUN(registration);
  RUN(copies);
  RUN(streams_keep_their_order);
  RUN(events);
  OK(gpuio_finalize(ctx));
  return check_failed;
}
