// What a benchmark program prints, as README.md says: cases, their contenders' samples, targets.
//
//   int main(int count, char** words) {
//     bench::Report report(count, words);
//     bench::Case& c = report.add("round trip", "ns", bench::Better::less);
//     c.target("flag", 1.4);                                // ours at most 1.4 times the flag's
//     c.sample(report, {{"ours", [&] { return ours(); }}, {"flag", [&] { return flag(); }}});
//     return report.print();
//   }
//
// Threading: one thread. Errors: die() says why and ends the program; a benchmark has nobody to report to.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gpuio::bench {

[[noreturn]] inline void die(std::string_view why) {
  fmt::print(stderr, "bench: {}\n", why);
  std::exit(2);
}

enum class Better { more, less };

class Report;

// One row: contenders in one unit.
class Case {
 public:
  using Contenders = std::vector<std::pair<std::string, std::function<double()>>>;

  Case(std::string name, std::string unit, Better better)
      : name_(std::move(name)), unit_(std::move(unit)), better_(better) {}

  // Rounds of all contenders, each time another one first. The first contender is ours.
  void sample(const Report& report, const Contenders& contenders);
  // For who measures several things in one go.
  void add(const std::string& contender, double value) { samples_[contender].push_back(value); }
  const std::vector<double>& samples(const std::string& contender) { return samples_[contender]; }
  void add_gpu(const std::string& contender, double value) { gpu_[contender].push_back(value); }

  void target(const std::string& contender, double ratio) { targets_[contender] = ratio; }
  void limit(double value) { limit_ = fmt::format("{:.6g}", value); }
  void note(std::string text) { note_ = std::move(text); }

 private:
  friend class Report;
  using Samples = std::map<std::string, std::vector<double>>;

  static std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') out += '\\';
      out += c == '\n' ? ' ' : c;
    }
    return out + '"';
  }
  static std::string json(const Samples& samples) {
    std::string out;
    for (const auto& [name, values] : samples) {
      out += fmt::format("{}{}: [", out.empty() ? "{" : ", ", quoted(name));
      for (std::size_t i = 0; i < values.size(); ++i)
        out += fmt::format("{}{:.6g}", i ? ", " : "", values[i]);
      out += "]";
    }
    return out + "}";
  }
  std::string json() const {
    std::string out = fmt::format(R"({}: {{"unit": {}, "more_is_better": {}, "samples": {})", quoted(name_),
                                  quoted(unit_), better_ == Better::more, json(samples_));
    std::string targets;
    for (const auto& [name, ratio] : targets_)
      targets += fmt::format("{}{}: {:.6g}", targets.empty() ? "" : ", ", quoted(name), ratio);
    if (!targets.empty()) out += fmt::format(R"(, "targets": {{{}}})", targets);
    if (!limit_.empty()) out += fmt::format(R"(, "limit": {})", limit_);
    if (!gpu_.empty()) out += fmt::format(R"(, "gpu": {})", json(gpu_));
    if (!note_.empty()) out += fmt::format(R"(, "note": {})", quoted(note_));
    return out + "}";
  }

  std::string name_, unit_;
  Better better_;
  Samples samples_{}, gpu_{};
  std::map<std::string, double> targets_{};
  std::string limit_{}, note_{};
};

class Report {
 public:
  // --pairs N, --smoke; anything else is for the program itself.
  Report(int count, char** words) {
    for (int i = 1; i < count; ++i) {
      const std::string_view word = words[i];
      if (word == "--smoke") smoke_ = true;
      if (word == "--pairs" && i + 1 < count) pairs_ = unsigned(std::strtoul(words[i + 1], nullptr, 10));
    }
    if (smoke_) pairs_ = 1;
    if (pairs_ == 0) die("--pairs needs a positive number");
  }

  unsigned pairs() const { return pairs_; }
  bool smoke() const { return smoke_; }

  Case& add(std::string name, std::string unit, Better better) {
    return cases_.emplace_back(std::move(name), std::move(unit), better);
  }
  void not_measured(const std::string& what, std::string why) { missing_[what] = std::move(why); }

  int print() const {
    std::string cases, missing;
    for (const Case& c : cases_) cases += (cases.empty() ? "\n  " : ",\n  ") + c.json();
    for (const auto& [what, why] : missing_)
      missing += fmt::format("{}{}: {}", missing.empty() ? "" : ", ", Case::quoted(what), Case::quoted(why));
    fmt::print("{{\"cases\": {{{}}},\n \"not_measured\": {{{}}}}}\n", cases, missing);
    return 0;
  }

 private:
  unsigned pairs_ = 11;
  bool smoke_ = false;
  std::deque<Case> cases_;  // stays where it is
  std::map<std::string, std::string> missing_;
};

inline void Case::sample(const Report& report, const Contenders& contenders) {
  for (unsigned round = 0; round < report.pairs(); ++round)
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      const auto& [name, run] = contenders[(i + round) % contenders.size()];
      add(name, run());
    }
}

}  // namespace gpuio::bench
