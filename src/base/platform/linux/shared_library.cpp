#include "base/platform/shared_library.hpp"

#include <dlfcn.h>

namespace gpuio {

SharedLibrary& SharedLibrary::operator=(SharedLibrary&& other) noexcept {
  if (this != &other) {
    if (handle_) ::dlclose(handle_);
    handle_ = std::exchange(other.handle_, nullptr);
    name_ = std::move(other.name_);
  }
  return *this;
}

SharedLibrary::~SharedLibrary() {
  if (handle_) ::dlclose(handle_);
}

Result<SharedLibrary> SharedLibrary::open(const std::string& name) {
  // All symbols now: a library with a missing dependency must fail here, not in the middle of a transfer.
  if (void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return SharedLibrary(handle, name);
  const char* words = ::dlerror();
  return fail(Code::not_found, "loading {}: {}; install it or set LD_LIBRARY_PATH to where it is", name,
              words ? words : "no reason given");
}

Result<void*> SharedLibrary::symbol(const char* name) const {
  if (!handle_) return fail(Code::not_initialized, "looking up {}: no library is open", name);
  ::dlerror();
  if (void* found = ::dlsym(handle_, name)) return found;
  const char* words = ::dlerror();
  return fail(Code::not_found, "looking up {} in {}: {}; a newer version may have it", name, name_,
              words ? words : "it is null");
}

}  // namespace gpuio
