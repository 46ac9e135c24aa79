// Arrays that fill on demand.

#include <algorithm>
#include <utility>

#include "capi/context.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace {

// An access of the host: with the array, and the right to its cache until it is done or the context ends.
template <class Body>
Status with_proxy(Context& c, gpuio_proxy_t handle, Body&& body) {
  auto proxy = c.proxies.find(handle);
  if (!proxy) return std::move(proxy).error();
  std::atomic<bool> stop{false};
  const InFlight::Entry entry(c.in_flight, stop);
  const Limit limit = c.limit();
  auto use = (*proxy)->arrays().use({.timeout_ns = limit.left_ns(), .cancel = &stop});
  if (!use) return std::move(use).error();
  return body(**proxy, *use, paging::Patience{.timeout_ns = limit.left_ns(), .cancel = &stop});
}

Status create(Context& c, const char* uri, std::size_t size, gpuio_proxy_t* handle) {
  auto arrays = c.arrays.of(c.devices, c.devices.current(), c.config);
  if (!arrays) return std::move(arrays).error();
  auto opened = c.open(uri, io::kRead);
  if (!opened) return std::move(opened).error();
  std::atomic<bool> stop{false};
  const InFlight::Entry entry(c.in_flight, stop);
  auto use = (*arrays)->use({.timeout_ns = c.limit_ns(), .cancel = &stop});
  if (!use) return std::move(use).error();
  auto array = (*use)->open(std::move(*opened), 1, size);
  if (!array) return std::move(array).error();
  c.stats.watch((*use)->share_counters(*array));
  *handle = c.proxies.add(std::make_shared<Proxy>(*arrays, *array));
  return {};
}

// Until what the stream was given before has been done: it may write what is to be read. The cache is not in
// use meanwhile, as what is in the stream may need it.
Status after_stream(Context& c, gpuio_stream_t handle) {
  if (Status blocked = c.may_block(); !blocked) return blocked;
  auto stream = c.stream_of(handle);
  if (!stream) return std::move(stream).error();
  std::atomic<bool> stop{false};
  const InFlight::Entry entry(c.in_flight, stop);
  Status s = (*stream)->through([](gpu::Stream&) { return Status(); },
                                {.timeout_ns = c.limit_ns(), .cancel = &stop});
  return std::move(s).wrap("what the stream was given before");
}

void drop_window(Proxy& proxy) {
  proxy.arrays().mapped_bytes -= proxy.window()->size();
  proxy.set_window(nullptr);
  proxy.mapped = 0;
}

Status destroy(Context& c, gpuio_proxy_t handle) {
  Status status = with_proxy(c, handle, [&](Proxy& proxy, DeviceArrays::Use& use, const auto&) -> Status {
    if (!proxy.close()) return error(Code::busy, "a kernel uses the array; wait for it, or cancel it");
    if (proxy.window()) drop_window(proxy);
    use->close(proxy.array());
    return {};
  });
  if (status.ok()) (void)c.proxies.remove(handle);
  return status;
}

Status map(Proxy& proxy, DeviceArrays::Use& use, const paging::Patience& patience, void** gpu_ptr) {
  DeviceArrays& arrays = proxy.arrays();
  if (!proxy.window()) {
    const std::uint64_t page = arrays.page_bytes(), bytes = proxy.array().range.pages * page;
    const std::uint64_t room = arrays.cache_bytes() - std::min(arrays.cache_bytes(), arrays.mapped_bytes);
    if (bytes > room)
      return error(
          Code::unsupported,
          "the array has {} bytes and {} of the cache's {} are free for mapped arrays: give it by proxy "
          "to a kernel, raise paging.cache_size, or use a device that faults on plain pointers",
          proxy.size(), room, arrays.cache_bytes());
    auto window = arrays.device().allocate(gpu::MemoryKind::pinned, bytes);
    if (!window) return std::move(window).error().wrap("the mapped array's memory");
    const Status s = use->read_all(proxy.array(), {(*window)->host(), bytes}, patience);
    if (!s) return s;
    proxy.set_window(std::move(*window));
    arrays.mapped_bytes += bytes;
  }
  ++proxy.mapped;
  *gpu_ptr = reinterpret_cast<void*>(proxy.window()->address());
  return {};
}

void fill_stats(const Proxy& proxy, DeviceArrays::Use& use, gpuio_proxy_stats_t* stats) {
  const paging::ArrayCounters& c = use->counters(proxy.array());
  stats->size = proxy.size();
  stats->page_size = use->page_bytes();
  stats->pages_resident = use->pages_resident(proxy.array());
  stats->hits = c.hits.value();
  stats->misses = c.misses.value();
  // What was brought and is not there any more has made room.
  stats->evictions = c.brought.value() - stats->pages_resident;
  stats->prefetches = c.prefetched.value();
  const std::uint64_t counted = stats->hits + stats->misses;
  stats->hit_rate = counted ? static_cast<double>(stats->hits) / static_cast<double>(counted) : 0;
  const HistogramSnapshot latency = c.latency_ns.snapshot();
  stats->miss_latency_p50_us = static_cast<double>(latency.percentile(50)) / 1e3;
  stats->miss_latency_p99_us = static_cast<double>(latency.percentile(99)) / 1e3;
}

const char* policy_name(gpuio_cache_policy_t policy) {
  switch (policy) {
    case GPUIO_CACHE_DEFAULT: return "DEFAULT";
    case GPUIO_CACHE_LRU: return "LRU";
    case GPUIO_CACHE_LFU: return "LFU";
    case GPUIO_CACHE_ADAPTIVE: return "ADAPTIVE";
  }
  return nullptr;
}

}  // namespace

extern "C" {

gpuio_error_t gpuio_proxy_create(gpuio_context_t ctx, const char* uri, size_t size, gpuio_proxy_t* proxy) {
  return call("gpuio_proxy_create", ctx, Outputs(proxy),
              [&](Context& c) { return uri ? create(c, uri, size, proxy) : null_argument("the URI"); });
}

gpuio_error_t gpuio_proxy_destroy(gpuio_context_t ctx, gpuio_proxy_t proxy) {
  return call("gpuio_proxy_destroy", ctx, [&](Context& c) { return proxy ? destroy(c, proxy) : Status(); });
}

gpuio_error_t gpuio_proxy_map(gpuio_context_t ctx, gpuio_proxy_t proxy, void** gpu_ptr) {
  return call("gpuio_proxy_map", ctx, Outputs(gpu_ptr), [&](Context& c) {
    return with_proxy(c, proxy, [&](Proxy& p, DeviceArrays::Use& use, const paging::Patience& patience) {
      return map(p, use, patience, gpu_ptr);
    });
  });
}

gpuio_error_t gpuio_proxy_unmap(gpuio_context_t ctx, gpuio_proxy_t proxy) {
  return call("gpuio_proxy_unmap", ctx, [&](Context& c) {
    return with_proxy(c, proxy, [&](Proxy& p, DeviceArrays::Use&, const auto&) -> Status {
      if (p.mapped == 0) return error(Code::invalid_arg, "the array is not mapped");
      if (--p.mapped == 0) drop_window(p);
      return {};
    });
  });
}

gpuio_error_t gpuio_proxy_prefetch(gpuio_context_t ctx, gpuio_proxy_t proxy, uint64_t offset, size_t size,
                                   gpuio_stream_t stream) {
  return call("gpuio_proxy_prefetch", ctx, [&](Context& c) {
    if (auto found = c.proxies.find(proxy); !found) return std::move(found).error();
    if (Status s = after_stream(c, stream); !s) return s;
    return with_proxy(c, proxy, [&](Proxy& p, DeviceArrays::Use& use, const paging::Patience& patience) {
      return use->prefetch(p.array(), offset, size, patience);
    });
  });
}

gpuio_error_t gpuio_proxy_read(gpuio_context_t ctx, gpuio_proxy_t proxy, uint64_t offset, void* memory,
                               size_t size) {
  return call("gpuio_proxy_read", ctx, [&](Context& c) {
    if (!memory && size) return null_argument("the memory");
    return with_proxy(c, proxy, [&](Proxy& p, DeviceArrays::Use& use, const paging::Patience& patience) {
      return use->read(p.array(), offset, {static_cast<std::byte*>(memory), size}, patience);
    });
  });
}

gpuio_error_t gpuio_proxy_set_cache_policy(gpuio_context_t ctx, gpuio_proxy_t proxy,
                                           gpuio_cache_policy_t policy) {
  return call("gpuio_proxy_set_cache_policy", ctx, [&](Context& c) -> Status {
    auto found = c.proxies.find(proxy);
    if (!found) return std::move(found).error();
    const char* const name = policy_name(policy);
    if (!name)
      return error(Code::invalid_arg, "cache policy {}: give one from 0 to 3", static_cast<int>(policy));
    if (policy == GPUIO_CACHE_DEFAULT) return {};
    return error(Code::unsupported, "this version has no cache policy {} yet; GPUIO_CACHE_DEFAULT is a clock",
                 name);
  });
}

gpuio_error_t gpuio_proxy_flush(gpuio_context_t ctx, gpuio_proxy_t proxy) {
  return call("gpuio_proxy_flush", ctx, [&](Context& c) {
    auto found = c.proxies.find(proxy);
    return found ? Status() : std::move(found).error();  // arrays are read-only: nothing is dirty
  });
}

gpuio_error_t gpuio_proxy_get_stats(gpuio_context_t ctx, gpuio_proxy_t proxy, gpuio_proxy_stats_t* stats) {
  return call("gpuio_proxy_get_stats", ctx, Outputs(stats), [&](Context& c) {
    return with_proxy(c, proxy, [&](Proxy& p, DeviceArrays::Use& use, const auto&) {
      fill_stats(p, use, stats);
      return Status();
    });
  });
}

}  // extern "C"
