// Everything that the PTX emitter can write goes through NVIDIA's assembler, for each target it knows. That
// proves the text well formed and typed; what it computes is for devices to show.
#include <gtest/gtest.h>
#include <unistd.h>
#include <gpuio/kernel/access.hpp>
#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/lookup.hpp>
#include <gpuio/kernel/ptx.hpp>
#include <gpuio/kernel/random_program.hpp>

#include <cstdio>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "support/copies.hpp"
#include "support/every_operation.hpp"
#include "support/kernels.hpp"
#include "support/matrices.hpp"
#include "support/phases.hpp"
#include "support/tensors.hpp"
#include "support/vocabulary.hpp"
#include "support/warpgroups.hpp"

namespace gpuio::kernel {
namespace {

constexpr Type kAll[] = {Type::boolean, Type::u8,  Type::i8,  Type::u16, Type::i16, Type::f16, Type::bf16,
                         Type::u32,     Type::i32, Type::f32, Type::u64, Type::i64, Type::f64};
constexpr Type kArithmetic[] = {Type::u32, Type::i32, Type::f32, Type::u64, Type::i64, Type::f64};
constexpr Type kIntegers[] = {Type::u32, Type::i32, Type::u64, Type::i64};
constexpr Order kOrders[] = {Order::relaxed, Order::acquire, Order::release, Order::acq_rel};
constexpr Scope kScopes[] = {Scope::subgroup, Scope::workgroup, Scope::device, Scope::system};

// --- The assembler ---

struct Command {
  int exit = -1;
  std::string output;
};
Command run(const std::string& command) {
  Command r;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return r;
  char buffer[4096];
  for (std::size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) r.output.append(buffer, n);
  r.exit = pclose(pipe);
  return r;
}

// --all-targets: code for each version; else for three of them. The rest, and the variants of a version
// ("90a"), only read the text: what we write uses nothing that a variant adds, and its code would nearly
// double the time.
bool all_targets = false;

// What to assemble for: every target of the assembler. "compute_N" checks the text as sm_N does and stops
// there. Products of warpgroups are for one variant alone.
const std::vector<std::string> kHopper = {"sm_90a"};
const std::vector<std::string>& targets() {
  static const std::vector<std::string> found = [] {
    const std::string help = run("ptxas --help").output;
    const std::regex name("'sm_([0-9]+)([af]?)'");
    std::map<int, std::set<std::string>> versions;
    for (std::sregex_iterator at(help.begin(), help.end(), name), end; at != end; ++at) {
      versions[std::stoi((*at)[1])].insert((*at)[2]);
    }
    std::vector<std::string> names;
    for (const auto& [version, variants] : versions) {
      const bool some = version == 75 || version == 90 || version == versions.rbegin()->first;
      for (const std::string& variant : variants) {
        const bool code = (all_targets || some) && variant.empty();
        names.push_back((code ? "sm_" : "compute_") + std::to_string(version) + variant);
      }
    }
    return names;
  }();
  return found;
}

class PtxAssembly : public testing::Test {
 protected:
  void SetUp() override {
    if (targets().empty()) {
      GTEST_SKIP()
          << "ptxas not found in PATH: install the CUDA compiler, or the Python package nvidia-cuda-nvcc";
    }
  }

  // One module for all kernels that share a header.
  void add(View k, u32 sm) {
    std::string text;
    const PtxResult r = ptx_to(text, k, {.sm = sm});
    ASSERT_TRUE(r.ok()) << k.name << ": " << describe(r.error) << " at instruction " << r.inst;
    if (!seen_.insert(text).second) return;
    const std::size_t body = text.find(".visible");
    modules_[{text.substr(0, body), sm}] += text.substr(body);
  }
  void assemble_both(View k) {
    add(k, 70);
    add(k, 90);
  }
  // For every target that the module is for.
  void assemble() {
    const std::string at = testing::TempDir() + "gpuio_ptx_" + std::to_string(getpid());
    for (const auto& [key, bodies] : modules_) {
      std::ofstream(at + ".ptx") << key.first << bodies;
      const bool hopper = key.first.find(".target sm_90a") != std::string::npos;
      for (const std::string& target : hopper ? kHopper : targets()) {
        if (std::stoi(target.substr(target.find('_') + 1)) < int(key.second)) continue;
        const Command r = run("ptxas -v -arch=" + target + " -o /dev/null " + at + ".ptx");
        ASSERT_EQ(r.exit, 0) << target << ": " << r.output << "\nin " << at << ".ptx";
        if (target.starts_with("sm_")) outputs_.push_back(target + ": " + r.output);
      }
      std::remove((at + ".ptx").c_str());
    }
  }

  // No kernel of the modules spills more than so many bytes on any target.
  void expect_spills_at_most(int bytes_max, std::size_t least = 3) const {
    ASSERT_GE(outputs_.size(), least);
    const std::regex spills("([0-9]+) bytes stack frame, ([0-9]+) bytes spill stores");
    for (const std::string& output : outputs_) {
      std::sregex_iterator found(output.begin(), output.end(), spills);
      EXPECT_NE(found, std::sregex_iterator()) << output;
      for (; found != std::sregex_iterator(); ++found)
        EXPECT_LE(std::max(std::stoi((*found)[1]), std::stoi((*found)[2])), bytes_max) << output;
    }
  }

  std::set<std::string> seen_;
  std::map<std::pair<std::string, u32>, std::string> modules_;
  std::vector<std::string> outputs_;
};

// --- Kernels ---

TEST_F(PtxAssembly, EveryOperationOnEveryType) {
  std::vector<std::string> names;
  names.reserve(32);
  const auto add_as = [&](Program p, const char* what, Type t) {
    p.name = names.emplace_back(what + std::to_string(int(t)));
    assemble_both(p.view());
  };
  for (const Type t : kArithmetic) add_as(test_kernels::every_arithmetic(t, 64).program, "arithmetic_", t);
  for (const Type t : kAll) add_as(test_kernels::every_cast(t, 64).program, "cast_", t);
  for (const Type t : {Type::f16, Type::bf16}) add_as(test_kernels::every_pair(t, 64).program, "pair_", t);
  add_as(test_kernels::every_function(64).program, "function_", Type::f32);
  assemble();
}

// What those leave out: constant operands, and conversions by bits.
TEST_F(PtxAssembly, ConstantOperandsAndBits) {
  Program p{.name = "constants", .block = {32, 1, 1}};
  Builder b(p);
  for (const Type t : kIntegers) {
    const u32 in = b.param(ParamKind::in, t);
    const u32 out = b.param(ParamKind::out, t);
    const u32 x = b.load(in, b.builtin(Builtin::local_x));
    u32 at = 0;
    const auto keep = [&](u32 v) { b.store(out, b.constant(Type::u32, at++), v); };
    for (const u64 by : {u64{0}, u64{7}, ~u64{0}}) {
      keep(b.binary(Op::div, x, b.constant(t, by)));
      keep(b.binary(Op::rem, x, b.constant(t, by)));
    }
    for (const Op op : {Op::shl, Op::shr}) keep(b.binary(op, x, b.constant(Type::u32, 77)));
  }
  for (const Type from : kAll) {
    const u32 x = b.argument(b.param(ParamKind::scalar, from));
    for (const Type to : kAll) {
      if (size_of(to) != size_of(from) || (to == Type::boolean) != (from == Type::boolean)) continue;
      b.store(b.param(ParamKind::out, to), b.constant(Type::u32, 0), b.bitcast(to, x));
    }
  }
  assemble_both(p.view());
  assemble();
}

TEST_F(PtxAssembly, EveryAccess) {
  std::vector<std::string> names;
  names.reserve(16);
  for (const Type t : kAll) {
    Program p{.name = names.emplace_back("access_" + std::to_string(int(t))), .block = {8, 4, 2}};
    Builder b(p);
    const u32 buffers[] = {b.param(ParamKind::inout, t), b.shared(t, 64)};
    const u32 var = b.var(t);
    const u32 i = b.builtin(Builtin::local_index), far = b.cast(Type::u64, i), six = b.constant(Type::u32, 8);
    const u32 huge = b.constant(Type::u64, u64{1} << 40);
    for (const u32 from : buffers) {
      for (const u32 to : buffers) {
        for (const u32 index : {i, far, six}) {
          for (const u8 width : {1, 2, 4}) {
            if (size_of(t) * width > 16) continue;
            const u32 v = b.load(from, index, width);
            b.barrier();
            if (width == 1) {
              b.var_store(var, v);
              b.store(to, index, b.var_load(var));
            } else {
              const u32 first = b.extract(v, 0), last = b.extract(v, width - 1u);
              b.store(to, index, width == 2 ? b.compose(last, first) : b.compose(last, first, first, last));
            }
          }
        }
      }
    }
    b.store(buffers[0], huge, b.load(buffers[0], b.length(buffers[0])));
    b.store(buffers[0], b.length(buffers[1]), b.load(buffers[0], far));
    assemble_both(p.view());
  }
  assemble();
}

TEST_F(PtxAssembly, EveryAtomic) {
  std::vector<std::string> names;
  names.reserve(16);
  for (const Type t : kIntegers) {
    Program p{.name = names.emplace_back("atomic_" + std::to_string(int(t))), .block = {64, 1, 1}};
    Builder b(p);
    const u32 out = b.param(ParamKind::out, t);
    const u32 buffers[] = {b.param(ParamKind::inout, t), b.shared(t, 64)};
    const u32 i = b.builtin(Builtin::local_x), v = b.load(out, i);
    u32 sum = v;
    for (const u32 object : buffers) {
      for (const Scope scope : kScopes) {
        for (const Order order : kOrders) {
          for (u8 how = 0; how <= u8(Rmw::exchange); ++how) {
            sum = b.binary(Op::add, sum, b.atomic_rmw(Rmw(how), object, i, v, order, scope));
          }
          sum = b.binary(Op::add, sum, b.atomic_cas(object, i, v, sum, order, scope));
          b.fence(order, scope);
        }
        for (const Order order : {Order::relaxed, Order::acquire}) {
          sum = b.binary(Op::add, sum, b.atomic_load(object, i, order, scope));
        }
        for (const Order order : {Order::relaxed, Order::release})
          b.atomic_store(object, i, sum, order, scope);
      }
    }
    b.store(out, i, sum);
    assemble_both(p.view());
  }
  assemble();
}

// Each subgroup operation once, as a sum, where the builder stands.
void subgroup_operations(Builder& b, u32 out, u32 i) {
  for (const Type t : kArithmetic) {
    const u32 x = b.cast(t, i);
    u32 sum = x;
    const auto keep = [&](u32 v) { sum = b.binary(Op::add, sum, v); };
    for (const Shuffle how : {Shuffle::lane, Shuffle::exclusive_or, Shuffle::up, Shuffle::down}) {
      keep(b.shuffle(how, x, i));
      keep(b.shuffle(how, x, b.constant(Type::u32, 3)));
    }
    for (u8 how = 0; how < u8(Rmw::exchange); ++how) {
      if (how <= u8(Rmw::max) || !is_float(t)) keep(b.reduce(Rmw(how), x));
    }
    b.store(out, i, b.cast(Type::u64, sum));
  }
  const u32 odd =
      b.compare(Op::ne, b.binary(Op::bit_and, i, b.constant(Type::u32, 1)), b.constant(Type::u32, 0));
  const u32 all = b.vote(Vote::all, odd), any = b.vote(Vote::any, odd), first = b.elect();
  b.store(out, i, b.binary(Op::bit_xor, b.ballot(odd), b.cast(Type::u64, b.select(first, all, any))));
}

TEST_F(PtxAssembly, SubgroupOperationsWhereverLanesAre) {
  std::vector<std::string> names;
  names.reserve(16);
  for (const u32 lanes : {16u, 48u, 256u}) {
    Program p{.name = names.emplace_back("subgroup_" + std::to_string(lanes)), .block = {lanes, 1, 1}};
    Builder b(p);
    const u32 out = b.param(ParamKind::out, Type::u64), n = b.argument(b.param(ParamKind::scalar, Type::u32));
    const u32 i = b.builtin(Builtin::local_x), one = b.constant(Type::u32, 1),
              zero = b.constant(Type::u32, 0);
    if (lanes == 16) subgroup_operations(b, out, i);
    b.if_(b.compare(Op::lt, i, n));
    b.return_();
    b.end_if();
    if (lanes == 48) subgroup_operations(b, out, i);
    b.for_(zero, i, one);
    if (lanes == 256) subgroup_operations(b, out, i);
    b.if_(b.compare(Op::lt, n, i));
    b.store(out, i, b.cast(Type::u64, b.shuffle(Shuffle::down, b.reduce(Rmw::add, b.cast(Type::f32, i)), n)));
    b.if_(b.vote(Vote::any, b.compare(Op::gt, i, n)));
    b.continue_();
    b.else_();
    b.break_();
    b.end_if();
    b.else_();
    b.store(out, i, b.ballot(b.compare(Op::eq, i, n)));
    b.end_if();
    b.end_for();
    b.loop();
    b.if_(b.compare(Op::lt, n, i));
    b.if_(b.compare(Op::ne, n, i));
    b.break_();
    b.end_if();
    b.end_if();
    b.continuing();
    b.store(out, i, b.reduce(Rmw::min, b.cast(Type::u64, i)));
    b.end_loop();
    assemble_both(p.view());
  }
  assemble();
}

TEST_F(PtxAssembly, EveryWayThroughControlFlow) {
  Program p{.name = "control", .block = {16, 4, 2}};
  Builder b(p);
  const u32 out = b.param(ParamKind::inout, Type::u64);
  const u32 at = b.builtin(Builtin::local_index);
  for (const Type t : kIntegers) {
    const u32 end = b.cast(t, at);
    for (const u64 step : {1, 3}) {
      const u32 i = b.for_(b.constant(t, 0), end, b.constant(t, step));
      b.if_(b.compare(Op::eq, i, b.constant(t, 7)));
      b.continue_();
      b.end_if();
      b.store(out, at, b.cast(Type::u64, i));
      b.end_for();
    }
  }
  for (u8 what = 0; what <= u8(Builtin::local_index); ++what)
    b.store(out, at, b.cast(Type::u64, b.builtin(Builtin(what))));
  b.loop();
  b.if_(b.barrier_any(b.load(b.param(ParamKind::in, Type::boolean), at)));
  b.break_();
  b.else_();
  b.if_(b.constant(Type::boolean, 1));
  b.continue_();
  b.end_if();
  b.return_();
  b.end_if();
  b.continuing();
  b.barrier();
  b.end_loop();
  assemble_both(p.view());
  Program nothing{.name = "nothing"};
  assemble_both(nothing.view());
  assemble();
}

// --- Kernels as people write them: nothing may spill ---

TEST_F(PtxAssembly, NothingSpills) {
  using namespace test_kernels;
  for (const View& k : {saxpy.view(), block_sum.view(), matmul.view(), histogram.view(), subgroup_sum.view(),
                        subgroup_mix.view(), storage.view(), pipeline.view(), copies_of_bytes.view(),
                        copies_of_longs.view()}) {
    assemble_both(k);
  }
  const std::vector<Sample> samples = vocabulary();
  for (const Sample& s : samples) add(s.program.view(), 70);
  assemble();
  expect_spills_at_most(0);
}

TEST_F(PtxAssembly, InlinePtx) {
  const Program p = trace_program(
      [](Ctx k, In<u32> x, Out<u64> y) {
        auto a = x[k.tid()];
        auto b = k.ptx<u32>("prmt.b32 %0, %1, %2, 0x5410;", a, k.tid());
        auto c = k.ptx<u32, 80, 70>("{ .reg .b32 t; mov.u32 t, %%smid; redux.sync.add.u32 %0, t, -1; }");
        y[k.tid()] = k.ptx<u64>("mad.wide.u32 %0, %1, %2, %3;", b, c, a.as<u64>());
      },
      "inline_ptx", {32, 1, 1});
  add(p.view(), 80);
  assemble();
}

// Each for the GPUs that have it.
TEST_F(PtxAssembly, MatrixOperations) {
  std::vector<std::string> names;
  names.reserve(16);
  test_kernels::each_product([&](auto lambda, auto, auto) {
    const std::string& name = names.emplace_back("product_" + std::to_string(names.size()));
    const Program p = trace_program(lambda, name, {64, 1, 1});
    add(p.view(), min_sm(p.view()));
  });
  assemble();
  expect_spills_at_most(0);
}

TEST_F(PtxAssembly, MbarriersAndBulkCopies) {
  using namespace test_kernels;
  for (const View& k : {two_halves.view(), bulk_ring.view(), roles.view()}) add(k, min_sm(k));
  assemble();
  expect_spills_at_most(0);
}

// ptxas says so where it cannot leave a product to the units: it waits at once, or puts a wait where there is
// none (C7510 to C7519).
bool leaves_products_alone(const std::string& output) { return output.find("(C75") == std::string::npos; }

TEST_F(PtxAssembly, ProductsOfWarpgroups) {
  const Program streamed = test_kernels::streamed_product();
  add(streamed.view(), 90);
  for (const auto& p : test_kernels::warpgroup_products()) add(p.program.view(), 90);
  assemble();
  expect_spills_at_most(0, 1);
  for (const std::string& output : outputs_) EXPECT_TRUE(leaves_products_alone(output)) << output;
}

// The assembler calls a routine of its own for a box on sm_120, which takes 8 bytes of stack.
TEST_F(PtxAssembly, BoxesOfMatrices) {
  for (const auto& c : test_kernels::box_copies()) add(c.program.view(), 90);
  assemble();
  expect_spills_at_most(8, 2);
}
TEST_F(PtxAssembly, ProductsOfBoxes) {
  for (const auto& p : test_kernels::box_products()) add(p.program.view(), 90);
  const Program tiled = test_kernels::boxed_product();
  add(tiled.view(), 90);
  Program large = tiled;  // in the block that a launch sizes
  large.name = "large";
  large.shared[0].count += (ptx_shared_max(90) - shared_bytes(large.view())) / 1024 * 512;
  EXPECT_GT(shared_bytes(large.view()), 226u * 1024);
  add(large.view(), 90);
  assemble();
  expect_spills_at_most(0, 2);
  for (const std::string& output : outputs_) EXPECT_TRUE(leaves_products_alone(output)) << output;
}

// All units, and lanes, on shared arrays of which there are as many bytes as any GPU gives.
TEST_F(PtxAssembly, SharedArraysBeyondWhatATextDeclares) {
  std::vector<Program> all{test_kernels::streamed_product()};
  for (auto& p : test_kernels::warpgroup_products()) all.push_back(p.program);
  for (Program& p : all) {
    SharedArray& first = p.shared.at(0);  // larger, so that the others have places far behind it
    first.count += (ptx_shared_max(90) - shared_bytes(p.view())) / size_of(first.type) / 16 * 16;
    EXPECT_GT(shared_bytes(p.view()), 226u * 1024);
    add(p.view(), 90);
  }
  assemble();
  expect_spills_at_most(0, 1);
  for (const std::string& output : outputs_) EXPECT_TRUE(leaves_products_alone(output)) << output;
}

// The check can fail: sums that are read before they are waited for.
TEST_F(PtxAssembly, AProductThatIsNotWaitedForIsSeen) {
  const Program p = trace_program(
      [](Ctx k, Out<f32> c) {
        k.unchecked_races("ptxas shows that this is wrong");
        auto tile = k.shared<bf16, 1024>();
        auto sum = k.warpgroup_sum<bf16, 8>();
        sum.multiply_add(tile, 0, 512, tile, 0, 512);
        k.warpgroup_commit();
        sum.for_elements([&](auto row, auto column, auto v) { c[row * 8 + column] = v; });
      },
      "early", {128, 1, 1});
  add(p.view(), 90);
  assemble();
  ASSERT_EQ(outputs_.size(), 1u);
  EXPECT_FALSE(leaves_products_alone(outputs_[0])) << outputs_[0];
}

// sums[i] = the sum of the 33 words of row rows[i], `loads` of them in each turn of the inner loop.
Program on_demand_sum(u32 loads) {
  Program p{.name = "on_demand", .block = {64, 1, 1}};
  Builder b(p);
  const auto number = [&](u64 n) { return b.constant(Type::u64, n); };
  const u32 table = b.param(ParamKind::on_demand, Type::u64), rows = b.param(ParamKind::in, Type::u64);
  const u32 sums = b.param(ParamKind::out, Type::u64), n = b.param(ParamKind::scalar, Type::u64);
  const u32 first = b.cast(Type::u64, b.builtin(Builtin::local_x)), sum = b.var(Type::u64);
  const u32 i = b.for_(first, b.argument(n), number(64));
  const u32 base = b.binary(Op::mul, b.load(rows, i), number(33));
  b.var_store(sum, number(0));
  const u32 word = b.for_(number(0), number(33), number(loads));
  for (u32 l = 0; l < loads; ++l) {
    const u32 at = b.binary(Op::add, base, b.binary(Op::add, word, number(l)));
    const u32 mixed = b.binary(Op::bit_xor, b.ondemand_load(table, at), at);
    b.var_store(sum, b.binary(Op::add, b.var_load(sum), mixed));
  }
  b.end_for();
  b.store(sums, i, b.var_load(sum));
  b.end_for();
  return p;
}

Program waiting_sum(u32 loads) {
  const Program kernel = on_demand_sum(loads);
  DirectoryAccess access({.page_shift = 16});
  Program waits = lower_access(kernel.view(), access);
  std::printf("%u loads that wait: %zu instructions\n", loads, waits.insts.size());
  return waits;
}

// ptxas would rather spill a word or two (sm_89: 8 bytes) than take a 41st register.
TEST_F(PtxAssembly, AnOnDemandLoadHardlySpills) {
  Program waits = waiting_sum(1);
  waits.name = "wait";
  add(waits.view(), 70);
  const Program kernel = on_demand_sum(1);
  Lookup lookup({.page_bytes = 65536, .buckets = 256});
  Suspended yields = suspend(kernel.view(), {}, lookup);
  ASSERT_TRUE(yields.ok()) << yields.error;
  yields.program.name = "yield";
  add(yields.program.view(), 70);
  std::printf("one load that yields: %zu instructions\n", yields.program.insts.size());
  assemble();
  expect_spills_at_most(16);
}

// Each load brings its own machine; ptxas then prefers a few spilled words to more registers. More than a few
// would say that values live across the machines that need not.
TEST_F(PtxAssembly, LoadsInNestedLoopsHardlySpill) {
  Program waits = waiting_sum(3);
  waits.name = "wait";
  add(waits.view(), 70);
  assemble();
  expect_spills_at_most(64);
}

// Words that the host writes or reads are of system scope and a poll rests between looks; tags are the
// device's.
TEST(PtxOfOnDemandLoads, OrdersAndScopes) {
  DirectoryAccess access({.page_shift = 16});
  std::string text;
  ASSERT_TRUE(ptx_to(text, lower_access(on_demand_sum(1).view(), access).view(), {}).ok());
  for (const char* part :
       {"ld.acquire.sys.global.b64", "st.release.sys.global.b64", "atom.acquire.gpu.global.add.u64",
        "atom.release.gpu.global.add.u64", "nanosleep.u32"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
}

TEST_F(PtxAssembly, RandomKernels) {
  const u64 first = 1, count = all_targets ? 40 : 12;
  std::vector<std::string> names;
  names.reserve(count);
  for (u64 seed = first; seed < first + count; ++seed) {
    RandomOptions options{.block = {u32(8 + seed * 5 % 60), 1, 1}, .pairs = true, .on_demand = false};
    if (seed % 4 == 0) options.block = {8, 8, 1};
    Program p = random_program(seed, options);
    p.name = names.emplace_back("random_" + std::to_string(seed));
    add(p.view(), seed % 2 ? 70 : 90);
  }
  assemble();
}

// The harness itself can fail.
TEST_F(PtxAssembly, AWrongTextIsRefused) {
  const std::string at = testing::TempDir() + "gpuio_ptx_wrong_" + std::to_string(getpid()) + ".ptx";
  std::ofstream(at) << ".version 6.0\n.target sm_70\n.address_size 64\n.visible .entry k()\n{\n  add.u32 "
                       "%r0, %r1, %r2;\n}\n";
  EXPECT_NE(run("ptxas -arch=" + targets().front() + " -o /dev/null " + at).exit, 0);
  std::remove(at.c_str());
}

}  // namespace

// For main.
void assemble_for_all_targets() { all_targets = true; }

}  // namespace gpuio::kernel

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && std::string_view(argv[1]) == "--all-targets") gpuio::kernel::assemble_for_all_targets();
  return RUN_ALL_TESTS();
}
