#include "capi/context.hpp"

#include <atomic>

#include "engines/file/file.hpp"
#include "engines/memory/memory.hpp"

namespace gpuio::capi {

std::uintptr_t next_handle() {
  static std::atomic<std::uintptr_t> last{0};  // relaxed: only has to be unique
  // Multiples of 16, as an allocator would give: clients may keep a flag in the low bits.
  return (last.fetch_add(1, std::memory_order_relaxed) + 1) * 16;
}

Result<std::shared_ptr<Context>> Context::create(Config config) {
  auto context = std::make_shared<Context>(std::move(config));
  auto file = io::make_file_engine({.direct = context->config.direct_io != DirectIo::never});
  if (!file) return fail(std::move(file).error());
  if (Status s = context->registry.add({"file", "local", "localio"}, std::move(*file)); !s)
    return fail(std::move(s));
  if (Status s = context->registry.add({"mem", "memio"}, io::make_memory_engine()); !s)
    return fail(std::move(s));
  return context;
}

}  // namespace gpuio::capi
