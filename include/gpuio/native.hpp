// use_native(context, kernel): the CPU device runs this kernel as code that the compiler made, instead of
// interpreting it, where a run may wait for what its on-demand arrays miss; one that yields is interpreted.
// Costs compile time, so it is asked for by kernel. Code of other headers than the library's is refused when
// it is run, with UNSUPPORTED.
//
//   gpuio::use_native(ctx, saxpy);      // once; later runs of saxpy in ctx
#pragma once

#include <gpuio/kernel/native.hpp>
#include <gpuio/run.hpp>

namespace gpuio {

template <detail::FrozenKernel K>
void use_native(const Context& context, K) {
  static_assert(sizeof(gpuio_slot_t) == sizeof(kernel::native::Argument));
  const gpuio_native_fn_t function = [](const gpuio_workgroup_t* w) {
    if constexpr (detail::has_arrays<K>()) {
      const auto table =
          reinterpret_cast<const kernel::native::PageTable*>(w->arguments[w->num_arguments - 1].value);
      if (table->version != kernel::native::kPageTableVersion) return GPUIO_ERROR_UNSUPPORTED;
    }
    kernel::native::run<K>({.arguments = reinterpret_cast<const kernel::native::Argument*>(w->arguments),
                            .group = {w->group[0], w->group[1], w->group[2]},
                            .groups = {w->groups[0], w->groups[1], w->groups[2]},
                            .shared = static_cast<std::byte*>(w->shared)});
    return GPUIO_SUCCESS;
  };
  detail::check(gpuio_kernel_set_native(context.get(), detail::loaded<K>(context), function));
}

}  // namespace gpuio
