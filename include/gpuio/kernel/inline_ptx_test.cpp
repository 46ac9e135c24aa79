// What marks a kernel: inline PTX, and races that its author answers for. Both stay with it in files.
#include <gpuio/kernel.hpp>
#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/interpret.hpp>
#include <gpuio/kernel/lower.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <gtest/gtest.h>

namespace gpuio::kernel {
namespace {

constexpr auto marked = kernel<"marked", 32>([](Ctx k, In<u32> x, Out<u32> y) {
  k.unchecked_races("x is a permutation");
  auto tile = k.shared<u32, 32>();
  tile[x[k.tid()] & 31] = 1u;
  k.barrier();
  auto mixed = k.ptx<u32>("prmt.b32 %0, %1, %2, 0x5410;", x[k.tid()], tile[k.tid()]);
  y[k.tid()] = mixed + k.ptx<u32, 90, 78>("{ .reg .b32 t; mov.u32 t, %%smid; add.u32 %0, t, %1; }", k.tid());
});

TEST(InlinePtx, TheTextHasItsRegisters) {
  std::string text;
  ASSERT_TRUE(ptx_to(text, marked.view(), {.sm = 90}).ok());
  EXPECT_NE(text.find(".version 7.8\n.target sm_90\n"), text.npos) << text;
  EXPECT_NE(text.find("mov.u32 t, %smid; add.u32 %r"), text.npos) << text;
  EXPECT_NE(text.find("prmt.b32 %r"), text.npos) << text;
  EXPECT_EQ(min_sm(marked.view()), 90u);
  const PtxResult r = ptx_to(text, marked.view(), {.sm = 80});
  EXPECT_EQ(r.error, PtxError::newer);
  EXPECT_EQ(marked.view().insts[r.inst].op, Op::inline_ptx);
  EXPECT_GT(r.line, 0u);
}

TEST(InlinePtx, OtherBackEndsRefuseByName) {
  const SpirvRefusal r = spirv_refusal(marked.view());
  EXPECT_NE(r.what.find("inline PTX"), r.what.npos);
  EXPECT_GT(r.line, 0u);
  std::vector<std::byte> x(128), y(128);
  const std::array arguments{Argument::buffer(x), Argument::buffer(y)};
  EXPECT_EQ(interpret(marked.view(), {1, 1, 1}, arguments, {.check_shared = false}).error,
            "inline PTX runs on CUDA only");
}

TEST(InlinePtx, ItIsItsText) {
  const auto of = [](const char* text) {
    return trace_program([text](Ctx k, Out<u32> y) { y[k.tid()] = k.ptx<u32>(text, k.tid()); }, "k",
                         {32, 1, 1});
  };
  EXPECT_EQ(canonical_hash(of("not.b32 %0, %1;").view()), canonical_hash(of("not.b32 %0, %1;").view()));
  EXPECT_NE(canonical_hash(of("not.b32 %0, %1;").view()), canonical_hash(of("neg.s32 %0, %1;").view()));
  for (const char* bad : {"mov.b32 %0, %2;", "mov.b32 %r1, %1;", "mov.b32 %0, %1; %"})
    EXPECT_THROW(of(bad), std::invalid_argument) << bad;
}

TEST(Marks, StayInFilesAndPasses) {
  const std::vector<u8> bytes = serialize(marked.view());
  const Deserialized back = deserialize(bytes);
  ASSERT_TRUE(back.ok()) << message(back);
  const View v = back.program.view();
  EXPECT_EQ(v.unchecked, "x is a permutation");
  EXPECT_EQ(back.program.texts, std::vector(marked.view().texts.begin(), marked.view().texts.end()));
  EXPECT_EQ(canonical_hash(v), canonical_hash(marked.view()));
  EXPECT_TRUE(verify(v).ok());
  const Program lowered = lower_for(v);
  EXPECT_EQ(lowered.unchecked, v.unchecked);
  EXPECT_EQ(lowered.texts, back.program.texts);
  // Without the reason the verifier has its say again.
  Program checked = copy_of(v);
  checked.unchecked = {};
  EXPECT_EQ(verify(checked.view()).error, Err::write_after_write);
}

TEST(Marks, EveryCutOfAFileIsRefused) {
  const std::vector<u8> bytes = serialize(marked.view());
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(deserialize(std::span(bytes).first(n)).ok()) << n;
    std::vector<u8> shorter(bytes.begin(), bytes.begin() + std::ptrdiff_t(n));  // that says so
    if (n >= 12)
      for (u32 b = 0; b < 4; ++b) shorter[8 + b] = u8(n >> 8 * b);
    EXPECT_FALSE(deserialize(shorter).ok()) << n;
  }
}

// What needs no newer format is written as ever.
TEST(Marks, APlainKernelIsOfVersionOne) {
  const Program plain = trace_program([](Ctx k, Out<u32> y) { y[k.tid()] = 1u; }, "k", {32, 1, 1});
  EXPECT_EQ(serialize(plain.view())[4], 1);
  EXPECT_EQ(serialize(marked.view())[4], 2);
}

}  // namespace
}  // namespace gpuio::kernel
