#include "base/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <random>

namespace gpuio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min(), kMost = std::numeric_limits<int64_t>::max();

TEST(Text, Integers) {
  EXPECT_EQ(parse_integer("0", 0, 9).value(), 0);
  EXPECT_EQ(parse_integer("-12", -12, 9).value(), -12);
  EXPECT_EQ(parse_integer("+7", 0, 9).value(), 7);
  EXPECT_EQ(parse_integer("0xff", 0, 255).value(), 255);
  EXPECT_EQ(parse_integer("9223372036854775807", kLeast, kMost).value(), kMost);
  EXPECT_EQ(parse_integer("-9223372036854775808", kLeast, kMost).value(), kLeast);
  for (const char* bad : {"", "-", "0x", "1 ", " 1", "1.5", "1e3", "--1", "+-1", "x"})
    EXPECT_THAT(parse_integer(bad, kLeast, kMost).error().message(), HasSubstr("not a whole number")) << bad;
  for (const char* far : {"9223372036854775808", "-9223372036854775809", "99999999999999999999999"})
    EXPECT_THAT(parse_integer(far, kLeast, kMost).error().message(), HasSubstr("out of range")) << far;
  EXPECT_THAT(parse_integer("10", 0, 9).error().message(), AllOf(HasSubstr("10"), HasSubstr("from 0 to 9")));
}

TEST(Text, Sizes) {
  EXPECT_EQ(parse_size("0").value(), 0u);
  EXPECT_EQ(parse_size("4096").value(), 4096u);
  EXPECT_EQ(parse_size("64MiB").value(), uint64_t{64} << 20);
  EXPECT_EQ(parse_size("64m").value(), uint64_t{64} << 20);
  EXPECT_EQ(parse_size("3kb").value(), 3000u);
  EXPECT_EQ(parse_size("2GB").value(), 2'000'000'000u);
  EXPECT_EQ(parse_size("1PiB").value(), uint64_t{1} << 50);
  EXPECT_EQ(parse_size("16383PiB").value(), uint64_t{16383} << 50);
  for (const char* bad : {"", "MiB", "-1", "1.5GiB", "64 MiB", "64MiBs", "0x10", "1e6"})
    EXPECT_THAT(parse_size(bad).error().message(), HasSubstr("not a size")) << bad;
  for (const char* far : {"16384PiB", "18446744073709551616", "99999999999999999999999999P"})
    EXPECT_THAT(parse_size(far).error().message(), HasSubstr("64 bits")) << far;
}

TEST(Text, SizesComeBackAsTheyWere) {
  EXPECT_EQ(format_size(0), "0B");
  EXPECT_EQ(format_size(1000), "1000B");
  EXPECT_EQ(format_size(uint64_t{64} << 20), "64MiB");
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t bytes = (random() >> (random() % 64)) << (random() % 40);
    ASSERT_EQ(parse_size(format_size(bytes)).value(), bytes);
  }
}

TEST(Text, YesAndNo) {
  for (const char* yes : {"1", "true", "YES", "On"}) EXPECT_TRUE(parse_bool(yes).value());
  for (const char* no : {"0", "False", "no", "OFF"}) EXPECT_FALSE(parse_bool(no).value());
  for (const char* bad : {"", "2", "maybe", "tru"})
    EXPECT_EQ(parse_bool(bad).error().code(), Code::invalid_arg) << bad;
}

TEST(Text, SuggestsTheWordThatWasMeant) {
  constexpr std::array<std::string_view, 3> kKnown = {"cache_size", "page_size", "direct"};
  EXPECT_EQ(closest("cache_sise", kKnown), "cache_size");
  EXPECT_EQ(closest("dierct", kKnown), "direct");
  EXPECT_EQ(closest("DIRECT", kKnown), "direct");
  EXPECT_EQ(closest("window", kKnown), "");
  EXPECT_EQ(closest("", kKnown), "");
  EXPECT_EQ(suggest("pagesize", kKnown), "; did you mean page_size?");
  EXPECT_EQ(suggest("zzz", kKnown), "; known are cache_size, page_size, direct");
}

TEST(Text, PrintableShowsWhatIsThere) {
  EXPECT_EQ(printable(std::string_view("a\0b\n\xff", 5)), "a\\x00b\\x0a\\xff");
  EXPECT_LT(printable(std::string(100'000, 'x')).size(), 1000u);
}

}  // namespace
}  // namespace gpuio
