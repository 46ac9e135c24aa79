// The device contract: what gpuio needs of a GPU, and of the CPU standing in for one.
//
// A Device makes Buffers, Kernels and Streams, and outlives them all. A Stream runs what is enqueued in
// order, apart from other streams, and counts: each enqueued operation moves its timeline to the next point,
// and a Point is reached when everything up to it has finished. Waiting for a point with a time-out is the
// fence; recording one with a time stamp is the event.
//
// Threading: a Device may be used from any thread. A Stream belongs to one thread at a time. Buffers and
// Kernels may be used by several streams; they must outlive the operations that use them (destroying one
// early waits for nothing). Errors: what can be refused at once is (Status); what fails on the device fails
// the stream: `wait` and `reached` report it and every later operation answers the same error. A lost device
// answers DEVICE_LOST for ever. Absence of a driver is data: `probe` lists what is there and says why the
// rest is not. What a capability lacks, or a mask hides, answers UNSUPPORTED with that capability's reason.
//
// Edges, the same everywhere (tests/conformance): a buffer has at least one byte; an operation of size 0 or a
// grid with a 0 does nothing and counts as a point; ranges of one copy do not overlap; a point not enqueued
// yet is INVALID_ARG to `wait`, `reached` and `after`, so that streams cannot wait for each other in a
// circle.
//
//   auto device = *cpu::open({});
//   auto kernel = *device->load({.name = "add", .native = {&run_add}});
//   auto stream = *device->stream();
//   stream->launch(*kernel, {.groups = {8, 1, 1}}, arguments);
//   Status s = stream->wait(stream->last(), 1'000'000'000);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"

namespace gpuio::gpu {

enum class Backend : std::uint8_t { cpu, vulkan, cuda };
enum class Vendor : std::uint8_t { nvidia, amd, intel, cpu, other };  // the values of gpuio_gpu_vendor_t

// A thing that a device can do or not, and why not: never assumed, always probed.
struct Capability {
  bool available = false;
  std::string reason;  // when not available: what is missing and what would provide it
};

struct DeviceInfo {
  Backend backend = Backend::cpu;
  Vendor vendor = Vendor::other;
  std::string name;
  std::string driver;  // name and version
  std::uint64_t memory_bytes = 0;
  std::uint32_t compute_units = 0;
  std::uint32_t subgroup_size = 1;
  std::uint32_t lanes_max = 1;  // of a workgroup
  std::uint32_t shared_bytes_max = 0;
  int major = 0, minor = 0;  // compute capability, or the API's version
  int numa_node = -1;
  Capability kernel_io;    // kernels can talk to the host while they run (mailboxes in pinned memory)
  Capability kernel_wait;  // and may wait for the answer, so that no kernel needs to yield
  Capability overlap;      // other streams get on, copies and launches, while a kernel of one waits
  Capability import_host;  // memory of the host's own can be made a pinned buffer
  Capability timestamps;
  Capability native_code;  // operations have compiled code for it, which runs instead of their kernels
};

// Turns capabilities off, so that fallbacks can be tested where everything works.
struct Mask {
  bool kernel_io = false, kernel_wait = false, import_host = false, timestamps = false, native_code = false;
};

enum class MemoryKind : std::uint8_t {
  device,  // fastest for kernels; the host copies
  pinned,  // host memory that kernels address too, coherent for atomics of system scope as far as kernel_io
           // says
};

class Buffer {
 public:
  virtual ~Buffer() = default;
  std::uint64_t address() const { return address_; }  // what kernels use
  std::byte* host() const { return host_; }           // null for device memory that the host cannot touch
  std::uint64_t size() const { return size_; }        // bytes
  MemoryKind kind() const { return kind_; }

 protected:
  Buffer(std::uint64_t address, std::byte* host, std::uint64_t size, MemoryKind kind)
      : address_(address), host_(host), size_(size), kind_(kind) {}

 private:
  std::uint64_t address_;
  std::byte* host_;
  std::uint64_t size_;
  MemoryKind kind_;
};

// One slot of the argument block (gpuio/kernel/ir.hpp): a buffer's address and element count, or a scalar's
// bits and 0.
struct Argument {
  std::uint64_t value = 0;
  std::uint64_t count = 0;
  static Argument buffer(const Buffer& b, std::uint32_t element_bytes) {
    return {b.address(), b.size() / element_bytes};
  }
};
static_assert(sizeof(Argument) == 16);

struct Grid {  // each at most 65535, what every device takes
  std::array<std::uint32_t, 3> groups{1, 1, 1};
};

// One workgroup for the CPU device: the function runs all its lanes; an error fails the stream.
struct Workgroup {
  std::span<const Argument> arguments;
  std::array<std::uint32_t, 3> group, groups;
  std::span<std::byte> shared;  // undefined at entry, 64-byte aligned
  const void* data = nullptr;   // Native::data
};
struct Native {
  Status (*run)(const Workgroup&) = nullptr;
  std::shared_ptr<const void> data{};  // kept as long as the kernel; handed to run
};

// A matrix in a buffer of which a kernel copies boxes (TensorMap of kernel/ir.hpp), by slots of the argument
// block. CUDA encodes it at each launch; others read the slots.
struct TensorSlots {
  std::uint32_t buffer = 0, rows = 0, columns = 0, step = 0;  // slots; numbers are of elements
  std::uint32_t element_bytes = 1, box_rows = 1, box_bytes = 16;
};

// A kernel in whichever forms its maker has; a device takes the one it runs and refuses by name when it is
// missing.
struct KernelCode {
  std::string_view name;
  std::array<std::uint32_t, 3> block{1, 1, 1};
  std::uint32_t shared_bytes = 0;
  std::uint32_t parameters = 0;            // slots of the argument block
  std::string_view ptx{};                  // cuda
  std::span<const std::uint32_t> spirv{};  // vulkan
  Native native{};                         // cpu
  std::vector<TensorSlots> tensors{};      // cuda: the text's parameters behind the block
};

class Kernel {
 public:
  virtual ~Kernel() = default;
};

using Point = std::uint64_t;  // 0 is reached from the start
inline constexpr std::uint64_t kForever = ~std::uint64_t{0};

class Stream {
 public:
  virtual ~Stream() = default;  // waits for what is enqueued; a device that takes too long is given up

  // Each enqueues one operation and returns without waiting for it. Ranges are checked at once.
  virtual Status launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) = 0;
  virtual Status copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
                      std::uint64_t size) = 0;
  virtual Status upload(Buffer& to, std::uint64_t offset,
                        std::span<const std::byte> from) = 0;  // `from` is copied before return
  virtual Status download(std::span<std::byte> to, const Buffer& from,
                          std::uint64_t offset) = 0;  // `to` lives until the point is reached
  virtual Status fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) = 0;
  // Later operations of this stream start only once `other` has reached `point`.
  virtual Status after(const Stream& other, Point point) = 0;
  // A point whose time is kept, for elapsed_ms; of the last 1024 stamps.
  virtual Result<Point> stamp() = 0;

  virtual Point last() const = 0;                                  // of what was enqueued last
  virtual Result<bool> reached(Point point) const = 0;             // never blocks
  virtual Status wait(Point point, std::uint64_t timeout_ns) = 0;  // TIMEOUT when it was not reached in time
  // Between two stamps; INVALID_ARG when one is none (any more), BUSY when one was not reached yet.
  virtual Result<double> elapsed_ms(Point from, Point to) = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  const DeviceInfo& info() const { return info_; }

  virtual Result<std::unique_ptr<Buffer>> allocate(
      MemoryKind kind, std::uint64_t size) = 0;  // NOMEM at once, never over-committed
  // Makes the caller's memory, page-aligned, addressable by kernels; the caller keeps it alive and unmoved.
  virtual Result<std::unique_ptr<Buffer>> import(std::span<std::byte> memory) = 0;
  virtual Result<std::unique_ptr<Kernel>> load(const KernelCode& code) = 0;
  virtual Result<std::unique_ptr<Stream>> stream() = 0;
  virtual std::uint64_t memory_free() const = 0;
  // A kernel of it does not end, and no device takes one back: from now on the device is lost. Returns at
  // once; nothing waits for its work any more, and what that work may use is never released.
  virtual void give_up() = 0;

 protected:
  explicit Device(DeviceInfo info) : info_(std::move(info)) {}
  DeviceInfo info_;
};

// What a backend found: a device that can be opened, or why there is none.
struct Found {
  DeviceInfo info;
  int ordinal = 0;  // for the backend's open
};
struct Probe {
  std::vector<Found> devices;
  std::string reason;  // when empty: what is missing and what would provide it
};

}  // namespace gpuio::gpu
