// The CUDA device: NVIDIA GPUs through the driver that is installed, found at run time.
//
// Kernels come as PTX, which the driver compiles for the GPU when they are loaded (never at a launch).
// Operations of a stream are the driver's own; each is followed by an event, its point. At most 512 points of
// a stream are open at once, then enqueuing answers BUSY. Bytes to and from ordinary host memory go through
// pinned memory that the stream has from the start, so nothing is allocated and nothing waits while a kernel
// runs; likewise what would make the driver wait for running kernels (releasing pinned memory, unloading
// code) is put off until no work is open.
//
// A kernel that fails (illegal address) takes its context with it: the device is lost, for this process's
// other users of the primary context too.
//
//   if (auto found = cuda::probe(); found.devices.empty()) puts(found.reason.c_str());
//   auto device = *cuda::open({.ordinal = 0});
#pragma once

#include "gpu/device.hpp"

namespace gpuio::gpu::cuda {

inline constexpr const char* kLibrary = "libcuda.so.1";

struct Options {
  int ordinal = 0;
  Mask mask{};
  // How long the end of a stream waits for a kernel that does not return, before the device is lost.
  std::uint64_t drain_timeout_ns = 60'000'000'000;
  std::string library = kLibrary;  // another one in tests
};

Probe probe(const std::string& library = kLibrary);
Result<std::unique_ptr<Device>> open(const Options& options);

}  // namespace gpuio::gpu::cuda
