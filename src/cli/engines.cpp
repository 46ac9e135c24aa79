#include "cli/engines.hpp"

#include "engines/file/file.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::cli {

std::vector<EngineEntry> engine_entries() {
  auto file = io::make_file_engine({});
  return {{"file", "a path, file:// local:// localio://", file ? "" : file.error().message()},
          {"memory", "mem:// memio://", ""}};
}

Result<std::unique_ptr<io::Registry>> make_registry() {
  auto registry = std::make_unique<io::Registry>();
  auto file = io::make_file_engine({});
  if (!file) return fail(std::move(file).error());
  if (Status s = registry->add({"file", "local", "localio"}, std::move(*file)); !s) return fail(std::move(s));
  if (Status s = registry->add({"mem", "memio"}, io::make_memory_engine()); !s) return fail(std::move(s));
  return registry;
}

}  // namespace gpuio::cli
