// Writes the shipped kernels: export_kernels FOLDER makes NAME.spv and NAME.ptx of each, with the IR
// embedded.
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <cstdio>
#include <string>

#include "launch/embedded.hpp"
#include "launch/shipped.hpp"

namespace {

bool write(const std::string& path, const void* bytes, std::size_t size) {
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  const bool written = file != nullptr && std::fwrite(bytes, 1, size, file) == size;
  const bool closed = file != nullptr && std::fclose(file) == 0;
  if (!written || !closed) std::perror(path.c_str());
  return written && closed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: export_kernels FOLDER\n");
    return 2;
  }
  for (const gpuio::launch::ShippedKernel& kernel : gpuio::launch::shipped_kernels()) {
    const std::string path = std::string(argv[1]) + "/" + std::string(kernel.view.name);
    const auto ir = gpuio::kernel::serialize(kernel.view);
    const auto words = gpuio::launch::embed(gpuio::kernel::emit_spirv(kernel.view), ir);
    std::string ptx;
    const auto made =
        gpuio::kernel::ptx_to(ptx, kernel.view, {.sm = 75});  // the driver compiles it for its GPU
    if (!made.ok()) {
      std::fprintf(stderr, "%s, line %u: no PTX\n", path.c_str(), made.line);
      return 1;
    }
    ptx = gpuio::launch::embed(ptx, ir);
    if (!write(path + ".spv", words.data(), words.size() * sizeof(words[0]))) return 1;
    if (!write(path + ".ptx", ptx.data(), ptx.size())) return 1;
  }
}
