// A double of the NVIDIA driver, for the error paths of the CUDA device and nothing else: "device" memory is
// host memory, copies happen at once, kernels are only counted. It is no device and runs no kernel.
//
// A test steers it through the fake_ functions: any call can be made to fail, and what was made and not
// released is counted. Releases never fail: nobody could do anything about it.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

std::mutex lock;
int calls = 0, fail_at = 0, fail_with = 0, launches = 0;
int looked_at = 0;                // how many parameters of 8 bytes of a launch are kept
unsigned long long parameter[8];  // what they were
int allowed = 0;                  // bytes of shared memory that a launch may give the function
unsigned given = 0;               // that the last launch gave
unsigned long long
    encoded[14];    // what the last tensor map was made of, in the order of the driver's function
int maps = 0;       // made so far; the first word of a map says which it is
bool held = false;  // nothing that is enqueued ever ends
bool old = false;   // knows nothing newer than CUDA 11.4
std::map<const void*, std::string> live;
std::string failed;

// Counts the call; not 0: the answer it must give.
int enter(const char* name) {
  const std::scoped_lock guard(lock);
  if (++calls != fail_at) return 0;
  failed = name;
  return fail_with;
}
#define ENTER() \
  if (const int r = enter(__func__)) return r

constexpr std::align_val_t kPage{4096};
template <class Handle>
int make(Handle* handle, const char* what, std::size_t bytes = 1) {
  void* const made = ::operator new(bytes, kPage, std::nothrow);
  if (made == nullptr) return 2;
  const std::scoped_lock guard(lock);
  live[made] = what;
  *handle = Handle(made);
  return 0;
}
int end(const void* handle, const char* what) {
  const std::scoped_lock guard(lock);
  const auto at = live.find(handle);
  if (at == live.end() || at->second != what) return 1;  // twice, or what is none
  live.erase(at);
  ::operator delete(const_cast<void*>(handle), kPage);
  return 0;
}
template <class Handle>
const void* pointer(Handle handle) {
  return (const void*)(handle);
}
using Address = unsigned long long;

}  // namespace

EXPORT void fake_reset(int at, int with) {
  const std::scoped_lock guard(lock);
  calls = launches = 0;
  fail_at = at;
  fail_with = with;
  held = old = false;
  allowed = 0;
  given = 0;
  maps = 0;
  failed.clear();
}
EXPORT int fake_calls() { return calls; }
EXPORT int fake_launches() { return launches; }
EXPORT void fake_values(int count) { looked_at = count; }
EXPORT unsigned long long fake_value(int i) { return parameter[i]; }
EXPORT unsigned long long fake_encoded(int i) { return encoded[i]; }
EXPORT int fake_allowed() { return allowed; }
EXPORT unsigned fake_given() { return given; }
EXPORT void fake_old(int is_old) { old = is_old != 0; }
EXPORT void fake_hold(int hold) { held = hold != 0; }
EXPORT const char* fake_failed() { return failed.c_str(); }
EXPORT int fake_live() {
  const std::scoped_lock guard(lock);
  return int(live.size());
}
// As at the end of the process, for what a device that is given up leaves behind.
EXPORT void fake_forget() {
  const std::scoped_lock guard(lock);
  for (auto& [handle, what] : live) {
    if (what != "context" && what != "registration") ::operator delete(const_cast<void*>(handle), kPage);
  }
  live.clear();
}

namespace {

int cuInit(unsigned) {
  ENTER();
  return 0;
}
int cuDriverGetVersion(int* version) {
  ENTER();
  *version = 12040;
  return 0;
}
int cuGetErrorName(int, const char** name) {
  *name = "FAKE_ERROR";
  return 0;
}
int cuGetErrorString(int, const char** text) {
  *text = "as the test wants";
  return 0;
}
int cuDeviceGetCount(int* count) {
  ENTER();
  *count = 1;
  return 0;
}
int cuDeviceGet(int* device, int ordinal) {
  ENTER();
  *device = ordinal;
  return 0;
}
int cuDeviceGetName(char* name, int length, int) {
  ENTER();
  std::strncpy(name, "driver double", std::size_t(length));
  return 0;
}
int cuDeviceTotalMem(std::size_t* bytes, int) {
  ENTER();
  *bytes = 1 << 30;
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  ENTER();
  switch (attribute) {
    case 1: *value = 1024; break;       // lanes of a workgroup
    case 8: *value = 48 * 1024; break;  // shared memory
    case 10: *value = 32; break;        // lanes of a subgroup
    case 17: *value = 0; break;         // no watchdog
    case 75: *value = 9; break;
    case 76: *value = 0; break;
    case 97: *value = 227 * 1024; break;  // shared memory that a function may be allowed
    default: *value = 1;
  }
  return 0;
}
int cuDeviceGetPCIBusId(char* id, int length, int) {
  std::strncpy(id, "ffff:ff:ff.f", std::size_t(length));
  return 0;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
  ENTER();
  static char primary;
  const std::scoped_lock guard(lock);
  live[&primary] = "context";
  *context = &primary;
  return 0;
}
int cuDevicePrimaryCtxRelease(int) {
  const std::scoped_lock guard(lock);
  for (auto at = live.begin(); at != live.end();)
    at = at->second == "context" ? live.erase(at) : std::next(at);
  return 0;
}
int cuCtxPushCurrent(void*) {
  ENTER();
  return 0;
}
int cuCtxPopCurrent(void**) { return 0; }
int cuMemGetInfo(std::size_t* free, std::size_t* total) {
  ENTER();
  *free = *total = 1 << 30;
  return 0;
}
int cuMemAlloc(Address* address, std::size_t bytes) {
  ENTER();
  return make(address, "memory", bytes);
}
int cuMemFree(Address address) { return end(pointer(address), "memory"); }
int cuMemAllocAsync(Address* address, std::size_t bytes, void*) {
  ENTER();
  return make(address, "memory", bytes);
}
int cuMemFreeAsync(Address address, void*) { return end(pointer(address), "memory"); }
int cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  ENTER();
  return make(memory, "pinned", bytes);
}
int cuMemFreeHost(void* memory) { return end(memory, "pinned"); }
int cuMemHostRegister(void* memory, std::size_t, unsigned) {
  ENTER();
  const std::scoped_lock guard(lock);
  live[memory] = "registration";
  return 0;
}
int cuMemHostUnregister(void* memory) {
  const std::scoped_lock guard(lock);
  return live.erase(memory) == 1 ? 0 : 1;
}
int cuMemHostGetDevicePointer(Address* address, void* memory, unsigned) {
  ENTER();
  *address = Address(memory);
  return 0;
}
int cuMemcpyAsync(Address to, Address from, std::size_t bytes, void*) {
  ENTER();
  std::memcpy(const_cast<void*>(pointer(to)), pointer(from), bytes);
  return 0;
}
int cuMemsetD8Async(Address to, unsigned char value, std::size_t bytes, void*) {
  ENTER();
  std::memset(const_cast<void*>(pointer(to)), value, bytes);
  return 0;
}
int cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void** values) {
  ENTER();
  if (std::strstr(static_cast<const char*>(image), "nonsense") != nullptr) {
    std::strcpy(static_cast<char*>(values[1]), "line 1: nonsense");
    return 218;
  }
  return make(module, "module");
}
int cuModuleUnload(void* module) { return end(module, "module"); }
int cuModuleGetFunction(void** function, void* module, const char*) {
  ENTER();
  *function = module;
  return 0;
}
int cuFuncGetAttribute(int* value, int, void*) {
  ENTER();
  *value = 512;
  return 0;
}
int cuFuncSetAttribute(void*, int attribute, int value) {
  ENTER();
  if (attribute != 8 || value > 227 * 1024) return 1;
  allowed = value;
  return 0;
}
int cuFuncLoad(void*) {
  ENTER();
  return 0;
}
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned shared, void*,
                   void** parameters, void**) {
  ENTER();
  if (shared > 48 * 1024 && shared > unsigned(allowed)) return 1;
  given = shared;
  ++launches;
  for (int i = 0; i < looked_at; ++i) std::memcpy(&parameter[i], parameters[i], sizeof parameter[i]);
  return 0;
}
int cuTensorMapEncodeTiled(unsigned long long* map, int type, unsigned rank, void* address,
                           const std::uint64_t* sizes, const std::uint64_t* steps, const unsigned* box,
                           const unsigned* element_steps, int interleave, int swizzle, int promotion,
                           int fill) {
  ENTER();
  if (reinterpret_cast<std::uintptr_t>(map) % 64 != 0 || rank != 2) return 1;
  const unsigned long long all[] = {Address(type),
                                    rank,
                                    Address(address),
                                    sizes[0],
                                    sizes[1],
                                    steps[0],
                                    box[0],
                                    box[1],
                                    element_steps[0],
                                    element_steps[1],
                                    Address(interleave),
                                    Address(swizzle),
                                    Address(promotion),
                                    Address(fill)};
  std::memcpy(encoded, all, sizeof encoded);
  std::memset(map, 0, 128);
  *map = 1000 + unsigned(maps++);
  return 0;
}
int cuLaunchHostFunc(void*, void (*function)(void*), void* data) {
  ENTER();
  function(data);
  return 0;
}
int cuStreamCreate(void** stream, unsigned) {
  ENTER();
  return make(stream, "stream");
}
int cuStreamDestroy(void* stream) { return end(stream, "stream"); }
int cuStreamSynchronize(void*) {
  ENTER();
  return 0;
}
int cuStreamQuery(void*) {
  ENTER();
  return held ? 600 : 0;
}
int cuStreamWaitEvent(void*, void*, unsigned) {
  ENTER();
  return 0;
}
int cuEventCreate(void** event, unsigned) {
  ENTER();
  return make(event, "event");
}
int cuEventDestroy(void* event) { return end(event, "event"); }
int cuEventRecord(void*, void*) {
  ENTER();
  return 0;
}
int cuEventQuery(void*) {
  ENTER();
  return held ? 600 : 0;
}
int cuEventElapsedTime(float* ms, void*, void*) {
  ENTER();
  *ms = 1.5f;
  return 0;
}

const std::map<std::string, void*> functions = {
#define F(name) {#name, reinterpret_cast<void*>(&(name))}
    F(cuInit),
    F(cuDriverGetVersion),
    F(cuGetErrorName),
    F(cuGetErrorString),
    F(cuDeviceGetCount),
    F(cuDeviceGet),
    F(cuDeviceGetName),
    F(cuDeviceTotalMem),
    F(cuDeviceGetAttribute),
    F(cuDeviceGetPCIBusId),
    F(cuDevicePrimaryCtxRetain),
    F(cuDevicePrimaryCtxRelease),
    F(cuCtxPushCurrent),
    F(cuCtxPopCurrent),
    F(cuMemGetInfo),
    F(cuMemAlloc),
    F(cuMemFree),
    F(cuMemAllocAsync),
    F(cuMemFreeAsync),
    F(cuMemHostAlloc),
    F(cuMemFreeHost),
    F(cuMemHostRegister),
    F(cuMemHostUnregister),
    F(cuMemHostGetDevicePointer),
    F(cuMemcpyAsync),
    F(cuMemsetD8Async),
    F(cuModuleLoadDataEx),
    F(cuModuleUnload),
    F(cuModuleGetFunction),
    F(cuFuncGetAttribute),
    F(cuFuncSetAttribute),
    F(cuFuncLoad),
    F(cuLaunchKernel),
    F(cuTensorMapEncodeTiled),
    F(cuLaunchHostFunc),
    F(cuStreamCreate),
    F(cuStreamDestroy),
    F(cuStreamSynchronize),
    F(cuStreamQuery),
    F(cuStreamWaitEvent),
    F(cuEventCreate),
    F(cuEventDestroy),
    F(cuEventRecord),
    F(cuEventQuery),
    F(cuEventElapsedTime),
#undef F
};

}  // namespace

EXPORT int cuGetProcAddress(const char* name, void** function, int version, unsigned long long) {
  ENTER();
  const auto at = functions.find(name);
  if (at == functions.end() || (old && version > 11040)) return 500;
  *function = at->second;
  return 0;
}
