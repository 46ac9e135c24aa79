#include "base/status.hpp"

#include <gtest/gtest.h>

namespace gpuio {
namespace {

Result<int> half(int n) {
  if (n % 2) return fail(Code::invalid_arg, "{} is odd; pass an even number", n);
  return n / 2;
}

TEST(Status, CarriesCodeAndMessage) {
  EXPECT_EQ(half(4).value(), 2);
  auto r = half(5);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code(), Code::invalid_arg);
  EXPECT_EQ(r.error().message(), "5 is odd; pass an even number");
}

TEST(Status, WrapReadsFromTheOutsideIn) {
  EXPECT_EQ(error(Code::io, "read failed").wrap("page 3").wrap("array a").message(),
            "array a: page 3: read failed");
  EXPECT_TRUE(Status().wrap("nothing").ok());
  EXPECT_EQ(Status().wrap("nothing").message(), "");
}

}  // namespace
}  // namespace gpuio
