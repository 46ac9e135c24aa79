// What the C clients here share: a test is a function without arguments, a check that fails says where and
// goes on, and the program's exit status tells whether all held.
#ifndef GPUIO_TESTS_CAPI_CHECK_H
#define GPUIO_TESTS_CAPI_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <gpuio/gpuio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_failed;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      check_failed = 1;                                                       \
    }                                                                         \
  } while (0)

// The call answers this code; what it said otherwise is printed.
#define CHECK_CODE(expected, call)                                                         \
  do {                                                                                     \
    gpuio_error_t check_code = (call);                                                     \
    if (check_code != (expected)) {                                                        \
      fprintf(stderr, "%s:%d: %s: %s (%d: %s), expected %s\n", __FILE__, __LINE__, #call,  \
              gpuio_error_string(check_code), (int)check_code, gpuio_last_error_message(), \
              gpuio_error_string(expected));                                               \
      check_failed = 1;                                                                    \
    }                                                                                      \
  } while (0)
#define OK(call) CHECK_CODE(GPUIO_SUCCESS, call)

// The last message holds the word.
#define CHECK_SAYS(word)                                                                                     \
  do {                                                                                                       \
    if (!strstr(gpuio_last_error_message(), word)) {                                                         \
      fprintf(stderr, "%s:%d: \"%s\" does not say \"%s\"\n", __FILE__, __LINE__, gpuio_last_error_message(), \
              word);                                                                                         \
      check_failed = 1;                                                                                      \
    }                                                                                                        \
  } while (0)

// For what the rest of a test cannot do without.
#define NEED(call)                                                                               \
  do {                                                                                           \
    gpuio_error_t need_code = (call);                                                            \
    if (need_code != GPUIO_SUCCESS) {                                                            \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, gpuio_last_error_message()); \
      exit(1);                                                                                   \
    }                                                                                            \
  } while (0)

#define RUN(test)                                             \
  do {                                                        \
    int check_before = check_failed;                          \
    check_failed = 0;                                         \
    test();                                                   \
    printf("%s %s\n", check_failed ? "FAILED" : "ok", #test); \
    check_failed |= check_before;                             \
  } while (0)

#endif
