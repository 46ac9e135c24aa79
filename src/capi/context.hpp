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

#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "capi/arrays.hpp"
#include "capi/devices.hpp"
#include "capi/error.hpp"
#include "capi/event.hpp"
#include "capi/handles.hpp"
#include "capi/in_flight.hpp"
#include "capi/kernel.hpp"
#include "capi/limit.hpp"
#include "capi/memory.hpp"
#include "capi/operations.hpp"
#include "capi/region.hpp"
#include "capi/request.hpp"
#include "capi/stats.hpp"
#include "capi/stream.hpp"
#include "io/registry.hpp"
#include "io/transfer_service.hpp"

namespace gpuio::capi {

class Context {
 public:
  static Result<std::shared_ptr<Context>> create(Config config);
  explicit Context(Config given);

  // What is in flight ends with CANCELED, and nothing new begins. Blocks until that is done; after TIMEOUT it
  // may be called again.
  Status shut_down(const Limit& limit);
  // For a call that begins now and has no timeout of its own.
  Limit limit() const { return Limit(limit_ns()); }
  std::uint64_t limit_ns() const { return static_cast<std::uint64_t>(config.wait_limit_ms) * 1'000'000; }

  // NULL is the default stream of the current device.
  Result<std::shared_ptr<Stream>> stream_of(gpuio_stream_t handle);
  // Those that are there: of every device that was current.
  std::vector<std::shared_ptr<Stream>> default_streams();
  // The target of a URI; UNSUPPORTED for what this build has no engine for.
  Result<io::Opened> open(const char* uri, std::uint32_t flags);

  // Whether the bytes lie in a mapped array that kernels of the device reach.
  bool in_window(const gpu::Device& device, std::uint64_t address, std::uint64_t bytes) const;
  // Where kernels of the device find memory of the client's, and what keeps it if the library gave it out.
  // INVALID_ARG where they cannot; `windows`: mapped arrays are fine too.
  struct Reached {
    std::uint64_t address = 0;
    std::uint64_t offset = 0;  // into the block
    std::shared_ptr<Allocation> block;
  };
  Result<Reached> reach(const gpu::Device& device, const void* pointer, std::uint64_t bytes,
                        bool windows) const;

  // Whether this thread is in a callback of this context, where it must not wait for what only that thread
  // ends.
  bool in_callback() const;
  Status may_block() const;

  io::Schedule schedule() const;
  void set_schedule(io::Schedule schedule);
  io::RetryPolicy retry() const;
  void set_retry(const io::RetryPolicy& policy);

  // In an order in which the last can go first.
  const Config config;
  const SteadyClock clock;
  Stats stats;
  Beside beside;  // requests without a stream
  io::Registry registry;
  Devices devices;
  Memory memory;
  Kernels kernels;
  Operations operations;
  Table<Handle, gpuio_handle_t> handles{"handle"};
  Table<Region, void*> regions{"region"};
  std::unique_ptr<io::TransferService> transfers;
  Table<Stream, gpuio_stream_t> streams{"stream"};
  Table<Event, gpuio_event_t> events{"event"};
  Table<Request, gpuio_request_t> requests{"request"};
  InFlight in_flight;  // calls that block; told to stop when the context ends
  ContextArrays arrays;
  Table<Proxy, gpuio_proxy_t> proxies{"proxy"};

 private:
  friend class CallbackScope;
  std::mutex callbacks_;  // held while one runs
  mutable std::mutex policies_mutex_;
  io::Schedule schedule_ = io::Schedule::fifo;
  io::RetryPolicy retry_;
  std::mutex default_streams_mutex_;
  std::map<int, std::shared_ptr<Stream>> default_streams_;  // by device
};

// Around every callback: one at a time, on a thread that knows that it is in one.
class CallbackScope {
 public:
  explicit CallbackScope(Context& context);
  ~CallbackScope();
  CallbackScope(const CallbackScope&) = delete;
  CallbackScope& operator=(const CallbackScope&) = delete;

 private:
  std::scoped_lock<std::mutex> hold_;
  const Context* before_;
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
