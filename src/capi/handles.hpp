// What clients hold: handles, each a number that names an object and is never used again.
//
// A handle has the type of a pointer, as the headers promise, but is not an address: nothing follows it, so a
// stale or foreign one is found out instead of touching memory. A call holds a reference while it uses an
// object; whoever destroys it takes it out of the table, and the last reference ends it.
// Threading: any. Errors: INVALID_ARG says which handle is not one.
//
//   Table<Stream, gpuio_stream_t> streams;
//   gpuio_stream_t handle = streams.add(std::make_shared<Stream>());
//   auto stream = streams.find(handle);   // Result<std::shared_ptr<Stream>>
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/status.hpp"

namespace gpuio::capi {

// Unique in the process, over all tables: a stream of one context is no event of another.
std::uintptr_t next_handle();

template <class T, class Handle>
class Table {
 public:
  explicit Table(const char* what) : what_(what) {}

  Handle add(std::shared_ptr<T> object) {
    const auto handle = reinterpret_cast<Handle>(next_handle());
    std::scoped_lock hold(mutex_);
    objects_.emplace(handle, std::move(object));
    return handle;
  }
  Result<std::shared_ptr<T>> find(Handle handle) const {
    std::scoped_lock hold(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return refuse(handle);
    return found->second;
  }
  // Takes it out; what still uses it keeps it alive.
  Result<std::shared_ptr<T>> remove(Handle handle) {
    std::scoped_lock hold(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return refuse(handle);
    auto object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  std::vector<std::shared_ptr<T>> all() const {
    std::scoped_lock hold(mutex_);
    std::vector<std::shared_ptr<T>> list;
    for (const auto& [handle, object] : objects_) list.push_back(object);
    return list;
  }
  template <class Which>
  void remove_if(Which&& which) {
    std::scoped_lock hold(mutex_);
    std::erase_if(objects_, [&](const auto& entry) { return which(*entry.second); });
  }

 private:
  std::unexpected<Status> refuse(Handle handle) const {
    if (!handle) return fail(Code::invalid_arg, "the {} is NULL; give a valid one", what_);
    return fail(Code::invalid_arg,
                "{} is no {} of this context: destroyed already, or made from another context",
                static_cast<const void*>(handle), what_);
  }

  const char* what_;  // as messages call it
  mutable std::mutex mutex_;
  std::unordered_map<Handle, std::shared_ptr<T>> objects_;
};

}  // namespace gpuio::capi
