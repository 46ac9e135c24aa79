// The rules of io/engine.hpp as one test suite over every engine and every layer. A Subject says how to make
// an engine and where its targets live; engine_conformance.cpp has the rules, engine_subjects.cpp the list.
//
// Every test makes its own engine. Random ones print their seed when they fail (GPUIO_SEED=n repeats one).
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "base/uri.hpp"
#include "io/engine.hpp"

namespace gpuio::io::conformance {

struct Subject {
  std::string name;
  std::function<Result<std::unique_ptr<Engine>>()> make;
  std::string uri;                // of a target, "{}" where its name goes
  std::uint32_t flags = 0;        // that every open adds
  bool failing = false;           // operations may fail with IO: retried by the tests
  bool keeps_closed = true;       // what was written is there when it is opened again
  std::uint64_t size_before = 0;  // bytes that the files of a test have before it begins
  std::string route = {};  // must be part of its targets' route, else it is skipped with the reason they give
};

inline void PrintTo(const Subject& s, std::ostream* out) { *out << s.name; }

std::vector<Subject> subjects();

}  // namespace gpuio::io::conformance
