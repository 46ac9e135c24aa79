#include "paging/waiting.hpp"

#include <bit>

namespace gpuio::paging {

Waiting lower_waiting(const kernel::View& kernel, const Cache& cache) {
  kernel::DirectoryAccess access({.page_shift = std::uint32_t(std::countr_zero(cache.page_bytes())),
                                  .out_of_range = std::uint32_t(-int(Code::invalid_address)),
                                  .timed_out = std::uint32_t(-int(Code::timeout))});
  kernel::Program program = kernel::lower_access(kernel, access);
  return {std::move(program), access.hidden()};
}

std::vector<gpu::Argument> waiting_arguments(const kernel::HiddenParameters& hidden,
                                             std::span<const gpu::Argument> arguments, Cache& cache) {
  std::vector<gpu::Argument> out(arguments.begin(), arguments.end());
  const auto set = [&](std::uint32_t parameter, gpu::Argument value) {
    if (out.size() <= parameter) out.resize(parameter + 1);
    out[parameter] = value;
  };
  const auto& o = hidden.objects;
  const std::uint64_t sides_at = cache.sides_offset();
  set(o.directory, {cache.directory().address(), sides_at / 8});
  set(o.sides, {cache.directory().address() + sides_at, (cache.directory().size() - sides_at) / 4});
  set(o.requests, gpu::Argument::buffer(cache.requests(), 8));
  set(o.answers, gpu::Argument::buffer(cache.answers(), 8));
  set(o.buckets, {cache.buckets(), 0});
  set(o.mailboxes, {cache.mailboxes(), 0});
  set(o.budget, {~std::uint32_t{0}, 0});  // the abort word ends every wait
  for (const auto& [array, first_page] : hidden.first_page) set(first_page, {arguments[array].value, 0});
  for (const auto& [type, frames] : hidden.frames_as)
    set(frames, gpu::Argument::buffer(cache.frame_memory(), kernel::size_of(type)));
  return out;
}

}  // namespace gpuio::paging
