// Arrays that fill on demand, from the CPU's side: what a proxy promises of files that are there, missing,
// empty, too short, and cut off while open.
#define _POSIX_C_SOURCE 200809L
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define CACHE (16 * PAGE)

static gpuio_context_t ctx;
static char path[] = "/tmp/gpuio_proxy_XXXXXX";

static unsigned char byte_at(size_t i) { return (unsigned char)(i * 131 + (i >> 12) * 7); }

static void write_file(size_t bytes) {
  FILE* f = fopen(path, "wb");
  for (size_t i = 0; i < bytes; ++i) fputc(byte_at(i), f);
  fclose(f);
}
static gpuio_proxy_t open_file(size_t bytes, size_t size) {
  gpuio_proxy_t proxy;
  write_file(bytes);
  NEED(gpuio_proxy_create(ctx, path, size, &proxy));
  return proxy;
}
static bool holds(const void* memory, size_t offset, size_t size) {
  for (size_t i = 0; i < size; ++i)
    if (((const unsigned char*)memory)[i] != byte_at(offset + i)) return false;
  return true;
}

static void reads_through_the_cache(void) {
  static unsigned char got[3 * PAGE];
  gpuio_proxy_stats_t stats;
  gpuio_proxy_t proxy = open_file(100 * PAGE + 5, 0);
  OK(gpuio_proxy_get_stats(ctx, proxy, &stats));
  CHECK(stats.size == 100 * PAGE + 5 && stats.page_size == PAGE && stats.misses == 0 && stats.hit_rate == 0);
  for (size_t at = 1; at + sizeof got < 100 * PAGE; at += 7 * PAGE) {
    OK(gpuio_proxy_read(ctx, proxy, at, got, sizeof got));
    CHECK(holds(got, at, sizeof got));
  }
  OK(gpuio_proxy_read(ctx, proxy, 100 * PAGE, got, 5));
  CHECK(holds(got, 100 * PAGE, 5));
  OK(gpuio_proxy_read(ctx, proxy, 100 * PAGE, got, 1));
  OK(gpuio_proxy_get_stats(ctx, proxy, &stats));
  CHECK(stats.misses > 16 && stats.hits >= 1 && stats.evictions > 0);
  CHECK(stats.pages_resident <= 16 && stats.hit_rate > 0 && stats.hit_rate < 1);
  CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_proxy_read(ctx, proxy, 100 * PAGE, got, 6));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_read(ctx, proxy, 0, NULL, 1));
  OK(gpuio_proxy_destroy(ctx, proxy));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_read(ctx, proxy, 0, got, 1));
}

static void a_prefix_of_the_file(void) {
  unsigned char got[2];
  gpuio_proxy_t proxy = open_file(PAGE, 100);
  OK(gpuio_proxy_read(ctx, proxy, 98, got, 2));
  CHECK(holds(got, 98, 2));
  CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_proxy_read(ctx, proxy, 99, got, 2));
  OK(gpuio_proxy_destroy(ctx, proxy));
}

static void what_cannot_be_an_array(void) {
  gpuio_proxy_t proxy;
  write_file(100);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_create(ctx, path, 101, &proxy));
  CHECK_SAYS("holds 100 bytes");
  CHECK(proxy == NULL);
  write_file(0);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_create(ctx, path, 0, &proxy));
  CHECK_SAYS("empty");
  CHECK_CODE(GPUIO_ERROR_NOT_FOUND, gpuio_proxy_create(ctx, "/nowhere/at/all", 1, &proxy));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_create(ctx, "nosuch://a", 1, &proxy));
  CHECK(gpuio_proxy_create(ctx, "/tmp", 1, &proxy) != GPUIO_SUCCESS);
  CHECK(gpuio_proxy_create(ctx, "", 1, &proxy) != GPUIO_SUCCESS);
}

static void prefetch_brings_pages(void) {
  unsigned char got[1];
  gpuio_proxy_stats_t stats;
  gpuio_proxy_t proxy = open_file(64 * PAGE, 0);
  OK(gpuio_proxy_prefetch(ctx, proxy, 10 * PAGE + 1, PAGE, NULL));
  OK(gpuio_proxy_get_stats(ctx, proxy, &stats));
  CHECK(stats.prefetches == 2 && stats.pages_resident == 2 && stats.misses == 0);
  OK(gpuio_proxy_read(ctx, proxy, 11 * PAGE, got, 1));
  OK(gpuio_proxy_get_stats(ctx, proxy, &stats));
  CHECK(stats.hits == 1 && stats.misses == 0);
  OK(gpuio_proxy_prefetch(ctx, proxy, 0, 64 * PAGE, NULL));  // more than the cache holds
  CHECK_CODE(GPUIO_ERROR_INVALID_ADDRESS, gpuio_proxy_prefetch(ctx, proxy, 64 * PAGE, 1, NULL));
  OK(gpuio_proxy_destroy(ctx, proxy));
}

static gpuio_request_t in_stream(gpuio_stream_t stream, gpuio_memory_region_t* src,
                                 gpuio_memory_region_t* dst, uint64_t rate) {
  gpuio_request_t request;
  const gpuio_request_params_t params = {
      .type = GPUIO_REQ_COPY, .src = src, .dst = dst, .length = src->length, .stream = stream, .async = true};
  NEED(gpuio_request_create(ctx, &params, &request));
  NEED(gpuio_request_modify(ctx, request, 0, rate));
  NEED(gpuio_request_submit(ctx, request));
  return request;
}

// The stream has something slow to do, then a write of what is to be brought.
static void prefetch_follows_its_stream(void) {
  static unsigned char slow[2][2 << 20], fresh[16 * PAGE], got[16 * PAGE];
  gpuio_handle_t file;
  gpuio_memory_region_t from, to, src, dst;
  gpuio_stream_t stream;
  gpuio_proxy_stats_t stats;
  gpuio_proxy_t proxy = open_file(64 * PAGE, 0);
  memset(fresh, 0xA5, sizeof fresh);
  NEED(gpuio_open(ctx, path, GPUIO_OPEN_WRITE, &file));
  NEED(gpuio_handle_region(ctx, file, 0, sizeof fresh, GPUIO_MEM_WRITE, &dst));
  NEED(gpuio_register_memory(ctx, fresh, sizeof fresh, GPUIO_MEM_READ, &src));
  NEED(gpuio_register_memory(ctx, slow[0], sizeof slow[0], GPUIO_MEM_READ, &from));
  NEED(gpuio_register_memory(ctx, slow[1], sizeof slow[1], GPUIO_MEM_WRITE, &to));
  NEED(gpuio_stream_create(ctx, &stream, GPUIO_STREAM_DEFAULT));
  gpuio_request_t first = in_stream(stream, &from, &to, 8 << 20), second = in_stream(stream, &src, &dst, 0);
  OK(gpuio_proxy_prefetch(ctx, proxy, 0, 16 * PAGE, stream));
  OK(gpuio_proxy_get_stats(ctx, proxy, &stats));
  CHECK(stats.prefetches == 16);
  OK(gpuio_proxy_read(ctx, proxy, 0, got, sizeof got));
  CHECK(memcmp(got, fresh, sizeof got) == 0);
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_prefetch(ctx, proxy, 0, 1, (gpuio_stream_t)(void*)&stats));
  OK(gpuio_request_destroy(ctx, first));
  OK(gpuio_request_destroy(ctx, second));
  OK(gpuio_stream_destroy(ctx, stream));
  OK(gpuio_close(ctx, file));
  for (int i = 0; i < 3; ++i) OK(gpuio_unregister_memory(ctx, i == 0 ? &src : i == 1 ? &from : &to));
  OK(gpuio_proxy_destroy(ctx, proxy));
}

static void the_context_counts_all_arrays(void) {
  unsigned char got[3 * PAGE];
  gpuio_stats_t stats;
  gpuio_proxy_t one = open_file(8 * PAGE, 0), two;
  NEED(gpuio_proxy_create(ctx, path, 0, &two));
  OK(gpuio_reset_stats(ctx));
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.cache_hits == 0 && stats.cache_misses == 0 && stats.cache_hit_rate == 0);
  OK(gpuio_proxy_read(ctx, one, 0, got, 3 * PAGE));
  OK(gpuio_proxy_read(ctx, one, 0, got, 1));
  OK(gpuio_proxy_read(ctx, two, 0, got, 1));
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.cache_hits == 1 && stats.cache_misses == 4 && stats.cache_hit_rate == 0.2);
  OK(gpuio_proxy_destroy(ctx, one));  // what it counted stays
  OK(gpuio_proxy_read(ctx, two, 0, got, 1));
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.cache_hits == 2 && stats.cache_misses == 4);
  OK(gpuio_reset_stats(ctx));
  OK(gpuio_proxy_destroy(ctx, two));
  OK(gpuio_get_stats(ctx, &stats));
  CHECK(stats.cache_hits == 0 && stats.cache_misses == 0);
}

// How many pages of the file the system has in its cache.
static size_t cached_pages(size_t pages) {
  unsigned char there[64];
  const int fd = open(path, O_RDONLY);
  void* const view = mmap(NULL, pages * PAGE, PROT_READ, MAP_SHARED, fd, 0);
  size_t count = 0;
  CHECK(fd >= 0 && view != MAP_FAILED && pages <= sizeof there && mincore(view, pages * PAGE, there) == 0);
  for (size_t i = 0; i < pages; ++i) count += there[i] & 1;
  munmap(view, pages * PAGE);
  close(fd);
  return count;
}
static void drop_cached(void) {
  const int fd = open(path, O_RDWR);
  CHECK(fd >= 0 && fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
  close(fd);
}
// Reads all of it by the URI and answers how much of it the system then has cached.
static size_t cached_after_reading(gpuio_context_t in, const char* parameter) {
  static unsigned char got[48 * PAGE];
  char uri[100];
  gpuio_proxy_t proxy;
  snprintf(uri, sizeof uri, "file://%s%s", path, parameter);
  NEED(gpuio_proxy_create(in, uri, 0, &proxy));
  drop_cached();
  OK(gpuio_proxy_read(in, proxy, 0, got, sizeof got));
  CHECK(holds(got, 0, sizeof got));
  OK(gpuio_proxy_prefetch(in, proxy, 0, 4 * PAGE, NULL));
  OK(gpuio_proxy_destroy(in, proxy));
  return cached_pages(48);
}
static void direct_is_obeyed(void) {
  gpuio_context_t always, never;
  gpuio_handle_t handle;
  write_file(48 * PAGE);
  drop_cached();
  if (gpuio_open(ctx, path, GPUIO_OPEN_READ | GPUIO_OPEN_DIRECT, &handle) != GPUIO_SUCCESS ||
      cached_pages(48) != 0) {
    printf("skipped: the file system of /tmp has no direct IO, or keeps what it has cached\n");
    return;
  }
  OK(gpuio_close(ctx, handle));
  CHECK(cached_after_reading(ctx, "") == 48);
  CHECK(cached_after_reading(ctx, "?direct=true") == 0);
  setenv("GPUIO_IO_DIRECT", "always", 1);
  NEED(gpuio_init(&always, NULL));
  setenv("GPUIO_IO_DIRECT", "never", 1);
  NEED(gpuio_init(&never, NULL));
  unsetenv("GPUIO_IO_DIRECT");
  CHECK(cached_after_reading(always, "") == 0);
  CHECK(cached_after_reading(always, "?direct=false") == 48);  // the URI wins
  CHECK(cached_after_reading(never, "?direct=true") == 48);    // as if no file system could
  OK(gpuio_finalize(always));
  OK(gpuio_finalize(never));
}

static void mapped_while_it_fits(void) {
  void *window, *again;
  gpuio_proxy_t proxy = open_file(CACHE - 3, 0), other, larger;
  OK(gpuio_proxy_map(ctx, proxy, &window));
  CHECK(window && holds(window, 0, CACHE - 3));
  OK(gpuio_proxy_map(ctx, proxy, &again));
  CHECK(again == window);
  NEED(gpuio_proxy_create(ctx, path, 1, &other));
  CHECK_CODE(GPUIO_ERROR_UNSUPPORTED, gpuio_proxy_map(ctx, other, &again));  // the budget is used up
  CHECK(again == NULL);
  OK(gpuio_proxy_unmap(ctx, proxy));
  CHECK(holds(window, 0, CACHE - 3));
  OK(gpuio_proxy_unmap(ctx, proxy));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_unmap(ctx, proxy));
  OK(gpuio_proxy_map(ctx, other, &again));
  OK(gpuio_proxy_destroy(ctx, other));  // with its window
  OK(gpuio_proxy_map(ctx, proxy, &window));
  OK(gpuio_proxy_destroy(ctx, proxy));
  larger = open_file(CACHE + 1, 0);
  CHECK_CODE(GPUIO_ERROR_UNSUPPORTED, gpuio_proxy_map(ctx, larger, &window));
  CHECK_SAYS("65537 bytes and 65536");
  OK(gpuio_proxy_destroy(ctx, larger));
}

static void cut_off_while_open(void) {
  unsigned char got[8];
  void* window;
  gpuio_proxy_t proxy = open_file(8 * PAGE, 0);
  OK(gpuio_proxy_read(ctx, proxy, 0, got, 8));
  CHECK(truncate(path, PAGE) == 0);
  CHECK_CODE(GPUIO_ERROR_INVALID_BACKING, gpuio_proxy_read(ctx, proxy, 6 * PAGE, got, 8));
  CHECK_SAYS("truncated");
  CHECK_CODE(GPUIO_ERROR_INVALID_BACKING, gpuio_proxy_map(ctx, proxy, &window));
  CHECK_CODE(GPUIO_ERROR_INVALID_BACKING, gpuio_proxy_prefetch(ctx, proxy, 0, 8 * PAGE, NULL));
  OK(gpuio_proxy_read(ctx, proxy, 8, got, 8));
  CHECK(holds(got, 8, 8));
  OK(gpuio_proxy_destroy(ctx, proxy));
}

static void policies(void) {
  gpuio_proxy_t proxy = open_file(10, 0);
  OK(gpuio_proxy_set_cache_policy(ctx, proxy, GPUIO_CACHE_DEFAULT));
  CHECK_CODE(GPUIO_ERROR_UNSUPPORTED, gpuio_proxy_set_cache_policy(ctx, proxy, GPUIO_CACHE_LFU));
  CHECK_SAYS("LFU");
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_set_cache_policy(ctx, proxy, (gpuio_cache_policy_t)9));
  OK(gpuio_proxy_flush(ctx, proxy));
  OK(gpuio_proxy_destroy(ctx, proxy));
}

static void finalize_takes_what_is_left(void) {
  void* window;
  gpuio_context_t other;
  gpuio_proxy_t proxy;
  write_file(PAGE);
  NEED(gpuio_init(&other, NULL));
  NEED(gpuio_proxy_create(other, path, 0, &proxy));
  CHECK_CODE(GPUIO_ERROR_INVALID_ARG, gpuio_proxy_map(ctx, proxy, &window));  // another context's
  OK(gpuio_proxy_map(other, proxy, &window));
  OK(gpuio_finalize(other));
}

int main(void) {
  const int fd = mkstemp(path);
  if (fd < 0) return 1;
  close(fd);
  setenv("GPUIO_PAGING_CACHE_SIZE", "64KiB", 1);
  setenv("GPUIO_PAGING_PAGE_SIZE", "4KiB", 1);
  NEED(gpuio_init(&ctx, NULL));
  RUN(reads_through_the_cache);
  RUN(a_prefix_of_the_file);
  RUN(what_cannot_be_an_array);
  RUN(prefetch_brings_pages);
  RUN(prefetch_follows_its_stream);
  RUN(the_context_counts_all_arrays);
  RUN(direct_is_obeyed);
  RUN(mapped_while_it_fits);
  RUN(cut_off_while_open);
  RUN(policies);
  RUN(finalize_takes_what_is_left);
  OK(gpuio_finalize(ctx));
  unlink(path);
  return check_failed;
}
