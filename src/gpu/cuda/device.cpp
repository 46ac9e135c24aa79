#include <algorithm>
#include <bit>
#include <cctype>
#include <fstream>

#include "base/platform/memory.hpp"
#include "gpu/cuda/cuda.hpp"
#include "gpu/cuda/stream.hpp"

namespace gpuio::gpu::cuda {
namespace {

// What a text declares itself, as kernel/ptx.hpp writes it: of more it declares nothing, and launches give
// it.
constexpr std::uint32_t kStaticSharedMax = 48 * 1024;

Capability capability(bool masked, std::string_view what, std::string reason) {
  if (masked) return {.available = false, .reason = fmt::format("{} is masked by the caller", what)};
  return {.available = reason.empty(), .reason = std::move(reason)};
}

int numa_node(const Driver& d, CUdevice device) {
  char id[32] = {};
  if (d.cuDeviceGetPCIBusId(id, sizeof id, device) != kSuccess) return -1;
  std::string path = id;
  std::ranges::transform(path, path.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  int node = -1;
  std::ifstream("/sys/bus/pci/devices/" + path + "/numa_node") >> node;
  return node;
}

Result<DeviceInfo> describe(const Driver& d, CUdevice device, const Mask& mask) {
  DeviceInfo info;
  char name[256] = {};
  std::size_t bytes = 0;
  if (const int r = d.cuDeviceGetName(name, sizeof name - 1, device); r != kSuccess)
    return fail(d.status(r, "cuDeviceGetName"));
  if (const int r = d.cuDeviceTotalMem(&bytes, device); r != kSuccess)
    return fail(d.status(r, "cuDeviceTotalMem"));
  Status failed;
  const auto attribute = [&](Attribute which) {
    int value = 0;
    if (const int r = d.cuDeviceGetAttribute(&value, which, device); r != kSuccess && failed) {
      failed = d.status(r, "cuDeviceGetAttribute");
    }
    return value;
  };
  info.backend = Backend::cuda;
  info.vendor = Vendor::nvidia;
  info.name = name;
  info.driver = d.version_text();
  info.memory_bytes = bytes;
  info.compute_units = std::uint32_t(attribute(kMultiprocessorCount));
  info.subgroup_size = std::uint32_t(attribute(kWarpSize));
  info.lanes_max = std::uint32_t(attribute(kMaxThreadsPerBlock));
  info.shared_bytes_max =
      std::uint32_t(std::max(attribute(kMaxSharedMemoryPerBlock), attribute(kMaxSharedMemoryPerBlockOptin)));
  info.major = attribute(kComputeCapabilityMajor);
  info.minor = attribute(kComputeCapabilityMinor);
  info.numa_node = numa_node(d, device);
  // Mapped memory is enough: each word of a mailbox has one writer, aligned and at most 8 bytes, so that
  // atomic changes by both sides (what kHostNativeAtomicSupported would say) are never needed.
  const bool mapped = attribute(kCanMapHostMemory) != 0 && attribute(kUnifiedAddressing) != 0;
  info.kernel_io = capability(mask.kernel_io, "kernel_io", mapped ? "" : "the GPU cannot map host memory");
  info.kernel_wait =
      capability(mask.kernel_wait, "kernel_wait",
                 attribute(kKernelExecTimeout) == 0 ? ""
                                                    : "a watchdog ends long kernels on this GPU: it "
                                                      "drives a display; use one that does not");
  if (!info.kernel_io.available) info.kernel_wait = info.kernel_io;  // nothing to wait for
  const bool engines = attribute(kAsyncEngineCount) != 0;
  info.overlap = capability(false, "overlap",
                            attribute(kConcurrentKernels) == 0 ? "the GPU runs one kernel at a time"
                            : engines                          ? ""
                                                               : "the GPU copies only between kernels");
  info.import_host =
      capability(mask.import_host, "import_host",
                 attribute(kHostRegisterSupported) != 0 ? "" : "the driver cannot register host memory here");
  info.timestamps = capability(mask.timestamps, "timestamps", "");
  info.native_code =
      capability(mask.native_code, "native_code", "code of the processor's own runs on the CPU device alone");
  if (!failed) return fail(std::move(failed));
  return info;
}

class CudaBuffer final : public Buffer {
 public:
  enum class Origin { pool, plain, pinned, imported };
  CudaBuffer(std::shared_ptr<Core> core, CUdeviceptr address, std::byte* host, std::uint64_t size,
             Origin origin)
      : Buffer(address, host, size, host == nullptr ? MemoryKind::device : MemoryKind::pinned),
        core_(std::move(core)),
        origin_(origin) {}
  ~CudaBuffer() override {
    if (core_->stuck()) return;
    if (origin_ == Origin::pool) {
      const Pushed context(*core_);
      core_->driver().cuMemFreeAsync(address(), core_->memory_stream());
      return;
    }
    core_->release([d = &core_->driver(), origin = origin_, at = address(), memory = host()] {
      if (origin == Origin::plain) d->cuMemFree(at);
      else if (origin == Origin::pinned) d->cuMemFreeHost(memory);
      else d->cuMemHostUnregister(memory);
    });
  }

 private:
  std::shared_ptr<Core> core_;
  Origin origin_;
};

class CudaDevice final : public Device, public ShaderDevice {
 public:
  CudaDevice(DeviceInfo info, std::shared_ptr<Core> core) : Device(std::move(info)), core_(std::move(core)) {}

  Result<std::unique_ptr<Buffer>> allocate(MemoryKind kind, std::uint64_t size) override {
    if (size == 0) return fail(Code::invalid_arg, "allocate: a buffer has at least one byte");
    const Current current(*core_);
    if (!current.ok()) return fail(current.status());
    // More than there is at all is not even asked for: the driver's answers to that differ.
    const std::uint64_t most = kind == MemoryKind::device ? info_.memory_bytes : total_memory_bytes();
    if (size > most) return fail(Code::nomem, "allocate: {} bytes, of {} in all", size, most);
    auto buffer = kind == MemoryKind::device ? allocate_device(size) : allocate_pinned(size);
    if (!buffer) return fail(std::move(buffer.error()).wrap(fmt::format("allocate: {} bytes", size)));
    return buffer;
  }

  Result<std::unique_ptr<Buffer>> import(std::span<std::byte> memory) override {
    if (!info_.import_host.available) return fail(Code::unsupported, "import: {}", info_.import_host.reason);
    const auto page = std::uintptr_t(page_bytes());
    if (memory.empty() || reinterpret_cast<std::uintptr_t>(memory.data()) % page != 0) {
      return fail(Code::invalid_arg, "import: {} bytes at {}; at least one is needed, aligned to {}",
                  memory.size(), fmt::ptr(memory.data()), page);
    }
    const Current current(*core_);
    if (!current.ok()) return fail(current.status());
    const Driver& d = core_->driver();
    if (Status s =
            core_->check(d.cuMemHostRegister(memory.data(), memory.size(), kHostPortable | kHostDeviceMap),
                         "cuMemHostRegister");
        !s) {
      return fail(std::move(s).wrap("import"));
    }
    CUdeviceptr address = 0;
    if (Status s = core_->check(d.cuMemHostGetDevicePointer(&address, memory.data(), 0),
                                "cuMemHostGetDevicePointer");
        !s) {
      d.cuMemHostUnregister(memory.data());
      return fail(std::move(s).wrap("import"));
    }
    return std::make_unique<CudaBuffer>(core_, address, memory.data(), memory.size(),
                                        CudaBuffer::Origin::imported);
  }

  Result<std::unique_ptr<Kernel>> load(const KernelCode& code) override { return load(code, false); }
  Result<std::unique_ptr<Kernel>> load_shader(const ShaderCode& code) override {
    const auto shared = std::uint32_t(std::min<std::uint64_t>(code.shared_bytes, ~std::uint32_t{0}));
    return load({.name = code.entry,
                 .block = code.block,
                 .shared_bytes = shared,
                 .parameters = code.parameters,
                 .ptx = code.ptx},
                true);
  }

  Result<std::unique_ptr<Stream>> stream() override { return CudaStream::create(core_, info_.timestamps); }

  void give_up() override {
    core_->lose(error(Code::timeout, "it was given up: a kernel did not end in time"), true);
  }

  std::uint64_t memory_free() const override {
    const Current current(*core_);
    std::size_t free = 0, total = 0;
    if (current.ok()) core_->driver().cuMemGetInfo(&free, &total);
    return free;
  }

 private:
  Result<std::unique_ptr<Kernel>> load(const KernelCode& code, bool separate);
  Result<std::unique_ptr<Buffer>> allocate_device(std::uint64_t size) {
    const Driver& d = core_->driver();
    CUdeviceptr address = 0;
    if (core_->memory_stream() == nullptr) {
      if (Status s = core_->check(d.cuMemAlloc(&address, size), "cuMemAlloc"); !s) return fail(std::move(s));
      return std::make_unique<CudaBuffer>(core_, address, nullptr, size, CudaBuffer::Origin::plain);
    }
    if (Status s = core_->check(d.cuMemAllocAsync(&address, size, core_->memory_stream()), "cuMemAllocAsync");
        !s) {
      return fail(std::move(s));
    }
    // Every stream may use it from now on; only other allocations are on that stream.
    auto buffer = std::make_unique<CudaBuffer>(core_, address, nullptr, size, CudaBuffer::Origin::pool);
    if (Status s = core_->check(d.cuStreamSynchronize(core_->memory_stream()), "cuStreamSynchronize"); !s) {
      return fail(std::move(s));
    }
    return buffer;
  }

  Result<std::unique_ptr<Buffer>> allocate_pinned(std::uint64_t size) {
    const Driver& d = core_->driver();
    void* memory = nullptr;
    if (Status s =
            core_->check(d.cuMemHostAlloc(&memory, size, kHostPortable | kHostDeviceMap), "cuMemHostAlloc");
        !s) {
      return fail(std::move(s));
    }
    CUdeviceptr address = 0;
    if (Status s =
            core_->check(d.cuMemHostGetDevicePointer(&address, memory, 0), "cuMemHostGetDevicePointer");
        !s) {
      d.cuMemFreeHost(memory);
      return fail(std::move(s));
    }
    return std::make_unique<CudaBuffer>(core_, address, static_cast<std::byte*>(memory), size,
                                        CudaBuffer::Origin::pinned);
  }

  std::shared_ptr<Core> core_;
};

// Maps are of slots that are there, and of sizes that launch() takes for granted.
Status check_tensors(const KernelCode& code) {
  for (const TensorSlots& t : code.tensors) {
    const bool slots = std::max({t.buffer, t.rows, t.columns, t.step}) < code.parameters;
    const auto power = [](std::uint32_t n, std::uint32_t least, std::uint32_t most) {
      return std::has_single_bit(n) && n >= least && n <= most;
    };
    if (slots && power(t.element_bytes, 1, 8) && power(t.box_bytes, 16, 128) && t.box_rows >= 1 &&
        t.box_rows <= 256)
      continue;
    return error(
        Code::invalid_arg,
        "load of '{}': a tensor map of slots {}, {}, {} and {} of {}, elements of {} bytes, boxes of {} "
        "rows of {} bytes; elements have 1 to 8 bytes, boxes 1 to 256 rows of 16, 32, 64 or 128",
        code.name, t.buffer, t.rows, t.columns, t.step, code.parameters, t.element_bytes, t.box_rows,
        t.box_bytes);
  }
  return {};
}

Result<std::unique_ptr<Kernel>> CudaDevice::load(const KernelCode& code, bool separate) {
  if (code.ptx.empty()) {
    return fail(Code::unsupported, "load of '{}': it has no PTX, which is what a CUDA device runs",
                code.name);
  }
  const std::uint64_t lanes = std::uint64_t{code.block[0]} * code.block[1] * code.block[2];
  if (lanes == 0 || std::ranges::any_of(code.block, [&](auto n) { return n > info_.lanes_max; }) ||
      lanes > info_.lanes_max) {
    return fail(Code::invalid_arg, "load of '{}': a workgroup of {}x{}x{} lanes; 1 to {} are possible",
                code.name, code.block[0], code.block[1], code.block[2], info_.lanes_max);
  }
  if (code.shared_bytes > info_.shared_bytes_max) {
    return fail(Code::invalid_arg,
                "load of '{}': {} bytes of shared memory, a workgroup of {} (sm_{}{}) has at most {}: use "
                "smaller tiles or fewer stages there",
                code.name, code.shared_bytes, info_.name, info_.major, info_.minor, info_.shared_bytes_max);
  }
  // The maps begin at a multiple of 64 bytes.
  const std::uint64_t maps = code.tensors.size() * sizeof(CUtensorMap);
  const std::uint64_t most_parameters =
      maps + 48 < kParameterBytesMax ? (kParameterBytesMax - maps) / 64 * 64 / sizeof(Argument) : 0;
  if (code.parameters > most_parameters) {
    return fail(Code::invalid_arg, "load of '{}': {} parameters beside {} tensor maps, at most {}", code.name,
                code.parameters, code.tensors.size(), most_parameters);
  }
  if (Status s = check_tensors(code); !s) return fail(std::move(s));
  const Driver& d = core_->driver();
  if (!code.tensors.empty() && d.cuTensorMapEncodeTiled == nullptr) {
    return fail(Code::unsupported,
                "load of '{}': it has tensor maps, and {} encodes none: update it to CUDA 12.0", code.name,
                d.version_text());
  }
  const Current current(*core_);
  if (!current.ok()) return fail(current.status());
  const std::string text(code.ptx);  // ends with a zero
  std::string log(8192, '\0');
  int names[] = {kJitTargetFromContext, kJitErrorLogBuffer, kJitErrorLogBufferSizeBytes};
  void* values[] = {nullptr, log.data(), reinterpret_cast<void*>(log.size() - 1)};
  auto kernel = std::make_unique<CudaKernel>();
  kernel->core = core_;
  kernel->name = code.name;
  kernel->block = code.block;
  kernel->parameters = code.parameters;
  kernel->separate = separate;
  kernel->tensors = code.tensors;
  const std::string what = fmt::format("load of '{}'", code.name);
  if (Status s = core_->check(d.cuModuleLoadDataEx(&kernel->module, text.c_str(), 3, names, values),
                              "cuModuleLoadDataEx");
      !s) {
    kernel->module = nullptr;
    log.resize(std::char_traits<char>::length(log.c_str()));
    return fail(s.code(), "{}: {}{}{}", what, s.message(), log.empty() ? "" : "\n", log);
  }
  if (Status s = core_->check(d.cuModuleGetFunction(&kernel->function, kernel->module, kernel->name.c_str()),
                              "cuModuleGetFunction");
      !s) {
    return fail(std::move(s).wrap(what));
  }
  // Drivers load lazily: loading may wait for running kernels, so it must not be left to a launch beside a
  // kernel that waits. Those without cuFuncLoad load when they are asked about the function.
  if (d.cuFuncLoad != nullptr) {
    if (Status s = core_->check(d.cuFuncLoad(kernel->function), "cuFuncLoad"); !s)
      return fail(std::move(s).wrap(what));
  }
  if (!separate && code.shared_bytes > kStaticSharedMax) {
    kernel->shared_bytes = code.shared_bytes;
    if (Status s = core_->check(d.cuFuncSetAttribute(kernel->function, kFunctionMaxDynamicSharedSizeBytes,
                                                     int(code.shared_bytes)),
                                "cuFuncSetAttribute");
        !s) {
      return fail(std::move(s).wrap(fmt::format("{}: {} bytes of shared memory", what, code.shared_bytes)));
    }
  }
  int most = 0;
  if (Status s = core_->check(d.cuFuncGetAttribute(&most, kFunctionMaxThreadsPerBlock, kernel->function),
                              "cuFuncGetAttribute");
      !s) {
    return fail(std::move(s).wrap(what));
  }
  if (lanes > std::uint64_t(most)) {
    return fail(Code::invalid_arg, "{}: {} lanes need more registers than a workgroup has; {} would fit",
                what, lanes, most);
  }
  return kernel;
}

}  // namespace

Probe probe(const std::string& library) {
  Probe found;
  const auto driver = Driver::load(library);
  if (!driver) {
    found.reason = driver.error().message();
    return found;
  }
  int count = 0;
  if (const int r = (*driver)->cuDeviceGetCount(&count); r != kSuccess) {
    found.reason = (*driver)->status(r, "cuDeviceGetCount").message();
    return found;
  }
  for (int i = 0; i < count; ++i) {
    CUdevice device = 0;
    const int r = (*driver)->cuDeviceGet(&device, i);
    auto info = r == kSuccess ? describe(**driver, device, {}) : fail((*driver)->status(r, "cuDeviceGet"));
    if (info) found.devices.push_back({.info = std::move(*info), .ordinal = i});
    else found.reason = info.error().message();
  }
  if (!found.devices.empty()) found.reason.clear();
  else if (found.reason.empty()) found.reason = "the NVIDIA driver finds no GPU";
  return found;
}

Result<std::unique_ptr<Device>> open(const Options& options) {
  auto driver = Driver::load(options.library);
  if (!driver) return fail(std::move(driver.error()));
  int count = 0;
  if (const int r = (*driver)->cuDeviceGetCount(&count); r != kSuccess)
    return fail((*driver)->status(r, "cuDeviceGetCount"));
  if (options.ordinal < 0 || options.ordinal >= count) {
    return fail(Code::not_found, "CUDA device {}: there are {}", options.ordinal, count);
  }
  CUdevice device = 0;
  if (const int r = (*driver)->cuDeviceGet(&device, options.ordinal); r != kSuccess)
    return fail((*driver)->status(r, "cuDeviceGet"));
  auto info = describe(**driver, device, options.mask);
  if (!info) return fail(std::move(info.error()));
  if (info->major < 7) {
    return fail(Code::unsupported, "{} has compute capability {}.{}; 7.0 or newer is needed", info->name,
                info->major, info->minor);
  }
  auto core = Core::create(std::move(*driver), device, options.drain_timeout_ns);
  if (!core)
    return fail(std::move(core.error()).wrap(fmt::format("opening CUDA device {}", options.ordinal)));
  return std::make_unique<CudaDevice>(std::move(*info), std::move(*core));
}

}  // namespace gpuio::gpu::cuda
