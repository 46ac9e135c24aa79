// InFlight: what blocks on behalf of clients and can be told to stop, by finalizing or by a cancel.
//
// Each operation that blocks has its own word that it looks at, in the lists of all who may stop it. After
// `end` whatever is added is told at once, so that nothing slips in behind a finalize.
// Threading: any. Lifetime: the list outlives its entries; an entry, the operation.
//
//   std::atomic<bool> stop{false};
//   InFlight::Entry entry(context.in_flight, stop);
#pragma once

#include <atomic>
#include <mutex>
#include <unordered_set>

namespace gpuio::capi {

class InFlight {
 public:
  class Entry {
   public:
    Entry(InFlight& list, std::atomic<bool>& stop) : list_(list), stop_(stop) {
      std::scoped_lock hold(list_.mutex_);
      if (list_.ended_) stop_ = true;
      list_.stops_.insert(&stop_);
    }
    ~Entry() {
      std::scoped_lock hold(list_.mutex_);
      list_.stops_.erase(&stop_);
    }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

   private:
    InFlight& list_;
    std::atomic<bool>& stop_;
  };

  // Tells all that are there now.
  void cancel() {
    std::scoped_lock hold(mutex_);
    for (std::atomic<bool>* stop : stops_) *stop = true;
  }
  // And all that will be.
  void end() {
    {
      std::scoped_lock hold(mutex_);
      ended_ = true;
    }
    cancel();
  }

 private:
  std::mutex mutex_;
  std::unordered_set<std::atomic<bool>*> stops_;
  bool ended_ = false;
};

}  // namespace gpuio::capi
