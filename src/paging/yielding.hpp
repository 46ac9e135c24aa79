// The yielding way: launches a suspended kernel until every lane has ended, answering between launches what
// the lanes asked for. A lane's answer carries the element's own bytes, so each launch makes progress with
// any cache. Internal to src/paging; arrays.hpp has the interface.
#pragma once

#include <gpuio/kernel/lookup.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/metrics.hpp"
#include "gpu/device.hpp"
#include "paging/cache.hpp"
#include "paging/pager.hpp"
#include "paging/readahead.hpp"
#include "paging/space.hpp"

namespace gpuio::paging {

class Answerer {
 public:
  // `stream`: of the kernel, for a local cache's frames.
  Answerer(Cache& cache, const Space& space, Pager& pager, gpu::Stream& stream)
      : cache_(cache), finder_(space), pager_(pager), stream_(stream) {}

  // Answers every record that waits; reads pages into frames as needed. Fails only when the device does: a
  // page that cannot be had gives its lanes a status. TIMEOUT or CANCELED from reading are passed on to them
  // too.
  Status answer(std::span<device::LaneRecord> records, std::uint64_t timeout_ns,
                const std::atomic<bool>* cancel);

  std::uint64_t misses() const { return misses_; }
  std::uint64_t failures() const { return failures_; }
  Code last_failure() const { return last_failure_; }
  std::uint64_t pages() const { return pages_; }
  const Histogram& latency_ns() const { return latency_ns_; }
  const std::string& last_error() const { return last_error_; }

 private:
  struct Wanted {
    std::uint64_t page;
    std::uint32_t lanes_begin, lanes_end;  // in lanes_
    std::uint32_t frame;
  };
  void gather(std::span<device::LaneRecord> records);
  bool claim(std::uint64_t page, Wanted* wanted);
  void read_batch();
  void give_resident(const Wanted& wanted, std::uint32_t frame);
  void give(const Wanted& wanted, Code code, const std::byte* bytes);
  void read_ahead(std::size_t next);

  Cache& cache_;
  Finder finder_;
  Pager& pager_;
  gpu::Stream& stream_;
  Status device_;  // the first thing that it refused
  std::span<device::LaneRecord> records_;
  struct Waiting {
    std::uint64_t page;
    std::uint32_t lane;
    auto operator<=>(const Waiting&) const = default;
  };
  std::vector<Waiting> lanes_;  // by page
  std::vector<Wanted> wanted_;
  std::vector<PageRead> reads_;
  std::vector<std::uint32_t> frames_;  // of reads_
  std::vector<PageRead*> submitted_;
  std::map<std::uint64_t, Readahead> readahead_;  // by a range's first page
  std::uint64_t started_ns_ = 0, timeout_ns_ = 0;
  const std::atomic<bool>* cancel_ = nullptr;
  std::uint64_t misses_ = 0, failures_ = 0, pages_ = 0;
  Code last_failure_ = Code::ok;
  Histogram latency_ns_;
  std::string last_error_;
};

}  // namespace gpuio::paging
