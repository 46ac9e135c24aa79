// What the blocked interpreter knows of a kernel before it runs: uniform values and lifetimes.
#pragma once

#include <gpuio/kernel/structure.hpp>

#include <vector>

namespace gpuio::gpu::cpu::blocked {

using namespace kernel;

struct Analysis {
  Structure structure;
  // By instruction: is the value the same in all lanes that compute it? By var: in all lanes, always?
  std::vector<char> uniform, uniform_var;
  // By instruction: the last one that needs its value; for an operand of a loop around, that loop's end.
  std::vector<u32> last_use;
  // By instruction, for var_load: no store to the var while the value is needed, so that it need not be
  // copied.
  std::vector<char> aliases_var;
  // By opening instruction of a loop: does anything in it `continue`, or read atomically (so it may poll)?
  std::vector<char> has_continue, polls;

  explicit Analysis(const View& kernel);
};

}  // namespace gpuio::gpu::cpu::blocked
