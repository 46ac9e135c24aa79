// verify(View): is this kernel right? Types and scopes, brackets, indices, barriers, races in shared memory.
//
//   VerifyResult r = verify(program.view());
//   if (!r.ok()) throw std::invalid_argument(message(r));
//
// kernel<> runs it in constant evaluation, always; whoever makes a Program runs it before a device sees it.
// Reports the first mistake of the first part that finds one: verify_types.hpp, verify_flow.hpp,
// verify_memory.hpp. It refuses what it cannot show to be free of races; Ctx::unchecked_races is the way out.
// Pure; constexpr; about 10 µs a thousand instructions.
#pragma once

#include <gpuio/kernel/verify_memory.hpp>
#include <gpuio/kernel/verify_types.hpp>

namespace gpuio::kernel {

struct VerifyOptions {
  bool races = true;  // in shared memory, unless the kernel says that its author answers for them
};

constexpr VerifyResult verify(const View& v, VerifyOptions options = {}) {
  detail::TypeCheck types(v);
  VerifyResult r = types.run();
  if (!r.ok()) return r;
  const detail::Flow flow(v);
  r = flow.check_barriers();
  if (r.ok() && types.matrices) r = detail::Flow(v, kMatrixLanes).check_matrices();
  if (r.ok() && types.warpgroups) r = detail::Flow(v, kWarpgroupLanes).check_matrices();
  if (!r.ok()) return r;
  const bool races = options.races && v.unchecked.empty();
  return types.memory ? detail::Memory(v, flow, races, types.waits).run() : r;
}

}  // namespace gpuio::kernel
