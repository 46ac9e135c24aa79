#include "kernel_ir.h"

#include <gpuio/kernel/serialize.hpp>

#include <map>
#include <string>

#include "support/kernels.hpp"

namespace {

using namespace gpuio::kernel;

constexpr auto spin = kernel<"spin", 1>([](Ctx k, InOut<u32> out, Val<u32> n) {
  auto sum = k.var(0u);
  for (auto i : k.range(0, n)) sum += 1 + (i & 0);
  out[0] = sum;
});

}  // namespace

const void* kernel_ir(const char* name, size_t* size) {
  static const std::map<std::string, std::vector<u8>> all = {
      {"saxpy", serialize(gpuio::test_kernels::saxpy.view())},
      {"scan_histogram", serialize(gpuio::test_kernels::scan_histogram.view())},
      {"spin", serialize(spin.view())}};
  const std::vector<u8>& ir = all.at(name);
  *size = ir.size();
  return ir.data();
}
