#include "gpu/vulkan/stream.hpp"

#include <algorithm>
#include <cstring>

namespace gpuio::gpu::vulkan {
namespace {

constexpr std::uint64_t kChunkBytes = 1 << 20;
constexpr std::size_t kPendingMax = 65536;
constexpr std::uint32_t kStampsMax = 1024;
constexpr std::uint32_t kGroupsMax = 65535;

void order_memory(Core& core, VkCommandBuffer commands, VkPipelineStageFlags from, VkAccessFlags wrote,
                  VkPipelineStageFlags to, VkAccessFlags uses) {
  VkMemoryBarrier barrier{VK_STRUCTURE_TYPE_MEMORY_BARRIER};
  barrier.srcAccessMask = wrote;
  barrier.dstAccessMask = uses;
  core.vk.vkCmdPipelineBarrier(commands, from, to, 0, 1, &barrier, 0, nullptr, 0, nullptr);
}

}  // namespace

VulkanKernel::~VulkanKernel() {
  if (!core->alive()) return;
  if (pipeline != VK_NULL_HANDLE) core->vk.vkDestroyPipeline(core->device, pipeline, nullptr);
  if (layout != VK_NULL_HANDLE) core->vk.vkDestroyPipelineLayout(core->device, layout, nullptr);
}

Result<Arena::Piece> Arena::take(std::uint64_t size, Point point, Point reached) {
  const std::uint64_t bytes = (size + 15) / 16 * 16;
  // What was made for one large piece is given back when that is done.
  while (chunks_.size() > 1 && chunks_.front().busy <= reached &&
         chunks_.front().buffer->size() > kChunkBytes)
    chunks_.pop_front();
  if (chunks_.empty() || chunks_.back().buffer->size() - chunks_.back().used < bytes) {
    const bool again =
        !chunks_.empty() && chunks_.front().busy <= reached && chunks_.front().buffer->size() >= bytes;
    if (again) {
      Chunk oldest = std::move(chunks_.front());
      chunks_.pop_front();
      oldest.used = 0;
      chunks_.push_back(std::move(oldest));
    } else {
      auto made = VulkanBuffer::allocate(core_, MemoryKind::pinned, std::max(bytes, kChunkBytes));
      if (!made) return fail(std::move(made.error()).wrap("staging memory"));
      chunks_.push_back({std::move(*made)});
    }
  }
  Chunk& chunk = chunks_.back();
  const Piece piece{chunk.buffer.get(), chunk.used};
  chunk.used += bytes;
  chunk.busy = point;
  return piece;
}

Result<std::unique_ptr<Stream>> VulkanStream::create(std::shared_ptr<Core> core, Capability timestamps) {
  if (Status s = core->alive(); !s) return fail(std::move(s));
  std::unique_ptr<VulkanStream> stream(new VulkanStream(std::move(core), std::move(timestamps)));
  if (Status s = stream->set_up(); !s) return fail(std::move(s).wrap("making a stream"));
  return stream;
}

Status VulkanStream::set_up() {
  VkSemaphoreTypeCreateInfo type{VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO};
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo semaphore{VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO};
  semaphore.pNext = &type;
  VkCommandPoolCreateInfo pool{VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO};
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT | VK_COMMAND_POOL_CREATE_TRANSIENT_BIT;
  pool.queueFamilyIndex = core_->found.queue_family;
  VkQueryPoolCreateInfo queries{VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO};
  queries.queryType = VK_QUERY_TYPE_TIMESTAMP;
  queries.queryCount = kStampsMax;
  Core& c = *core_;
  if (Status s =
          c.check(c.vk.vkCreateSemaphore(c.device, &semaphore, nullptr, &timeline_), "vkCreateSemaphore");
      !s)
    return s;
  if (Status s = c.check(c.vk.vkCreateCommandPool(c.device, &pool, nullptr, &pool_), "vkCreateCommandPool");
      !s)
    return s;
  if (!timestamps_.available) return {};
  auto times = VulkanBuffer::allocate(core_, MemoryKind::pinned, kStampsMax * sizeof(std::uint64_t));
  if (!times) return std::move(times.error());
  times_ = std::move(*times);
  return c.check(c.vk.vkCreateQueryPool(c.device, &queries, nullptr, &queries_), "vkCreateQueryPool");
}

VulkanStream::~VulkanStream() {
  if (last_ != 0 && core_->alive() && !wait(last_, core_->drain_timeout_ns)) core_->lose();
  if (!core_->alive()) return;  // it may still be at work with all of this
  Core& c = *core_;
  c.vk.vkDestroyQueryPool(c.device, queries_, nullptr);
  c.vk.vkDestroyCommandPool(c.device, pool_, nullptr);
  c.vk.vkDestroySemaphore(c.device, timeline_, nullptr);
}

// --- Order
// --------------------------------------------------------------------------------------------------

Result<Point> VulkanStream::now() const {
  if (Status s = core_->alive(); !s) return fail(std::move(s));
  Point point = 0;
  const VkResult r = core_->vk.vkGetSemaphoreCounterValue(core_->device, timeline_, &point);
  if (Status s = core_->check(r, "vkGetSemaphoreCounterValue"); !s) return fail(std::move(s));
  for (; !deliveries_.empty() && deliveries_.front().point <= point; deliveries_.pop_front()) {
    const Delivery& d = deliveries_.front();
    std::memcpy(d.to.data(), d.from, d.to.size());
  }
  return point;
}

Result<VkCommandBuffer> VulkanStream::begin() {
  const auto point = now();
  if (!point) return fail(point.error());
  if (last_ - *point >= kPendingMax)
    return fail(Code::busy, "{} operations wait in the stream already: wait for some first", kPendingMax);
  Core& c = *core_;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  if (!commands_.empty() && commands_.front().busy <= *point) {
    commands = commands_.front().handle;
    commands_.pop_front();
  } else {
    VkCommandBufferAllocateInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO};
    info.commandPool = pool_;
    info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    info.commandBufferCount = 1;
    if (Status s =
            c.check(c.vk.vkAllocateCommandBuffers(c.device, &info, &commands), "vkAllocateCommandBuffers");
        !s)
      return fail(std::move(s));
  }
  commands_.push_back({commands, last_ + 1});
  VkCommandBufferBeginInfo info{VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
  info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  if (Status s = c.check(c.vk.vkBeginCommandBuffer(commands, &info), "vkBeginCommandBuffer"); !s)
    return fail(std::move(s));
  order_memory(c, commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_ACCESS_MEMORY_WRITE_BIT,
               VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT);
  return commands;
}

Status VulkanStream::end(VkCommandBuffer commands) {
  order_memory(*core_, commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, VK_ACCESS_MEMORY_WRITE_BIT,
               VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT);
  if (Status s = core_->check(core_->vk.vkEndCommandBuffer(commands), "vkEndCommandBuffer"); !s) return s;
  if (Status s = core_->submit(commands, timeline_, last_ + 1); !s) return s;
  ++last_;
  return {};
}

Status VulkanStream::skip() {
  if (Status s = core_->alive(); !s) return s;
  if (Status s = core_->submit(VK_NULL_HANDLE, timeline_, last_ + 1); !s) return s;
  ++last_;
  return {};
}

Status VulkanStream::known(Point point) const {
  if (point <= last_) return {};
  return error(Code::invalid_arg, "point {} was not enqueued yet; the stream's last is {}", point, last_);
}

Result<bool> VulkanStream::reached(Point point) const {
  const auto at = now();
  if (!at) return fail(at.error());
  if (Status s = known(point); !s) return fail(std::move(s));
  return point <= *at;
}

Status VulkanStream::wait(Point point, std::uint64_t timeout_ns) {
  if (Status s = core_->alive(); !s) return s;
  if (Status s = known(point); !s) return s;
  VkSemaphoreWaitInfo info{VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO};
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline_;
  info.pValues = &point;
  const VkResult r = core_->vk.vkWaitSemaphores(core_->device, &info, timeout_ns);
  if (r == VK_TIMEOUT)
    return error(Code::timeout, "point {} not reached within {} ns; the stream's last is {}", point,
                 timeout_ns, last_);
  if (Status s = core_->check(r, "vkWaitSemaphores"); !s) return s;
  const auto at = now();
  return at ? Status() : at.error();
}

Status VulkanStream::after(const Stream& other, Point point) {
  const auto* const stream = dynamic_cast<const VulkanStream*>(&other);
  if (stream == nullptr || stream->core_ != core_)
    return error(Code::invalid_arg, "after: the stream belongs to another device");
  if (Status s = stream->known(point); !s) return std::move(s).wrap("after");
  return skip();  // one queue: what was submitted before comes before
}

// --- Operations
// -----------------------------------------------------------------------------------------------

Result<const VulkanBuffer*> VulkanStream::own(std::string_view what, const Buffer& buffer,
                                              std::uint64_t offset, std::uint64_t size) const {
  const auto* const b = dynamic_cast<const VulkanBuffer*>(&buffer);
  if (b == nullptr) return fail(Code::invalid_arg, "{}: the buffer belongs to another device", what);
  if (offset > b->size() || size > b->size() - offset)
    return fail(Code::invalid_arg, "{}: {} bytes at offset {} reach past the buffer's {} bytes", what, size,
                offset, b->size());
  return b;
}

void VulkanStream::copy_region(VkCommandBuffer commands, const VulkanBuffer& to, std::uint64_t to_offset,
                               const VulkanBuffer& from, std::uint64_t from_offset, std::uint64_t size) {
  const VkBufferCopy region{from.offset() + from_offset, to.offset() + to_offset, size};
  core_->vk.vkCmdCopyBuffer(commands, from.handle(), to.handle(), 1, &region);
}

Status VulkanStream::launch(const Kernel& kernel, const Grid& grid, std::span<const Argument> arguments) {
  const auto* const k = dynamic_cast<const VulkanKernel*>(&kernel);
  if (k == nullptr || k->core != core_)
    return error(Code::invalid_arg, "launch: the kernel was loaded by another device");
  if (arguments.size() != k->parameters)
    return error(Code::invalid_arg, "launch of '{}': {} arguments for {} parameters", k->name,
                 arguments.size(), k->parameters);
  for (const std::uint32_t n : grid.groups)
    if (n > kGroupsMax)
      return error(Code::invalid_arg, "launch of '{}': {} groups in one dimension, at most {}", k->name, n,
                   kGroupsMax);
  if (std::ranges::any_of(grid.groups, [](auto n) { return n == 0; })) return skip();
  const auto at = now();
  if (!at) return at.error();
  auto block = arena_.take(std::max(arguments.size_bytes(), sizeof(Argument)), last_ + 1, *at);
  if (!block) return std::move(block.error());
  if (!arguments.empty()) std::memcpy(block->host(), arguments.data(), arguments.size_bytes());
  const auto commands = begin();
  if (!commands) return commands.error();
  const std::uint64_t address = block->address();
  core_->vk.vkCmdBindPipeline(*commands, VK_PIPELINE_BIND_POINT_COMPUTE, k->pipeline);
  core_->vk.vkCmdPushConstants(*commands, k->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(address),
                               &address);
  core_->vk.vkCmdDispatch(*commands, grid.groups[0], grid.groups[1], grid.groups[2]);
  return end(*commands);
}

Status VulkanStream::copy(Buffer& to, std::uint64_t to_offset, const Buffer& from, std::uint64_t from_offset,
                          std::uint64_t size) {
  const auto target = own("copy to", to, to_offset, size);
  if (!target) return target.error();
  const auto source = own("copy from", from, from_offset, size);
  if (!source) return source.error();
  if (*target == *source && to_offset < from_offset + size && from_offset < to_offset + size)
    return error(Code::invalid_arg, "copy: the {} bytes at {} and at {} overlap; copy through another buffer",
                 size, from_offset, to_offset);
  if (size == 0) return skip();
  const auto commands = begin();
  if (!commands) return commands.error();
  copy_region(*commands, **target, to_offset, **source, from_offset, size);
  return end(*commands);
}

Status VulkanStream::upload(Buffer& to, std::uint64_t offset, std::span<const std::byte> from) {
  const auto target = own("upload", to, offset, from.size());
  if (!target) return target.error();
  if (from.empty()) return skip();
  const auto at = now();
  if (!at) return at.error();
  const auto piece = arena_.take(from.size(), last_ + 1, *at);
  if (!piece) return piece.error();
  std::memcpy(piece->host(), from.data(), from.size());
  const auto commands = begin();
  if (!commands) return commands.error();
  copy_region(*commands, **target, offset, *piece->buffer, piece->offset, from.size());
  return end(*commands);
}

Status VulkanStream::download(std::span<std::byte> to, const Buffer& from, std::uint64_t offset) {
  const auto source = own("download", from, offset, to.size());
  if (!source) return source.error();
  if (to.empty()) return skip();
  const auto at = now();
  if (!at) return at.error();
  const auto piece = arena_.take(to.size(), last_ + 1, *at);
  if (!piece) return piece.error();
  const auto commands = begin();
  if (!commands) return commands.error();
  copy_region(*commands, *piece->buffer, piece->offset, **source, offset, to.size());
  if (Status s = end(*commands); !s) return s;
  deliveries_.push_back({last_, to, piece->host()});
  return {};
}

Status VulkanStream::fill(Buffer& to, std::uint64_t offset, std::uint64_t size, std::uint8_t value) {
  const auto target = own("fill", to, offset, size);
  if (!target) return target.error();
  if (size == 0) return skip();
  // The driver fills whole words at multiples of 4; what sticks out at the ends is copied.
  const VulkanBuffer& buffer = **target;
  const std::uint64_t first = buffer.offset() + offset, end_byte = first + size;
  const std::uint64_t begin_word = std::min((first + 3) / 4 * 4, end_byte),
                      end_word = std::max(end_byte / 4 * 4, begin_word);
  const auto at = now();
  if (!at) return at.error();
  const auto piece = arena_.take(16, last_ + 1, *at);
  if (!piece) return piece.error();
  std::memset(piece->host(), value, 16);
  const auto commands = begin();
  if (!commands) return commands.error();
  if (end_word > begin_word)
    core_->vk.vkCmdFillBuffer(*commands, buffer.handle(), begin_word, end_word - begin_word,
                              value * 0x01010101u);
  const VkBufferCopy ends[] = {{piece->buffer->offset() + piece->offset, first, begin_word - first},
                               {piece->buffer->offset() + piece->offset, end_word, end_byte - end_word}};
  for (const VkBufferCopy& e : ends)
    if (e.size != 0) core_->vk.vkCmdCopyBuffer(*commands, piece->buffer->handle(), buffer.handle(), 1, &e);
  return end(*commands);
}

// --- Time
// -------------------------------------------------------------------------------------------------------

Result<Point> VulkanStream::stamp() {
  if (!timestamps_.available) return fail(Code::unsupported, "stamp: {}", timestamps_.reason);
  const auto commands = begin();
  if (!commands) return fail(commands.error());
  std::uint32_t slot = std::uint32_t(stamps_.size());
  if (stamps_.size() == kStampsMax) {
    slot = stamps_.front().slot;
    stamps_.pop_front();
  }
  core_->vk.vkCmdResetQueryPool(*commands, queries_, slot, 1);
  core_->vk.vkCmdWriteTimestamp(*commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, queries_, slot);
  // Read from memory later: asking the driver may block while a kernel runs (lavapipe waits until all is
  // done).
  core_->vk.vkCmdCopyQueryPoolResults(*commands, queries_, slot, 1, times_->handle(),
                                      times_->offset() + slot * sizeof(std::uint64_t), sizeof(std::uint64_t),
                                      VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT);
  if (Status s = end(*commands); !s) return fail(std::move(s));
  stamps_.push_back({last_, slot});
  return last_;
}

Result<std::uint64_t> VulkanStream::ticks_of(Point point) const {
  const auto done = reached(point);
  if (!done) return fail(done.error());
  if (!*done) return fail(Code::busy, "stamp {} was not reached yet: wait for it", point);
  const auto found = std::ranges::lower_bound(stamps_, point, {}, &Stamp::point);
  if (found == stamps_.end() || found->point != point)
    return fail(Code::invalid_arg, "point {} is no stamp, or not one of the last {}", point, kStampsMax);
  std::uint64_t ticks = 0;
  std::memcpy(&ticks, times_->host() + found->slot * sizeof(ticks), sizeof(ticks));
  return ticks;
}

Result<double> VulkanStream::elapsed_ms(Point from, Point to) {
  if (!timestamps_.available) return fail(Code::unsupported, "elapsed_ms: {}", timestamps_.reason);
  const auto begin = ticks_of(from);
  if (!begin) return fail(begin.error());
  const auto end = ticks_of(to);
  if (!end) return fail(end.error());
  // The counter has so many bits; sign-extended, so that it may have wrapped in between.
  const std::uint32_t unused = 64 - core_->found.timestamp_bits;
  const std::int64_t ticks = std::int64_t((*end - *begin) << unused) >> unused;
  return double(ticks) * double(core_->found.properties.limits.timestampPeriod) / 1e6;
}

}  // namespace gpuio::gpu::vulkan
