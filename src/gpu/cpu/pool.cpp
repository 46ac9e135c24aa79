#include "gpu/cpu/pool.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "base/platform/per_thread.hpp"
#include "base/platform/thread.hpp"

namespace gpuio::gpu::cpu {

struct Pool::State {
  std::mutex lock;
  std::condition_variable work;   // a launch has groups left, or the end
  std::condition_variable ended;  // a helper left its launch
  std::vector<Launch*> launches;
  std::size_t turn = 0;  // where the next helper starts to look, so that launches share the helpers
  bool stopping = false;
  std::atomic<std::uint32_t> changes{0};  // of launches and stopping: a hint for who is about to sleep
  std::vector<std::thread> threads;

  Launch* pick() {
    for (std::size_t i = 0; i < launches.size(); ++i) {
      Launch* const launch = launches[(turn + i) % launches.size()];
      if (launch->next.load(std::memory_order_relaxed) >= launch->total) continue;
      turn = turn + i + 1;
      return launch;
    }
    return nullptr;
  }
  void help();
};

namespace {

// Shared memory of the group that this thread runs; grows to the largest kernel it has met.
struct SharedScratch {
  static constexpr std::align_val_t kAlign{64};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlign); }
  };
  std::unique_ptr<std::byte[], Free> memory;
  std::uint32_t capacity = 0;

  std::span<std::byte> at_least(std::uint32_t size) {
    if (size > capacity) {
      memory.reset(static_cast<std::byte*>(::operator new(size, kAlign)));
      capacity = size;
    }
    return {memory.get(), size};
  }
};

Status run_groups(Launch& launch) {
  Workgroup group{.arguments = launch.arguments,
                  .group = {},
                  .groups = launch.groups,
                  .shared = per_thread<SharedScratch>().at_least(launch.shared_bytes),
                  .data = launch.native.data.get()};
  for (;;) {
    const std::uint64_t begin = launch.next.fetch_add(launch.chunk, std::memory_order_relaxed);
    if (begin >= launch.total) return {};
    const std::uint64_t end = std::min(begin + launch.chunk, launch.total);
    const std::uint64_t row = begin / launch.groups[0];
    group.group = {std::uint32_t(begin % launch.groups[0]), std::uint32_t(row % launch.groups[1]),
                   std::uint32_t(row / launch.groups[1])};
    for (std::uint64_t i = begin; i < end; ++i) {
#ifdef GPUIO_ASSERT
      // Undefined at entry: make a kernel that relies on zeros fail here, not on a GPU.
      std::ranges::fill(group.shared, std::byte{0xa5});
#endif
      if (Status s = launch.native.run(group); !s) return s;
      if (++group.group[0] < launch.groups[0]) continue;
      group.group[0] = 0;
      if (++group.group[1] < launch.groups[1]) continue;
      group.group[1] = 0;
      ++group.group[2];
    }
  }
}

// Runs groups until none are left; the first error keeps the others from starting. Called without the lock.
void work_on(Launch& launch, std::mutex& lock) {
  Status s = run_groups(launch);
  if (s) return;
  launch.next.store(launch.total, std::memory_order_relaxed);
  std::scoped_lock hold(lock);
  if (launch.error) launch.error = std::move(s).wrap("kernel " + launch.name);
}

}  // namespace

void Pool::State::help() {
  std::unique_lock hold(lock);
  for (;;) {
    Launch* launch = nullptr;
    if (!stopping && (launch = pick()) == nullptr) {
      const std::uint32_t seen = changes.load(std::memory_order_relaxed);
      hold.unlock();
      look_a_while([&] { return changes.load(std::memory_order_relaxed) != seen; });
      hold.lock();
      work.wait(hold, [&] { return stopping || (launch = pick()) != nullptr; });
    }
    if (stopping) return;
    launch->helpers.fetch_add(1, std::memory_order_relaxed);
    hold.unlock();
    work_on(*launch, lock);
    hold.lock();
    if (launch->helpers.fetch_sub(1, std::memory_order_relaxed) == 1) ended.notify_all();
  }
}

Result<Pool> Pool::create(unsigned threads) {
  auto state = std::make_shared<State>();
  Pool pool(state, threads);
  try {
    for (unsigned i = 1; i < threads; ++i) state->threads.emplace_back([state] { state->help(); });
  } catch (const std::system_error& e) {
    return fail(Code::nomem, "starting thread {} of {}: {}", state->threads.size() + 1, threads - 1,
                e.what());
  }
  return pool;
}

Pool::~Pool() {
  if (!state_) return;
  {
    std::scoped_lock hold(state_->lock);
    state_->stopping = true;
    state_->changes.fetch_add(1, std::memory_order_relaxed);
  }
  state_->work.notify_all();
  for (auto& t : state_->threads)
    if (t.joinable()) t.join();
}

void Pool::abandon() {
  for (auto& t : state_->threads)
    if (t.joinable()) t.detach();
}

Status Pool::run(Launch& launch) {
  launch.total = std::uint64_t{launch.groups[0]} * launch.groups[1] * launch.groups[2];
  if (launch.total == 0) return {};
  // Runs of groups keep memory access sequential and the counter cold, short enough to share evenly.
  launch.chunk = std::clamp<std::uint64_t>(launch.total / (std::uint64_t{threads_} * 32), 1, 64);
  State& state = *state_;
  const bool share = threads_ > 1 && launch.total > 1;
  if (share) {
    {
      std::scoped_lock hold(state.lock);
      state.launches.push_back(&launch);
      state.changes.fetch_add(1, std::memory_order_relaxed);
    }
    state.work.notify_all();
  }
  work_on(launch, state.lock);
  const auto left = [&] { return launch.helpers.load(std::memory_order_relaxed) == 0; };
  if (share) look_a_while(left);
  std::unique_lock hold(state.lock);
  if (share) {
    std::erase(state.launches, &launch);
    state.ended.wait(hold, left);
  }
  return launch.error;
}

}  // namespace gpuio::gpu::cpu
