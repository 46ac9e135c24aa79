// The engines of a process part by scheme: turns "local:///data/a.bin" into an open target.
//
// Adding is for one thread, before the rest; opening is for any. The registry owns its engines, and outlives
// their targets and queues. Errors: INVALID_ARG for a URI that does not parse, NOT_FOUND for an unknown
// scheme (the message names the known ones), else what the engine says, with the URI in front.
//
//   Registry registry;
//   registry.add({"file", "local"}, std::move(file_engine));
//   auto opened = registry.open("local:///data/a.bin", kRead);
//   auto queue = opened->engine->queue(32);
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/engine.hpp"

namespace gpuio::io {

struct Opened {
  Engine* engine = nullptr;  // whose queues can carry operations on the target
  std::unique_ptr<Target> target;
};

class Registry {
 public:
  // A scheme names one engine; BUSY when it is taken.
  Status add(std::initializer_list<std::string_view> schemes, std::unique_ptr<Engine> engine);

  Result<Engine*> find(std::string_view scheme) const;
  Result<Opened> open(std::string_view uri, std::uint32_t flags) const;
  std::vector<std::string> schemes() const;

 private:
  std::vector<std::unique_ptr<Engine>> engines_;
  std::map<std::string, Engine*, std::less<>> by_scheme_;
};

}  // namespace gpuio::io
