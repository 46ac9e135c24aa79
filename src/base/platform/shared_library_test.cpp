#include "base/platform/shared_library.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(SharedLibrary, CallsAFunctionOfALibrary) {
  auto library = SharedLibrary::open("libm.so.6");
  ASSERT_TRUE(library) << library.error().message();
  EXPECT_EQ(library->name(), "libm.so.6");
  auto larger = library->function<double(double, double)>("fmax");
  ASSERT_TRUE(larger) << larger.error().message();
  EXPECT_EQ((*larger)(2, 3), 3);
}

TEST(SharedLibrary, MissingLibraryNamesItAndTheRemedy) {
  auto library = SharedLibrary::open("libno-such-thing.so.9");
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code(), Code::not_found);
  EXPECT_THAT(library.error().message(),
              AllOf(HasSubstr("libno-such-thing.so.9"), HasSubstr("LD_LIBRARY_PATH")));
}

TEST(SharedLibrary, MissingSymbolNamesBoth) {
  auto library = SharedLibrary::open("libm.so.6");
  auto symbol = library->symbol("no_such_function");
  ASSERT_FALSE(symbol);
  EXPECT_EQ(symbol.error().code(), Code::not_found);
  EXPECT_THAT(symbol.error().message(), AllOf(HasSubstr("no_such_function"), HasSubstr("libm.so.6")));
}

TEST(SharedLibrary, OpensTheFirstThatIsThereOrNamesAll) {
  auto library = SharedLibrary::open_first({"libabsent-a.so", "libm.so.6"});
  ASSERT_TRUE(library);
  EXPECT_EQ(library->name(), "libm.so.6");
  auto none = SharedLibrary::open_first({"libabsent-a.so", "libabsent-b.so"});
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message(), AllOf(HasSubstr("libabsent-a.so"), HasSubstr("libabsent-b.so")));
  EXPECT_FALSE(SharedLibrary::open_first({}));
}

TEST(SharedLibrary, ClosedLibraryAnswersAnError) {
  SharedLibrary closed;
  EXPECT_FALSE(closed.is_open());
  EXPECT_EQ(closed.symbol("fmax").error().code(), Code::not_initialized);
  closed = std::move(*SharedLibrary::open("libm.so.6"));
  EXPECT_TRUE(closed.symbol("fmax"));
}

}  // namespace
}  // namespace gpuio
