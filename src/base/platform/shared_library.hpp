// Libraries that are optional at run time (GPU drivers, RDMA): their absence is an answer, not a crash.
//
// Any thread. Lifetime: move-only; symbols die with the SharedLibrary they came from, so keep it beside them.
// Errors carry the loader's own words.
//
//   auto cuda = SharedLibrary::open_first({"libcuda.so.1", "libcuda.so"});
//   auto init = cuda->function<int(unsigned)>("cuInit");
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "base/status.hpp"

namespace gpuio {

class SharedLibrary {
 public:
  SharedLibrary() = default;
  SharedLibrary(SharedLibrary&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)), name_(std::move(other.name_)) {}
  SharedLibrary& operator=(SharedLibrary&& other) noexcept;
  ~SharedLibrary();

  // A name is searched for as the loader does; one with a slash is that very file. not_found when there is
  // none or it cannot be loaded here.
  static Result<SharedLibrary> open(const std::string& name);
  // The first that opens; the error names all that were tried.
  static Result<SharedLibrary> open_first(std::initializer_list<const char*> names);

  bool is_open() const { return handle_ != nullptr; }
  const std::string& name() const { return name_; }

  Result<void*> symbol(const char* name) const;
  // F is a function type, as decltype(cuInit) gives it.
  template <class F>
  Result<F*> function(const char* name) const {
    auto found = symbol(name);
    if (!found) return fail(std::move(found).error());
    return reinterpret_cast<F*>(*found);
  }

 private:
  SharedLibrary(void* handle, std::string name) : handle_(handle), name_(std::move(name)) {}
  void* handle_ = nullptr;
  std::string name_;
};

}  // namespace gpuio
