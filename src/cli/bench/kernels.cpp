#include "cli/bench/kernels.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "cli/bench/place.hpp"

namespace gpuio::cli {
namespace {

using namespace bench;
using json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int kRoundsMax = 15;
constexpr double kSampleSeconds = 0.02;  // of one sample, where a run is shorter: many are given at once
constexpr int kRepeatsMax = 1000;

struct Measured {
  double seconds = 0, peer_seconds = 0;  // of one run; the median of the rounds
  double first_seconds = 0;              // the first call, which makes the kernels
  int rounds = 0;
};

// `times` runs given to the stream, and waited for.
Result<double> seconds_of(Place& place, const std::function<gpuio_error_t()>& run, int times) {
  const auto begin = Clock::now();
  for (int i = 0; i < times; ++i)
    if (Status s = status_of(run()); !s) return fail(std::move(s));
  if (Status s = place.wait(); !s) return fail(std::move(s));
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

int repeats(double seconds) {
  return static_cast<int>(std::clamp(kSampleSeconds / std::max(seconds, 1e-9), 1.0, double{kRepeatsMax}));
}

double median(std::vector<double>& samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::ranges::nth_element(samples, middle);
  return *middle;
}

// Checks what the first run gave, then takes samples of the operation and its peer in turn, so that what
// disturbs the machine for a while disturbs both.
Result<Measured> measure(Place& place, const Case& c, double budget, const std::atomic<bool>& cancel) {
  Measured m;
  auto first = seconds_of(place, c.run, 1);
  if (!first) return fail(std::move(first).error());
  m.first_seconds = *first;
  if (Status s = c.check(); !s) return fail(std::move(s));
  auto once = seconds_of(place, c.run, 1), peer_once = seconds_of(place, c.peer_run, 1);
  if (!once) return fail(std::move(once).error());
  if (!peer_once) return fail(std::move(peer_once).error());
  const int times = repeats(*once), peer_times = repeats(*peer_once);
  std::vector<double> ours, peers;
  const auto end = Clock::now() + std::chrono::duration<double>(budget);
  do {
    auto sample = seconds_of(place, c.run, times), peer = seconds_of(place, c.peer_run, peer_times);
    if (!sample) return fail(std::move(sample).error());
    if (!peer) return fail(std::move(peer).error());
    ours.push_back(*sample / times);
    peers.push_back(*peer / peer_times);
    if (cancel.load(std::memory_order_relaxed)) return fail(Code::canceled, "interrupted");
  } while (++m.rounds < kRoundsMax && Clock::now() < end);
  m.seconds = median(ours);
  m.peer_seconds = median(peers);
  return m;
}

Result<Size> size_of(const BenchOptions& options, const Place& place) {
  if (options.size == "auto") return place.is_gpu() ? Size::large : Size::small;
  if (options.size == "tiny") return Size::tiny;
  if (options.size == "small") return Size::small;
  if (options.size == "large") return Size::large;
  return fail(Code::invalid_arg, "--size {}: give tiny, small, large or auto", options.size);
}

Result<std::vector<Entry>> entries_of(const BenchOptions& options, Size size) {
  std::vector<Entry> all, chosen;
  add_products(all, size);
  add_rows(all, size);
  add_moves(all, size);
  std::string known;
  for (const Entry& e : all)
    if (!known.ends_with(e.operation)) known += (known.empty() ? "" : ", ") + e.operation;
  for (const std::string& name : options.only)
    if (std::ranges::find(all, name, &Entry::operation) == all.end())
      return fail(Code::invalid_arg, "--only {}: no such operation; there are {}", name, known);
  for (Entry& e : all)
    if (options.only.empty() || std::ranges::find(options.only, e.operation) != options.only.end())
      chosen.push_back(std::move(e));
  return chosen;
}

std::string time_text(double seconds) {
  return seconds < 1e-3  ? fmt::format("{:.1f} us", seconds * 1e6)
         : seconds < 1.0 ? fmt::format("{:.2f} ms", seconds * 1e3)
                         : fmt::format("{:.2f} s", seconds);
}

class Table {
 public:
  Table(bool wanted, std::size_t cases) : wanted_(wanted), cases_(cases), bar_(isatty(STDERR_FILENO) != 0) {}
  void begins(const Entry& e) {
    ++at_;
    if (bar_) fmt::print(stderr, "\r{:78}\r[{}/{}] {} {} ", "", at_, cases_, e.operation, e.size);
    if (bar_) std::fflush(stderr);
  }
  void row(const Entry& e, const Case& c, const Measured& m) {
    if (!wanted_) return;
    clear();
    if (!std::exchange(headed_, true))
      fmt::print("{:<13} {:<34} {:>10} {:>9} {:<8} {:>9}  {:>8}\n", "operation", "size", "time", "rate", "",
                 "peer", "ratio");
    const double rate = c.work / m.seconds / 1e9, peer = c.peer_work / m.peer_seconds / 1e9;
    fmt::print("{:<13} {:<34} {:>10} {:>9.4g} {:<8} {:>9.4g}  {:>8.3g}  {}\n", e.operation, e.size,
               time_text(m.seconds), rate, unit(c), peer, rate / peer, c.peer);
    std::fflush(stdout);
  }
  void clear() const {
    if (bar_) fmt::print(stderr, "\r{:78}\r", "");
  }
  static const char* unit(const Case& c) { return c.arithmetic ? "GFLOP/s" : "GB/s"; }

 private:
  bool wanted_;
  std::size_t cases_, at_ = 0;
  bool bar_, headed_ = false;
};

json to_json(const Entry& e, const Case& c, const Measured& m) {
  const double rate = c.work / m.seconds / 1e9, peer = c.peer_work / m.peer_seconds / 1e9;
  return {{"operation", e.operation}, {"size", e.size},
          {"seconds", m.seconds},     {"rate", rate},
          {"unit", Table::unit(c)},   {"peer", c.peer},
          {"peer_rate", peer},        {"ratio", rate / peer},
          {"rounds", m.rounds},       {"first_seconds", m.first_seconds},
          {"verified", true}};
}

Status run(const BenchOptions& options, const std::atomic<bool>& cancel, json& out) {
  if (!(options.seconds > 0 && options.seconds <= 3600))
    return error(Code::invalid_arg, "--seconds {}: give a number above 0, at most 3600", options.seconds);
  auto place = Place::open(options.device);
  if (!place) return std::move(place).error();
  auto size = size_of(options, **place);
  if (!size) return std::move(size).error();
  auto entries = entries_of(options, *size);
  if (!entries) return std::move(entries).error();
  out = {{"device", (*place)->name()}, {"cases", json::array()}};
  if (!options.json) fmt::print("device {}\n", (*place)->name());
  Table table(!options.json, entries->size());
  for (const Entry& entry : *entries) {
    if (cancel.load(std::memory_order_relaxed)) {
      table.clear();
      return error(Code::canceled, "interrupted");
    }
    table.begins(entry);
    auto made = entry.make(**place);
    Status s = made ? Status() : std::move(made).error();
    if (s) {
      auto measured = measure(**place, *made, options.seconds, cancel);
      if (measured) {
        table.row(entry, *made, *measured);
        out["cases"].push_back(to_json(entry, *made, *measured));
      } else {
        s = std::move(measured).error();
      }
    }
    (*place)->clear();
    if (s) continue;
    table.clear();
    return std::move(s).wrap(fmt::format("{} {}", entry.operation, entry.size));
  }
  table.clear();
  if (!options.json) fmt::print("verified\n");
  return {};
}

}  // namespace

int bench_kernels(const BenchOptions& options, const std::atomic<bool>& cancel) {
  json out;
  const Status s = run(options, cancel, out);
  if (!s) out["error"] = s.message();
  out["verified"] = s.ok();
  if (options.json) fmt::print("{}\n", out.dump(2));
  if (s) return 0;
  fmt::print(stderr, "gpuio: {}\n", s.message());
  return cancel.load() ? 130 : 1;
}

}  // namespace gpuio::cli
