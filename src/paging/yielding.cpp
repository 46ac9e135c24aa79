#include "paging/yielding.hpp"

#include <algorithm>
#include <cstring>

#include "base/clock.hpp"

namespace gpuio::paging {
namespace {

constexpr std::uint64_t kCopyNs = 60'000'000'000;  // for copies of a batch of pages; then the device is stuck

}  // namespace

// Lanes that wait, sorted by page, and one Wanted a page.
void Answerer::gather(std::span<device::LaneRecord> records) {
  records_ = records;
  lanes_.clear();
  wanted_.clear();
  for (std::uint32_t lane = 0; lane < records.size(); ++lane)
    if (records[lane].point != device::kLaneDone && records[lane].status == device::kUnanswered)
      lanes_.push_back({records[lane].page, lane});
  // Lanes that go through an array in order come in order.
  if (!std::ranges::is_sorted(lanes_)) std::ranges::sort(lanes_);
  for (std::uint32_t i = 0; i < lanes_.size(); ++i) {
    const std::uint64_t page = lanes_[i].page;
    if (wanted_.empty() || wanted_.back().page != page) wanted_.push_back({page, i, i, 0});
    wanted_.back().lanes_end = i + 1;
  }
  misses_ += lanes_.size();
}

void Answerer::give(const Wanted& wanted, Code code, const std::byte* bytes) {
  const std::uint64_t now_ns = SteadyClock().now_ns();
  ArrayCounters* const counters = finder_.counters(wanted.page);
  const std::uint32_t lanes = wanted.lanes_end - wanted.lanes_begin;
  latency_ns_.record(now_ns - started_ns_, lanes);
  if (counters) {
    counters->misses.add(lanes);
    counters->latency_ns.record(now_ns - started_ns_, lanes);
  }
  for (std::uint32_t i = wanted.lanes_begin; i < wanted.lanes_end; ++i) {
    device::LaneRecord& record = records_[lanes_[i].lane];
    // What a device wrote is checked before it is used as a length.
    Code outcome = code;
    if (record.bytes > device::kBypassBytesMax ||
        std::uint64_t(record.byte) + record.bytes > cache_.page_bytes())
      outcome = Code::invalid_address;
    record.answer[0] = record.answer[1] = 0;
    if (outcome == Code::ok) std::memcpy(record.answer, bytes + record.byte, record.bytes);
    record.status = std::uint32_t(-int(outcome));
    if (outcome == Code::ok) continue;
    ++failures_;
    last_failure_ = outcome;
    if (counters) counters->failures.add();
  }
}

// A frame for the page among this batch's reads; false when none is to be had before the batch has been read.
bool Answerer::claim(std::uint64_t page, Wanted* wanted) {
  if (reads_.size() >= cache_.batch_max()) return false;
  auto frame = cache_.claim(page);
  if (!frame) return false;
  if (wanted) wanted->frame = *frame;
  // reads_ was reserved: the pointers that were submitted stay good.
  reads_.push_back(
      {.page = page, .to = cache_.landing(*frame, std::uint32_t(reads_.size())), .user = wanted});
  frames_.push_back(*frame);
  return true;
}

void Answerer::read_batch() {
  submitted_.clear();
  for (PageRead& read : reads_) {
    read.code = Code::timeout;  // stays so for what does not arrive
    submitted_.push_back(&read);
  }
  if (Status s = pager_.read(submitted_, timeout_ns_, cancel_); !s) last_error_ = s.message();
  for (std::uint32_t i = 0; i < reads_.size(); ++i) {
    const PageRead& read = reads_[i];
    const std::uint32_t frame = frames_[i];
    if (read.code == Code::ok && device_) device_ = cache_.fill(stream_, frame, i);
    if (read.code == Code::ok && device_) {
      cache_.publish(frame);
      if (ArrayCounters* counters = finder_.counters(read.page)) counters->brought.add();
      ++pages_;
    } else {
      cache_.give_up(frame);
    }
    if (read.user) give(*static_cast<Wanted*>(read.user), read.code, read.to);
  }
  reads_.clear();
  frames_.clear();
  // The staging pages are used again for the next batch.
  if (cache_.local() && device_) device_ = stream_.wait(stream_.last(), kCopyNs);
}

// A page that came with this very answer's readahead.
void Answerer::give_resident(const Wanted& wanted, std::uint32_t frame) {
  cache_.touch(frame);
  const auto bytes = cache_.look(stream_, frame);
  if (!bytes && device_) device_ = bytes.error();
  give(wanted, bytes ? Code::ok : bytes.error().code(), bytes ? *bytes : nullptr);
}

// With the batch at hand, the pages that an array read in order will want next.
void Answerer::read_ahead(std::size_t next) {
  if (next < wanted_.size() || reads_.empty()) return;
  const std::uint64_t first = wanted_.front().page;
  const Range* const range = finder_.find(first);
  if (!range || reads_.back().page - range->first >= range->pages) return;
  const std::uint64_t last = reads_.back().page, end = range->first + range->pages;
  const std::uint64_t room = cache_.batch_max() - std::min<std::uint64_t>(cache_.batch_max(), reads_.size());
  const std::uint64_t limit = std::min<std::uint64_t>({cache_.frames() / 4, 64, room});
  const std::uint64_t extra = readahead_[range->first].after(first, last, limit);
  for (std::uint64_t page = last + 1; page <= last + extra && page < end; ++page)
    if (!cache_.find(page) && !claim(page, nullptr)) break;
}

Status Answerer::answer(std::span<device::LaneRecord> records, std::uint64_t timeout_ns,
                        const std::atomic<bool>* cancel) {
  timeout_ns_ = timeout_ns;
  cancel_ = cancel;
  started_ns_ = SteadyClock().now_ns();
  gather(records);
  reads_.clear();
  frames_.clear();
  reads_.reserve(cache_.batch_max());
  for (std::size_t i = 0; i < wanted_.size();) {
    Wanted& wanted = wanted_[i];
    if (const auto frame = cache_.find(wanted.page)) {
      give_resident(wanted, *frame);
      ++i;
    } else if (!finder_.find(wanted.page)) {
      last_error_ = "an index past the end of its array";
      give(wanted, Code::invalid_address, nullptr);
      ++i;
    } else if (claim(wanted.page, &wanted)) {
      ++i;
    } else if (!reads_.empty()) {
      read_batch();
    } else {
      last_error_ = fmt::format("page {}: no frame of the cache can hold it", wanted.page);
      give(wanted, Code::busy, nullptr);
      ++i;
    }
    read_ahead(i);
  }
  if (!reads_.empty()) read_batch();
  return device_;
}

}  // namespace gpuio::paging
