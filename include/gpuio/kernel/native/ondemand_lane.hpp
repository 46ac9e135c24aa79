// A chunk's accesses to on-demand arrays: inline what needs arithmetic and loads only, the rest by its worker
// (ondemand.hpp). Part of native.hpp.
#pragma once

#include <gpuio/kernel/native/lane.hpp>

namespace gpuio::kernel::native {

// The lanes' elements, if all lie in the window.
template <class T, class Index, class M>
GPUIO_INLINE bool read_window(const OnDemandArray& a, const Index& index, const M& mask, T* value) {
  if (a.count == 0) return false;
  // One after the other: what is elsewhere mostly shows at the first lane, and costs no more.
  return each_lane_while(mask, [&](u32 l) {
    const u64 at = u64(index[l]) - a.first;
    if (at >= a.count) return false;
    value[l] = element<T>(a.at, at);
    return true;
  });
}
// ... or each in a page that the worker keeps.
template <class T, class Index, class M>
GPUIO_INLINE bool read_pinned(const Worker& worker, const OnDemandArray& a, const Index& index, const M& mask,
                              T* value) {
  const Worker::Pinned& pinned = worker.pinned();
  if (!pinned.keys) return false;
  return each_lane_while(mask, [&](u32 l) {
    const u64 at = u64(index[l]), key = a.key(at);
    const u32 slot = u32(key) & pinned.mask;
    if (pinned.keys[slot] != key) return false;
    value[l] = element<T>(pinned.arrays[slot], at);
    return true;
  });
}

// The status instruction whose place holds the status of the on-demand load `of`: the first that asks for it;
// `of` itself where nobody does.
template <class K>
consteval u32 status_of(u32 of) {
  const auto& insts = K::frozen().insts;
  for (u32 i = of + 1; i < insts.size(); ++i)
    if (insts[i].op == Op::ondemand_status && insts[i].a == of) return i;
  return of;
}

template <class K>
template <u32 I, class M>
GPUIO_INLINE void Lane<K>::on_demand(const M& mask) {
  constexpr Inst i = k.insts[I];
  if constexpr (i.op == Op::ondemand_load) {
    ondemand_load<I>(mask);
  } else if constexpr (i.op == Op::ondemand_prefetch) {
    std::array<u64, kLanes> index{};
    const auto at = places<i.b, M>();
    each_lane(mask, [&](u32 l) { index[l] = u64(at[l]); });
    context.on_demand.worker.prefetch(context.on_demand.template array<i.a>(), index, active(mask));
  } else if constexpr (i.op == Op::ondemand_status) {
    constexpr u32 from = status_of<K>(i.a);
    static_assert(facts.segment[from] == facts.segment[i.a] && facts.segment[from] == facts.segment[I],
                  "a status is asked for before the next barrier");
    if constexpr (from != I) *slots<I>() = *slots<from>();
  } else {
    *slots<I>() = load_lanes(context.on_demand.first_failures(first));
  }
}

// Eight in a row in the window: a plain load.
template <class K>
template <u32 I, class M>
GPUIO_INLINE void Lane<K>::ondemand_load(const M& mask) {
  constexpr Inst i = k.insts[I];
  using T = Stored<i.type>;
  OnDemandArray& array = context.on_demand.template array<i.a>();
  if constexpr (status_of<K>(I) != I) *slots<status_of<K>(I)>() = V<u32>{};
  if constexpr (std::is_same_v<M, InRows>) {
    const u64 at = row_start<i.b>() - array.first;
    *slots<I>() = loaded<i.type>(load_lanes(reinterpret_cast<const T*>(array.at) + at));
    return;
  }
  if (in_a_row<i.a, i.b>(mask)) {
    const u64 start = row_start<i.b>();
    if (start - array.first < array.whole ||
        context.on_demand.worker.window_pinned(array, start, sizeof(T))) {
      const V<T> v = load_lanes(reinterpret_cast<const T*>(array.at) + (start - array.first));
      if constexpr (run_of<i.b>() < 0) *slots<I>() = loaded<i.type>(reversed(v));
      else *slots<I>() = loaded<i.type>(v);
      return;
    }
  } else {
    const auto index = places<i.b, M>();
    T value[kLanes]{};
    if (read_window<T>(array, index, mask, value) ||
        read_pinned<T>(context.on_demand.worker, array, index, mask, value)) {
      *slots<I>() = loaded<i.type>(load_lanes(value));
      return;
    }
  }
  *slots<I>() = loaded<i.type>(ondemand_fetch<I>(mask));
}

// All lanes' elements that lie in pages that the worker keeps.
template <class K>
template <u32 I>
GPUIO_INLINE void Lane<K>::prefetch_pinned() {
  constexpr Inst i = k.insts[I];
  const OnDemandArray& array = context.on_demand.template array<i.a>();
  const Worker::Pinned& pinned = context.on_demand.worker.pinned();
  const auto index = places<i.b, Full>();
  each_lane(Full{}, [&](u32 l) {
    const u64 at = u64(index[l]), key = array.key(at);
    const u32 slot = u32(key) & pinned.mask;
    if (pinned.keys[slot] != key) return;
    __builtin_prefetch(pinned.arrays[slot] + at * size_of(i.type));
    asm volatile("");  // g++ takes a function that only prefetches for one that does nothing
  });
}

// Does the row that the workgroup's lanes take, from the first one's element, lie in the window?
template <class K>
template <u32 I>
GPUIO_INLINE bool Lane<K>::row_in_window() {
  constexpr Inst i = k.insts[I];
  const OnDemandArray& array = context.on_demand.template array<i.a>();
  if (!in_a_row<i.a, i.b>(Full{})) return false;
  const u64 at = u64(base<i.b, true>()) - array.first;
  return at < array.whole && k.view().lanes() - kLanes < array.whole - at;
}

template <class K>
template <u32 I, class M>
GPUIO_INLINE auto Lane<K>::ondemand_fetch(const M& mask) {
  constexpr Inst i = k.insts[I];
  Accesses<Stored<i.type>> x{};
  const auto index = places<i.b, M>();
  each_lane(mask, [&](u32 l) { x.index[l] = u64(index[l]); });
  if (context.on_demand.worker.fetch(context.on_demand.template array<i.a>(), x, active(mask))) {
    if constexpr (status_of<K>(I) != I) *slots<status_of<K>(I)>() = load_lanes(x.status.data());
    if constexpr (kAsksStatus<K>) {
      u32* const failure = context.on_demand.first_failures(first);
      each_lane(mask, [&](u32 l) { failure[l] = failure[l] ? failure[l] : x.status[l]; });
    }
  }
  return load_lanes(x.value.data());
}

}  // namespace gpuio::kernel::native
