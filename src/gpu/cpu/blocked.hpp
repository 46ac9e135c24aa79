// Runs any kernel on the CPU device without compiling it: each instruction over the whole workgroup at once.
//
// What is known before a launch is decided once: which values are the same for all lanes (computed once, not
// per lane), where each value lives (registers are reused, so that a kernel's live values stay in cache), and
// which loop over lanes, made for one operation and one type, runs each instruction. Lanes that diverge are
// masked. The lanes of a workgroup move in lock step, so barriers cost nothing; a lane may wait in a loop for
// the host or for a lane that loops with it, never for one that has left the loop. Kernels with mbarriers run
// in parts of 32 lanes, of 128 where warpgroups multiply: each goes on until it has to wait, so that lanes of
// different parts may wait for each other. A wait that nobody can end is an error with its line.
//
// Semantics are those of kernel/semantics.hpp; an index out of range or a barrier that not all lanes reach
// ends the launch with an error that names the line. Atomics are the host's own, with the order given.
// Loops that poll give way to other threads of the host.
//
//   Result<Native> native = make_blocked(kernel);   // keeps what it needs of the kernel
#pragma once

#include <gpuio/kernel/ir.hpp>

#include "gpu/device.hpp"

namespace gpuio::gpu::cpu {

struct BlockedOptions {
  // A power of two, at most 64. A kernel with matrix operations has 32, whatever is asked.
  std::uint32_t subgroup_size = 8;
};

// The kernel must be well formed and free of on-demand accesses (UNSUPPORTED: they are lowered first).
Result<Native> make_blocked(const kernel::View& kernel, const BlockedOptions& options = {});

}  // namespace gpuio::gpu::cpu
