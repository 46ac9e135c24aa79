#include "capi/region.hpp"

#include "capi/context.hpp"

namespace gpuio::capi {
namespace {

constexpr std::uint32_t kAccessAll = GPUIO_MEM_READ_WRITE | GPUIO_MEM_ATOMIC;

Status check(std::size_t size, gpuio_mem_access_t access) {
  if (size == 0) return error(Code::invalid_arg, "a region of 0 bytes; give at least one");
  if (access == 0 || (static_cast<std::uint32_t>(access) & ~kAccessAll))
    return error(Code::invalid_arg, "access {}: give GPUIO_MEM_READ, WRITE, READ_WRITE or ATOMIC",
                 int(access));
  return {};
}

Status register_memory(Context& c, void* memory, std::size_t size, gpuio_mem_access_t access,
                       gpuio_memory_region_t* out) {
  if (!memory) return null_argument("the memory");
  if (Status s = check(size, access); !s) return s;
  if (size > ~reinterpret_cast<std::uintptr_t>(memory))
    return error(Code::invalid_arg, "{} bytes at {} reach past the end of all addresses", size, memory);
  auto found = c.memory.find(memory, size);
  if (!found) return std::move(found).error();
  auto region = std::make_shared<Region>();
  region->memory = static_cast<std::byte*>(memory);
  region->length = size;
  region->access = static_cast<std::uint32_t>(access);
  region->block = std::move(*found);
  gpuio_memory_region_t r = {};
  r.gpu_id = -1;
  if (const auto& block = region->block.block) {
    const gpu::Buffer& buffer = *block->buffer;
    region->memory = buffer.host() ? buffer.host() + region->block.offset : nullptr;
    r.gpu_addr =
        reinterpret_cast<void*>(static_cast<std::uintptr_t>(buffer.address() + region->block.offset));
    r.type = block->type;
    if (block->type == GPUIO_MEM_DEVICE) r.gpu_id = block->device_id;
  } else if (c.devices.found() && c.devices.current() == Devices::kCpu) {
    r.gpu_addr = memory;  // kernels of the CPU device reach whatever the CPU reaches
  }
  r.base_addr = region->memory;
  r.length = size;
  r.access = access;
  r.registered = true;
  r.handle = c.regions.add(std::move(region));
  *out = r;
  return {};
}

Status unregister_memory(Context& c, gpuio_memory_region_t* region) {
  if (!region) return null_argument("the region");
  if (!region->registered) return error(Code::invalid_arg, "the region is not registered");
  auto found = c.regions.find(region->handle);
  if (!found) return std::move(found).error();
  if (!(*found)->uses.close())
    return error(Code::busy, "a request in flight uses the region; wait for it or cancel it");
  (void)c.regions.remove(region->handle);  // gone already if another thread was quicker
  region->registered = false;
  region->handle = nullptr;
  return {};
}

Status open(Context& c, const char* text, std::uint32_t flags, gpuio_handle_t* out) {
  constexpr std::uint32_t kAll =
      GPUIO_OPEN_READ | GPUIO_OPEN_WRITE | GPUIO_OPEN_CREATE | GPUIO_OPEN_TRUNCATE | GPUIO_OPEN_DIRECT;
  if (!text) return null_argument("the URI");
  if (flags & ~kAll) return error(Code::invalid_arg, "flags {:#x}: only those of gpuio_open_flags_t", flags);
  if (!(flags & (GPUIO_OPEN_READ | GPUIO_OPEN_WRITE)))
    return error(Code::invalid_arg, "opening {}: give GPUIO_OPEN_READ, GPUIO_OPEN_WRITE or both", text);
  if ((flags & (GPUIO_OPEN_CREATE | GPUIO_OPEN_TRUNCATE)) && !(flags & GPUIO_OPEN_WRITE))
    return error(Code::invalid_arg,
                 "opening {}: GPUIO_OPEN_CREATE and GPUIO_OPEN_TRUNCATE need GPUIO_OPEN_WRITE", text);
  auto opened = c.open(text, flags);
  if (!opened) return std::move(opened).error();
  auto handle = std::make_shared<Handle>();
  handle->opened = std::move(*opened);
  handle->family = Uri::parse(text)->family;
  handle->flags = flags;
  if (flags & GPUIO_OPEN_DIRECT) {
    auto info = handle->opened.target->info();
    if (!info) return std::move(info).error();
    if (!io::has(info->caps, io::Cap::direct))
      return error(Code::unsupported,
                   "opening {} past the system's cache: {}; open it without GPUIO_OPEN_DIRECT", text,
                   info->reason.empty() ? "there is none to pass" : info->reason);
  }
  *out = c.handles.add(std::move(handle));
  return {};
}

Status close(Context& c, gpuio_handle_t handle) {
  auto found = c.handles.find(handle);
  if (!found) return std::move(found).error();
  if (!(*found)->uses.close())
    return error(Code::busy, "a request or an array uses the handle; wait for it, or destroy it, first");
  (void)c.handles.remove(handle);
  c.regions.remove_if([&](const Region& r) { return r.handle == *found; });
  return {};
}

Status handle_info(Context& c, gpuio_handle_t handle, gpuio_handle_info_t* out) {
  constexpr std::uint64_t kShown = 2 * GPUIO_CAP_DURABLE - 1;  // the engines' own bits begin after these
  auto found = c.handles.find(handle);
  if (!found) return std::move(found).error();
  auto info = (*found)->opened.target->info();
  if (!info) return std::move(info).error();
  const auto put = [](auto& text, const std::string& from) {
    from.copy(text, std::min(from.size(), sizeof text - 1));
  };
  out->engine = static_cast<gpuio_io_engine_t>((*found)->family);
  out->size = info->size;
  out->block_size = info->block;
  out->alignment = info->alignment;
  out->capabilities = info->caps & kShown;
  put(out->route, info->route);
  put(out->reason, info->reason);
  return {};
}

Status handle_region(Context& c, gpuio_handle_t handle, std::uint64_t offset, std::size_t length,
                     gpuio_mem_access_t access, gpuio_memory_region_t* out) {
  auto found = c.handles.find(handle);
  if (!found) return std::move(found).error();
  if (Status s = check(length, access); !s) return s;
  constexpr std::uint64_t kMost = (std::uint64_t{1} << 63) - 1;
  if (offset > kMost || length > kMost - offset)
    return error(Code::invalid_arg, "{} bytes at {}: offsets go up to 2^63 - 1", length, offset);
  const auto bits = static_cast<std::uint32_t>(access);
  if (((bits & GPUIO_MEM_READ) && !((*found)->flags & GPUIO_OPEN_READ)) ||
      ((bits & GPUIO_MEM_WRITE) && !((*found)->flags & GPUIO_OPEN_WRITE)))
    return error(Code::permission,
                 "the handle was not opened for access {}; open it with GPUIO_OPEN_READ | WRITE", bits);
  auto region = std::make_shared<Region>();
  region->handle = *found;
  region->offset = offset;
  region->length = length;
  region->access = bits;
  *out = {};
  out->length = length;
  out->type = (*found)->family == EngineFamily::remoteio ? GPUIO_MEM_REMOTE : GPUIO_MEM_DEFAULT;
  out->access = access;
  out->gpu_id = -1;
  out->registered = true;
  out->handle = c.regions.add(std::move(region));
  return {};
}

}  // namespace

Result<io::Opened> Context::open(const char* text, std::uint32_t flags) {
  auto uri = Uri::parse(text);
  if (!uri) return fail(std::move(uri).error().wrap(fmt::format("opening {}", text)));
  if (uri->family == EngineFamily::memio && (uri->host == "gpu" || uri->host == "cxl"))
    return fail(Code::unsupported,
                "opening {}: this version opens host memory only; take memory of a GPU from "
                "gpuio_malloc_device",
                text);
  // A scheme that has a meaning, but nobody here who gives it one.
  const bool by_family = uri->scheme.empty() || uri->scheme == "gpuio";
  const std::string_view scheme = by_family ? family_name(uri->family) : std::string_view(uri->scheme);
  if (auto engine = registry.find(scheme); !engine)
    return fail(Code::unsupported, "opening {}: {}", text, engine.error().message());
  if (config.direct_io == DirectIo::always) flags |= io::kDirect;
  return registry.open(text, flags);
}

}  // namespace gpuio::capi

using namespace gpuio;
using namespace gpuio::capi;

extern "C" {

gpuio_error_t gpuio_register_memory(gpuio_context_t ctx, void* memory, size_t size, gpuio_mem_access_t access,
                                    gpuio_memory_region_t* region) {
  return call("gpuio_register_memory", ctx, Outputs(region),
              [&](Context& c) { return register_memory(c, memory, size, access, region); });
}
gpuio_error_t gpuio_unregister_memory(gpuio_context_t ctx, gpuio_memory_region_t* region) {
  return call("gpuio_unregister_memory", ctx, [&](Context& c) { return unregister_memory(c, region); });
}
gpuio_error_t gpuio_open(gpuio_context_t ctx, const char* uri, uint32_t flags, gpuio_handle_t* handle) {
  return call("gpuio_open", ctx, Outputs(handle), [&](Context& c) { return open(c, uri, flags, handle); });
}
gpuio_error_t gpuio_close(gpuio_context_t ctx, gpuio_handle_t handle) {
  return call("gpuio_close", ctx, [&](Context& c) { return handle ? close(c, handle) : Status(); });
}
gpuio_error_t gpuio_handle_info(gpuio_context_t ctx, gpuio_handle_t handle, gpuio_handle_info_t* info) {
  return call("gpuio_handle_info", ctx, Outputs(info),
              [&](Context& c) { return handle_info(c, handle, info); });
}
gpuio_error_t gpuio_handle_region(gpuio_context_t ctx, gpuio_handle_t handle, uint64_t offset, size_t length,
                                  gpuio_mem_access_t access, gpuio_memory_region_t* region) {
  return call("gpuio_handle_region", ctx, Outputs(region),
              [&](Context& c) { return handle_region(c, handle, offset, length, access, region); });
}

}  // extern "C"
