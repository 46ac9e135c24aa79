#include "base/platform/file.hpp"

#include <filesystem>

namespace gpuio {

TemporaryDirectory::~TemporaryDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace gpuio
