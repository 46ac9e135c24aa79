// The vocabulary that is made while tracing on the CPU device: all of it by the blocked interpreter, what
// differs in kind as native code.
#include <gmock/gmock.h>

#include "gpu/cpu/blocked.hpp"
#include "gpu/cpu/differential.hpp"
#include "gpu/cpu/native.hpp"
#include "support/vocabulary.hpp"

namespace gpuio::gpu::cpu {
namespace {

using namespace kernel;
using gpuio::kernel::kernel;
using namespace test_kernels;

void expect_like_interpreter(const Native& native, const View& k, std::array<u32, 3> grid) {
  RandomData want = random_contents(k, 1), got = want;
  const Outcome o = interpret(k, grid, want.arguments(), {.subgroup_size = 8});
  ASSERT_TRUE(o.ok()) << k.name << ": " << o.error << " at line " << o.line;
  const Status s = run_grid(native, k, grid, got);
  ASSERT_TRUE(s) << k.name << ": " << s.message();
  for (std::size_t p = 0; p < want.bytes.size(); ++p)
    EXPECT_EQ(got.bytes[p], want.bytes[p]) << k.name << ", parameter " << p;
}
template <class K>
void expect_native(K, std::array<u32, 3> grid = {kWords / 64, 1, 1}) {
  expect_like_interpreter(make_native(K{}), K::view(), grid);
}

TEST(Vocabulary, Blocked) {
  for (const Sample& s : vocabulary())
    expect_like_interpreter(*make_blocked(s.program.view()), s.program.view(), s.grid);
}

// Of each kind one: scaled by powers of two, in pieces, with turns, with ends.
constexpr auto few_functions64 = [](Ctx k, In<f64, kWords> x, In<f64, kWords> y, Out<f64, 4 * kWords> out) {
  auto i = k.global_id();
  Rows keep{out, i};
  keep(exp2(x[i]));
  keep(log2(y[i]));
  keep(sin(x[i]));
  keep(cos(y[i] * 12345677.0));
};

TEST(Vocabulary, Native) {
  expect_native(kernel<"functions_f64", 64>(few_functions64));
  expect_native(kernel<"pairs_f16", 64>(pairs<f16x2>));
  expect_native(kernel<"pairs_bf16", 64>(pairs<bf16x2>));
  expect_native(kernel<"eighths", 64>(eighths));
  expect_native(kernel<"block", 50>(few_block_operations), {1, 1, 1});
  expect_native(kernel<"scans", 64>(subgroup_scans<i64>));
  expect_native(kernel<"aggregates", 64>(aggregates));
  expect_native(kernel<"choices", 64>(choices));
}

}  // namespace
}  // namespace gpuio::gpu::cpu
