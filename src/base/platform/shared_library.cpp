#include "base/platform/shared_library.hpp"

namespace gpuio {

Result<SharedLibrary> SharedLibrary::open_first(std::initializer_list<const char*> names) {
  std::string tried;
  for (const char* name : names) {
    auto library = open(name);
    if (library) return library;
    tried += (tried.empty() ? "" : "\n  ") + library.error().message();
  }
  return fail(Code::not_found, "{}", tried.empty() ? "loading a library: no name was given" : tried);
}

}  // namespace gpuio
