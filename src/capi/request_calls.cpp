// gpuio_request_*.

#include "capi/context.hpp"
#include "capi/request.hpp"

using namespace gpuio;
using namespace gpuio::capi;

namespace {

// A call on one request, with or without outputs.
template <class... T, class Body>
gpuio_error_t on_request(const char* function, gpuio_context_t ctx, gpuio_request_t request,
                         const Outputs<T...>& outputs, Body&& body) {
  return call(function, ctx, outputs, [&](Context& c) {
    auto found = c.requests.find(request);
    return found ? body(**found) : std::move(found).error();
  });
}

}  // namespace

extern "C" {

gpuio_error_t gpuio_request_create(gpuio_context_t ctx, const gpuio_request_params_t* params,
                                   gpuio_request_t* request) {
  return call("gpuio_request_create", ctx, Outputs(request), [&](Context& c) {
    if (!params) return null_argument("the parameters");
    auto made = Request::create(c, *params);
    if (!made) return std::move(made).error();
    *request = c.requests.add(*made);
    (*made)->set_handle(*request);
    return Status();
  });
}

gpuio_error_t gpuio_request_destroy(gpuio_context_t ctx, gpuio_request_t request) {
  return call("gpuio_request_destroy", ctx, [&](Context& c) {
    if (!request) return Status();
    auto found = c.requests.find(request);
    if (!found) return std::move(found).error();
    if (Status s = (*found)->end(c.limit()); !s) return s;
    auto taken = c.requests.remove(request);
    return taken ? Status() : std::move(taken).error();
  });
}

gpuio_error_t gpuio_request_submit(gpuio_context_t ctx, gpuio_request_t request) {
  return on_request("gpuio_request_submit", ctx, request, Outputs(), [](Request& r) { return r.submit(); });
}

gpuio_error_t gpuio_request_wait(gpuio_context_t ctx, gpuio_request_t request, uint64_t timeout_us) {
  return on_request("gpuio_request_wait", ctx, request, Outputs(),
                    [&](Request& r) { return r.wait(timeout_us); });
}

gpuio_error_t gpuio_request_cancel(gpuio_context_t ctx, gpuio_request_t request) {
  return on_request("gpuio_request_cancel", ctx, request, Outputs(), [](Request& r) { return r.cancel(); });
}

gpuio_error_t gpuio_request_get_status(gpuio_context_t ctx, gpuio_request_t request,
                                       gpuio_request_status_t* status) {
  return on_request("gpuio_request_get_status", ctx, request, Outputs(status), [&](Request& r) {
    *status = r.status();
    return Status();
  });
}

gpuio_error_t gpuio_request_get_result(gpuio_context_t ctx, gpuio_request_t request,
                                       gpuio_request_result_t* result) {
  return on_request("gpuio_request_get_result", ctx, request, Outputs(result), [&](Request& r) {
    auto got = r.result();
    if (!got) return std::move(got).error();
    *result = *got;
    return Status();
  });
}

gpuio_error_t gpuio_request_set_deadline(gpuio_context_t ctx, gpuio_request_t request, uint64_t deadline_us) {
  return on_request("gpuio_request_set_deadline", ctx, request, Outputs(),
                    [&](Request& r) { return r.set_deadline(deadline_us); });
}

gpuio_error_t gpuio_request_modify(gpuio_context_t ctx, gpuio_request_t request, int priority,
                                   uint64_t rate_bytes_per_s) {
  return on_request("gpuio_request_modify", ctx, request, Outputs(),
                    [&](Request& r) { return r.modify(priority, rate_bytes_per_s); });
}

gpuio_error_t gpuio_request_set_progress_callback(gpuio_context_t ctx, gpuio_request_t request,
                                                  gpuio_progress_callback_t callback, void* user_data) {
  return on_request("gpuio_request_set_progress_callback", ctx, request, Outputs(), [&](Request& r) {
    r.set_progress_callback(callback, user_data);
    return Status();
  });
}

gpuio_error_t gpuio_request_get_progress(gpuio_context_t ctx, gpuio_request_t request,
                                         gpuio_progress_t* progress) {
  return on_request("gpuio_request_get_progress", ctx, request, Outputs(progress), [&](Request& r) {
    *progress = r.progress();
    return Status();
  });
}

}  // extern "C"
