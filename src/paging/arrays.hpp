// Arrays: what makes `array[i]` work in kernels of one device. Owns the page space, the cache and the thread
// that serves misses; opens targets as arrays and runs kernels on them.
//
// A kernel's misses are met in one of two ways. *Wait*: the lane posts a request and waits for the answer;
// needs a device whose kernels can talk to the host while they run. *Yield*: the lane saves where it is and
// ends; the host answers all that yielded and launches the kernel again, which goes on where it was; works
// everywhere. Both come from the same kernel.
//
// Threading: one thread. Lifetime: the device outlives it; it outlives its arrays' use by kernels. Errors:
// what a page's target says reaches the lanes that asked for it as a status, not this interface; `run` fails
// when the kernel cannot be run, is cancelled or is late.
//
//   auto arrays = *Arrays::create(*device, {});
//   Array a = *arrays->open(*registry.open("local:///data/a.bin", io::kRead), sizeof(float));
//   auto report = arrays->run(kernel.view(), {.groups = {64, 1, 1}}, arguments, {});   // arguments has
//   a.argument()
//
// A kernel that comes with its native form runs as that on the CPU device, waiting, unless yielding is asked
// for.
//
//   arrays->run({kernel.view(), gpu::cpu::make_native(kernel)}, ...)      // gpu/cpu/native.hpp
#pragma once

#include <gpuio/kernel/ir.hpp>
#include <gpuio/kernel/native/page_table.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/metrics.hpp"
#include "base/status.hpp"
#include "gpu/device.hpp"
#include "io/registry.hpp"
#include "paging/cache.hpp"
#include "paging/copier.hpp"
#include "paging/pager.hpp"
#include "paging/service.hpp"
#include "paging/space.hpp"

namespace gpuio::paging {

// g++ 12 takes scoped enumerators for shadowing.
enum class Miss : std::uint8_t { automatic, wait, yield };

struct ArraysOptions {
  CacheOptions cache;
  ServiceOptions service;  // its depth is also that of yielding kernels
};

struct Array {
  Range range;
  std::uint64_t count = 0;  // elements; the last is padded with zeros where the target ends within it
  gpu::Argument argument() const { return {range.first, count}; }
};

// Of what the host itself waits for.
struct Patience {
  std::uint64_t timeout_ns = gpu::kForever;
  const std::atomic<bool>* cancel = nullptr;  // looked at every few milliseconds
};

// A kernel as it was written, and compiled for the host where its maker has done that.
struct Kernel {
  Kernel(const kernel::View& written, gpu::Native compiled = {})
      : view(written), native(std::move(compiled)) {}
  kernel::View view;
  gpu::Native native;
};

struct RunOptions {
  Miss miss = Miss::automatic;
  bool native = true;  // on the CPU device, where the kernel comes with that form
  std::uint64_t timeout_ns = gpu::kForever;
  // How long a kernel may take to end once it is cancelled or late. A waiting one is told: its accesses
  // answer CANCELED or TIMEOUT at once and its lanes leave their loops. A yielding one ends at its next
  // misses. Past it the device is given up as lost.
  std::uint64_t grace_ns = 5'000'000'000;
  const std::atomic<bool>* cancel = nullptr;               // looked at every few milliseconds
  std::function<void(std::uint64_t pages)> progress = {};  // pages brought so far, about every 100 ms
};

struct RunReport {
  Miss miss = Miss::wait;  // the way taken
  bool native = false;     // the kernel ran as code of the host
  std::string choice;      // why this way
  std::string reason;      // what the last page that failed was refused for
  std::uint32_t launches = 0;
  std::uint64_t misses = 0;      // pages that were not there, those wanted ahead of time too
  std::uint64_t failures = 0;    // of them, answered with an error; `reason` has the last one
  Code failure = Code::ok;       // of the last of them
  std::uint64_t pages = 0;       // brought
  double seconds = 0;            // in all
  double running_seconds = 0;    // from the first launch to the end of the last: without making the kernel
  HistogramSnapshot latency_ns;  // of a miss: seen by who brings the page to brought
};

class Arrays {
 public:
  static Result<std::unique_ptr<Arrays>> create(gpu::Device& device, const ArraysOptions& options);
  ~Arrays();

  // The target's first `bytes` bytes, 0 for all of it, as an array of elements of 1, 2, 4 or 8 bytes.
  // INVALID_ARG when it is empty or holds fewer.
  Result<Array> open(io::Opened opened, std::uint32_t element_bytes, std::uint64_t bytes = 0);
  // Forgets the array and its pages.
  void close(const Array& array);
  const ArrayCounters& counters(const Array& array) const { return *array.range.counters; }
  // For who looks at them from other threads, or when the array is gone.
  std::shared_ptr<const ArrayCounters> share_counters(const Array& array) const {
    return held_.at(array.range.first).counters;
  }
  std::uint64_t pages_resident(const Array& array) const;
  std::uint64_t page_bytes() const { return cache_->page_bytes(); }

  // The host's own accesses. Ranges lie within the array. INVALID_BACKING when the target has become shorter.
  // Brings pages into the cache, in order, at most as many as it holds.
  Status prefetch(const Array& array, std::uint64_t offset, std::uint64_t bytes, const Patience& patience);
  // Reads bytes through the cache.
  Status read(const Array& array, std::uint64_t offset, std::span<std::byte> to, const Patience& patience);
  // Reads the whole array past the cache, into memory of whole pages; zeros behind its end.
  Status read_all(const Array& array, std::span<std::byte> to, const Patience& patience);

  // Arguments are one slot a parameter of the kernel as it was written. Returns when every lane has ended.
  Result<RunReport> run(const Kernel& kernel, const gpu::Grid& grid, std::span<const gpu::Argument> arguments,
                        const RunOptions& options);

 private:
  struct Launch;
  struct Tables;
  struct Prepared;
  struct Held {
    io::Engine* engine;
    std::unique_ptr<io::Target> target;
    std::shared_ptr<ArrayCounters> counters;
  };
  Arrays(gpu::Device& device, const ArraysOptions& options);
  template <class Make>
  Result<Prepared*> prepared(const kernel::View& kernel, Miss miss, const Make& make);
  Status run_waiting(Launch& launch);
  Status wait_for_kernel(Launch& launch, const gpu::Kernel& kernel, std::span<const gpu::Argument> arguments);
  Status start_service();
  Status make_tables();
  Status run_yielding(Launch& launch);
  // Gives `use` each page of [first, last) with its bytes, from the cache (null there unless `look`) or
  // brought into it.
  Status bring(const Range& range, std::uint64_t first, std::uint64_t last, const Patience& patience,
               bool look,
               const std::function<void(std::uint64_t page, const std::byte* bytes, bool hit)>& use);
  Status await(Launch& launch, Service* service);
  void drop_pins();

  gpu::Device& device_;
  const ArraysOptions options_;
  std::map<std::uint64_t, Held> held_;  // by an array's first page
  // Kernels that have run, by their hash and the way: lowered and loaded once.
  std::map<std::pair<std::uint64_t, Miss>, std::unique_ptr<Prepared>> prepared_;
  std::unique_ptr<Space> space_;
  std::unique_ptr<Cache> cache_;
  std::unique_ptr<gpu::Buffer>
      table_;  // a PageTable and its pins; kept, as all buffers are, for a kernel that never ends
  Tables* tables_ = nullptr;  // in it
  std::unique_ptr<gpu::Stream> stream_;
  std::unique_ptr<Pager> pager_;       // for answers between launches
  std::unique_ptr<gpu::Buffer> slab_;  // of the last run that yielded, for the next
  std::unique_ptr<Copier> copier_;     // of a local cache, from the first run that waits
  std::unique_ptr<Service> service_;   // from the first run that waits; sleeps between runs
};

}  // namespace gpuio::paging
