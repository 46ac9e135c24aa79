#include "gpu/cuda/driver.hpp"

#include <mutex>
#include <vector>

namespace gpuio::gpu::cuda {
namespace {

using GetProcAddress = int(const char* name, void** function, int version, std::uint64_t flags);

// Functions of the table by name, until the first that is missing.
class Finder {
 public:
  explicit Finder(GetProcAddress* get) : get_(get) {}
  template <class F>
  Finder& find(F*& function, const char* name) {
    if (!missing_.empty()) return *this;
    if (!find_optional(function, name, kInterface)) missing_ = name;
    return *this;
  }
  template <class F>
  bool find_optional(F*& function, const char* name, int version) {
    void* found = nullptr;
    if (get_(name, &found, version, 0) != kSuccess) found = nullptr;
    function = reinterpret_cast<F*>(found);
    return found != nullptr;
  }
  const std::string& missing() const { return missing_; }

 private:
  GetProcAddress* get_;
  std::string missing_;
};

std::string find_all(Driver& d, GetProcAddress* get) {
  Finder f(get);
#define GPUIO_FIND(name) f.find(d.name, #name)
  GPUIO_FIND(cuInit);
  GPUIO_FIND(cuDriverGetVersion);
  GPUIO_FIND(cuGetErrorName);
  GPUIO_FIND(cuGetErrorString);
  GPUIO_FIND(cuDeviceGetCount);
  GPUIO_FIND(cuDeviceGet);
  GPUIO_FIND(cuDeviceGetName);
  GPUIO_FIND(cuDeviceTotalMem);
  GPUIO_FIND(cuDeviceGetAttribute);
  GPUIO_FIND(cuDeviceGetPCIBusId);
  GPUIO_FIND(cuDevicePrimaryCtxRetain);
  GPUIO_FIND(cuDevicePrimaryCtxRelease);
  GPUIO_FIND(cuCtxPushCurrent);
  GPUIO_FIND(cuCtxPopCurrent);
  GPUIO_FIND(cuMemGetInfo);
  GPUIO_FIND(cuMemAlloc);
  GPUIO_FIND(cuMemFree);
  GPUIO_FIND(cuMemAllocAsync);
  GPUIO_FIND(cuMemFreeAsync);
  GPUIO_FIND(cuMemHostAlloc);
  GPUIO_FIND(cuMemFreeHost);
  GPUIO_FIND(cuMemHostRegister);
  GPUIO_FIND(cuMemHostUnregister);
  GPUIO_FIND(cuMemHostGetDevicePointer);
  GPUIO_FIND(cuMemcpyAsync);
  GPUIO_FIND(cuMemsetD8Async);
  GPUIO_FIND(cuModuleLoadDataEx);
  GPUIO_FIND(cuModuleUnload);
  GPUIO_FIND(cuModuleGetFunction);
  GPUIO_FIND(cuFuncGetAttribute);
  GPUIO_FIND(cuFuncSetAttribute);
  GPUIO_FIND(cuLaunchKernel);
  GPUIO_FIND(cuLaunchHostFunc);
  GPUIO_FIND(cuStreamCreate);
  GPUIO_FIND(cuStreamDestroy);
  GPUIO_FIND(cuStreamSynchronize);
  GPUIO_FIND(cuStreamQuery);
  GPUIO_FIND(cuStreamWaitEvent);
  GPUIO_FIND(cuEventCreate);
  GPUIO_FIND(cuEventDestroy);
  GPUIO_FIND(cuEventRecord);
  GPUIO_FIND(cuEventQuery);
  GPUIO_FIND(cuEventElapsedTime);
#undef GPUIO_FIND
  f.find_optional(d.cuFuncLoad, "cuFuncLoad", kInterfaceLoad);
  f.find_optional(d.cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled", kInterfaceTensorMap);
  return f.missing();
}

std::string version_of(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Code code_of(int result) {
  if (is_fatal(result)) return Code::device_lost;
  switch (result) {
    case kSuccess: return Code::ok;
    case kInvalidValue:
    case 101:                            // invalid device
    case 701: return Code::invalid_arg;  // launch out of resources
    case kOutOfMemory: return Code::nomem;
    case kNoDevice:
    case 500: return Code::not_found;  // named symbol not found
    case kNotReady:
    case 46:                             // device unavailable: in use exclusively
    case 802: return Code::busy;         // system not ready: the fabric manager is not up yet
    case 34:                             // stub library
    case 36:                             // requires a newer driver
    case 200:                            // invalid image
    case 209:                            // no binary for the GPU
    case 218:                            // invalid PTX
    case 221:                            // JIT compiler not found
    case 222:                            // unsupported PTX version
    case 801:                            // not supported
    case 803: return Code::unsupported;  // kernel module and library of different versions
    case 800: return Code::permission;
    default: return Code::general;
  }
}

// Keeps the library mapped for ever: the driver runs threads of its own, which must not lose their code when
// the last device is closed. A second handle is the whole cost.
void pin(const std::string& library) {
  if (auto again = SharedLibrary::open(library)) {
    static auto* const kept = new std::vector<SharedLibrary>;
    static std::mutex lock;
    const std::scoped_lock guard(lock);
    if (kept->empty()) kept->push_back(std::move(*again));
  }
}

}  // namespace

bool is_fatal(int result) {
  switch (result) {
    case 201:  // invalid context: destroyed by somebody else
    case 214:  // uncorrectable memory error
    case 220:  // uncorrectable link error
    case 226:  // an error that was contained: this context ends of it
    case 700:  // illegal address
    case 702:  // launch timed out: the watchdog
    case 709:  // context is destroyed
    case 710:  // assertion in a kernel
    case 714:  // hardware stack error
    case 715:  // illegal instruction
    case 716:  // misaligned address
    case 717:  // address space
    case 718:  // program counter
    case 719:  // launch failed
    case 721:  // tensor memory leaked
      return true;
    default: return false;
  }
}

Status Driver::status(int result, std::string_view what) const {
  if (result == kSuccess) return {};
  const char* name = nullptr;
  const char* text = nullptr;
  if (cuGetErrorName(result, &name) != kSuccess || name == nullptr) name = "unknown to this driver";
  if (cuGetErrorString(result, &text) != kSuccess || text == nullptr) text = "error";
  return error(code_of(result), "{}: {} ({}, {})", what, text, name, result);
}

std::string Driver::version_text() const {
  return fmt::format("NVIDIA driver for CUDA {}", version_of(version));
}

Result<std::shared_ptr<const Driver>> Driver::load(const std::string& library) {
  auto driver = std::make_shared<Driver>();
  auto opened = SharedLibrary::open(library);
  if (!opened) {
    return fail(Code::not_found, "{} not found: install the NVIDIA driver ({})", library,
                opened.error().message());
  }
  driver->library = std::move(*opened);
  auto get = driver->library.function<GetProcAddress>("cuGetProcAddress");
  if (!get) {
    return fail(Code::unsupported, "{} is older than CUDA {}: update the NVIDIA driver", library,
                version_of(kInterface));
  }
  if (const std::string missing = find_all(*driver, *get); !missing.empty()) {
    return fail(Code::unsupported, "{} has no {} of CUDA {}: update the NVIDIA driver", library, missing,
                version_of(kInterface));
  }
  if (const int r = driver->cuInit(0); r != kSuccess) {
    Status s = driver->status(r, "cuInit");
    if (r == kNoDevice)
      return fail(Code::not_found, "no NVIDIA GPU that the driver can use: {}", s.message());
    return fail(std::move(s));
  }
  pin(library);
  if (const int r = driver->cuDriverGetVersion(&driver->version); r != kSuccess) {
    return fail(driver->status(r, "cuDriverGetVersion"));
  }
  return driver;
}

}  // namespace gpuio::gpu::cuda
