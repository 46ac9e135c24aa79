// The border between C and C++: results become gpuio_error_t and a message, outputs are cleared, nothing is
// thrown.
//
// Every function of the public headers is one call of `guard` or, when it has a context, of `call`
// (capi/context.hpp). The message of the last failure belongs to its thread. Nothing here blocks or fails.
//
//   gpuio_error_t gpuio_example(int* count) {
//     return guard("gpuio_example", Outputs(count), [&] { *count = 1; return Status(); });
//   }
#pragma once

#include <gpuio/gpuio.h>

#include <exception>
#include <new>
#include <tuple>
#include <type_traits>

#include "base/status.hpp"

namespace gpuio::capi {

// Where a call puts its results; cleared when it fails.
template <class... T>
class Outputs {
 public:
  explicit Outputs(T*... at) : at_(at...) {}
  void clear() const {
    std::apply([](T*... at) { ((at ? void(*at = T{}) : void()), ...); }, at_);
  }
  bool missing() const {
    return std::apply([](T*... at) { return (false || ... || !at); }, at_);
  }

 private:
  std::tuple<T*...> at_;
};

// Keeps the message, with the function's name in front, and gives the code to return.
gpuio_error_t answer(const char* function, const Status& status) noexcept;
gpuio_error_t answer_exception(const char* function, const std::exception_ptr& thrown) noexcept;

inline Status null_argument(const char* what = "a handle or an output") {
  return error(Code::invalid_arg, "{} is NULL; give a valid one", what);
}

// Runs body, which returns a Status. Outputs are cleared first, and again when it fails.
template <class... T, class Body>
gpuio_error_t guard(const char* function, const Outputs<T...>& outputs, Body&& body) noexcept {
  static_assert(std::is_same_v<std::invoke_result_t<Body>, Status>);
  outputs.clear();
  gpuio_error_t code;
  try {
    code = answer(function, outputs.missing() ? null_argument("an output") : body());
  } catch (...) {
    code = answer_exception(function, std::current_exception());
  }
  if (code != GPUIO_SUCCESS) outputs.clear();
  return code;
}
template <class Body>
gpuio_error_t guard(const char* function, Body&& body) noexcept {
  return guard(function, Outputs<>(), std::forward<Body>(body));
}

}  // namespace gpuio::capi
