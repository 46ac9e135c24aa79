// The CPU device: the reference of the device contract, and what runs kernels where there is no GPU.
//
// A stream is one host thread that runs its operations in order. A launch's workgroups are shared out between
// that thread and a pool of threads that all streams of the device use. So a kernel may wait for the host: it
// holds the threads its waiting groups run on, but never another stream, which has its own thread and gets on
// with its copies and launches even while every pool thread waits. A thread runs several groups of a launch
// one after the other: groups may wait for the host, never for each other (as on a GPU).
//
// Memory is real: `allocate` makes the pages present or answers NOMEM at once, looking at what the machine
// and the control groups above this process have left. Addresses of kernels are host addresses, for device
// memory too.
//
//   auto device = *gpu::cpu::open({.threads = 2});
#pragma once

#include "gpu/device.hpp"

namespace gpuio::gpu::cpu {

struct Options {
  unsigned threads = 0;  // that run workgroups at once, a stream's own among them; 0: the CPUs we may use
  Mask mask{};
  // How long the end of a stream waits for a kernel that does not return, before the device is lost.
  std::uint64_t drain_timeout_ns = 60'000'000'000;
};

Probe probe();  // one device, always
Result<std::unique_ptr<Device>> open(const Options& options);

}  // namespace gpuio::gpu::cpu
