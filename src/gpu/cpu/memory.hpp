// Host memory that is really there: how much the process may still take, and pages made present at once.
//
// Linux promises memory that it does not have and kills when the promise falls due. A device must answer
// NOMEM instead, so nothing here is handed out untouched. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.hpp"

namespace gpuio::gpu::cpu {

struct MemoryRoom {
  std::uint64_t total_bytes = 0;      // of the machine, or of the tightest control group above us
  std::uint64_t available_bytes = 0;  // that can be taken without swapping or being killed
};

// Reads /proc/meminfo and the limits of each control group (v1 and v2) above this process. `root` stands in
// for "/" in tests.
Result<MemoryRoom> memory_room(const std::string& root = "/");

// Anonymous pages, zeroed and present, on huge pages where the size allows. Move-only.
class Pages {
 public:
  static Result<Pages> make(std::uint64_t size);
  Pages() = default;
  Pages(Pages&& other) noexcept : data_(other.data_), mapped_(other.mapped_) { other.data_ = nullptr; }
  Pages& operator=(Pages&&) = delete;
  ~Pages();
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::uint64_t mapped_ = 0;
};

}  // namespace gpuio::gpu::cpu
