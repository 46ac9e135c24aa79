#include "ops/matmul_micro.hpp"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace gpuio::ops {
namespace {

// Vectors of 16 bytes, which every 64-bit processor has: eight columns at a time.
using Four = float __attribute__((vector_size(16)));

template <int Rows>
void plain_rows(const float* a, std::size_t a_row, std::size_t a_step, const float* b, float* c,
                std::uint32_t step, std::uint32_t depth, bool first) {
  for (std::uint32_t half = 0; half < kMicroColumns; half += 8) {
    Four sum[Rows][2] = {};
    for (std::uint32_t k = 0; k < depth; ++k) {
      Four b0, b1;
      std::memcpy(&b0, b + k * kMicroColumns + half, 16);
      std::memcpy(&b1, b + k * kMicroColumns + half + 4, 16);
#pragma GCC unroll 6
      for (int i = 0; i < Rows; ++i) {
        const float of_a = a[k * a_step + std::size_t(i) * a_row];
        sum[i][0] += of_a * b0;
        sum[i][1] += of_a * b1;
      }
    }
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) {
      float* const to = c + std::size_t(i) * step + half;
      for (int j = 0; j < 2; ++j) {
        Four before{};
        if (!first) std::memcpy(&before, to + 4 * j, 16);
        before += sum[i][j];
        std::memcpy(to + 4 * j, &before, 16);
      }
    }
  }
}

#if defined(__x86_64__)
template <int Rows>
__attribute__((target("avx2,fma"))) void wide_rows(const float* a, std::size_t a_row, std::size_t a_step,
                                                   const float* b, float* c, std::uint32_t step,
                                                   std::uint32_t depth, bool first) {
  __m256 sum[Rows][2];
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) sum[i][0] = sum[i][1] = _mm256_setzero_ps();
  for (std::uint32_t k = 0; k < depth; ++k) {
    const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
#pragma GCC unroll 6
    for (int i = 0; i < Rows; ++i) {
      const __m256 of_a = _mm256_broadcast_ss(a + std::size_t(i) * a_row);
      sum[i][0] = _mm256_fmadd_ps(of_a, b0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_ps(of_a, b1, sum[i][1]);
    }
    a += a_step, b += kMicroColumns;
  }
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
    float* const to = c + std::size_t(i) * step;
    if (!first) {
      sum[i][0] = _mm256_add_ps(sum[i][0], _mm256_loadu_ps(to));
      sum[i][1] = _mm256_add_ps(sum[i][1], _mm256_loadu_ps(to + 8));
    }
    _mm256_storeu_ps(to, sum[i][0]);
    _mm256_storeu_ps(to + 8, sum[i][1]);
  }
}
#endif

// In four vectors of partial sums.
using Eight = float __attribute__((vector_size(32)));
__attribute__((always_inline)) inline float dot(const float* a, const float* b, std::uint32_t depth) {
  Eight sum[4] = {};
  std::size_t left = depth;
  for (; left >= 32; left -= 32, a += 32, b += 32) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      Eight of_a, of_b;
      std::memcpy(&of_a, a + 8 * i, 32);
      std::memcpy(&of_b, b + 8 * i, 32);
      sum[i] += of_a * of_b;
    }
  }
  const Eight all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float rest = 0;
  for (std::size_t l = 0; l < left; ++l) rest += a[l] * b[l];
  return ((all[0] + all[1]) + (all[2] + all[3])) + ((all[4] + all[5]) + (all[6] + all[7])) + rest;
}
float plain_dot(const float* a, const float* b, std::uint32_t depth) { return dot(a, b, depth); }
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float wide_dot(const float* a, const float* b, std::uint32_t depth) {
  return dot(a, b, depth);
}
#endif

template <template <int> class Of>
void by_rows(const float* a, std::size_t a_row, std::size_t a_step, const float* b, float* c,
             std::uint32_t step, std::uint32_t depth, std::uint32_t rows, bool first) {
  switch (rows) {
    case 1: return Of<1>::run(a, a_row, a_step, b, c, step, depth, first);
    case 2: return Of<2>::run(a, a_row, a_step, b, c, step, depth, first);
    case 3: return Of<3>::run(a, a_row, a_step, b, c, step, depth, first);
    case 4: return Of<4>::run(a, a_row, a_step, b, c, step, depth, first);
    case 5: return Of<5>::run(a, a_row, a_step, b, c, step, depth, first);
    default: return Of<6>::run(a, a_row, a_step, b, c, step, depth, first);
  }
}
template <int Rows>
struct Plain {
  static constexpr auto run = &plain_rows<Rows>;
};
#if defined(__x86_64__)
template <int Rows>
struct Wide {
  static constexpr auto run = &wide_rows<Rows>;
};
#endif

#if defined(__x86_64__)
bool wide() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

}  // namespace

Micro micro_of_this_cpu() {
#if defined(__x86_64__)
  if (wide()) return &by_rows<Wide>;
#endif
  return &by_rows<Plain>;
}
Dot dot_of_this_cpu() {
#if defined(__x86_64__)
  if (wide()) return &wide_dot;
#endif
  return &plain_dot;
}

}  // namespace gpuio::ops
