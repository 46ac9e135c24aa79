#include "io/regions.hpp"

namespace gpuio::io {

Result<std::uint32_t> Regions::add(std::span<std::byte> memory) {
  if (memory.empty() || !memory.data())
    return fail(Code::invalid_arg, "registering {} bytes at {}: give memory of at least one byte",
                memory.size(), static_cast<const void*>(memory.data()));
  std::uint32_t free = 0;
  while (free < regions_.size() && !regions_[free].memory.empty()) ++free;
  if (free == kMax)
    return fail(Code::busy,
                "registering memory: {} regions are registered; withdraw one, or register larger ones", kMax);
  if (free == regions_.size()) regions_.emplace_back();
  regions_[free].memory = memory;
  return free;
}

Status Regions::remove(std::uint32_t region) {
  if (region >= regions_.size() || regions_[region].memory.empty())
    return error(Code::not_found, "withdrawing region {}: not registered", region);
  if (regions_[region].users)
    return error(Code::busy,
                 "withdrawing region {}: {} segments in flight use it; poll their completions first", region,
                 regions_[region].users);
  regions_[region].memory = {};
  return {};
}

bool Regions::contains(const Segment& s) const {
  if (s.region >= regions_.size()) return false;
  const auto memory = regions_[s.region].memory;
  if (memory.empty() || s.memory < memory.data()) return false;
  const auto from = static_cast<std::uint64_t>(s.memory - memory.data());
  return from <= memory.size() && s.length <= memory.size() - from;
}

Code check(const Op& op, Caps caps, const Regions& regions) {
  if (op.kind == OpKind::flush) return op.segments.empty() ? Code::ok : Code::invalid_arg;
  if (op.kind != OpKind::read && op.kind != OpKind::write) return Code::invalid_arg;
  if (!has(caps, op.kind == OpKind::read ? Cap::read : Cap::write)) return Code::permission;
  std::uint64_t length = 0;
  for (const Segment& s : op.segments) {
    if (s.length && !s.memory) return Code::invalid_arg;
    if (s.region != kUnregistered && !regions.contains(s)) return Code::invalid_arg;
    if (s.length > kOffsetMax - length) return Code::invalid_arg;
    length += s.length;
  }
  // A read there is merely past the end; a write could never be.
  if (op.kind == OpKind::write && (op.offset > kOffsetMax || length > kOffsetMax - op.offset))
    return Code::invalid_arg;
  return Code::ok;
}

}  // namespace gpuio::io
