// The waiting way: lowers a kernel's on-demand loads to the page directory's own steps and names the
// arguments that the lowered kernel takes. Internal to src/paging; arrays.hpp has the interface.
#pragma once

#include <gpuio/kernel/access.hpp>
#include <gpuio/kernel/ir.hpp>

#include <span>
#include <vector>

#include "gpu/device.hpp"
#include "paging/cache.hpp"

namespace gpuio::paging {

struct Waiting {
  kernel::Program program;
  kernel::HiddenParameters hidden;
};
Waiting lower_waiting(const kernel::View& kernel, const Cache& cache);

// What the lowered kernel takes; `arguments`: of the kernel as it was written.
std::vector<gpu::Argument> waiting_arguments(const kernel::HiddenParameters& hidden,
                                             std::span<const gpu::Argument> arguments, Cache& cache);

}  // namespace gpuio::paging
