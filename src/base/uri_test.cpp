#include "base/uri.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gpuio {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Uri parsed(std::string_view text) {
  auto uri = Uri::parse(text);
  EXPECT_TRUE(uri) << (uri ? "" : uri.error().message());
  return uri.value_or(Uri());
}
std::string refusal(std::string_view text) {
  auto uri = Uri::parse(text);
  EXPECT_FALSE(uri) << text;
  if (uri) return "";
  EXPECT_EQ(uri.error().code(), Code::invalid_arg) << text;
  return uri.error().message();
}

struct Case {
  const char* text;
  EngineFamily family;
  const char* scheme;
  const char* host;
  int port;  // 0: none
  const char* path;
};

TEST(Uri, EveryFormOfTheInterface) {
  using enum EngineFamily;
  const Case cases[] = {
      {"memio://cpu/dram?numa=0", memio, "memio", "cpu", 0, "/dram"},
      {"memio://cxl/pool0?device=0", memio, "memio", "cxl", 0, "/pool0"},
      {"localio:///dev/nvme0n1", localio, "localio", "", 0, "/dev/nvme0n1"},
      {"localio:///mnt/data/file.dat?direct=1&gds=1", localio, "localio", "", 0, "/mnt/data/file.dat"},
      {"remoteio://192.168.1.100:5555/dataset?transport=rdma&gdr=1", remoteio, "remoteio", "192.168.1.100",
       5555, "/dataset"},
      {"mem://cpu/pinned", memio, "mem", "cpu", 0, "/pinned"},
      {"mem://gpu/0", memio, "mem", "gpu", 0, "/0"},
      {"mem://cxl/pool0", memio, "mem", "cxl", 0, "/pool0"},
      {"local:///dev/nvme0n1", localio, "local", "", 0, "/dev/nvme0n1"},
      {"local:///mnt/data/file.dat", localio, "local", "", 0, "/mnt/data/file.dat"},
      {"nvme://uuid/partition", localio, "nvme", "uuid", 0, "/partition"},
      {"nvme:///tmp/x", localio, "nvme", "", 0, "/tmp/x"},
      {"rdma://host:7000/resource", remoteio, "rdma", "host", 7000, "/resource"},
      {"tcp://host.example:1/resource/part", remoteio, "tcp", "host.example", 1, "/resource/part"},
      {"tcp://host", remoteio, "tcp", "host", 0, ""},
      {"tcp://[::1]:5555/r", remoteio, "tcp", "::1", 5555, "/r"},
      {"tcp://[fe80::1%25eth0]/r", remoteio, "tcp", "fe80::1%eth0", 0, "/r"},
      {"file:///a.bin", localio, "file", "", 0, "/a.bin"},
      {"file://localhost/a.bin", localio, "file", "", 0, "/a.bin"},
      {"FILE:///A.bin", localio, "file", "", 0, "/A.bin"},
      {"gpuio://localio/mnt/a.bin?direct=1", localio, "gpuio", "", 0, "/mnt/a.bin"},
      {"gpuio://localio//mnt/a.bin", localio, "gpuio", "", 0, "/mnt/a.bin"},
      {"gpuio://memio/cpu/dram?numa=0", memio, "gpuio", "cpu", 0, "/dram"},
      {"gpuio://remoteio/10.0.0.1:5555/dataset", remoteio, "gpuio", "10.0.0.1", 5555, "/dataset"},
      {"/mnt/my data/a?b=1#c%41.bin", localio, "", "", 0, "/mnt/my data/a?b=1#c%41.bin"},
      {"a.bin", localio, "", "", 0, "a.bin"},
      {"./data:1.bin", localio, "", "", 0, "./data:1.bin"},
      {"data:1.bin", localio, "", "", 0, "data:1.bin"},
  };
  for (const Case& expected : cases) {
    SCOPED_TRACE(expected.text);
    const Uri uri = parsed(expected.text);
    EXPECT_EQ(uri.family, expected.family);
    EXPECT_EQ(uri.scheme, expected.scheme);
    EXPECT_EQ(uri.host, expected.host);
    EXPECT_EQ(uri.port.value_or(0), expected.port);
    EXPECT_EQ(uri.path, expected.path);
    EXPECT_EQ(parsed(uri.to_string()), uri) << uri.to_string();
  }
}

TEST(Uri, ParametersInOrderAndDecoded) {
  const Uri uri = parsed("localio:///a.bin?codec=zstd&key=env%3AK&empty=&text=a%20b%26c+d=e");
  ASSERT_EQ(uri.parameters.size(), 4u);
  EXPECT_EQ(uri.parameters[0], (UriParameter{"codec", "zstd"}));
  EXPECT_EQ(uri.parameters[1], (UriParameter{"key", "env:K"}));
  EXPECT_EQ(uri.parameters[2], (UriParameter{"empty", ""}));
  EXPECT_EQ(uri.parameters[3], (UriParameter{"text", "a b&c+d=e"}));
  EXPECT_EQ(parsed(uri.to_string()), uri);
  EXPECT_EQ(uri.string_parameter("codec"), "zstd");
  EXPECT_EQ(uri.string_parameter("none", "default"), "default");
}

TEST(Uri, PercentEncodingOfAnyByteRoundTrips) {
  Uri uri;
  uri.scheme = "file";
  uri.path = "/";
  for (int c = 1; c < 256; ++c) uri.path += static_cast<char>(c);
  uri.parameters.push_back({"all", uri.path});
  EXPECT_EQ(parsed(uri.to_string()), uri);
  EXPECT_EQ(percent_encode(std::string_view("\0a/%", 4), "/"), "%00a/%25");
  EXPECT_EQ(percent_decode("%00a/%25%e2").value(), std::string("\0a/%\xe2", 5));
  EXPECT_THAT(percent_decode("ab%4").error().message(), HasSubstr("byte 2"));
}

TEST(Uri, TypedParametersNameParameterAndValue) {
  const Uri uri =
      parsed("localio:///a?direct=yes&gds=maybe&depth=32&cache=64MiB&huge=99999999999999999999&x=1.5");
  EXPECT_TRUE(uri.bool_parameter("direct", false).value());
  EXPECT_TRUE(uri.bool_parameter("absent", true).value());
  EXPECT_THAT(uri.bool_parameter("gds", false).error().message(),
              AllOf(HasSubstr("gds"), HasSubstr("maybe")));
  EXPECT_EQ(uri.integer_parameter("depth", 1, 1, 64).value(), 32);
  EXPECT_EQ(uri.integer_parameter("absent", 7, 1, 64).value(), 7);
  EXPECT_THAT(uri.integer_parameter("depth", 1, 1, 16).error().message(),
              AllOf(HasSubstr("depth"), HasSubstr("32"), HasSubstr("16")));
  EXPECT_THAT(uri.integer_parameter("x", 1, 1, 16).error().message(),
              AllOf(HasSubstr("parameter x"), HasSubstr("1.5")));
  EXPECT_EQ(uri.size_parameter("cache", 0).value(), uint64_t{64} << 20);
  EXPECT_EQ(uri.size_parameter("absent", 5).value(), 5u);
  EXPECT_THAT(uri.size_parameter("huge", 0).error().message(),
              AllOf(HasSubstr("huge"), HasSubstr("64 bits")));
}

TEST(Uri, UnknownParametersAreRefusedWithASuggestion) {
  const Uri uri = parsed("localio:///a?direct=1&codek=zstd");
  EXPECT_TRUE(uri.check_parameters({"direct", "codek"}));
  const Status status = uri.check_parameters({"direct", "codec", "key"});
  EXPECT_EQ(status.code(), Code::invalid_arg);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("'codek'"), HasSubstr("did you mean codec?")));
}

TEST(Uri, RefusalsNameOffsetAndRemedy) {
  EXPECT_THAT(refusal(""), HasSubstr("empty"));
  EXPECT_THAT(refusal("locaio:///a"), AllOf(HasSubstr("byte 0"), HasSubstr("did you mean localio?")));
  EXPECT_THAT(refusal("http://a/b"), HasSubstr("known are memio"));
  EXPECT_THAT(refusal("local:/a"), AllOf(HasSubstr("byte 5"), HasSubstr("local:///")));
  EXPECT_THAT(refusal("local://mnt/a"),
              AllOf(HasSubstr("byte 8"), HasSubstr("'mnt'"), HasSubstr("three slashes")));
  EXPECT_THAT(refusal("file:///"), HasSubstr("no file is named"));
  EXPECT_THAT(refusal("file://"), HasSubstr("no file is named"));
  EXPECT_THAT(refusal("mem://"), HasSubstr("nothing is named"));
  EXPECT_THAT(refusal("file:///a%4"), AllOf(HasSubstr("byte 9"), HasSubstr("%25")));
  EXPECT_THAT(refusal("file:///a%zz"), HasSubstr("byte 9"));
  EXPECT_THAT(refusal("file:///a%00b"), HasSubstr("zero byte"));
  EXPECT_THAT(refusal(std::string_view("a\0b", 3)), HasSubstr("byte 1"));
  EXPECT_THAT(refusal("file:///a\tb"), AllOf(HasSubstr("byte 9"), HasSubstr("%09")));
  EXPECT_THAT(refusal("file:///a#b"), AllOf(HasSubstr("byte 9"), HasSubstr("%23")));
  EXPECT_THAT(refusal("file:///a?"), HasSubstr("byte 10"));
  EXPECT_THAT(refusal("file:///a?b"), AllOf(HasSubstr("'b' has no value"), HasSubstr("b=1")));
  EXPECT_THAT(refusal("file:///a?b=1&&c=2"), HasSubstr("byte 14"));
  EXPECT_THAT(refusal("file:///a?=1"), HasSubstr("no parameter name"));
  EXPECT_THAT(refusal("file:///a?b=1&c=2&%62=3"),
              AllOf(HasSubstr("byte 18"), HasSubstr("'b' is given twice")));
  EXPECT_THAT(refusal("gpuio://diskio/a"), AllOf(HasSubstr("byte 8"), HasSubstr("'diskio'")));
  EXPECT_THAT(refusal("gpuio://localio"), HasSubstr("no file is named"));
  EXPECT_THAT(refusal(std::string(Uri::kBytesMax + 1, 'a')), HasSubstr("65536"));
}

TEST(Uri, RefusesWrongAuthorities) {
  EXPECT_THAT(refusal("tcp:///x"), HasSubstr("no host"));
  EXPECT_THAT(refusal("gpuio://remoteio"), HasSubstr("no host"));
  EXPECT_THAT(refusal("tcp://:80/x"), HasSubstr("no host"));
  EXPECT_THAT(refusal("tcp://user:pw@host/x"), AllOf(HasSubstr("byte 13"), HasSubstr("credentials_path")));
  for (const char* port :
       {"tcp://h:/x", "tcp://h:0/x", "tcp://h:65536/x", "tcp://h:-1/x", "tcp://h:0x10/x", "tcp://h:1:2/x"})
    EXPECT_THAT(refusal(port), AllOf(HasSubstr("byte 7"), HasSubstr("1 to 65535")));
  EXPECT_THAT(refusal("tcp://a b/x"), HasSubstr("no host name"));
  EXPECT_THAT(refusal("mem://cpu:1/x"), HasSubstr("not a name"));
  EXPECT_THAT(refusal("tcp://[::1/x"), HasSubstr("no ']'"));
  EXPECT_THAT(refusal("tcp://[::1]x/x"), HasSubstr("port"));
  EXPECT_THAT(refusal("tcp://[fe80::1%25]/x"), HasSubstr("zone"));
  for (const char* bad : {"", ":", ":::", "1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "12345::",
                          "g::", "1:", ":1", "::1.2.3", "::1.2.3.256", "1.2.3.4", "1:2:3:4:5:6:7::8"})
    EXPECT_THAT(refusal("tcp://[" + std::string(bad) + "]/x"), HasSubstr("IPv6")) << bad;
  for (const char* good : {"::", "::1", "1::", "1:2:3:4:5:6:7:8", "2001:db8::ff00:42:8329", "::ffff:10.0.0.1",
                           "1:2:3:4:5:6:1.2.3.4"})
    EXPECT_EQ(parsed("tcp://[" + std::string(good) + "]/x").host, good);
}

TEST(Uri, LayersAreRefusedByName) {
  for (const char* text : {"stripe:file:///a,file:///b", "mirror:/a,/b", "failover:x"}) {
    auto uri = Uri::parse(text);
    ASSERT_FALSE(uri) << text;
    EXPECT_EQ(uri.error().code(), Code::unsupported);
    EXPECT_THAT(uri.error().message(),
                HasSubstr(std::string(text).substr(0, std::string(text).find(':') + 1)));
  }
}

TEST(Uri, FamiliesHaveTheirNames) {
  EXPECT_EQ(family_name(EngineFamily::memio), "memio");
  EXPECT_EQ(family_name(EngineFamily::localio), "localio");
  EXPECT_EQ(family_name(EngineFamily::remoteio), "remoteio");
}

}  // namespace
}  // namespace gpuio
