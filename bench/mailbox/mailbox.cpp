// What a miss costs before any drive is asked: a lane's whole way through the protocol and the service, for
// pages of 512 bytes that lie in memory, against two threads that do nothing but hand a flag to each other.
//
// A lane is the protocol's own steps on a thread (device/native.hpp), as on the CPU device. "Mailbox round
// trip" is what the mailbox takes of them: from the first word of the request to the answer seen, by a thread
// that answers without bringing anything. "Miss of nothing" is all of the same lane's steps: it looks for the
// page, claims a way, posts, finishes the answer, pins and lets go.
#include <gpuio/device/native.hpp>
#include <gpuio/device/service.hpp>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/clock.hpp"
#include "base/platform/thread.hpp"
#include "bench/report.hpp"
#include "engines/memory/memory.hpp"
#include "gpu/cpu/cpu.hpp"
#include "io/registry.hpp"
#include "paging/service.hpp"
#include "paging/yielding.hpp"

namespace gpuio::bench {
namespace {

using device::At;
using paging::Cache;
constexpr std::uint64_t kPage = 512, kPages = 1 << 14, kWord = 0x9E3779B97F4A7C15;

template <class T>
T must(Result<T> result) {
  if (!result) die(result.error().message());
  return std::move(*result);
}

std::uint64_t now_ns() { return SteadyClock().now_ns(); }

// An array of pages in memory, whose words are known, and a cache for a few of them.
struct World {
  explicit World(std::uint64_t frames) : device(must(gpu::cpu::open({}))) {
    if (Status s = registry.add({"mem"}, io::make_memory_engine()); !s) die(s.message());
    opened = must(registry.open(fmt::format("mem://pages?size={}", kPage * kPages), io::kRead | io::kWrite));
    auto queue = must(opened.engine->queue(1));
    std::vector<std::uint64_t> words(kPage * kPages / 8);
    for (std::uint64_t i = 0; i < words.size(); ++i) words[i] = i * kWord;
    io::Segment segment{reinterpret_cast<std::byte*>(words.data()), words.size() * 8};
    io::Op op{.kind = io::OpKind::write, .target = opened.target.get(), .segments = {&segment, 1}};
    io::Op* one[] = {&op};
    if (queue->submit(one) != 1) die("the memory engine took nothing");
    while (queue->poll(one) == 0) (void)queue->wait(1'000'000);
    if (op.code != Code::ok) die(io::describe(op));
    space = must(paging::Space::create(kPage));
    range = must(space->map(*opened.engine, *opened.target, 0, kPage * kPages));
    cache = must(Cache::create(*device, {.cache_bytes = frames * kPage, .page_bytes = kPage}));
  }

  std::unique_ptr<gpu::Device> device;
  io::Registry registry;
  io::Opened opened;
  std::unique_ptr<paging::Space> space;
  paging::Range range;
  std::unique_ptr<Cache> cache;
};

// One lane that always misses: its pages follow each other and the cache holds only the last few.
class Reader {
 public:
  explicit Reader(World& world, bool checks = true)
      : world_(world), memory_(world.cache->words()), checks_(checks) {}

  void begin() {
    device::begin_access(memory_, lane_, world_.range.first + page_, std::uint64_t{0}, std::uint64_t{0});
    memory_.begin_waiting();
  }
  bool step() {
    device::step(memory_, lane_);
    return lane_.at >= At::pinned;
  }
  bool ended() const { return lane_.at == At::done; }
  void end() {
    if (lane_.at != At::pinned) die(fmt::format("a lane was left with status {}", lane_.status));
    std::uint64_t word;
    std::memcpy(&word, world_.cache->frame(lane_.frame), 8);
    if (checks_ && word != page_ * (kPage / 8) * kWord) die(fmt::format("wrong bytes in page {}", page_));
    device::release(memory_, lane_, false);
    while (lane_.at < At::pinned) device::step(memory_, lane_);
    page_ = (page_ + stride_) % kPages;
  }
  void read() {
    begin();
    while (!step()) {
    }
    end();
  }
  // The same in three parts: to the request, to the answer, the rest. Some ways keep their page for long.
  void up_to_request() {
    for (begin(); lane_.at != At::post_control;)
      if (step()) end(), begin();
  }
  void request() {
    while (lane_.at != At::win) step();
  }
  void finish() {
    while (!step()) {
    }
    end();
  }
  void start_at(std::uint64_t page, std::uint64_t stride, std::uint32_t turn) {
    page_ = page, stride_ = stride;
    lane_.turn = turn;
  }

 private:
  World& world_;
  device::Native memory_;
  device::Lane<device::Native> lane_;
  std::uint64_t page_ = 0, stride_ = 1;
  bool checks_;
};

// Two cores where there are two: this thread takes one of them until the end. Threads that it starts
// meanwhile would take the same, so it starts them first.
class OnCore {
 public:
  explicit OnCore(std::size_t core) {
    if (auto cpus = usable_cpus()) before_ = std::move(*cpus);
    if (before_.size() < 2) return;
    const int one[] = {before_[core % before_.size()]};
    (void)pin_this_thread(one);
  }
  ~OnCore() {
    if (before_.size() >= 2) (void)pin_this_thread(before_);
  }
  OnCore(const OnCore&) = delete;
  OnCore& operator=(const OnCore&) = delete;

 private:
  std::vector<int> before_;
};

// On the second core: its thread stays where it was started, and would before ordinary ones take ours.
std::unique_ptr<paging::Service> start_service(World& world) {
  const OnCore second(1);
  return must(paging::Service::start(*world.cache, *world.space, {}));
}

// The other side of a flag: repeats what it sees, and sleeps on a futex first where it is asked to.
class Echo {
 public:
  explicit Echo(bool sleeps)
      : thread_([this, sleeps] {
          const OnCore second(1);
          for (std::uint32_t seen = 0;;) {
            if (sleeps) (void)wait_on_word(asked_, seen, 100'000'000);
            const std::uint32_t asked = asked_.load(std::memory_order_acquire);
            if (asked == kStop) return;
            if (asked != seen) said_.store(seen = asked, std::memory_order_release);
            else if (!sleeps) relax_cpu();
          }
        }) {}
  ~Echo() {
    asked_.store(kStop, std::memory_order_release);
    wake_one(asked_);
    thread_.join();
  }
  void ask(bool wakes) {
    const std::uint32_t n = asked_.load(std::memory_order_relaxed) + 1;
    asked_.store(n, std::memory_order_release);
    if (wakes) wake_one(asked_);
    while (said_.load(std::memory_order_acquire) != n) relax_cpu();
  }

 private:
  static constexpr std::uint32_t kStop = ~std::uint32_t{0};
  alignas(64) std::atomic<std::uint32_t> asked_{0};
  alignas(64) std::atomic<std::uint32_t> said_{0};
  std::thread thread_;
};

// Answers at once and brings nothing. For a cache that nobody has used yet.
class Responder {
 public:
  explicit Responder(Cache& cache)
      : thread_([this, &cache] {
          const OnCore second(1);
          device::Native words(cache.words());
          std::vector<device::Slot> slots(cache.mailboxes());
          paging::Asks asks(*cache.words().requests, cache.mailboxes());
          while (!stop_.load(std::memory_order_relaxed))
            asks.each_new([&](std::uint32_t box) {
              device::Slot& slot = slots[box];
              while (slot.at != device::kWork) device::serve(words, slot, box);
              asks.saw(box, slot.ask);
              device::answer(slot, 0, false);
              while (slot.at != device::kLook) device::serve(words, slot, box);
            });
        }) {}
  ~Responder() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// The longest that one sample takes, on a machine whose cores others use too.
constexpr std::uint64_t kSampleNs = 100'000'000;

struct Percentiles {
  double p50, p99;
};
constexpr auto kNothing = [] {};

Percentiles percentiles(std::uint32_t times, auto one, auto before, auto after) {
  const OnCore first(0);
  std::vector<double> ns;
  const std::uint64_t until = now_ns() + kSampleNs;
  for (std::uint32_t i = 0; i < times && (i < 20 || now_ns() < until); ++i) {
    before();
    const std::uint64_t from = now_ns();
    one();
    ns.push_back(double(now_ns() - from));
    after();
  }
  std::ranges::sort(ns);
  return {ns[ns.size() / 2], ns[ns.size() * 99 / 100]};
}

// Each contender's threads live only while it is measured: two cores are all there may be.
void round_trips(Report& report) {
  const std::uint32_t times = report.smoke() ? 200 : 20'000;
  World world(64);
  const auto without_pages = [&](auto measured) {
    World other(64);  // its own cache: what it brings is nothing
    Responder responder(*other.cache);
    Reader reader(other, false);
    return measured(reader);
  };
  const auto mailbox = [&] {
    return without_pages([&](Reader& r) {
      return percentiles(times, [&] { r.request(); }, [&] { r.up_to_request(); }, [&] { r.finish(); });
    });
  };
  const auto nothing = [&] {
    return without_pages(
        [&](Reader& r) { return percentiles(times, [&] { r.read(); }, kNothing, kNothing); });
  };
  const auto miss = [&] {
    auto service = start_service(world);
    Reader reader(world);
    service->begin();
    const Percentiles p = percentiles(times, [&] { reader.read(); }, kNothing, kNothing);
    if (Status s = service->end(1'000'000'000); !s) die(s.message());
    return p;
  };
  const auto flag = [&] {
    Echo echo(false);
    return percentiles(times, [&] { echo.ask(false); }, kNothing, kNothing);
  };
  const auto compare = [&](const char* name, const char* note, std::function<Percentiles()> ours) {
    Case& median = report.add(fmt::format("{}, median", name), "ns", Better::less);
    Case& tail = report.add(fmt::format("{}, p99", name), "ns", Better::less);
    const std::pair<const char*, std::function<Percentiles()>> contenders[]{{"ours", ours}, {"flag", flag}};
    for (unsigned round = 0; round < report.pairs(); ++round)
      for (std::size_t i = 0; i < 2; ++i) {
        const auto& [who, run] = contenders[(i + round) % 2];
        const Percentiles p = run();
        median.add(who, p.p50);
        tail.add(who, p.p99);
      }
    median.note(note);
    return &median;
  };
  compare("mailbox round trip", "from the request's first word to the answer seen", mailbox)
      ->target("flag", 1.4);
  compare("miss of nothing", "all of a lane's steps with the same thread on the other side", nothing);
  compare("miss", "the same with the service's thread and a page of 512 bytes, which is memory", miss);
}

void asleep(Report& report) {
  const std::uint32_t times = report.smoke() ? 20 : 300;
  Case& c = report.add("first miss of a kernel, host asleep", "ns", Better::less);
  World world(64);
  auto service = start_service(world);
  Echo echo(true);
  Reader reader(world);
  const auto rest = [] { std::this_thread::sleep_for(std::chrono::microseconds(200)); };
  c.sample(report, {{"ours",
                     [&] {
                       std::vector<double> ns;
                       for (std::uint32_t i = 0; i < times; ++i) {
                         rest();
                         const std::uint64_t from = now_ns();
                         service->begin();
                         reader.read();
                         ns.push_back(double(now_ns() - from));
                         if (Status s = service->end(1'000'000'000); !s) die(s.message());
                       }
                       std::ranges::sort(ns);
                       return ns[ns.size() / 2];
                     }},
                    {"futex and flag",
                     [&] { return percentiles(times, [&] { echo.ask(true); }, rest, kNothing).p50; }}});
  c.target("futex and flag", 1.4);
}

// One thread that plays many lanes, each missing all the time.
void many_lanes(Report& report) {
  constexpr std::uint32_t kLanes = 256;
  Case& c = report.add("requests of 256 lanes that wait", "req/s", Better::more);
  World world(4096);
  auto service = start_service(world);
  const std::uint64_t length = report.smoke() ? 20'000'000 : 300'000'000;
  c.sample(report, {{"ours", [&] {
                       const OnCore first(0);
                       std::vector<Reader> lanes(kLanes, Reader(world));
                       for (std::uint32_t i = 0; i < kLanes; ++i) {
                         lanes[i].start_at(i * (kPages / kLanes), 1, i);
                         lanes[i].begin();
                       }
                       std::uint64_t done = 0, now = 0;
                       service->begin();
                       const std::uint64_t from = now_ns();
                       do {
                         for (std::uint32_t round = 0; round < 4; ++round)
                           for (Reader& lane : lanes)
                             if (lane.step()) {
                               lane.end();
                               lane.begin();
                               ++done;
                             }
                         now = now_ns();
                       } while (now - from < length);
                       // All of them go on to the end: any may hold what another one tries for.
                       for (std::uint32_t left = kLanes; left > 0;)
                         for (Reader& lane : lanes)
                           if (!lane.ended() && lane.step()) {
                             lane.end();
                             --left;
                           }
                       if (Status s = service->end(1'000'000'000); !s) die(s.message());
                       return double(done) / (double(now - from) / 1e9);
                     }}});
  c.note("one page of 512 bytes each; the lanes' own steps run on one core");
}

// What yielded lanes asked for, answered in one go: 64 lanes a page, all pages in the cache.
void yielded_lanes(Report& report) {
  Case& c = report.add("requests of lanes that yielded", "req/s", Better::more);
  constexpr std::uint32_t kLanes = 1 << 17, kAPage = 64;
  World world(4 * kLanes / kAPage);
  const OnCore first(0);
  paging::Pager pager(*world.space, 64);
  const auto stream = must(world.device->stream());
  paging::Answerer answerer(*world.cache, *world.space, pager, *stream);
  std::vector<device::LaneRecord> records(kLanes);
  const auto ask = [&] {
    for (std::uint32_t i = 0; i < kLanes; ++i)
      records[i] = {.point = 1,
                    .status = device::kUnanswered,
                    .page = world.range.first + i / kAPage,
                    .byte = i % kAPage * 8,
                    .bytes = 8,
                    .answer = {}};
  };
  const auto answer = [&] {
    ask();
    const std::uint64_t from = now_ns();
    if (Status s = answerer.answer(records, 10'000'000'000, nullptr); !s) die(s.message());
    const double seconds = double(now_ns() - from) / 1e9;
    for (std::uint32_t i = 0; i < kLanes; ++i) {
      const std::uint64_t word = std::uint64_t{i / kAPage} * (kPage / 8) + i % kAPage;
      if (records[i].status != 0 || records[i].answer[0] != word * kWord) die("a wrong answer");
    }
    return kLanes / seconds;
  };
  (void)answer();  // brings the pages
  c.sample(report, {{"ours", answer}});
  c.limit(10e6);
  c.note("131072 lanes, 64 a page, pages in the cache");
}

int run(int count, char** words) {
  Report report(count, words);
  round_trips(report);
  asleep(report);
  many_lanes(report);
  yielded_lanes(report);
  return report.print();
}

}  // namespace
}  // namespace gpuio::bench

int main(int count, char** words) { return gpuio::bench::run(count, words); }
