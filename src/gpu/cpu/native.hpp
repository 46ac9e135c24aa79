// Makes a kernel's native execution something that the CPU device loads.
//
//   constexpr auto saxpy = kernel::kernel<"saxpy", 256>([](…) {…});
//   KernelCode code{.name = "saxpy", …, .native = cpu::make_native(saxpy)};
#pragma once

#include <gpuio/kernel/native.hpp>

#include "gpu/device.hpp"

namespace gpuio::gpu::cpu {

template <class K>
Native make_native(K) {
  static_assert(sizeof(Argument) == sizeof(kernel::native::Argument));
  return {.run =
              [](const Workgroup& w) {
                kernel::native::run<K>(
                    {.arguments = reinterpret_cast<const kernel::native::Argument*>(w.arguments.data()),
                     .group = w.group,
                     .groups = w.groups,
                     .shared = w.shared.data()});
                return Status();
              },
          .data = {}};
}

}  // namespace gpuio::gpu::cpu
