// Our file engine: as many operations in flight as the job's depth, buffers registered, completions polled.
// An operation alone is polled for up to kSpinNs before we sleep: nothing else is to be done. Of several we
// await the next asleep: those that end meanwhile are taken together, and what follows them is one doorbell.
// Polling there sends each by itself, which costs a virtual drive beside a busy core two thirds of its
// writes.

#include "bench/file/job.hpp"
#include "engines/file/file.hpp"
#include "io/registry.hpp"

using namespace gpuio;

constexpr std::uint64_t kSpinNs = 100'000;

namespace {

// What each operation wrote last: its content follows from its offset, so a later one there wrote the same.
void read_back(io::Queue& queue, std::vector<io::Op>& ops) {
  std::vector<io::Op*> done(1);
  for (io::Op& op : ops) {
    const io::Segment& segment = op.segments[0];
    std::memset(segment.memory, 0, segment.length);
    op.kind = io::OpKind::read;
    io::Op* one[] = {&op};
    if (queue.submit(one) != 1) bench::die("the queue took nothing");
    while (queue.poll(done) == 0) (void)queue.wait(1'000'000'000);
    if (op.code != Code::ok || op.bytes != segment.length) bench::die(io::describe(op));
    bench::check(segment.memory, op.offset, segment.length);
  }
}

}  // namespace

int main(int count, char** words) {
  bench::Job job = bench::Job::parse(count, words);
  io::Registry registry;
  auto made = io::make_file_engine({});
  if (!made) bench::die(made.error().message());
  if (auto added = registry.add({"localio"}, std::move(*made)); !added) bench::die(added.message());
  auto opened = registry.open(
      job.file, (job.write ? io::kRead | io::kWrite : io::kRead) | (job.direct ? io::kDirect : 0u));
  if (!opened) bench::die(opened.error().message());
  auto queue = opened->engine->queue(static_cast<std::uint32_t>(job.depth));
  if (!queue) bench::die(queue.error().message());

  std::byte* memory = bench::buffers(job.block * job.depth);
  const auto region = (*queue)->enroll({memory, job.block * job.depth});
  if (!region) bench::die(region.error().message());
  std::vector<io::Segment> segments(job.depth);
  std::vector<io::Op> ops(job.depth);
  std::vector<std::uint64_t> started(job.depth);
  std::vector<io::Op*> ready, done(job.depth);
  for (std::uint64_t i = 0; i < job.depth; ++i) {
    segments[i] = {memory + i * job.block, job.block, *region};
    ops[i] = {.kind = job.write ? io::OpKind::write : io::OpKind::read,
              .target = opened->target.get(),
              .segments = {&segments[i], 1}};
    if (job.write) bench::fill(segments[i].memory, 0, job.block);
    ready.push_back(&ops[i]);
  }

  bench::Measure measure(job);
  std::uint64_t in_flight = 0, idle_since = 0;
  for (bool going = true; going || in_flight;) {
    if (going && !ready.empty()) {
      const std::uint64_t now = bench::Measure::now();
      for (io::Op* op : ready) {
        op->offset = job.next_offset();
        if (job.write) bench::stamp(op->segments[0].memory, op->offset, job.block);
        started[static_cast<std::size_t>(op - ops.data())] = now;
      }
      if ((*queue)->submit(ready) != ready.size()) bench::die("the queue took less than its depth");
      in_flight += ready.size();
      ready.clear();
    }
    const std::uint32_t n = (*queue)->poll(done);
    const std::uint64_t now = bench::Measure::now();
    if (n == 0) {
      if (idle_since == 0) idle_since = now;
      if (job.depth > 1 || now - idle_since > kSpinNs) (void)(*queue)->wait(1'000'000'000);
      continue;
    }
    idle_since = 0;
    for (io::Op* op : std::span(done).first(n)) {
      if (op->code != Code::ok || op->bytes != job.block) bench::die(io::describe(*op));
      if (!job.write) bench::check(op->segments[0].memory, op->offset, job.block);
      measure.done(started[static_cast<std::size_t>(op - ops.data())], now);
      ready.push_back(op);
    }
    in_flight -= n;
    going = going && !measure.over(now);
  }
  measure.print(opened->target->info()->route);
  if (job.write) read_back(**queue, ops);
  return 0;
}
