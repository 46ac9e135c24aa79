// Step 1: one element a lane. y = a x + y.
#include "tutorial.hpp"

using namespace gpuio::kernel;

constexpr auto saxpy = kernel<"saxpy", 256>([](Ctx k, Val<f32> a, In<f32> x, InOut<f32> y) {
  auto i = k.global_id();
  GPU_IF(i < y.length().as<u32>()) y[i] = a * x[i] + y[i];
});

int main(int count, char** words) {
  return tutorial::run([&] {
    const gpuio::Context& context = tutorial::context(count, words);
    const u32 n = 100'003;
    gpuio::Memory<f32> x(context, n), y(context, n);
    tutorial::fill(x, 1);
    tutorial::fill(y, 2);
    std::vector<double> want;
    for (u32 i = 0; i < n; ++i) want.push_back(0.5f * x[i] + y[i]);

    gpuio::run(context, saxpy, (n + 255) / 256, 0.5f, x, y);
    return tutorial::check("saxpy", y, want, 1e-6);
  });
}
