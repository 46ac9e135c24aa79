#include <stdexcept>

#include "conformance/device_conformance.hpp"
#include "conformance/device_must.hpp"

namespace gpuio::conformance {

gpu::KernelCode describe(const kernel::View& view) {
  gpu::KernelCode code;
  code.name = view.name;
  code.block = view.block;
  code.parameters = std::uint32_t(view.params.size());
  code.shared_bytes = kernel::shared_bytes(view);
  return code;
}

void DeviceConformance::SetUp() {
  auto device = GetParam().open({});
  if (!device) GTEST_SKIP() << GetParam().name << ": " << device.error().message();
  device_ = std::move(*device);
  stream_ = must(device_->stream());
}

std::unique_ptr<gpu::Device> DeviceConformance::open(gpu::Mask mask) { return must(GetParam().open(mask)); }

std::unique_ptr<gpu::Kernel> DeviceConformance::load(const kernel::Program& program) {
  const CompiledKernel compiled = must(GetParam().compile(program.view()));
  return must(device_->load(compiled.code));  // which keeps what it needs: `compiled` ends here
}

std::unique_ptr<gpu::Buffer> DeviceConformance::make(gpu::MemoryKind kind, std::uint64_t size) {
  return must(device_->allocate(kind, size));
}

void DeviceConformance::write(gpu::Buffer& to, std::span<const std::uint32_t> words) {
  must(stream_->upload(to, 0, std::as_bytes(words)));
}

std::vector<std::uint32_t> DeviceConformance::read_words(const gpu::Buffer& from, std::uint64_t count) {
  std::vector<std::uint32_t> words(count);
  must(stream_->download(std::as_writable_bytes(std::span(words)), from, 0));
  finish();
  return words;
}

void DeviceConformance::launch(const gpu::Kernel& kernel, gpu::Grid grid,
                               std::span<const gpu::Argument> arguments) {
  must(stream_->launch(kernel, grid, arguments));
  finish();
}

void DeviceConformance::finish() { must(stream_->wait(stream_->last(), kLong)); }

}  // namespace gpuio::conformance
