// The fault layer: any engine with seeded trouble. Errors, transfers that end early, refused submissions,
// completions held back for a number of polls or in virtual time, and delivered out of order. The same seed
// and the same calls give the same trouble. Above it everything is tested for what real devices do once a
// year.
//
// Threads: the engine and its targets, any; a queue, one at a time. `fail_call` counts over all of them.
// Errors: injected ones are IO with EIO; an operation that ends early fails and says how many bytes were
// moved.
//
//   FaultOptions options{.seed = 7, .error_rate = 0.01, .delay_polls_max = 5, .reorder = true};
//   auto engine = std::make_unique<FaultEngine>(make_memory_engine(), options);
#pragma once

#include <atomic>
#include <memory>

#include "base/clock.hpp"
#include "io/engine.hpp"

namespace gpuio::io {

struct FaultOptions {
  std::uint64_t seed = 1;
  double error_rate = 0;              // of operations: fail before a byte is moved
  double short_rate = 0;              // of reads and writes: fail after a part was moved
  double refuse_rate = 0;             // of operations: submit takes none of them this time
  std::uint32_t delay_polls_max = 0;  // a completion is held for up to so many polls
  std::uint64_t delay_ns_max = 0;     // and up to so long by `clock`
  const Clock* clock = nullptr;       // needed for delay_ns_max; outlives the engine
  bool reorder = false;               // completions that are ready come in random order
  std::uint64_t fail_call = 0;  // the Nth of all opens, queues, registrations and operations fails; 0: none
};

class FaultEngine final : public Engine {
 public:
  FaultEngine(std::unique_ptr<Engine> inner, const FaultOptions& options);
  ~FaultEngine() override;

  std::string_view name() const override { return "fault"; }
  Result<std::unique_ptr<Target>> open(const Uri& uri, std::uint32_t flags) override;
  Result<std::unique_ptr<Queue>> queue(std::uint32_t depth) override;

  std::uint64_t calls() const;  // counted so far: up to which N `fail_call` makes a difference

  struct State;

 private:
  std::unique_ptr<Engine> inner_;
  std::shared_ptr<State> state_;
};

}  // namespace gpuio::io
