// Boxes that tensor maps load: what arrives, what the verifier follows, what back ends make of them.
#include <gpuio/kernel/hash.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/sanitize.hpp>
#include <gpuio/kernel/serialize.hpp>
#include <gpuio/kernel/spirv.hpp>
#include <gpuio/kernel/verify_suspend.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "support/sane.hpp"
#include "support/tensors.hpp"

namespace gpuio::kernel {
namespace {

using namespace test_kernels;

// One number on every compiler.
constexpr auto once =
    gpuio::kernel::kernel<"once", 32>([](Ctx k, In<f16> x, Val<u32> rows, Val<u64> step, Out<f16> y) {
      auto map = k.tensor_map<8, 64>(x, rows, rows, step);
      auto tile = k.shared<f16, 256>();
      auto full = k.mbarrier(1);
      GPU_IF(k.tid() == 0) {
        k.tensor_load(tile, 0, map, 0, k.cta() * 32, full);
        full.arrive();
      }
      full.wait();
      y[k.tid()] = tile[panel_place<f16, 64>(k.tid() / 4, k.tid() % 4, 0)];
    });
static_assert(canonical_hash(once.view()) == 0xf9d00ae8393154d1);

template <class T>
Argument buffer(std::vector<T>& v) {
  return Argument::buffer(std::as_writable_bytes(std::span(v)));
}
std::vector<std::byte> random_bytes(std::size_t count, u64 seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(count);
  for (std::byte& b : bytes) b = std::byte(random());
  return bytes;
}

// A matrix of 37 rows, whose columns are no multiple of anything, with something behind each row that must
// not be seen; boxes in it, across each of its edges and beyond them.
TEST(TensorMap, ABoxIsThePartOfTheMatrixAndZeroOutside) {
  for (const BoxCopy& c : box_copies()) {
    SCOPED_TRACE(c.program.name);
    const u32 size = size_of(c.type), each = c.bytes / size, chunk = 16 / size;
    const u32 rows = 37, columns = 2 * each + 1, step = (columns + chunk) / chunk * chunk;
    std::vector<std::byte> x = random_bytes(rows * step * size, 1), y(c.rows * c.bytes);
    for (const i32 top : {0, 3, -2, 30, 36, 37, -300}) {
      for (const i32 left : {0, 1, -1, i32(each), i32(2 * each), i32(columns), -i32(each)}) {
        const std::array arguments{buffer(x),
                                   Argument::scalar(rows),
                                   Argument::scalar(columns),
                                   Argument::scalar(step),
                                   Argument::scalar(u32(top)),
                                   Argument::scalar(u32(left)),
                                   buffer(y)};
        expect_sane(c.program.view(), arguments, {});
        std::vector<std::byte> want(y.size());
        for (i32 r = 0; r < i32(c.rows); ++r)
          for (i32 e = 0; e < i32(each); ++e) {
            const i32 row = top + r, column = left + e;
            if (row < 0 || row >= i32(rows) || column < 0 || column >= i32(columns)) continue;
            std::copy_n(x.begin() + (row * i32(step) + column) * i32(size), size,
                        want.begin() + (r * i32(each) + e) * i32(size));
          }
        EXPECT_EQ(y, want) << top << ", " << left;
      }
    }
  }
}

// The patterns that the assembler's manual draws: chunks of 16 bytes of the first eight rows.
TEST(TensorMap, ChunksOfWidePanelsAreSwapped) {
  const auto chunk = [](u32 width, u32 row, u32 n) { return byte_in_panel(width, row, n * 16) / 16; };
  for (u32 row = 0; row < 8; ++row) {
    EXPECT_EQ(chunk(0, row, 0), row);
    for (u32 n = 0; n < 2; ++n) EXPECT_EQ(chunk(1, row, n), row * 2 + (n ^ row / 4));
    for (u32 n = 0; n < 4; ++n) EXPECT_EQ(chunk(2, row, n), row * 4 + (n ^ row / 2));
    for (u32 n = 0; n < 8; ++n) EXPECT_EQ(chunk(3, row, n), row * 8 + (n ^ row));
  }
  EXPECT_EQ(chunk(3, 9, 0), 73u);
  EXPECT_EQ((panel_place<f16, 128>(3, 64 + 9, 4096)), 4096u + 3 * 64 + (1 ^ 3) * 8 + 1);
}

// --- Products
// -----------------------------------------------------------------------------------------------

f32 number_of(Matrix what, u32 bits) {
  switch (what) {
    case Matrix::of_f16: return widen(f16{u16(bits)});
    case Matrix::of_bf16: return widen(bf16{u16(bits)});
    case Matrix::of_tf32: return std::bit_cast<f32>(bits & ~u32{0x1fff});
    case Matrix::of_i8: return f32(i8(bits));
    case Matrix::of_e4m3: return widen(f8e4m3{u8(bits)});
    default: return widen(f8e5m2{u8(bits)});
  }
}
// Small whole numbers, whose sums are exact.
std::vector<std::byte> numbers(Matrix what, u32 count, u64 seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(count * element_bytes(what));
  for (u32 n = 0; n < count; ++n) {
    const f32 v = f32(i32(random() % 9) - 4);
    u32 bits = 0;
    switch (what) {
      case Matrix::of_f16: bits = narrow<f16>(v).bits; break;
      case Matrix::of_bf16: bits = narrow<bf16>(v).bits; break;
      case Matrix::of_tf32: bits = std::bit_cast<u32>(v); break;
      case Matrix::of_i8: bits = u8(i8(v)); break;
      case Matrix::of_e4m3: bits = narrow<f8e4m3>(v).bits; break;
      default: bits = narrow<f8e5m2>(v).bits;
    }
    write_element(bytes, n * element_bytes(what), element_bytes(what), bits);
  }
  return bytes;
}
f32 at(Matrix what, const std::vector<std::byte>& bytes, u32 n) {
  return number_of(what, u32(read_element(bytes, n * element_bytes(what), element_bytes(what))));
}

TEST(TensorMap, ProductsReadThePanelsThatBoxesBecome) {
  for (const BoxProduct& p : box_products()) {
    SCOPED_TRACE(p.program.name);
    // Fewer rows and columns than tiles have, and less depth: the rest is zero.
    const u32 m = 61, n = p.columns - 1, chunk = 16 / element_bytes(p.what), depth = p.depth - 3;
    const u32 step = (depth + chunk) / chunk * chunk;
    std::vector<std::byte> a = numbers(p.what, m * step, 2), b = numbers(p.what, n * step, 3);
    std::vector<u32> c(64 * p.columns, 7), want(c.size(), 0);
    for (u32 i = 0; i < m; ++i)
      for (u32 j = 0; j < n; ++j) {
        f32 sum = 0;
        for (u32 k = 0; k < depth; ++k) sum += at(p.what, a, i * step + k) * at(p.what, b, j * step + k);
        want[i * p.columns + j] = p.what == Matrix::of_i8 ? u32(i32(sum)) : std::bit_cast<u32>(sum);
      }
    const std::array arguments{buffer(a),
                               buffer(b),
                               buffer(c),
                               Argument::scalar(m),
                               Argument::scalar(n),
                               Argument::scalar(depth),
                               Argument::scalar(step)};
    expect_sane(p.program.view(), arguments, {.subgroup_size = 32});
    for (u32& v : c)
      if (v == 0x80000000) v = 0;  // -0, of zeros that were multiplied
    EXPECT_EQ(c, want);
  }
}

TEST(TensorMap, AProductOfAnySizeByTiles) {
  const Program p = boxed_product();
  const u32 m = 70, n = 130, depth = 200, step_a = 208, step_b = 216;
  constexpr Matrix kOf = Matrix::of_bf16;
  std::vector<std::byte> a = numbers(kOf, m * step_a, 4), b = numbers(kOf, n * step_b, 5);
  std::vector<f32> c(m * n), want(m * n);
  for (u32 i = 0; i < m; ++i)
    for (u32 j = 0; j < n; ++j)
      for (u32 k = 0; k < depth; ++k)
        want[i * n + j] += at(kOf, a, i * step_a + k) * at(kOf, b, j * step_b + k);
  const std::array arguments{buffer(a),
                             buffer(b),
                             buffer(c),
                             Argument::scalar(m),
                             Argument::scalar(n),
                             Argument::scalar(depth),
                             Argument::scalar(step_a),
                             Argument::scalar(step_b)};
  const Sanitized s = sanitize(p.view(), {2, 2, 1}, arguments, {.subgroup_size = 32});
  ASSERT_TRUE(s.outcome.ok()) << s.outcome.error << " in line " << s.outcome.line;
  EXPECT_TRUE(s.races.empty());
  EXPECT_EQ(c, want);
}

// --- What the verifier follows
// -------------------------------------------------------------------------------

template <class F>
Traced traced(F f) {
  return trace(
      [f](Ctx k, In<f16> x, Val<u32> rows, Val<u32> columns, Val<u32> step, Out<f16> y) {
        auto tile = k.shared<f16, 4096>();
        f(k, k.tensor_map<64, 64>(x, rows, columns, step), k.mbarrier(1), tile, y);  // 2048 elements
      },
      "k", {64, 1, 1});
}
template <class F>
Err verdict(F f) {
  return traced(f).result.error;
}
#define KERNEL \
  []([[maybe_unused]] Ctx k, auto map, const Mbarrier& full, auto tile, [[maybe_unused]] Out<f16> y)

TEST(TensorMap, TheVerifierFollowsBoxes) {
  EXPECT_EQ(verdict(KERNEL {
              GPU_IF(k.tid() == 0) {
                k.tensor_load(tile, 2048, map, 0, 0, full);
                full.arrive();
              }
              full.wait();
              y[k.tid()] = tile[2048 + k.tid()];
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL {  // nobody waits
              GPU_IF(k.tid() == 0) {
                k.tensor_load(tile, 0, map, 0, 0, full);
                full.arrive();
              }
              k.barrier();
              y[k.tid()] = tile[2047];
            }),
            Err::missing_wait);
  EXPECT_EQ(verdict(KERNEL {  // the other half is nobody's
              GPU_IF(k.tid() == 0) {
                k.tensor_load(tile, 0, map, 0, 0, full);
                full.arrive();
              }
              tile[2048 + k.tid()] = y.length().template as<f16>();
            }),
            Err::ok);
  EXPECT_EQ(verdict(KERNEL { k.tensor_load(tile, 0, map, 0, 0, full); }),  // a copy for each lane
            Err::write_after_write);
  EXPECT_EQ(verdict(KERNEL {
              GPU_IF(k.tid() == 0) {
                k.tensor_load(tile, 128, map, 0, 0, full);  // four rows on
                full.arrive();
              }
            }),
            Err::vector_misaligned);
  EXPECT_EQ(verdict(KERNEL {
              GPU_IF(k.tid() == 0) {
                k.tensor_load(tile, 2304, map, 0, 0, full);
                full.arrive();
              }
            }),
            Err::index_out_of_range);
  EXPECT_EQ(trace(
                [](Ctx k, In<f16> x, Val<u32> rows, Val<u32> step) {  // no number of the launch's
                  k.tensor_map<64, 64>(x, rows * 2, rows, step);
                },
                "k", {64, 1, 1})
                .result.error,
            Err::tensor_map);
}

// What a file may say.
TEST(TensorMap, WrongMapsAndLoadsAreRefused) {
  const Program right = box_copies()[1].program;
  ASSERT_TRUE(verify(right.view()).ok());
  const auto with_map = [&](auto change) {
    Program p = right;
    change(p.tensors[0]);
    return verify(p.view()).error;
  };
  EXPECT_EQ(with_map([](TensorMap& t) { t.buffer = 6; }), Err::tensor_map);  // an Out
  EXPECT_EQ(with_map([](TensorMap& t) { t.buffer = 1; }), Err::tensor_map);  // no buffer
  EXPECT_EQ(with_map([](TensorMap& t) { t.buffer = 99; }), Err::tensor_map);
  EXPECT_EQ(with_map([](TensorMap& t) { t.rows = 0; }), Err::tensor_map);  // no scalar
  EXPECT_EQ(with_map([](TensorMap& t) { t.step = 99; }), Err::tensor_map);
  EXPECT_EQ(with_map([](TensorMap& t) { t.box_rows = 0; }), Err::tensor_map);
  EXPECT_EQ(with_map([](TensorMap& t) { t.box_rows = 257; }), Err::tensor_map);
  EXPECT_EQ(with_map([](TensorMap& t) { t.box_width = 4; }), Err::tensor_map);
  EXPECT_EQ(with_map([](TensorMap& t) { t.box_width = 2; }), Err::wrong_mode);  // its load says otherwise
  EXPECT_EQ(with_map([](TensorMap& t) { t.box_rows = 23; }), Err::wrong_mode);
  const auto with_load = [&](auto change) {
    Program p = right;
    for (Inst& i : p.insts)
      if (i.op == Op::tensor_load) change(i);
    return verify(p.view()).error;
  };
  EXPECT_EQ(with_load([](Inst& i) { i.imm += 1u << 16; }), Err::no_such_object);  // another map
  EXPECT_EQ(with_load([](Inst& i) { i.imm |= 0xffffffffu << 16; }), Err::no_such_object);
  EXPECT_EQ(with_load([](Inst& i) { i.imm &= 0xffffffff; }), Err::no_such_object);  // no mbarrier
  EXPECT_EQ(with_load([](Inst& i) { i.a = 0; }), Err::no_such_object);
  EXPECT_EQ(with_load([](Inst& i) { i.type = Type::bf16; }), Err::wrong_type);
  EXPECT_EQ(with_load([](Inst& i) { i.c = i.b; }), Err::ok);
  Program p = box_products()[0].program;  // 128 bytes have four steps of 32
  for (const WarpgroupShape wrong : {WarpgroupShape{0, 64, 0, 0, 2, 3}, WarpgroupShape{0, 64, 64, 64, 3, 0},
                                     WarpgroupShape{0, 64, 64, 64, 0, 1}}) {
    for (Inst& i : p.insts)
      if (i.op == Op::warpgroup_multiply) i.imm = wrong.packed();
    EXPECT_EQ(verify(p.view()).error, Err::warpgroup_shape);
  }
}

TEST(TensorMap, TheInterpreterRefusesMatricesThatCannotBeMapped) {
  const Program p = box_copies()[1].program;  // f16
  std::vector<f16> x(100), y(24 * 16);
  const auto error_of = [&](u64 rows, u64 columns, u64 step) {
    const std::array arguments{buffer(x),
                               Argument::scalar(rows),
                               Argument::scalar(columns),
                               Argument::scalar(step),
                               Argument::scalar(0),
                               Argument::scalar(0),
                               buffer(y)};
    const Outcome o = interpret(p.view(), {1, 1, 1}, arguments, {});
    EXPECT_TRUE(o.ok() || o.line > 0);
    return std::string(o.error);
  };
  EXPECT_EQ(error_of(10, 10, 10).find("tensor map whose rows are not a multiple of 16 bytes"), 0u);
  EXPECT_EQ(error_of(10, 10, 8).find("tensor map whose rows"), 0u);  // they overlap
  EXPECT_EQ(error_of(0, 10, 16).find("tensor map of a matrix that has not 1 to"), 0u);
  EXPECT_EQ(error_of(10, 0, 16).find("tensor map of a matrix that has not 1 to"), 0u);
  EXPECT_EQ(error_of(6, 20, 24).find("tensor map of a matrix that is longer than its buffer"), 0u);
  EXPECT_EQ(error_of(4, 20, 24), "");
  EXPECT_EQ(error_of(1, 100, 104), "");
}

TEST(TensorMap, ABoxIsNotThereBeforeItIsWaitedFor) {
  const Traced t = traced(KERNEL {
    k.unchecked_races("the interpreter shows that this is wrong");
    GPU_IF(k.tid() == 0) {
      k.tensor_load(tile, 0, map, 0, 0, full);
      full.arrive();
    }
    y[k.tid()] = tile[k.tid()];
  });
  ASSERT_TRUE(t.result.ok()) << message(t.result);
  std::vector<f16> x(64 * 32), y(64);
  const std::array arguments{buffer(x), Argument::scalar(64), Argument::scalar(32), Argument::scalar(32),
                             buffer(y)};
  const Outcome o = interpret(t.program.view(), {1, 1, 1}, arguments, {});
  EXPECT_EQ(o.error, "shared memory read before it was written");
}

// --- As bytes, and as text
// -----------------------------------------------------------------------------------

TEST(TensorMap, KernelsWithMapsKeepThemAsBytes) {
  std::vector<Program> all{boxed_product()};
  for (const BoxCopy& c : box_copies()) all.push_back(c.program);
  for (const BoxProduct& p : box_products()) all.push_back(p.program);
  for (const Program& p : all) {
    std::vector<u8> bytes = serialize(p.view());
    const Deserialized back = deserialize(bytes);
    ASSERT_TRUE(back.ok()) << message(back);
    EXPECT_EQ(back.program.tensors, p.tensors);
    EXPECT_EQ(back.program.insts, p.insts);
    EXPECT_EQ(canonical_hash(back.program.view()), canonical_hash(p.view()));
    EXPECT_EQ(copy_of(p.view()).tensors, p.tensors);
    for (std::size_t cut = 1; cut < 40; ++cut)
      EXPECT_FALSE(deserialize(std::span(bytes).first(bytes.size() - cut)).ok());
    bytes.back() ^= 1;  // of the box's width
    EXPECT_FALSE(deserialize(bytes).ok());
    bytes.push_back(0);
    EXPECT_FALSE(deserialize(bytes).ok());
  }
  Program other = all[0];
  other.tensors[0].step = other.tensors[1].step;
  EXPECT_NE(canonical_hash(other.view()), canonical_hash(all[0].view()));
}

TEST(TensorMap, ArraysOfBoxesBeginWherePatternsDo) {
  const Program p = box_products()[3].program;  // 4096 bytes, 2048 and an mbarrier
  EXPECT_EQ(shared_offset(p.view(), 1), 4096u);
  EXPECT_EQ(shared_offset(p.view(), 2), 6144u);
  EXPECT_EQ(shared_bytes(p.view()), 6160u);
  Program odd = p;
  odd.shared[0].count = 1040;
  EXPECT_EQ(shared_offset(odd.view(), 1), 2048u);
  odd.tensors.clear();
  EXPECT_EQ(shared_offset(odd.view(), 1), 1040u);
}

TEST(TensorMap, PtxNamesTheMapsOfTheLaunch) {
  std::string text;
  const Program p = box_products()[0].program;
  ASSERT_TRUE(ptx_to(text, p.view(), {.sm = 90}).ok());
  for (const char* part :
       {".visible .entry boxes_f16(.param .align 8 .b8 args[112], .param .align 64 .b8 tensor0[128], "
        ".param .align 64 .b8 tensor1[128])",
        ".shared .align 1024 .b8 shared0[16384]", ".shared .align 16 .b8 shared2[8]",
        "  mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [shared2], 8192;\n  mov.b64 %y0, tensor0;\n"
        "  cvta.param.u64 %y0, %y0;\n"
        "  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [shared0], [%y0, "
        "{",
        "mov.b64 %y0, tensor1", "}], [shared2];"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  // 128-byte rows: eight of them 64 units of 16 bytes apart, pattern 1.
  EXPECT_NE(text.find(std::to_string(u64{1} << 16 | u64{64} << 32 | u64{1} << 62)), std::string::npos);
  for (const u32 step : {32, 64, 96})
    EXPECT_NE(text.find("add.u32 %x0, %x0, " + std::to_string(step)), std::string::npos);
  const Program copied = box_copies()[0].program;
  EXPECT_EQ(min_sm(copied.view()), 90u);
  EXPECT_TRUE(ptx_to(text, copied.view(), {.sm = 120}).ok());
  EXPECT_NE(text.find(".target sm_90\n"), std::string::npos);
  EXPECT_EQ(ptx_to(text, copied.view(), {.sm = 89}).error, PtxError::newer);
}

TEST(TensorMap, OthersRefuseByName) {
  const Program p = box_copies()[0].program;
  EXPECT_NE(spirv_refusal(p.view()).what.find("bulk copies"), std::string_view::npos);
  EXPECT_GT(spirv_refusal(p.view()).line, 0u);
  const Traced t = trace(
      [](Ctx k, OnDemand<u32> much, In<f16> x, Val<u32> n, Out<u32> y) {
        auto map = k.tensor_map<8, 16>(x, n, n, n);
        auto tile = k.shared<f16, 64>();
        auto full = k.mbarrier(1);
        GPU_IF(k.tid() == 0) {
          k.tensor_load(tile, 0, map, 0, 0, full);
          full.arrive();
        }
        full.wait();
        y[k.tid()] = much.load(k.tid()).value;
      },
      "k", {32, 1, 1});
  ASSERT_TRUE(t.result.ok()) << message(t.result);
  EXPECT_EQ(verify_suspend(t.program.view()).error, Err::suspend_async);
}

}  // namespace
}  // namespace gpuio::kernel
