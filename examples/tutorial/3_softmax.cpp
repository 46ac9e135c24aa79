// Step 3: rows, types of memory, functions. Softmax of each row of a matrix of 16-bit floats.
#include "tutorial.hpp"

using namespace gpuio::kernel;

// Functions of C++ are those of kernels: they trace what they say, where they are called.
template <class F>
constexpr void for_columns(Ctx k, const Val<u32>& columns, F f) {
  for (auto j : k.range(k.tid(), columns, 128)) f(j);
}

constexpr auto softmax = kernel<"softmax", 128>([](Ctx k, In<f16> x, Out<f16> y, Val<u32> columns) {
  auto row = k.cta() * columns;
  auto most = k.var(-std::numeric_limits<f32>::infinity());
  for_columns(k, columns, [&](const auto& j) { most = max(most, x[row + j]); });
  auto top = k.block_reduce_max(most);
  auto sum = k.var(0.0f);
  for_columns(k, columns, [&](const auto& j) { sum += exp(x[row + j] - top); });
  auto total = k.block_reduce_add(sum);
  for_columns(k, columns,
              [&](const auto& j) { y[row + j] = (exp(x[row + j] - top) / total).template as<f16>(); });
});

int main(int count, char** words) {
  return tutorial::run([&] {
    const gpuio::Context& context = tutorial::context(count, words);
    const u32 rows = 37, columns = 333;
    gpuio::Memory<f16> x(context, rows * columns), y(context, rows * columns);
    for (u32 i = 0; i < x.size(); ++i) x[i] = narrow<f16>(4 * tutorial::number(4, i));
    std::vector<double> want(x.size());
    for (u32 r = 0; r < rows; ++r) {
      double total = 0;
      for (u32 j = 0; j < columns; ++j) total += std::exp(double(widen(x[r * columns + j])));
      for (u32 j = 0; j < columns; ++j)
        want[r * columns + j] = std::exp(double(widen(x[r * columns + j]))) / total;
    }

    gpuio::run(context, softmax, rows, x, y, columns);
    std::vector<f32> got;
    for (const f16& v : y) got.push_back(widen(v));
    return tutorial::check("softmax", got, want, 1e-4);
  });
}
