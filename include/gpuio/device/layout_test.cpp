#include <gpuio/device/layout.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace gpuio::device {
namespace {

TEST(Layout, ATagsPartsDoNotTouchEachOther) {
  const u64 t = make_tag<u64>(kNoPage - 1, kFill) + 5 * kPin;
  EXPECT_EQ(page_of(t), kNoPage - 1);
  EXPECT_EQ(state_of(t), kFill);
  EXPECT_EQ(pins_of(t), 5u);
  EXPECT_FALSE(dirty_of(t));
  EXPECT_EQ(page_of(t | kDirty), page_of(t));
  EXPECT_EQ(pins_of(t - 5 * kPin), 0u);
  // One pin too few wraps in the pins alone.
  EXPECT_EQ((t - 6 * kPin) & ~kPins, t & ~kPins);
}

TEST(Layout, SequentialAndStridedPagesSpreadEvenly) {
  for (u32 buckets : {1u, 2u, 3u, 100u, 4096u}) {
    for (u64 stride : {u64{1}, u64{2}, u64{4096}, u64{1} << 20}) {
      std::vector<u32> load(buckets);
      const u64 pages = u64{buckets} * 64;
      for (u64 p = 0; p < pages; ++p) {
        const u64 page = p * stride & (kNoPage - 1);
        const u32 a = primary_bucket(page, buckets), b = secondary_bucket(page, buckets);
        ASSERT_LT(a, buckets);
        ASSERT_LT(b, buckets);
        if (buckets > 1) {
          ASSERT_NE(a, b) << "page " << page << " of " << buckets;
        }
        ++load[a];
      }
      for (u32 n : load) EXPECT_LT(n, 64 * 4) << buckets << " buckets, stride " << stride;
    }
  }
}

TEST(Layout, WordsKeepWhatIsPutIntoThem) {
  const u64 a = make_answer(0xfedcba98, 71);
  EXPECT_EQ(answer_sequence(a | kStaged), 0xfedcba98u);
  EXPECT_EQ(answer_status(a | kStaged), 71u);
  const u64 c = u64{0x89abcdef} << kSequenceShift | u64{0x0fffffff} << kFrameShift |
                kOpBypass << kOperationShift | kOrphan;
  EXPECT_EQ(control_sequence(c), 0x89abcdefu);
  EXPECT_EQ(control_frame(c), 0x0fffffffu);
  EXPECT_EQ(control_operation(c), kOpBypass);
  EXPECT_EQ(control_state(c), kOrphan);
}

}  // namespace
}  // namespace gpuio::device
