// The protocol on real threads: lanes that read, write, flush, give up and come back, a service that fails,
// dawdles and stages, a cache much smaller than the pages. Every byte is checked. Under ThreadSanitizer this
// shows that the orders named in the steps are enough: frames are filled by plain stores.
#include <gpuio/device/native.hpp>
#include <gpuio/device/service.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace gpuio::device {
namespace {

constexpr u32 kLanes = 4;
constexpr u32 kWords = 32;  // u64 words a page; word t belongs to lane t, the rest never change

struct Shape {
  const char* name;
  u32 frames, mailboxes, pages, accesses;
  u32 write_percent, fail_percent, stage_percent;
  bool bypass;
  u64 turns_max;
  u32 at_hand_percent = 0;
};

u64 constant_word(u64 page, u64 word) { return (page << 32 | word) * 0x9e3779b97f4a7c15; }

// Everything that a device's memory would hold, and the backing store.
struct World {
  explicit World(const Shape& shape) : pages(shape.pages) {
    const u32 buckets = buckets_for(shape.frames);
    bucket.resize(buckets);
    side.resize(buckets);
    frames.resize(std::size_t(buckets) * kWays * kWords);
    staging.resize(std::size_t(shape.mailboxes) * kWords);
    words = {header.get(),
             bucket.data(),
             side.data(),
             requests.get(),
             answers.get(),
             buckets,
             shape.mailboxes,
             reinterpret_cast<std::byte*>(frames.data()),
             reinterpret_cast<std::byte*>(staging.data()),
             kWords * 8};
    initialize(words, shape.frames);
    for (u32 p = 0; p < shape.pages; ++p) {
      for (u32 w = 0; w < kWords; ++w) pages[p][w] = w < kLanes ? 0 : constant_word(p, w);
    }
  }
  std::unique_ptr<DirectoryHeader> header = std::make_unique<DirectoryHeader>();
  std::unique_ptr<Requests> requests = std::make_unique<Requests>();
  std::unique_ptr<Answers> answers = std::make_unique<Answers>();
  std::vector<Bucket> bucket;
  std::vector<BucketSide> side;
  std::vector<u64> frames, staging;
  std::vector<std::array<u64, kWords>> pages;
  Words words;
};

// One lane's program: counts what happened, remembers what it wrote.
struct LaneProgram {
  LaneProgram(World& w, const Shape& s, u32 lane, u64 seed)
      : world(w), shape(s), self(lane), random(seed), m(w.words), written(s.pages) {
    m.turns_max = s.turns_max;
    m.bringer = {[](void* program, u64 page, u64 frame) {
                   return static_cast<LaneProgram*>(program)->bring(page, frame);
                 },
                 this};
    lane_state.turn = lane * 7;
  }

  bool bring(u64 page, u64 frame) {
    if (random() % 100 >= shape.at_hand_percent) return false;
    std::memcpy(&world.frames[frame * kWords], world.pages[page].data(), kWords * 8);
    return true;
  }
  void run_to_outcome() {
    while (lane_state.at < At::pinned) step(m, lane_state);
  }
  void check(u64 page, u64 word, u64 value) {
    const bool good = word >= kLanes ? value == constant_word(page, word)
                      : word == self ? value == written[page]
                                     : value >> 32 == (value ? page : 0);
    if (!good) ++wrong;
  }
  void access() {
    const u64 page = random() % shape.pages;
    const bool writes = random() % 100 < shape.write_percent;
    const u64 word = random() % kWords;
    m.begin_waiting();
    begin_access(m, lane_state, page, u64(shape.bypass && !writes), word * 8 | u64{8} << 32);
    run_to_outcome();
    switch (lane_state.at) {
      case At::pinned: {
        u64* frame = &world.frames[lane_state.frame * kWords];
        check(page, word, std::atomic_ref(frame[word]).load(std::memory_order_relaxed));
        if (writes) {
          written[page] = page << 32 | ++version;
          std::atomic_ref(frame[self]).store(written[page], std::memory_order_relaxed);
        }
        release(m, lane_state, writes);
        run_to_outcome();
        ++done;
        break;
      }
      case At::bypassed:
        check(page, word, lane_state.low);
        ++bypassed;
        break;
      case At::failed:
        if (lane_state.status != 5) ++wrong;
        ++failed;
        break;
      default: ++left; break;
    }
    if (random() % 64 == 0) {
      m.begin_waiting();
      begin_flush(m, lane_state, u64(random() % shape.frames));
      run_to_outcome();
    }
  }
  void run() {
    for (u32 i = 0; i < shape.accesses; ++i) access();
  }

  World& world;
  const Shape& shape;
  u32 self;
  std::mt19937_64 random;
  Native m;
  Lane<Native> lane_state{};
  std::vector<u64> written;
  u64 version = 0, done = 0, bypassed = 0, failed = 0, left = 0, wrong = 0;
};

// The service: takes requests in any order, holds some back, fails some.
struct ServiceProgram {
  ServiceProgram(World& w, const Shape& s, u64 seed)
      : world(w), shape(s), random(seed), m(w.words), slots(s.mailboxes), hold(s.mailboxes) {}

  void act(u32 box) {
    Slot& slot = slots[box];
    const u64 page = request_page(slot.what);
    const u32 where = control_frame(slot.ask);
    u64* frame = control_operation(slot.ask) == kOpBypass ? nullptr : &world.frames[where * kWords];
    if (random() % 100 < shape.fail_percent) return answer(slot, 5, false);
    const auto& source = world.pages[page];
    switch (control_operation(slot.ask)) {
      case kOpFill: {
        const bool staged = random() % 100 < shape.stage_percent;
        std::memcpy(staged ? &world.staging[box * kWords] : frame, source.data(), kWords * 8);
        return answer(slot, 0, staged);
      }
      case kOpWriteBack:
        for (u32 w = 0; w < kWords; ++w) {
          world.pages[page][w] = std::atomic_ref(frame[w]).load(std::memory_order_relaxed);
        }
        return answer(slot, 0, false);
      default: slot.low = source[where / 8]; return answer(slot, 0, false);
    }
  }
  // Returns whether anything is under way.
  bool sweep() {
    bool busy = false;
    for (u32 box = 0; box < shape.mailboxes; ++box) {
      Slot& slot = slots[box];
      if (hold[box]) {
        --hold[box];
        busy = true;
        continue;
      }
      serve(m, slot, box);
      while (slot.at != kLook && slot.at != kWork) serve(m, slot, box);
      if (slot.at != kWork) continue;
      busy = true;
      act(box);
      if (random() % 4 == 0) hold[box] = u32(random() % 50);
    }
    return busy;
  }

  World& world;
  const Shape& shape;
  std::mt19937_64 random;
  Native m;
  std::vector<Slot> slots;
  std::vector<u32> hold;
};

class ProtocolSim : public testing::TestWithParam<Shape> {};

TEST_P(ProtocolSim, EveryByteIsRight) {
  const Shape& shape = GetParam();
  const u64 seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  World world(shape);
  std::vector<LaneProgram> lanes;
  lanes.reserve(kLanes);  // each is known by its address
  for (u32 i = 0; i < kLanes; ++i) lanes.emplace_back(world, shape, i, seed + i);
  ServiceProgram service(world, shape, seed + kLanes);
  std::atomic<bool> stop{false};
  std::thread host([&] {
    while (!stop.load(std::memory_order_acquire)) {
      if (!service.sweep()) std::this_thread::yield();
    }
    while (service.sweep()) {
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (LaneProgram& l : lanes) threads.emplace_back([&l] { l.run(); });
  for (std::thread& t : threads) t.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  stop.store(true, std::memory_order_release);
  host.join();

  u64 done = 0, bypassed = 0, failed = 0, left = 0;
  for (const LaneProgram& l : lanes) {
    EXPECT_EQ(l.wrong, 0u) << "lane " << l.self;
    done += l.done, bypassed += l.bypassed, failed += l.failed, left += l.left;
  }
  std::printf("%s: seed %llu, %.0f accesses/s; done %llu bypassed %llu failed %llu left %llu\n", shape.name,
              static_cast<unsigned long long>(seed), double(kLanes) * shape.accesses / seconds,
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(bypassed),
              static_cast<unsigned long long>(failed), static_cast<unsigned long long>(left));
  EXPECT_GT(done, 0u);

  // What the host does when the kernel has ended; then nothing may be pinned, locked, leased or half made.
  Native m(world.words);
  finish_mailboxes(m, shape.mailboxes);
  for (u64 f = 0; f < shape.frames; ++f) {
    const u64 t = m.load(Field::tag, f, Order::acquire, Scope::device);
    EXPECT_EQ(pins_of(t), 0u) << "frame " << f;
    EXPECT_TRUE(state_of(t) == kFree || state_of(t) == kValid) << "frame " << f;
    if (state_of(t) != kValid || !dirty_of(t)) continue;
    std::copy_n(&world.frames[f * kWords], kWords, world.pages[page_of(t)].begin());
  }
  for (const BucketSide& s : world.side) EXPECT_EQ(s.lock, 0u);
  for (u32 i = 0; i < kLanes; ++i) {
    for (u32 p = 0; p < shape.pages; ++p) EXPECT_EQ(world.pages[p][i], lanes[i].written[p]) << "page " << p;
  }
}

constexpr u64 kNever = ~u64{0};
INSTANTIATE_TEST_SUITE_P(Shapes, ProtocolSim,
                         testing::Values(Shape{"one frame", 1, 1, 5, 200, 0, 0, 0, false, kNever},
                                         Shape{"one frame, writes, bypass", 1, 2, 3, 200, 30, 0, 50, true,
                                               kNever},
                                         Shape{"reads", 16, 8, 40, 1000, 0, 0, 30, false, kNever},
                                         Shape{"writes", 16, 8, 40, 1000, 30, 0, 30, false, kNever},
                                         Shape{"trouble", 6, 2, 30, 1000, 20, 5, 30, true, 400},
                                         Shape{"half at hand", 6, 2, 30, 1000, 20, 5, 30, true, 400, 50},
                                         Shape{"all at hand", 1, 2, 5, 1000, 20, 0, 0, false, kNever, 100},
                                         Shape{"all resident", 64, 16, 40, 20000, 10, 0, 0, false, kNever}),
                         [](const auto& p) {
                           std::string name = p.param.name;
                           for (char& c : name) c = c == ' ' || c == ',' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace gpuio::device
