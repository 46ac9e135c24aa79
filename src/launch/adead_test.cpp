// Accumulator and register code against plain loops, on every device at hand; and everything that is refused.
#include <gpuio/kernel/ptx.hpp>

#include <unistd.h>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>

#include "support/adead.hpp"

namespace gpuio::launch {
namespace {

constexpr std::size_t kCount = 300;  // two workgroups, the second one ragged

// Small whole numbers: every order of summation gives the same bits.
Floats whole(std::size_t n, int seed) {
  Floats v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = float(int(i * 7 + std::size_t(seed) * 13) % 11 - 5);
  return v;
}
Floats each(std::size_t n, const std::function<double(std::size_t)>& of) {
  Floats v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = float(of(i));
  return v;
}
const Floats a = whole(kCount, 1), b = whole(kCount, 2), none(kCount, -99);
const Floats divisor = each(kCount, [](std::size_t i) { return double(1u << (i % 5)); });

constexpr std::size_t kSide = 17;  // 17 * 17 = 289 of 300 elements
double product(const Floats& x, const Floats& y, std::size_t e) {
  if (e >= kSide * kSide) return 0;
  double sum = 0;
  for (std::size_t k = 0; k < kSide; ++k) sum += double(x[e / kSide * kSide + k]) * y[k * kSide + e % kSide];
  return sum;
}
double dot(const Floats& x, const Floats& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += double(x[i]) * y[i];
  return sum;
}

// A permuted matrix of powers of two, which no order of elimination rounds; pivots are needed.
constexpr std::size_t kInverse = 6;
Floats invertible() {
  Floats m(kInverse * kInverse);
  for (std::size_t r = 0; r < kInverse; ++r) {
    m[r * kInverse + (r + 2) % kInverse] = float(1u << r);
    m[r * kInverse + (r + 3) % kInverse] = float(r % 2);
  }
  return m;
}
// Gauss and Jordan in double precision.
Floats inverse_of(const Floats& m, std::size_t n) {
  std::vector<std::vector<double>> w(n, std::vector<double>(2 * n));
  for (std::size_t r = 0; r < n; ++r) {
    for (std::size_t c = 0; c < n; ++c) w[r][c] = m[r * n + c];
    w[r][n + r] = 1;
  }
  for (std::size_t c = 0; c < n; ++c) {
    std::size_t best = c;
    for (std::size_t r = c; r < n; ++r)
      if (std::fabs(w[r][c]) > std::fabs(w[best][c])) best = r;
    std::swap(w[c], w[best]);
    const double by = w[c][c];
    for (double& x : w[c]) x /= by;
    for (std::size_t r = 0; r < n; ++r) {
      const double factor = w[r][c];
      if (r != c)
        for (std::size_t j = 0; j < 2 * n; ++j) w[r][j] -= factor * w[c][j];
    }
  }
  Floats out(n * n);
  for (std::size_t e = 0; e < n * n; ++e) out[e] = float(w[e / n][n + e % n]);
  return out;
}

}  // namespace

std::vector<Sample> samples() {
  const auto zip = [](const std::function<double(double, double)>& of, const Floats& y) {
    return each(kCount, [&](std::size_t i) { return of(a[i], y[i]); });
  };
  const Floats sum = zip([](double x, double y) { return x + y; }, b);
  const Floats difference = zip([](double x, double y) { return x - y; }, b);
  const Floats times = zip([](double x, double y) { return x * y; }, b);
  const Floats quotient = zip([](double x, double y) { return x / y; }, divisor);
  const Floats fused = each(kCount, [](std::size_t i) { return a[i] * b[i] + a[i]; });
  const Floats dotted(kCount, float(dot(a, b))), norm(kCount, float(std::sqrt(dot(a, a))));
  const Floats matrix = each(kCount, [](std::size_t e) { return product(a, b, e); });
  const Floats chain = each(kCount, [&](std::size_t e) { return product(matrix, b, e); });
  const Floats turned = each(kCount, [](std::size_t e) {
    return e < kSide * kSide ? double(a[e % kSide * kSide + e / kSide]) : 0.0;
  });
  const Floats square = invertible();
  return {
      // Accumulator code.
      {"LOAD, STORE", hex("10 21 00"), {a, none}, a},
      {"LOAD_IMM", hex("3b 20 00"), {none}, Floats(kCount, 11)},
      {"ADD", hex("10 41 22 00"), {a, b, none}, sum},
      {"SUB", hex("10 51 22 00"), {a, b, none}, difference},
      {"MUL", hex("10 61 22 00"), {a, b, none}, times},
      {"DIV", hex("10 71 22 00"), {a, divisor, none}, quotient},
      {"VEC_ADD", hex("10 81 22 00"), {a, b, none}, sum},
      {"VEC_MUL", hex("10 91 22 00"), {a, b, none}, times},
      {"DOT", hex("10 a1 22 00"), {a, b, none}, dotted},
      {"MATMUL", hex("10 b1 22 00"), {a, b, none}, matrix},
      {"MATMUL of MATMUL", hex("10 b1 b1 22 00"), {a, b, none}, chain},
      {"SYNC, NOP, padding", hex("10 c0 d0 41 22 00 00 00 00"), {a, b, none}, sum},
      {"begins as zero", hex("40 21 00"), {a, none}, a},
      {"reads what it stored", hex("10 21 30 41 21 00"), {a, none}, a},
      // Register code; fields are dst, src1, src2.
      {"ADD 01", registers("40 00 00 00 40 01 01 00 01 02 00 01 41 02 02 00"), {a, b, none}, sum},
      {"SUB 02", registers("40 00 00 00 40 01 01 00 02 02 00 01 41 02 02 00"), {a, b, none}, difference},
      {"MUL 03", registers("40 00 00 00 40 01 01 00 03 02 00 01 41 02 02 00"), {a, b, none}, times},
      {"DIV 04", registers("40 00 00 00 40 01 01 00 04 02 00 01 41 02 02 00"), {a, divisor, none}, quotient},
      {"FMA 05",
       registers("40 00 00 00 40 01 01 00 40 ff 00 00 05 ff 00 01 41 02 ff 00"),
       {a, b, none},
       fused},
      {"VADD 10", registers("40 00 00 00 40 01 01 00 10 02 00 01 41 02 02 00"), {a, b, none}, sum},
      {"VMUL 11", registers("40 00 00 00 40 01 01 00 11 02 00 01 41 02 02 00"), {a, b, none}, times},
      {"VDOT 12", registers("40 00 00 00 40 01 01 00 12 02 00 01 41 02 02 00"), {a, b, none}, dotted},
      {"VNORM 13", registers("40 00 00 00 13 02 00 00 41 01 02 00"), {a, none}, norm},
      {"MATMUL 20", registers("40 00 00 00 40 01 01 00 20 02 00 01 41 02 02 00"), {a, b, none}, matrix},
      {"TRANSPOSE 21", registers("40 00 00 00 21 02 00 00 41 01 02 00"), {a, none}, turned},
      {"TRANSPOSE twice",
       registers("40 00 00 00 21 02 00 00 21 03 02 00 41 01 03 00"),
       {a, none},
       each(kCount, [](std::size_t e) { return e < kSide * kSide ? double(a[e]) : 0.0; })},
      {"INVERSE 22",
       registers("40 00 00 00 22 02 00 00 41 01 02 00"),
       {square, Floats(square.size())},
       inverse_of(square, kInverse)},
      {"INVERSE times itself",
       registers("40 00 00 00 22 02 00 00 20 03 02 00 41 01 03 00"),
       {square, Floats(square.size())},
       each(square.size(), [](std::size_t e) { return e / kInverse == e % kInverse ? 1.0 : 0.0; })},
      {"SYNC 30, BARRIER 31", registers("40 00 00 00 30 00 00 00 31 00 00 00 41 01 00 00"), {a, none}, a},
      {"STORESH 43, LOADSH 42",
       registers("40 00 00 00 43 03 00 00 31 00 00 00 42 07 03 00 41 01 07 00"),
       {a, none},
       a},
  };
}

namespace {

class AdeadCode : public AdeadOnDevice {};
INSTANTIATE_TEST_SUITE_P(On, AdeadCode, testing::Values("cpu", "vulkan", "cuda"),
                         [](const auto& device) { return std::string(device.param); });

TEST_P(AdeadCode, EveryOperationIsItsOracle) {
  for (const Sample& s : samples()) {
    SCOPED_TRACE(s.name);
    const auto after = run(s.code, s.buffers, s.expected.size());
    EXPECT_EQ(after.back(), s.expected);
    for (std::size_t i = 0; i + 1 < after.size(); ++i)
      EXPECT_EQ(after[i], s.buffers[i]) << "an input changed";
  }
}

// What lies past the end of a shorter buffer reads as zero and is not written.
TEST_P(AdeadCode, BuffersOfDifferentLengths) {
  const Floats short_a(a.begin(), a.begin() + 10);
  EXPECT_EQ(run(hex("10 41 22 00"), {short_a, b, none}, 512)[2],
            each(kCount, [](std::size_t i) { return (i < 10 ? double(a[i]) : 0.0) + b[i]; }));
  EXPECT_EQ(run(hex("10 21 00"), {a, Floats(3)}, kCount)[1], Floats(a.begin(), a.begin() + 3));
  EXPECT_EQ(run(hex("10 a1 22 00"), {short_a, b, Floats(1)}, 1)[2],
            Floats(1, float(dot(short_a, Floats(b.begin(), b.begin() + 10)))));
  EXPECT_EQ(run(hex("10 41 22 00"), {a, b, none}, 1)[2][256], -99) << "the grid decides which elements exist";
}

// Sums whose workgroups are no power of two, and of several dimensions.
TEST_P(AdeadCode, WorkgroupsOfAnySize) {
  using Block = std::array<std::uint32_t, 3>;
  for (const Block& block : {Block{1, 1, 1}, Block{100, 1, 1}, Block{7, 3, 2}}) {
    SCOPED_TRACE(block[0]);
    EXPECT_EQ(run(hex("10 a1 22 00"), {a, b, none}, kCount, {block})[2], Floats(kCount, float(dot(a, b))));
    EXPECT_EQ(run(hex("10 41 22 00"), {a, b, none}, kCount, {block})[2],
              each(kCount, [](std::size_t i) { return a[i] + b[i]; }));
  }
}

TEST_P(AdeadCode, MatricesToInvertHaveALimit) {
  const Bytes code = registers("40 00 00 00 22 02 00 00 41 01 02 00");
  for (const std::size_t n : {32, 33}) {
    Floats doubled(n * n), expected(n * n, n > 32 ? NAN : 0);
    for (std::size_t i = 0; i < n; ++i) {
      doubled[i * (n + 1)] = 2;
      if (n <= 32) expected[i * (n + 1)] = 0.5f;
    }
    const auto after = run(code, {doubled, none}, n * n);
    for (std::size_t e = 0; e < none.size(); ++e)
      ASSERT_TRUE(after[1][e] == expected[e] || (n > 32 && std::isnan(after[1][e]))) << n << ": " << e;
  }
}

TEST_P(AdeadCode, NothingToDo) { EXPECT_TRUE(run(hex("00"), {}, 1).empty()); }

TEST_P(AdeadCode, BuffersAreCounted) {
  auto module = parse_adead(hex("10 41 22 00"));
  ASSERT_TRUE(module);
  EXPECT_EQ(module->arguments(), 3u);
  auto adead = Adead::make(*device_, *module);
  ASSERT_TRUE(adead);
  auto stream = std::move(*device_->stream());
  const gpu::Argument two[2] = {};
  const Status s = adead->launch(*stream, two, {});
  EXPECT_EQ(s.code(), Code::invalid_arg);
  EXPECT_NE(s.message().find("2 buffers given; it takes 3"), std::string::npos) << s.message();
}

// --- Without a device ---

TEST(AdeadParse, Encode) {
  const std::pair<std::uint8_t, std::uint8_t> add[] = {{1, 0}, {4, 1}, {2, 2}, {0, 0}};
  EXPECT_EQ(*encode_adead(add), hex("10 41 22 00"));
  const std::pair<std::uint8_t, std::uint8_t> wide[] = {{1, 0}, {4, 16}};
  EXPECT_NE(encode_adead(wide).error().message().find("operation 1: (4, 16)"), std::string::npos);
}

TEST(AdeadParse, WhichFormatAndWhichBuffers) {
  using kernel::ParamKind;
  const auto code = *parse_adead(hex("10 41 22 00"));
  EXPECT_EQ(code.format, AdeadFormat::accumulator);
  EXPECT_EQ(code.buffers[0].kind, ParamKind::in);
  EXPECT_EQ(code.buffers[2].kind, ParamKind::out);
  EXPECT_EQ(code.steps[0].program.block, (std::array<std::uint32_t, 3>{256, 1, 1}));
  EXPECT_EQ(parse_adead(hex("10 20 00"))->buffers[0].kind, ParamKind::inout);
  EXPECT_EQ(parse_adead(registers("40 00 00 00"))->format, AdeadFormat::registers);
  EXPECT_EQ(code.groups_for(1).groups, (std::array<std::uint32_t, 3>{1, 1, 1}));
  EXPECT_EQ(code.groups_for(257).groups, (std::array<std::uint32_t, 3>{2, 1, 1}));
  const auto large = code.groups_for(std::uint64_t{1} << 34).groups;
  EXPECT_LE(large[0], 65535u);
  EXPECT_GE(std::uint64_t{large[0]} * large[1] * large[2] * 256, std::uint64_t{1} << 34);
}

struct Refusal {
  const char* name;
  Bytes bytes;
  Code code;
  const char* says;
};
TEST(AdeadParse, GarbageIsRefusedWithItsOffset) {
  Bytes late = registers("40 00 00 00"), early = late, longer = late, version = late;
  late[4] = std::byte{2};
  early.resize(6);
  longer.push_back(std::byte{0});
  version[5] = std::byte{1};
  Bytes nested = hex("10");
  for (int i = 0; i < 4; ++i) append(nested, hex("b1"));
  append(nested, hex("22 00"));
  // Each register is the product of the one before with itself.
  const Bytes doubled = registers("40 00 00 00 20 01 00 00 20 02 01 01 20 03 02 02 20 04 03 03 41 01 04 00");
  const Refusal all[] = {
      {"empty", {}, Code::invalid_arg, "offset 0: the code ends without EXIT"},
      {"no EXIT", hex("10 41 22"), Code::invalid_arg, "offset 3: the code ends without EXIT"},
      {"reserved e", hex("10 e1 00"), Code::invalid_arg, "offset 1: byte e1; operation e is reserved"},
      {"reserved f", hex("ff"), Code::invalid_arg, "offset 0: byte ff; operation f is reserved"},
      {"EXIT 5", hex("10 05"), Code::invalid_arg, "offset 1: byte 05; EXIT takes no operand: write 00"},
      {"SYNC 1", hex("c1 00"), Code::invalid_arg, "offset 0: byte c1; SYNC takes no operand: write c0"},
      {"after EXIT", hex("10 21 00 00 41"), Code::invalid_arg, "offset 4: byte 41 follows EXIT"},
      {"DOT of what was stored", hex("10 21 a1 22 00"), Code::unsupported,
       "offset 2: reads other lanes' elements of buffer 1"},
      {"STORE over an operand", hex("10 b1 20 00"), Code::unsupported, "offset 2: STORE to buffer 0"},
      {"nested products", nested, Code::unsupported, "offset 4: 4 matrix products inside each other"},
      {"nested products of registers", doubled, Code::unsupported, "offset 24: 4 matrix products"},
      {"version", late, Code::unsupported, "offset 4: version 2, flags 0"},
      {"flags", version, Code::unsupported, "offset 4: version 1, flags 1"},
      {"cut header", early, Code::invalid_arg, "offset 4: an AHYB header has 8 bytes and the file 6"},
      {"count", longer, Code::invalid_arg, "offset 6: 2 instructions of 4 bytes announced and 9 bytes there"},
      {"opcode", registers("06 00 00 00"), Code::invalid_arg, "offset 8: opcode 06 is none of AHYB's"},
      {"unused field", registers("40 00 00 01"), Code::invalid_arg, "offset 8: LOAD with fields 00 00 01"},
      {"unwritten", registers("40 00 00 00 01 02 00 05"), Code::invalid_arg,
       "offset 15: ADD reads register 5"},
      {"unwritten FMA", registers("40 00 00 00 05 02 00 00"), Code::invalid_arg,
       "offset 13: FMA reads register 2"},
      {"early EXIT", registers("ff 00 00 00"), Code::invalid_arg, "offset 8: EXIT is instruction 1 of 2"},
      {"EXIT with fields", registers("ff 00 00 01"), Code::invalid_arg,
       "offset 8: EXIT with fields 00 00 01"},
      {"LOADSH", registers("42 00 01 00"), Code::invalid_arg,
       "offset 8: LOADSH of slot 1, which nothing wrote"},
      {"STORESH", registers("40 00 00 00 43 04 00 00"), Code::unsupported,
       "offset 12: STORESH to slot 4; there are 4"},
      {"shared across", registers("40 00 00 00 43 00 00 00 42 01 00 00 13 02 01 00"), Code::unsupported,
       "offset 20: an operand comes from shared memory"},
      {"two INVERSE", registers("40 00 00 00 22 01 00 00 22 02 01 00"), Code::unsupported,
       "offset 16: more than 1 INVERSE"},
  };
  for (const Refusal& r : all) {
    SCOPED_TRACE(r.name);
    const auto module = parse_adead(r.bytes);
    ASSERT_FALSE(module);
    EXPECT_EQ(module.error().code(), r.code);
    EXPECT_NE(module.error().message().find(r.says), std::string::npos) << module.error().message();
  }
  EXPECT_EQ(parse_adead(hex("00"), {{0, 1, 1}}).error().code(), Code::invalid_arg);
  EXPECT_EQ(parse_adead(hex("00"), {{65536, 65536, 65536}}).error().code(), Code::invalid_arg);
}

// Registers that double what they hold: the kernel would have 2^200 operations.
TEST(AdeadParse, SharedOperandsAreComputedOnce) {
  std::string text = "40 00 00 00";
  for (int i = 0; i < 200; ++i) text += " 01 00 00 00";
  const auto module = parse_adead(registers(text + " 13 01 00 00 41 01 01 00"));
  ASSERT_TRUE(module) << module.error().message();
  EXPECT_LT(module->steps[0].program.insts.size(), 1000u);
}

// NVIDIA's assembler takes every kernel, for the oldest and a recent target.
TEST(AdeadPtx, EveryKernelAssembles) {
  if (std::system("ptxas --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "ptxas not found in PATH";
  std::vector<Bytes> programs;
  for (const Sample& s : samples()) programs.push_back(s.code);
  for (const Scenario& s : scenarios()) programs.push_back(operations(s.list));
  std::string header, bodies;
  int kernels = 0;
  for (const Bytes& bytes : programs) {
    auto module = *parse_adead(bytes);
    for (AdeadStep& step : module.steps) {
      const std::string name = "k" + std::to_string(kernels++);
      step.program.name = name;
      std::string text;
      ASSERT_TRUE(kernel::ptx_to(text, step.program.view(), {.sm = 75}).ok());
      const std::size_t body = text.find(".visible");
      header = text.substr(0, body);
      bodies += text.substr(body);
    }
  }
  const std::string file = testing::TempDir() + "gpuio_adead_" + std::to_string(getpid()) + ".ptx";
  std::ofstream(file) << header << bodies;
  for (const char* target : {"sm_75", "sm_90"})
    EXPECT_EQ(std::system(("ptxas -arch=" + std::string(target) + " -o /dev/null " + file).c_str()), 0)
        << file;
  std::remove(file.c_str());
}

}  // namespace
}  // namespace gpuio::launch
