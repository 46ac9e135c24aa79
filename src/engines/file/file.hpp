// The file engine: files and block devices of this machine, through io_uring, and through plain reads on a
// few threads where io_uring is refused.
//
// What it does with a read of a target that was not opened for direct IO: pages that are in the page cache
// are copied at once, with one plain read (measured faster than a ring); what is missing goes to the ring,
// past the page cache when the file is too large for caching it to pay. A target opened with kDirect uses
// O_DIRECT for whatever is aligned and ordinary IO for the edges; where the file system refuses O_DIRECT,
// ordinary IO. TargetInfo says which (route) and why not a better one (reason).
//
// Small writes of whole pages are copied into the page cache at once as well; when the system holds a writer
// back, the next ones go to the ring: submit has then waited once, for as long as that write took.
//
// A URI may say `?direct=true` or `false`, which wins over the flag.
//
// Threads: the engine and its targets, any; a queue, one at a time. A queue keeps a closed file's descriptor
// until it is next used. Errors: see io/engine.hpp; directories, pipes and sockets are INVALID_ARG.
//
//   auto engine = make_file_engine({});
//   auto target = engine->open(*Uri::parse("local:///data/a.bin"), io::kRead);
#pragma once

#include <memory>

#include "io/engine.hpp"

namespace gpuio::io {

// Everything on is the fast way; tests turn things off one by one.
struct FileOptions {
  bool uring = true;       // off: as if the kernel had refused io_uring
  bool page_cache = true;  // copy resident pages with plain reads before asking the ring
  bool registered = true;  // register files and memory with the ring
  bool direct = true;      // off: as if every file system had refused O_DIRECT
  std::uint64_t direct_above_bytes =
      0;                      // missing pages of files larger than this bypass the cache; 0: half of memory
  std::uint32_t workers = 2;  // threads of each queue where io_uring is refused
};

Result<std::unique_ptr<Engine>> make_file_engine(const FileOptions& options);

}  // namespace gpuio::io
