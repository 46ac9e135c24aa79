// What natively executed lanes know of the page directory: one for a launch, its address the argument after
// the kernel's own. Threading: read only. Lifetime: until the kernel has ended; it names memory that lives as
// long.
#pragma once

#include <gpuio/kernel/native/pins.hpp>

namespace gpuio::kernel::native {

// Native code that a client compiled is held to it: the layout of PageTable and of the words that it names,
// and the steps that lanes take in them.
inline constexpr device::u32 kPageTableVersion = 3;

struct PageTable {
  device::u32 version = kPageTableVersion;  // first, in every version
  device::Words words;
  device::u32 page_shift = 16;   // log2 of the bytes of a page
  device::u32 out_of_range = 1;  // status of an index past the end
  PinTables* pins = nullptr;     // shared by all workers
  device::u32 ahead_max = 0;     // pages a worker that reads in order may ask for before it needs them
  device::Native::Bringer bringer = {};  // of pages at hand, by any worker; without, the service brings all
};

}  // namespace gpuio::kernel::native
