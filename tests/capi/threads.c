// One context, many threads; and contexts that end while others still ask.
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

enum { kThreads = 4, kRounds = 60, kBytes = 4096 };
static gpuio_context_t ctx;
static atomic_int callbacks;
static atomic_int inside;  // of a callback: never more than one
static atomic_int together;

static void count(gpuio_request_t request, gpuio_error_t error, void* user_data) {
  (void)request, (void)error, (void)user_data;
  if (atomic_fetch_add(&inside, 1) != 0) atomic_store(&together, 1);
  atomic_fetch_add(&callbacks, 1);
  atomic_fetch_sub(&inside, 1);
}

static void* work(void* which) {
  char bytes[kBytes];
  gpuio_handle_t handle;
  gpuio_memory_region_t src, dst;
  gpuio_stream_t stream;
  NEED(gpuio_open(ctx, "mem://shared?size=64KiB", GPUIO_OPEN_READ | GPUIO_OPEN_WRITE, &handle));
  NEED(gpuio_handle_region(ctx, handle, 0, kBytes, GPUIO_MEM_READ, &src));
  NEED(gpuio_register_memory(ctx, bytes, kBytes, GPUIO_MEM_READ_WRITE, &dst));
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  for (int round = 0; round < kRounds; ++round) {
    gpuio_request_params_t params = {.type = GPUIO_REQ_READ,
                                     .src = &src,
                                     .dst = &dst,
                                     .length = kBytes,
                                     .async = round % 2,
                                     .callback = count,
                                     .stream = round % 3 == 0 ? stream : NULL};
    gpuio_request_t request;
    NEED(gpuio_request_create(ctx, &params, &request));
    NEED(gpuio_request_submit(ctx, request));
    if (round % 5 == (int)(size_t)which) (void)gpuio_request_cancel(ctx, request);
    gpuio_progress_t progress;
    NEED(gpuio_request_get_progress(ctx, request, &progress));
    gpuio_error_t ended = gpuio_request_wait(ctx, request, UINT64_MAX);
    if (ended != GPUIO_SUCCESS && ended != GPUIO_ERROR_CANCELED) CHECK_CODE(GPUIO_SUCCESS, ended);
    NEED(gpuio_request_destroy(ctx, request));
    gpuio_stats_t stats;
    NEED(gpuio_get_stats(ctx, &stats));
  }
  NEED(gpuio_stream_destroy(ctx, stream));
  NEED(gpuio_unregister_memory(ctx, &dst));
  NEED(gpuio_close(ctx, handle));
  return NULL;
}

static void one_context_for_many_threads(void) {
  pthread_t threads[kThreads];
  NEED(gpuio_init(&ctx, NULL));
  for (size_t i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, work, (void*)i);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  gpuio_stats_t stats;
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.requests_submitted == kThreads * kRounds);
  CHECK(stats.requests_completed + stats.requests_cancelled == kThreads * kRounds);
  CHECK(callbacks == kThreads * kRounds && !together);
  OK(gpuio_finalize(ctx));
}

static void* wait_for_ever(void* request) {
  gpuio_error_t ended = gpuio_request_wait(ctx, *(gpuio_request_t*)request, UINT64_MAX);
  if (ended != GPUIO_ERROR_NOT_INITIALIZED) CHECK_CODE(GPUIO_ERROR_CANCELED, ended);
  return NULL;
}
static void* finalize(void* answer) {
  *(gpuio_error_t*)answer = gpuio_finalize(ctx);
  return NULL;
}

static void finalizing_under_others(void) {
  static char bytes[16 << 20];
  gpuio_handle_t handle;
  gpuio_memory_region_t src, dst;
  gpuio_request_t request;
  NEED(gpuio_init(&ctx, NULL));
  NEED(gpuio_open(ctx, "mem://a?size=16MiB", GPUIO_OPEN_READ, &handle));
  NEED(gpuio_handle_region(ctx, handle, 0, sizeof bytes, GPUIO_MEM_READ, &src));
  NEED(gpuio_register_memory(ctx, bytes, sizeof bytes, GPUIO_MEM_WRITE, &dst));
  gpuio_request_params_t params = {
      .type = GPUIO_REQ_READ, .src = &src, .dst = &dst, .length = sizeof bytes, .async = true};
  NEED(gpuio_request_create(ctx, &params, &request));
  NEED(gpuio_request_modify(ctx, request, 0, 1 << 20));
  NEED(gpuio_request_submit(ctx, request));
  pthread_t waiters[2], enders[3];
  gpuio_error_t answers[3];
  for (int i = 0; i < 2; ++i) pthread_create(&waiters[i], NULL, wait_for_ever, &request);
  for (int i = 0; i < 3; ++i) pthread_create(&enders[i], NULL, finalize, &answers[i]);
  for (int i = 0; i < 2; ++i) pthread_join(waiters[i], NULL);
  int successes = 0;
  for (int i = 0; i < 3; ++i) {
    pthread_join(enders[i], NULL);
    successes += answers[i] == GPUIO_SUCCESS;
    CHECK(answers[i] == GPUIO_SUCCESS || answers[i] == GPUIO_ERROR_ALREADY_INITIALIZED ||
          answers[i] == GPUIO_ERROR_NOT_INITIALIZED);
  }
  CHECK(successes == 1);
}

static void* cycle(void* unused) {
  (void)unused;
  for (int i = 0; i < 10; ++i) {
    gpuio_context_t mine;
    void* p;
    NEED(gpuio_init(&mine, NULL));
    NEED(gpuio_malloc(mine, 100, &p));
    CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_free(mine, &p));
    CHECK_SAYS("gpuio_free");  // this thread's, whatever the others do
    NEED(gpuio_finalize(mine));
  }
  return NULL;
}

static void contexts_side_by_side(void) {
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) pthread_create(&threads[i], NULL, cycle, NULL);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
}

int main(void) {
  RUN(one_context_for_many_threads);
  RUN(finalizing_under_others);
  RUN(contexts_side_by_side);
  return check_failed;
}
