// Loads, stores and atomics of a workgroup. An access whose lanes touch neighbouring elements is one copy;
// others go lane by lane, in lane order. Every index is checked.
#include "gpu/cpu/blocked_frame.hpp"

#include <atomic>
#include <cstring>
#include <utility>

namespace gpuio::gpu::cpu::blocked {
namespace {

struct Object {
  std::byte* data;
  u64 count;
};
Object object_of(const Frame& f, u32 id) {
  if (id & kShared)
    return {f.group->shared.data() + f.code->shared_at[id & ~kShared], f.code->shared[id & ~kShared].count};
  const Argument& a = f.group->arguments[id];
  return {reinterpret_cast<std::byte*>(a.value), a.count};
}

bool inside(u64 index, u64 count, u32 width) {
  return index < count && count - index >= width && (width == 1 || index % width == 0);
}

[[gnu::cold]] const Step* refuse(const Step* s, Frame& f, u64 index, u64 count) {
  f.error = error(Code::invalid_address, "line {}: index {} of {} elements{}", s->line, index, count,
                  index < count && count - index >= s->width ? " is not aligned to the vector" : "");
  return nullptr;
}

// The lane whose index is out of range, or kNone.
template <class I>
u32 outside(const Step* s, const Frame& f, const I* index, u64 count) {
  for (u32 i = f.begin; i < f.last(); ++i)
    if (f.active[i] && !inside(index[i], count, s->width)) return i;
  return kNone;
}

// Do the active lanes access neighbours, in range and with no gap?
template <class I>
bool contiguous(const Step* s, const Frame& f, const I* index, u64 count) {
  if (!f.dense) return false;
  const I first = index[f.begin];
  const u32 n = f.last() - f.begin;
  const u64 width = s->width;
  // In range as wide numbers, so that none of the indices wrapped.
  if (first > count || (count - first) / width < n || first % width != 0) return false;
  I gaps = 0;
  for (u32 i = 0; i < n; ++i) gaps |= I(index[f.begin + i] ^ I(first + I(i * width)));
  return gaps == 0;
}

template <class T, class I>
const Step* load_step(const Step* s, Frame& f) {
  const Object o = object_of(f, s->a);
  const I* const index = f.at<I>(s->b);
  T* const to = f.at<T>(s->to);
  const T* const from = reinterpret_cast<const T*>(o.data);
  const u32 width = s->width, begin = f.begin, last = f.last(), stride = f.code->padded;
  if (contiguous(s, f, index, o.count)) {
    const T* const first = from + index[begin];
    if (width == 1) {
      std::memcpy(to + begin, first, (last - begin) * sizeof(T));
    } else {
      for (u32 e = 0; e < width; ++e)
        for (u32 i = begin; i < last; ++i) to[e * stride + i] = first[(i - begin) * width + e];
    }
  } else {
    if (const u32 bad = outside(s, f, index, o.count); bad != kNone) return refuse(s, f, index[bad], o.count);
    for (u32 e = 0; e < width; ++e)
      for (u32 i = begin; i < last; ++i)
        if (f.active[i]) to[e * stride + i] = from[index[i] + e];
  }
  if (s->type == Type::boolean)
    for (u32 i = begin; i < last; ++i) to[i] = T(to[i] & 1);
  return s + 1;
}

template <class T, class I>
const Step* store_step(const Step* s, Frame& f) {
  const Object o = object_of(f, s->a);
  const I* const index = f.at<I>(s->b);
  const T* const from = f.at<T>(s->c);
  T* const to = reinterpret_cast<T*>(o.data);
  const u32 width = s->width, begin = f.begin, last = f.last(), stride = f.code->padded;
  if (contiguous(s, f, index, o.count)) {
    T* const first = to + index[begin];
    if (width == 1) {
      std::memcpy(first, from + begin, (last - begin) * sizeof(T));
    } else {
      for (u32 e = 0; e < width; ++e)
        for (u32 i = begin; i < last; ++i) first[(i - begin) * width + e] = from[e * stride + i];
    }
    return s + 1;
  }
  if (const u32 bad = outside(s, f, index, o.count); bad != kNone) return refuse(s, f, index[bad], o.count);
  for (u32 i = begin; i < last; ++i)
    if (f.active[i])
      for (u32 e = 0; e < width; ++e) to[index[i] + e] = from[e * stride + i];
  return s + 1;
}

template <class T>
const Step* uniform_load_step(const Step* s, Frame& f) {
  const Object o = object_of(f, s->a);
  const u64 index = f.scalar(s->b);
  if (!inside(index, o.count, s->width)) return refuse(s, f, index, o.count);
  for (u32 e = 0; e < s->width; ++e) {
    T value;
    std::memcpy(&value, o.data + (index + e) * sizeof(T), sizeof(T));
    f.at<u64>(s->to)[e] = s->type == Type::boolean ? value & 1 : value;
  }
  return s + 1;
}

std::memory_order memory_order(Order order, bool loads, bool stores) {
  const bool acquire = loads && (order == Order::acquire || order == Order::acq_rel);
  const bool release = stores && (order == Order::release || order == Order::acq_rel);
  if (acquire && release) return std::memory_order_acq_rel;
  return acquire   ? std::memory_order_acquire
         : release ? std::memory_order_release
                   : std::memory_order_relaxed;
}

template <class T>
T atomic_update(T& at, Rmw how, T operand, std::memory_order order) {
  const std::atomic_ref<T> ref(at);
  switch (how) {
    case Rmw::add: return ref.fetch_add(operand, order);
    case Rmw::bit_and: return ref.fetch_and(operand, order);
    case Rmw::bit_or: return ref.fetch_or(operand, order);
    case Rmw::bit_xor: return ref.fetch_xor(operand, order);
    case Rmw::exchange: return ref.exchange(operand, order);
    default: break;
  }
  T old = ref.load(std::memory_order_relaxed);
  // The order holds for the exchange; a failed one only reads again.
  while (!ref.compare_exchange_weak(old, rmw_result(how, old, operand), order, std::memory_order_relaxed)) {
  }
  return old;
}

// Calls each(element, lane) for the active lanes in order, after checking every index.
template <class T, class I, class F>
const Step* each_element(const Step* s, Frame& f, F&& each) {
  const Object o = object_of(f, s->a);
  const I* const index = f.at<I>(s->b);
  if (const u32 bad = outside(s, f, index, o.count); bad != kNone) return refuse(s, f, index[bad], o.count);
  T* const elements = reinterpret_cast<T*>(o.data);
  f.for_active([&](u32 i) { each(elements[index[i]], i); });
  return s + 1;
}

template <class T, class I>
const Step* atomic_load_step(const Step* s, Frame& f) {
  T* const to = f.at<T>(s->to);
  const auto order = memory_order(Order(s->imm), true, false);
  return each_element<T, I>(s, f, [&](T& at, u32 i) { to[i] = std::atomic_ref<T>(at).load(order); });
}

template <class T, class I>
const Step* atomic_store_step(const Step* s, Frame& f) {
  const T* const value = f.at<T>(s->c);
  const auto order = memory_order(Order(s->imm), false, true);
  return each_element<T, I>(s, f, [&](T& at, u32 i) { std::atomic_ref<T>(at).store(value[i], order); });
}

template <class T, class I>
const Step* atomic_rmw_step(const Step* s, Frame& f) {
  const T* const operand = f.at<T>(s->c);
  T* const to = f.at<T>(s->to);
  const Rmw how{s->mode};
  if (s->a & kShared)  // the workgroup's own thread is alone with it
    return each_element<T, I>(s, f, [&](T& at, u32 i) {
      to[i] = at;
      at = rmw_result(how, at, operand[i]);
    });
  const auto order = memory_order(Order(s->imm), true, true);
  return each_element<T, I>(s, f, [&](T& at, u32 i) { to[i] = atomic_update(at, how, operand[i], order); });
}

template <class T, class I>
const Step* atomic_cas_step(const Step* s, Frame& f) {
  const T *const expected = f.at<T>(s->c), *const desired = f.at<T>(s->d);
  T* const to = f.at<T>(s->to);
  const auto order = memory_order(Order(s->imm), true, true);
  const auto failed = memory_order(Order(s->imm), true, false);
  return each_element<T, I>(s, f, [&](T& at, u32 i) {
    T old = expected[i];
    std::atomic_ref<T>(at).compare_exchange_strong(old, desired[i], order, failed);
    to[i] = old;
  });
}

const Step* fence_step(const Step* s, Frame&) {
  const auto order = memory_order(Order(s->imm), true, true);
#ifdef __SANITIZE_THREAD__
  // ThreadSanitizer knows no fences: one variable that all fences touch orders at least as much.
  static std::atomic<int> all_fences{0};
  all_fences.fetch_add(0, order);
#else
  std::atomic_thread_fence(order);
#endif
  return s + 1;
}

const Step* async_copy_step(const Step* s, Frame& f) {
  const Object to = object_of(f, s->a), from = object_of(f, s->c);
  const u32 size = size_of(s->type);
  const u64 count = s->imm / size;
  const auto index = [&](u32 place, bool wide, u32 lane) {
    return wide ? f.at<u64>(place)[lane] : u64{f.at<u32>(place)[lane]};
  };
  for (u32 lane = f.begin; lane < f.last(); ++lane) {
    if (!f.active[lane]) continue;
    const u64 i = index(s->b, s->uniform_a, lane), j = index(s->d, s->uniform_b, lane);
    for (const auto& [at, all] : {std::pair{i, to.count}, std::pair{j, from.count}}) {
      if (inside(at, all, u32(count))) continue;
      f.error =
          error(Code::invalid_address, "line {}: an async copy of {} elements at index {} of {}; it is {}",
                s->line, count, at, all, at % count ? "not aligned" : "out of range");
      return nullptr;
    }
    std::memcpy(to.data + i * size, from.data + j * size, s->imm);
  }
  return s + 1;
}

template <class T>
Handler pick_access(Op op, bool wide) {
  if (op == Op::load) return wide ? &load_step<T, u64> : &load_step<T, u32>;
  return wide ? &store_step<T, u64> : &store_step<T, u32>;
}

template <class T>
Handler pick_atomic(Op op, bool wide) {
  switch (op) {
    case Op::atomic_load: return wide ? &atomic_load_step<T, u64> : &atomic_load_step<T, u32>;
    case Op::atomic_store: return wide ? &atomic_store_step<T, u64> : &atomic_store_step<T, u32>;
    case Op::atomic_rmw: return wide ? &atomic_rmw_step<T, u64> : &atomic_rmw_step<T, u32>;
    case Op::atomic_cas: return wide ? &atomic_cas_step<T, u64> : &atomic_cas_step<T, u32>;
    default: return nullptr;
  }
}

}  // namespace

Handler memory_handler(const Inst& i, bool uniform, bool wide_index) {
  const u32 size = size_of(i.type);
  if (i.op == Op::fence) return &fence_step;
  if (i.op == Op::async_copy) return &async_copy_step;
  if (i.op == Op::load && uniform) {
    switch (size) {
      case 1: return &uniform_load_step<u8>;
      case 2: return &uniform_load_step<u16>;
      case 4: return &uniform_load_step<u32>;
      default: return &uniform_load_step<u64>;
    }
  }
  if (i.op == Op::load || i.op == Op::store) {
    switch (size) {
      case 1: return pick_access<u8>(i.op, wide_index);
      case 2: return pick_access<u16>(i.op, wide_index);
      case 4: return pick_access<u32>(i.op, wide_index);
      default: return pick_access<u64>(i.op, wide_index);
    }
  }
  switch (i.type) {
    case Type::u32: return pick_atomic<u32>(i.op, wide_index);
    case Type::i32: return pick_atomic<i32>(i.op, wide_index);
    case Type::u64: return pick_atomic<u64>(i.op, wide_index);
    case Type::i64: return pick_atomic<i64>(i.op, wide_index);
    default: return nullptr;
  }
}

}  // namespace gpuio::gpu::cpu::blocked
