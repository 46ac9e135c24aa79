// Kernels whose on-demand loads are the traced page directory, run by the interpreter while the host's half
// of the protocol answers between turns. What comes out is compared with the array.
#include <gpuio/device/native.hpp>
#include <gpuio/device/service.hpp>
#include <gpuio/kernel.hpp>
#include <gpuio/kernel/access.hpp>
#include <gpuio/kernel/interpret.hpp>
#include <gpuio/kernel/verify.hpp>

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

namespace gpuio::kernel {
namespace {

namespace dev = gpuio::device;

constexpr u32 kPageShift = 6;
constexpr u32 kPageBytes = 1u << kPageShift;
constexpr u64 kFirstPage = 1000;
constexpr u32 kForEver = ~u32{0};

struct World {
  World(u32 frame_count, u32 mailboxes, std::size_t bytes, u64 seed) : random(seed), array(bytes) {
    const u32 buckets = dev::buckets_for(frame_count);
    directory.resize(dev::kTagWord + buckets * dev::kWays);
    sides.resize(buckets);
    frames.resize(std::size_t(buckets) * dev::kWays * kPageBytes / 8);
    staging.resize(std::size_t(mailboxes) * kPageBytes / 8);
    words.header = reinterpret_cast<dev::DirectoryHeader*>(directory.data());
    words.bucket = reinterpret_cast<dev::Bucket*>(directory.data() + dev::kTagWord);
    words.side = sides.data();
    words.requests = requests.get();
    words.answers = answers.get();
    words.buckets = buckets;
    words.mailboxes = mailboxes;
    words.frames = reinterpret_cast<std::byte*>(frames.data());
    words.staging = reinterpret_cast<const std::byte*>(staging.data());
    words.page_bytes = kPageBytes;
    dev::initialize(words, frame_count);
    slots.resize(mailboxes);
    for (std::byte& b : array) b = std::byte(random());
  }

  // One look at every mailbox; now and then one is left for later.
  void serve() {
    dev::Native m(words);
    for (u32 box = 0; box < slots.size(); ++box) {
      if (random() % 3 == 0) continue;
      dev::Slot& s = slots[box];
      dev::serve(m, s, box);
      while (s.at != dev::kLook && s.at != dev::kWork) dev::serve(m, s, box);
      if (s.at != dev::kWork) continue;
      const u64 page = dev::request_page(s.what) - kFirstPage;
      std::vector<std::byte> bytes(kPageBytes);
      const std::size_t begin = page * kPageBytes;
      std::memcpy(bytes.data(), &array[begin], std::min<std::size_t>(kPageBytes, array.size() - begin));
      ++requests_served;
      if (page == failing_page) {
        dev::answer(s, 71, false);
      } else if (dev::control_operation(s.ask) == dev::kOpBypass) {
        std::memcpy(&s.low, &bytes[dev::control_frame(s.ask)], dev::request_bytes(s.what));
        dev::answer(s, 0, false);
      } else {
        const bool staged = random() % 2 == 0;
        std::byte* to = staged ? reinterpret_cast<std::byte*>(staging.data()) + box * kPageBytes
                               : words.frames + dev::control_frame(s.ask) * kPageBytes;
        std::memcpy(to, bytes.data(), kPageBytes);
        dev::answer(s, 0, staged);
      }
      while (s.at != dev::kLook) dev::serve(m, s, box);
    }
  }

  std::mt19937_64 random;
  std::vector<std::byte> array;
  std::vector<u64> directory, frames, staging;
  std::vector<dev::BucketSide> sides;
  std::unique_ptr<dev::Requests> requests = std::make_unique<dev::Requests>();
  std::unique_ptr<dev::Answers> answers = std::make_unique<dev::Answers>();
  std::vector<dev::Slot> slots;
  dev::Words words;
  u64 failing_page = ~u64{0};
  u64 requests_served = 0;
};

struct HostBetweenTurns : Hooks {
  explicit HostBetweenTurns(World& w) : world(w) {}
  void turn() { world.serve(); }
  World& world;
};

template <class T>
std::span<std::byte> bytes_of(std::vector<T>& v) {
  return std::as_writable_bytes(std::span<T>(v));
}

struct Ran {
  Outcome outcome;
  std::size_t insts = 0;
};

// The kernel with its accesses lowered, beside the host; its own arguments have one on-demand array.
Ran run(World& w, const View& kernel, std::vector<Argument> arguments, u64 budget, u32 groups) {
  DirectoryAccess access(AccessOptions{.page_shift = kPageShift, .staged = true});
  const Program lowered = lower_access(kernel, access);
  EXPECT_TRUE(verify(lowered.view()).ok());

  const auto block = [](void* words, std::size_t bytes) {
    return Argument::buffer({static_cast<std::byte*>(words), bytes});
  };
  arguments.insert(arguments.end(), {
                                        Argument::buffer(bytes_of(w.directory)),
                                        Argument::buffer(bytes_of(w.sides)),
                                        block(w.requests.get(), sizeof(dev::Requests)),
                                        block(w.answers.get(), sizeof(dev::Answers)),
                                        Argument::buffer(bytes_of(w.frames)),
                                        Argument::buffer(bytes_of(w.staging)),
                                        Argument::scalar(w.words.buckets),
                                        Argument::scalar(w.words.mailboxes),
                                        Argument::scalar(budget),
                                        Argument::scalar(kFirstPage),
                                        Argument::buffer(bytes_of(w.frames)),
                                    });
  EXPECT_EQ(arguments.size(), lowered.params.size());
  HostBetweenTurns hooks(w);
  const InterpretOptions options{.subgroup_size = 8, .shuffle_seed = w.random() | 1, .turn_steps = 300};
  return {interpret(lowered.view(), {groups, 1, 1}, arguments, options, hooks), lowered.insts.size()};
}

// out[i] = array[index[i]], status[i] beside it; `lanes` a group, groups enough.
template <class T>
Ran gather(World& w, std::vector<u32>& index, std::vector<T>& out, std::vector<u32>& status, Type type,
           u32 budget) {
  constexpr u32 kLanes = 16;
  Program p{.name = "gather", .block = {kLanes, 1, 1}};
  Builder b(p);
  const u32 array = b.param(ParamKind::on_demand, type), at = b.param(ParamKind::in, Type::u32);
  const u32 result = b.param(ParamKind::inout, type), said = b.param(ParamKind::inout, Type::u32);
  const u32 lane = b.binary(Op::add, b.builtin(Builtin::local_x),
                            b.binary(Op::mul, b.builtin(Builtin::group_x), b.constant(Type::u32, kLanes)));
  const u32 got = b.ondemand_load(array, b.load(at, lane));
  b.store(result, lane, got);
  b.store(said, lane, b.ondemand_status(got));
  return run(w, p.view(),
             {Argument::on_demand(w.array.size() / sizeof(T)), Argument::buffer(bytes_of(index)),
              Argument::buffer(bytes_of(out)), Argument::buffer(bytes_of(status))},
             budget, u32(index.size() / kLanes));
}

template <class T>
void check_gather(u32 frames, u32 mailboxes, Type type) {
  const u64 seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  World w(frames, mailboxes, 40 * kPageBytes, seed);
  const u32 count = u32(w.array.size() / sizeof(T));
  std::vector<u32> index(64), status(64);
  std::vector<T> out(64);
  for (u32& i : index) i = u32(w.random() % count);
  index[3] = count;  // one past the end
  const Ran ran = gather(w, index, out, status, type, kForEver);
  ASSERT_TRUE(ran.outcome.ok()) << ran.outcome.error << " in instruction " << ran.outcome.inst;
  for (u32 i = 0; i < index.size(); ++i) {
    T expected{};
    if (i != 3) std::memcpy(&expected, &w.array[index[i] * sizeof(T)], sizeof(T));
    EXPECT_EQ(std::memcmp(&out[i], &expected, sizeof(T)), 0) << "element " << index[i];
    EXPECT_EQ(status[i], i == 3 ? 1u : 0u) << "element " << index[i];
  }
  dev::Native m(w.words);
  dev::finish_mailboxes(m, mailboxes);
  for (u32 f = 0; f < frames; ++f) {
    EXPECT_EQ(dev::pins_of(w.directory[dev::kTagWord + f]), 0u) << "frame " << f;
  }
  std::printf("%u frames, %u mailboxes: %zu instructions, %llu steps, %llu requests\n", frames, mailboxes,
              ran.insts, static_cast<unsigned long long>(ran.outcome.steps),
              static_cast<unsigned long long>(w.requests_served));
}

TEST(Access, OneFrameOneMailbox) { check_gather<u32>(1, 1, Type::u32); }
TEST(Access, SmallCache) { check_gather<u32>(6, 4, Type::u32); }
TEST(Access, EverythingFits) { check_gather<u64>(64, 8, Type::u64); }
TEST(Access, BytesAndFloats) {
  check_gather<u8>(6, 2, Type::u8);
  check_gather<float>(6, 2, Type::f32);
}

TEST(Access, AFailureReachesItsLanesAndNoOthers) {
  World w(64, 8, 8 * kPageBytes, 7);
  w.failing_page = 2;
  std::vector<u32> index(64), out(64), status(64);
  for (u32 i = 0; i < 64; ++i) index[i] = i * 2;
  ASSERT_TRUE(gather(w, index, out, status, Type::u32, kForEver).outcome.ok());
  for (u32 i = 0; i < 64; ++i) {
    const bool failing = index[i] * 4 / kPageBytes == w.failing_page;
    u32 expected = 0;
    if (!failing) std::memcpy(&expected, &w.array[index[i] * 4], 4);
    EXPECT_EQ(out[i], expected);
    EXPECT_EQ(status[i], failing ? 71u : 0u) << "lane " << i;
  }
}

TEST(Access, ASpentBudgetLeavesNothingPinnedAndThePageComesAnyway) {
  World w(64, 32, 4 * kPageBytes, 9);
  std::vector<u32> index(16), out(16), status(16);
  for (u32 i = 0; i < 16; ++i) index[i] = i * 4;
  ASSERT_TRUE(gather(w, index, out, status, Type::u32, 0).outcome.ok());
  for (u32 s : status) EXPECT_EQ(s, 2u);
  for (u32 i = 0; i < 20; ++i) w.serve();
  dev::Native m(w.words);
  dev::finish_mailboxes(m, 32);
  ASSERT_TRUE(gather(w, index, out, status, Type::u32, 0).outcome.ok());
  for (u32 i = 0; i < 16; ++i) {
    u32 expected;
    std::memcpy(&expected, &w.array[index[i] * 4], 4);
    EXPECT_EQ(out[i], expected);
    EXPECT_EQ(status[i], 0u);
  }
}

// However many turns are left; and lanes that meet at barriers stay together.
TEST(Access, AnAbortEndsLoops) {
  const auto body = [](Ctx k, OnDemand<u32> a, InOut<u32> out, Val<u64> turns) {
    auto sum = k.var(0u);
    for (auto i : k.range(0u, 3u)) {
      for (auto j : k.range(0, turns)) sum += a[(j & 7).as<u32>()] + i;
      k.barrier();
    }
    auto n = k.var<u64>(0);
    GPU_WHILE(k, n < turns) {
      n += 1;
      k.continue_if(a[k.tid() & 7] == 77);
      sum += 1;
    }
    out.atomic_add(0, 1u);
  };
  for (const bool answered : {false, true}) {
    World w(64, 8, 8 * kPageBytes, 11);
    w.answers->abort = 33;
    if (!answered) w.slots.clear();
    w.failing_page = answered ? 0 : kForEver;
    std::vector<u32> out(1);
    const Program p = trace_program(body, "k", {16, 1, 1});
    const Ran ran = run(w, p.view(),
                        {Argument::on_demand(w.array.size() / 4), Argument::buffer(bytes_of(out)),
                         Argument::scalar(u64{1} << 40)},
                        kForEver, 1);
    ASSERT_TRUE(ran.outcome.ok()) << ran.outcome.error;
    EXPECT_EQ(out[0], 16u);
  }
}

TEST(Access, AnAbortEndsEveryWait) {
  World w(64, 8, 8 * kPageBytes, 11);
  w.answers->abort = 33;
  std::vector<u32> index(16), out(16), status(16);
  for (u32 i = 0; i < 16; ++i) index[i] = i * 8;
  w.slots.clear();  // a service that is dead
  ASSERT_TRUE(gather(w, index, out, status, Type::u32, kForEver).outcome.ok());
  for (u32 s : status) EXPECT_EQ(s, 33u);
}

}  // namespace
}  // namespace gpuio::kernel
