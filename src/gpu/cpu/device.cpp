#include <algorithm>
#include <fstream>
#include <thread>

#include "base/platform/memory.hpp"
#include "base/platform/thread.hpp"
#include "gpu/cpu/cpu.hpp"
#include "gpu/cpu/memory.hpp"
#include "gpu/cpu/stream.hpp"

namespace gpuio::gpu::cpu {
namespace {

constexpr std::uint32_t kLanesMax = 1024;
constexpr std::uint32_t kSharedMax = 256 * 1024;
constexpr std::uint32_t kSubgroupSize = 8;
constexpr std::uint32_t kParametersMax = 256;
constexpr unsigned kThreadsMax = 1024;

class OwnedBuffer final : public Buffer {
 public:
  OwnedBuffer(std::shared_ptr<Core> core, Pages pages, std::uint64_t size, MemoryKind kind)
      : Buffer(reinterpret_cast<std::uintptr_t>(pages.data()), pages.data(), size, kind),
        core_(std::move(core)),
        pages_(std::move(pages)) {}
  ~OwnedBuffer() override {
    if (!core_->alive()) core_->keep(std::move(pages_));
  }

 private:
  std::shared_ptr<Core> core_;
  Pages pages_;
};

class ImportedBuffer final : public Buffer {
 public:
  explicit ImportedBuffer(std::span<std::byte> memory)
      : Buffer(reinterpret_cast<std::uintptr_t>(memory.data()), memory.data(), memory.size(),
               MemoryKind::pinned) {}
};

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with("model name"))
      if (const auto at = line.find(": "); at != std::string::npos) return line.substr(at + 2);
  return "CPU";
}

unsigned processors() {
  if (const auto usable = usable_cpus(); usable && !usable->empty()) return unsigned(usable->size());
  return std::max(1u, std::thread::hardware_concurrency());
}

Capability capability(bool masked, std::string_view what) {
  if (!masked) return {.available = true, .reason = {}};
  return {.available = false, .reason = fmt::format("{} is masked by the caller", what)};
}

DeviceInfo describe(const Options& options) {
  DeviceInfo info;
  info.backend = Backend::cpu;
  info.vendor = Vendor::cpu;
  info.name = processor_name();
  info.driver = "host threads";
  info.memory_bytes = memory_room().value_or(MemoryRoom{}).total_bytes;
  info.compute_units = options.threads != 0 ? options.threads : processors();
  info.subgroup_size = kSubgroupSize;
  info.lanes_max = kLanesMax;
  info.shared_bytes_max = kSharedMax;
  info.kernel_io = capability(options.mask.kernel_io, "kernel_io");
  info.kernel_wait = capability(options.mask.kernel_wait, "kernel_wait");
  if (!info.kernel_io.available) info.kernel_wait = info.kernel_io;  // nothing to wait for
  info.overlap = {.available = true, .reason = {}};
  info.import_host = capability(options.mask.import_host, "import_host");
  info.timestamps = capability(options.mask.timestamps, "timestamps");
  info.native_code = capability(options.mask.native_code, "native_code");
  return info;
}

class HostDevice final : public Device {
 public:
  HostDevice(DeviceInfo info, std::shared_ptr<Core> core) : Device(std::move(info)), core_(std::move(core)) {}

  Result<std::unique_ptr<Buffer>> allocate(MemoryKind kind, std::uint64_t size) override {
    if (Status s = core_->alive(); !s) return fail(std::move(s));
    if (size == 0) return fail(Code::invalid_arg, "allocate: a buffer has at least one byte");
    // One at a time: each looks at what is left and takes it before the next one looks.
    std::scoped_lock hold(allocation_);
    auto pages = Pages::make(size);
    if (!pages) return fail(std::move(pages.error()).wrap("allocate"));
    return std::make_unique<OwnedBuffer>(core_, std::move(*pages), size, kind);
  }

  Result<std::unique_ptr<Buffer>> import(std::span<std::byte> memory) override {
    if (Status s = core_->alive(); !s) return fail(std::move(s));
    if (!info_.import_host.available) return fail(Code::unsupported, "import: {}", info_.import_host.reason);
    const auto page = std::uintptr_t(page_bytes());
    if (memory.empty()) return fail(Code::invalid_arg, "import: a buffer has at least one byte");
    if (reinterpret_cast<std::uintptr_t>(memory.data()) % page != 0)
      return fail(Code::invalid_arg, "import: memory at {} does not begin at a page ({} bytes)",
                  fmt::ptr(memory.data()), page);
    return std::make_unique<ImportedBuffer>(memory);
  }

  Result<std::unique_ptr<Kernel>> load(const KernelCode& code) override {
    if (Status s = core_->alive(); !s) return fail(std::move(s));
    if (code.native.run == nullptr)
      return fail(Code::unsupported, "load of '{}': it has no native form, which is what the CPU runs",
                  code.name);
    const std::uint64_t lanes = std::uint64_t{code.block[0]} * code.block[1] * code.block[2];
    if (std::ranges::any_of(code.block, [](auto n) { return n == 0 || n > kLanesMax; }) || lanes > kLanesMax)
      return fail(Code::invalid_arg, "load of '{}': a workgroup of {}x{}x{} lanes; 1 to {} are possible",
                  code.name, code.block[0], code.block[1], code.block[2], kLanesMax);
    if (code.shared_bytes > kSharedMax)
      return fail(Code::invalid_arg, "load of '{}': {} bytes of shared memory, at most {}", code.name,
                  code.shared_bytes, kSharedMax);
    if (code.parameters > kParametersMax)
      return fail(Code::invalid_arg, "load of '{}': {} parameters, at most {}", code.name, code.parameters,
                  kParametersMax);
    auto kernel = std::make_unique<HostKernel>();
    kernel->name = code.name;
    kernel->native = code.native;
    kernel->shared_bytes = code.shared_bytes;
    kernel->parameters = code.parameters;
    return kernel;
  }

  Result<std::unique_ptr<Stream>> stream() override { return HostStream::create(core_, info_.timestamps); }

  std::uint64_t memory_free() const override { return memory_room().value_or(MemoryRoom{}).available_bytes; }
  void give_up() override { core_->lose(); }

 private:
  std::shared_ptr<Core> core_;
  std::mutex allocation_;
};

}  // namespace

Probe probe() { return {.devices = {{.info = describe({}), .ordinal = 0}}, .reason = {}}; }

Result<std::unique_ptr<Device>> open(const Options& options) {
  if (options.threads > kThreadsMax)
    return fail(Code::invalid_arg, "threads = {}: at most {}", options.threads, kThreadsMax);
  DeviceInfo info = describe(options);
  auto pool = Pool::create(info.compute_units);
  if (!pool) return fail(std::move(pool.error()).wrap("opening the CPU device"));
  auto core = std::make_shared<Core>(std::move(*pool), options.drain_timeout_ns);
  return std::make_unique<HostDevice>(std::move(info), std::move(core));
}

}  // namespace gpuio::gpu::cpu
