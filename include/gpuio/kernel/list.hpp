// List<T>: as much of std::vector as the verifier needs, for types that are copied plainly. A compiler pays
// for every call and every template that it evaluates: an element of a std::vector costs it three to five
// calls, one by way of `data` none. So hot loops name `data`.
//
// constexpr; owns its elements; not thread-safe. Indices are not checked, but constant evaluation does that.
#pragma once

#include <type_traits>

#include <gpuio/kernel/ir.hpp>

namespace gpuio::kernel::detail {

template <class T>
class List {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  T* data = nullptr;
  u32 count = 0;

  constexpr List() = default;
  constexpr List(const List& o) { append(o.data, o.count); }
  constexpr List(List&& o) noexcept : data(o.data), count(o.count), capacity_(o.capacity_) { o.release(); }
  constexpr List& operator=(const List& o) {
    if (this == &o) return *this;
    count = 0;
    append(o.data, o.count);
    return *this;
  }
  constexpr List& operator=(List&& o) noexcept {
    if (this == &o) return *this;
    if (data) std::allocator<T>().deallocate(data, capacity_);
    data = o.data;
    count = o.count;
    capacity_ = o.capacity_;
    o.release();
    return *this;
  }
  constexpr ~List() {
    if (data) std::allocator<T>().deallocate(data, capacity_);
  }

  constexpr void push(const T& value) {
    if (count == capacity_) grow(count + 1, &value);
    else std::construct_at(data + count++, value);
  }
  constexpr void pop() { --count; }
  constexpr void clear() { count = 0; }
  constexpr T& back() { return data[count - 1]; }
  constexpr const T& back() const { return data[count - 1]; }
  template <class F>
  constexpr void erase_if(F drop) {
    u32 kept = 0;
    for (u32 i = 0; i < count; ++i)
      if (!drop(data[i])) data[kept++] = data[i];
    count = kept;
  }
  constexpr void append(const T* from, u32 n) {
    if (count + n > capacity_) grow(count + n, nullptr);
    for (u32 i = 0; i < n; ++i) std::construct_at(data + count++, from[i]);
  }

 private:
  constexpr void release() {
    data = nullptr;
    count = capacity_ = 0;
  }
  // One more, which may be one of its own, or room only.
  constexpr void grow(u32 least, const T* value) {
    const u32 capacity = least < 8 ? 8 : least < 2 * capacity_ ? 2 * capacity_ : least;
    T* const made = std::allocator<T>().allocate(capacity);
    for (u32 i = 0; i < count; ++i) std::construct_at(made + i, data[i]);
    if (value) std::construct_at(made + count, *value);
    if (data) std::allocator<T>().deallocate(data, capacity_);
    data = made;
    capacity_ = capacity;
    count += value != nullptr;
  }
  u32 capacity_ = 0;
};

// So many numbers: zero, or what is written first.
template <class T>
class Numbers {
  static_assert(std::is_trivially_default_constructible_v<T>);

 public:
  enum Start : u8 { kZero, kUnset };
  T* const data;
  constexpr explicit Numbers(std::size_t count, Start start = kZero)
      : data(start == kZero ? new T[count]{} : new T[count]) {}
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  constexpr ~Numbers() { delete[] data; }
};

}  // namespace gpuio::kernel::detail
