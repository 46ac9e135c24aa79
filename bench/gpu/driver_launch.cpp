#include <gpuio/kernel/ptx.hpp>

#include "base/clock.hpp"
#include "bench/gpu/kernels.hpp"
#include "bench/gpu/setup.hpp"
#include "bench/report.hpp"
#include "gpu/cuda/cuda.hpp"
#include "gpu/cuda/driver.hpp"

namespace gpuio::bench {

double cuda_driver_launch(std::uint32_t launches) {
  using namespace gpu::cuda;
  static const auto driver = Driver::load(kLibrary);
  if (!driver) return -1;
  const Driver& d = **driver;
  const auto must = [&](int r, const char* what) {
    if (r != kSuccess) die(d.status(r, what).message());
  };
  std::string text;
  if (!ptx_to(text, nothing.view(), {}).ok()) die("no PTX of an empty kernel");
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  CUstream stream = nullptr;
  must(d.cuDeviceGet(&device, 0), "cuDeviceGet");
  must(d.cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
  must(d.cuCtxPushCurrent(context), "cuCtxPushCurrent");
  must(d.cuModuleLoadDataEx(&module, text.c_str(), 0, nullptr, nullptr), "cuModuleLoadDataEx");
  must(d.cuModuleGetFunction(&function, module, "nothing"), "cuModuleGetFunction");
  must(d.cuStreamCreate(&stream, kStreamNonBlocking), "cuStreamCreate");
  const auto launch = [&] {
    must(d.cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, nullptr, nullptr), "cuLaunchKernel");
  };
  launch();
  must(d.cuStreamSynchronize(stream), "cuStreamSynchronize");
  const std::uint64_t from = SteadyClock().now_ns();
  for (std::uint32_t i = 0; i < launches; ++i) launch();
  const std::uint64_t spent = SteadyClock().now_ns() - from;
  must(d.cuStreamSynchronize(stream), "cuStreamSynchronize");
  d.cuStreamDestroy(stream);
  d.cuModuleUnload(module);
  CUcontext popped = nullptr;
  d.cuCtxPopCurrent(&popped);
  d.cuDevicePrimaryCtxRelease(device);
  return double(spent) / 1e9 / launches;
}

}  // namespace gpuio::bench
