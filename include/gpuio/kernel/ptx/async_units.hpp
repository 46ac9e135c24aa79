// PTX of mbarriers and bulk copies. Part of ptx.hpp.
//
// Bulk copies go through the async proxy: what lanes write themselves is fenced towards it before the barrier
// or arrival after which somebody else may hand it on (Out::fences).
#pragma once

#include <gpuio/kernel/ptx/memory.hpp>

namespace gpuio::kernel::detail::ptx {

// Nobody waits longer for a phase.
inline constexpr u64 kWaitMaxNs = 10'000'000'000;

template <class Sink>
constexpr void fence_proxy(Out<Sink>& o) {
  if (o.fences) o.line("fence.proxy.async.shared::cta");
}

template <class Sink>
constexpr void mbarrier_init(Out<Sink>& o, const Inst& i) {
  local_index(o, "%x0");
  o.line("setp.eq.u32 %q0, %x0, 0");
  o.line("@%q0 mbarrier.init.shared.b64 [", SharedPlace{i.a & ~kShared}, "], ", i.imm);
  if (o.target >= 90) o.line("@%q0 fence.proxy.async.shared::cta");
  o.line("bar.sync 0");
}

template <class Sink>
constexpr void mbarrier_wait(Out<Sink>& o, const Inst& i, u32 id) {
  const auto try_wait = [&] {
    o.line("mbarrier.", o.target >= 90 ? "try_wait" : "test_wait",
           PhaseOf(i.mode) == PhaseOf::parity ? ".parity" : "", ".shared.b64 %q0, [",
           SharedPlace{i.a & ~kShared}, "], ", o.reg(i.c));
    o.line("@%q0 bra $ended", id);
  };
  try_wait();
  o.line("mov.u64 %y0, %globaltimer");
  o.label("$phase", id);
  if (o.target < 90) o.line("nanosleep.u32 32");
  try_wait();
  o.line("mov.u64 %y1, %globaltimer");
  o.line("sub.u64 %y1, %y1, %y0");
  o.line("setp.lt.u64 %q0, %y1, ", kWaitMaxNs);
  o.line("@%q0 bra $phase", id);
  o.line("trap");
  o.label("$ended", id);
}

template <class Sink>
constexpr void bulk_copy(Out<Sink>& o, const Inst& i) {
  Inst there = i;
  there.a = i.c;
  there.b = i.d;
  const bool load = i.op == Op::bulk_load;
  const u32 by = bulk_mbarrier(i) & ~kShared;
  const Address buffer = address(o, there), shared = address(o, i);  // by way of %y0, and of %x0 and %x1
  if (load) o.line("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [", SharedPlace{by}, "], ", bulk_bytes(i));
  else fence_proxy(o);
  o.text("  cp.async.bulk.",
         load ? "shared::cluster.global.mbarrier::complete_tx::bytes " : "global.shared::cta.bulk_group ");
  put(o, load ? shared : buffer);
  o.text(", ");
  put(o, load ? buffer : shared);
  o.text(", ", bulk_bytes(i));
  if (load) o.text(", [", SharedPlace{by}, "]");
  o.text(";\n");
}

// The map is a parameter of the kernel, which stays where it is: its generic address.
template <class Sink>
constexpr void tensor_load(Out<Sink>& o, const Inst& i) {
  const SharedPlace by{bulk_mbarrier(i) & ~kShared};
  const Address shared = address(o, i);  // by way of %x0 and %x1
  o.line("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [", by, "], ", bulk_bytes(i));
  o.line("mov.b64 %y0, tensor", TensorLoad::of(i).map);
  o.line("cvta.param.u64 %y0, %y0");
  o.text("  cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes ");
  put(o, shared);
  o.text(", [%y0, {", o.reg(i.d), ", ", o.reg(i.c), "}], [", by, "];\n");
}

template <class Sink>
constexpr void async_unit(Out<Sink>& o, const Inst& i, u32 id) {
  switch (i.op) {
    case Op::mbarrier_init: return mbarrier_init(o, i);
    case Op::mbarrier_arrive:
      fence_proxy(o);
      return o.line("mbarrier.arrive.shared.b64 ", Reg{Type::u64, id}, ", [", SharedPlace{i.a & ~kShared},
                    "]");
    case Op::mbarrier_wait: return mbarrier_wait(o, i, id);
    case Op::bulk_commit: return o.line("cp.async.bulk.commit_group");
    case Op::bulk_wait: return o.line("cp.async.bulk.wait_group ", i.imm);
    case Op::tensor_load: return tensor_load(o, i);
    default: return bulk_copy(o, i);
  }
}

}  // namespace gpuio::kernel::detail::ptx
