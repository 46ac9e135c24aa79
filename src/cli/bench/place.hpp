// Where the cases of `gpuio bench kernels` run: a device, tensors on it, and their elements as the host has
// them.
//
// Threading: one thread. Lifetime: tensors stay until clear(). Errors: what the C interface says.
#pragma once

#include <gpuio/gpuio_ops.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.hpp"

namespace gpuio::cli::bench {

using Shape = std::vector<std::uint64_t>;
using Numbers = std::vector<double>;  // holds the elements of every type used here exactly

Status status_of(gpuio_error_t e);
std::uint64_t count_of(const Shape& shape);
std::string text_of(const Shape& shape);  // "64 x 128"
std::uint64_t bytes_of(const gpuio_tensor_t& t);

class Place {
 public:
  static Result<std::unique_ptr<Place>> open(const std::string& device);
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  gpuio_context_t context() const { return context_; }
  std::string name() const { return info_.name; }
  bool is_gpu() const {
    return info_.vendor != GPUIO_GPU_VENDOR_CPU && info_.vendor != GPUIO_GPU_VENDOR_OTHER;
  }
  Status wait() const { return status_of(gpuio_stream_synchronize(context_, nullptr)); }

  // f32, f16, i8, u8, i32 or u32. `values` are what the type holds exactly, as `drawn` gives them; none:
  // zeros.
  Result<gpuio_tensor_t> tensor(gpuio_dtype_t dtype, const Shape& shape, const Numbers& values = {});
  // Any type, of bytes.
  Result<gpuio_tensor_t> raw(gpuio_dtype_t dtype, const Shape& shape, const std::vector<std::byte>& bytes);
  Result<Numbers> read(const gpuio_tensor_t& t) const;
  void clear();

 private:
  Place() = default;
  gpuio_context_t context_ = nullptr;
  gpuio_device_info_t info_{};
  std::vector<void*> memory_;
};

// Normal numbers rounded to the type, of integers its whole range; the same for the same seed.
Numbers drawn(gpuio_dtype_t dtype, std::uint64_t count, unsigned seed);

// One operation at one size. What is measured is given to the default stream and waited for together.
struct Case {
  double work = 0;  // of one run: arithmetic operations, or bytes read and written
  bool arithmetic = false;
  std::function<gpuio_error_t()> run;
  std::function<Status()> check;  // after the first run: GENERAL says what differs
  std::string peer;
  double peer_work = 0;
  std::function<gpuio_error_t()> peer_run;
};
struct Entry {
  std::string operation, size;
  std::function<Result<Case>(Place&)> make;
};

enum class Size { tiny, small, large };
void add_products(std::vector<Entry>& all, Size size);
void add_rows(std::vector<Entry>& all, Size size);
void add_moves(std::vector<Entry>& all, Size size);

// A copy on the device that reads and writes as much in all, as the case's peer.
Status beside_a_copy(Place& place, Case& c);
// GENERAL names the first element that is further than its bound from what the host has.
Status within(const Numbers& got, const Numbers& want, const Numbers& bound);

}  // namespace gpuio::cli::bench
