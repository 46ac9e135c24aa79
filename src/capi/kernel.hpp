// A kernel, as a client holds it: what was read of its file, the native code that the client has for the CPU,
// and what devices made of it.
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
#include "launch/module.hpp"

namespace gpuio::capi {

class Kernel {
 public:
  static Result<std::shared_ptr<Kernel>> read(std::span<const std::byte> bytes,
                                              const launch::ModuleOptions& options);

  const launch::Module& module() const { return *module_; }
  // What the device runs; stays good while this kernel lives.
  Result<std::shared_ptr<launch::Loaded>> on(gpu::Device& device);
  // UNSUPPORTED for what has no IR.
  Status set_native(gpuio_native_fn_t function);
  gpu::Native native();  // what was set, if anything was

  // `stream` may still run it.
  void given_to(const std::shared_ptr<Stream>& stream);
  bool in_use();

  InFlight runs;  // that block

 private:
  Kernel() = default;

  std::shared_ptr<const launch::Module> module_;
  std::mutex mutex_;  // over what follows
  gpu::Native native_;
  std::map<gpu::Device*, std::shared_ptr<launch::Loaded>> loaded_;
  std::vector<std::shared_ptr<launch::Loaded>> replaced_;  // may still run
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
