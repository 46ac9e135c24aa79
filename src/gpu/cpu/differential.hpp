// For tests: runs a kernel's Native over a grid, as the device would, on copies of the interpreter's data.
#pragma once

#include <gpuio/kernel/random_program.hpp>

#include <algorithm>
#include <memory>

#include "gpu/device.hpp"

namespace gpuio::gpu::cpu {

// Buffers are aligned for any access, which the interpreter's byte vectors need not be.
class AlignedData {
 public:
  explicit AlignedData(const kernel::RandomData& data) {
    for (std::size_t i = 0; i < data.bits.size(); ++i) {
      buffers_.emplace_back((data.bytes[i].size() + 7) / 8 + 1);
      std::ranges::copy(data.bytes[i], reinterpret_cast<std::byte*>(buffers_.back().data()));
    }
  }
  std::byte* data(std::size_t parameter) { return reinterpret_cast<std::byte*>(buffers_[parameter].data()); }
  void copy_to(kernel::RandomData& data) {
    for (std::size_t i = 0; i < data.bits.size(); ++i)
      std::copy_n(this->data(i), data.bytes[i].size(), data.bytes[i].data());
  }

 private:
  std::vector<std::vector<std::uint64_t>> buffers_;
};

inline Status run_grid(const Native& native, const kernel::View& kernel, std::array<std::uint32_t, 3> grid,
                       kernel::RandomData& data) {
  AlignedData aligned(data);
  std::vector<Argument> arguments;
  for (std::size_t i = 0; i < data.bits.size(); ++i) {
    const kernel::Param& p = kernel.params[i];
    if (p.kind == kernel::ParamKind::scalar) arguments.push_back({data.bits[i], 0});
    else
      arguments.push_back(
          {reinterpret_cast<std::uintptr_t>(aligned.data(i)), data.bytes[i].size() / size_of(p.type)});
  }
  std::vector<std::uint64_t> shared(shared_bytes(kernel) / 8 + 1, 0xa5a5a5a5a5a5a5a5);
  Status status;
  for (std::uint32_t z = 0; z < grid[2] && status; ++z)
    for (std::uint32_t y = 0; y < grid[1] && status; ++y)
      for (std::uint32_t x = 0; x < grid[0] && status; ++x) {
        std::ranges::fill(shared, 0xa5a5a5a5a5a5a5a5);
        status = native.run({.arguments = arguments,
                             .group = {x, y, z},
                             .groups = grid,
                             .shared = std::as_writable_bytes(std::span(shared)).first(shared_bytes(kernel)),
                             .data = native.data.get()});
      }
  aligned.copy_to(data);
  return status;
}

}  // namespace gpuio::gpu::cpu
