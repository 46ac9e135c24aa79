// Every instance of every operation's bodies that these calls ask for goes through NVIDIA's assembler: it
// takes the text, and registers suffice.
#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <regex>
#include <set>

#include <gpuio/kernel/ptx.hpp>

#include "ops/attention.hpp"
#include "ops/matmul.hpp"

namespace gpuio::ops {
namespace {

// A CUDA device as far as planning goes: it keeps the text that it is given to load.
class Recorder final : public gpu::Device {
 public:
  explicit Recorder(std::uint32_t sm) : Device(describe(sm)) {}

  Result<std::unique_ptr<gpu::Buffer>> allocate(gpu::MemoryKind kind, std::uint64_t size) override {
    struct Nowhere : gpu::Buffer {
      Nowhere(gpu::MemoryKind k, std::uint64_t n) : Buffer(1 << 20, nullptr, n, k) {}
    };
    return std::make_unique<Nowhere>(kind, size);
  }
  Result<std::unique_ptr<gpu::Buffer>> import(std::span<std::byte>) override { return no("import"); }
  Result<std::unique_ptr<gpu::Kernel>> load(const gpu::KernelCode& code) override {
    texts.insert({std::string(code.name), std::string(code.ptx)});
    return std::make_unique<gpu::Kernel>();
  }
  Result<std::unique_ptr<gpu::Stream>> stream() override { return no("stream"); }
  std::uint64_t memory_free() const override { return std::uint64_t{1} << 40; }
  void give_up() override {}

  std::set<std::pair<std::string, std::string>> texts;

 private:
  static gpu::DeviceInfo describe(std::uint32_t sm) {
    gpu::DeviceInfo info;
    info.backend = gpu::Backend::cuda;
    info.name = "text only";
    info.major = int(sm / 10);
    info.minor = int(sm % 10);
    info.subgroup_size = 32;
    info.compute_units = 132;
    info.lanes_max = 1024;
    info.shared_bytes_max = kernel::ptx_shared_max(sm);
    return info;
  }
  static std::unexpected<Status> no(const char* what) {
    return fail(Code::unsupported, "{}: nothing runs here", what);
  }
};

Tensor tensor(std::string_view name, Dtype type, std::vector<std::uint64_t> shape) {
  Tensor t{.name = name, .address = 1 << 20, .type = type, .rank = int(shape.size())};
  std::uint64_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    t.shape[i] = shape[i];
    t.stride[i] = step;
    step *= shape[i];
  }
  return t;
}

constexpr Dtype kFloats[] = {Dtype::f32, Dtype::f16, Dtype::bf16};

class Ptx : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  template <class F>
  void plan(const F& operation) {
    Plan planned;
    const Status s = operation(Place{kernels_, workspace_, planned});
    ASSERT_TRUE(s.ok()) << s.message();
    EXPECT_FALSE(planned.empty());
  }
  struct Said {
    int status = -1;
    std::string text;
  };
  static Said run(const std::string& command) {
    Said said;
    FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
    if (!pipe) return said;
    char piece[4096];
    for (std::size_t n; (n = fread(piece, 1, sizeof piece, pipe)) > 0;) said.text.append(piece, n);
    said.status = pclose(pipe);
    return said;
  }
  void assemble() {
    if (run("ptxas --version").status != 0)
      GTEST_SKIP()
          << "ptxas not found in PATH: install the CUDA compiler, or the Python package nvidia-cuda-nvcc";
    ASSERT_FALSE(device_.texts.empty());
    const std::string path = testing::TempDir() + "gpuio_ops_" + std::to_string(getpid()) + ".ptx";
    for (const auto& [name, text] : device_.texts) {
      std::ofstream(path) << text;
      const char* const variant = text.find(".target sm_90a") == text.npos ? "" : "a";
      const Said said =
          run("ptxas -v -arch=sm_" + std::to_string(GetParam()) + variant + " -o /dev/null " + path);
      EXPECT_EQ(said.status, 0) << name << ": " << said.text;
      std::smatch spilled;
      ASSERT_TRUE(std::regex_search(said.text, spilled, std::regex("(\\d+) bytes spill stores")))
          << said.text;
      EXPECT_EQ(spilled[1], "0") << name << " spills: " << said.text;
      EXPECT_EQ(said.text.find("(C75"), said.text.npos) << name << " multiplies one at a time: " << said.text;
    }
    std::remove(path.c_str());
    std::printf("%zu kernels\n", device_.texts.size());
  }

  Recorder device_{GetParam()};
  Kernels kernels_{device_};
  Workspace workspace_;
};

TEST_P(Ptx, Rows) {
  for (const Dtype type : kFloats) {
    const Tensor x = tensor("x", type, {64, 4096}), y = tensor("y", type, {64, 4096});
    const Tensor gain = tensor("gain", type, {4096});
    plan([&](const Place& p) { return softmax(p, x, y); });
    plan([&](const Place& p) { return layer_norm(p, x, gain, gain, 1e-5f, y); });
    plan([&](const Place& p) { return rms_norm(p, x, gain, 1e-5f, y); });
    for (const Fold fold : {Fold::add, Fold::min, Fold::max, Fold::mul})
      plan([&](const Place& p) { return reduce(p, x, fold, tensor("y", type, {64})); });
    plan([&](const Place& p) { return scan(p, x, Fold::add, false, y); });
    plan([&](const Place& p) {
      return reduce(p, tensor("x", type, {1 << 24}), Fold::add, tensor("y", type, {1}));
    });
    plan([&](const Place& p) {
      return scan(p, tensor("x", type, {1 << 24}), Fold::add, true, tensor("y", type, {1 << 24}));
    });
  }
  assemble();
}

TEST_P(Ptx, SelectingMovingAndCounting) {
  const Tensor u32s = tensor("indices", Dtype::u32, {64}), u64s = tensor("indices", Dtype::u64, {64});
  for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i32, Dtype::u32})
    for (const std::uint64_t k : {8, 4096})
      plan([&](const Place& p) {
        return top_k(p, tensor("x", type, {64, 20000}), tensor("values", type, {64, k}),
                     tensor("indices", Dtype::u32, {64, k}));
      });
  for (const Dtype type : {Dtype::f32, Dtype::bf16, Dtype::i8, Dtype::u64})
    for (const Tensor& indices : {u32s, u64s}) {
      const Tensor table = tensor("table", type, {1000, 77}), rows = tensor("rows", type, {64, 77});
      plan([&](const Place& p) { return gather_rows(p, table, indices, rows); });
      plan([&](const Place& p) { return scatter_rows(p, rows, indices, table); });
    }
  for (const Dtype type : kFloats)
    for (const Dtype few : {Dtype::i8, Dtype::i4, Dtype::f8e4m3, Dtype::f8e5m2}) {
      const Tensor x = tensor("x", type, {64, 384}), q = tensor("q", few, {64, 384});
      for (const auto& [scale, shape] : {std::pair{ScaleBy::row, std::vector<std::uint64_t>{64}},
                                         {ScaleBy::column, {384}},
                                         {ScaleBy::group, {64, 3}}}) {
        const Tensor scales = tensor("scales", Dtype::f32, shape);
        plan([&](const Place& p) { return quantize(p, x, scale, q, scales); });
        plan([&](const Place& p) { return dequantize(p, q, scales, scale, x); });
      }
    }
  for (const Dtype type : {Dtype::u8, Dtype::i32, Dtype::u32})
    for (const Dtype count : {Dtype::u32, Dtype::u64})
      for (const std::uint64_t bins : {256, 100000})
        plan([&](const Place& p) {
          return histogram(p, tensor("x", type, {100000}), tensor("counts", count, {bins}));
        });
  for (const Dtype type : kFloats)
    for (const Distribution draw : {Distribution::uniform, Distribution::normal})
      plan([&](const Place& p) { return random(p, draw, 1, 0, tensor("y", type, {1000})); });
  plan([&](const Place& p) { return random(p, Distribution::bits, 1, 0, tensor("y", Dtype::u32, {1000})); });
  assemble();
}

TEST_P(Ptx, Products) {
  const std::uint64_t m = 512, n = 512, k = 512;
  for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8e4m3, Dtype::f8e5m2, Dtype::i8})
    for (const bool transposed : {false, true}) {
      const Tensor a = tensor("a", type, {m, k}),
                   b = tensor("b", type, {transposed ? n : k, transposed ? k : n});
      const MatmulOptions scaled{.b_transposed = transposed,
                                 .scale_a = tensor("scale of a", Dtype::f32, {m}),
                                 .scale_b = tensor("scale of b", Dtype::f32, {n})};
      for (const Dtype out : kFloats)
        plan([&](const Place& p) {
          return matmul(p, a, b, tensor("c", out, {m, n}),
                        type == Dtype::i8 ? scaled : MatmulOptions{.b_transposed = transposed});
        });
    }
  for (const Dtype type : {Dtype::f16, Dtype::bf16})
    plan([&](const Place& p) {
      return matmul(p, tensor("a", type, {m, k}), tensor("b", Dtype::i4, {n, k}), tensor("c", type, {m, n}),
                    {.b_transposed = true, .scale_b = tensor("scale of b", Dtype::f32, {n, k / 128})});
    });
  assemble();
}

// Hopper's ways, with all that may become of a sum.
class PtxWarpgroups : public Ptx {};
TEST_P(PtxWarpgroups, Products) {
  const Tensor scales = tensor("scales", Dtype::f32, {512}), bias = tensor("bias", Dtype::bf16, {512});
  std::size_t planned = 0;
  for (std::size_t way = 0; way < kWays.size(); ++way)
    for (const Dtype type : {Dtype::f16, Dtype::bf16, Dtype::f8e4m3, Dtype::f8e5m2, Dtype::i8})
      for (const bool scaled : {false, true}) {
        if (!kWays[way].warpgroups) continue;
        const Tensor a = tensor("a", type, {512, 4096}), b = tensor("b", type, {512, 4096});
        const Tensor c = tensor("c", scaled ? Dtype::bf16 : Dtype::f32, {512, scaled ? 512u : 511u});
        const Tensor many = tensor("a", type, {2, 512, 4096}),
                     of_many = tensor("c", c.type, {2, 512, c.shape[1]});
        MatmulOptions options{.b_transposed = true};
        Tensor less = b;
        less.shape[0] = c.shape[1];
        if (scaled) options.scale_a = options.scale_b = scales, options.bias = bias;
        const auto product = product_of(a, less, c, options);
        ASSERT_TRUE(product) << product.error().message();
        if (!possible(device_.info(), kWays[way], *product)) continue;
        plan([&](const Place& p) { return launch(p, *product, way); });
        ++planned;
        // Boxes of one matrix each; of many, lanes' copies.
        if (scaled) continue;
        const auto copied = product_of(many, less, of_many, options);
        ASSERT_TRUE(copied) << copied.error().message();
        plan([&](const Place& p) { return launch(p, *copied, way); });
      }
  EXPECT_EQ(planned, 22u);
  std::size_t boxes = 0;
  for (const auto& [name, text] : device_.texts) boxes += text.find("cp.async.bulk.tensor.2d") != text.npos;
  EXPECT_EQ(boxes, 22u);
  EXPECT_EQ(device_.texts.size(), 33u);
  assemble();
}

// Every way that the device has, with rows that copies can take and without.
class PtxUnits : public Ptx {};
TEST_P(PtxUnits, Products) {
  for (std::size_t way = 0; way < kWays.size(); ++way)
    for (const Dtype type : {Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::f8e4m3, Dtype::i8, Dtype::i4}) {
      const bool transposed = way % 2 == 0 || type == Dtype::i4;
      for (const std::uint64_t k : {4096, type == Dtype::i4 ? 4090 : 4091}) {
        const Dtype of_a = type == Dtype::i4 ? Dtype::bf16 : type;
        const Tensor a = tensor("a", of_a, {512, k}),
                     b = transposed ? tensor("b", type, {512, k}) : tensor("b", type, {k, 512}),
                     c = tensor("c", Dtype::bf16, {512, 512});
        MatmulOptions options{.b_transposed = transposed, .tf32 = type == Dtype::f32};
        if (type == Dtype::i4) options.scale_b = tensor("scale of b", Dtype::f32, {512, 32});
        const auto product = product_of(a, b, c, options);
        ASSERT_TRUE(product) << product.error().message();
        if (!kWays[way].units() || kWays[way].warpgroups || !possible(device_.info(), kWays[way], *product))
          continue;
        plan([&](const Place& p) { return launch(p, *product, way); });
      }
    }
  assemble();
}

TEST_P(Ptx, Attention) {
  for (const Dtype type : kFloats)
    for (const std::uint64_t d : {32, 64, 128, 256})
      for (const std::uint64_t queries : {1, 200}) {
        const Tensor q = tensor("q", type, {2, 8, queries, d}), out = q;
        const Tensor k = tensor("k", type, {2, 2, 3000, d}), v = k;
        plan([&](const Place& p) { return attention(p, q, k, v, out, {.causal = queries > 1}); });
      }
  assemble();
}

TEST_P(PtxUnits, Attention) {
  for (const Dtype type : {Dtype::f16, Dtype::bf16})
    for (const std::uint64_t d : {32, 64, 80, 128, 256}) {
      const Tensor q = tensor("q", type, {2, 8, 200, d}), k = tensor("k", type, {2, 2, 3000, d});
      const AttentionOptions options{.causal = true};
      ASSERT_TRUE(units_can(device_.info(), q, k, k, options));
      plan([&](const Place& p) { return attention(p, q, k, k, q, options); });
    }
  assemble();
}

constexpr auto kName = [](const auto& sm) { return "sm_" + std::to_string(sm.param); };
INSTANTIATE_TEST_SUITE_P(Sm, Ptx, ::testing::Values(75, 90), kName);
INSTANTIATE_TEST_SUITE_P(Sm, PtxWarpgroups, ::testing::Values(90), kName);
INSTANTIATE_TEST_SUITE_P(Sm, PtxUnits, ::testing::Values(80, 90), kName);

}  // namespace
}  // namespace gpuio::ops
