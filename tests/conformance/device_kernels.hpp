// Kernels that the device conformance suite launches, built with the Builder so that every back end can take
// them. Parameters in the order of the arguments named.
#pragma once

#include <gpuio/kernel/builder.hpp>

namespace gpuio::conformance {

using kernel::Program;
using kernel::u32;

Program nothing();                                     // ()
Program write_global_index(std::array<u32, 3> block);  // (out u32[]): out[i] = i for every lane of the grid
Program add_to_each();                                 // (data u32[], amount u32)
Program scale_then_add();                              // (data u32[]): data[i] = data[i] * 3 + 1
Program copy_arguments(u32 scalars);                   // (out u64[], scalars...): out[k] = scalar k as u64
Program reverse_in_shared(u32 lanes, u32 words);  // (in u32[], out u32[]), `words` >= lanes of shared memory
Program block_sum(u32 lanes);                     // (in u32[], out u32[]): out[group] = sum of its lanes
Program count_lanes();                            // (counter u32[1])
Program write_subgroup_size();                    // (out u32[1])
Program busy(u32 lanes);                          // (out u32[], rounds u32): a long dependent chain
Program handshake();                              // (flags u32[2]): flags[0] = 1, waits for flags[1] != 0

// What `copy_arguments` expects for slot k: the type cycles over u32 i32 u64 f32 f64.
std::uint64_t argument_bits(u32 k);
// What `busy` writes in lane i.
u32 busy_result(u32 lane, u32 rounds);

}  // namespace gpuio::conformance
