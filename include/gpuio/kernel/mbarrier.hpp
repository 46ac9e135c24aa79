// Barriers in shared memory that lanes arrive at and wait for apart from each other, and bulk copies that
// complete on them: for kernels.
//
//   auto tile = k.shared<f32, 256>();
//   auto full = k.mbarrier(1);                        // one lane arrives a phase
//   GPU_IF(k.tid() == 0) {
//     k.bulk_load<1024>(tile, 0, x, k.cta() * 256, full);
//     full.arrive();                                  // after its loads: the phase ends when they have
//     landed
//   }
//   full.wait();                                      // all lanes; then all may read the tile
//
// A phase ends when as many lanes have arrived as the barrier was made for and the phase's bulk loads have
// landed; the next begins at once. wait() waits for the phases one after the other: the first one of a lane
// for the first phase, and so on, so that each lane waits once for each phase. wait(token) waits for the
// phase that the lane itself arrived in. A barrier is waited for in one of these ways.
//
// What a lane did before it arrived is seen by who waited. The verifier follows this where all lanes of the
// workgroup wait together, and where all of them arrive or a single one; for roles that lanes take, such as
// producers and consumers, the author answers (Ctx::unchecked_races). Waiting is bounded: on CUDA ten
// seconds, then the kernel traps; elsewhere a phase that nobody can end is an error with the line.
//
// CUDA from sm_80 on (bulk copies: sm_90), the interpreter and the CPU device; other back ends refuse by
// name.
#pragma once

#include <gpuio/kernel/memory.hpp>

namespace gpuio::kernel {

class Mbarrier {
 public:
  constexpr Mbarrier(Tracer& t, u32 arrivals) : tracer_(&t), object_(t.build.shared(Type::u64, 1)) {
    phase_ = t.build.var(Type::u32);
    t.build.mbarrier_init(object_, arrivals);
  }
  Mbarrier(const Mbarrier&) = delete;
  Mbarrier& operator=(const Mbarrier&) = delete;

  // A token: the phase. The lane arrives after the bulk loads that it gave this barrier.
  constexpr Val<u64> arrive(u32 line = __builtin_LINE()) const {
    tracer_->at(line);
    return {tracer_, tracer_->build.mbarrier_arrive(object_)};
  }
  constexpr void wait(u32 line = __builtin_LINE()) const {
    Builder& b = tracer_->build;
    tracer_->at(line);
    const u32 parity = b.var_load(phase_);
    b.mbarrier_wait(object_, PhaseOf::parity, parity);
    b.var_store(phase_, b.binary(Op::bit_xor, parity, b.constant(Type::u32, 1)));
  }
  constexpr void wait(const Val<u64>& token, u32 line = __builtin_LINE()) const {
    tracer_->at(line);
    tracer_->build.mbarrier_wait(object_, PhaseOf::token, token.id());
  }
  constexpr u32 object() const { return object_; }

 private:
  Tracer* tracer_;
  u32 object_, phase_ = kNone;
};

namespace detail {

// Part of Ctx.
template <class Ctx>
class BulkOperations {
 public:
  // Made for `arrivals` lanes a phase. All lanes of the workgroup come here, outside branches and loops, as
  // to a barrier.
  constexpr Mbarrier mbarrier(u32 arrivals, u32 line = __builtin_LINE()) const {
    tracer().at(line);
    return Mbarrier(tracer(), arrivals);
  }
  // Copies Bytes, a multiple of 16 below 1 MiB, from a buffer to a shared array: one copy, not one a lane.
  // Indices are elements, at multiples of 16 bytes. `by` then has the lane's arrival yet to come.
  template <u32 Bytes, Storable T, u32 N, class Buffer>
  constexpr void bulk_load(const Shared<T, N>& to, Index i, const Buffer& from, Index j,
                           const Mbarrier& by) const {
    check<Bytes, T>();
    static_assert(Buffer::kParam.type == kTypeOf<T> &&
                      (Buffer::kParam.kind == ParamKind::in || Buffer::kParam.kind == ParamKind::inout),
                  "a bulk load is from an In or InOut of the array's type");
    const u32 at = i.get(tracer());
    const u32 source = j.get(tracer());
    tracer().build.bulk_load(to.object(), at, from.object(), source, Bytes, by.object());
  }
  // The way back. Stores since the last commit are a group; bulk_wait<N>() lets the lane's newest N groups go
  // on and waits for the rest. Until then the array is not to be written.
  template <u32 Bytes, Storable T, u32 N, class Buffer>
  constexpr void bulk_store(const Buffer& to, Index j, const Shared<T, N>& from, Index i) const {
    check<Bytes, T>();
    static_assert(Buffer::kParam.type == kTypeOf<T> &&
                      (Buffer::kParam.kind == ParamKind::out || Buffer::kParam.kind == ParamKind::inout),
                  "a bulk store is to an Out or InOut of the array's type");
    const u32 there = j.get(tracer());
    const u32 at = i.get(tracer());
    tracer().build.bulk_store(to.object(), there, from.object(), at, Bytes);
  }
  constexpr void bulk_commit(u32 line = __builtin_LINE()) const {
    tracer().at(line);
    tracer().build.bulk_commit();
  }
  template <u32 Groups = 0>
  constexpr void bulk_wait(u32 line = __builtin_LINE()) const {
    static_assert(Groups < 64, "at most 63 groups may be under way");
    tracer().at(line);
    tracer().build.bulk_wait(Groups);
  }

 private:
  template <u32 Bytes, class T>
  static constexpr void check() {
    static_assert(Bytes > 0 && Bytes % 16 == 0 && Bytes <= kBulkBytesMax,
                  "a bulk copy is of a multiple of 16 bytes, below 1 MiB");
    static_assert(!std::same_as<T, bool>, "a bulk copy is of whole numbers");
  }
  constexpr Tracer& tracer() const { return static_cast<const Ctx&>(*this).tracer(); }
};

}  // namespace detail
}  // namespace gpuio::kernel
