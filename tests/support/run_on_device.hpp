// Runs a kernel on a device with what its parameters refer to, and reads the buffers back.
#pragma once

#include <gpuio/kernel/random_program.hpp>

#include "launch/compile.hpp"

namespace gpuio::test_kernels {

inline Status run_on(gpu::Device& device, const kernel::View& kernel, std::array<std::uint32_t, 3> grid,
                     kernel::RandomData& data, std::uint64_t timeout_ns = 60'000'000'000) {
  auto loaded = launch::load(device, kernel);
  if (!loaded) return loaded.error();
  auto stream = device.stream();
  if (!stream) return stream.error();
  std::vector<std::unique_ptr<gpu::Buffer>> buffers;
  std::vector<gpu::Argument> arguments;
  for (std::size_t p = 0; p < data.bits.size(); ++p) {
    buffers.push_back(nullptr);
    arguments.push_back({data.bits[p], 0});
    if (data.bytes[p].empty()) continue;
    auto buffer = device.allocate(gpu::MemoryKind::device, data.bytes[p].size());
    if (!buffer) return buffer.error();
    buffers.back() = std::move(*buffer);
    arguments.back() = gpu::Argument::buffer(*buffers.back(), kernel::size_of(kernel.params[p].type));
    if (Status s = (*stream)->upload(*buffers.back(), 0, data.bytes[p]); !s) return s;
  }
  if (Status s = (*stream)->launch(**loaded, {.groups = grid}, arguments); !s) return s;
  for (std::size_t p = 0; p < buffers.size(); ++p)
    if (buffers[p] != nullptr)
      if (Status s = (*stream)->download(data.bytes[p], *buffers[p], 0); !s) return s;
  return (*stream)->wait((*stream)->last(), timeout_ns);
}

}  // namespace gpuio::test_kernels
