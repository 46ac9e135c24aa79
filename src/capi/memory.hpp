// Memory that the library gave out: what a pointer of a client lies in.
//
// Threading: any. Lifetime: an allocation lives until it is freed and nothing that is in flight uses it.
// Errors: NOMEM at once, INVALID_ARG for a pointer that came from elsewhere.
//
//   auto block = memory.allocate(device, id, GPUIO_MEM_PINNED, 4096);
//   Found found = memory.find(pointer);   // found.block may be null: the client's own memory
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include <gpuio/gpuio.h>

#include "base/platform/memory.hpp"
#include "base/status.hpp"
#include "gpu/device.hpp"

namespace gpuio::capi {

struct Allocation {
  std::unique_ptr<gpu::Buffer> buffer;
  MemoryLock lock;  // of pinned memory of the CPU device, where the system allows it
  gpu::Device* device = nullptr;
  int device_id = -1;
  gpuio_mem_type_t type = GPUIO_MEM_DEFAULT;
  std::byte* pointer = nullptr;  // what the client holds
};

class Memory {
 public:
  Result<std::byte*> allocate(gpu::Device& device, int device_id, gpuio_mem_type_t type, std::size_t size);
  // Somebody else's memory on the device, until it is freed here.
  Status adopt(gpu::Device& device, int device_id, void* address, std::size_t size);
  Status free(void* pointer);

  struct Found {
    std::shared_ptr<Allocation> block;  // null: none of ours
    std::uint64_t offset = 0;
  };
  // INVALID_ADDRESS when the range begins in an allocation and ends outside it.
  Result<Found> find(const void* pointer, std::size_t size) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::uintptr_t, std::shared_ptr<Allocation>> blocks_;  // by the client's pointer
};

}  // namespace gpuio::capi
