// What gpuio.h names and this version does not have yet: each call says so by name. Handles and outputs are
// treated as they will be then.

#include "capi/context.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace {

constexpr const char* kLists = "scattered requests";
constexpr const char* kAtomics = "atomic requests";
constexpr const char* kBatches = "batches";

}  // namespace

extern "C" {

gpuio_error_t gpuio_request_set_indices(gpuio_context_t ctx, gpuio_request_t request, const uint64_t*, size_t,
                                        size_t) {
  return unsupported("gpuio_request_set_indices", kLists, ctx, {request});
}
gpuio_error_t gpuio_request_set_atomic(gpuio_context_t ctx, gpuio_request_t request, uint64_t, uint64_t) {
  return unsupported("gpuio_request_set_atomic", kAtomics, ctx, {request});
}
gpuio_error_t gpuio_batch_submit(gpuio_context_t ctx, gpuio_batch_t* batch) {
  return unsupported("gpuio_batch_submit", kBatches, ctx, {batch});
}
gpuio_error_t gpuio_batch_wait(gpuio_context_t ctx, gpuio_batch_t* batch, uint64_t) {
  return unsupported("gpuio_batch_wait", kBatches, ctx, {batch});
}
gpuio_error_t gpuio_request_set_batch(gpuio_context_t ctx, gpuio_request_t request, const gpuio_batch_t*) {
  return unsupported("gpuio_request_set_batch", kBatches, ctx, {request});
}

}  // extern "C"
