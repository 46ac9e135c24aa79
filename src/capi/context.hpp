// What a gpuio_context_t names: the configuration, the engines, the devices, and the tables of all that
// clients hold.
//
// Threading: any; each part says its own. Lifetime: from gpuio_init to gpuio_finalize, and for as long as a
// call is under way. A finalized context answers NOT_INITIALIZED.
//
//   gpuio_error_t gpuio_example(gpuio_context_t ctx, int* count) {
//     return call("gpuio_example", ctx, Outputs(count), [&](Context& c) { ...; return Status(); });
//   }
#pragma once

#include <memory>
#include <utility>

#include "base/config.hpp"
#include "capi/arrays.hpp"
#include "capi/devices.hpp"
#include "capi/error.hpp"
#include "capi/handles.hpp"
#include "capi/in_flight.hpp"
#include "io/registry.hpp"

namespace gpuio::capi {

class Context {
 public:
  static Result<std::shared_ptr<Context>> create(Config config);
  explicit Context(Config given) : config(std::move(given)), devices(config) {}

  const Config config;
  io::Registry registry;
  Devices devices;
  InFlight in_flight;  // calls that block; told to stop when the context ends
  ContextArrays arrays;
  Table<Proxy, gpuio_proxy_t> proxies{"proxy"};
};

// NULL is INVALID_ARG; what is no context (any more) NOT_INITIALIZED.
Result<std::shared_ptr<Context>> find_context(gpuio_context_t ctx);

template <class... T, class Body>
gpuio_error_t call(const char* function, gpuio_context_t ctx, const Outputs<T...>& outputs,
                   Body&& body) noexcept {
  return guard(function, outputs, [&]() -> Status {
    auto context = find_context(ctx);
    if (!context) return std::move(context).error();
    return body(**context);
  });
}
template <class Body>
gpuio_error_t call(const char* function, gpuio_context_t ctx, Body&& body) noexcept {
  return call(function, ctx, Outputs<>(), std::forward<Body>(body));
}

// The answer of what this version does not have, once its handles and outputs have been looked at.
inline Status not_built(const char* what) {
  return error(Code::unsupported, "this version of the library has no {} yet", what);
}
template <class... T>
gpuio_error_t unsupported(const char* function, const char* what, gpuio_context_t ctx,
                          std::initializer_list<const void*> needed,
                          const Outputs<T...>& outputs = Outputs<T...>()) noexcept {
  return call(function, ctx, outputs, [&](Context&) {
    for (const void* handle : needed)
      if (!handle) return null_argument();
    return not_built(what);
  });
}
// Of a function without a context.
template <class... T>
gpuio_error_t unsupported(const char* function, const char* what, std::initializer_list<const void*> needed,
                          const Outputs<T...>& outputs = Outputs<T...>()) noexcept {
  return guard(function, outputs, [&] {
    for (const void* handle : needed)
      if (!handle) return null_argument();
    return not_built(what);
  });
}

}  // namespace gpuio::capi
