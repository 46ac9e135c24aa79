// The larger worlds: minutes, not seconds.
#include <gpuio/device/check/explore.hpp>
#include <gpuio/device/check/worlds.hpp>

#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

namespace gpuio::device::check {
namespace {

TEST(SoundFull, NoStateIsWrong) {
  constexpr std::size_t kStatesMax = 40'000'000;
  std::vector<Config> worlds{trouble(2), staging(2), leavers(), one_way_live()};
  Config all{
      .name = "everything at once", .failures = 1, .leavers = 3, .parks = true, .bypass = true, .late = true};
  all.stale = true;
  all.may[0] = all.may[1] = kRead | kWrite | kSpan;
  worlds.push_back(all);
  worlds.push_back({.name = "three lanes", .lanes = 3, .late = true});
  worlds.push_back({.name = "three lanes, bytes at hand", .lanes = 3, .brings = true});
  Config three{.name = "three lanes, three pages, two buckets", .lanes = 3, .pages = 3, .buckets = 2};
  three.may[0] = three.may[1] = three.may[2] = kRead;
  worlds.push_back(three);
  std::size_t total = 0;
  for (const Config& c : worlds) {
    const Result r = explore(c, kStatesMax);
    std::printf("%-40s %9zu states, depth %3u, %5.1f s: %s\n", c.name.c_str(), r.states, r.depth, r.seconds,
                describe(r.error));
    std::fflush(stdout);
    EXPECT_EQ(r.error, kOk) << c.name << ": " << describe(r.error) << '\n' << r.trace;
    EXPECT_TRUE(r.complete) << c.name << ": more than " << kStatesMax << " states";
    total += r.states;
  }
  std::printf("%zu states in all\n", total);
}

}  // namespace
}  // namespace gpuio::device::check
