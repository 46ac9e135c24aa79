// What requests name: opened handles, and regions, which are ranges of memory or of what a handle has opened.
//
// A region counts the requests in flight that use it, and cannot be unregistered meanwhile; a handle is used
// by its regions' requests and by proxies. Threading: any. Lifetime: a region keeps what it names alive.
#pragma once

#include <gpuio/gpuio.h>

#include <memory>
#include <mutex>

#include "base/uri.hpp"
#include "capi/memory.hpp"
#include "io/registry.hpp"

namespace gpuio::capi {

// Counts users until it is closed for new ones.
class Uses {
 public:
  bool begin() {
    std::scoped_lock hold(mutex_);
    if (closed_) return false;
    ++count_;
    return true;
  }
  void end() {
    std::scoped_lock hold(mutex_);
    --count_;
  }
  // False while there are users.
  bool close() {
    std::scoped_lock hold(mutex_);
    if (count_ > 0) return false;
    closed_ = true;
    return true;
  }

 private:
  std::mutex mutex_;
  int count_ = 0;
  bool closed_ = false;
};

struct Handle {
  io::Opened opened;
  EngineFamily family = EngineFamily::localio;
  std::uint32_t flags = 0;  // of gpuio_open_flags_t
  Uses uses;                // requests and proxies
};

struct Region {
  std::byte* memory = nullptr;     // where the CPU can reach it
  Memory::Found block;             // of the library's own memory
  std::shared_ptr<Handle> handle;  // or a range of it
  std::uint64_t offset = 0;        // in what the handle has opened
  std::uint64_t length = 0;
  std::uint32_t access = 0;  // of gpuio_mem_access_t
  Uses uses;

  // For one request; false once it is unregistered or its handle is closed.
  bool begin_use() {
    if (!uses.begin()) return false;
    if (!handle || handle->uses.begin()) return true;
    uses.end();
    return false;
  }
  void end_use() {
    if (handle) handle->uses.end();
    uses.end();
  }
};

}  // namespace gpuio::capi
