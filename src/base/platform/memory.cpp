#include "base/platform/memory.hpp"

namespace gpuio {

VirtualMemory::VirtualMemory(VirtualMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Status VirtualMemory::check_range(size_t offset, size_t size, const char* verb) const {
  if (offset % page_bytes() || size % page_bytes())
    return error(Code::invalid_arg, "{} {} bytes at {}: both must be multiples of the page, {} bytes", verb,
                 size, offset, page_bytes());
  if (offset > size_ || size > size_ - offset)
    return error(Code::invalid_arg, "{} {} bytes at {}: the reservation has {} bytes", verb, size, offset,
                 size_);
  return {};
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      page_(std::exchange(other.page_, 0)),
      native_(std::exchange(other.native_, -1)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  if (this != &other) {
    release();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    page_ = std::exchange(other.page_, 0);
    native_ = std::exchange(other.native_, -1);
  }
  return *this;
}

SharedMemory::~SharedMemory() { release(); }

}  // namespace gpuio
