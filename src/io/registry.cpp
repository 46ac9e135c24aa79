#include "io/registry.hpp"

#include <fmt/ranges.h>

#include "base/uri.hpp"

namespace gpuio::io {

Status Registry::add(std::initializer_list<std::string_view> schemes, std::unique_ptr<Engine> engine) {
  for (std::string_view scheme : schemes)
    if (const auto taken = by_scheme_.find(scheme); taken != by_scheme_.end())
      return error(Code::busy, "the scheme {}: belongs to the {} engine; choose another", scheme,
                   taken->second->name());
  for (std::string_view scheme : schemes) by_scheme_.emplace(scheme, engine.get());
  engines_.push_back(std::move(engine));
  return {};
}

Result<Engine*> Registry::find(std::string_view scheme) const {
  if (const auto found = by_scheme_.find(scheme); found != by_scheme_.end()) return found->second;
  return fail(Code::not_found, "no engine here opens {}: URIs; the known schemes are {}", scheme,
              fmt::join(schemes(), ", "));
}

Result<Opened> Registry::open(std::string_view text, std::uint32_t flags) const {
  const auto uri = Uri::parse(text);
  if (!uri) return fail(uri.error());
  // A bare path and gpuio://localio/… name the family only.
  const bool by_family = uri->scheme.empty() || uri->scheme == "gpuio";
  const auto engine = find(by_family ? family_name(uri->family) : std::string_view(uri->scheme));
  if (!engine) return fail(Status(engine.error()).wrap(fmt::format("opening {}", text)));
  auto target = (*engine)->open(*uri, flags);
  if (!target) return fail(std::move(target).error());
  return Opened{*engine, std::move(*target)};
}

std::vector<std::string> Registry::schemes() const {
  std::vector<std::string> names;
  for (const auto& [scheme, engine] : by_scheme_) names.push_back(scheme);
  return names;
}

}  // namespace gpuio::io
