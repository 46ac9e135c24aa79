// What the topics of the binding share: errors, and waiting with Python's signals served.
//
// Every exception that leaves the binding is gpuio.GPUIOError, or a plain TypeError for a value of a wrong
// type. Functions here are called with the GIL held unless they say otherwise.
#pragma once

#include <gpuio/gpuio.h>
#include <gpuio/gpuio_kernel.h>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <string>

#include "base/status.hpp"

namespace gpuio::python {

namespace nb = nanobind;

// Becomes gpuio.GPUIOError(code, message).
struct Error {
  int code;
  std::string message;
};
inline void check(const Status& s) {
  if (!s) throw Error{int(s.code()), s.message()};
}
inline void check(gpuio_error_t e) {
  if (e != GPUIO_SUCCESS) throw Error{int(e), gpuio_last_error_message()};
}

// A context and what is made from it; whoever lets go last finalizes it. One that cannot end in time stays,
// for what still runs in it.
struct Owner {
  explicit Owner(gpuio_context_t c) : ctx(c) {}
  ~Owner() { (void)end(); }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  // Without the GIL, where it was not finalized yet. After TIMEOUT it may be called again.
  gpuio_error_t end() {
    if (ended) return GPUIO_SUCCESS;
    const gpuio_error_t e = gpuio_finalize(ctx);
    ended = e != GPUIO_ERROR_TIMEOUT;
    return ended ? GPUIO_SUCCESS : e;
  }
  const gpuio_context_t ctx;
  bool ended = false;
};

struct Context {
  std::shared_ptr<Owner> owner;
};

// Of memory that the library may use for longer than anybody waits: it is never freed.
template <class Array>
void keep_for_ever(const Array& array) {
  [[maybe_unused]] auto* const kept = new Array(array);
}

void bind_context(nb::module_& m);
void bind_file(nb::module_& m);
void bind_array(nb::module_& m);
void bind_runtime(nb::module_& m);
void bind_ops(nb::module_& m);

}  // namespace gpuio::python
