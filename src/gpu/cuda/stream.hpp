// A stream of the CUDA device: the driver's stream, an event a point, and the pinned memory through which
// ordinary host memory is read and written.
#pragma once

#include <deque>
#include <vector>

#include "gpu/cuda/core.hpp"
#include "gpu/shader.hpp"

namespace gpuio::gpu::cuda {

// A kernel takes 4 KiB of parameters on every GPU.
inline constexpr std::size_t kParameterBytesMax = 4096,
                             kTensorsMax = kParameterBytesMax / sizeof(CUtensorMap) - 1;

struct CudaKernel final : Kernel {
  ~CudaKernel() override;
  std::shared_ptr<Core> core;
  std::string name;
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  std::array<std::uint32_t, 3> block{1, 1, 1};
  std::uint32_t parameters = 0;
  std::uint32_t shared_bytes = 0;    // that a launch adds to what the text declares
  bool separate = false;             // its parameters are its own, not one block of slots
  std::vector<TensorSlots> tensors;  // parameters behind the block, at most kTensorsMax
};

// Pinned memory handed out front to back and given back in the same order, each piece once its point is
// reached.
class Ring {
 public:
  void use(std::byte* memory, std::size_t size) { memory_ = memory, size_ = size; }
  std::byte* take(std::size_t bytes, Point until);  // null when there is no room now
  void reached(Point point);

 private:
  struct Piece {
    std::size_t end;
    Point until;
  };
  std::byte* memory_ = nullptr;
  std::size_t size_ = 0, head_ = 0, tail_ = 0;  // [tail_, head_) is in use; it may wrap
  std::deque<Piece> pieces_;
};

class CudaStream final : public Stream, public ShaderStream {
 public:
  static Result<std::unique_ptr<Stream>> create(std::shared_ptr<Core> core, Capability timestamps);
  ~CudaStream() override;

  Status launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) override;
  Status launch_shader(const Kernel& kernel, const Grid& grid, const ShaderArguments& arguments) override;
  Status copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
              std::uint64_t size) override;
  Status upload(Buffer& to, std::uint64_t offset, std::span<const std::byte> from) override;
  Status download(std::span<std::byte> to, const Buffer& from, std::uint64_t offset) override;
  Status fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) override;
  Status after(const Stream& other, Point point) override;
  Result<Point> stamp() override;
  Point last() const override { return last_; }
  Result<bool> reached(Point point) const override;
  Status wait(Point point, std::uint64_t timeout_ns) override;
  Result<double> elapsed_ms(Point from, Point to) override;

 private:
  struct Open {  // a point not known to be reached
    Point point;
    CUevent event;
    bool stamp;  // whose event is kept in stamps_
  };
  struct Stamp {
    Point point;
    CUevent event;
  };
  struct HostCopy {  // run by the driver in the stream's order
    std::byte* to;
    const std::byte* from;
    std::size_t bytes;
  };
  struct Job {  // host copies and the bytes they read, until the point is reached
    Point until;
    std::unique_ptr<std::byte[]> bytes;
    std::vector<HostCopy> copies;
  };

  CudaStream(std::shared_ptr<Core> core, Capability timestamps)
      : core_(std::move(core)), timestamps_(std::move(timestamps)) {}
  const Driver& driver() const { return core_->driver(); }
  // Checked; `parameters` points to as many values as the kernel has parameters. prepare() fills them, once
  // the context is current.
  template <class F>
  Status launch(const CudaKernel& kernel, const Grid& grid, std::span<void*> parameters, F&& prepare);

  template <class F>
  Status operation(F&& parts, bool stamp = false);
  Status part(int result, const char* what);
  Status poll() const;
  Status known(Point point) const;
  bool drained() const;
  Job& new_job(std::size_t copies);
  Status host_copy(Job& job, std::byte* to, const std::byte* from, std::size_t bytes);
  Status device_copy(CUdeviceptr to, CUdeviceptr from, std::size_t bytes);

  std::shared_ptr<Core> core_;
  Capability timestamps_;
  CUstream stream_ = nullptr;
  std::byte* pinned_ = nullptr;
  std::byte* bounce_ = nullptr;  // part of pinned_, used by one operation of the stream after the other
  Status error_;                 // of an operation that was enqueued in part
  unsigned parts_ = 0;           // of the operation that is being enqueued
  Point last_ = 0;
  // What polling moves on; a const look at a point polls too.
  mutable Point reached_ = 0;
  mutable std::deque<Open> open_;
  mutable std::vector<CUevent> spare_;
  mutable std::deque<Job> jobs_;
  mutable Ring ring_;
  std::deque<Stamp> stamps_;
};

}  // namespace gpuio::gpu::cuda
