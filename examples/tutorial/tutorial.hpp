// What the steps of the tutorial share: which device, numbers to work on, and whether the result is right.
#pragma once

#include <gpuio/gpuio.hpp>
#include <gpuio/kernel.hpp>

#include <cmath>
#include <cstdio>
#include <vector>

namespace tutorial {

// The device that the first argument names ("cpu", "vulkan", "cuda:1"), or the one that is used when nobody
// says.
inline const gpuio::Context& context(int count, char** words) {
  const gpuio::Context& c = gpuio::Context::standard();
  int id = 0;
  if (gpuio_find_device(c.get(), count > 1 ? words[1] : "auto", &id) != GPUIO_SUCCESS)
    throw gpuio::Error(GPUIO_ERROR_NOT_FOUND, gpuio_last_error_message());
  c.set_device(id);
  return c;
}

// The same for the same seed, in [-1, 1).
inline float number(std::uint32_t seed, std::size_t i) {
  std::uint32_t x = (seed + std::uint32_t(i)) * 2654435761u;
  x ^= x >> 15;
  return float(int((x * 2246822519u) >> 8)) / float(1 << 23) - 1;
}
template <class Numbers>
void fill(Numbers&& to, std::uint32_t seed) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = number(seed, i);
}

// 0 and a line of how far off it is at most, or 1 and where it is too far off.
template <class Got>
int check(const char* what, const Got& got, const std::vector<double>& want, double error) {
  double most = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double off = std::fabs(double(got[i]) - want[i]);
    if (!(off <= error))
      return std::printf("%s: element %zu is %g, not %g\n", what, i, double(got[i]), want[i]), 1;
    most = std::fmax(most, off);
  }
  std::printf("%s: %zu elements, off by %.1e at most: verified\n", what, want.size(), most);
  return 0;
}

// main() of a step: errors become a line and an exit status.
template <class F>
int run(const F& step) {
  try {
    return step();
  } catch (const gpuio::Error& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 1;
  }
}

}  // namespace tutorial
