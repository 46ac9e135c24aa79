// The part of NVIDIA's driver interface that gpuio uses, declared by ourselves and found at run time: nothing
// of CUDA is needed to build, and a machine without a driver gets an answer instead of a crash.
//
// Names and signatures are those of the public driver API; every function is asked of cuGetProcAddress in the
// version of kInterface, so that old and new drivers give the same one. What came later is null where it is
// missing. Any thread. Driver objects are shared
// by what was made from them; the library stays loaded.
//
//   auto driver = Driver::load("libcuda.so.1");   // not_found, naming the remedy, where there is none
//   if (int r = (*driver)->cuInit(0); r != kSuccess) return (*driver)->status(r, "cuInit");
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/platform/shared_library.hpp"

namespace gpuio::gpu::cuda {

inline constexpr int kInterface = 11040;  // CUDA 11.4: all below that is not optional is in it
inline constexpr int kInterfaceLoad = 12040, kInterfaceTensorMap = 12000;

using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx*;
using CUstream = struct CUstr*;
using CUevent = struct CUev*;
using CUmodule = struct CUmod*;
using CUfunction = struct CUfunc*;
struct alignas(64) CUtensorMap {
  std::uint64_t opaque[16];
};

// CUresult: those that are told apart.
inline constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNoDevice = 100, kNotReady = 600;

enum Attribute : int {  // CUdevice_attribute
  kMaxThreadsPerBlock = 1,
  kMaxSharedMemoryPerBlock = 8,
  kWarpSize = 10,
  kMultiprocessorCount = 16,
  kKernelExecTimeout = 17,
  kCanMapHostMemory = 19,
  kConcurrentKernels = 31,
  kAsyncEngineCount = 40,
  kUnifiedAddressing = 41,
  kComputeCapabilityMajor = 75,
  kComputeCapabilityMinor = 76,
  kMaxSharedMemoryPerBlockOptin = 97,
  kHostRegisterSupported = 99,
  kMemoryPoolsSupported = 115,
};
enum JitOption : int {  // CUjit_option
  kJitErrorLogBuffer = 5,
  kJitErrorLogBufferSizeBytes = 6,
  kJitTargetFromContext = 8,
};
// CUtensorMapDataType, of numbers that are only moved; CUtensorMapL2promotion. Interleave and fill: 0, none.
inline constexpr int kTensorOfU8 = 0, kTensorOfU16 = 1, kTensorOfU32 = 2, kTensorOfU64 = 4;
inline constexpr int kTensorPromoteTo128Bytes = 2;
inline constexpr int kFunctionMaxThreadsPerBlock = 0;         // CUfunction_attribute
inline constexpr int kFunctionMaxDynamicSharedSizeBytes = 8;  // likewise
inline constexpr unsigned kHostPortable = 1, kHostDeviceMap = 2;
inline constexpr unsigned kStreamNonBlocking = 1;
inline constexpr unsigned kEventDefault = 0, kEventDisableTiming = 2;

struct Driver {
  int (*cuInit)(unsigned flags) = nullptr;
  int (*cuDriverGetVersion)(int* version) = nullptr;
  int (*cuGetErrorName)(int error, const char** name) = nullptr;
  int (*cuGetErrorString)(int error, const char** text) = nullptr;
  int (*cuDeviceGetCount)(int* count) = nullptr;
  int (*cuDeviceGet)(CUdevice* device, int ordinal) = nullptr;
  int (*cuDeviceGetName)(char* name, int length, CUdevice device) = nullptr;
  int (*cuDeviceTotalMem)(std::size_t* bytes, CUdevice device) = nullptr;
  int (*cuDeviceGetAttribute)(int* value, int attribute, CUdevice device) = nullptr;
  int (*cuDeviceGetPCIBusId)(char* id, int length, CUdevice device) = nullptr;
  int (*cuDevicePrimaryCtxRetain)(CUcontext* context, CUdevice device) = nullptr;
  int (*cuDevicePrimaryCtxRelease)(CUdevice device) = nullptr;
  int (*cuCtxPushCurrent)(CUcontext context) = nullptr;
  int (*cuCtxPopCurrent)(CUcontext* context) = nullptr;
  int (*cuMemGetInfo)(std::size_t* free, std::size_t* total) = nullptr;
  int (*cuMemAlloc)(CUdeviceptr* address, std::size_t bytes) = nullptr;
  int (*cuMemFree)(CUdeviceptr address) = nullptr;
  int (*cuMemAllocAsync)(CUdeviceptr* address, std::size_t bytes, CUstream stream) = nullptr;
  int (*cuMemFreeAsync)(CUdeviceptr address, CUstream stream) = nullptr;
  int (*cuMemHostAlloc)(void** memory, std::size_t bytes, unsigned flags) = nullptr;
  int (*cuMemFreeHost)(void* memory) = nullptr;
  int (*cuMemHostRegister)(void* memory, std::size_t bytes, unsigned flags) = nullptr;
  int (*cuMemHostUnregister)(void* memory) = nullptr;
  int (*cuMemHostGetDevicePointer)(CUdeviceptr* address, void* memory, unsigned flags) = nullptr;
  int (*cuMemcpyAsync)(CUdeviceptr to, CUdeviceptr from, std::size_t bytes, CUstream stream) = nullptr;
  int (*cuMemsetD8Async)(CUdeviceptr to, unsigned char value, std::size_t bytes, CUstream stream) = nullptr;
  int (*cuModuleLoadDataEx)(CUmodule* module, const void* image, unsigned options, int* names,
                            void** values) = nullptr;
  int (*cuModuleUnload)(CUmodule module) = nullptr;
  int (*cuModuleGetFunction)(CUfunction* function, CUmodule module, const char* name) = nullptr;
  int (*cuFuncGetAttribute)(int* value, int attribute, CUfunction function) = nullptr;
  int (*cuFuncSetAttribute)(CUfunction function, int attribute, int value) = nullptr;
  int (*cuFuncLoad)(CUfunction function) = nullptr;  // optional
  int (*cuLaunchKernel)(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void** parameters, void** extra) = nullptr;
  int (*cuTensorMapEncodeTiled)(CUtensorMap* map, int type, std::uint32_t rank, void* address,
                                const std::uint64_t* sizes, const std::uint64_t* steps,
                                const std::uint32_t* box, const std::uint32_t* element_steps, int interleave,
                                int swizzle, int promotion, int fill) = nullptr;  // optional
  int (*cuLaunchHostFunc)(CUstream stream, void (*function)(void*), void* data) = nullptr;
  int (*cuStreamCreate)(CUstream* stream, unsigned flags) = nullptr;
  int (*cuStreamDestroy)(CUstream stream) = nullptr;
  int (*cuStreamSynchronize)(CUstream stream) = nullptr;
  int (*cuStreamQuery)(CUstream stream) = nullptr;
  int (*cuStreamWaitEvent)(CUstream stream, CUevent event, unsigned flags) = nullptr;
  int (*cuEventCreate)(CUevent* event, unsigned flags) = nullptr;
  int (*cuEventDestroy)(CUevent event) = nullptr;
  int (*cuEventRecord)(CUevent event, CUstream stream) = nullptr;
  int (*cuEventQuery)(CUevent event) = nullptr;
  int (*cuEventElapsedTime)(float* ms, CUevent from, CUevent to) = nullptr;

  // Loads the library, finds all of the above and calls cuInit.
  static Result<std::shared_ptr<const Driver>> load(const std::string& library);

  // "what: driver's words (driver's name)", of the code that tells callers what to do.
  Status status(int result, std::string_view what) const;
  std::string version_text() const;

  SharedLibrary library;
  int version = 0;  // of CUDA that the driver knows, 1000 * major + 10 * minor
};

// Did the context die of it? Then every later call answers the same.
bool is_fatal(int result);

}  // namespace gpuio::gpu::cuda
