#include "io/registry.hpp"

#include <gtest/gtest.h>

#include "engines/memory/memory.hpp"

namespace gpuio::io {
namespace {

Registry with_memory() {
  Registry registry;
  EXPECT_TRUE(registry.add({"mem", "memio"}, make_memory_engine()).ok());
  return registry;
}

TEST(Registry, OpensByScheme) {
  const Registry registry = with_memory();
  const auto opened = registry.open("mem://a?size=4KiB", kRead | kWrite);
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->engine->name(), "memory");
  EXPECT_EQ(opened->target->info()->size, 4096u);
  EXPECT_TRUE(registry.open("gpuio://memio/a?size=1KiB", kRead)) << "the family names the engine";
}

TEST(Registry, AnUnknownSchemeNamesTheKnownOnes) {
  const Registry registry = with_memory();
  const auto opened = registry.open("file:///a.bin", kRead);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::not_found);
  for (const char* word : {"file:///a.bin", "mem", "memio"})
    EXPECT_NE(opened.error().message().find(word), std::string::npos) << opened.error().message();
  EXPECT_EQ(registry.open("nonsense://x", kRead).error().code(), Code::invalid_arg);
  EXPECT_EQ(registry.open("", kRead).error().code(), Code::invalid_arg);
}

TEST(Registry, ASchemeHasOneEngine) {
  Registry registry = with_memory();
  EXPECT_EQ(registry.add({"mem"}, make_memory_engine()).code(), Code::busy);
}

TEST(MemoryEngine, NamesLimitsAndMistakes) {
  const Registry registry = with_memory();
  EXPECT_EQ(registry.open("mem://nobody", kRead).error().code(), Code::not_found);
  EXPECT_EQ(registry.open("mem://a?size=4KiB", 0).error().code(), Code::invalid_arg);
  EXPECT_EQ(registry.open("mem://a?size=4KiB&limit=1KiB", kRead).error().code(), Code::invalid_arg);
  EXPECT_EQ(registry.open("mem://a?sise=4KiB", kRead).error().code(), Code::invalid_arg);
  EXPECT_EQ(registry.open("mem://a?size=1000000GiB", kRead).error().code(), Code::nomem);
  auto first = registry.open("mem://a?size=4KiB&limit=4KiB", kRead | kWrite);
  ASSERT_TRUE(first) << first.error().message();
  first->target->address()[4095] = std::byte{42};
  auto second = registry.open("mem://a", kRead);
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->target->address()[4095], std::byte{42});
  first = {}, second = {};
  EXPECT_EQ(registry.open("mem://a", kRead).error().code(), Code::not_found) << "nobody has it open any more";
}

TEST(MemoryEngine, AWriteBeyondTheLimitSaysHowMuchWentIn) {
  const Registry registry = with_memory();
  auto opened = registry.open("mem://a?size=10&limit=16", kRead | kWrite);
  ASSERT_TRUE(opened) << opened.error().message();
  auto queue = *opened->engine->queue(1);
  std::byte bytes[16] = {};
  const Segment segment{bytes, 16};
  Op op{.kind = OpKind::write, .target = opened->target.get(), .offset = 4, .segments = {&segment, 1}};
  Op* list[] = {&op};
  ASSERT_EQ(queue->submit(list), 1u);
  ASSERT_EQ(queue->poll(list), 1u);
  EXPECT_EQ(op.code, Code::io);
  EXPECT_EQ(op.bytes, 12u);
  EXPECT_EQ(opened->target->info()->size, 16u);
  EXPECT_EQ(describe(op),
            "writing 16 bytes at 4 of mem://a: No space left on device (ENOSPC); 12 bytes are certain");
}

}  // namespace
}  // namespace gpuio::io
