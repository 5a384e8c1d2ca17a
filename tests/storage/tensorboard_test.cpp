#include "ssa/storage/tensorboard.h"

#include <cstring>

#include <catch2/catch.hpp>

#include "storage/checkpoint_fixture.h"
#include "support/text.h"

using namespace ssa;
using namespace ssa::testing;

namespace {

template <class T>
T read_as(const std::string& bytes, size_t offset) {
  T value;
  REQUIRE(offset + sizeof(T) <= bytes.size());
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

uint32_t masked(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/// The payloads of all records, their checksums verified, the wall time (first 9 bytes) cut off.
std::vector<std::string> events_without_time(const std::string& bytes) {
  std::vector<std::string> events;
  size_t offset = 0;
  while (offset < bytes.size()) {
    const auto size = read_as<uint64_t>(bytes, offset);
    REQUIRE(read_as<uint32_t>(bytes, offset + 8) == masked(bytes.substr(offset, 8)));
    const std::string event = bytes.substr(offset + 12, size);
    REQUIRE(read_as<uint32_t>(bytes, offset + 12 + size) == masked(event));
    REQUIRE(event[0] == '\x09');  // field 1, 64 bits
    REQUIRE(read_as<double>(event, 1) > 1.6e9);
    events.push_back(event.substr(9));
    offset += size + 16;
  }
  return events;
}

}  // namespace

// The expected bytes are Event messages as Google's protobuf library serialises them.
TEST_CASE("an event file has the bytes that TensorBoard expects") {
  const TempDir dir;
  EventWriter writer(dir.path());
  writer.scalar("train/loss", 300, 1.5);
  writer.scalar("x", 0, -2.0);
  const auto events = events_without_time(read_bytes(writer.path()));
  REQUIRE(events.size() == 4);
  REQUIRE(events[0] ==
          "\x1a\x0d"
          "brain.Event:2");
  REQUIRE(events[1] == "\x3a\x02\x08\x01");  // step 0, session_log {status: START}
  REQUIRE(events[2] == std::string("\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0a"
                                   "train/loss"
                                   "\x15\x00\x00\xc0\x3f",
                                   24));
  REQUIRE(events[3] == std::string("\x2a\x0a\x0a\x08\x0a\x01x\x15\x00\x00\x00\xc0", 12));
}

TEST_CASE("a PNG becomes an image with the size that it says") {
  const TempDir dir;
  EventWriter writer(dir.path());
  // The file's beginning: 300 x 2 pixels, 8 bits, red, green and blue.
  std::string png("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x2c\0\0\0\x02\x08\x02", 26);
  writer.image("a", 5, png);
  png[25] = 4;  // gray with transparency
  writer.image("a", 6, png);
  const auto events = events_without_time(read_bytes(writer.path()));
  REQUIRE(events.size() == 4);
  REQUIRE(events[2] == std::string("\x10\x05\x2a\x2a\x0a\x28\x0a\x01"
                                   "a\x22\x23\x08\x02\x10\xac\x02\x18\x03\x22\x1a",
                                   20) +
                           png.substr(0, 25) + '\x02');
  REQUIRE(contains(events[3], "\x18\x02\x22"));  // two channels
}

TEST_CASE("what is no PNG does not become an image") {
  const TempDir dir;
  EventWriter writer(dir.path());
  const std::string before = read_bytes(writer.path());
  CHECK_THROWS_AS(writer.image("a", 5, ""), DataError);
  CHECK_THROWS_AS(writer.image("a", 5, std::string(100, 'x')), DataError);
  CHECK_THROWS_WITH(writer.image("a", 5, "\x89PNG\r\n\x1a\n"), Catch::Contains("8 bytes"));
  CHECK(read_bytes(writer.path()) == before);
}

TEST_CASE("a resumed run tells from which step on older points are void") {
  const TempDir dir;
  const EventWriter writer(dir.path(), 9);
  const auto events = events_without_time(read_bytes(writer.path()));
  REQUIRE(events.size() == 2);
  REQUIRE(events[1] == "\x10\x0a\x3a\x02\x08\x01");  // step 10, session_log {status: START}
}

TEST_CASE("each number of an event becomes a point under split/name") {
  const TempDir dir;
  EventWriter writer(dir.path());
  MetricsEvent event;
  event.step = 7;
  event.split = "valid";
  event.loss = 2.5;
  event.metrics = {{"perplexity", 12.25}};
  writer.write(event);
  const auto events = events_without_time(read_bytes(writer.path()));
  REQUIRE(events.size() == 4);
  REQUIRE(events[2].find("valid/loss") != std::string::npos);
  REQUIRE(events[3].find("valid/perplexity") != std::string::npos);
}

TEST_CASE("event files are named so that none is overwritten") {
  const TempDir dir;
  const EventWriter first(dir.path());
  const EventWriter second(dir.path());
  REQUIRE(first.path() != second.path());
  REQUIRE(first.path().rfind(dir / "events.out.tfevents.", 0) == 0);
  require_checkpoint_error([&] { EventWriter none(dir / "none"); }, {dir / "none"});
}

TEST_CASE("an event file's name sorts behind all others, though the clock was put back") {
  const TempDir dir;
  write_bytes(dir / "events.out.tfevents.4102444800.host.1.0", "");  // of the year 2100
  std::string before = dir / "events.out.tfevents.4102444800.host.1.0";
  for (int i = 0; i < 12; ++i) {  // more than one digit's worth
    const EventWriter next(dir.path());
    REQUIRE(before < next.path());
    before = next.path();
  }
}

// As protobuf's text format shows it: value { tag: "samples" tensor { dtype: DT_STRING tensor_shape
// { dim { size: 1 } } string_val: "    a\n    b" } metadata { plugin_data { plugin_name: "text" } }
// }.
TEST_CASE("a text becomes a block of code, in UTF-8") {
  const TempDir dir;
  EventWriter writer(dir.path());
  writer.text("samples", 5, "a\nb\xff");
  const auto events = events_without_time(read_bytes(writer.path()));
  REQUIRE(events.size() == 3);
  const std::string tensor =
      std::string("\x08\x07\x12\x04\x12\x02\x08\x01\x42\x0e", 10) + "    a\n    b\xef\xbf\xbd";
  const std::string metadata("\x0a\x08\x0a\x04text\x12\x00", 10);
  const std::string value =
      "\x0a\x07samples\x42" + std::string(1, char(tensor.size())) + tensor + "\x4a\x0a" + metadata;
  CHECK(events[2] == "\x10\x05\x2a" + std::string(1, char(value.size() + 2)) + "\x0a" +
                         std::string(1, char(value.size())) + value);
}

TEST_CASE("hyperparameters are numbers, booleans and texts") {
  const TempDir dir;
  EventWriter writer(dir.path());
  writer.hyperparameters({{"lr", "0.5"}, {"on", "true"}, {"task", "byte_lm"}});
  writer.finished();
  const auto events = events_without_time(read_bytes(writer.path()));
  REQUIRE(events.size() == 4);
  CHECK(contains(events[2], "_hparams_/session_start_info"));
  CHECK(contains(events[2], std::string("\x0a\x0f\x0a\x02lr\x12\x09\x11\0\0\0\0\0\0\xe0\x3f", 17)));
  CHECK(contains(events[2], std::string("\x0a\x08\x0a\x02on\x12\x02\x20\x01", 10)));
  CHECK(contains(events[2], std::string("\x0a\x11\x0a\x04task\x12\x09\x1a\x07", 12) + "byte_lm"));
  CHECK(contains(events[3], "_hparams_/session_end_info"));
}

TEST_CASE("a file that only adds to others does not void their points") {
  const TempDir dir;
  const EventWriter writer(dir.path(), std::nullopt);
  CHECK(events_without_time(read_bytes(writer.path())).size() == 1);
}
