// The engines of this build: the registry that `demo` opens URIs with, and what `info` lists.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/registry.hpp"

namespace gpuio::cli {

struct EngineEntry {
  std::string name;
  std::string schemes;  // as URIs begin
  std::string reason;   // why it is not there; empty when it is
};
std::vector<EngineEntry> engine_entries();

Result<std::unique_ptr<io::Registry>> make_registry();

}  // namespace gpuio::cli
