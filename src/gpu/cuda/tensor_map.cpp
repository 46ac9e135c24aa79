#include "gpu/cuda/tensor_map.hpp"

#include <bit>

namespace gpuio::gpu::cuda {
namespace {

struct Matrix {
  std::uint64_t address, length;  // of the buffer, in elements
  std::uint64_t rows, columns, step;
};

// As kernel/boxes.hpp asks of every device, and the address.
std::string_view wrong(const Matrix& m, std::uint64_t size) {
  constexpr std::uint64_t kMost = 0xffffffff;
  if (m.address % 16 != 0) return "the buffer is to begin at a multiple of 16 bytes";
  if (m.rows == 0 || m.columns == 0 || m.rows > kMost || m.columns > kMost)
    return "it is to have 1 to 2^32 - 1 rows and columns";
  if (m.step < m.columns || m.step >= (std::uint64_t{1} << 40) / size || m.step * size % 16 != 0)
    return "its rows are to be a multiple of 16 bytes apart, at least a row and below 2^40 bytes";
  if (m.columns > m.length || m.rows - 1 > (m.length - m.columns) / m.step)
    return "it is longer than the buffer";
  return {};
}

}  // namespace

Status encode(const Driver& driver, const TensorSlots& map, std::span<const Argument> arguments,
              CUtensorMap& out) {
  const Argument& buffer = arguments[map.buffer];
  const Matrix m{buffer.value, buffer.count, arguments[map.rows].value, arguments[map.columns].value,
                 arguments[map.step].value};
  const auto what = [&] {
    return fmt::format(
        "tensor map of parameter {}: a matrix of {} x {} elements of {} bytes, {} from row to row, at {:#x} "
        "in "
        "a buffer of {}, by boxes of {} rows of {} bytes",
        map.buffer, m.rows, m.columns, map.element_bytes, m.step, m.address, m.length, map.box_rows,
        map.box_bytes);
  };
  if (const std::string_view why = wrong(m, map.element_bytes); !why.empty())
    return error(Code::invalid_arg, "{}: {}", what(), why);
  constexpr int kTypes[] = {kTensorOfU8, kTensorOfU16, kTensorOfU32, kTensorOfU64};
  // The inner dimension first; each row of a box is as long as the pattern, 1 to 3 for 32 to 128 bytes.
  const std::uint64_t sizes[] = {m.columns, m.rows}, steps[] = {m.step * map.element_bytes};
  const std::uint32_t box[] = {map.box_bytes / map.element_bytes, map.box_rows}, element_steps[] = {1, 1};
  const int r = driver.cuTensorMapEncodeTiled(
      &out, kTypes[std::countr_zero(map.element_bytes)], 2, reinterpret_cast<void*>(m.address), sizes, steps,
      box, element_steps, 0, std::countr_zero(map.box_bytes) - 4, kTensorPromoteTo128Bytes, 0);
  return r == kSuccess ? Status{} : driver.status(r, "cuTensorMapEncodeTiled").wrap(what());
}

}  // namespace gpuio::gpu::cuda
