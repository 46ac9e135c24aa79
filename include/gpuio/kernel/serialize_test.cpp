#include <gpuio/kernel/serialize.hpp>

#include <gpuio/kernel/hash.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "base/fuzz.hpp"
#include "support/every_operation.hpp"
#include "support/kernels.hpp"

namespace gpuio::kernel {
namespace {

namespace k = test_kernels;

bool same(const View& a, const View& b) {
  return a.name == b.name && a.block == b.block && std::ranges::equal(a.params, b.params) &&
         std::ranges::equal(a.shared, b.shared) && std::ranges::equal(a.vars, b.vars) &&
         std::ranges::equal(a.insts, b.insts);
}

// Also while compiling, where a kernel could be stored.
static_assert(deserialize(serialize(k::subgroup_sum.view())).program.insts.size() ==
              k::subgroup_sum.view().insts.size());

TEST(Serialize, EveryTestKernelComesBack) {
  for (const View& v :
       {k::saxpy.view(), k::block_sum.view(), k::matmul.view(), k::histogram.view(), k::subgroup_sum.view(),
        k::subgroup_mix.view(), k::pointer_chase.view(), k::scan_histogram.view(), k::storage.view()}) {
    const std::vector<u8> bytes = serialize(v);
    const Deserialized read = deserialize(bytes);
    ASSERT_TRUE(read.ok()) << v.name << ": " << message(read);
    EXPECT_TRUE(same(read.program.view(), v)) << v.name;
    EXPECT_EQ(canonical_hash(read.program.view()), canonical_hash(v));
  }
}

TEST(Serialize, EveryOperationOnEveryTypeComesBack) {
  for (Type t : {Type::u32, Type::i32, Type::f32, Type::u64, Type::i64, Type::f64, Type::boolean}) {
    const auto every = k::every_arithmetic(t, 64);
    const std::vector<u8> bytes = serialize(every.program.view());
    const Deserialized read = deserialize(bytes);
    ASSERT_TRUE(read.ok()) << message(read);
    EXPECT_TRUE(same(read.program.view(), every.program.view()));
  }
}

TEST(Serialize, BytesAreTheSameOnEveryMachine) {
  const std::vector<u8> bytes = serialize(k::saxpy.view());
  const u8 begin[] = {'G', 'K', 'I', 'R', 1, 0, 0, 0, u8(bytes.size()), u8(bytes.size() >> 8),
                      0,   0,   0,   1,   0, 0};
  EXPECT_TRUE(std::equal(std::begin(begin), std::end(begin), bytes.begin()));
}

TEST(Serialize, EveryTruncationIsRefused) {
  const std::vector<u8> bytes = serialize(k::block_sum.view());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    ASSERT_FALSE(deserialize(std::span(bytes).first(n)).ok()) << n << " bytes of " << bytes.size();
  std::vector<u8> longer = bytes;
  longer.push_back(0);
  EXPECT_EQ(deserialize(longer).error, FormatError::length);
}

struct Case {
  std::size_t at;
  u8 value;
  FormatError error;
  const char* says;
};
TEST(Serialize, WhatIsWrongIsNamedWithItsOffset) {
  const std::vector<u8> good = serialize(k::saxpy.view());
  const std::size_t params = 44 + 5, vars = params + 4 * 12;
  const std::size_t insts = good.size() - 36 * k::saxpy.view().insts.size();
  const Case cases[] = {
      {0, 'X', FormatError::not_a_kernel, "offset 0: "},
      {4, 9, FormatError::version, "version 9"},
      {28, 5, FormatError::length, "offset 8: "},  // params
      {params, 9, FormatError::value, "offset 49: 9 "},
      {params + 1, 0, FormatError::value, "offset 50: 0 "},
      {params + 2, 1, FormatError::value, "offset 51: 1 "},
      {vars, 200, FormatError::value, "offset 97: 200 "},
      {insts, 200, FormatError::value, ": 200 "},
      {insts + 3, 3, FormatError::value, ": 3 "},
      {12, 0, FormatError::wrong_kernel, "1 to 1024 lanes"},  // block x: 256 becomes 0 below
  };
  for (const Case& c : cases) {
    std::vector<u8> bytes = good;
    bytes[c.at] = c.value;
    if (c.at == 12) bytes[13] = 0;
    const Deserialized read = deserialize(bytes);
    EXPECT_EQ(read.error, c.error) << "byte " << c.at << ": " << message(read);
    EXPECT_NE(message(read).find(c.says), std::string::npos) << message(read);
    EXPECT_TRUE(read.program.insts.empty());
    EXPECT_TRUE(c.error != FormatError::value || read.offset == c.at) << message(read);
  }
}

TEST(Serialize, WhatWouldExhaustPassesIsRefused) {
  Program deep{.name = "deep", .block = {1, 1, 1}};
  Builder b(deep);
  const u32 yes = b.constant(Type::boolean, 1);
  for (u32 n = 0; n <= kNestingMax; ++n) deep.insts.push_back({.op = Op::if_, .a = yes});
  for (u32 n = 0; n <= kNestingMax; ++n) deep.insts.push_back({.op = Op::end_if});
  EXPECT_EQ(deserialize(serialize(deep.view())).error, FormatError::nesting);

  Program wide{.name = "wide", .block = {1, 1, 1}};
  wide.shared.assign(8, {Type::u64, 0x10000000});  // 8 x 2 GiB: 0 in 32 bits
  EXPECT_EQ(deserialize(serialize(wide.view())).error, FormatError::shared_size);
}

TEST(Serialize, LengthsBeyondSignedNumbersAreLengths) {
  Program p{.name = "long", .block = {1, 1, 1}};
  Builder b(p);
  b.param(ParamKind::in, Type::u32);
  p.params[0].count = u64{1} << 63;
  b.load(0, b.constant(Type::u64, 5));
  EXPECT_TRUE(verify(p.view()).ok());
  EXPECT_TRUE(deserialize(serialize(p.view())).ok());
}

// What is accepted is a right kernel and has these bytes; what is not says where and why.
std::string check_with(std::vector<u8> (*write)(const View&), std::span<const uint8_t> input) {
  const Deserialized read = deserialize(input);
  if (!read.ok()) {
    if (read.offset > input.size()) return "an offset past the end";
    return message(read).empty() ? "an error without a message" : "";
  }
  if (!verify(read.program.view(), {.races = false}).ok()) return "a wrong kernel was accepted";
  return std::ranges::equal(write(read.program.view()), input) ? "" : "its own bytes differ";
}
std::string check(std::span<const uint8_t> input) { return check_with(serialize, input); }
// Forgets the lines.
std::string planted(std::span<const uint8_t> input) {
  return check_with(
      [](const View& v) {
        std::vector<Inst> insts(v.insts.begin(), v.insts.end());
        for (Inst& i : insts)
          if (i.op == Op::store) i.line &= 0xffff;
        View other = v;
        other.insts = insts;
        return serialize(other);
      },
      input);
}

std::string_view bytes_of(const View& v) {
  static std::deque<std::vector<u8>> kept;  // what was handed out stays where it is
  kept.push_back(serialize(v));
  return fuzz::as_text(kept.back());
}

}  // namespace

GPUIO_FUZZ(Serialize, check, planted,
           {bytes_of(k::saxpy.view()), bytes_of(k::subgroup_sum.view()), bytes_of(k::pointer_chase.view())})

}  // namespace gpuio::kernel
