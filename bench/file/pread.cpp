// The plain way: one thread, one pread or pwrite after another, whatever the job's depth.

#include <fcntl.h>
#include <unistd.h>

#include "bench/file/job.hpp"

int main(int count, char** words) {
  bench::Job job = bench::Job::parse(count, words);
  const int fd = ::open(job.file.c_str(), (job.write ? O_RDWR : O_RDONLY) | (job.direct ? O_DIRECT : 0));
  if (fd < 0) bench::die("opening " + job.file + ": " + std::strerror(errno));
  std::byte* memory = bench::buffers(job.block);
  if (job.write) bench::fill(memory, 0, job.block);
  bench::Measure measure(job);
  for (std::uint64_t from = bench::Measure::now(); !measure.over(from);) {
    const std::uint64_t offset = job.next_offset();
    if (job.write) bench::stamp(memory, offset, job.block);
    const auto moved = job.write ? ::pwrite(fd, memory, job.block, static_cast<off_t>(offset))
                                 : ::pread(fd, memory, job.block, static_cast<off_t>(offset));
    if (moved != static_cast<ssize_t>(job.block)) bench::die("a short transfer, or an error");
    if (!job.write) bench::check(memory, offset, job.block);
    const std::uint64_t to = bench::Measure::now();
    measure.done(from, to);
    from = to;
  }
  measure.print(job.write ? "pwrite" : "pread");
  return 0;
}
