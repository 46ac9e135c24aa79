// Handles and single requests: what they move, how they end, who is told.
#include "check.h"

#include <time.h>

#define MIB ((size_t)1 << 20)

static gpuio_context_t ctx;

// What the callback of a request has seen.
struct seen {
  int calls;
  gpuio_request_t request;
  gpuio_error_t error;
};
static void see(gpuio_request_t request, gpuio_error_t error, void* user_data) {
  struct seen* seen = user_data;
  ++seen->calls;
  seen->request = request;
  seen->error = error;
}

static gpuio_memory_region_t memory_region(void* memory, size_t size) {
  gpuio_memory_region_t region;
  NEED(gpuio_register_memory(ctx, memory, size, GPUIO_MEM_READ_WRITE, &region));
  return region;
}
static gpuio_handle_t open_uri(const char* uri) {
  gpuio_handle_t handle;
  NEED(gpuio_open(ctx, uri, GPUIO_OPEN_READ | GPUIO_OPEN_WRITE, &handle));
  return handle;
}
static gpuio_memory_region_t handle_region(gpuio_handle_t handle, size_t size) {
  gpuio_memory_region_t region;
  NEED(gpuio_handle_region(ctx, handle, 0, size, GPUIO_MEM_READ_WRITE, &region));
  return region;
}

// A read that takes long: 64 MiB at a mebibyte a second.
static char slow_memory[64 << 20];
struct slow {
  gpuio_handle_t handle;
  gpuio_memory_region_t src, dst;
  gpuio_request_t request;
  struct seen seen;
};
static void make_slow(struct slow* s, uint64_t timeout_us, gpuio_stream_t stream, uint64_t rate) {
  memset(s, 0, sizeof *s);
  s->handle = open_uri("mem://slow?size=64MiB");
  s->src = handle_region(s->handle, sizeof slow_memory);
  s->dst = memory_region(slow_memory, sizeof slow_memory);
  gpuio_request_params_t params = {.type = GPUIO_REQ_READ,
                                   .src = &s->src,
                                   .dst = &s->dst,
                                   .length = sizeof slow_memory,
                                   .async = true,
                                   .callback = see,
                                   .user_data = &s->seen,
                                   .timeout_us = timeout_us,
                                   .stream = stream};
  NEED(gpuio_request_create(ctx, &params, &s->request));
  NEED(gpuio_request_modify(ctx, s->request, 0, rate));
}
static void end_slow(struct slow* s) {
  OK(gpuio_request_destroy(ctx, s->request));
  OK(gpuio_unregister_memory(ctx, &s->src));
  OK(gpuio_unregister_memory(ctx, &s->dst));
  OK(gpuio_close(ctx, s->handle));
}

static void opening(void) {
  gpuio_handle_t handle = NULL;
  gpuio_handle_info_t info;
  OK(gpuio_open(ctx, "mem://opening?size=8KiB", GPUIO_OPEN_READ | GPUIO_OPEN_WRITE, &handle));
  OK(gpuio_handle_info(ctx, handle, &info));
  CHECK(info.engine == GPUIO_ENGINE_MEMIO && info.size == 8192 && info.route[0] != '\0');
  CHECK((info.capabilities & (GPUIO_CAP_READ | GPUIO_CAP_WRITE)) == (GPUIO_CAP_READ | GPUIO_CAP_WRITE));
  CHECK(info.capabilities < 2 * GPUIO_CAP_DURABLE);
  OK(gpuio_close(ctx, handle));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_close(ctx, handle));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_handle_info(ctx, handle, &info));
  const struct {
    const char* uri;
    uint32_t flags;
    gpuio_error_t error;
    const char* says;
  } wrong[] = {
      {"/nowhere/file", GPUIO_OPEN_READ, GPUIO_ERROR_NOT_FOUND, "/nowhere/file"},
      {"/tmp", GPUIO_OPEN_READ, GPUIO_ERROR_INVALID_ARG, "/tmp"},
      {"nonsense://x", GPUIO_OPEN_READ, GPUIO_ERROR_INVALID_ARG, "nonsense"},
      {"", GPUIO_OPEN_READ, GPUIO_ERROR_INVALID_ARG, ""},
      {"mem://a?size=8KiB&sise=1", GPUIO_OPEN_READ, GPUIO_ERROR_INVALID_ARG, "sise"},
      {"rdma://host:1/x", GPUIO_OPEN_READ, GPUIO_ERROR_UNSUPPORTED, "rdma"},
      {"nvme:///tmp/x", GPUIO_OPEN_READ, GPUIO_ERROR_UNSUPPORTED, "nvme"},
      {"mem://gpu/0?size=4KiB", GPUIO_OPEN_READ, GPUIO_ERROR_UNSUPPORTED, "mem://gpu/0"},
      {"mem://a?size=8KiB", 0, GPUIO_ERROR_INVALID_ARG, "GPUIO_OPEN_READ"},
      {"mem://a?size=8KiB", GPUIO_OPEN_READ | GPUIO_OPEN_CREATE, GPUIO_ERROR_INVALID_ARG, "GPUIO_OPEN_WRITE"},
      {"mem://a?size=8KiB", GPUIO_OPEN_READ | 1024, GPUIO_ERROR_INVALID_ARG, "0x401"},
      {"mem://a?size=8KiB", GPUIO_OPEN_READ | GPUIO_OPEN_DIRECT, GPUIO_ERROR_UNSUPPORTED, "cache"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    handle = (gpuio_handle_t)&handle;
    CHECK_CODE(wrong[i].error, gpuio_open(ctx, wrong[i].uri, wrong[i].flags, &handle));
    CHECK_SAYS(wrong[i].says);
    CHECK(handle == NULL);
  }
}

static void a_file_is_written_read_and_copied(void) {
  char path[] = "/tmp/gpuio_requests_XXXXXX", uri[64];
  close(mkstemp(path));
  snprintf(uri, sizeof uri, "local://%s", path);
  const size_t size = 3 * MIB + 777;
  char *from = malloc(size), *to = malloc(size);
  for (size_t i = 0; i < size; ++i) from[i] = (char)(i * 31 + i / 4096);
  gpuio_handle_t file = open_uri(uri), memory = open_uri("mem://copied?size=1");
  gpuio_memory_region_t in_file = handle_region(file, size), in_memory = handle_region(memory, size);
  gpuio_memory_region_t out = memory_region(from, size), back = memory_region(to, size);
  struct seen seen = {0};
  gpuio_request_params_t params = {.type = GPUIO_REQ_WRITE,
                                   .engine = GPUIO_ENGINE_LOCALIO,
                                   .src = &out,
                                   .dst = &in_file,
                                   .length = size,
                                   .async = true,
                                   .callback = see,
                                   .user_data = &seen};
  gpuio_request_t request;
  gpuio_request_status_t status;
  gpuio_request_result_t result;
  gpuio_progress_t progress;
  NEED(gpuio_request_create(ctx, &params, &request));
  OK(gpuio_request_get_status(ctx, request, &status));
  CHECK(status == GPUIO_STATUS_PENDING);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_request_wait(ctx, request, 0));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_request_cancel(ctx, request));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_request_get_result(ctx, request, &result));
  for (int round = 1; round <= 2; ++round) {  // a request may be submitted again
    OK(gpuio_request_submit(ctx, request));
    OK(gpuio_request_wait(ctx, request, UINT64_MAX));
    CHECK(seen.calls == round && seen.request == request && seen.error == GPUIO_SUCCESS);
  }
  OK(gpuio_request_wait(ctx, request, 0));
  OK(gpuio_request_get_status(ctx, request, &status));
  CHECK(status == GPUIO_STATUS_COMPLETED);
  OK(gpuio_request_get_result(ctx, request, &result));
  CHECK(result.bytes == size && result.error == GPUIO_SUCCESS && result.old_value == 0);
  OK(gpuio_request_get_progress(ctx, request, &progress));
  CHECK(progress.bytes_total == size && progress.bytes_completed == size &&
        progress.bytes_transferred >= size);
  CHECK(progress.progress_percent == 100 && progress.status == GPUIO_STATUS_COMPLETED);
  OK(gpuio_request_cancel(ctx, request));  // too late, and no error
  OK(gpuio_request_destroy(ctx, request));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_request_submit(ctx, request));

  // File to memory target, then from there to memory, blocking; then across regions with offsets.
  const struct {
    gpuio_request_type_t type;
    gpuio_memory_region_t *src, *dst;
  } moves[] = {{GPUIO_REQ_COPY, &in_file, &in_memory},
               {GPUIO_REQ_READ, &in_memory, &back},
               {GPUIO_REQ_COPY, &out, &back}};
  for (int i = 0; i < 3; ++i) {
    if (moves[i].dst == &back) memset(to, 0, size);
    gpuio_request_params_t p = {.type = moves[i].type,
                                .src = moves[i].src,
                                .src_offset = 5,
                                .dst = moves[i].dst,
                                .dst_offset = 5,
                                .length = size - 5};
    NEED(gpuio_request_create(ctx, &p, &request));
    OK(gpuio_request_submit(ctx, request));
    OK(gpuio_request_get_result(ctx, request, &result));
    CHECK(result.bytes == size - 5);
    OK(gpuio_request_destroy(ctx, request));
    if (moves[i].dst == &back) CHECK(memcmp(from + 5, to + 5, size - 5) == 0);
  }
  gpuio_memory_region_t longer = handle_region(file, 2 * size);
  gpuio_request_params_t past = {
      .type = GPUIO_REQ_READ, .src = &longer, .src_offset = size - 100, .dst = &back, .length = 500};
  NEED(gpuio_request_create(ctx, &past, &request));
  OK(gpuio_request_submit(ctx, request));
  OK(gpuio_request_get_result(ctx, request, &result));
  CHECK(result.bytes == 100);
  OK(gpuio_request_destroy(ctx, request));
  OK(gpuio_close(ctx, file));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_unregister_memory(ctx, &in_file));  // ended with the handle
  OK(gpuio_close(ctx, memory));
  OK(gpuio_unregister_memory(ctx, &out));
  OK(gpuio_unregister_memory(ctx, &back));
  unlink(path);
  free(from);
  free(to);
}

static void what_is_wrong_is_refused(void) {
  char bytes[256];
  gpuio_handle_t handle = open_uri("mem://wrong?size=4KiB"), read_only;
  NEED(gpuio_open(ctx, "mem://wrong", GPUIO_OPEN_READ, &read_only));
  gpuio_memory_region_t h = handle_region(handle, 4096), m = memory_region(bytes, sizeof bytes), r, w, gone;
  NEED(gpuio_register_memory(ctx, bytes, sizeof bytes, GPUIO_MEM_READ, &r));
  NEED(gpuio_handle_region(ctx, read_only, 0, 4096, GPUIO_MEM_READ, &w));
  CHECK_CODE(GPUIO_ERROR_PERMISSION, gpuio_handle_region(ctx, read_only, 0, 4096, GPUIO_MEM_WRITE, &gone));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_handle_region(ctx, handle, 0, 0, GPUIO_MEM_READ, &gone));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_handle_region(ctx, handle, UINT64_MAX, 1, GPUIO_MEM_READ, &gone));
  memset(&gone, 0, sizeof gone);
  const struct {
    gpuio_error_t error;
    gpuio_request_params_t params;
  } wrong[] = {
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_READ, .src = &m, .dst = &m, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_READ, .src = &h, .dst = &h, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_WRITE, .src = &h, .dst = &m, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_READ, .src = &h, .dst = &gone, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_READ, .src = &h, .dst = &m, .length = 257}},
      {GPUIO_ERROR_INVALID_ARG,
       {.type = GPUIO_REQ_READ, .src = &h, .src_offset = 4090, .dst = &m, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG,
       {.type = GPUIO_REQ_READ, .src = &h, .src_offset = UINT64_MAX, .dst = &m, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_READ, .src = &h, .dst = &m, .length = 8, .priority = -1}},
      {GPUIO_ERROR_INVALID_ARG,
       {.type = GPUIO_REQ_READ, .src = &h, .dst = &m, .length = 8, .stream = (gpuio_stream_t)bytes}},
      {GPUIO_ERROR_INVALID_ARG, {.type = (gpuio_request_type_t)99, .src = &h, .dst = &m, .length = 8}},
      {GPUIO_ERROR_INVALID_ARG, {.type = GPUIO_REQ_COPY, .src = &m, .dst = &m, .dst_offset = 4, .length = 8}},
      {GPUIO_ERROR_PERMISSION, {.type = GPUIO_REQ_READ, .src = &h, .dst = &r, .length = 8}},
      {GPUIO_ERROR_PERMISSION, {.type = GPUIO_REQ_WRITE, .src = &m, .dst = &w, .length = 8}},
      {GPUIO_ERROR_UNSUPPORTED, {.type = GPUIO_REQ_SCATTER, .src = &m, .dst = &h, .length = 8}},
      {GPUIO_ERROR_UNSUPPORTED, {.type = GPUIO_REQ_GATHER, .src = &h, .dst = &m, .length = 8}},
      {GPUIO_ERROR_UNSUPPORTED, {.type = GPUIO_REQ_ATOMIC_CMP_SWAP, .src = &m, .dst = &h, .length = 8}},
      {GPUIO_ERROR_UNSUPPORTED, {.type = GPUIO_REQ_ATOMIC_FETCH_ADD, .src = &m, .dst = &h, .length = 8}},
      {GPUIO_ERROR_UNSUPPORTED, {.type = GPUIO_REQ_BATCH}},
  };
  gpuio_request_t request;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
    request = (gpuio_request_t)bytes;
    CHECK_CODE(wrong[i].error, gpuio_request_create(ctx, &wrong[i].params, &request));
    CHECK(request == NULL);
    if (wrong[i].error == GPUIO_ERROR_UNSUPPORTED) CHECK_SAYS("GPUIO_REQ_");
  }
  // What was right when it was made may be gone when it is submitted.
  gpuio_request_params_t params = {.type = GPUIO_REQ_READ, .src = &h, .dst = &m, .length = 8};
  NEED(gpuio_request_create(ctx, &params, &request));
  OK(gpuio_unregister_memory(ctx, &m));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_request_submit(ctx, request));
  CHECK_SAYS("dst");
  OK(gpuio_request_destroy(ctx, request));
  OK(gpuio_unregister_memory(ctx, &r));
  OK(gpuio_close(ctx, handle));
  OK(gpuio_close(ctx, read_only));
}

static void a_failure_is_told_after_its_retries(void) {
  char bytes[64] = {0};
  gpuio_handle_t handle = open_uri("mem://full?size=32&limit=32");
  gpuio_memory_region_t h = handle_region(handle, 64), m = memory_region(bytes, sizeof bytes);
  struct seen seen = {0};
  gpuio_request_params_t params = {
      .type = GPUIO_REQ_WRITE, .src = &m, .dst = &h, .length = 64, .callback = see, .user_data = &seen};
  gpuio_request_t request;
  gpuio_request_result_t result;
  gpuio_request_status_t status;
  NEED(gpuio_request_create(ctx, &params, &request));
  CHECK_CODE(GPUIO_ERROR_IO, gpuio_request_submit(ctx, request));
  CHECK_SAYS("attempt 4 of 4");
  CHECK_SAYS("mem://full");
  CHECK(seen.calls == 1 && seen.error == GPUIO_ERROR_IO);
  OK(gpuio_request_get_result(ctx, request, &result));
  CHECK(result.bytes == 32 && result.error == GPUIO_ERROR_IO);
  OK(gpuio_request_get_status(ctx, request, &status));
  CHECK(status == GPUIO_STATUS_ERROR);
  gpuio_retry_policy_t policy = {.max_retries = 1, .initial_backoff_us = 10};
  OK(gpuio_set_retry_policy(ctx, &policy));
  CHECK_CODE(GPUIO_ERROR_IO, gpuio_request_submit(ctx, request));
  CHECK_SAYS("attempt 2 of 2");
  OK(gpuio_request_destroy(ctx, request));
  OK(gpuio_unregister_memory(ctx, &m));
  OK(gpuio_close(ctx, handle));
}

static void waiting_timing_out_and_cancelling(void) {
  struct slow s;
  gpuio_request_status_t status;
  gpuio_request_result_t result;
  make_slow(&s, 0, NULL, MIB);
  OK(gpuio_request_submit(ctx, s.request));
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, gpuio_request_wait(ctx, s.request, 0));
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, gpuio_request_wait(ctx, s.request, 20000));
  CHECK_CODE(GPUIO_ERROR_BUSY, gpuio_request_submit(ctx, s.request));
  CHECK_CODE(GPUIO_ERROR_BUSY, gpuio_request_get_result(ctx, s.request, &result));
  CHECK_CODE(GPUIO_ERROR_BUSY, gpuio_request_set_deadline(ctx, s.request, 5));
  CHECK_CODE(GPUIO_ERROR_BUSY, gpuio_unregister_memory(ctx, &s.dst));
  CHECK(s.dst.registered);
  CHECK_CODE(GPUIO_ERROR_BUSY, gpuio_close(ctx, s.handle));
  OK(gpuio_request_get_status(ctx, s.request, &status));
  CHECK(status == GPUIO_STATUS_SUBMITTED || status == GPUIO_STATUS_IN_PROGRESS);
  bool idle = true;
  OK(gpuio_stream_query(ctx, NULL, &idle));
  CHECK(!idle);
  CHECK(s.seen.calls == 0);
  OK(gpuio_request_cancel(ctx, s.request));
  CHECK_CODE(GPUIO_ERROR_CANCELED, gpuio_request_wait(ctx, s.request, UINT64_MAX));
  CHECK(s.seen.calls == 1 && s.seen.error == GPUIO_ERROR_CANCELED);
  OK(gpuio_request_get_status(ctx, s.request, &status));
  CHECK(status == GPUIO_STATUS_CANCELLED);
  OK(gpuio_request_get_result(ctx, s.request, &result));
  CHECK(result.error == GPUIO_ERROR_CANCELED && result.bytes < sizeof slow_memory);
  OK(gpuio_stream_query(ctx, NULL, &idle));
  CHECK(idle);
  // The same again, without a limit on its speed.
  OK(gpuio_request_modify(ctx, s.request, 1, 0));
  OK(gpuio_request_submit(ctx, s.request));
  OK(gpuio_request_wait(ctx, s.request, UINT64_MAX));
  end_slow(&s);

  make_slow(&s, 30000, NULL, MIB);
  OK(gpuio_request_submit(ctx, s.request));
  CHECK_CODE(GPUIO_ERROR_TIMEOUT, gpuio_request_wait(ctx, s.request, UINT64_MAX));
  CHECK_SAYS("30000 us");
  CHECK(s.seen.calls == 1 && s.seen.error == GPUIO_ERROR_TIMEOUT);
  OK(gpuio_request_get_status(ctx, s.request, &status));
  CHECK(status == GPUIO_STATUS_ERROR);
  end_slow(&s);

  make_slow(&s, 0, NULL, MIB);  // destroying cancels, and waits for the callback
  OK(gpuio_request_submit(ctx, s.request));
  end_slow(&s);
  CHECK(s.seen.calls == 1 && s.seen.error == GPUIO_ERROR_CANCELED);

  make_slow(&s, 0, NULL, MIB);  // a limit that is lifted while it is in flight
  OK(gpuio_request_submit(ctx, s.request));
  OK(gpuio_request_modify(ctx, s.request, 0, 0));
  OK(gpuio_request_wait(ctx, s.request, UINT64_MAX));
  end_slow(&s);
}

struct watch {
  int calls;
  uint64_t last;
  bool backwards;
  gpuio_request_status_t status;
};
static void watch(const gpuio_progress_t* progress, void* user_data) {
  struct watch* w = user_data;
  ++w->calls;
  w->backwards |= progress->bytes_completed < w->last || progress->bytes_completed > progress->bytes_total;
  w->last = progress->bytes_completed;
  w->status = progress->status;
}

static void progress_is_told(void) {
  struct slow s;
  struct watch w = {0};
  make_slow(&s, 0, NULL, 128 * MIB);  // half a second
  OK(gpuio_request_set_progress_callback(ctx, s.request, watch, &w));
  OK(gpuio_request_submit(ctx, s.request));
  OK(gpuio_request_wait(ctx, s.request, UINT64_MAX));
  CHECK(w.calls >= 3 && !w.backwards && w.last == sizeof slow_memory && w.status == GPUIO_STATUS_COMPLETED);
  const int calls = w.calls;
  OK(gpuio_request_set_progress_callback(ctx, s.request, NULL, NULL));
  OK(gpuio_request_modify(ctx, s.request, 0, 0));
  OK(gpuio_request_submit(ctx, s.request));
  OK(gpuio_request_wait(ctx, s.request, UINT64_MAX));
  CHECK(w.calls == calls);
  end_slow(&s);
}

// What a callback may do, and what it may not.
struct inside {
  _Atomic int left;  // the main thread looks while a callback counts
  gpuio_error_t waited, destroyed, synchronized, blocking, finalized, submitted, status;
  gpuio_request_t blocking_request;
};
static void inside(gpuio_request_t request, gpuio_error_t error, void* user_data) {
  struct inside* in = user_data;
  (void)error;
  gpuio_request_status_t status = GPUIO_STATUS_PENDING;
  in->status = gpuio_request_get_status(ctx, request, &status);
  in->waited = gpuio_request_wait(ctx, request, UINT64_MAX);
  in->destroyed = gpuio_request_destroy(ctx, request);
  in->synchronized = gpuio_stream_synchronize(ctx, NULL);
  in->blocking = gpuio_request_submit(ctx, in->blocking_request);
  in->finalized = gpuio_finalize(ctx);
  if (in->left-- > 0) in->submitted = gpuio_request_submit(ctx, request);
}

static void callbacks(void) {
  char bytes[64];
  gpuio_handle_t handle = open_uri("mem://callbacks?size=64");
  gpuio_memory_region_t h = handle_region(handle, 64), m = memory_region(bytes, sizeof bytes);
  struct inside in = {.left = 3, .submitted = GPUIO_ERROR_GENERAL};
  gpuio_request_params_t params = {.type = GPUIO_REQ_READ, .src = &h, .dst = &m, .length = 64};
  gpuio_request_t request;
  NEED(gpuio_request_create(ctx, &params, &in.blocking_request));
  params.async = true;
  params.callback = inside;
  params.user_data = &in;
  NEED(gpuio_request_create(ctx, &params, &request));
  OK(gpuio_request_submit(ctx, request));
  OK(gpuio_stream_synchronize(ctx, NULL));  // counts what the callbacks submit before they return
  while (gpuio_request_wait(ctx, request, UINT64_MAX) == GPUIO_SUCCESS && in.left >= 0) {
  }
  CHECK(in.left == -1);
  CHECK(in.submitted == GPUIO_SUCCESS && in.status == GPUIO_SUCCESS && in.waited == GPUIO_SUCCESS);
  CHECK(in.destroyed == GPUIO_ERROR_BUSY && in.synchronized == GPUIO_ERROR_BUSY);
  CHECK(in.blocking == GPUIO_ERROR_BUSY && in.finalized == GPUIO_ERROR_BUSY);
  OK(gpuio_request_destroy(ctx, request));
  OK(gpuio_request_destroy(ctx, in.blocking_request));
  OK(gpuio_unregister_memory(ctx, &m));
  OK(gpuio_close(ctx, handle));
}

static void requests_in_a_stream(void) {
  static char from[4096], middle[4096];
  struct slow s;
  gpuio_stream_t stream;
  gpuio_event_t event;
  bool idle = true;
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  NEED(gpuio_event_create(ctx, &event));
  make_slow(&s, 0, stream, 256 * MIB);  // a quarter of a second
  memset(slow_memory, 7, sizeof slow_memory);
  memset(from, 9, sizeof from);
  // The read brings zeros; the copy after it must see them, though it is given at once.
  OK(gpuio_request_submit(ctx, s.request));
  OK(gpuio_memcpy_async(ctx, middle, slow_memory + sizeof slow_memory - 4096, 4096, stream));
  OK(gpuio_memcpy_async(ctx, slow_memory, from, 4096, stream));
  OK(gpuio_event_record(ctx, event, stream));
  OK(gpuio_stream_query(ctx, stream, &idle));
  CHECK(!idle);
  OK(gpuio_event_synchronize(ctx, event));
  CHECK(s.seen.calls == 1 && s.seen.error == GPUIO_SUCCESS);
  CHECK(middle[0] == 0 && middle[4095] == 0 && slow_memory[0] == 9 && slow_memory[4096] == 0);
  OK(gpuio_stream_synchronize(ctx, stream));
  // Two in a row, the second cancelled while it waits for the first.
  struct slow second;
  make_slow(&second, 0, stream, MIB);
  OK(gpuio_request_submit(ctx, s.request));
  OK(gpuio_request_submit(ctx, second.request));
  OK(gpuio_request_cancel(ctx, second.request));
  CHECK_CODE(GPUIO_ERROR_CANCELED, gpuio_request_wait(ctx, second.request, UINT64_MAX));
  OK(gpuio_request_wait(ctx, s.request, 0));
  end_slow(&second);
  end_slow(&s);
  OK(gpuio_event_destroy(ctx, event));
  OK(gpuio_stream_destroy(ctx, stream));
}

static void statistics(void) {
  gpuio_stats_t stats;
  OK(gpuio_reset_stats(ctx));
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.requests_submitted == 0 && stats.bytes_read == 0 && stats.latency_p99_us == 0);
  CHECK(stats.bandwidth_gbps == 0 && stats.cache_hit_rate == 0);
  struct slow s;
  make_slow(&s, 0, NULL, 0);
  for (int i = 0; i < 3; ++i) {
    OK(gpuio_request_submit(ctx, s.request));
    OK(gpuio_request_wait(ctx, s.request, UINT64_MAX));
  }
  OK(gpuio_request_modify(ctx, s.request, 0, MIB));
  OK(gpuio_request_submit(ctx, s.request));
  end_slow(&s);
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.requests_submitted == 4 && stats.requests_completed == 3);
  CHECK(stats.requests_cancelled == 1 && stats.requests_failed == 0);
  CHECK(stats.bytes_read >= 3 * sizeof slow_memory && stats.bytes_written == 0);
  CHECK(stats.latency_p50_us > 0 && stats.latency_p99_us >= stats.latency_p50_us && stats.latency_avg_us > 0);
  CHECK(stats.bandwidth_gbps > 0);
}

static void finalizing_ends_what_is_in_flight(void) {
  struct slow s[3], in_stream;
  gpuio_stream_t stream;
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  for (int i = 0; i < 3; ++i) make_slow(&s[i], 0, NULL, MIB);
  make_slow(&in_stream, 0, stream, MIB);
  for (int i = 0; i < 3; ++i) OK(gpuio_request_submit(ctx, s[i].request));
  OK(gpuio_request_submit(ctx, in_stream.request));
  OK(gpuio_finalize(ctx));
  for (int i = 0; i < 3; ++i) CHECK(s[i].seen.calls == 1 && s[i].seen.error == GPUIO_ERROR_CANCELED);
  CHECK(in_stream.seen.calls == 1 && in_stream.seen.error == GPUIO_ERROR_CANCELED);
  CHECK_CODE(GPUIO_ERROR_NOT_INITIALIZED, gpuio_request_wait(ctx, s[0].request, 0));
}

int main(void) {
  NEED(gpuio_init(&ctx, NULL));
  RUN(opening);
  RUN(a_file_is_written_read_and_copied);
  RUN(what_is_wrong_is_refused);
  RUN(a_failure_is_told_after_its_retries);
  RUN(waiting_timing_out_and_cancelling);
  RUN(progress_is_told);
  RUN(callbacks);
  RUN(requests_in_a_stream);
  RUN(statistics);
  RUN(finalizing_ends_what_is_in_flight);
  return check_failed;
}
