#include <unistd.h>

#include <filesystem>

#include "engines/file/file.hpp"
#include "engines/layers/fault/fault.hpp"
#include "engines/memory/memory.hpp"
#include "tests/conformance/engine_conformance.hpp"

namespace gpuio::io::conformance {
namespace {

using Make = std::function<Result<std::unique_ptr<Engine>>()>;

Make memory() {
  return []() -> Result<std::unique_ptr<Engine>> { return make_memory_engine(); };
}
Make file(FileOptions options) {
  return [=] { return make_file_engine(options); };
}
Make fault(Make inner, FaultOptions options) {
  return [=]() -> Result<std::unique_ptr<Engine>> {
    auto engine = inner();
    if (!engine) return engine;
    return std::make_unique<FaultEngine>(std::move(*engine), options);
  };
}

}  // namespace

std::vector<Subject> subjects() {
  const std::string in_memory = "mem://{}?size=1048576&limit=4194304";
  // In the build tree: a real file system that takes direct IO, where /tmp may be memory.
  const auto directory = std::filesystem::current_path() / ("conformance-" + std::to_string(::getpid()));
  const std::string on_disk = "local://" + directory.string() + "/{}";
  const FaultOptions late{.seed = 3, .refuse_rate = 0.1, .delay_polls_max = 4, .reorder = true};
  FaultOptions broken = late;
  broken.error_rate = 0.1;
  broken.short_rate = 0.2;
  return {
      {.name = "memory", .make = memory(), .uri = in_memory, .keeps_closed = false},
      {.name = "file_uring", .make = file({}), .uri = on_disk, .route = "io_uring"},
      {.name = "file_uring_no_page_cache",
       .make = file({.page_cache = false}),
       .uri = on_disk,
       .route = "io_uring"},
      {.name = "file_uring_unregistered",
       .make = file({.page_cache = false, .registered = false}),
       .uri = on_disk,
       .route = "io_uring"},
      {.name = "file_uring_direct", .make = file({}), .uri = on_disk, .flags = kDirect, .route = "O_DIRECT"},
      {.name = "file_uring_direct_refused",
       .make = file({.direct = false}),
       .uri = on_disk,
       .flags = kDirect,
       .route = "io_uring"},
      {.name = "file_uring_too_large_to_cache",
       .make = file({.page_cache = false, .direct_above_bytes = 1}),
       .uri = on_disk,
       .size_before = 8192,
       .route = "O_DIRECT"},
      {.name = "file_threads", .make = file({.uring = false}), .uri = on_disk},
      {.name = "file_threads_direct",
       .make = file({.uring = false}),
       .uri = on_disk,
       .flags = kDirect,
       .route = "O_DIRECT"},
      {.name = "late_memory", .make = fault(memory(), late), .uri = in_memory, .keeps_closed = false},
      {.name = "late_file", .make = fault(file({}), late), .uri = on_disk},
      {.name = "failing_memory",
       .make = fault(memory(), broken),
       .uri = in_memory,
       .failing = true,
       .keeps_closed = false},
      {.name = "failing_file", .make = fault(file({}), broken), .uri = on_disk, .failing = true},
  };
}

}  // namespace gpuio::io::conformance
