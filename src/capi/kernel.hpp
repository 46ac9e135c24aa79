// A kernel, as a client holds it: its IR, the native code that the client has for the CPU, and what devices
// made of it.
//
// A device gets its form when the kernel is first launched there. What was launched must outlive its launch,
// so a kernel that is destroyed is kept until the streams that it was given to have come to rest. Threading:
// any. Lifetime: devices outlive kernels, and streams end before them.
#pragma once

#include <gpuio/gpuio_kernel.h>
#include <gpuio/kernel/ir.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "capi/handles.hpp"
#include "capi/in_flight.hpp"
#include "capi/stream.hpp"
#include "gpu/device.hpp"

namespace gpuio::capi {

class Kernel {
 public:
  static Result<std::shared_ptr<Kernel>> read(std::span<const std::byte> ir);

  kernel::View view() const { return program_.view(); }
  bool on_demand() const;
  // What the device runs; stays good while this kernel lives.
  Result<std::shared_ptr<gpu::Kernel>> on(gpu::Device& device);
  void set_native(gpuio_native_fn_t native);

  // `stream` may still run it.
  void given_to(const std::shared_ptr<Stream>& stream);
  bool in_use();

  InFlight runs;  // that block

 private:
  Kernel() = default;

  std::vector<kernel::u8> bytes_;  // the program's name lies here
  kernel::Program program_;
  std::mutex mutex_;  // over what follows
  gpuio_native_fn_t native_ = nullptr;
  std::map<gpu::Device*, std::shared_ptr<gpu::Kernel>> loaded_;
  std::vector<std::shared_ptr<gpu::Kernel>> replaced_;  // may still run
  std::vector<std::weak_ptr<Stream>> streams_;
};

// The kernels of a context.
class Kernels {
 public:
  Table<Kernel, gpuio_kernel_t> table{"kernel"};

  // Frees it once nothing runs it.
  void retire(std::shared_ptr<Kernel> kernel);

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Kernel>> retired_;
};

}  // namespace gpuio::capi
