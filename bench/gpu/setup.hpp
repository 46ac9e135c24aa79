// What the benchmark of devices stands on: a device, arrays over memory of a known sum, and timed runs that
// are checked. Threading: one thread. Errors: die().
#pragma once

#include <gpuio/kernel/ir.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engines/memory/memory.hpp"
#include "gpu/device.hpp"
#include "paging/arrays.hpp"

namespace gpuio::bench {

std::unique_ptr<gpu::Device> open_device(const std::string& name);  // null, with the reason on stderr

struct Sizes {
  std::uint64_t data_bytes = 0;  // a power of two; beyond the device's caches when it is to mean anything
  std::uint64_t page_bytes = 0;
  std::uint32_t groups = 0;  // of a kernel that uses the whole device
  std::uint32_t misses = 0;  // of a latency measurement
  double spend_s = 0;        // what one sample's kernel should take at least
};

class Setup {
 public:
  Setup(gpu::Device& device, const Sizes& sizes);

  gpu::Device& device() { return device_; }
  const Sizes& sizes() const { return sizes_; }
  gpu::Buffer& pinned_data() { return *pinned_; }
  gpu::Buffer& device_data() { return *local_; }

  // Seconds of a kernel over a plain buffer of elements of `element` bytes; its sum is checked.
  double plain(const kernel::View& kernel, const gpu::Buffer& data, std::uint32_t element, std::uint64_t n,
               std::uint32_t turns);
  // The same over an array, one of `open`.
  double on_demand(const kernel::View& kernel, const paging::Array& array, std::uint32_t element,
                   std::uint64_t n, std::uint32_t turns, paging::Miss miss);
  // A new array over the same bytes: none of its pages is there yet.
  paging::Array open(std::uint32_t element);
  void close(const paging::Array& array) { arrays_->close(array); }

  struct Missed {
    double seconds = 0;             // of the kernel, a miss
    double p50_us = 0, p99_us = 0;  // of an answer, seen by the host
  };
  // `lanes` lanes bring a page each, sizes().misses times in all.
  Missed touch_pages(std::uint32_t lanes, paging::Miss miss);

  double copy_engine();                    // seconds to copy the pinned data to the device
  double round_trip(std::uint32_t turns);  // seconds a turn between a lane and a host thread
  double launch(std::uint32_t launches);   // seconds to enqueue one of so many
  std::uint64_t sum(std::uint32_t element, std::uint64_t n) const;  // of the first n elements

 private:
  paging::RunReport run(const kernel::View& kernel, std::uint32_t groups,
                        std::vector<gpu::Argument> arguments, paging::Miss miss, std::uint64_t expected);

  gpu::Device& device_;
  const Sizes sizes_;
  std::unique_ptr<io::Engine> engine_;
  std::unique_ptr<io::Target> bytes_;
  std::unique_ptr<gpu::Buffer> pinned_, local_, sum_, flags_;
  std::unique_ptr<gpu::Stream> stream_;
  std::unique_ptr<paging::Arrays> arrays_;
  mutable std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> sums_;
};

// Seconds to enqueue one launch of an empty kernel through the driver alone; negative where there is no CUDA
// driver.
double cuda_driver_launch(std::uint32_t launches);

}  // namespace gpuio::bench
