// Native execution and the blocked interpreter against the lock-step one, on the shared kernels and on
// kernels that go every way control flow can go.
#include "gpu/cpu/native.hpp"

#include <gmock/gmock.h>

#include <gpuio/kernel.hpp>

#include "gpu/cpu/blocked.hpp"
#include "gpu/cpu/differential.hpp"
#include "support/copies.hpp"
#include "support/kernels.hpp"

namespace gpuio::gpu::cpu {
namespace {

using namespace kernel;
using gpuio::kernel::kernel;

RandomData buffers(const View& k, std::initializer_list<u64> sizes_or_scalars, u64 seed) {
  RandomData data;
  Random random{seed};
  auto next = sizes_or_scalars.begin();
  for (const Param& p : k.params) {
    const u64 n = *next++;
    data.bits.push_back(p.kind == ParamKind::scalar ? n : 0);
    data.bytes.emplace_back(p.kind == ParamKind::scalar ? 0 : n * size_of(p.type));
    for (u64 i = 0; p.kind != ParamKind::scalar && i < n; ++i) {
      u64 v = truncate_to(p.type, random.next());
      if (is_float(p.type))
        v = eval_cast(p.type, Type::f32, to_bits(f32(random.below(2000)) / 64.0f - 15.0f));
      write_element(data.bytes.back(), i * size_of(p.type), size_of(p.type), v);
    }
  }
  return data;
}

template <class K>
void expect_three_alike(K, std::array<u32, 3> grid, const RandomData& input) {
  const View k = K::view();
  RandomData want = input, native = input, blocked = input;
  const Outcome o = interpret(k, grid, want.arguments(), {.subgroup_size = 8});
  ASSERT_TRUE(o.ok()) << k.name << ": " << o.error << " at line " << o.line;
  const Status n = run_grid(make_native(K{}), k, grid, native);
  ASSERT_TRUE(n) << n.message();
  const Status b = run_grid(*make_blocked(k), k, grid, blocked);
  ASSERT_TRUE(b) << b.message();
  for (std::size_t p = 0; p < want.bytes.size(); ++p) {
    EXPECT_EQ(native.bytes[p], want.bytes[p]) << k.name << ", parameter " << p;
    EXPECT_EQ(blocked.bytes[p], want.bytes[p]) << k.name << ", parameter " << p;
  }
}

TEST(Native, SharedKernels) {
  using namespace test_kernels;
  for (const u32 n : {1u, 7u, 8u, 255u, 256u, 1000u, 5003u}) {
    SCOPED_TRACE(n);
    expect_three_alike(saxpy, {3, 1, 1}, buffers(saxpy.view(), {to_bits(1.7f), n, n, n}, n));
    expect_three_alike(block_sum, {3, 1, 1}, buffers(block_sum.view(), {n, 3, n}, n));
    expect_three_alike(histogram, {2, 1, 1}, buffers(histogram.view(), {n, 256, n}, n));
    expect_three_alike(subgroup_sum, {2, 1, 1}, buffers(subgroup_sum.view(), {n, 1, n}, n));
  }
  expect_three_alike(matmul, {3, 4, 1}, buffers(matmul.view(), {53 * 41, 41 * 35, 53 * 35, 53, 35, 41}, 1));
  expect_three_alike(subgroup_mix, {1, 1, 1}, buffers(subgroup_mix.view(), {64, 64, 64}, 2));
  expect_three_alike(storage, {2, 1, 1}, buffers(storage.view(), {128, 128, 128, 128, 512}, 3));
  expect_three_alike(pipeline, {1, 1, 1},
                     buffers(pipeline.view(), {kPipelineTiles * 256, 64, kPipelineTiles}, 4));
  expect_three_alike(copies_of_bytes, {1, 1, 1}, buffers(copies_of_bytes.view(), {1024, 512, 5}, 5));
  expect_three_alike(copies_of_longs, {1, 1, 1}, buffers(copies_of_longs.view(), {1024, 512, 6}, 6));
}

}  // namespace
}  // namespace gpuio::gpu::cpu
