#include <gtest/gtest.h>
#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/ptx.hpp>

namespace gpuio::kernel {
namespace {

constexpr u32 constant(Builder& b, u32 v) { return b.constant(Type::u32, v); }

// One value a line: compilers evaluate operands in different orders.
constexpr Program saxpy() {
  Program p{.name = "saxpy", .block = {64, 1, 1}};
  Builder b(p);
  const u32 x = b.param(ParamKind::in, Type::f32);
  const u32 y = b.param(ParamKind::inout, Type::f32);
  const u32 a = b.argument(b.param(ParamKind::scalar, Type::f32));
  const u32 group = b.builtin(Builtin::group_x);
  const u32 first = b.binary(Op::mul, group, constant(b, 64));
  const u32 i = b.binary(Op::add, first, b.builtin(Builtin::local_x));
  const u32 at = b.cast(Type::u64, i);
  b.if_(b.compare(Op::lt, at, b.length(y)));
  const u32 product = b.binary(Op::mul, a, b.load(x, i));
  b.store(y, i, b.binary(Op::add, product, b.load(y, i)));
  b.end_if();
  return p;
}

std::string text_of(const Program& p, u32 sm = 70) {
  std::string text;
  const PtxResult r = ptx_to(text, p.view(), {.sm = sm});
  EXPECT_TRUE(r.ok()) << describe(r.error);
  return text;
}

TEST(Ptx, IsTheTextOfTheKernel) {
  EXPECT_EQ(text_of(saxpy()), R"(.version 6.3
.target sm_70
.address_size 64

.visible .entry saxpy(.param .align 8 .b8 args[48])
.maxntid 64, 1, 1
{
  .reg .pred %p<17>, %q<2>;
  .reg .b16 %h<17>, %z<4>;
  .reg .b32 %r<17>, %x<8>;
  .reg .b64 %d<17>, %y<2>;
  .reg .b64 %b0;
  ld.param.b64 %b0, [args+0];
  cvta.to.global.u64 %b0, %b0;
  .reg .b64 %b1;
  ld.param.b64 %b1, [args+16];
  cvta.to.global.u64 %b1, %b1;
  ld.param.b32 %r0, [args+32];
  mov.u32 %r1, %ctaid.x;
  mov.b32 %r2, 64;
  mul.lo.u32 %r3, %r1, %r2;
  mov.u32 %r4, %tid.x;
  add.u32 %r5, %r3, %r4;
  cvt.u64.u32 %d6, %r5;
  ld.param.b64 %d7, [args+24];
  setp.lt.u64 %p8, %d6, %d7;
  @!%p8 bra $end9;
  mad.wide.u32 %y0, %r5, 4, %b0;
  ld.global.b32 %r10, [%y0];
  mul.rn.f32 %r11, %r0, %r10;
  mad.wide.u32 %y0, %r5, 4, %b1;
  ld.global.b32 %r12, [%y0];
  add.rn.f32 %r13, %r11, %r12;
  mad.wide.u32 %y0, %r5, 4, %b1;
  st.global.b32 [%y0], %r13;
$end9:
  ret;
}
)");
}

// Lanes that break tell those that wait for them: they come by the end of the trip.
TEST(Ptx, KeepsCountOfLanesWhereSubgroupOperationsNeedIt) {
  Program p{.name = "k", .block = {32, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::out, Type::u64), i = b.builtin(Builtin::local_x);
  b.loop();
  b.if_(b.compare(Op::eq, i, constant(b, 7)));
  b.break_();
  b.end_if();
  b.store(out, i, b.ballot(b.constant(Type::boolean, 1)));
  b.end_loop();
  const std::string text = text_of(p);
  EXPECT_EQ(text.substr(text.find("$loop1:")), R"($loop1:
  mov.b32 %r2, 7;
  setp.eq.u32 %p3, %r0, %r2;
  @!%p3 bra $end4;
  mov.pred %broke, 1;
  mov.pred %leaving, 1;
  bra $end4;
$end4:
  not.pred %q0, %leaving;
  vote.sync.ballot.b32 %m1, %q0, %m1;
  @%leaving bra $next1;
  mov.pred %p7, 1;
  vote.sync.ballot.b32 %x0, %p7, %m1;
  cvt.u64.u32 %d8, %x0;
  mad.wide.u32 %y0, %r0, 8, %b0;
  st.global.b64 [%y0], %d8;
$next1:
  not.pred %q0, %broke;
  vote.sync.ballot.b32 %n1, %q0, %n1;
  mov.pred %broke, 0;
  mov.pred %leaving, 0;
  @!%q0 bra $done1;
  mov.b32 %m1, %n1;
  bra $loop1;
$done1:
  ret;
}
)");
}

// Flow that is the same for all lanes costs nothing.
TEST(Ptx, LeavesUniformFlowAlone) {
  Program p{.name = "k", .block = {64, 1, 1}};
  Builder b(p);
  const u32 out = b.param(ParamKind::out, Type::u64);
  const u32 n = b.argument(b.param(ParamKind::scalar, Type::u32));
  const u32 zero = constant(b, 0);
  b.for_(zero, n, constant(b, 1));
  b.if_(b.compare(Op::eq, n, constant(b, 7)));
  b.break_();
  b.end_if();
  b.store(out, constant(b, 0), b.ballot(b.constant(Type::boolean, 1)));
  b.end_for();
  const std::string text = text_of(p);
  EXPECT_EQ(text.find("%m0"), std::string::npos) << text;
  EXPECT_NE(text.find(", 0xFFFFFFFF;"), std::string::npos) << text;
}

// --- At compile time ---

template <const auto& kMake>
constexpr auto frozen = [] {
  struct {
    std::string_view name;
    std::array<u32, 3> block;
    std::array<Inst, kMake().insts.size()> insts{};
    std::array<Param, kMake().params.size()> params{};
    std::array<SharedArray, kMake().shared.size()> shared{};
    constexpr View view() const { return {name, block, params, shared, {}, insts}; }
  } f;
  const Program p = kMake();
  f.name = p.name;
  f.block = p.block;
  for (u32 i = 0; i < p.insts.size(); ++i) f.insts[i] = p.insts[i];
  for (u32 i = 0; i < p.params.size(); ++i) f.params[i] = p.params[i];
  for (u32 i = 0; i < p.shared.size(); ++i) f.shared[i] = p.shared[i];
  return f;
}();
static_assert(ptx_text<frozen<saxpy>, 90>.starts_with(".version 6.3\n"));

TEST(Ptx, IsTheSameAtCompileTime) { EXPECT_EQ((ptx_text<frozen<saxpy>, 90>), text_of(saxpy(), 90)); }

// --- Targets ---

Program with_cast(Type to) {
  Program p{.name = "k"};
  Builder b(p);
  b.store(b.param(ParamKind::out, to), constant(b, 0), b.cast(to, b.constant(Type::f32, 0x3f800000)));
  return p;
}

TEST(Ptx, AsksForNoMoreThanItUses) {
  EXPECT_TRUE(text_of(saxpy(), 121).starts_with(".version 6.3\n.target sm_70\n"));
  EXPECT_TRUE(text_of(with_cast(Type::f16), 90).starts_with(".version 6.3\n.target sm_70\n"));
  EXPECT_TRUE(text_of(with_cast(Type::bf16), 75).starts_with(".version 6.3\n.target sm_70\n"));
  EXPECT_TRUE(text_of(with_cast(Type::bf16), 90).starts_with(".version 7.0\n.target sm_80\n"));
  EXPECT_EQ(text_of(with_cast(Type::bf16), 80), text_of(with_cast(Type::bf16), 121));
}

// --- Refusals ---

// y[i] = the element of both arrays that the lane wrote before, from `each` bytes apart on.
template <u32 kEach>
constexpr Program two_arrays() {
  Program p{.name = "two", .block = {64, 1, 1}};
  Builder b(p);
  const u32 y = b.param(ParamKind::out, Type::u32);
  const u32 i = b.builtin(Builtin::local_x);
  const u32 first = b.shared(Type::u32, kEach / 4), second = b.shared(Type::u32, kEach / 4);
  b.store(first, constant(b, 3), i);
  b.store(second, constant(b, 0), i);
  b.store(second, i, i);
  b.store(y, i, b.load(second, constant(b, 7)));
  return p;
}
// Up to 48 KiB arrays are the text's own; beyond it they are places in a block that the launch sizes. Made
// while compiling it is the same text.
TEST(Ptx, SharedArraysBeyondWhatATextDeclaresAreOneBlock) {
  const std::string own = text_of(two_arrays<24 * 1024>(), 80);
  EXPECT_NE(own.find("  .shared .align 16 .b8 shared1[24576];"), std::string::npos) << own;
  EXPECT_NE(own.find("mov.u32 %x1, shared1;"), std::string::npos) << own;
  EXPECT_EQ(own.find("$shared"), std::string::npos) << own;
  const std::string block = text_of(two_arrays<24 * 1024 + 4>(), 80);
  for (const char* line :
       {"\n.extern .shared .align 128 .b8 $shared[];\n.visible .entry two(", "st.shared.b32 [$shared+12], ",
        "st.shared.b32 [$shared+24592], ", "mov.u32 %x1, $shared+24592;", "[$shared+24620];"})
    EXPECT_NE(block.find(line), std::string::npos) << line << " is not in " << block;
  EXPECT_EQ(block.find("shared1"), std::string::npos) << block;
  EXPECT_EQ(block, (ptx_text<frozen<two_arrays<24 * 1024 + 4>>, 80>));
}

PtxResult refusal(const Program& p, u32 sm = 70) {
  std::string text = "left from before";
  const PtxResult r = ptx_to(text, p.view(), {.sm = sm});
  EXPECT_EQ(text, "");
  EXPECT_FALSE(describe(r.error).empty());
  return r;
}

TEST(Ptx, RefusesByNameWhatItCannotWrite) {
  EXPECT_EQ(refusal(saxpy(), 61).error, PtxError::target);
  Program p = saxpy();
  p.name = "1st";
  EXPECT_EQ(refusal(p).error, PtxError::name);
  p = saxpy();
  p.block = {1025, 1, 1};
  EXPECT_EQ(refusal(p).error, PtxError::workgroup);
  p = saxpy();
  for (const auto& [sm, kib] :
       {std::pair{70u, 96u}, {75, 64}, {80, 163}, {86, 99}, {89, 99}, {90, 227}, {100, 227}, {120, 99}}) {
    p.shared = {{Type::f32, kib * 256}};
    EXPECT_NE(text_of(p, sm).find("$shared[]"), std::string::npos);
    p.shared.push_back({Type::u8, 1});
    EXPECT_EQ(refusal(p, sm).error, PtxError::shared) << sm;
  }
  p = saxpy();
  p.insts.pop_back();  // the end_if
  EXPECT_EQ(refusal(p).error, PtxError::structure);
}

TEST(Ptx, RefusesOperationsNamingTheirLine) {
  const auto refuse = [](auto&& add) {
    Program p{.name = "k"};
    Builder b(p);
    b.line = 42;
    add(b);
    const PtxResult r = refusal(p);
    EXPECT_EQ(r.line, 42u);
    return r.error;
  };
  EXPECT_EQ(
      refuse([](Builder& b) { b.ondemand_load(b.param(ParamKind::on_demand, Type::f32), constant(b, 0)); }),
      PtxError::on_demand);
  EXPECT_EQ(refuse([](Builder& b) { b.load(b.param(ParamKind::on_demand, Type::f32), constant(b, 0)); }),
            PtxError::on_demand);
  EXPECT_EQ(refuse([](Builder& b) { b.lane_status(); }), PtxError::on_demand);
  EXPECT_EQ(refuse([](Builder& b) { b.unary(Op::exp2, b.constant(Type::f64, 0)); }), PtxError::unsupported);
  EXPECT_EQ(refuse([](Builder& b) { b.unary(Op::sqrt, constant(b, 4)); }), PtxError::unsupported);
  EXPECT_EQ(refuse([](Builder& b) { b.unary(Op::neg, b.constant(Type::f16, 0)); }), PtxError::unsupported);
  EXPECT_EQ(refuse([](Builder& b) { b.reduce(Rmw::bit_and, b.constant(Type::f32, 0)); }),
            PtxError::unsupported);
  EXPECT_EQ(refuse([](Builder& b) {
              b.atomic_load(b.param(ParamKind::in, Type::f32), constant(b, 0), Order::relaxed, Scope::device);
            }),
            PtxError::unsupported);
}

}  // namespace
}  // namespace gpuio::kernel
