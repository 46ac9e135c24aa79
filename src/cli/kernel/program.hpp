// Runs a program of the machine and takes what it says.
#pragma once

#include <string>
#include <vector>

#include "base/status.hpp"

namespace gpuio::cli {

struct Ran {
  int exit = 0;        // its status; 128 + N when signal N ended it
  std::string output;  // both streams, together
};
// arguments[0] is looked for in PATH. NOT_FOUND when it is not there; TIMEOUT after a minute: it is killed.
Result<Ran> run_program(const std::vector<std::string>& arguments);

}  // namespace gpuio::cli
