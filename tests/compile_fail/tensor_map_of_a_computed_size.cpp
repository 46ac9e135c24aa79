// expect: tensor_map 5 0
#include <gpuio/kernel.hpp>
using namespace gpuio::kernel;
constexpr auto k0 = kernel<"k", 64>([](Ctx k, In<f16> x, Val<u32> rows, Val<u32> columns) {
  auto map = k.tensor_map<64, 128>(x, rows / 2, columns, columns);
});
