// Native execution of random kernels, made while compiling, against the interpreter.
#include <gmock/gmock.h>

#include <gpuio/kernel.hpp>

#include "gpu/cpu/differential.hpp"
#include "gpu/cpu/native.hpp"

namespace gpuio::gpu::cpu {
namespace {

using namespace kernel;

constexpr RandomOptions options_of(u64 seed) {
  constexpr std::array<u32, 3> blocks[] = {{20, 1, 1}, {8, 3, 1}, {16, 1, 1}};
  return {.statements = 12,
          .block = blocks[seed % 3],
          .wide = seed % 2 == 0,
          .floats = seed % 2 == 0,
          .f64 = false,
          .subnormal = false,
          .small = seed % 2 == 1};
}

// A random program as a type, as kernel.hpp makes of a lambda.
template <u64 Seed>
struct RandomKernel {
  static constexpr auto make() {
    constexpr std::array<std::size_t, 4> size = [] {
      const Program p = random_program(Seed, options_of(Seed));
      return std::array{p.params.size(), p.shared.size(), p.vars.size(), p.insts.size()};
    }();
    const Program p = random_program(Seed, options_of(Seed));
    FrozenKernel<size[0], size[1], size[2], size[3]> out;
    out.name = p.name;
    out.block = p.block;
    std::ranges::copy(p.params, out.params.begin());
    std::ranges::copy(p.shared, out.shared.begin());
    std::ranges::copy(p.vars, out.vars.begin());
    std::ranges::copy(p.insts, out.insts.begin());
    return out;
  }
  static constexpr auto kKernel = make();
  static constexpr const auto& frozen() { return kKernel; }
  static constexpr View view() { return kKernel.view(); }
};

template <u64 Seed>
void expect_like_interpreter() {
  using K = RandomKernel<Seed>;
  const std::array<u32, 3> grid = options_of(Seed).grid();
  for (u64 contents = 0; contents < 20; ++contents) {
    RandomData want = random_contents(K::view(), contents), native = want;
    const Outcome o = interpret(K::view(), grid, want.arguments(), {.subgroup_size = 8});
    ASSERT_TRUE(o.ok()) << "seed " << Seed << ": " << o.error;
    ASSERT_TRUE(run_grid(make_native(K{}), K::view(), grid, native));
    ASSERT_EQ(native.bytes, want.bytes) << "seed " << Seed << ", contents " << contents;
  }
}

TEST(NativeRandom, LikeTheInterpreter) {
  expect_like_interpreter<1>();
  expect_like_interpreter<5>();
  expect_like_interpreter<6>();
}

}  // namespace
}  // namespace gpuio::gpu::cpu
