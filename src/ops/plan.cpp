#include "ops/plan.hpp"

namespace gpuio::ops {

Result<std::uint64_t> Workspace::at_least(gpu::Device& device, std::uint64_t bytes) {
  std::scoped_lock hold(mutex_);
  if (buffers_.empty() || buffers_.back()->size() < bytes) {
    // Twice what there was: all together are less than twice the largest.
    const std::uint64_t before = buffers_.empty() ? std::uint64_t{1} << 15 : buffers_.back()->size();
    auto made = device.allocate(gpu::MemoryKind::device, std::max(bytes, 2 * before));
    if (!made) return fail(std::move(made).error().wrap(fmt::format("{} bytes between kernels", bytes)));
    buffers_.push_back(std::move(*made));
  }
  return buffers_.back()->address();
}

Status Plan::run(gpu::Stream& queue) const {
  for (const Step& step : steps_)
    if (Status s = queue.launch(*step.kernel, step.grid, std::span(step.arguments).first(step.count)); !s)
      return s;
  return {};
}

}  // namespace gpuio::ops
