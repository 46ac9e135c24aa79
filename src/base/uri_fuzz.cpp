#include "base/uri.hpp"

#include "base/fuzz.hpp"

namespace gpuio {
namespace {

// What parses comes back from its own text as it was; what does not says so with a message.
std::string check_with(std::string (*print)(const Uri&), std::span<const uint8_t> input) {
  const auto uri = Uri::parse(fuzz::as_text(input));
  if (!uri) {
    const Status& status = uri.error();
    if (status.code() != Code::invalid_arg && status.code() != Code::unsupported) return "an unexpected code";
    return status.message().empty() ? "an error without a message" : "";
  }
  const std::string text = print(*uri);
  const auto again = Uri::parse(text);
  if (!again) return "its own text does not parse: " + text + ": " + again.error().message();
  if (*again != *uri) return "its own text parses to something else: " + text;
  if (again->to_string() != text) return "its text is not stable: " + text;
  return "";
}

std::string check(std::span<const uint8_t> input) {
  return check_with([](const Uri& uri) { return uri.to_string(); }, input);
}

// Forgets to encode the path of a URI.
std::string planted(std::span<const uint8_t> input) {
  return check_with(
      [](const Uri& uri) {
        auto decoded = percent_decode(uri.to_string());
        return decoded ? *decoded : uri.to_string();
      },
      input);
}

}  // namespace

GPUIO_FUZZ(Uri, check, planted,
           {"memio://cpu/dram?numa=0", "memio://cxl/pool0?device=0", "localio:///dev/nvme0n1",
            "localio:///mnt/data/file.dat?direct=1&gds=1",
            "remoteio://192.168.1.100:5555/dataset?transport=rdma&gdr=1", "gpuio://localio//mnt/a%20b",
            "gpuio://memio/cpu/dram?numa=0", "gpuio://remoteio/[fe80::1%25eth0]:1/x", "mem://cpu/pinned",
            "nvme://uuid/partition", "nvme:///tmp/x", "rdma://host:1/resource",
            "tcp://[::ffff:10.0.0.1]:65535/r?key=env:K&codec=zstd", "file://localhost/a%25b%3Fc", "/a/b?c#d",
            "./x:y", "stripe:file:///a,file:///b", "FILE:///%e2%82%ac"})

}  // namespace gpuio
