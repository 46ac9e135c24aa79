#include "base/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

namespace gpuio::testing_only {
struct CountsFormatting {
  int* formatted;
};
}  // namespace gpuio::testing_only

template <>
struct fmt::formatter<gpuio::testing_only::CountsFormatting> : fmt::formatter<int> {
  auto format(gpuio::testing_only::CountsFormatting c, fmt::format_context& out) const {
    return fmt::formatter<int>::format(++*c.formatted, out);
  }
};

namespace gpuio {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing_only::CountsFormatting;

// What a configuration says gives way to an explicit choice, in either order. Runs first: the choice stays.
TEST(Log, ExplicitLevelWinsOverConfigured) {
  EXPECT_EQ(log_level(), LogLevel::info);
  configure_log_level(LogLevel::debug);
  EXPECT_EQ(log_level(), LogLevel::debug);
  set_log_level(LogLevel::error);
  configure_log_level(LogLevel::trace);
  EXPECT_EQ(log_level(), LogLevel::error);
}

TEST(Log, ShowsItsLevelAndBelowOnStandardError) {
  set_log_level(LogLevel::warn);
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  log(LogLevel::warn, "page {} is {}", 7, "late");
  log(LogLevel::fatal, "gone {{}}");
  log(LogLevel::info, "hidden");
  log(LogLevel::none, "never");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("warning: page 7 is late\n"));
  EXPECT_THAT(text, HasSubstr("gone {}\n"));
  EXPECT_THAT(text, Not(HasSubstr("hidden")));
  EXPECT_THAT(text, Not(HasSubstr("never")));
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
}

TEST(Log, NoneSilencesEverything) {
  set_log_level(LogLevel::none);
  testing::internal::CaptureStderr();
  log(LogLevel::fatal, "x");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(Log, SuppressedMessagesAreNotFormatted) {
  set_log_level(LogLevel::error);
  int formatted = 0;
  log(LogLevel::debug, "{}", CountsFormatting{&formatted});
  EXPECT_EQ(formatted, 0);
}

TEST(Log, LinesOfManyThreadsStayWhole) {
  set_log_level(LogLevel::info);
  testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 100; ++i)
        log(LogLevel::info, "thread-{} {}", t, std::string(60, 'a' + static_cast<char>(t)));
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 400);
  for (int t = 0; t < 4; ++t) {
    const std::string line = fmt::format("thread-{} {}\n", t, std::string(60, 'a' + static_cast<char>(t)));
    size_t found = 0;
    for (size_t at = text.find(line); at != std::string::npos; at = text.find(line, at + 1)) ++found;
    EXPECT_EQ(found, 100u);
  }
}

TEST(Log, NamesLevels) {
  EXPECT_EQ(log_level_name(LogLevel::none), "none");
  EXPECT_EQ(log_level_name(LogLevel::trace), "trace");
  EXPECT_EQ(log_level_name(static_cast<LogLevel>(9)), "unknown");
}

}  // namespace
}  // namespace gpuio
