// What to open: the text that names a file, memory or a remote resource, taken apart.
//
//   memio://cpu/dram?numa=0        mem://gpu/0          memory of this machine
//   localio:///mnt/data/a.bin      local:///dev/nvme0n1 file:///a.bin   nvme://uuid/partition   files and
//   drives remoteio://10.0.0.1:5555/set   rdma://host:port/x   tcp://[::1]:5555/x    what a server has
//   gpuio://localio/mnt/a.bin      the engine as the first part, for any of the three
//   /mnt/my data/a?b.bin           a bare path: a local file, every character taken as it stands
//
// In all but a bare path, %41 stands for the byte 41 (hexadecimal), and ?name=value&name=value are
// parameters, each name at most once. Which parameters mean something is the engine's to say
// (check_parameters). Plain values, any thread. Errors are invalid_arg with the byte offset, what is wrong
// there, and what to write.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.hpp"

namespace gpuio {

// The three engines of the interface, in the order of gpuio_io_engine_t.
enum class EngineFamily { memio = 0, localio = 1, remoteio = 2 };
std::string_view family_name(EngineFamily family);

struct UriParameter {
  std::string name;
  std::string value;
  bool operator==(const UriParameter&) const = default;
};

struct Uri {
  EngineFamily family = EngineFamily::localio;
  std::string scheme;            // as written, in lower case; empty for a bare path
  std::string host;              // of an IPv6 literal without its brackets; empty where none is given
  std::optional<uint16_t> port;  // remoteio only
  std::string path;              // decoded; with its leading slash, or empty; of a bare path, all of it
  std::vector<UriParameter> parameters;  // decoded, in the order written

  // A text longer than this is refused before it is looked at.
  static constexpr size_t kBytesMax = 64 * 1024;
  static Result<Uri> parse(std::string_view text);

  // A text that parses to an equal Uri.
  std::string to_string() const;

  // Parameters by name; absent gives the default, a wrong value an error that names parameter and value.
  const std::string* find(std::string_view name) const;
  std::string string_parameter(std::string_view name, std::string_view absent = {}) const;
  Result<bool> bool_parameter(std::string_view name, bool absent) const;
  Result<int64_t> integer_parameter(std::string_view name, int64_t absent, int64_t min, int64_t max) const;
  Result<uint64_t> size_parameter(std::string_view name, uint64_t absent) const;
  // Refuses any parameter that is not in the list, with a suggestion.
  Status check_parameters(std::initializer_list<std::string_view> known) const;

  bool operator==(const Uri&) const = default;
};

// Every byte but letters, digits, - . _ ~ and those in `keep` as %NN.
std::string percent_encode(std::string_view text, std::string_view keep = {});
Result<std::string> percent_decode(std::string_view text);

}  // namespace gpuio
