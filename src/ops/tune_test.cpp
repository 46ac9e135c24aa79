#include <filesystem>
#include <fstream>
#include <thread>

#include "base/platform/file.hpp"
#include "ops/matmul.hpp"
#include "ops/ops_fixture.hpp"

namespace gpuio::ops {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Tune : public OpsTest {
 protected:
  auto folder() const {
    return [this] { return DiskCache::Options{.folder = (root_ / "cache").string(), .bytes_max = 1 << 20}; };
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> all;
    for (const auto& entry : fs::directory_iterator(root_ / "cache")) all.push_back(entry.path());
    return all;
  }
  void make_tensors(std::uint64_t m) {
    a = array("a", Dtype::f32, {m, 40}), b = array("b", Dtype::f32, {40, 60}),
    c = array("c", Dtype::f32, {m, 60});
    fill(a, -1, 1, 1), fill(b, -1, 1, 2);
  }
  std::string tuned(std::uint64_t budget_us = 100'000) {
    return std::string(must(tune_matmul(*kernels_, a, b, c, {}, budget_us)));
  }
  Product product() const { return must(product_of(a, b, c, {})); }

  Array a, b, c;
  const TemporaryDirectory folder_ = std::move(*TemporaryDirectory::create());
  const fs::path root_ = folder_.path();
};

TEST_P(Tune, WhatWasChosenIsUsedForLikeSizesOnly) {
  make_tensors(33);
  EXPECT_FALSE(kernels_->choices.find(product()));
  const std::string name = tuned();
  double want = 0;
  for (std::uint64_t l = 0; l < 40; ++l) want += a.at(32 * 40 + l) * b.at(l * 60 + 59);
  EXPECT_NEAR(c.at(32 * 60 + 59), want, 1e-4);  // c is written
  const auto way = kernels_->choices.find(product());
  ASSERT_TRUE(way);
  EXPECT_EQ(kWays[*way].name, name);
  Plan plan;
  EXPECT_EQ(way_for({*kernels_, *workspace_, plan}, product()), *way);
  make_tensors(40);
  EXPECT_TRUE(kernels_->choices.find(product()));
  make_tensors(5);
  EXPECT_FALSE(kernels_->choices.find(product()));
}

TEST_P(Tune, LaterCallsTakeWhatWasKeptWhicheverItIs) {
  make_tensors(33);
  const std::size_t before = kernels_->size();
  std::size_t other = 0;
  while (!possible(device_->info(), kWays[other], product()) ||
         other == way_of_size(device_->info(), product()))
    ++other;
  kernels_->choices.keep(product(), other);
  ASSERT_EQ(run([&](const Place& p) { return matmul(p, a, b, c, {}); }).message(), "");
  ASSERT_EQ(run([&](const Place& p) { return launch(p, product(), other); }).message(), "");
  EXPECT_EQ(kernels_->size(), before + 1);  // both launched the same kernel
}

TEST_P(Tune, AnotherProcessFindsIt) {
  make_tensors(33);
  kernels_->choices.keep_in(folder());
  const std::string name = tuned();
  EXPECT_EQ(files().size(), 1u);
  Choices later(device_->info());
  later.keep_in(folder());
  const auto way = later.find(product());
  ASSERT_TRUE(way);
  EXPECT_EQ(kWays[*way].name, name);
  gpu::DeviceInfo newer = device_->info();
  newer.driver += " of next week";
  Choices other(newer);
  other.keep_in(folder());
  EXPECT_FALSE(other.find(product()));
}

TEST_P(Tune, WhatIsDamagedIsNotThere) {
  make_tensors(33);
  kernels_->choices.keep_in(folder());
  tuned(1);
  const auto path = files().at(0);
  const auto size = fs::file_size(path);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(std::streamoff(size - 2))
      .put('?');
  ::testing::internal::CaptureStderr();
  Choices later(device_->info());
  later.keep_in(folder());
  EXPECT_FALSE(later.find(product()));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("is damaged"));
  EXPECT_TRUE(files().empty());
  later.keep(product(), 0);
  EXPECT_EQ(files().size(), 1u);
}

TEST_P(Tune, AFolderThatCannotBeWrittenKeepsNothingAndHindersNothing) {
  make_tensors(33);
  std::ofstream(root_ / "cache") << "a file, where the folder should be";
  ::testing::internal::CaptureStderr();
  kernels_->choices.keep_in(folder());
  const std::string name = tuned(1);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("nothing is kept"));
  EXPECT_EQ(kWays[kernels_->choices.find(product()).value()].name, name);
}

TEST_P(Tune, ManyAtOnceShareOneFolder) {
  make_tensors(33);
  const Product p = product();
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        Choices mine(device_->info());
        mine.keep_in(folder());
        (void)mine.find(p);
        mine.keep(p, t % 2);
        EXPECT_EQ(mine.find(p), t % 2);
      }
    });
  for (std::thread& t : threads) t.join();
  Choices later(device_->info());
  later.keep_in(folder());
  EXPECT_LT(later.find(p).value(), 2u);
  EXPECT_EQ(files().size(), 1u);
}

// Of products of like sizes one has whole steps of Hopper's units, and another has not.
TEST(TuneChoices, WhatALikeProductCannotTakeIsNotChosenForIt) {
  gpu::DeviceInfo gpu;
  gpu.backend = gpu::Backend::cuda, gpu.major = 9, gpu.lanes_max = 1024, gpu.shared_bytes_max = 227 * 1024;
  const auto product = [](std::uint32_t k) {
    Product p{.a = Dtype::bf16, .b = Dtype::bf16, .b_transposed = true, .m = 512, .k = k, .a_row = 4096};
    p.part[0] = {.n = 512, .b_row = 4096};
    return p;
  };
  std::size_t way = 0;
  while (!kWays[way].warpgroups) ++way;
  Choices choices(gpu);
  choices.keep(product(3072), way);
  EXPECT_EQ(choices.find(product(3072)), way);
  EXPECT_EQ(choices.find(product(3000)), std::nullopt);
  EXPECT_EQ(choices.find(product(2048)), way);
}

TEST_P(Tune, RefusesWhatTheProductRefuses) {
  make_tensors(33);
  const auto answer = tune_matmul(*kernels_, a, a, c, {}, 1);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code(), Code::invalid_arg);
  EXPECT_THAT(answer.error().message(), HasSubstr("a: f32 33 x 40: its rows are to be the 40 columns"));
}

GPUIO_ON_DEVICES(Tune);

}  // namespace
}  // namespace gpuio::ops
