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
// workgroup wait together, and where all of them arrive or a single one.
//
// Lanes that take roles hand arrays to each other by stages: two mbarriers, and tokens for who owns the
// arrays.
//
//   auto tile = k.shared<f32, 256>();
//   auto stage = k.stage(128);                        // 128 lanes release it, one commits
//   GPU_IF(k.tid() == 0) for (auto t : k.range(0u, tiles)) {
//     auto mine = stage.acquire();                    // all have released what was there before
//     k.bulk_load<1024>(tile, 0, x, t * 256, mine);
//     mine.commit();                                  // full when the loads have landed
//   }
//   GPU_IF(k.tid() >= 128) for (auto t : k.range(0u, tiles)) {
//     auto mine = stage.wait();                       // full
//     ... tile[...]
//     mine.release();
//   }
//
// The verifier follows who owns a stage, and that as many lanes pass it on as it was made for
// (verify_stages.hpp); arrays that lanes fill themselves the author answers for (Ctx::unchecked_races).
// Of products that a subgroup has waited for one of its lanes may release what they read: k.lane() == 0.
//
// Waiting is bounded: on CUDA ten seconds, then the kernel traps; elsewhere a phase that nobody can end is an
// error with the line.
//
// CUDA from sm_80 on (bulk copies: sm_90), the interpreter and the CPU device; other back ends refuse by
// name.
#pragma once

#include <gpuio/kernel/memory.hpp>

namespace gpuio::kernel {

class Mbarrier {
 public:
  // `full`: of the stage of which this one is the empty.
  constexpr Mbarrier(Tracer& t, u32 arrivals, u32 full = kNone)
      : tracer_(&t), object_(t.build.shared(Type::u64, 1)) {
    phase_ = t.build.var(Type::u32);
    t.build.mbarrier_init(object_, arrivals, full);
    // The phase before the first has ended.
    if (full != kNone) t.build.var_store(phase_, t.build.constant(Type::u32, 1));
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

// Shared arrays between lanes that load them and lanes that read them.
class Stage {
 public:
  constexpr Stage(Tracer& t, u32 readers, u32 loaders)
      : full_(t, loaders), empty_(t, readers, full_.object()) {}

  // The arrays are this lane's to load, by bulk_load and tensor_load, until it commits.
  class Loading {
   public:
    constexpr explicit Loading(const Stage& s) : stage_(s) {}
    constexpr void commit(u32 line = __builtin_LINE()) const { stage_.full_.arrive(line); }
    constexpr operator const Mbarrier&() const { return stage_.full_; }

   private:
    const Stage& stage_;
  };
  [[nodiscard]] constexpr Loading acquire(u32 line = __builtin_LINE()) const {
    empty_.wait(line);
    return Loading(*this);
  }

  // The arrays are this lane's to read until it releases them.
  class Reading {
   public:
    constexpr explicit Reading(const Stage& s) : stage_(s) {}
    constexpr void release(u32 line = __builtin_LINE()) const { stage_.empty_.arrive(line); }

   private:
    const Stage& stage_;
  };
  [[nodiscard]] constexpr Reading wait(u32 line = __builtin_LINE()) const {
    full_.wait(line);
    return Reading(*this);
  }
  // The token of a lane that has waited: where that was in the loop's last iteration.
  constexpr Reading reading() const { return Reading(*this); }

 private:
  Mbarrier full_, empty_;
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
  // `readers` lanes release the stage each time, `loaders` commit it. As mbarrier().
  constexpr Stage stage(u32 readers, u32 loaders = 1, u32 line = __builtin_LINE()) const {
    tracer().at(line);
    return Stage(tracer(), readers, loaders);
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
