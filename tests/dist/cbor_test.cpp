#include "dist/cbor.h"

#include <limits>

#include <catch2/catch.hpp>

namespace ssa::dist {
namespace {

using nlohmann::json;

std::string cbor_of(const json& document) {
  std::string bytes;
  json::to_cbor(document, bytes);
  return bytes;
}

json lists(int levels) {
  json nested = json::array();
  for (int level = 1; level < levels; ++level) nested = json::array({nested});
  return nested;
}

TEST_CASE("CBOR is read as it was written", "[dist]") {
  const json document = {
      {"numbers", {0, 23, 24, -1, -25, 256, 65536, int64_t{1} << 40, 1.5, 1e300}},
      {"largest", std::numeric_limits<uint64_t>::max()},
      {"any bytes", "\xff\x7f\x9f"},
      {"long", std::string(70000, 'x')},
      {"rest", {true, false, nullptr, "", json::object(), json::array()}}};
  CHECK(read_cbor(cbor_of(document)) == document);
  CHECK(read_cbor(cbor_of(lists(16))) == lists(16));
}

TEST_CASE("what to_cbor() does not write is no message", "[dist]") {
  const std::string good = cbor_of({{"kind", "position"}, {"position", {1, 2.5, "x"}}});
  for (size_t bytes = 0; bytes < good.size(); ++bytes) {
    CHECK_THROWS_WITH(read_cbor(good.substr(0, bytes)), "not a message");
  }
  CHECK_THROWS_WITH(read_cbor(good + "x"), "not a message");
  CHECK_THROWS_WITH(read_cbor(cbor_of(lists(17))), "not a message");
  for (const char* bytes : {"\xa1\x01\x02", "\xc1\x01", "\x1c", "\xf8\x20", "\x9f\xff"}) {
    CHECK_THROWS_WITH(read_cbor(bytes), "not a message");
  }
  CHECK_THROWS_WITH(read_cbor("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), "not a message");
}

// The library's reader calls itself for each of these bytes, until the stack is full.
TEST_CASE("nested lists, maps and strings without an end are no message", "[dist]") {
  for (const char first : {'\x7f', '\x5f', '\x9f', '\xbf', '\x81', '\xc1', '\xd8'}) {
    CHECK_THROWS_WITH(read_cbor(std::string(size_t{1} << 20, first)), "not a message");
  }
}

TEST_CASE("a number of a message is whole and fits", "[dist]") {
  CHECK(whole_number<int>(json(-7)) == -7);
  CHECK(whole_number<int64_t>(json(int64_t{1} << 40)) == int64_t{1} << 40);
  CHECK_THROWS_WITH(whole_number<int>(json(int64_t{1} << 40)), "a number that is too large");
  CHECK_THROWS_WITH(whole_number<int64_t>(json(std::numeric_limits<uint64_t>::max())),
                    "a number that is too large");
  CHECK_THROWS_WITH(whole_number<int>(json(1.0)), "a number that is not whole");
  CHECK_THROWS_WITH(whole_number<int>(json("1")), "a number that is not whole");
}

}  // namespace
}  // namespace ssa::dist
