// A stream of the Vulkan device: each operation is one command buffer that signals the next value of a
// timeline semaphore. Staging memory and argument blocks come from the stream's arena and are used again once
// the timeline has passed them; a download's bytes are handed to the caller by the `wait` or `reached` that
// finds it done.
#pragma once

#include <deque>
#include <optional>

#include "gpu/vulkan/memory.hpp"
#include "gpu/vulkan/shader.hpp"

namespace gpuio::gpu::vulkan {

struct VulkanKernel final : Kernel {
  explicit VulkanKernel(std::shared_ptr<Core> c) : core(std::move(c)) {}
  ~VulkanKernel() override;
  std::shared_ptr<Core> core;
  std::string name;
  std::uint32_t parameters = 0;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  VkPipeline pipeline = VK_NULL_HANDLE;
};

// Pinned memory for operations under way, in order of the points that end them.
class Arena {
 public:
  explicit Arena(std::shared_ptr<Core> core) : core_(std::move(core)) {}
  struct Piece {
    const VulkanBuffer* buffer;
    std::uint64_t offset;
    std::byte* host() const { return buffer->host() + offset; }
    std::uint64_t address() const { return buffer->address() + offset; }
  };
  // Of `size` bytes aligned to 16, free again once `point` is reached; `reached` is the timeline now.
  Result<Piece> take(std::uint64_t size, Point point, Point reached);

 private:
  struct Chunk {
    std::unique_ptr<VulkanBuffer> buffer;
    std::uint64_t used = 0;
    Point busy = 0;  // until this point
  };
  std::shared_ptr<Core> core_;
  std::deque<Chunk> chunks_;  // the one in use last
};

class VulkanStream final : public Stream, public ShaderStream {
 public:
  static Result<std::unique_ptr<Stream>> create(std::shared_ptr<Core> core, Capability timestamps);
  ~VulkanStream() override;

  Status launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) override;
  Status launch_shader(const Kernel& kernel, const Grid& grid, const ShaderArguments& arguments) override;
  Status copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
              std::uint64_t size) override;
  Status upload(Buffer& to, std::uint64_t offset, std::span<const std::byte> from) override;
  Status download(std::span<std::byte> to, const Buffer& from, std::uint64_t offset) override;
  Status fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) override;
  Status after(const Stream& other, Point point) override;
  Result<Point> stamp() override;
  Point last() const override { return last_; }
  Result<bool> reached(Point point) const override;
  Status wait(Point point, std::uint64_t timeout_ns) override;
  Result<double> elapsed_ms(Point from, Point to) override;

 private:
  struct Commands {
    VkCommandBuffer handle;
    Point busy;
  };
  struct Delivery {
    Point point;
    std::span<std::byte> to;
    const std::byte* from;
  };
  struct Stamp {
    Point point;
    std::uint32_t slot;
  };

  VulkanStream(std::shared_ptr<Core> core, Capability timestamps)
      : core_(core), timestamps_(std::move(timestamps)), descriptors_(core), arena_(std::move(core)) {}
  Status set_up();
  Result<VkCommandBuffer> begin();       // a command buffer that starts after everything before it
  Status end(VkCommandBuffer commands);  // submits it as the next point
  Status skip();                         // a point that does nothing
  Result<Point> now() const;             // the timeline; delivers what downloads wait for
  Status known(Point point) const;
  Result<const VulkanBuffer*> own(std::string_view what, const Buffer& buffer, std::uint64_t offset,
                                  std::uint64_t size) const;
  Result<std::vector<VkDescriptorBufferInfo>> bound(const VulkanShader& shader,
                                                    std::span<const BufferRange> ranges) const;
  void copy_region(VkCommandBuffer commands, const VulkanBuffer& to, std::uint64_t to_offset,
                   const VulkanBuffer& from, std::uint64_t from_offset, std::uint64_t size);
  Result<std::uint64_t> ticks_of(Point point) const;

  std::shared_ptr<Core> core_;
  Capability timestamps_;
  DescriptorArena descriptors_;
  Arena arena_;
  VkSemaphore timeline_ = VK_NULL_HANDLE;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  VkQueryPool queries_ = VK_NULL_HANDLE;
  std::unique_ptr<VulkanBuffer> times_;  // what the stamps read, by slot
  Point last_ = 0;
  std::deque<Commands> commands_;  // oldest first
  mutable std::deque<Delivery> deliveries_;
  std::deque<Stamp> stamps_;
};

}  // namespace gpuio::gpu::vulkan
