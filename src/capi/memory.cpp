#include "capi/memory.hpp"

#include <cstring>

#include "base/log.hpp"
#include "capi/context.hpp"

namespace gpuio::capi {

Result<std::byte*> Memory::allocate(gpu::Device& device, int device_id, gpuio_mem_type_t type,
                                    std::size_t size) {
  auto block = std::make_shared<Allocation>();
  const bool host = type != GPUIO_MEM_DEVICE;
  auto buffer = device.allocate(host ? gpu::MemoryKind::pinned : gpu::MemoryKind::device, size);
  if (!buffer) return fail(std::move(buffer).error());
  const gpu::Buffer& made = **buffer;
  auto* const address = reinterpret_cast<std::byte*>(static_cast<std::uintptr_t>(made.address()));
  if (type == GPUIO_MEM_UNIFIED && made.host() != address)
    return fail(
        Code::unsupported,
        "{} gives memory one address for kernels and another for the CPU; use gpuio_malloc_pinned, and the "
        "gpu_addr of its region in kernels",
        device.info().name);
  if (type == GPUIO_MEM_PINNED && device.info().backend == gpu::Backend::cpu) {
    auto lock = MemoryLock::lock(made.host(), size);
    if (lock) block->lock = std::move(*lock);
    else log(LogLevel::debug, "{} bytes are present but may be paged out: {}", size, lock.error().message());
  }
  block->pointer = host ? made.host() : address;
  block->device = &device;
  block->device_id = device_id;
  block->type = type;
  block->buffer = std::move(*buffer);
  std::byte* const pointer = block->pointer;
  std::scoped_lock hold(mutex_);
  blocks_[reinterpret_cast<std::uintptr_t>(pointer)] = std::move(block);
  return pointer;
}

namespace {

class Adopted final : public gpu::Buffer {
 public:
  Adopted(std::uintptr_t address, std::size_t size)
      : Buffer(address, nullptr, size, gpu::MemoryKind::device) {}
};

}  // namespace

Status Memory::adopt(gpu::Device& device, int device_id, void* address, std::size_t size) {
  // Vulkan copies between objects of its own, and on the CPU any memory is within reach as it is.
  if (device.info().backend != gpu::Backend::cuda)
    return error(Code::unsupported, "{} takes no memory of other libraries by its address: CUDA does",
                 device.info().name);
  if (size == 0) return error(Code::invalid_arg, "0 bytes at {}; give at least one", address);
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  auto block = std::make_shared<Allocation>();
  block->buffer = std::make_unique<Adopted>(at, size);
  block->device = &device;
  block->device_id = device_id;
  block->type = GPUIO_MEM_DEVICE;
  block->pointer = static_cast<std::byte*>(address);
  const std::scoped_lock hold(mutex_);
  const auto after = blocks_.lower_bound(at);
  const bool before_overlaps =
      after != blocks_.begin() && std::prev(after)->first + std::prev(after)->second->buffer->size() > at;
  if (before_overlaps || (after != blocks_.end() && after->first - at < size))
    return error(Code::invalid_arg, "the {} bytes at {} are known already, or part of what is", size,
                 address);
  blocks_[at] = std::move(block);
  return {};
}

Status Memory::free(void* pointer) {
  std::shared_ptr<Allocation> ended;  // given back after the lock
  std::scoped_lock hold(mutex_);
  const auto found = blocks_.find(reinterpret_cast<std::uintptr_t>(pointer));
  if (found == blocks_.end())
    return error(Code::invalid_arg, "{} is no memory of this context: freed already, or from elsewhere",
                 pointer);
  ended = std::move(found->second);
  blocks_.erase(found);
  return {};
}

Result<Memory::Found> Memory::find(const void* pointer, std::size_t size) const {
  const auto at = reinterpret_cast<std::uintptr_t>(pointer);
  std::scoped_lock hold(mutex_);
  auto after = blocks_.upper_bound(at);
  if (after == blocks_.begin()) return Found{};
  const auto& [base, block] = *std::prev(after);
  const std::uint64_t offset = at - base, length = block->buffer->size();
  if (offset >= length) return Found{};
  if (size > length - offset)
    return fail(Code::invalid_address, "{} bytes at {} reach past the end of an allocation of {} bytes", size,
                pointer, length);
  return Found{block, offset};
}

namespace {

Status allocate(Context& c, int device_id, gpuio_mem_type_t type, std::size_t size, void** memory) {
  if (size == 0) return {};
  auto device = c.devices.open(device_id);
  if (!device) return std::move(device).error();
  auto made = c.memory.allocate(**device, device_id, type, size);
  if (!made) return std::move(made).error();
  *memory = *made;
  return {};
}

// The client's own memory as a device's operations take it.
class Borrowed final : public gpu::Buffer {
 public:
  Borrowed(const void* memory, std::size_t size)
      : Buffer(reinterpret_cast<std::uintptr_t>(memory), static_cast<std::byte*>(const_cast<void*>(memory)),
               size, gpu::MemoryKind::pinned) {}
};

// For what the device cannot do in its own order: waits until it has done what was before.
Status settle(gpu::Stream& queue, std::uint64_t limit_ns) {
  const Limit limit(limit_ns);
  Status s = queue.wait(queue.last(), limit_ns);
  if (s.code() != Code::timeout) return s;
  return limit.late("the stream's work before a copy or fill, which was given up, has",
                    "synchronize the stream, and copy again");
}

// One copy, ready to be given to a stream; what it uses stays until then.
struct Copy {
  std::byte* dst;
  const std::byte* src;
  std::size_t size;
  Memory::Found to, from;
  const gpu::Device* device;
  std::uint64_t limit_ns;  // for waiting inside

  static constexpr std::size_t kPieceBytes = 4 << 20;

  bool on_device(const Memory::Found& side) const { return side.block && side.block->device == device; }
  // As plain memory; null when the CPU cannot reach it.
  static std::byte* host(const Memory::Found& side, const std::byte* pointer) {
    if (!side.block) return const_cast<std::byte*>(pointer);
    std::byte* const base = side.block->buffer->host();
    return base ? base + side.offset : nullptr;
  }

  Status operator()(gpu::Stream& queue) const {
    if (device->info().backend == gpu::Backend::cpu) {
      std::byte *const a = host(to, dst), *const b = host(from, src);
      if (!a || !b) return elsewhere();
      Borrowed target(a, size);
      return queue.copy(target, 0, Borrowed(b, size), 0, size);
    }
    if (on_device(to) && on_device(from))
      return queue.copy(*to.block->buffer, to.offset, *from.block->buffer, from.offset, size);
    if (!on_device(to) && !on_device(from)) return between_hosts(queue);
    const bool up = on_device(to);
    std::byte* const other = up ? host(from, src) : host(to, dst);
    if (!other) return elsewhere();
    // The device copies what it is given at once, so earlier work of the stream must have written it by then.
    if (up)
      if (Status s = settle(queue, limit_ns); !s) return s;
    for (std::size_t at = 0; at < size; at += kPieceBytes) {
      const std::size_t n = std::min(kPieceBytes, size - at);
      const auto give = [&] {
        return up ? queue.upload(*to.block->buffer, to.offset + at, {other + at, n})
                  : queue.download({other + at, n}, *from.block->buffer, from.offset + at);
      };
      Status s = give();
      if (s.code() == Code::busy) {  // as much is open as can be
        if (Status done = settle(queue, limit_ns); !done) return done;
        s = give();
      }
      if (!s) return s;
    }
    return {};
  }

  // Nothing for the device to do: in its order all the same.
  Status between_hosts(gpu::Stream& queue) const {
    std::byte *const a = host(to, dst), *const b = host(from, src);
    if (!a || !b) return elsewhere();
    if (Status s = settle(queue, limit_ns); !s) return s;
    std::memmove(a, b, size);
    return {};
  }
  static Status elsewhere() {
    return error(Code::unsupported,
                 "one side is memory of another device than the stream's; copy through host memory");
  }
};

Status copy(Context& c, void* dst, const void* src, std::size_t size, gpuio_stream_t handle, bool wait) {
  if (!dst || !src) return null_argument("a memory");
  if (wait)
    if (Status s = c.may_block(); !s) return s;
  auto stream = c.stream_of(handle);
  if (!stream) return std::move(stream).error();
  auto to = c.memory.find(dst, size), from = c.memory.find(src, size);
  if (!to) return std::move(to).error();
  if (!from) return std::move(from).error();
  if (size == 0) return {};
  Copy work{static_cast<std::byte*>(dst),
            static_cast<const std::byte*>(src),
            size,
            std::move(*to),
            std::move(*from),
            &(*stream)->device(),
            c.limit_ns()};
  if (work.dst < work.src + size && work.src < work.dst + size)
    return error(Code::invalid_arg, "the two ranges of {} bytes overlap; copy through other memory", size);
  if (Status s = (*stream)->enqueue(std::move(work)); !s) return s;
  return wait ? (*stream)->synchronize(c.limit()) : Status();
}

// One fill, as a copy is.
struct Fill {
  std::byte* memory;
  std::uint8_t value;
  std::size_t size;
  Memory::Found to;
  const gpu::Device* device;
  std::uint64_t limit_ns;

  Status operator()(gpu::Stream& queue) const {
    if (to.block && to.block->device == device) return queue.fill(*to.block->buffer, to.offset, size, value);
    std::byte* const host = Copy::host(to, memory);
    if (!host)
      return error(Code::unsupported,
                   "the memory is of another device than the stream; fill it in one of its own");
    if (device->info().backend == gpu::Backend::cpu) {
      Borrowed target(host, size);
      return queue.fill(target, 0, size, value);
    }
    if (Status s = settle(queue, limit_ns); !s) return s;
    std::memset(host, value, size);
    return {};
  }
};

Status fill(Context& c, void* memory, std::uint8_t value, std::size_t size, gpuio_stream_t handle) {
  if (!memory) return null_argument("the memory");
  auto stream = c.stream_of(handle);
  if (!stream) return std::move(stream).error();
  auto to = c.memory.find(memory, size);
  if (!to) return std::move(to).error();
  if (size == 0) return {};
  return (*stream)->enqueue(
      Fill{static_cast<std::byte*>(memory), value, size, std::move(*to), &(*stream)->device(), c.limit_ns()});
}

}  // namespace
}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_malloc(gpuio_context_t ctx, size_t size, void** memory) {
  return call("gpuio_malloc", ctx, Outputs(memory),
              [&](Context& c) { return allocate(c, Devices::kCpu, GPUIO_MEM_DEFAULT, size, memory); });
}
gpuio_error_t gpuio_malloc_pinned(gpuio_context_t ctx, size_t size, void** memory) {
  return call("gpuio_malloc_pinned", ctx, Outputs(memory),
              [&](Context& c) { return allocate(c, c.devices.current(), GPUIO_MEM_PINNED, size, memory); });
}
gpuio_error_t gpuio_malloc_device(gpuio_context_t ctx, size_t size, void** memory) {
  return call("gpuio_malloc_device", ctx, Outputs(memory),
              [&](Context& c) { return allocate(c, c.devices.current(), GPUIO_MEM_DEVICE, size, memory); });
}
gpuio_error_t gpuio_malloc_unified(gpuio_context_t ctx, size_t size, void** memory) {
  return call("gpuio_malloc_unified", ctx, Outputs(memory),
              [&](Context& c) { return allocate(c, c.devices.current(), GPUIO_MEM_UNIFIED, size, memory); });
}

gpuio_error_t gpuio_adopt_device_memory(gpuio_context_t ctx, void* gpu_addr, size_t size) {
  return call("gpuio_adopt_device_memory", ctx, [&](Context& c) {
    if (!gpu_addr) return null_argument("the address");
    const int id = c.devices.current();
    auto device = c.devices.open(id);
    return device ? c.memory.adopt(**device, id, gpu_addr, size) : std::move(device).error();
  });
}

gpuio_error_t gpuio_free(gpuio_context_t ctx, void* memory) {
  return call("gpuio_free", ctx, [&](Context& c) { return memory ? c.memory.free(memory) : Status(); });
}

gpuio_error_t gpuio_memcpy(gpuio_context_t ctx, void* dst, const void* src, size_t size,
                           gpuio_stream_t stream) {
  return call("gpuio_memcpy", ctx, [&](Context& c) { return copy(c, dst, src, size, stream, true); });
}
gpuio_error_t gpuio_memcpy_async(gpuio_context_t ctx, void* dst, const void* src, size_t size,
                                 gpuio_stream_t stream) {
  return call("gpuio_memcpy_async", ctx, [&](Context& c) { return copy(c, dst, src, size, stream, false); });
}
gpuio_error_t gpuio_memset_async(gpuio_context_t ctx, void* memory, uint8_t value, size_t size,
                                 gpuio_stream_t stream) {
  return call("gpuio_memset_async", ctx, [&](Context& c) { return fill(c, memory, value, size, stream); });
}

}  // extern "C"
