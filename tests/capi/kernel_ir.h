// The IR of a few kernels, for C: "saxpy", "scan_histogram" (tests/support/kernels.hpp), and "spin": out[0] =
// n, counted one by one.
#ifndef GPUIO_TESTS_CAPI_KERNEL_IR_H
#define GPUIO_TESTS_CAPI_KERNEL_IR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
const void* kernel_ir(const char* name, size_t* size);
#ifdef __cplusplus
}
#endif

#endif
