// Which way of doing a product was measured to be the fastest, by device, driver, types and about which
// sizes: in memory, and in a folder of the user's for later processes (base/disk_cache.hpp, which processes
// share and where what is damaged counts as not there).
//
// Sizes are alike when they have as many binary digits. Threading: any. Errors: none; a folder that cannot be
// used is told in the log, once. `find` reads the folder the first time that it is asked for a kind of
// product.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/disk_cache.hpp"
#include "gpu/device.hpp"

namespace gpuio::ops {

struct Product;

class Choices {
 public:
  explicit Choices(const gpu::DeviceInfo& device) : device_(device) {}
  // From now on also in a folder, of which options() tells; the first that is given.
  template <class F>
  void keep_in(const F& options) {
    std::scoped_lock hold(mutex_);
    if (!folder_) folder_ = std::make_unique<DiskCache>(options());
  }

  std::optional<std::size_t> find(const Product& product);  // of kWays; one that the device can
  void keep(const Product& product, std::size_t way);

 private:
  using Kind = std::array<std::uint8_t, 10>;  // types, flags, binary digits of sizes
  static Kind kind_of(const Product& product);
  std::string key(const Kind& kind) const;

  const gpu::DeviceInfo& device_;
  std::mutex mutex_;                                  // over all that follows
  std::map<Kind, std::optional<std::size_t>> known_;  // none: looked for, and not there
  std::unique_ptr<DiskCache> folder_;
};

}  // namespace gpuio::ops
