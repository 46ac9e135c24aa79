// gpuio: launching kernels, which index memory and arrays. The conventions of gpuio.h hold here too.
//
// A kernel is written in C++ with gpuio/kernel.hpp, and reaches the library as the bytes that
// gpuio/kernel/serialize.hpp makes of it, from this or another process. gpuio.hpp does all that follows in
// one call, with the arguments checked while compiling.
//
// An access that fails gives the lane zero and a status; the other lanes go on. In one of two ways a kernel
// gets what is not in the cache: it waits, where the device can talk to the host meanwhile, or its lanes save
// where they are and end, the host brings the pages, and they go on behind their access. Nothing runs twice.
//
//     gpuio_kernel_t kernel;                         // counts[v] += how often byte v is in the array
//     gpuio_argument_t args[] = {{.kind = GPUIO_ARG_PROXY, .proxy = file},
//                                {.kind = GPUIO_ARG_MEMORY, .memory = counts, .count = 256},
//                                {.kind = GPUIO_ARG_SCALAR, .bits = bytes}};
//     const uint32_t groups[3] = {64, 1, 1};
//     gpuio_kernel_load(ctx, ir, ir_size, &kernel);
//     gpuio_kernel_run(ctx, kernel, groups, args, 3, NULL, NULL, NULL);
#ifndef GPUIO_GPUIO_KERNEL_H
#define GPUIO_GPUIO_KERNEL_H

#include "gpuio.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gpuio_kernel* gpuio_kernel_t;

typedef enum {
  GPUIO_ARG_MEMORY = 0,  // elements in memory that kernels can use; in, out and in-out parameters
  GPUIO_ARG_SCALAR = 1,
  GPUIO_ARG_PROXY = 2,  // an array that fills on demand
  // A number for a scalar of any type: bits are an int64_t's or a double's, which are converted. INVALID_ARG
  // where that would change it: out of range, a fraction for an integer. A REAL is rounded to a narrower
  // float.
  GPUIO_ARG_INTEGER = 3,
  GPUIO_ARG_REAL = 4,
  GPUIO_ARG_BYTES = 5  // memory of `count` bytes: as many whole elements of the parameter
} gpuio_argument_kind_t;

typedef struct {
  gpuio_argument_kind_t kind;
  uint32_t element_size;  // bytes of an element or of the scalar, to compare with the kernel's; 0: unknown
  void* memory;    // MEMORY, BYTES: from gpuio_malloc_*, or a mapped array; for the CPU device any memory
  uint64_t count;  // MEMORY: elements, of element_size or else of what the parameter has
  uint64_t bits;   // SCALAR: its bytes, the rest zero; INTEGER, REAL: see there
  gpuio_proxy_t proxy;  // PROXY
} gpuio_argument_t;

// One workgroup, for native code of the CPU device, which runs all lanes of it.
typedef struct {
  uint64_t value;  // address of the first element, or the scalar's bits
  uint64_t count;  // elements, or 0
} gpuio_slot_t;
typedef struct {
  const gpuio_slot_t* arguments;  // one a parameter; see gpuio_kernel_set_native
  uint32_t num_arguments;
  uint32_t group[3], groups[3];
  void* shared;  // this workgroup's own, aligned to 64 bytes, undefined at entry
  size_t shared_size;
} gpuio_workgroup_t;
// Called for several workgroups at once, from threads of the library. What is not SUCCESS fails the stream.
typedef gpuio_error_t (*gpuio_native_fn_t)(const gpuio_workgroup_t* group);

typedef enum { GPUIO_MISS_AUTO = 0, GPUIO_MISS_WAIT = 1, GPUIO_MISS_YIELD = 2 } gpuio_miss_t;

typedef struct {
  gpuio_miss_t miss;
  uint64_t timeout_us;  // 0: no limit
  bool allow_failures;  // the kernel looks at the status of its accesses: their failure is not the run's
} gpuio_launch_options_t;

typedef struct {
  gpuio_miss_t miss;  // the way taken; AUTO without on-demand arrays
  uint32_t launches;
  uint64_t misses;    // accesses that the host had to answer
  uint64_t failures;  // of them, answered with an error
  uint64_t pages;     // brought
  double seconds;
  double miss_latency_p50_us, miss_latency_p99_us;
  char reason[256];  // why not the other way, or what the last failed access said; "" if neither
} gpuio_launch_report_t;

// Reads and checks a kernel; INVALID_ARG names the byte that is wrong. Made ready for the current device, and
// for another when it is first launched there. `ir` is copied. Ends with gpuio_kernel_destroy.
GPUIO_API gpuio_error_t gpuio_kernel_load(gpuio_context_t ctx, const void* ir, size_t size,
                                          gpuio_kernel_t* kernel);
// What was launched goes on.
GPUIO_API gpuio_error_t gpuio_kernel_destroy(gpuio_context_t ctx, gpuio_kernel_t kernel);
// What the CPU device runs instead of interpreting the kernel, from the next launch on; NULL: interpret.
// Where the kernel has on-demand arrays it gets one slot more than there are parameters, for the code that
// gpuio/native.hpp makes: no other can index them.
GPUIO_API gpuio_error_t gpuio_kernel_set_native(gpuio_context_t ctx, gpuio_kernel_t kernel,
                                                gpuio_native_fn_t native);
// Runs groups[0] x groups[1] x groups[2] workgroups, each 1 to 65535, after what the stream was given before,
// and does not wait for it; memory must stay until the stream is synchronized. With on-demand arrays it
// blocks until every lane has ended, as gpuio_kernel_run with NULL options does: as long as that takes, or
// until gpuio_kernel_cancel. INVALID_ARG for arguments that are not what the kernel's parameters are: their
// number, kind, element size or count.
GPUIO_API gpuio_error_t gpuio_kernel_launch(gpuio_context_t ctx, gpuio_kernel_t kernel,
                                            const uint32_t groups[3], const gpuio_argument_t* arguments,
                                            int num_arguments, gpuio_stream_t stream);
// The same, and blocks until every lane has ended. options and report may be NULL. When accesses failed it
// answers what the last of them said, though every lane ran to its end, unless the options allow it.
// TIMEOUT, CANCELED: a kernel cannot be taken back. One with on-demand arrays is told to end, and waited for;
// past five seconds the device is given up, DEVICE_LOST, and a new context needed. One without goes on, and
// its memory must stay, until the stream is synchronized.
GPUIO_API gpuio_error_t gpuio_kernel_run(gpuio_context_t ctx, gpuio_kernel_t kernel, const uint32_t groups[3],
                                         const gpuio_argument_t* arguments, int num_arguments,
                                         gpuio_stream_t stream, const gpuio_launch_options_t* options,
                                         gpuio_launch_report_t* report);
// From another thread: the runs of this kernel that are blocked end with CANCELED.
GPUIO_API gpuio_error_t gpuio_kernel_cancel(gpuio_context_t ctx, gpuio_kernel_t kernel);

// ---- Kernels of other formats and makers
//
// What gpuio writes (IR, and the .spv and .ptx files of its own kernels, which hold the IR) runs on every
// device. SPIR-V of other makers (glslang, DXC, clspv) runs on Vulkan: one argument a buffer, ascending by
// set and binding, then one a scalar of the push constants, ascending by offset; vectors, matrices and arrays
// are as many scalars. PTX of other makers runs on CUDA, an argument a parameter of the entry. Elsewhere
// loading them is UNSUPPORTED and says which device can. Their function bodies are not checked: a module that
// the driver cannot digest (spirv-val tells) may take the process with it, and addresses may go anywhere.
typedef enum {
  GPUIO_FORMAT_AUTO = 0,  // told apart by the first bytes; accumulator code has to be named
  GPUIO_FORMAT_IR = 1,
  GPUIO_FORMAT_SPIRV = 2,  // 1.0 to 1.5, compute, buffers only: images and arrays of buffers are UNSUPPORTED
  GPUIO_FORMAT_PTX = 3,
  GPUIO_FORMAT_ADEAD = 4  // accumulator code, AHYB or AGPU
} gpuio_kernel_format_t;

typedef struct {
  uint32_t id;                 // SpecId; of gpuio's own kernels: which, in the order they are declared
  gpuio_argument_kind_t kind;  // INTEGER (of a boolean, 0 or 1) or REAL
  uint64_t bits;
  const char* name;  // as the kernel declares it; NULL: the id says which
} gpuio_constant_t;

typedef struct {
  gpuio_kernel_format_t format;
  const char* entry;  // of SPIR-V and PTX; NULL: the only one
  // Specialization constants, of gpuio's kernels and of SPIR-V. NOT_FOUND names those there are, INVALID_ARG
  // the type or the range that the value is not of. With any the CPU device interprets: native code has the
  // kernel's own values.
  const gpuio_constant_t* constants;
  int num_constants;
  uint32_t block[3];  // lanes of a workgroup, of PTX that does not say and of ADead-BIB code; zeros: it does
} gpuio_kernel_options_t;

typedef struct {
  char name[128];
  gpuio_kernel_format_t format;
  uint32_t block[3];  // lanes of a workgroup
  int num_parameters;
  bool portable;  // runs on every device
} gpuio_kernel_info_t;

typedef struct {
  char name[64];               // "" where the file has none
  gpuio_argument_kind_t kind;  // MEMORY, SCALAR or PROXY
  bool either;                 // 64 bits that take memory (its address) or a number
  uint32_t element_size;       // bytes of an element or of the scalar; 0: bytes, of any element
  uint64_t count;              // elements that the memory has at least
} gpuio_kernel_parameter_t;

// As gpuio_kernel_load, of any format; options may be NULL. INVALID_ARG names the word, byte or line that is
// wrong; UNSUPPORTED what the device lacks, or which device can. All is copied.
GPUIO_API gpuio_error_t gpuio_kernel_load_format(gpuio_context_t ctx, const void* bytes, size_t size,
                                                 const gpuio_kernel_options_t* options,
                                                 gpuio_kernel_t* kernel);
GPUIO_API gpuio_error_t gpuio_kernel_get_info(gpuio_context_t ctx, gpuio_kernel_t kernel,
                                              gpuio_kernel_info_t* info);
GPUIO_API gpuio_error_t gpuio_kernel_get_parameter(gpuio_context_t ctx, gpuio_kernel_t kernel, int index,
                                                   gpuio_kernel_parameter_t* parameter);

// ---- Devices and memory, as whoever launches kernel files needs them
//
// By how it is driven: "cpu", "vulkan", "cuda", or "auto", the device that is used when nobody says; with a
// number after a colon the next ones of a kind ("vulkan:1"). Finds emulated GPUs without a flag, and those
// that another driver offers too: these are not counted and have ids below -1, for any call that takes one.
// NOT_FOUND says why there is none, INVALID_ARG which names there are.
GPUIO_API gpuio_error_t gpuio_find_device(gpuio_context_t ctx, const char* name, int* device_id);
// Sets every byte, in the order of the stream, as gpuio_memcpy_async copies. The stream and the memory are of
// one device, or the memory is of the host.
GPUIO_API gpuio_error_t gpuio_memset_async(gpuio_context_t ctx, void* memory, uint8_t value, size_t size,
                                           gpuio_stream_t stream);
// Memory that another library allocated on the current device, from where kernels find it: from now on it can
// be copied, filled and given to kernels here. It stays its owner's, who keeps it until it is given to
// gpuio_free, which forgets it. UNSUPPORTED on devices other than CUDA.
GPUIO_API gpuio_error_t gpuio_adopt_device_memory(gpuio_context_t ctx, void* gpu_addr, size_t size);

#ifdef __cplusplus
}
#endif

#endif  // GPUIO_GPUIO_KERNEL_H
