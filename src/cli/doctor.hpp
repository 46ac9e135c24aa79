// `gpuio doctor`: looks at what this machine offers gpuio and says, for each thing that is missing, what it
// costs and how to get it. Changes nothing. One thread; blocks on the disk for a moment.
#pragma once

#include <string>
#include <vector>

namespace gpuio::cli {

struct Finding {
  enum Level { good, could_be_better, missing };
  std::string name;  // "io_uring"
  Level level = good;
  std::string found;   // what was seen
  std::string remedy;  // what to do, and what it brings; empty when good
};

// `path`: a file or folder whose file system is tested for direct IO; empty: the current folder.
std::vector<Finding> examine(const std::string& path);

// Prints for people or, with json, one object; 0 when nothing is missing, else 1.
int run_doctor(const std::string& path, bool json);

}  // namespace gpuio::cli
