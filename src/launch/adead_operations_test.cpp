// AGPU programs and hybrid containers against plain loops, on every device at hand; and what is refused.
#include <bit>
#include <cmath>
#include <functional>
#include <numbers>

#include "support/adead.hpp"

namespace gpuio::launch {
namespace {

constexpr std::uint32_t kAlloc = 0x10, kFree = 0x11, kIn = 0x12, kOut = 0x13;
constexpr std::uint32_t kHost = 0x1000;

Floats values(std::size_t n, int seed) {
  Floats v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = float(int(i * 37 + std::size_t(seed) * 101) % 64 - 32) / 16;
  return v;
}
Floats mapped(const Floats& x, const std::function<double(double)>& of) {
  Floats y;
  for (const float v : x) y.push_back(float(of(v)));
  return y;
}

using Matrix = std::function<double(std::size_t, std::size_t)>;
Floats matrix(std::size_t rows, std::size_t columns, const Matrix& of) {
  Floats m;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) m.push_back(float(of(r, c)));
  return m;
}
double times(const Floats& x, const Floats& y, std::size_t k, std::size_t n, std::size_t r, std::size_t c) {
  double sum = 0;
  for (std::size_t i = 0; i < k; ++i) sum += double(x[r * k + i]) * y[i * n + c];
  return sum;
}
std::vector<double> softmax(std::vector<double> row) {
  double sum = 0;
  for (double& v : row) sum += v = std::exp(v);
  for (double& v : row) v /= sum;
  return row;
}
Floats attention(const Floats& q, const Floats& k, const Floats& v, std::size_t length, std::size_t dim,
                 std::size_t heads) {
  const std::size_t width = dim / heads;
  Floats out(length * dim);
  for (std::size_t h = 0; h < heads; ++h)
    for (std::size_t i = 0; i < length; ++i) {
      std::vector<double> scores(length);
      for (std::size_t j = 0; j < length; ++j)
        for (std::size_t c = h * width; c < (h + 1) * width; ++c)
          scores[j] += double(q[i * dim + c]) * k[j * dim + c] / std::sqrt(double(width));
      scores = softmax(scores);
      for (std::size_t c = h * width; c < (h + 1) * width; ++c) {
        double sum = 0;
        for (std::size_t j = 0; j < length; ++j) sum += scores[j] * v[j * dim + c];
        out[i * dim + c] = float(sum);
      }
    }
  return out;
}

// Allocates a register a buffer, copies all but the last in, performs, copies the last out.
Scenario around(const char* name, Operation operation, std::vector<Floats> inputs, Floats expected) {
  Scenario s{name, {{0x01, {}}}, std::move(inputs), 0, std::move(expected)};
  s.buffers.push_back(Floats(s.expected.size(), -99));
  s.output = s.buffers.size() - 1;
  for (std::uint32_t i = 0; i < s.buffers.size(); ++i) {
    const std::uint32_t bytes = std::uint32_t(s.buffers[i].size() * 4);
    s.list.push_back({kAlloc, {bytes, i}});
    if (i != s.output) s.list.push_back({kIn, {kHost + i, i, bytes}});
  }
  const std::uint32_t out = std::uint32_t(s.output), bytes = std::uint32_t(s.expected.size() * 4);
  s.list.push_back(std::move(operation));
  s.list.push_back({0xF0, {}});
  s.list.push_back({kOut, {out, kHost + out, bytes}});
  s.list.push_back({kFree, {out}});
  s.list.push_back({0x02, {}});
  return s;
}

}  // namespace

std::vector<Scenario> scenarios() {
  constexpr std::uint32_t kCount = 300, kBytes = kCount * 4;
  const Floats x = values(kCount, 1), y = mapped(values(kCount, 2), [](double v) { return v + 3; });
  const auto zip = [&](const std::function<double(double, double)>& of) {
    Floats z;
    for (std::size_t i = 0; i < kCount; ++i) z.push_back(float(of(x[i], y[i])));
    return z;
  };
  const auto unary = [&](const char* name, std::uint32_t code, const std::function<double(double)>& of) {
    return around(name, {code, {0, 1, kBytes}}, {x}, mapped(x, of));
  };
  constexpr std::uint32_t m = 5, n = 7, k = 9, length = 11, dim = 12, heads = 3, hidden = 10;
  const Floats a = values(m * k, 3), b = values(k * n, 4);
  const Floats q = values(length * dim, 5), key = values(length * dim, 6), v = values(length * dim, 7);
  const Floats w1 = values(dim * hidden, 8), w2 = values(hidden * dim, 9);
  const Floats between = matrix(length, hidden, [&](std::size_t r, std::size_t c) {
    return std::max(0.0, times(q, w1, dim, hidden, r, c));
  });
  const auto row_of = [&](std::size_t r) {
    return std::vector<double>(q.begin() + long(r * dim), q.begin() + long((r + 1) * dim));
  };
  const Floats normal = matrix(length, dim, [&](std::size_t r, std::size_t c) {
    const auto row = row_of(r);
    double mean = 0, spread = 0;
    for (const double value : row) mean += value / dim;
    for (const double value : row) spread += (value - mean) * (value - mean) / dim;
    return (row[c] - mean) / std::sqrt(spread + 1e-5);
  });
  Floats ids;
  for (const std::uint32_t id : {3u, 0u, 10u, 11u, 4000000000u}) ids.push_back(std::bit_cast<float>(id));
  const std::size_t rows[] = {3, 0, 10};
  return {
      around("H2D, D2H", {0x00, {}}, {}, Floats(kCount, 0)),  // what an ALLOC holds is set by MEMSET below
      around("MEMSET", {0x14, {0, 0x3f, kBytes}}, {}, Floats(kCount, std::bit_cast<float>(0x3f3f3f3fu))),
      around("MATMUL", {0x20, {0, 1, 2, m, n, k}}, {a, b},
             matrix(m, n, [&](std::size_t r, std::size_t c) { return times(a, b, k, n, r, c); })),
      around("ADD", {0x21, {0, 1, 2, kBytes}}, {x, y}, zip([](double p, double r) { return p + r; })),
      around("SUB", {0x22, {0, 1, 2, kBytes}}, {x, y}, zip([](double p, double r) { return p - r; })),
      around("MUL", {0x23, {0, 1, 2, kBytes}}, {x, y}, zip([](double p, double r) { return p * r; })),
      around("DIV", {0x24, {0, 1, 2, kBytes}}, {x, y}, zip([](double p, double r) { return p / r; })),
      around("SCALE", {0x25, {0, 1, std::bit_cast<std::uint32_t>(-1.5f), kBytes}}, {x},
             mapped(x, [](double p) { return -1.5 * p; })),
      unary("RELU", 0x30, [](double p) { return std::max(p, 0.0); }),
      unary("SIGMOID", 0x31, [](double p) { return 1 / (1 + std::exp(-p)); }),
      unary("TANH", 0x32, [](double p) { return std::tanh(p); }),
      unary("GELU", 0x34,
            [](double p) {
              return p / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (p + 0.044715 * p * p * p)));
            }),
      around("SOFTMAX", {0x33, {0, 1, length, dim}}, {q},
             matrix(length, dim, [&](std::size_t r, std::size_t c) { return softmax(row_of(r))[c]; })),
      around("ATTENTION", {0x40, {0, 1, 2, 3, length, dim}}, {q, key, v},
             attention(q, key, v, length, dim, 1)),
      around("MHA", {0x41, {0, 1, 2, 3, length, dim, heads}}, {q, key, v},
             attention(q, key, v, length, dim, heads)),
      around("FFN", {0x42, {0, 1, 2, 3, length, dim, hidden}}, {q, w1, w2},
             matrix(length, dim,
                    [&](std::size_t r, std::size_t c) { return times(between, w2, hidden, dim, r, c); })),
      around("LAYERNORM", {0x43, {0, 1, length, dim}}, {q}, normal),
      around(
          "EMBEDDING", {0x44, {0, 1, 2, 5, length, dim}}, {ids, q},
          matrix(5, dim,
                 [&](std::size_t r, std::size_t c) { return r < 3 ? double(q[rows[r] * dim + c]) : 0.0; })),
      around("BARRIER", {0xF1, {}}, {}, Floats(kCount, 0)),
  };
}

namespace {

class AdeadOperations : public AdeadOnDevice {};
INSTANTIATE_TEST_SUITE_P(On, AdeadOperations, testing::Values("cpu", "vulkan", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

TEST_P(AdeadOperations, EachIsItsOracle) {
  for (Scenario& s : scenarios()) {
    SCOPED_TRACE(s.name);
    if (s.output == 0 && s.list[2].code != 0x14)  // nothing wrote the memory
      s.list.insert(s.list.begin() + 2, {0x14, {0, 0, std::uint32_t(s.expected.size() * 4)}});
    const auto after = run(operations(s.list), s.buffers, 1);
    for (std::size_t i = 0; i < s.expected.size(); ++i)
      ASSERT_NEAR(after[s.output][i], s.expected[i], 2e-5) << i;
    for (std::size_t i = 0; i < s.output; ++i)
      EXPECT_EQ(std::memcmp(after[i].data(), s.buffers[i].data(), after[i].size() * 4), 0)
          << "input " << i << " changed";
  }
}

// Several operations on one register, in place, and one host address that is read and written.
TEST_P(AdeadOperations, RunInOrder) {
  const Floats x = values(64, 1);
  const std::uint32_t bytes = 64 * 4, two = std::bit_cast<std::uint32_t>(2.0f);
  const Bytes program = operations({{kAlloc, {bytes, 9}},
                                    {kIn, {0xdead0000, 9, bytes}},
                                    {0x25, {9, 9, two, bytes}},
                                    {0x30, {9, 9, bytes}},
                                    {0x21, {9, 9, 9, bytes}},
                                    {kOut, {9, 0xdead0000, bytes}}});
  EXPECT_EQ(parse_adead(program)->buffers[0].kind, kernel::ParamKind::inout);
  EXPECT_EQ(run(program, {x}, 1)[0], mapped(x, [](double v) { return 4 * std::max(v, 0.0); }));
}

Bytes container(const Bytes& program, std::string_view symbol = "main", std::uint32_t symbols = 1) {
  Bytes out;
  append(out, "AHYB");
  append(out, 1, 2);
  append(out, 0, 2);
  append(out, 3, 4);
  append(out, program.size(), 4);
  append(out, 5, 4);
  append(out, symbols, 4);
  append(out, hex("90 90 c3"));  // x86, never run
  append(out, program);
  append(out, "data!");
  append(out, symbol);
  append(out, 0, 32 - unsigned(symbol.size()));
  append(out, 7, 4);
  return out;
}

TEST_P(AdeadOperations, Container) {
  const Scenario s = scenarios()[3];
  const Bytes bytes = container(operations(s.list));
  EXPECT_EQ(parse_adead(bytes)->format, AdeadFormat::container);
  EXPECT_EQ(run(bytes, s.buffers, 1)[s.output], s.expected);
}

TEST_P(AdeadOperations, ABufferThatIsTooSmall) {
  auto module = parse_adead(operations(scenarios()[3].list));
  auto adead = Adead::make(*device_, *module);
  ASSERT_TRUE(adead);
  auto stream = std::move(*device_->stream());
  const gpu::Argument three[3] = {{0, 300}, {0, 299}, {0, 300}};
  const Status s = adead->launch(*stream, three, {});
  EXPECT_EQ(s.code(), Code::invalid_arg);
  EXPECT_NE(s.message().find("buffer 1: 299 elements given; it uses 300"), std::string::npos) << s.message();
}

TEST(AdeadOperationsParse, GarbageIsRefusedWithItsOffset) {
  const Operation alloc{kAlloc, {64, 0}}, other{kAlloc, {64, 1}};
  const auto bytes = [](std::vector<Operation> list) { return operations(list); };
  Bytes no_end = bytes({}), longer = bytes({alloc}), version = bytes({}), hybrid = container(bytes({}));
  no_end.resize(8);
  no_end[6] = std::byte{0};
  longer.push_back(std::byte{1});
  version[4] = std::byte{9};
  Bytes cut = bytes({alloc});
  cut.resize(15);
  Bytes empty = container({}), lengths = hybrid, hybrid_version = hybrid;
  lengths.pop_back();
  hybrid_version[4] = std::byte{2};
  struct {
    const char* name;
    Bytes bytes;
    Code code;
    const char* says;
  } const all[] = {
      {"header", hex("41 47 50 55 01"), Code::invalid_arg, "AGPU's header has 8 bytes"},
      {"version", version, Code::unsupported, "version 9 of AGPU"},
      {"no END", no_end, Code::invalid_arg, "offset 8: the last of 0 instructions is not END"},
      {"more bytes", longer, Code::invalid_arg, "offset 26: 1 bytes follow the last of 2 instructions"},
      {"cut", cut, Code::invalid_arg, "offset 13: ALLOC needs 4 bytes and 2 are left"},
      {"opcode", bytes({{0x26, {}}}), Code::invalid_arg, "offset 8: opcode C0DA0026"},
      {"operands", bytes({{0x10, {64}}}), Code::invalid_arg, "offset 12: ALLOC with 1 operands; it takes 2"},
      {"early END", bytes({{0xFFFF, {}}}), Code::invalid_arg, "offset 8: END is instruction 1 of 2"},
      {"size", bytes({{0x10, {6, 0}}}), Code::invalid_arg, "offset 8: ALLOC: a size of 6 bytes"},
      {"size 0", bytes({{0x10, {0, 0}}}), Code::invalid_arg, "offset 8: ALLOC: a size of 0 bytes"},
      {"twice", bytes({alloc, alloc}), Code::invalid_arg,
       "offset 21: ALLOC: register 0 holds memory already"},
      {"not allocated", bytes({{0x30, {0, 1, 4}}}), Code::invalid_arg, "RELU: register 0 holds no memory"},
      {"freed", bytes({alloc, {kFree, {0}}, {kFree, {0}}}), Code::invalid_arg,
       "FREE: register 0 holds no memory"},
      {"after SHUTDOWN", bytes({alloc, {0x02, {}}, {kFree, {0}}}), Code::invalid_arg,
       "register 0 holds no memory"},
      {"too large", bytes({alloc, {kIn, {1, 0, 68}}}), Code::invalid_arg,
       "offset 21: H2D: register 0 has 64 bytes and 17 elements of 4 are used"},
      {"dimension", bytes({alloc, other, {0x33, {0, 1, 0, 4}}}), Code::invalid_arg,
       "SOFTMAX: a dimension is 0"},
      {"overflow", bytes({alloc, other, {0x33, {0, 1, ~0u, ~0u}}}), Code::invalid_arg,
       "18446744065119617025 elements"},
      {"in place", bytes({alloc, other, {0x20, {0, 1, 1, 4, 4, 4}}}), Code::invalid_arg,
       "MATMUL: register 1 is operand and result"},
      {"attention in place", bytes({alloc, other, {0x40, {0, 0, 1, 1, 4, 4}}}), Code::invalid_arg,
       "ATTENTION: register 1 is operand and result"},
      {"heads", bytes({alloc, {0x41, {0, 0, 0, 0, 4, 4, 3}}}), Code::invalid_arg,
       "MHA: 3 heads of 4 columns"},
      {"no heads", bytes({alloc, {0x41, {0, 0, 0, 0, 4, 4, 0}}}), Code::invalid_arg, "MHA: 0 heads"},
      {"FFN without weights", bytes({alloc, {0x42, {0, 0, 0, 4, 4, 4}}}), Code::invalid_arg,
       "FFN with 6 operands; it takes 7"},
      {"memset", bytes({alloc, {0x14, {0, 256, 64}}}), Code::invalid_arg, "MEMSET: a value of 256"},
      {"memory",
       bytes({{kAlloc, {0xfffffffc, 0}}, {kAlloc, {0xfffffffc, 1}}, {0x40, {0, 0, 0, 1, 0x10000000, 1}}}),
       Code::unsupported, "ATTENTION: the program uses more than"},
      {"container without GPU code", empty, Code::unsupported, "its 3 bytes of CPU code are never run"},
      {"container's lengths", lengths, Code::invalid_arg, "offset 8: the header's lengths"},
      {"container's version", hybrid_version, Code::unsupported, "version 2 of the AHYB container"},
      {"container's symbol", container(bytes({}), ""), Code::invalid_arg, "symbol 0 is named \"\""},
      {"container's blob", container(hex("41 47 50 55 01 00 01 00")), Code::invalid_arg,
       "offset 35: an instruction needs 4 bytes"},
      {"container's other blob", container(hex("10 21 00")), Code::invalid_arg, "offset 27: "},
  };
  for (const auto& r : all) {
    SCOPED_TRACE(r.name);
    const auto module = parse_adead(r.bytes);
    ASSERT_FALSE(module);
    EXPECT_EQ(module.error().code(), r.code);
    EXPECT_NE(module.error().message().find(r.says), std::string::npos) << module.error().message();
  }
}

}  // namespace
}  // namespace gpuio::launch
