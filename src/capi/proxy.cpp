// Arrays that fill on demand.

#include "capi/context.hpp"

using namespace gpuio::capi;

namespace {
constexpr const char* kWhat = "on-demand arrays (gpuio_proxy_*)";
}

extern "C" {

gpuio_error_t gpuio_proxy_create(gpuio_context_t ctx, const char* uri, size_t, gpuio_proxy_t* proxy) {
  return unsupported("gpuio_proxy_create", kWhat, ctx, {uri}, Outputs(proxy));
}
gpuio_error_t gpuio_proxy_destroy(gpuio_context_t ctx, gpuio_proxy_t proxy) {
  return call("gpuio_proxy_destroy", ctx,
              [&](Context&) { return proxy ? not_built(kWhat) : gpuio::Status(); });
}
gpuio_error_t gpuio_proxy_map(gpuio_context_t ctx, gpuio_proxy_t proxy, void** gpu_ptr) {
  return unsupported("gpuio_proxy_map", kWhat, ctx, {proxy}, Outputs(gpu_ptr));
}
gpuio_error_t gpuio_proxy_unmap(gpuio_context_t ctx, gpuio_proxy_t proxy) {
  return unsupported("gpuio_proxy_unmap", kWhat, ctx, {proxy});
}
gpuio_error_t gpuio_proxy_prefetch(gpuio_context_t ctx, gpuio_proxy_t proxy, uint64_t, size_t,
                                   gpuio_stream_t) {
  return unsupported("gpuio_proxy_prefetch", kWhat, ctx, {proxy});
}
gpuio_error_t gpuio_proxy_set_cache_policy(gpuio_context_t ctx, gpuio_proxy_t proxy, gpuio_cache_policy_t) {
  return unsupported("gpuio_proxy_set_cache_policy", kWhat, ctx, {proxy});
}
gpuio_error_t gpuio_proxy_flush(gpuio_context_t ctx, gpuio_proxy_t proxy) {
  return unsupported("gpuio_proxy_flush", kWhat, ctx, {proxy});
}
gpuio_error_t gpuio_proxy_get_stats(gpuio_context_t ctx, gpuio_proxy_t proxy, gpuio_proxy_stats_t* stats) {
  return unsupported("gpuio_proxy_get_stats", kWhat, ctx, {proxy}, Outputs(stats));
}

}  // extern "C"
