#include "base/platform/shared_library.hpp"

#include <windows.h>

#include "base/platform/windows/error.hpp"

namespace gpuio {

SharedLibrary& SharedLibrary::operator=(SharedLibrary&& other) noexcept {
  if (this != &other) {
    if (handle_) ::FreeLibrary(static_cast<HMODULE>(handle_));
    handle_ = std::exchange(other.handle_, nullptr);
    name_ = std::move(other.name_);
  }
  return *this;
}

SharedLibrary::~SharedLibrary() {
  if (handle_) ::FreeLibrary(static_cast<HMODULE>(handle_));
}

Result<SharedLibrary> SharedLibrary::open(const std::string& name) {
  // No box on the screen for a library that is not there.
  const UINT before = ::SetErrorMode(SEM_FAILCRITICALERRORS);
  const HMODULE handle = ::LoadLibraryA(name.c_str());
  const DWORD number = ::GetLastError();
  ::SetErrorMode(before);
  if (handle) return SharedLibrary(static_cast<void*>(handle), name);
  return fail(Code::not_found, "{}; install it or add its folder to PATH",
              windows_error(number, "loading " + name).message());
}

Result<void*> SharedLibrary::symbol(const char* name) const {
  if (!handle_) return fail(Code::not_initialized, "looking up {}: no library is open", name);
  if (const FARPROC found = ::GetProcAddress(static_cast<HMODULE>(handle_), name))
    return reinterpret_cast<void*>(found);
  return fail(Code::not_found,
              "looking up {} in {}: it is not there (Windows error {}); a newer version may have it", name,
              name_, ::GetLastError());
}

}  // namespace gpuio
