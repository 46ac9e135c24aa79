// An object of each thread's own: made when the thread first asks for it, gone when the thread ends.
//
// What `thread_local T` says, where that can be had: g++ for Windows emulates it, and frees the storage of an
// ending thread before it has destroyed what is in there. One object a type and thread, so give T a name of
// its own.
//
//   Arena& arena = per_thread<Arena>();
#pragma once

#ifdef _WIN32
#include <windows.h>
#endif

namespace gpuio {

template <class T>
T& per_thread() {
#ifdef _WIN32
  static const DWORD slot = ::FlsAlloc([](void* object) { delete static_cast<T*>(object); });
  if (void* const object = ::FlsGetValue(slot)) return *static_cast<T*>(object);
  T* const made = new T;
  ::FlsSetValue(slot, made);
  return *made;
#else
  thread_local T object;
  return object;
#endif
}

}  // namespace gpuio
