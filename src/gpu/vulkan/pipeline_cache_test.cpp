// Pipelines from disk are the pipelines that the driver would have made, and what is no pipeline does no
// harm.
#include <gtest/gtest.h>
#include <gpuio/kernel/builder.hpp>
#include <gpuio/kernel/spirv.hpp>

#include <cstring>

#include "base/disk_cache.hpp"
#include "base/platform/file.hpp"
#include "base/platform/folder.hpp"
#include "gpu/vulkan/pipeline_cache.hpp"
#include "support/vulkan_driver.hpp"

namespace gpuio::gpu::vulkan {
namespace {

using kernel::Builder;

constexpr std::uint32_t kLanes = 64;

// out[i] = i * factor
kernel::Program scaled(std::uint32_t factor) {
  kernel::Program p{.name = "scaled", .block = {kLanes, 1, 1}};
  Builder b(p);
  const auto out = b.param(kernel::ParamKind::out, kernel::Type::u32);
  const auto i = b.builtin(kernel::Builtin::local_x);
  b.store(out, i, b.binary(kernel::Op::mul, i, b.constant(kernel::Type::u32, factor)));
  return p;
}

void expect_scales(Device& device, std::uint32_t factor) {
  const kernel::Program p = scaled(factor);
  const auto words = kernel::emit_spirv(p.view());
  auto loaded = device.load({.name = p.name, .block = p.block, .parameters = 1, .spirv = words});
  ASSERT_TRUE(loaded) << loaded.error().message();
  auto out = device.allocate(MemoryKind::pinned, kLanes * 4);
  auto stream = device.stream();
  ASSERT_TRUE(out && stream);
  const Argument arguments[] = {Argument::buffer(**out, 4)};
  ASSERT_TRUE((*stream)->launch(**loaded, {}, arguments).ok());
  ASSERT_TRUE((*stream)->wait((*stream)->last(), 30'000'000'000).ok());
  const auto* values = reinterpret_cast<const std::uint32_t*>((*out)->host());
  for (std::uint32_t i = 0; i < kLanes; ++i) ASSERT_EQ(values[i], i * factor);
}

class PipelineCacheTest : public testing::Test {
 protected:
  std::shared_ptr<DiskCache> cache() const {
    return std::make_shared<DiskCache>(DiskCache::Options{directory_.path() + "/kernels", 64 << 20});
  }
  // Runs two kernels on a device of its own; what the cache has counted.
  DiskCache::Counters run() {
    const auto kernels = cache();
    auto device = test_vulkan::open_with({.kernels = kernels});
    if (!device) {
      why_not_ = device.error().message();
      return {};
    }
    expect_scales(**device, 3);
    expect_scales(**device, 5);
    return kernels->counters();
  }

  const TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create());
  std::string why_not_;
};

TEST_F(PipelineCacheTest, TheNextProcessFindsWhatThisOneMade) {
  const auto first = run();
  if (!why_not_.empty()) GTEST_SKIP() << why_not_;
  EXPECT_EQ(first.hits, 0u);
  EXPECT_GE(first.misses, 2u);
  if (first.kept == 0) GTEST_SKIP() << "this driver gives out nothing to keep";
  const auto second = run();
  EXPECT_EQ(second.hits, first.misses) << "of every kernel";
  EXPECT_EQ(second.misses, 0u);
  EXPECT_EQ(second.kept, 0u) << "nothing is new";
}

// --- Against a driver by script, since the software one gives out nothing ---

// What the functions below do, and have seen.
struct Script {
  VkPhysicalDeviceProperties properties{};
  std::size_t body = 100;  // bytes that it gives out behind the header; 0: the header alone
  VkResult create = VK_SUCCESS, get = VK_SUCCESS;
  std::vector<std::byte> given;  // with the latest vkCreatePipelineCache
  int alive = 0;
};
Script script;

VkResult VKAPI_CALL create(VkDevice, const VkPipelineCacheCreateInfo* info, const VkAllocationCallbacks*,
                           VkPipelineCache* out) {
  const auto* data = static_cast<const std::byte*>(info->pInitialData);
  script.given.assign(data, data + info->initialDataSize);
  if (script.create != VK_SUCCESS) return script.create;
  ++script.alive;
  *out = reinterpret_cast<VkPipelineCache>(&script);
  return VK_SUCCESS;
}
void VKAPI_CALL destroy(VkDevice, VkPipelineCache, const VkAllocationCallbacks*) { --script.alive; }
VkResult VKAPI_CALL get(VkDevice, VkPipelineCache, std::size_t* size, void* out) {
  if (script.get != VK_SUCCESS) return script.get;
  std::vector<std::byte> data(sizeof(VkPipelineCacheHeaderVersionOne) + script.body, std::byte{7});
  VkPipelineCacheHeaderVersionOne h{};
  h.headerSize = sizeof h;
  h.headerVersion = VK_PIPELINE_CACHE_HEADER_VERSION_ONE;
  h.vendorID = script.properties.vendorID;
  h.deviceID = script.properties.deviceID;
  std::memcpy(h.pipelineCacheUUID, script.properties.pipelineCacheUUID, VK_UUID_SIZE);
  std::memcpy(data.data(), &h, sizeof h);
  if (out) std::memcpy(out, data.data(), std::min(*size, data.size()));
  *size = data.size();
  return VK_SUCCESS;
}

class ScriptedCache : public testing::Test {
 protected:
  // Makes a pipeline, as far as the cache is concerned; what the driver was given for it.
  std::vector<std::byte> use(std::vector<std::uint32_t> words, std::uint32_t driver_version = 1) {
    Adapter adapter;
    adapter.properties = script.properties;
    adapter.properties.driverVersion = driver_version;
    VolkDeviceTable vk{};
    vk.vkCreatePipelineCache = create;
    vk.vkDestroyPipelineCache = destroy;
    vk.vkGetPipelineCacheData = get;
    {
      PipelineCache cache(vk, VK_NULL_HANDLE, adapter, cache_.get(), words);
      EXPECT_EQ(cache.handle() != VK_NULL_HANDLE, script.create == VK_SUCCESS && cache_);
      cache.keep();
    }
    EXPECT_EQ(script.alive, 0);
    return script.given;
  }
  void SetUp() override {
    script = {};
    script.properties.vendorID = 0x10de;
    script.properties.deviceID = 0x2330;
    script.properties.pipelineCacheUUID[3] = 5;
  }
  void open() {
    cache_ = std::make_shared<DiskCache>(DiskCache::Options{directory_.path() + "/kernels", 64 << 20});
  }

  const TemporaryDirectory directory_ = std::move(*TemporaryDirectory::create());
  std::shared_ptr<DiskCache> cache_;
};

TEST_F(ScriptedCache, GivesBackWhatTheDriverGaveOut) {
  constexpr std::size_t kWhole = sizeof(VkPipelineCacheHeaderVersionOne) + 100;
  for (int process = 0; process < 2; ++process) {
    open();
    EXPECT_EQ(use({1, 2, 3}).size(), process ? kWhole : 0);
    EXPECT_EQ(use({1, 2, 4}).size(), process ? kWhole : 0);
    EXPECT_EQ(cache_->counters().kept, process ? 0u : 2u);
  }
  EXPECT_TRUE(use({1, 2}).empty()) << "another kernel";
  EXPECT_TRUE(use({1, 2, 3}, 2).empty()) << "another driver";
  script.properties.pipelineCacheUUID[3] = 6;
  EXPECT_TRUE(use({1, 2, 3}).empty()) << "another device";
}

TEST_F(ScriptedCache, KeepsWhatTheDriverAdds) {
  open();
  use({1});
  script.body = 200;
  EXPECT_EQ(use({1}).size(), sizeof(VkPipelineCacheHeaderVersionOne) + 100);
  EXPECT_EQ(use({1}).size(), sizeof(VkPipelineCacheHeaderVersionOne) + 200);
  EXPECT_EQ(cache_->counters().kept, 2u);
}

TEST_F(ScriptedCache, KeepsNothingOfADriverThatGivesOutNothing) {
  open();
  script.body = 0;
  use({1});
  script.body = 100;
  script.get = VK_ERROR_OUT_OF_HOST_MEMORY;
  use({1});
  script.get = VK_SUCCESS;
  script.create = VK_ERROR_OUT_OF_HOST_MEMORY;
  use({1});
  EXPECT_EQ(cache_->counters().kept, 0u);
  cache_ = nullptr;
  use({1});
}

// A file that is whole, under the right key, of another device: never handed over.
TEST_F(ScriptedCache, DoesNotHandOverWhatIsAnothers) {
  open();
  use({1});
  script.properties.vendorID ^= 1;
  const auto header_of_another = [&] {
    std::size_t size = 132;
    std::vector<std::byte> data(size);
    get(VK_NULL_HANDLE, VK_NULL_HANDLE, &size, data.data());
    return data;
  }();
  script.properties.vendorID ^= 1;
  const auto files = list_folder(cache_->options().folder);
  ASSERT_TRUE(files && files->size() == 1);
  auto file = File::open(cache_->options().folder + "/" + files->at(0).name, OpenFlags::read);
  std::vector<std::byte> bytes(files->at(0).size_bytes);
  ASSERT_TRUE(file && file->read_at(bytes, 0));
  std::uint64_t key_bytes;
  std::memcpy(&key_bytes, bytes.data() + 8, 8);
  const std::string key(reinterpret_cast<const char*>(bytes.data()) + 32, key_bytes);
  ASSERT_TRUE(cache_->get(key));
  for (const auto& wrong : {header_of_another, std::vector<std::byte>(7)}) {
    cache_->put(key, wrong);
    EXPECT_TRUE(use({1}).empty());
    EXPECT_EQ(use({1}).size(), 132u) << "and it is mended";
  }
}

}  // namespace
}  // namespace gpuio::gpu::vulkan
