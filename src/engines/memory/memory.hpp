// The memory engine: `mem://NAME?size=64MiB&limit=1GiB` is that much zeroed memory, shared by all that open
// the same name through the same engine for as long as one of them is open; `mem://?size=…` without a name is
// private.
//
// Writing past `size` grows it, up to `limit` (default: the larger of size and 64 MiB); the address never
// moves, so Target::address stays good. The memory is a memfd, which drivers can import. Threads: the engine
// and its targets, any; a queue, one at a time. Operations are copies, done in poll. Errors: NOT_FOUND for a
// name that nobody has open and that gives no size; NOMEM for more than the machine has.
//
//   auto engine = make_memory_engine();
//   auto target = engine->open(*Uri::parse("mem://pool?size=64MiB"), io::kRead | io::kWrite);
#pragma once

#include <memory>

#include "io/engine.hpp"

namespace gpuio::io {

std::unique_ptr<Engine> make_memory_engine();

}  // namespace gpuio::io
